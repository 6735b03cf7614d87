"""Download the official models from the preferences: licences first, broken off, gone on with; Blender never waits."""

import time
from pathlib import Path

import bpy
from support import arguments, install, part

dist, python, mirror = arguments()
install(Path(dist))
models = part("models")
preferences = part("preferences").preferences()
preferences.python = python
longest = 0.0


def pump(until) -> None:
    """As the timer does; `longest` is the worst that a frame would have waited."""
    global longest
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline, models.store.amount
        began = time.monotonic()
        models.tick()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.02)


def idle() -> bool:
    return not models.store.busy


assert not bpy.ops.unocclude.download_models.poll(), "nobody has looked yet what is needed"
assert bpy.ops.unocclude.look_for_models() == {"FINISHED"}
pump(idle)
assert models.store.error is None, models.store.error
assert [file.here for file in models.store.needed.files] == [False] * 3
assert {licence.name for licence in models.store.needed.licences} == {"Apache-2.0", "CC BY-NC 4.0", "MIT"}

if not getattr(bpy.app, "online_access", True):
    assert not bpy.ops.unocclude.download_models.poll(), "it would go online against the artist's will"
preferences.mirror = mirror
try:
    bpy.ops.unocclude.download_models("EXEC_DEFAULT")
    refused = ""
except RuntimeError as error:
    refused = str(error)
assert "licences are accepted" in refused
assert idle()

assert bpy.ops.unocclude.download_models("EXEC_DEFAULT", accepted=True) == {"FINISHED"}
assert not bpy.ops.unocclude.download_models.poll(), "two at once"
pump(lambda: models.store.amount is not None and models.store.amount.have)  # the server stalls
assert models.store.amount.have < models.store.amount.total
assert bpy.ops.unocclude.cancel_download() == {"FINISHED"}
pump(idle)
assert models.store.error is None, models.store.error

assert bpy.ops.unocclude.look_for_models() == {"FINISHED"}
pump(idle)
assert all(licence.accepted for licence in models.store.needed.licences), "they would be asked for again"
assert bpy.ops.unocclude.download_models("EXEC_DEFAULT") == {"FINISHED"}
pump(idle)
assert "syncdreamer-pretrain.ckpt" in models.store.error.message, models.store.error
assert [file.here for file in models.store.needed.files] == [True, True, False], "one is not there, the others are"
preferences.mirror = mirror + "/moved"
assert bpy.ops.unocclude.download_models("EXEC_DEFAULT") == {"FINISHED"}
pump(idle)
assert models.store.error is None, models.store.error
assert not bpy.ops.unocclude.download_models.poll(), "there is nothing left to download"
assert longest < 0.1, f"a tick took {longest} s"
print("downloading went well")
