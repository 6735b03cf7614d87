"""Install the backend from the add-on's preferences: the buttons, what they tell, and the timer that listens."""

from __future__ import annotations

import bpy
from bpy.types import Context, Operator, UILayout

from .core.backend import installation_folder
from .core.installer import Choice, Installer, offered_version
from .online import NOT_ONLINE, may_go_online
from .preferences import preferences
from .redraw import redraw
from .text import draw_error, draw_text
from .wire.installation import Installed, interrupted

TICK = 0.1
"""Seconds between two looks at the news."""

installer = Installer(installation_folder())


class UNOCCLUDE_OT_install_backend(Operator):
    """Install the backend into a private environment; nothing else on this machine is changed"""

    bl_idname = "unocclude.install_backend"
    bl_label = "Install Backend"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if installer.busy:
            cls.poll_message_set("An installation is under way")
            return False
        if not preferences().packages and not may_go_online():
            cls.poll_message_set(NOT_ONLINE)
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        chosen = preferences()
        installer.install(Choice(chosen.build, bpy.path.abspath(chosen.packages), chosen.index))
        _watch()
        return {"FINISHED"}


class UNOCCLUDE_OT_uninstall_backend(Operator):
    """Remove the backend's private environment. Models that were downloaded stay"""

    bl_idname = "unocclude.uninstall_backend"
    bl_label = "Uninstall"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return not installer.busy

    def invoke(self, context: Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: Context) -> set[str]:
        installer.uninstall()
        _watch()
        return {"FINISHED"}


class UNOCCLUDE_OT_cancel_installation(Operator):
    """Stop installing. What was fetched is kept, so that it can go on later"""

    bl_idname = "unocclude.cancel_installation"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return installer.busy

    def execute(self, context: Context) -> set[str]:
        installer.cancel()
        return {"FINISHED"}


CLASSES = (UNOCCLUDE_OT_install_backend, UNOCCLUDE_OT_uninstall_backend, UNOCCLUDE_OT_cancel_installation)


def draw(layout: UILayout, context: Context) -> None:
    """What is installed, what goes on, and what can be done about it."""
    installed = Installed.load(installer.folder)
    if installer.busy and installer.step is not None:
        step = installer.step
        layout.label(text=f"Step {step.number} of {step.total}", icon="SORTTIME")
        share = "" if step.fraction is None else f" ({step.fraction:.0%})"
        draw_text(layout, step.text + share, context)
        layout.operator(UNOCCLUDE_OT_cancel_installation.bl_idname, icon="CANCEL")
        return
    if installed is None:
        layout.label(text="The backend is not installed", icon="INFO")
    else:
        layout.label(text=f"Backend {installed.version} is installed ({installed.build})", icon="CHECKMARK")
    if installer.error is not None:
        draw_error(layout, installer.error, context)
    row = layout.row()
    row.operator(UNOCCLUDE_OT_install_backend.bl_idname, text=_what_installing_means(installed), icon="IMPORT")
    if installed is not None:
        row.operator(UNOCCLUDE_OT_uninstall_backend.bl_idname, icon="TRASH")
    if not preferences().packages and not may_go_online():
        draw_text(layout, NOT_ONLINE, context)


def _what_installing_means(installed: Installed | None) -> str:
    if interrupted(installer.folder):
        return "Go On Installing"
    if installed is None:
        return "Install Backend"
    offered = offered_version()
    return "Repair" if offered in {None, installed.version} else f"Update to {offered}"


def _watch() -> None:
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK, persistent=True)


def tick() -> float | None:
    """One look at the news. Returns the seconds until the next one, None where nothing goes on."""
    if installer.take_news():
        redraw()
    return TICK if installer.busy else None


def register() -> None:
    global installer
    installer = Installer(installation_folder())


def unregister() -> None:
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    installer.close()
