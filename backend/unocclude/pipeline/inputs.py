"""Everything that is checked before any work is done: pictures, prompts and options."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from unocclude.errors import InputError
from unocclude.pipeline.types import Image, Mask
from unocclude.profiles import profile_named
from unocclude.protocol import JobSpec, Prompt

LARGEST_PIXELS = 100_000_000
SMALLEST_SIDE = 16
SMALLEST_COMPLETION, LARGEST_COMPLETION = 64, 2048
LARGEST_CROP = 4
"""Side of a crop, by the image's longer one."""
UPLOADED_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""What is decoded of what comes over the wire. Some others that the library knows start programs."""


def read_image(path: Path) -> Image:
    """(H, W, 3) uint8 as stored: no rotation by EXIF, transparency laid over white. Raises InputError."""
    return as_image(_opened(path))


def read_mask(path: Path) -> Mask:
    """(H, W) bool: lighter than middle grey. Raises InputError."""
    return np.asarray(_opened(path).convert("L")) > 127


def read_completion(path: Path) -> Image:
    """(S, S, 4) uint8 RGBA. Raises InputError."""
    return np.asarray(_opened(path).convert("RGBA"))


def as_image(picture: PilImage.Image) -> Image:
    """(H, W, 3) uint8 of an opened picture of any mode. Raises InputError for one that is too small or too large."""
    width, height = picture.size
    if width * height > LARGEST_PIXELS:
        raise InputError(
            f"The image has {width} x {height} pixels; {LARGEST_PIXELS // 1_000_000} million are the most.",
            "Scale it down.",
        )
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(
            f"The image has only {width} x {height} pixels.", f"Use one of at least {SMALLEST_SIDE} pixels a side."
        )
    try:
        if picture.mode.startswith("I"):  # 16-bit grey
            deep = np.asarray(picture).astype(np.float32)
            grey = np.clip(deep / 257, 0, 255).round().astype(np.uint8)
            return np.repeat(grey[..., None], 3, -1)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            layer = picture.convert("RGBA")
            white = PilImage.new("RGBA", layer.size, "white")
            return np.asarray(PilImage.alpha_composite(white, layer).convert("RGB"))
        return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"The image is damaged ({error}).", "Open it in an image editor and save it again.") from error


def open_upload(file: bytes, what: str) -> PilImage.Image:
    """Decode a file. `what` names it in the message of the InputError where it is no picture that can be read."""
    try:
        picture = PilImage.open(io.BytesIO(file), formats=UPLOADED_FORMATS)
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


def _opened(path: Path) -> PilImage.Image:
    limit, PilImage.MAX_IMAGE_PIXELS = PilImage.MAX_IMAGE_PIXELS, None  # our own limit has a better message
    try:
        return PilImage.open(path)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", "Check the path.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder.", "Name an image file.") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image that can be read.", "Use PNG, JPEG or another common format."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).", "Check its permissions.") from error
    finally:
        PilImage.MAX_IMAGE_PIXELS = limit


def check(spec: JobSpec, image: Image, mask: Mask | None, completion: Image | None = None) -> None:
    """Raises InputError, with the cure, for anything in a job that cannot be done as asked."""
    spec.check()
    profile_named(spec.profile)
    height, width = image.shape[:2]
    check_prompt(spec.prompt, width, height, needed=mask is None)
    if mask is not None and mask.shape != (height, width):
        raise InputError(
            f"The mask has {mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}.",
            "Give a mask of the image's size.",
        )
    if mask is not None and not mask.any():
        raise InputError("The mask is empty.", "Paint the visible part of the object white.")
    if spec.crop is not None:
        left, top, side = spec.crop
        if side > LARGEST_CROP * max(width, height) or not (-side < left < width and -side < top < height):
            raise InputError(
                f"The crop of {side} pixels at {left}, {top} does not fit the image of {width} x {height}.",
                "Give left, top and side of the square that holds the whole object, in pixels of the image.",
            )
    if completion is not None:
        check_completion(spec, completion)


def check_completion(spec: JobSpec, completion: Image) -> None:
    """Raises InputError for a given completion, (S, S, 4) uint8, that cannot go on to the views."""
    height, width = completion.shape[:2]
    if height != width or not SMALLEST_COMPLETION <= width <= LARGEST_COMPLETION:
        raise InputError(
            f"The completion has {width} x {height} pixels.",
            f"It has to be square, {SMALLEST_COMPLETION} to {LARGEST_COMPLETION} pixels a side, as it was made.",
        )
    if not (completion[..., 3] > 127).any():
        raise InputError("The completion is empty: nothing in it is opaque.", "Paint the object, its alpha too.")
    if spec.choose is not None:
        raise InputError("There is nothing to choose from where the completion is given.", "Leave choose out.")


def check_prompt(prompt: Prompt, width: int, height: int, needed: bool = True) -> None:
    """Raises InputError for a prompt that lies outside the image, or, where one is `needed`, means nothing."""
    if needed and not prompt.points and prompt.box is None:
        raise InputError("Nothing says which object is meant.", "Give a --point on it, a --box around it, or a --mask.")
    for x, y in (*prompt.points, *prompt.negatives):
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(
                f"The point {x:g} {y:g} lies outside the image.",
                f"x goes from 0 to {width - 1}, y from 0 to {height - 1}, counted from the top left.",
            )
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"The box {x0:g} {y0:g} {x1:g} {y1:g} is not inside the image or is turned over.",
                f"Give left, top, right, bottom within {width} x {height}.",
            )
