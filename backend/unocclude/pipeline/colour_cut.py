"""A rough mask drawn to the edge of the colours: GrabCut (Rother et al. 2004), by OpenCV.

A small network knows roughly where a thing is, but not where it ends; its colours and its background's do.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from unocclude.pipeline.types import Image, Mask

WORKING_SIZE = 128
"""Pixels of the longer side. Twice as many cost four times the time and gain nothing on procedural scenes."""
ROUNDS = 3
SURE_OBJECT, SURE_BACKGROUND = 0.97, 0.1
"""The network is believed where it is this sure of either. Chosen on procedural scenes."""
CLICK_RADIUS = 2
LEAST_SHARE = 0.1
"""Of the network's mask. Colours that leave less of it have mistaken the object for its background."""


def cut_by_colour(
    picture: Image,
    likelihood: NDArray[np.float32],
    positives: NDArray[np.floating],
    negatives: NDArray[np.floating],
    box: NDArray[np.floating] | None = None,
) -> Mask:
    """(h, w), the longer side WORKING_SIZE: what belongs to the object.

    `likelihood` (H, W) in [0, 1] is the network's opinion of `picture` (H, W, 3). Clicks (N, 2) are taken as certain,
    and nothing outside a box (left, top, right, bottom) belongs to the object, all in pixels of `picture`. Where the
    colours would leave hardly anything of the object, the opinion stands.
    """
    height, width = likelihood.shape
    scale = WORKING_SIZE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    opinion = cv2.resize(likelihood, size, interpolation=cv2.INTER_AREA)
    labels = np.where(opinion > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[opinion > SURE_OBJECT] = cv2.GC_FGD
    labels[opinion < SURE_BACKGROUND] = cv2.GC_BGD
    if box is not None:
        left, top, right, bottom = box * scale
        rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
        labels[(rows < top) | (rows > bottom) | (columns < left) | (columns > right)] = cv2.GC_BGD
    for places, label in ((positives, cv2.GC_FGD), (negatives, cv2.GC_BGD)):
        for x, y in places * scale:
            cv2.circle(labels, (int(x), int(y)), CLICK_RADIUS, int(label), -1)
    mixtures = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.setRNGSeed(0)  # its clusters of colours begin at random
        cv2.grabCut(small, labels, (0, 0, 0, 0), *mixtures, ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # of the object or of its background there is too little to have colours
        return np.asarray(opinion > 0.5)
    cut: Mask = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return cut if cut.sum() > LEAST_SHARE * (opinion > 0.5).sum() else np.asarray(opinion > 0.5)
