"""A clean plate of every frame: the background behind a target, as frames farther off show it.

Frames some way before and after are warped onto the present one by the background's motion: the camera's, a homography
carried from frame to frame, and what dense flow then finds left of it outside the target, spread to behind the target
(parallax). Background looks there as it does here; a target that goes its own way has left the place, or not come to it
yet, so what no such frame shows is the target. This is the difference matte against a clean plate of the trade, the
plate put together by itself, as in background subtraction under a moving camera (Sheikh, Javed and Kanade 2009).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from answerprint.motion import camera, flow
from answerprint.motion.layers import OUTSIDE, CropWindow, View, misfit, spread

Array = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]

OFFSETS = (-12, -8, -4, 4, 8, 12)  # frames from the present one
_SIDE = 320  # long side of the pictures that the camera is found on
_AWAY = 4.0  # pixels outside the contour from which on a pixel's motion is the background's
_THIN = 2  # times smaller is what dense flow is found on
_USUAL = 0.55  # misfit of background that stands still
_OTHER = 1.2  # misfit from which on a pixel is something else
_STEEP = 2.5  # log odds of a misfit more
_MOST = 3.0  # log odds at the most


class Plates:
    """The clean plates of a shot: its frames, and the camera from each to the next.

    Args:
        pictures: gives a frame, (H, W, 3) uint8, in several threads at once.
        count: how many there are.
    """

    def __init__(self, pictures: Callable[[int], Picture], count: int) -> None:
        self.pictures, self.count = pictures, count
        self._camera = lru_cache(maxsize=None)(self._camera_from)
        self._gray = lru_cache(maxsize=2)(self._small_gray)

    def between(self, first: int, second: int) -> Matrix:
        """Homography (3, 3) that takes points of one frame to where the background has them in another."""
        if second < first:
            return np.asarray(np.linalg.inv(self.between(second, first)))
        matrix: Matrix = np.eye(3)
        for number in range(first, second):
            matrix = self._camera(number) @ matrix
        matrix /= matrix[2, 2]
        return matrix

    def _camera_from(self, number: int) -> Matrix:
        """Homography (3, 3) of the camera from a frame to the next."""
        (here, scale), (there, _) = self._gray(number), self._gray(number + 1)
        matrix = camera.dominant_motion(flow.flow(here, there, "medium")).matrix
        size = np.diag([*scale, 1.0])
        return np.asarray(size @ matrix @ np.linalg.inv(size))

    def _small_gray(self, number: int) -> tuple[Picture, tuple[float, float]]:
        """A frame in gray (h, w), and how many times smaller it is across and down."""
        gray = cv2.cvtColor(self.pictures(number), cv2.COLOR_RGB2GRAY)
        shrink = max(1.0, max(gray.shape) / _SIDE)
        size = (max(1, round(gray.shape[1] / shrink)), max(1, round(gray.shape[0] / shrink)))
        return cv2.resize(gray, size, interpolation=cv2.INTER_AREA), (gray.shape[1] / size[0], gray.shape[0] / size[1])


@dataclass(frozen=True)
class Plate:
    """The clean plate of one frame.

    Attributes:
        plates: those of its shot.
        number: of the frame.
        scale: how much smaller the frame is than the shot's pictures.
    """

    plates: Plates
    number: int
    scale: float = 1.0

    def odds(self, view: View, window: CropWindow, phi: Array, away: Array) -> Array:
        """Log odds (H, W) that a pixel belongs to the target by how it differs from the plate; 0 if not known.

        For the arguments see `misfits`.
        """
        misfits, known = self.misfits(view, window, phi, away)
        return np.where(known, (_STEEP * (misfits - _OTHER)).clip(-_MOST, _MOST), 0).astype(np.float32)

    def misfits(self, view: View, window: CropWindow, phi: Array, away: Array) -> tuple[Array, Mask]:
        """Misfit (H, W) of each pixel to the background behind it, and where (H, W) that is known.

        Args:
            view: the part of the frame that is asked about.
            window: where that part lies.
            phi: (H, W) signed distance of where the target is, roughly.
            away: (2,) x and y that the target moves against the background from this frame to the next, in its pixels.
        """
        least = np.full(phi.shape, np.inf, np.float32)
        for off in OFFSETS:
            if not 0 <= self.number + off < self.plates.count:
                continue
            hidden = _shift(phi, off * away) > -_AWAY
            if not hidden.all():
                misfits = self._misfits_to(self.number + off, view, window, phi)
                misfits[hidden] = np.inf
                np.minimum(least, misfits, out=least)
        known = np.isfinite(least)
        least[~known] = 0
        # Water and leaves never look the same: what differs there must differ by more than they do.
        beyond = known & (phi < -2 * _AWAY)
        usual = float(np.median(least[beyond])) if beyond.any() else _USUAL
        return least * np.float32((_USUAL / max(usual, _USUAL)) ** 2), known

    def away(self, mask: Mask, window: CropWindow) -> Array:
        """(2,) x and y that a target moves against the background from this frame to the next, in its pixels.

        Args:
            mask: (H, W) where the target is, roughly.
            window: where that part of the frame lies.
        """
        number, scale = self.number, self.scale
        other = number + 1 if number + 1 < self.plates.count else number - 1
        if other < 0 or not mask.any():
            return np.zeros(2, np.float32)
        box = tuple(slice(round(side.start * scale), round(side.stop * scale)) for side in window.box)
        here, there = (cv2.cvtColor(self.plates.pictures(at)[box], cv2.COLOR_RGB2GRAY) for at in (number, other))
        vectors = flow.flow(here, there, "medium")
        matrix = self.plates.between(number, other) @ _from(box)
        background = camera.displacement(matrix, (here.shape[0], here.shape[1]))
        background = background - np.array([box[1].start, box[0].start], np.float32)
        target = cv2.resize(mask.astype(np.uint8), here.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        relative = (vectors - background)[target if target.any() else slice(None)].reshape(-1, 2)
        return np.asarray(np.median(relative, axis=0) * ((other - number) / scale), np.float32)

    def _misfits_to(self, other: int, view: View, window: CropWindow, phi: Array) -> Array:
        """Misfits (H, W) of another frame warped onto this one; infinite where it shows nothing."""
        height, width = window.shape
        codes = self.plates.pictures(other)
        matrix = self.plates.between(self.number, other) @ np.diag([self.scale, self.scale, 1.0]) @ _from(window.box)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped_frame = cv2.warpPerspective(codes, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        small = (max(16, width // _THIN), max(16, height // _THIN))
        here, there = (
            cv2.resize(one, small, interpolation=cv2.INTER_AREA)
            for one in (view.gray, cv2.cvtColor(warped_frame, cv2.COLOR_RGB2GRAY))
        )
        residual = flow.flow(here, there, "medium")
        outside = cv2.resize(((-phi - _AWAY) / 2).clip(0, 1), small, interpolation=cv2.INTER_AREA)
        fits = np.exp(-0.1 * cv2.absdiff(here, flow.warp(there, residual)).astype(np.float32))
        vectors = flow.resized(spread(residual, (outside * (0.02 + fits) + 1e-6).astype(np.float32)), width, height)
        result = misfit(view, cv2.GaussianBlur(flow.warp(warped_frame, vectors), (0, 0), 0.6).astype(np.float32))
        coverage = cv2.warpPerspective(np.full(codes.shape[:2], 255, np.uint8), matrix, (width, height), flags=flags)
        hidden = (flow.warp(coverage, vectors, 0) < 255).astype(np.uint8)
        result[cv2.dilate(hidden, np.ones((9, 9), np.uint8)) > 0] = np.inf
        return result


def _from(box: tuple[slice, ...]) -> Matrix:
    """Translation (3, 3) that takes points of a part of a picture to where they are in the whole."""
    return np.asarray([[1, 0, box[1].start], [0, 1, box[0].start], [0, 0, 1]], np.float64)


def _shift(phi: Array, by: Array) -> Array:
    """A signed distance (H, W) shifted by x and y in pixels."""
    turn = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    result: Array = cv2.warpAffine(phi, turn, phi.shape[::-1], borderValue=OUTSIDE)
    return result
