"""Makes a private environment in .venv, then runs the demo or the tests. Needs nothing but Python 3.11 or newer.

    python3 backend/make.py demo     the whole job on a sample picture
    python3 backend/make.py test     formatting, lint, types and all tests
    python3 backend/make.py install  only the environment

What follows on the command line goes on to `unocclude demo` or to pytest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  (it may be started by any Python)
    sys.exit("Unocclude's backend needs Python 3.11 or newer; this is " + sys.version.split()[0])

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "backend"))  # nothing is installed yet

from unocclude.install import Sources, create_environment, detect_build, pip_install  # noqa: E402
from unocclude.installation import python_in  # noqa: E402

ENVIRONMENT = ROOT / ".venv"
PYTHON = python_in(ENVIRONMENT)
PINS = ROOT / "backend" / "unocclude" / "constraints.txt"


def main(arguments: list[str]) -> int:
    what, rest = (arguments[0] if arguments else ""), arguments[1:]
    if what not in ("demo", "test", "install"):
        sys.exit(__doc__)
    install(extra="dev" if what == "test" else None)
    if what == "demo":
        return run([str(PYTHON), "-m", "unocclude", "demo", *rest])
    if what == "test":
        return check(rest)
    print(f"Ready: {PYTHON.with_name('unocclude')}")
    return 0


def install(extra: str | None) -> None:
    """Does what is missing; a second run takes seconds."""
    if not PYTHON.exists():
        print("Making .venv …", flush=True)
        subprocess.run(create_environment(sys.executable, ENVIRONMENT), check=True)
    sources = Sources(detect_build())
    if subprocess.run([str(PYTHON), "-c", "import torch"], capture_output=True, cwd=ROOT).returncode:
        # The index has the build for this machine; where it cannot be reached, pip goes on with the usual one.
        print(f"Installing torch ({sources.build}) …", flush=True)
        torch = pip_install(PYTHON, sources, PINS, "--quiet", "--retries", "0", "torch", "torchvision")
        subprocess.run(torch, check=True)
    print("Installing unocclude …", flush=True)
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    subprocess.run(pip_install(PYTHON, sources, PINS, "--quiet", "--editable", what), check=True)


def check(arguments: list[str]) -> int:
    """With arguments, only pytest with these; without, everything that a change must pass."""
    if arguments:
        return run([str(PYTHON), "-m", "pytest", *arguments])
    commands = [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy"],
        ["pytest"],
    ]
    failed = [" ".join(c) for c in commands if run([str(PYTHON), "-m", *c])]
    if failed:
        print("Failed: " + "; ".join(failed), file=sys.stderr)
    return 1 if failed else 0


def run(command: list[str]) -> int:
    print("$", " ".join(command[2:] if command[1] == "-m" else command), flush=True)
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
