"""The cross section of a wire: its opacity against the distance from its middle.

A wire covers a box as wide as it is; motion while the shutter is open smears it over another box; the lens over a
Gaussian. All three convolved are known in closed form, by the second integral of the Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Values = NDArray[np.float64]

_SHORT = 0.05  # pixels of motion that smear nothing


@dataclass(frozen=True)
class Section:
    """What a wire looks like across.

    Attributes:
        width: in pixels.
        blur: of the lens, deviation in pixels.
        shutter: share of the time between two frames that it is open.
    """

    width: float
    blur: float = 0.6
    shutter: float = 0.5

    def reach(self, motion: float = 0.0) -> float:
        """Pixels from its middle beyond which nothing is left of it, at a motion across of so many pixels a frame."""
        return (self.width + abs(motion) * self.shutter) / 2 + 3 * self.blur

    def opacity(self, distance: Values, motion: Values | float = 0.0, width: Values | float | None = None) -> Values:
        """Opacity 0..1 at distances from the middle.

        Args:
            distance: in pixels, any shape.
            motion: across, in pixels from frame to frame; a number, or one for every distance.
            width: in its place, where it differs along the wire.
        """
        own = self.width if width is None else width
        smear = np.abs(np.asarray(motion, np.float64)) * self.shutter
        narrow = np.maximum(smear, _SHORT)
        half, inner = (own + narrow) / 2, (own - narrow) / 2
        box = self._ramp(distance + half) - self._ramp(distance + inner)
        box -= self._ramp(distance - inner) - self._ramp(distance - half)
        return np.asarray(np.clip(box / narrow, 0, 1))

    def _ramp(self, distance: Values) -> Values:
        """Second integral of the Gaussian."""
        scaled = distance / self.blur
        gauss = np.exp(-0.5 * scaled * scaled) / np.sqrt(2 * np.pi)
        return np.asarray(distance * ndtr(scaled) + self.blur * gauss)
