"""The matte of a frame at full size, and the frame as it is delivered with it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import torch

from answerprint.frame import Frame
from answerprint.operations.cutout import levelset, matting
from answerprint.operations.cutout.params import Params

Array = npt.NDArray[np.float32]

_THIN_BAND = 2.0  # half-width of the soft band of what is thin, in pixels of the working size


def matte_of(frame: Frame, planes: Array, params: Params) -> Array:
    """The finished matte (H, W) of a frame, 0..1.

    Args:
        frame: the frame.
        planes: (1 or 2, h, w) signed distances at the working size: of the areas, of the thin parts.
        params: of the edge.
    """
    size, scale = (frame.width, frame.height), frame.width / planes.shape[-1]
    picture = _picture(frame)
    mattes = []
    # What is thin has a narrow band: the filter would find its color in all that lies about it. None of it lies deeper
    # than the band is wide, and without what is surely the target closed form has nothing to go by.
    thin = "guided" if params.edge == "closed-form" else params.edge
    edges = ((params.edge, params.band), (thin, min(params.band, _THIN_BAND * scale)))
    for phi, (edge, band) in zip(planes, edges, strict=False):
        full = phi
        if (phi.shape[1], phi.shape[0]) != size:
            full = cv2.resize(phi, size, interpolation=cv2.INTER_CUBIC) * np.float32(scale)
        if params.grow:
            full = levelset.signed_distance(full > 0) + np.float32(params.grow)
        mattes.append(_soften(picture, full, edge, band))
    matte = np.maximum.reduce(mattes)
    if params.feather:
        matte = cv2.GaussianBlur(matte, (0, 0), params.feather / 2)
    return np.ascontiguousarray(matte.clip(0, 1))


def _soften(picture: Array, phi: Array, edge: str, band: float) -> Array:
    if edge == "hard" or band < 1:
        return matting.hard(phi)
    if edge == "closed-form":
        return matting.closed_form(picture, levelset.signed_distance(phi > 0), band)
    return matting.guided(picture, phi, band)


def _picture(frame: Frame) -> Array:
    """The frame's picture (H, W, 3), finite everywhere."""
    pixels = frame.pixels.cpu()
    if not bool(pixels.sum().isfinite()):  # a sum is, only where all are
        pixels = pixels.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    result: Array = cv2.merge(list(pixels.numpy()))
    return result


def deliver(frame: Frame, matte: torch.Tensor, params: Params) -> Frame:
    """The frame as `deliver` asks: its picture replaced by the matte, its alpha set, or only its matte.

    Args:
        frame: the frame.
        matte: (1, H, W) in 0..1.
        params: of the delivery.
    """
    if params.deliver == "keep":
        return replace(frame, matte=matte)
    if params.deliver == "matte":
        return replace(frame.with_pixels(matte.expand(3, -1, -1).contiguous()), matte=matte, alpha=None)
    pixels = frame.pixels
    if params.decontaminate:
        own = matting.foreground(_picture(frame), matte[0].cpu().numpy())
        own_pixels = torch.from_numpy(np.ascontiguousarray(own.transpose(2, 0, 1))).to(pixels.device)
        pixels = torch.where((matte > 0) & (matte < 1), own_pixels, pixels)
    share = matte if frame.alpha is None else matte * frame.alpha
    if params.alpha == "premultiplied":
        pixels = torch.where(share < 1, pixels * share, pixels)
    associated = None if params.alpha == "auto" else params.alpha == "premultiplied"
    return replace(frame.with_pixels(pixels), matte=matte, alpha=share, associated=associated)
