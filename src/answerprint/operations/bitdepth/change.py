"""The change of a frame: blocks, bands and chroma within their bounds, and what a network adds before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from answerprint.coding import codes
from answerprint.coding.codes import Plane
from answerprint.color import spaces
from answerprint.frame import ColorTags, Frame
from answerprint.nets import bitdepth as bitdepth_net
from answerprint.operations.bitdepth.stored import StoredPlanes, stored_planes

if TYPE_CHECKING:
    from answerprint.operations.bitdepth import Findings


def change(frame: Frame, findings: Findings, learned: Plane | None) -> Plane:
    """The change of R'G'B', float32 (3, H, W).

    Args:
        frame: (3, H, W) with its stored planes, where it has them still.
        findings: of the shot.
        learned: change by a network of Y', Cb, Cr at every pixel in codes, (3, H, W); it comes before the bounds.
    """
    if learned is not None:
        learned = np.stack((findings.learned * learned[0], *(findings.chroma * learned[1:])))
    stored = stored_planes(frame)
    if stored is None or stored[0].form.family == "rgb":
        own = _pixel_change(frame, findings)
        return own if learned is None else own + _rgb(*_scaled(learned, frame.color), frame.color.matrix)
    result: Plane = np.empty(tuple(frame.pixels.shape), np.float32)
    for field, picture in enumerate(stored):
        rows = slice(field, None, len(stored))
        result[:, rows] = _picture_change(picture, findings, None if learned is None else learned[:, rows])
    return result


def _picture_change(stored: StoredPlanes, findings: Findings, learned: Plane | None) -> Plane:
    """The same for a picture, or one of its fields."""
    luma = stored.luma()
    restored = luma if learned is None else luma + learned[0]
    scale, chroma_scale = code_scales(stored.color)
    luma_change = (_smooth(restored, findings) - luma) / scale
    if stored.form.family == "gray":
        gray: Plane = np.stack([luma_change] * 3)
        return gray
    own = (None, None) if learned is None else learned[1:]
    blue, red = (_chroma_change(stored, index, luma, findings, own[index - 1]) / chroma_scale for index in (1, 2))
    return _rgb(luma_change, blue, red, stored.color.matrix)


def _pixel_change(frame: Frame, findings: Findings) -> Plane:
    """The same on R', G' and B', where these are what was stored, or all that is left of it."""
    codes_of_8_bits = frame.pixels.cpu().numpy() * 255
    result = np.stack([_smooth(plane, findings) - plane for plane in codes_of_8_bits]) / 255
    return np.asarray(result, np.float32)


def _scaled(change: Plane, color: ColorTags) -> tuple[Plane, Plane, Plane]:
    """Differences in codes as ones of Y' in 0..1 and Cb, Cr in -1/2..1/2."""
    scale, chroma_scale = code_scales(color)
    return change[0] / scale, change[1] / chroma_scale, change[2] / chroma_scale


def _smooth(plane: Plane, findings: Findings) -> Plane:
    """A plane (H, W) without blocks and bands."""
    calm = codes.deblock(plane, findings.deblock)
    return codes.deband(calm, findings.bound)


def _rgb(luma: Plane, blue: Plane, red: Plane, matrix: str) -> Plane:
    """Differences of Y', Cb, Cr as differences of R', G', B'."""
    result: Plane = np.stack(spaces.from_ycbcr(luma, blue, red, matrix)).astype(np.float32)
    return result


def _chroma_change(stored: StoredPlanes, index: int, luma: Plane, findings: Findings, learned: Plane | None) -> Plane:
    """The change of a plane of chroma at every pixel (H, W), in codes; that of a network comes before the bounds."""
    plane = stored.plane(index)
    height, width = luma.shape
    down = (1 << stored.form.chroma_shift_y, 1 << stored.form.chroma_shift_x)
    restored, bound = plane, findings.bound
    if learned is not None:
        restored = np.add(plane, codes.downsample(learned, plane.shape[0], plane.shape[1], stored.site, down))
        # Chroma is even in most places: by more than rounding, the change by the network would be smoothed away.
        bound = min(bound, bitdepth_net.ROUNDING)
    calm = codes.deband(restored, bound) - restored
    change = calm if down == (1, 1) else codes.upsample(calm, height, width, stored.site, down)
    if learned is not None:
        return change + learned
    if findings.chroma and down != (1, 1) and min(plane.shape) >= 3:
        change = change + findings.chroma * codes.luma_detail(plane, luma, stored.site, down)
    return change


def code_scales(color: ColorTags) -> tuple[np.float32, np.float32]:
    """8-bit codes from black to white, and from one end of chroma to the other."""
    if color.range == "full":
        return np.float32(255), np.float32(255)
    return np.float32(219), np.float32(224)
