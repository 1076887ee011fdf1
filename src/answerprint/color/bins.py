"""Bins of color histograms: CIELAB in 8-bit codes, 16 of them to a bin, the axes spread to use the bins."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

BINS = 16  # per color axis


def features(picture: Picture) -> Picture:
    """Bins of every pixel: (H, W, 3) R'G'B' uint8 to CIELAB in 16ths of a bin, axes spread to use the bins."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int16)
    lab[..., 1:] = (lab[..., 1:] - 128) * 2 + 128
    result: Picture = lab.clip(0, 255).astype(np.uint8)
    return result
