"""Profiles, and how they sample. Apart from the networks, so that it can be asked for without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unocclude.errors import InputError
from unocclude.protocol import SamplerName


@dataclass(frozen=True)
class Profile:
    """How a profile samples unless told otherwise.

    `completion_temperature` scales the noise that a sample is made from: below 1 they are nearer to their mean, which
    a small network knows better than what lies around it.
    """

    completion_steps: int
    completion_guidance: float
    completion_temperature: float
    view_steps: int
    view_guidance: float

    def steps(self, stage: Literal["complete", "views"], sampler: SamplerName) -> int:
        """The reference samplers take as many as their authors' programs, whatever the profile."""
        if sampler == "reference":
            return REFERENCE_STEPS[stage]
        return self.completion_steps if stage == "complete" else self.view_steps


REFERENCE_STEPS = {"complete": 200, "views": 50}
PROFILES = {
    "bundled": Profile(
        completion_steps=4, completion_guidance=1.0, completion_temperature=0.6, view_steps=1, view_guidance=1.0
    ),
    "official": Profile(
        completion_steps=30, completion_guidance=2.0, completion_temperature=1.0, view_steps=30, view_guidance=2.0
    ),
}


def profile_named(name: str) -> Profile:
    """Raises InputError for an unknown one."""
    if name not in PROFILES:
        raise InputError(f"There is no profile “{name}”.", f"Choose one of: {', '.join(PROFILES)}.")
    return PROFILES[name]
