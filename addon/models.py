"""The official models in the add-on's preferences: licences to read and accept, the download, and the timer that
listens."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import bpy
from bpy.props import BoolProperty
from bpy.types import Context, Event, Operator, UILayout

from .core.backend import find_python
from .core.models import Licence, ModelStore
from .online import NOT_ONLINE, may_go_online
from .preferences import preferences
from .redraw import redraw
from .text import draw_error, draw_text
from .wire.errors import UnoccludeError

TICK = 0.1
"""Seconds between two looks at the news."""

store = ModelStore()


class UNOCCLUDE_OT_look_for_models(Operator):
    """Show which official models there are and which are here"""

    bl_idname = "unocclude.look_for_models"
    bl_label = "Show Models"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return not store.busy

    def execute(self, context: Context) -> set[str]:
        try:
            store.look(find_python(preferences().python))
        except UnoccludeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _watch()
        return {"FINISHED"}


class UNOCCLUDE_OT_download_models(Operator):
    """Download the official models, once their licences are accepted. What has come is kept if it breaks off"""

    bl_idname = "unocclude.download_models"
    bl_label = "Download Models"

    accepted: BoolProperty(name="I Have Read and Accept These Licences", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        if store.busy:
            cls.poll_message_set("Something is under way")
            return False
        if not may_go_online() and not preferences().mirror:
            cls.poll_message_set(NOT_ONLINE)
            return False
        return store.needed is not None and bool(store.needed.missing)

    def invoke(self, context: Context, event: Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, width=520)

    def draw(self, context: Context) -> None:
        for licence in _asking():
            box = self.layout.box()
            box.label(text=licence.name, icon="FILE_TEXT")
            column = box.column(align=True)
            column.scale_y = 0.8
            for line in (licence.terms, licence.url, *licence.files):
                column.label(text=line)
            box.operator("wm.url_open", text="Read It", icon="URL").url = licence.url
        self.layout.prop(self, "accepted")

    def execute(self, context: Context) -> set[str]:
        if _asking() and not self.accepted:
            self.report({"ERROR"}, "Nothing is downloaded before the licences are accepted.")
            return {"CANCELLED"}
        mirror = preferences().mirror
        try:
            store.download(find_python(preferences().python), ["--mirror", mirror] if mirror else [])
        except UnoccludeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _watch()
        return {"FINISHED"}


class UNOCCLUDE_OT_cancel_download(Operator):
    """Stop the download. What has come is kept, so that it can go on later"""

    bl_idname = "unocclude.cancel_download"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return store.busy

    def execute(self, context: Context) -> set[str]:
        store.cancel()
        return {"FINISHED"}


CLASSES = (UNOCCLUDE_OT_look_for_models, UNOCCLUDE_OT_download_models, UNOCCLUDE_OT_cancel_download)


def draw(layout: UILayout, context: Context) -> None:
    """What is here, what goes on, and what can be done about it."""
    layout.label(text="Official Models")
    if store.busy:
        if store.amount is not None:
            layout.label(text=_told(store.amount.have, store.amount.total), icon="SORTTIME")
        layout.operator(UNOCCLUDE_OT_cancel_download.bl_idname, icon="CANCEL")
        return
    if store.needed is not None:
        for file in store.needed.files:
            size = "" if file.size is None else f", {file.size / 1e9:.2f} GB"
            layout.label(text=f"{file.name}{size}", icon="CHECKMARK" if file.here else "IMPORT")
    if store.error is not None:
        draw_error(layout, store.error, context)
    row = layout.row()
    row.operator(UNOCCLUDE_OT_look_for_models.bl_idname, icon="FILE_REFRESH")
    if store.needed is not None and store.needed.missing:
        row.operator(UNOCCLUDE_OT_download_models.bl_idname, icon="IMPORT")
        if not may_go_online() and not preferences().mirror:
            draw_text(layout, NOT_ONLINE, context)


def _asking() -> list[Licence]:
    """The licences that are to be accepted before what is missing is downloaded."""
    assert store.needed is not None
    missing = {file.name for file in store.needed.missing}
    return [licence for licence in store.needed.licences if not licence.accepted and missing & set(licence.files)]


def _told(have: int, total: int | None) -> str:
    return f"{have / 1e9:.2f} GB" + ("" if total is None else f" of {total / 1e9:.2f} GB ({have / total:.0%})")


def _watch() -> None:
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK, persistent=True)


def tick() -> float | None:
    """One look at the news. Returns the seconds until the next one, None where nothing goes on."""
    if store.take_news():
        redraw()
    return TICK if store.busy else None


def register() -> None:
    global store
    store = ModelStore()


def unregister() -> None:
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    store.close()
