"""The mapping of a shot at any time, applied at full size block by block."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from answerprint.color import spaces
from answerprint.kernels.lowlight import apply_mapping
from answerprint.operations.lowlight.params import PLACES, Findings, Params

Block = tuple[int, int, int, int]


def blocks(height: int, width: int, ratio: int) -> list[Block]:
    """The large picture cut into ratio x ratio blocks, each about as large as the small picture (AEPR 3.3).

    What is done at full size is done block by block: it takes the memory of the small picture, and fits the cache.

    Returns:
        (top, bottom, left, right) of each.
    """
    rows = [height * i // ratio for i in range(ratio + 1)]
    columns = [width * i // ratio for i in range(ratio + 1)]
    return [
        (top, bottom, left, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]


@dataclass(frozen=True, eq=False)
class LowlightMapping:
    """Curves, protection of skin and of colorless shadows, and compensation, as a function of pixels.

    Attributes:
        tables: output per channel for inputs at even steps over 0..1, both ends included, float32 (3, n).
        weights: luma weights of R', G', B'.
        skin: how much skin keeps its hue and is spared from being lifted far above mid tones, 0..1.
        strength: 0 leaves the picture, 1 maps it.
        chroma_floor: signal level below which color is noise and is lifted as gray; from twice this on it is itself.
    """

    tables: npt.NDArray[np.float32]
    weights: tuple[float, float, float]
    skin: float = 0.0
    strength: float = 1.0
    chroma_floor: float = 0.0

    def apply(self, pixels: Tensor, field: Tensor | None = None, share: float = 1.0, ratio: int = 1) -> Tensor:
        """The mapped picture (3, H, W); pixels that are not finite stay.

        Args:
            pixels: (3, H, W), 1 is diffuse white.
            field: color level compensation (3, h, w) over the whole picture; None is none.
            share: how much of it, 0..1.
            ratio: the work is cut into ratio x ratio blocks.
        """
        source = np.ascontiguousarray(pixels.detach().cpu().numpy())
        field_values = np.zeros((3, 1, 1), np.float32) if field is None else np.ascontiguousarray(field.cpu().numpy())
        result = np.empty_like(source)
        share = 0.0 if field is None else share
        weights = np.asarray(self.weights, np.float32)

        def work(block: Block) -> None:
            numbers = (self.skin, self.strength, share, self.chroma_floor)
            apply_mapping(source, result, self.tables, weights, field_values, *block, *numbers)

        pieces = blocks(source.shape[1], source.shape[2], ratio)
        if len(pieces) == 1:
            work(pieces[0])
        else:
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                list(pool.map(work, pieces))
        return torch.from_numpy(result).to(pixels.device)


class ShotCurves:
    """The findings of a shot as a mapping at any time."""

    def __init__(self, params: Params, findings: Findings) -> None:
        self.params = params
        self.findings = findings
        self.power = float(np.log(findings.target) / np.log(min(max(findings.curve_mean, 1e-3), 0.999)))
        self._constant = self._mapping(findings.times[0]) if len(findings.times) == 1 else None

    def at(self, time: float, full: bool = False) -> LowlightMapping:
        """The mapping at a time (s from the clip's first frame); at full strength where `full`."""
        mapping = self._constant or self._mapping(time)
        return replace(mapping, strength=1.0) if full else mapping

    def level(self, time: float) -> float:
        """Mean luma (0..1) of the shot at a time (s)."""
        return float(np.interp(time, self.findings.times, self.findings.levels))

    def to_target(self, enhanced: Tensor) -> Tensor:
        """An enhanced picture (3, h, w) at the target's brightness instead of the model's own."""
        return enhanced if self.power == 1 else enhanced.clamp(min=0) ** self.power

    def _mapping(self, time: float) -> LowlightMapping:
        findings, tables = self.findings, []
        place = np.linspace(0, 1, 2049)
        for keys in (findings.red, findings.green, findings.blue):
            heights = np.asarray(keys, np.float64)
            if len(findings.times) > 1:
                inside = min(max(time, findings.times[0]), findings.times[-1])
                heights = PchipInterpolator(findings.times, heights)(inside)
            else:
                heights = heights[0]
            # Cubic in the root of the value, where the points are evenly spaced: no kink in the shadows.
            table = PchipInterpolator(np.sqrt(PLACES), heights)(np.sqrt(place))
            tables.append(np.clip(table, 0, 1) ** self.power)
        return LowlightMapping(
            np.asarray(tables, np.float32),
            spaces.LUMA_709,
            self.params.skin,
            findings.strength,
            self.params.chroma_floor,
        )
