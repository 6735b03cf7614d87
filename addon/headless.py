"""Reconstruct without a window, one picture or many:

    blender -b --python addon/headless.py -- --image PICTURE --point X Y --out DIR
    blender -b --python addon/headless.py -- MANIFEST.jsonl --out DIR

`-- --help` tells of the other options. This script runs in Blender 3.4 and up, from the source tree or from the
installed add-on, and in the Python of a `bpy` module. It uses the backend that runs, else it starts one.
"""

import importlib
import sys
from pathlib import Path

package = Path(__file__).resolve().parent
sys.path.insert(0, str(package.parent))
batch = importlib.import_module(f"{package.name}.batch")
own = sys.argv.index("--") + 1 if "--" in sys.argv else 1
sys.exit(batch.main(sys.argv[own:]))
