"""A backend on another machine: found by its connection file, used, not to be stopped, and gone once it revokes."""

import subprocess
from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

dist, connection, revoke = arguments()
install(Path(dist))
preferences = part("preferences").preferences()
mask_view = part("mask_view")
image = picture()
choose(image, 20, 30)


def failure() -> str:
    assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
    pump(lambda: phase() in {"FAILED", "PLACED"})
    error = part("jobs").session.job.error
    assert error is not None, "it worked without any backend"
    return f"{error.message} {error.cure}"


preferences.connection = str(Path(connection).parent / "nowhere" / "connection.json")
assert "other machine" in failure()
try:
    bpy.ops.unocclude.start_backend()
    refused = ""
except RuntimeError as error:
    refused = str(error)
assert "unocclude serve" in refused, "it started one on this machine"

preferences.connection = connection
mask_view.see(image)
while mask_view.tick() is not None:
    pass
assert mask_view.view.error is None, mask_view.view.error
assert mask_view.mask_of(image)
assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
pump(lambda: phase() in {"FAILED", "PLACED"})
assert phase() == "PLACED", part("jobs").session.job.error
part("jobs").stop_backend()
pump(lambda: part("jobs").session.backend_error is not None)
assert "own machine" in part("jobs").session.backend_error.cure

subprocess.run(revoke, shell=True, check=True)
assert failure()

preferences.connection = ""
assert part("backend_choice").backend_home() == part("wire.connection").home_folder()
print("the other machine's backend went well")
