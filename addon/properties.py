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
    IntVectorProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import Context, Image, PropertyGroup, Scene, SpaceImageEditor

from .core.placement import Placement
from .core.prompt import Point, prompt_of
from .core.strokes import Painting, Stroke, places_from_text
from .wire.protocol import JobSpec, Prompt


class PromptPoint(PropertyGroup):
    """A pixel of the image: x right, y down from the top left corner."""

    x: IntProperty()
    y: IntProperty()
    negative: BoolProperty()


class PromptStroke(PropertyGroup):
    """A stroke of the brush on the mask, see `core.strokes`."""

    places: StringProperty()
    radius: FloatProperty()
    erase: BoolProperty()


class ImagePrompt(PropertyGroup):
    """The points on one image, a box around the object (left, top, right, bottom, empty where there is none), and the
    strokes of the brush on the mask. `source` tells of a completion where it comes from, see `core.job.Source`."""

    points: CollectionProperty(type=PromptPoint)
    box: IntVectorProperty(size=4)
    strokes: CollectionProperty(type=PromptStroke)
    source: StringProperty()

    @property
    def has_box(self) -> bool:
        left, top, right, bottom = self.box
        return right > left and bottom > top

    def prompt(self) -> Prompt:
        return prompt_of(self.marks(), tuple(self.box) if self.has_box else None)

    @property
    def says_something(self) -> bool:
        """Whether it tells what the object is."""
        return any(not point.negative for point in self.points) or self.has_box or len(self.strokes) > 0

    def painting(self) -> Painting | None:
        """None where nothing was painted."""
        if not self.strokes:
            return None
        strokes = (Stroke(places_from_text(s.places), s.radius, s.erase) for s in self.strokes)
        return Painting(tuple(strokes), tuple(self.id_data.size))

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

    brush: FloatProperty(
        name="Brush",
        description="How wide the brush for the mask is, in percent of the picture's longer side",
        subtype="PERCENTAGE",
        min=0.2,
        max=50,
        default=4,
        precision=1,
    )

    place: EnumProperty(
        name="Place",
        description="Where the mesh goes",
        items=[
            ("CURSOR", "At the 3D Cursor", "With a camera that sees it as the photograph does"),
            ("ORIGIN", "At the World Origin", "With a camera that sees it as the photograph does"),
            (
                "CAMERA",
                "As the Scene Camera Sees It",
                "Where it covers the object, for a camera that was matched before",
            ),
            (
                "REPLACE",
                "In Place of the Active Object",
                "With its location, rotation and scale; that object goes away",
            ),
        ],
        default="CURSOR",
    )
    scale: FloatProperty(
        name="Scale",
        description="The mesh's longest side is about one unit long; a photograph does not tell how long it really is",
        min=1e-4,
        soft_max=100,
        default=1,
    )
    on_ground: BoolProperty(
        name="Stand on the Ground",
        description="The lowest point is at the height of the cursor or the origin. For the scene camera: at height 0",
        default=True,
    )
    match_camera: BoolProperty(
        name="Camera of the Photograph",
        description="Make, or move, the camera that sees the mesh as the photograph does, with it in the background",
        default=True,
    )

    review: BoolProperty(
        name="Choose the Completion",
        description="Stop once the hidden part is imagined, and let me choose which of the samples becomes the mesh",
    )

    def spec(self) -> JobSpec:
        """The job that these choices and the image's prompt make."""
        return JobSpec(
            prompt=self.image.unocclude.prompt(),
            profile=self.profile,
            samples=self.samples,
            seed=self.seed,
            to="complete" if self.review else "mesh",
            **self.later_choices(),
        )

    def later_choices(self) -> dict[str, object]:
        """Those of a `JobSpec`'s fields that matter only once the object is imagined."""
        return {"preset": self.preset, "elevation": None if self.estimate_elevation else self.elevation}

    def placement(self) -> Placement:
        """Where the mesh is to go."""
        return Placement(self.place, self.scale, self.on_ground, self.match_camera)


def reference_image(context: Context) -> Image | None:
    """The one that an Image Editor shows; anywhere else, the scene's choice."""
    if isinstance(context.space_data, SpaceImageEditor):
        return context.space_data.image
    return context.scene.unocclude.image


CLASSES = (PromptPoint, PromptStroke, ImagePrompt, ReconstructionSettings)


def register() -> None:
    Image.unocclude = PointerProperty(type=ImagePrompt)
    Scene.unocclude = PointerProperty(type=ReconstructionSettings)


def unregister() -> None:
    del Scene.unocclude
    del Image.unocclude
