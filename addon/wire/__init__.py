"""The wire to the backend: the very files that the backend itself uses.

The build puts those that are shared, and what they import, into this folder of the package. In the source tree they are
read where they live, so that no second copy of them exists.
"""

from pathlib import Path

if not (Path(__file__).parent / "client.py").exists():
    __path__.append(str(Path(__file__).resolve().parents[2] / "backend" / "unocclude"))
