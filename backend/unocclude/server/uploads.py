"""Picture files that came over the wire: opened, or refused with the cure."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from unocclude.errors import InputError
from unocclude.pipeline.inputs import LARGEST_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""What is decoded. Some others that the library knows start programs."""


@dataclass(frozen=True)
class Uploads:
    """A job's picture files as they came: the image, and where given the visible mask and a completion."""

    image: bytes
    mask: bytes | None = None
    completion: bytes | None = None


def open_upload(file: bytes, what: str) -> PilImage.Image:
    """Decode a file. `what` names it in the message of the InputError where it is no picture that can be read."""
    try:
        picture = PilImage.open(io.BytesIO(file), formats=FORMATS)
        if picture.width * picture.height > LARGEST_PIXELS:  # as its header says, before any pixel is decoded
            raise InputError(f"The {what} has {picture.width} x {picture.height} pixels.", "Scale it down.")
        picture.load()
    except UnidentifiedImageError as error:
        raise InputError(
            f"The {what} is not a picture that can be read.", "Use PNG, JPEG or another common format."
        ) from error
    except PilImage.DecompressionBombError as error:
        raise InputError(f"The {what} has too many pixels.", "Scale it down.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"The {what} is damaged ({error}).", "Open it in an image editor and save it again."
        ) from error
    return picture
