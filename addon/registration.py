"""Tell Blender of everything the add-on has, and take all of it back."""

from __future__ import annotations

import bpy

from . import (
    brush_tool,
    cures,
    installation,
    jobs,
    mask_view,
    models,
    operators,
    overlay,
    panel,
    point_tool,
    preferences,
    properties,
    thumbnail,
    translations,
)
from .core.dependencies import provide_pyzmq

_CLASSES = (
    *properties.CLASSES,
    *preferences.CLASSES,
    *point_tool.CLASSES,
    *brush_tool.CLASSES,
    *operators.CLASSES,
    *installation.CLASSES,
    *models.CLASSES,
    *cures.CLASSES,
    *panel.CLASSES,
)
_PARTS = (
    translations,
    properties,
    thumbnail,
    overlay,
    point_tool,
    brush_tool,
    panel,
    jobs,
    mask_view,
    installation,
    models,
)


def register() -> None:
    provide_pyzmq()
    for kind in _CLASSES:
        bpy.utils.register_class(kind)
    for part in _PARTS:
        part.register()


def unregister() -> None:
    for part in reversed(_PARTS):
        part.unregister()
    for kind in reversed(_CLASSES):
        bpy.utils.unregister_class(kind)
