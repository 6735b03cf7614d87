"""PNG files, above all masks. Plain Python: some builds of Blender have no numpy, and threads cannot ask Blender.

PNG specification: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib

from ..wire.errors import UnoccludeError
from .silhouette import Silhouette

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class MaskFormatError(UnoccludeError):
    """The bytes are not a mask as the backend writes it."""

    code = "mask_format"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The mask is not readable ({reason}).", "Update the add-on and the backend to the same version."
        )


def read_mask(data: bytes) -> tuple[Silhouette, int, int]:
    """The pixels above 127 of an 8-bit grey PNG, its width and height. Raises MaskFormatError."""
    try:
        header, compressed = png_parts(data)
        width, height, *kind = struct.unpack(">IIBBBBB", header)
        if kind != [8, 0, 0, 0, 0]:
            raise ValueError("no 8-bit grey")
        raw = zlib.decompress(compressed)
    except (struct.error, zlib.error, ValueError) as error:
        raise MaskFormatError(str(error)) from error
    if len(raw) != height * (width + 1):
        raise MaskFormatError("it is cut off")
    rows, above = [], bytes(width)
    for start in range(0, len(raw), width + 1):
        above = _unfiltered(raw[start], raw[start + 1 : start + 1 + width], above)
        rows.append(_bits(above))
    return rows, width, height


def write_mask(rows: Silhouette, width: int) -> bytes:
    """An 8-bit grey PNG of 0 and 255."""
    raw = b"".join(b"\x00" + f"{row:0{width}b}"[::-1].encode().translate(_GREY) for row in rows)
    return png_file(struct.pack(">IIBBBBB", width, len(rows), 8, 0, 0, 0, 0), zlib.compress(raw, 1))


def png_parts(data: bytes) -> tuple[bytes, bytes]:
    """The header's 13 bytes and the compressed pixels. Raises ValueError or struct.error where it is no PNG."""
    if not data.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    place, header, pixels = len(_SIGNATURE), b"", []
    while place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if name == b"IHDR":
            header = data[place + 8 : place + 8 + size]
        elif name == b"IDAT":
            pixels.append(data[place + 8 : place + 8 + size])
        place += size + 12
    return header, b"".join(pixels)


def png_file(header: bytes, compressed: bytes) -> bytes:
    """Of what `png_parts` tells."""
    chunks = ((b"IHDR", header), (b"IDAT", compressed), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _unfiltered(kind: int, row: bytes, above: bytes) -> bytes:
    """A row before PNG's filter was applied."""
    if kind == 0:
        return row
    if kind == 2 and not row.strip(b"\x00\x01\xff") and not above.strip(b"\x00\xff"):
        # In black and white, what differs from the row above is its opposite: all at once, for most rows are such.
        changed = int.from_bytes(row.translate(_ANY), "big") ^ int.from_bytes(above, "big")
        return changed.to_bytes(len(row), "big")
    values = bytearray(row)
    left = corner = 0
    for x, up in enumerate(above):
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            guess = _paeth(left, up, corner)
        else:
            raise MaskFormatError(f"filter {kind}")
        left = values[x] = (values[x] + guess) & 255
        corner = up
    return bytes(values)


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))


_ANY = bytes(255 if value else 0 for value in range(256))
_GREY = bytes(255 if value == ord("1") else 0 for value in range(256))
_ABOVE_127 = bytes(ord("1") if value > 127 else ord("0") for value in range(256))


def _bits(row: bytes) -> int:
    return int(row[::-1].translate(_ABOVE_127), 2)
