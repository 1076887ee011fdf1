"""Makes pictures larger: SD to HD, UHD and film sizes with its true shape, or by a factor.

How soft a shot is, across and down, and how noisy is estimated from pieces of its frames and can be edited. A picture
is enlarged by two or four through the exact inverse of that blur, and a network adds what is left (nets/upscale.py).
The result is mapped to its place by spans that may begin between pixels (`geometry.py`), so what lay at a place lies
there after. SD that becomes larger than its standard gets the primaries and the matrix of BT.709.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from answerprint.color import spaces
from answerprint.errors import SettingsError
from answerprint.filters.resample import Axis, Span, resample
from answerprint.frame import ColorTags, Frame, Shot
from answerprint.operations.upscale import softness
from answerprint.operations.upscale.enlarge import Enlarger, enlarger, needs_network, network_name
from answerprint.operations.upscale.geometry import Geometry, geometry, is_sd
from answerprint.operations.upscale.params import Findings as Findings
from answerprint.operations.upscale.params import Params as Params

HANDLES = 0
COST = 3.0
OWN = ("finite", "matte")  # the result has other pixels; a matte grows with them

_SD_LINES = 576  # above which a picture is no SD (BT.709 applies)


def networks(params: Params) -> tuple[str, ...]:
    """Weights that `run` may take."""
    if params.quality == "plain" or params.model != "ours":
        return ()
    return tuple(network_name(factor, params) for factor in (2, 4))


def before(params: Params) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Deinterlacing, where it is asked for."""
    return (("deinterlace", {}),) if params.deinterlace else ()


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:
    """How soft the pictures of a shot are, and how they are mapped.

    Raises:
        SettingsError: the shot is interlaced, or becomes too large.
    """
    frame = next(iter(shot.frames(0, 1))).displayed()
    _require_progressive(frame, shot.start)
    mapping = geometry(frame, params)
    words = mapping.words
    if _target_color(frame, mapping, params) != frame.color:
        words += f", {frame.color.primaries} to bt709"
    if params.model != "ours" or not needs_network(mapping.factor, params):
        return Findings(summary=words, note=mapping.note)
    found = softness.estimate((_picture(each, params) for each in shot.samples(softness.FRAMES)), device)
    soft = f"softness {found.across:.2f} px across, {found.down:.2f} px down, sure to {found.unsure:.2f} px"
    return Findings(
        softness_across=found.across,
        softness_down=found.down,
        unsure=found.unsure,
        noise=found.noise,
        summary=f"{soft}; noise {found.noise:.1f} of 255; {words}",
        note=mapping.note,
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Frames of the new size.

    Raises:
        SettingsError: a frame is interlaced.
        WeightsError: weights are missing, or cannot be trusted.
    """

    @lru_cache
    def enlarger_of(ratio: float) -> Enlarger:
        return enlarger(ratio, params, findings, device)

    for frame in frames:
        shown = frame.displayed()
        _require_progressive(shown)
        yield _mapped(shown, params, enlarger_of)


def _picture(frame: Frame, params: Params) -> Tensor:
    """What of a frame's pixels is picture."""
    shown = frame.displayed()
    columns = geometry(shown, params).columns.source
    left, right = round(columns.start), round(columns.start + columns.length)
    return torch.nan_to_num(shown.pixels[:, :, left:right], 0.0, 1.0, 0.0).clamp(0, 1)


def _require_progressive(frame: Frame, number: int | None = None) -> None:
    if frame.field_order in ("tff", "bff"):
        where = f"at {float(frame.time):.3f} s" if number is None else f"{number}"
        raise SettingsError(
            f"frame {where} is interlaced: its fields show different moments; add --deinterlace, or deinterlace first: "
            "answerprint deinterlace INPUT -o OUTPUT"
        )


def _mapped(frame: Frame, params: Params, enlarger_of: Callable[[float], Enlarger]) -> Frame:
    mapping = geometry(frame, params)

    def mapped(planes: Tensor) -> Tensor:
        return resample(planes, mapping.rows, mapping.columns)

    def grown(plane: Tensor | None) -> Tensor | None:
        # Rounding must not make what is opaque a little less so.
        return None if plane is None else (mapped(plane) * (1 + 1e-6)).clamp(0, 1)

    color = _target_color(frame, mapping, params)
    pixels = _converted(torch.nan_to_num(frame.pixels, 0.0, 1.0, 0.0), frame.color, color)
    if needs_network(mapping.factor, params):
        factor, enlarge = enlarger_of(mapping.factor)
        pixels = resample(enlarge(pixels), _times(mapping.rows, factor), _times(mapping.columns, factor))
    else:
        pixels = mapped(pixels)
    depth = None if frame.depth is None else mapped(frame.depth)
    larger = replace(frame.with_pixels(pixels), color=color, sar=mapping.sar)
    return replace(larger, alpha=grown(frame.alpha), matte=grown(frame.matte), depth=depth, tags=None)


def _times(axis: Axis, factor: int) -> Axis:
    """The mapping of an axis that is `factor` times as long before."""
    source = Span(axis.source.start * factor, axis.source.length * factor)
    return Axis(axis.size * factor, source, axis.out, axis.target)


def _target_color(frame: Frame, mapping: Geometry, params: Params) -> ColorTags:
    """The color of the result: that of BT.709 for SD that becomes larger than SD."""
    if params.colors == "keep" or not is_sd(frame) or params.size is None or mapping.rows.out <= _SD_LINES:
        return frame.color
    matrix = "bt709" if frame.color.matrix in ("smpte170m", "bt470bg") else frame.color.matrix
    transfer = "bt709" if frame.color.transfer in ("smpte170m", "unknown") else frame.color.transfer
    return replace(frame.color, primaries="bt709", matrix=matrix, transfer=transfer)


def _converted(pixels: Tensor, before: ColorTags, after: ColorTags) -> Tensor:
    """Pixels in other primaries, by linear light."""
    if before.primaries == after.primaries or before.primaries not in spaces.PRIMARIES:
        return pixels
    light = spaces.decode(pixels, before.transfer)
    matrix = torch.linalg.inv(spaces.rgb_to_xyz_matrix(after.primaries)) @ spaces.rgb_to_xyz_matrix(before.primaries)
    return spaces.encode(torch.einsum("ij,jhw->ihw", matrix.to(light), light), after.transfer)
