"""One PNG file of several that show one picture in strips. Plain Python, for it runs beside Blender's main thread.

PNG specification: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from .png import png_file, png_parts

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Of PNG's colour types without a palette."""


def stacked(strips: Sequence[bytes]) -> bytes:
    """One below the other, the first at the top; all of one width, depth and colour type, without interlacing."""
    compressor = zlib.compressobj(1)  # an artist waits for it
    packed = []
    height = 0
    for strip in strips:
        header, compressed = png_parts(strip)
        width, rows, depth, colour, *_ = struct.unpack(">IIBBBBB", header)
        pixel = max(1, depth * _CHANNELS[colour] // 8)
        stride = 1 + -(-width * depth * _CHANNELS[colour] // 8)
        raw = zlib.decompress(compressed)
        packed += [compressor.compress(_beginning(raw[:stride], pixel)), compressor.compress(raw[stride:])]
        height += rows
    return png_file(struct.pack(">II", width, height) + header[8:], b"".join([*packed, compressor.flush()]))


def _beginning(row: bytes, pixel: int) -> bytes:
    """A strip's first row, that was filtered as if all above it were 0, filtered so that what is above does not
    matter. `pixel` is the bytes of one."""
    kind = row[0]
    if kind == 3:  # the average of left and above
        values = bytearray(row[1:])
        for x in range(pixel, len(values)):
            values[x] = (values[x] + values[x - pixel] // 2) & 255
        return bytes([0, *values])
    # Above alone is nothing; of left, above and both, Paeth's predictor chooses left.
    return bytes([{2: 0, 4: 1}.get(kind, kind)]) + row[1:]
