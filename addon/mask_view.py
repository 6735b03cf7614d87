"""The mask of what the artist points at, over the picture, a moment after each click.

What is drawn asks for it: whatever changed the prompt (a click, undo, a script), `see` notices.
"""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.app.handlers import persistent
from bpy.types import Context, Image

from . import jobs
from .backend_choice import backend_home, is_elsewhere, starting_python
from .core.masks import Mask, Masks
from .core.silhouette import NO_DRAWING, Drawing, Silhouette, drawing_of
from .core.strokes import Painting, nothing, painted
from .picture import PictureFile, finish, picture_file
from .redraw import redraw
from .wire.connection import home_folder
from .wire.errors import ServerUnavailableError, UnoccludeError
from .wire.protocol import Prompt

TICK = 0.01
"""Seconds between two looks at the answers while one is awaited."""


class MaskView:
    """One picture's mask. Names and values only, no references into Blender's data."""

    def __init__(self, home: Path) -> None:
        self.masks = Masks(home)
        self.wanted: tuple[str, Prompt] | None = None
        """The image's name and its prompt as they are now."""
        self.asked: tuple[str, Prompt] | None = None
        self.number = 0
        self.found: Mask | None = None
        """The backend's newest answer to the prompt."""
        self.painting: Painting | None = None
        """What goes over it, as it is now."""
        self.drawn: tuple[Mask | None, Painting | None] | None = None
        """What `drawing` was made of."""
        self.drawing = NO_DRAWING
        self._painted: Silhouette = []
        self.error: UnoccludeError | None = None
        self.starting = False
        """Whether the backend is being started for this."""
        self._picture: tuple[str, PictureFile] | None = None

    @property
    def busy(self) -> bool:
        return self.starting or self.wanted != self.asked or self.masks.waiting or self.stale

    @property
    def stale(self) -> bool:
        """Whether something else is to be drawn than is drawn now."""
        return self.drawn is None or self.drawn[0] is not self.found or self.drawn[1] != self.painting

    def draw(self) -> None:
        """Make what is to be drawn. A further stroke only costs itself."""
        before, self.drawn = self.drawn, (self.found, self.painting)
        if self.painting is None:
            self.drawing = self.found.drawing if self.found else NO_DRAWING
            return
        rows = self.found.silhouette if self.found and self.found.silhouette else nothing(self.painting)
        more = self.painting
        if before is not None and before[0] is self.found and before[1] is not None and more.goes_on_from(before[1]):
            rows, more = self._painted, more.after(before[1])
        self._painted = painted(rows, more)
        self.drawing = drawing_of(self._painted, more.size[0])

    def picture(self, image: Image) -> PictureFile:
        """The image's file. The same one while one is pointing at it, so that it is sent once."""
        if self._picture is None or self._picture[0] != image.name:
            self._picture = image.name, picture_file(image)
        return self._picture[1]

    def forget_picture(self) -> None:
        """Its pixels may be others by the next time."""
        self._picture = None


view = MaskView(home_folder())


def see(image: Image) -> None:
    """Notice the prompt on the image that is being pointed at. Quick enough to be called from drawing."""
    prompt, painting = image.unocclude.prompt(), image.unocclude.painting()
    if view.wanted != (image.name, prompt) or view.painting != painting:
        view.wanted, view.painting = (image.name, prompt), painting
        watch()


def get_ready(context: Context, image: Image) -> None:
    """Have the backend look at the image before the first click, so that its mask comes as fast as the others."""
    view.forget_picture()
    if view.wanted == (image.name, image.unocclude.prompt()) and _asks(view.wanted[1]):
        view.asked = None  # there was a click: ask again, for the picture may be another
    else:
        view.number = view.masks.ask(view.picture(image), None, context.scene.unocclude.profile)
    watch()


def mask_of(image: Image) -> Drawing:
    """The mask to draw over this image."""
    return view.drawing if view.asked is not None and view.asked[0] == image.name else NO_DRAWING


def watch() -> None:
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=0.0, persistent=True)


def tick() -> float | None:
    """Ask what is to be asked, take in what was answered. Returns the seconds until the next look."""
    if view.starting and not jobs.session.expects_news:
        _backend_has_started()
    if not view.starting and view.wanted != view.asked:
        _ask()
    mask = view.masks.newest()
    if mask is not None and mask.number == view.number and mask is not view.found:
        _take(mask)
        redraw()
    if view.stale:
        view.draw()
        redraw()
    return TICK if view.busy else None


def _ask() -> None:
    assert view.wanted is not None
    before, view.asked = view.asked, view.wanted
    name, prompt = view.wanted
    image = bpy.data.images.get(name)
    if image is None or not _asks(prompt):
        view.found = view.error = None
        view.number = 0
        if before is not None and _asks(before[1]):
            view.forget_picture()
        redraw()
        return
    try:
        view.number = view.masks.ask(view.picture(image), prompt, bpy.context.scene.unocclude.profile)
    except UnoccludeError as error:
        view.error = error


def _asks(prompt: Prompt) -> bool:
    """Whether it is one that the backend can answer."""
    return bool(prompt.points) or prompt.box is not None


def _take(mask: Mask) -> None:
    if isinstance(mask.error, ServerUnavailableError) and not is_elsewhere():
        _start_backend()
        return
    view.error = mask.error
    view.found = mask


def _start_backend() -> None:
    view.number = 0
    try:
        jobs.session.start_backend(starting_python())
    except UnoccludeError as error:
        view.error = error
        return
    view.starting = True
    jobs.watch()


def _backend_has_started() -> None:
    view.starting = False
    view.error = jobs.session.backend_error
    if view.error is None:
        view.asked = None  # ask again


def use_backend() -> None:
    """The one that the preferences name now."""
    global view
    finish()
    view.masks.close()
    view = MaskView(backend_home())


@persistent
def _another_file_was_opened(*_: object) -> None:
    use_backend()


def register() -> None:
    bpy.app.handlers.load_post.append(_another_file_was_opened)
    use_backend()


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_another_file_was_opened)
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    finish()
    view.masks.close()
