"""Picture files that came over the wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Uploads:
    """A job's picture files as they came: the image, and where given the visible mask and a completion."""

    image: bytes
    mask: bytes | None = None
    completion: bytes | None = None
