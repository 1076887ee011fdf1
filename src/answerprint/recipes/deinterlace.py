"""Trains the deinterlacer: five moments of progressive clips become five fields; L1 to the lines left out.

Half of the pieces are clips as they were shot; the others are stills seen by a moving camera, some with a second still
in front that moves otherwise, some standing still to the last bit, many with lettering over them. Some are noisy, some
end after the middle field as shots do.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.nets.deinterlace import Config, Deinterlacer, fields
from answerprint.train import degrade
from answerprint.train.data import Library
from answerprint.train.loop import Batch, Networks, Training, Update, Validation

MOMENTS = 5


class Params(Training):
    """All that this run can be told."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(2e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Pieces a step.")
    crop: int = Field(96, ge=32, multiple_of=32, description="Side of a piece in pixels.")
    shot: float = Field(0.6, ge=0, le=1, description="Share of pieces whose motion is the clip's own.")
    still: float = Field(0.25, ge=0, le=1, description="Share of the others in which nothing moves.")
    fastest: float = Field(8.0, ge=0, le=64, description="Fastest camera over a still, in pixels from field to field.")
    lettered: float = Field(0.2, ge=0, le=1, description="Share of pieces with lettering over them.")
    noisy: float = Field(0.15, ge=0, le=1, description="Share of pieces with noise.")
    widths: tuple[int, ...] = Field((32, 48, 64), description="Channels at 1, 1/2, 1/4 of the folded field's size.")
    down: tuple[int, ...] = Field((1, 1, 1), description="Convolutions of each stage going down.")
    up: tuple[int, ...] = Field((1, 1), description="Convolutions of each stage going up.")
    looked_at: int = Field(96, ge=1, description="Pieces of a validation.")
    scales: tuple[float, ...] = Field((1.0, 0.6), description="Sizes at which each clip is used.")


SHIPS = "deinterlacer"


def networks(params: Params) -> Networks:
    return {"deinterlacer": Deinterlacer(Config(widths=params.widths, down=params.down, up=params.up))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    samples = [_sample(params, rng, data) for _ in range(params.batch)]
    names = ("field", "before", "after", "earlier", "later", "missing")
    return {name: torch.stack(parts) for name, parts in zip(names, zip(*samples, strict=True), strict=True)}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    made = nets["deinterlacer"](*(batch[name] for name in ("field", "before", "after", "earlier", "later")))
    update("deinterlacer", F.l1_loss(made, batch["missing"]))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of the missing lines on clips not trained on, beside that of the mean of the lines above and below."""
    rng = np.random.default_rng(0)
    device = next(nets["deinterlacer"].parameters()).device
    moving = data.longer(MOMENTS)
    clean = [_picture(moving.crop(rng, 128, MOMENTS, turned=False)) for _ in range(params.looked_at)]
    told = [torch.stack(parts) for parts in zip(*(fields(list(piece)) for piece in clean), strict=True)]
    batches = zip(*(torch.split(part, 8) for part in told), strict=True)
    made = torch.cat([nets["deinterlacer"](*(part.to(device) for part in parts)).cpu() for parts in batches])
    truth = torch.stack([piece[MOMENTS // 2][:, 1::2] for piece in clean])
    doubled = (told[0] + torch.cat((told[0][..., 1:, :], told[0][..., -1:, :]), dim=2)) / 2
    figures = {"psnr": _psnr(made, truth), "psnr in space": _psnr(doubled, truth)}
    rows = [_woven(told[0], lines)[:8] for lines in (doubled, made, truth)]
    return Validation(figures["psnr"], figures, rows)


def _sample(params: Params, rng: np.random.Generator, data: Library) -> tuple[Tensor, ...]:
    """The five fields, and the lines to be made."""
    if rng.random() < params.shot:
        moments = _picture(data.longer(MOMENTS).crop(rng, params.crop, MOMENTS, turned=False))
    else:
        moments = _staged(params, rng, data)
    if rng.random() < params.lettered:
        rolls = rng.random() < 0.2
        speed = (float(rng.integers(-3, 4)), float(rng.integers(-6, 7))) if rolls else (0.0, 0.0)
        moments = degrade.lettering(moments, rng, speed)
    if rng.random() < params.noisy:
        moments = degrade.gaussian(moments, 0.03 * rng.random(), rng)
    field, before, after, earlier, later = fields(list(moments))
    if rng.random() < 0.04:
        # At the ends of a shot the other side stands in.
        before, earlier = (after, later) if rng.random() < 0.5 else (before, earlier)
        after, later = before, earlier
    return field, before, after, earlier, later, moments[MOMENTS // 2][:, 1::2]


def _staged(params: Params, rng: np.random.Generator, data: Library) -> Tensor:
    """A still under a moving camera, at times with a piece of another one passing in front."""
    moments = _seen(params, rng, data)
    if rng.random() < 0.35:
        mask = degrade.moving_mask(MOMENTS, params.crop, params.crop, rng)
        moments = torch.lerp(moments, _seen(params, rng, data), mask)
    return moments


def _seen(params: Params, rng: np.random.Generator, data: Library) -> Tensor:
    # Slow moves are both more common in footage and harder: draw them more often.
    speed = 0.0 if rng.random() < params.still else params.fastest * rng.random() ** 2
    still = _picture(data.crop(rng, params.crop + 32, turned=False))[0]
    return degrade.camera(still, MOMENTS, params.crop, params.crop, speed, rng)


def _picture(crop: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """(T, H, W, 3) codes to (T, 3, H, W) in 0..1."""
    return torch.from_numpy(crop).permute(0, 3, 1, 2).float() / 255


def _psnr(made: Tensor, truth: Tensor) -> float:
    error = (made.clamp(0, 1) - truth).square().flatten(1).mean(dim=1).clamp(min=1e-8)
    return float((-10 * error.log10()).mean())


def _woven(top: Tensor, bottom: Tensor) -> Tensor:
    """Pictures of their even and odd lines, (B, 3, h, w) each."""
    return torch.stack((top, bottom), dim=3).flatten(2, 3)
