"""Whether the artist lets Blender use the internet."""

from __future__ import annotations

import bpy

NOT_ONLINE = "Blender may not go online: allow it in System, or choose a folder or mirror of your own"


def may_go_online() -> bool:
    """Before Blender 4.2 there was no such choice."""
    return bool(getattr(bpy.app, "online_access", True))
