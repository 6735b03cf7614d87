"""A stand-in for the segmenter: the image's bytes say how it behaves.

The mask of a click at (x, y) has x lit pixels in its first row. Words: `raise` (an error for people), `fault` (an error
of the program), `crash-once` (the process ends at its first click), `pause=0.5` (seconds for each click).
Each encoding of an image leaves a line in `encoded.txt` of the home folder, where the process runs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from unocclude.errors import InputError
from unocclude.pipeline.types import Mask, Prompt
from unocclude.server.segmenter import Ask


def embed(file: bytes, profile: str) -> Ask:
    words = file.decode().split()
    options = dict(word.split("=") for word in words if "=" in word)
    with Path("encoded.txt").open("a") as log:
        log.write(f"{profile} {file.decode()}\n")

    def ask(prompt: Prompt) -> tuple[Mask, float]:
        time.sleep(float(options.get("pause", 0)))
        if "raise" in words or not prompt.points:
            raise InputError("No object was found there.", "Click nearer.")
        if "fault" in words:
            raise ZeroDivisionError("by accident")
        if "crash-once" in words and not Path("crashed").exists():
            Path("crashed").touch()
            os.abort()
        mask = np.zeros((32, 64), bool)
        mask[0, : int(prompt.points[0][0])] = True
        return mask, 0.75

    return ask


def dies(file: bytes, profile: str) -> Ask:
    os._exit(4)
