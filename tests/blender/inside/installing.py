"""Install the backend from the preferences: cancelled, gone on with, repaired, uninstalled; Blender never waits."""

import time
from pathlib import Path

import bpy
from support import arguments, install, part

dist, packages = map(Path, arguments())
install(dist)
installation = part("installation")
backend = part("core.backend")
preferences = part("preferences").preferences()
longest = 0.0


def pump(until) -> None:
    """As the timer does; `longest` is the worst that a frame would have waited."""
    global longest
    deadline = time.monotonic() + 300
    while not until():
        assert time.monotonic() < deadline, installation.installer.step
        began = time.monotonic()
        installation.tick()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.02)


def idle() -> bool:
    return not installation.installer.busy


def installed():
    return part("wire.installation").Installed.load(backend.installation_folder())


preferences.build = "cpu"
if not getattr(bpy.app, "online_access", True):
    assert not bpy.ops.unocclude.install_backend.poll(), "it would go online against the artist's will"
preferences.packages = str(packages)

assert bpy.ops.unocclude.install_backend() == {"FINISHED"}
assert not bpy.ops.unocclude.install_backend.poll(), "two at once"
pump(lambda: installation.installer.step.number == 3)
assert bpy.ops.unocclude.cancel_installation() == {"FINISHED"}
pump(idle)
assert installation.installer.step.text == "Cancelled"
assert installation.installer.error is None
assert installed() is None
assert part("wire.installation").interrupted(backend.installation_folder())

assert bpy.ops.unocclude.install_backend() == {"FINISHED"}
pump(idle)
assert installation.installer.error is None, installation.installer.error
first = installed()
assert (first.version, first.build) == ("0.1.0", "cpu")
assert backend.find_python("") == first.python(backend.installation_folder())

(torch,) = packages.glob("torch-*.whl")
torch.rename(torch.with_suffix(".away"))
assert bpy.ops.unocclude.install_backend() == {"FINISHED"}, "repair"
pump(idle)
assert "torch" in installation.installer.error.message, installation.installer.error
assert installation.installer.error.cure
assert installed() == first, "a repair that failed took away what worked"

assert bpy.ops.unocclude.uninstall_backend("EXEC_DEFAULT") == {"FINISHED"}
pump(idle)
assert installation.installer.error is None, installation.installer.error
assert installed() is None
assert longest < 0.1, f"a tick took {longest} s"
print("installing went well")
