"""The segmenter process: answers clicks while the worker is busy, and keeps what it has seen of each picture.

Started by the broker as `python -m unocclude.server.segmenter`, see orders.py. Encoding a picture is the expensive
part; the encodings of the last pictures are kept, so that a further click costs only the decoder.
"""

from __future__ import annotations

import io
import traceback
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unocclude.checks import an_object, number, or_none, text, whole
from unocclude.errors import UnoccludeError
from unocclude.protocol import JobSpec, Prompt, Shape, decode, encode, error_to_json, make_error
from unocclude.server.blobs import BlobStore
from unocclude.server.orders import Orders

if TYPE_CHECKING:  # the broker imports this module too, and has no use for numpy
    from unocclude.pipeline.types import Mask

Ask = Callable[[Prompt], "tuple[Mask, float]"]
"""The visible part of what the prompt means, (H, W) bool, and the network's own rating of it."""
Embed = Callable[[bytes, str], Ask]
"""What a runner is: (image file, profile) to what answers prompts for this image."""

KEPT_IMAGES = 8

_TICKET = {"ticket": whole(0, 2**63 - 1)}
ORDERS: dict[str, Shape] = {
    "segment": Shape(
        {
            **_TICKET,
            "image": text(r"[0-9a-f]{64}"),
            "profile": text(r"[a-z0-9_-]{1,40}"),
            "prompt": or_none(an_object),
        }
    ),
}
REPORTS: dict[str, Shape] = {
    "ready": Shape({}),
    "mask": Shape({**_TICKET, "rating": or_none(number(0, 1))}, (0, 1)),
    "failed": Shape({**_TICKET, "error": an_object}),
}


class Pictures:
    """The pictures seen last, ready to be asked about."""

    def __init__(self, embed: Embed, blobs: BlobStore) -> None:
        self._embed = embed
        self._blobs = blobs
        self._kept: OrderedDict[tuple[str, str], Ask] = OrderedDict()

    def get(self, image: str, profile: str) -> Ask:
        """Raises UnoccludeError where the image is not there, or is none."""
        key = image, profile
        if key not in self._kept:
            try:
                file = self._blobs.read(image)
            except FileNotFoundError:
                raise make_error("not_found", "The backend does not have this image.", "Send it along.") from None
            self._kept[key] = self._embed(file, profile)
            while len(self._kept) > KEPT_IMAGES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def serve(orders: Orders) -> None:
    """Answer clicks until the broker goes."""
    pictures = Pictures(orders.load_runner(), BlobStore(Path(orders.home)))
    socket = orders.connect()
    socket.send_multipart(encode("ready", {}))
    while True:
        order = decode(socket.recv_multipart(), ORDERS).fields
        ticket = {"ticket": order["ticket"]}
        try:
            ask = pictures.get(order["image"], order["profile"])
            if order["prompt"] is None:
                report = encode("mask", {**ticket, "rating": None})
            else:
                mask, rating = ask(JobSpec.from_json({"prompt": order["prompt"]}).prompt)
                report = encode("mask", {**ticket, "rating": round(min(max(rating, 0.0), 1.0), 4)}, [as_png(mask)])
        except UnoccludeError as error:
            report = encode("failed", {**ticket, "error": error_to_json(error)})
        except Exception as error:
            traceback.print_exc()
            what = f"The segmentation failed ({type(error).__name__}: {error})."
            cure = "See segmenter.log in the backend's home folder."
            report = encode("failed", {**ticket, "error": error_to_json(make_error("internal", what, cure))})
        socket.send_multipart(report)


def as_png(mask: Mask) -> bytes:
    """(H, W) bool to an 8-bit grey PNG file of 0 and 255."""
    from PIL import Image as PilImage

    file = io.BytesIO()
    PilImage.fromarray(mask).convert("L").save(file, "PNG", compress_level=1)  # an artist waits for it
    return file.getvalue()


if __name__ == "__main__":
    serve(Orders.take())
