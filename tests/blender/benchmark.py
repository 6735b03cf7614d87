"""How long the add-on holds up Blender's main thread: `python tests/blender/benchmark.py`.

For each Blender on this machine, a line for every kind of work: how often, median and worst milliseconds on the clock,
and median and worst milliseconds of the processor, which a busy machine does not change. The backend is real and
so is its bundled segmenter; its pipeline is scripted, the mesh has about 24,000 faces, as the best quality gives, and
previews come all the time.
The last line takes together what happens from the order of a job until its mesh is in the scene, and says whether it
keeps within 20 ms (median) and 100 ms (worst).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bpy_environments import VERSIONS, python_of
from real_blenders import HERE, ROOT, Blender, execute
from unocclude.client import Client
from unocclude.launch import start_backend

SAMPLE = ROOT / "backend" / "unocclude" / "bundled" / "sample.png"


def main() -> None:
    subprocess.run([sys.executable, str(ROOT / "addon" / "build.py")], check=True, stdout=subprocess.DEVNULL)
    found = {}
    if program := shutil.which("blender"):
        found["Blender"] = Blender([program, "-b", "--factory-startup", "--python-exit-code", "1", "--python"])
    for version in VERSIONS:
        if python_of(version).exists():
            found[f"bpy {version}"] = Blender([str(python_of(version))])
    for name, blender in found.items():
        print(f"{name}:\n{measure(blender)}", flush=True)


def measure(blender: Blender) -> str:
    """The lines for this Blender, or what went wrong in it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "backend"
        home.mkdir()
        shutil.copy(HERE / "scripted_backend.py", home)
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "BLENDER_USER_RESOURCES")
        os.environ.update(dict.fromkeys(names, folder), UNOCCLUDE_HOME=str(home))
        start_backend(sys.executable, home, runner="scripted_backend:run_job", wait=180)
        try:
            done = execute(blender.script(HERE / "inside" / "main_thread.py", ROOT / "dist", SAMPLE))
        finally:
            with Client(home, patience=0) as client:
                client.stop()
    if done.returncode:
        return done.stdout + done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith("  "))


if __name__ == "__main__":
    main()
