"""Wires found in a picture: long thin ridges, darker or lighter than both their sides."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from answerprint.motion.wires import fit, measure, track
from answerprint.motion.wires.evidence import Array

Points = NDArray[np.float64]
Codes = NDArray[np.uint8]

MOST = 8  # wires of a picture that are listed
_KERNEL = 9  # pixels: what is wider is no wire
_FAINT, _NOISY = 8.0, 5.0  # codes of 8 bits, and median deviations, that a ridge must stand out by
_SHARE = 0.25  # of the picture's shorter side that a wire is long, at least
_GAP = 0.03  # of it, that may be missing
_NEAR, _TURN = 6.0, 3.0  # pixels and degrees within which two lines are one
_LOOKS = 0.55  # of the course must look like a wire


def find(picture: Array) -> list[Points]:
    """Lines (2, 2) along the wires of a picture (H, W, 3), the surest first."""
    candidates = _straight(picture)
    scored = []
    for line in candidates:
        wire, look = track.begin(picture, line, None)
        quality, seen = fit.judged(picture, wire.points, look, 0.0)
        width = measure.rough_width(picture, wire.points)
        if quality >= _LOOKS and seen > 0.3 and width < _KERNEL:
            scored.append((quality * seen * float(np.hypot(*(line[1] - line[0]))), line))
    scored.sort(key=lambda pair: -pair[0])
    return [line for _, line in scored[:MOST]]


def _straight(picture: Array) -> list[Points]:
    """Straight ridges of a picture, the longest first, none of them twice."""
    gray = cv2.GaussianBlur(cv2.cvtColor(np.asarray(picture, np.float32), cv2.COLOR_RGB2GRAY) * 255, (0, 0), 0.8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_KERNEL, _KERNEL))
    short = min(gray.shape)
    lines: list[Points] = []
    for how in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        ridge = cv2.morphologyEx(gray, how, kernel)
        least = max(_FAINT, _NOISY * float(np.median(ridge)))
        marks: Codes = np.asarray(_thin(ridge, least).astype(np.uint8))
        found = cv2.HoughLinesP(
            marks, 1, np.pi / 360, max(30, int(0.6 * _SHARE * short)),
            minLineLength=_SHARE * short, maxLineGap=max(6.0, _GAP * short),
        )  # fmt: skip
        lines += [] if found is None else [each.reshape(2, 2).astype(np.float64) for each in found]
    lines.sort(key=lambda line: -float(np.hypot(*(line[1] - line[0]))))
    kept: list[Points] = []
    for line in lines:
        if len(kept) < 4 * MOST and not any(is_same(line, other) for other in kept):
            kept.append(line)
    return kept


def _thin(ridge: Array, least: float) -> NDArray[np.bool_]:
    """Where a ridge is highest across: a texture of specks has few such pixels in a row."""
    across = cv2.dilate(ridge, np.ones((1, 3))) == ridge
    down = cv2.dilate(ridge, np.ones((3, 1))) == ridge
    return np.asarray((ridge > least) & (across | down))


def is_same(line: Points, other: Points) -> bool:
    """Whether a line lies along another."""
    ahead = other[1] - other[0]
    ahead = ahead / max(float(np.hypot(*ahead)), 1e-9)
    own = line[1] - line[0]
    own = own / max(float(np.hypot(*own)), 1e-9)
    turn = np.degrees(np.arccos(np.clip(abs(float(own @ ahead)), 0, 1)))
    away = np.abs((line - other[0]) @ np.array([-ahead[1], ahead[0]]))
    return bool(turn < _TURN and away.max() < 2 * _NEAR and away.min() < _NEAR)
