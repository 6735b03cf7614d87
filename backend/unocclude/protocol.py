"""The wire between client and backend: what a job is, and how messages are written. Standard library only.

The add-on ships this file as it is, so it runs in Blender's Python without the backend installed.
PROTOCOL.md is the authority on the wire format.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Stage = Literal["segment", "complete", "views", "mesh"]
STAGES: tuple[Stage, ...] = ("segment", "complete", "views", "mesh")
Preset = Literal["fast", "balanced", "quality"]


@dataclass(frozen=True)
class Prompt:
    """What the artist pointed at, in pixels of the image as given: x right, y down, origin at the top left."""

    points: tuple[tuple[float, float], ...] = ()
    negatives: tuple[tuple[float, float], ...] = ()
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class JobSpec:
    """Everything that decides a job's result, except the pictures themselves (image, optional mask).

    `elevation` is the camera's height above the object's equator in degrees, None for an estimate.
    `choose` is the completion that goes on to 3D, None for the one closest to the majority vote.
    `steps` and `guidance` are None for the profile's own defaults.
    `to` is the last stage to run.
    """

    prompt: Prompt = field(default_factory=Prompt)
    profile: str = "bundled"
    samples: int = 4
    choose: int | None = None
    elevation: float | None = None
    steps: int | None = None
    guidance: float | None = None
    preset: Preset = "balanced"
    seed: int = 0
    device: str = "auto"
    to: Stage = "mesh"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> JobSpec:
        """Raises TypeError on unknown fields."""
        prompt = dict(values.get("prompt", {}))
        box = prompt.get("box")
        return cls(**{
            **values,
            "prompt": Prompt(
                points=tuple((float(x), float(y)) for x, y in prompt.get("points", ())),
                negatives=tuple((float(x), float(y)) for x, y in prompt.get("negatives", ())),
                box=None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            ),
        })
