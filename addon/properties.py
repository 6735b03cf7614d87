"""What is saved in the .blend file: the reference image, the points on it, the options."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
)
from bpy.types import Context, Image, PropertyGroup, Scene, SpaceImageEditor

from .core.prompt import Point, prompt_of
from .wire.protocol import JobSpec


class PromptPoint(PropertyGroup):
    """A pixel of the image: x right, y down from the top left corner."""

    x: IntProperty()
    y: IntProperty()
    negative: BoolProperty()


class ImagePrompt(PropertyGroup):
    """The points on one image."""

    points: CollectionProperty(type=PromptPoint)

    def marks(self) -> list[Point]:
        return [Point(point.x, point.y, point.negative) for point in self.points]


def show_reference(settings: ReconstructionSettings, context: Context) -> None:
    """Show the image just chosen in the window's image editors, where the artist will point at it."""
    if settings.image is None or context.window is None:
        return
    for area in context.window.screen.areas:
        if area.type == "IMAGE_EDITOR" and not area.spaces.active.use_image_pin:
            area.spaces.active.image = settings.image


class ReconstructionSettings(PropertyGroup):
    """A scene's choices."""

    image: PointerProperty(
        type=Image,
        name="Reference Image",
        description="The picture with the half-hidden object",
        update=show_reference,
    )
    preset: EnumProperty(
        name="Quality",
        description="How much time the mesh is worth",
        items=[
            ("fast", "Fast", "A first look"),
            ("balanced", "Balanced", "Good shape and texture in reasonable time"),
            ("quality", "Best", "The finest shape and texture"),
        ],
        default="balanced",
    )
    profile: EnumProperty(
        name="Models",
        description="Which models the backend uses",
        items=[
            ("bundled", "Bundled", "The small models that come with the backend; a CPU is enough"),
            ("official", "Official", "The full-size models, once they are downloaded"),
        ],
        default="bundled",
    )
    samples: IntProperty(
        name="Samples",
        description="How many times the hidden part is imagined; the best match goes on",
        min=1,
        max=16,
        default=4,
    )
    seed: IntProperty(
        name="Seed", description="Another number gives another result, the same number the same one", min=0
    )
    estimate_elevation: BoolProperty(
        name="Estimate",
        description="Let the backend judge by how many degrees the photograph looks down at the object",
        default=True,
    )
    elevation: FloatProperty(
        name="Elevation",
        description="Degrees by which the photograph looks down at the object",
        min=-90,
        max=90,
        soft_min=0,
        soft_max=60,
        default=20,
    )

    def spec(self) -> JobSpec:
        """The job that these choices and the image's points make."""
        return JobSpec(
            prompt=prompt_of(self.image.unocclude.marks()),
            profile=self.profile,
            samples=self.samples,
            elevation=None if self.estimate_elevation else self.elevation,
            preset=self.preset,
            seed=self.seed,
        )


def reference_image(context: Context) -> Image | None:
    """The one that an Image Editor shows; anywhere else, the scene's choice."""
    if isinstance(context.space_data, SpaceImageEditor):
        return context.space_data.image
    return context.scene.unocclude.image


CLASSES = (PromptPoint, ImagePrompt, ReconstructionSettings)


def register() -> None:
    Image.unocclude = PointerProperty(type=ImagePrompt)
    Scene.unocclude = PointerProperty(type=ReconstructionSettings)


def unregister() -> None:
    del Scene.unocclude
    del Image.unocclude
