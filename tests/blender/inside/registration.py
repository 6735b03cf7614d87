"""Enable and disable the add-on fifty times; nothing may stay behind."""

import gc
import sys
import threading
from pathlib import Path

import bpy
from support import MODULE, addon_utils, arguments, choose, install, part, picture

install(Path(arguments()[0]))
addon_utils.disable(MODULE)


def traces() -> dict[str, object]:
    """What an add-on can leave behind."""
    gc.collect()
    keymaps = bpy.context.window_manager.keyconfigs.default.keymaps if not bpy.app.background else ()
    return {
        "types": sorted(name for name in dir(bpy.types) if "unocclude" in name.lower()),
        "operators": [name for name in dir(bpy.ops.unocclude) if not name.startswith("_")],
        "properties": [kind for kind in (bpy.types.Scene, bpy.types.Image) if hasattr(kind, "unocclude")],
        "handlers": len(bpy.app.handlers.load_post),
        "threads": [thread.name for thread in threading.enumerate()],
        "modules": [name for name in sys.modules if name.startswith(f"{MODULE}.")],
        "keymaps": len(keymaps),
    }


clean = traces()
assert not clean["types"], clean
image = picture()
for _ in range(50):
    assert addon_utils.enable(MODULE), "it does not come back"
    choose(image, 1, 1)
    part("jobs").look_for_backend()  # starts the thread
    german = {text for locale, texts in part("translations").texts().items() for text in texts.values()}
    assert "Rekonstruieren" in german
    addon_utils.disable(MODULE)
    assert traces() == clean, traces()
print("nothing was left behind")
