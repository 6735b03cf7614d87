"""The wire to the backend: the very files that the backend itself uses.

The build puts those files into this folder of the package. In the source tree they are read where they live,
so that no second copy of them exists.
"""

from pathlib import Path

FILES = ("protocol.py", "client.py", "connection.py", "launch.py", "errors.py")
SOURCE = Path(__file__).resolve().parents[2] / "backend" / "unocclude"

if not (Path(__file__).parent / "client.py").exists():
    __path__.append(str(SOURCE))
