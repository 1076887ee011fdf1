"""Trains the deinterlacer: five moments of progressive clips become five fields, and their PSNR is raised.

Half of the pieces are clips as they were shot; the others are stills seen by a moving camera, some with a second still
in front that moves otherwise, some standing still to the last bit, many with lettering over them. Some are dark, some
are noisy, some end after the middle field as shots do.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint.nets.deinterlace import Config, Deinterlacer, told
from answerprint.train import degrade
from answerprint.train.data import Library
from answerprint.train.loop import Batch, Networks, Training, Update, Validation
from answerprint.train.losses import decibels

MOMENTS = 5
FINE = 3e-6  # mean squared error, at 55 dB, from which on less matters little
TOLD = ("field", "before", "after", "earlier", "later", "came", "goes")


class Params(Training):
    """All that this run can be told."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(2e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Pieces a step.")
    crop: int = Field(96, ge=32, multiple_of=32, description="Side of a piece in pixels.")
    margin: int = Field(32, ge=0, multiple_of=2, description="Pixels around a piece in which motion is looked for too.")
    shot: float = Field(0.6, ge=0, le=1, description="Share of pieces whose motion is the clip's own.")
    still: float = Field(0.25, ge=0, le=1, description="Share of the others in which nothing moves.")
    fastest: float = Field(8.0, ge=0, le=64, description="Fastest camera over a still, in pixels from field to field.")
    lettered: float = Field(0.2, ge=0, le=1, description="Share of pieces with lettering over them.")
    dark: float = Field(0.3, ge=0, le=1, description="Share of pieces made darker and flatter, as shadows are.")
    noisy: float = Field(0.15, ge=0, le=1, description="Share of pieces with noise.")
    widths: tuple[int, ...] = Field((32, 48, 64), description="Channels at 1, 1/2, 1/4 of the folded field's size.")
    down: tuple[int, ...] = Field((1, 1, 1), description="Convolutions of each stage going down.")
    up: tuple[int, ...] = Field((1, 1), description="Convolutions of each stage going up.")
    looked_at: int = Field(96, ge=1, description="Pieces of a validation.")
    scales: tuple[float, ...] = Field((1.0, 0.6), description="Sizes at which each clip is used.")


SHIPS = "deinterlacer"


def networks(params: Params) -> Networks:
    config = Config(told="differences", widths=params.widths, down=params.down, up=params.up)
    return {"deinterlacer": Deinterlacer(config)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    samples = [_sample(params, rng, data) for _ in range(params.batch)]
    return {
        name: torch.stack(parts) for name, parts in zip((*TOLD, "missing"), zip(*samples, strict=True), strict=True)
    }


def step(nets: Networks, batch: Batch, update: Update) -> None:
    made = nets["deinterlacer"](*(batch[name] for name in TOLD))
    update("deinterlacer", decibels(made, batch["missing"], FINE))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of the missing lines on clips not trained on, beside that of the mean of the lines above and below."""
    rng = np.random.default_rng(0)
    device = next(nets["deinterlacer"].parameters()).device
    moving = data.longer(MOMENTS)
    clean = [_picture(moving.crop(rng, 128, MOMENTS, turned=False)) for _ in range(params.looked_at)]
    planes = [torch.stack(parts) for parts in zip(*(told(list(piece)) for piece in clean), strict=True)]
    batches = zip(*(torch.split(plane, 8) for plane in planes), strict=True)
    made = torch.cat([nets["deinterlacer"](*(part.to(device) for part in parts)).cpu() for parts in batches])
    truth = torch.stack([piece[MOMENTS // 2][:, 1::2] for piece in clean])
    doubled = (planes[0] + torch.cat((planes[0][..., 1:, :], planes[0][..., -1:, :]), dim=2)) / 2
    figures = {"psnr": _psnr(made, truth), "psnr in space": _psnr(doubled, truth)}
    rows = [_woven(planes[0], lines)[:8] for lines in (doubled, made, truth)]
    return Validation(figures["psnr"], figures, rows)


def _sample(params: Params, rng: np.random.Generator, data: Library) -> tuple[Tensor, ...]:
    """What the network is told, and the lines to be made."""
    if rng.random() < params.shot:
        moments = _picture(data.longer(MOMENTS).crop(rng, _side(params), MOMENTS, turned=False))
    else:
        moments = _staged(params, rng, data)
    if rng.random() < params.lettered:
        rolls = rng.random() < 0.2
        speed = (float(rng.integers(-3, 4)), float(rng.integers(-6, 7))) if rolls else (0.0, 0.0)
        moments = degrade.lettering(moments, rng, speed)
    if rng.random() < params.dark:
        gain = rng.uniform(0.08, 0.8)
        moments = moments * gain + rng.uniform(0, 1 - gain) * float(rng.random() < 0.5)
    if rng.random() < params.noisy:
        moments = degrade.gaussian(moments, 0.03 * rng.random(), rng)
    earlier, before, center, after, later = moments
    if rng.random() < 0.04:
        # At the ends of a shot the other side stands in.
        earlier, before, after, later = (
            (later, after, after, later) if rng.random() < 0.5 else (earlier, before, before, earlier)
        )
    planes = (*told((earlier, before, center, after, later)), center[:, 1::2])
    down, across = params.margin // 2, params.margin
    return tuple(plane[:, down : down + params.crop // 2, across : across + params.crop] for plane in planes)


def _side(params: Params) -> int:
    return params.crop + 2 * params.margin


def _staged(params: Params, rng: np.random.Generator, data: Library) -> Tensor:
    """A still under a moving camera, at times with a piece of another one passing in front."""
    moments = _seen(params, rng, data)
    if rng.random() < 0.35:
        mask = degrade.moving_mask(MOMENTS, _side(params), _side(params), rng)
        moments = torch.lerp(moments, _seen(params, rng, data), mask)
    return moments


def _seen(params: Params, rng: np.random.Generator, data: Library) -> Tensor:
    # Slow moves are both more common in footage and harder: draw them more often.
    speed = 0.0 if rng.random() < params.still else params.fastest * rng.random() ** 2
    still = _picture(data.crop(rng, _side(params) + 32, turned=False))[0]
    return degrade.camera(still, MOMENTS, _side(params), _side(params), speed, rng)


def _picture(crop: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """(T, H, W, 3) codes to (T, 3, H, W) in 0..1."""
    return torch.from_numpy(crop).permute(0, 3, 1, 2).float() / 255


def _psnr(made: Tensor, truth: Tensor) -> float:
    error = (made.clamp(0, 1) - truth).square().flatten(1).mean(dim=1).clamp(min=1e-8)
    return float((-10 * error.log10()).mean())


def _woven(top: Tensor, bottom: Tensor) -> Tensor:
    """Pictures of their even and odd lines, (B, 3, h, w) each."""
    return torch.stack((top, bottom), dim=3).flatten(2, 3)
