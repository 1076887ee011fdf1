"""Trains the deinterlacer: five moments of progressive clips become five fields, and their PSNR is raised.

Half of the pieces are clips as they were shot; the others are stills seen by a moving camera, some with a second still
in front that moves otherwise, some standing still to the last bit, many with lettering over them. Some are dark, some
are noisy, some end after the middle field as shots do, some repeat pictures or change in brightness as old films on
tape do, some end where the picture ends, with a last line that is darker. On a share of the steps (`--again`) the
network goes over what it makes itself of the moments around. Its inputs are made by the code of the operation
(nets/deinterlace.py).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from answerprint.nets.deinterlace import Config, Deinterlacer, first_inputs, refinement_inputs
from answerprint.train import degrade
from answerprint.train.data import Library, to_pictures
from answerprint.train.losses import decibels
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation

MOMENTS = 5
AGAIN = 2  # times that it goes over what it made, at most
FINE = 3e-6  # mean squared error, at 55 dB, from which on less matters little
INPUTS = ("field", "before", "after", "earlier", "later", "came", "goes", "guess", "again")


class Params(Training):
    """Options of the run."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(2e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Pieces a step.")
    crop: int = Field(96, ge=32, multiple_of=32, description="Side of a piece in pixels.")
    margin: int = Field(32, ge=0, multiple_of=4, description="Pixels around a piece in which motion is looked for too.")
    again: float = Field(0.7, ge=0, le=1, description="Share of steps on going over what was made.")
    twice: float = Field(0.35, ge=0, le=1, description="Share of these on going over it twice.")
    shot: float = Field(0.6, ge=0, le=1, description="Share of pieces whose motion is the clip's own.")
    still: float = Field(0.25, ge=0, le=1, description="Share of the others in which nothing moves.")
    fastest: float = Field(8.0, ge=0, le=64, description="Fastest camera over a still, in pixels from field to field.")
    lettered: float = Field(0.2, ge=0, le=1, description="Share of pieces with lettering over them.")
    dark: float = Field(0.3, ge=0, le=1, description="Share of pieces made darker and flatter, as shadows are.")
    noisy: float = Field(0.15, ge=0, le=1, description="Share of pieces with noise.")
    repeated: float = Field(
        0.2, ge=0, le=1, description="Share of pieces in which some moments are shown twice or more."
    )
    uneven: float = Field(0.08, ge=0, le=1, description="Share of pieces whose light is uneven from moment to moment.")
    edge: float = Field(0.2, ge=0, le=1, description="Share of steps on the lowest lines of pictures.")
    widths: tuple[int, ...] = Field((32, 48, 64), description="Channels at 1, 1/2, 1/4 of the folded field's size.")
    down: tuple[int, ...] = Field((1, 1, 1), description="Convolutions of each stage going down.")
    up: tuple[int, ...] = Field((1, 1), description="Convolutions of each stage going up.")
    validation_samples: int = Field(64, ge=1, description="Pieces of a validation.")
    scales: tuple[float, ...] = Field((1.0, 0.6), description="Sizes at which each clip is used.")


SHIPS = "deinterlacer"
TINY = {"widths": (8, 8, 8)}


def networks(params: Params) -> Networks:
    config = Config(told="differences", widths=params.widths, down=params.down, up=params.up)
    return {"deinterlacer": Deinterlacer(config)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    lowest = rng.random() < params.edge
    if rng.random() < params.again:
        count = _moments_for(AGAIN if rng.random() < params.twice else 1)
        moments = torch.stack([_moments(params, rng, data, count, lowest=lowest) for _ in range(params.batch)])
        return {"moments": moments, "missing": _inner(moments[:, count // 2, :, 1::2], params.crop, lowest=lowest)}
    samples = []
    for _ in range(params.batch):
        moments = _moments(params, rng, data, MOMENTS, lowest=lowest)
        planes = (*first_inputs(list(moments)), moments[MOMENTS // 2][:, 1::2])
        samples.append([_inner(plane, params.crop, lowest=lowest) for plane in planes])
    return {
        name: torch.stack(parts) for name, parts in zip((*INPUTS, "missing"), zip(*samples, strict=True), strict=True)
    }


def step(nets: Networks, batch: Batch, update: Update) -> None:
    network, missing = nets["deinterlacer"], batch["missing"]
    if "moments" in batch:
        planes = _after_passes(network, batch["moments"], missing.shape[-1])
    else:
        planes = [batch[name] for name in INPUTS]
    update("deinterlacer", decibels(network(*planes), missing, FINE))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of the missing lines on clips not trained on, made and gone over; beside them the mean of the lines
    above and below.
    """
    rng = np.random.default_rng(0)
    network = nets["deinterlacer"]
    device = next(network.parameters()).device
    count = _moments_for(AGAIN)
    moving = data.longer(count)
    pieces = torch.stack(
        [to_pictures(moving.crop(rng, 128, count, turned=False)) for _ in range(params.validation_samples)]
    )
    errors_by_piece = []
    for some in torch.split(pieces, 8):
        ways = [
            _after_passes(network, _middle(some, _moments_for(times)).to(device), 128) for times in range(AGAIN + 1)
        ]
        lines = [network(*planes) for planes in ways]
        errors_by_piece.append([part.cpu() for part in (ways[0][0], ways[0][INPUTS.index("guess")], *lines)])
    field, doubled, *passes = (torch.cat(parts) for parts in zip(*errors_by_piece, strict=True))
    truth = pieces[:, count // 2, :, 1::2]
    names = ["in space", "psnr", *(f"again {times}" for times in range(1, AGAIN + 1))]
    figures = {name: _psnr(lines, truth) for name, lines in zip(names, (doubled, *passes), strict=True)}
    rows = [_woven(field, lines)[:8] for lines in (doubled, *passes, truth)]
    return Validation(sum(list(figures.values())[1:]) / (AGAIN + 1), figures, rows)


def _moments_for(times: int) -> int:
    """Moments that so many further passes need."""
    return MOMENTS + 2 * times


def _middle(moments: Tensor, count: int) -> Tensor:
    off = (moments.shape[1] - count) // 2
    return moments[:, off : off + count]


@torch.no_grad()
def _after_passes(network: nn.Module, moments: Tensor, crop: int) -> list[Tensor]:
    """Inputs of the network for its last pass, after as many passes as there are moments for.

    Args:
        network: as it is now.
        moments: (B, T, 3, S, S), or lower than wide where they end with the picture.
        crop: side of what is returned; half of what there is beyond it is made too, so that motion finds it.
    """
    side = crop + (moments.shape[-1] - crop) // 4 * 2
    last_pass: list[Tensor] = []
    for around in range((moments.shape[1] - MOMENTS) // 2, 0, -1):
        now = []
        for place in range(2 * around + 1):
            # Every other moment has the other field: turned over, it is the top one.
            turned = (place - around) % 2 == 1
            moments_in = [
                _middle(moments, _moments_for(around))[:, place : place + MOMENTS],
                *last_pass[place : place + 3],
            ]
            planes = _network_inputs(*(part.flip(-2) for part in moments_in) if turned else moments_in, side=side)
            whole = _woven(planes[0], network(*planes).float())
            now.append(whole.flip(-2) if turned else whole)
        last_pass = now
    lowest = moments.shape[-2] < moments.shape[-1]
    return [
        _inner(plane, crop, lowest=lowest)
        for plane in _network_inputs(_middle(moments, MOMENTS), *last_pass, side=side)
    ]


def _network_inputs(moments: Tensor, *last_pass: Tensor, side: int) -> list[Tensor]:
    """Inputs of the network, for moments (B, 5, 3, S, S) and the pictures of the last pass in their middle."""
    if last_pass:
        inner = _inner(moments, side, whole=True)
        parts = [refinement_inputs(list(five), three) for five, *three in zip(inner, *last_pass, strict=True)]
    else:
        parts = [first_inputs(list(five)) for five in moments]
    return [_inner(torch.stack(planes), side).to(moments.device) for planes in zip(*parts, strict=True)]


def _inner(planes: Tensor, side: int, *, whole: bool = False, lowest: bool = False) -> Tensor:
    """The middle of lines of a field, or of whole pictures, `side` pixels wide; of the lowest lines where told so."""
    height, width = planes.shape[-2:]
    tall = side if whole else side // 2
    top, left = (height - tall) // (1 if lowest else 2), (width - side) // 2
    return planes[..., top : top + tall, left : left + side]


def _moments(params: Params, rng: np.random.Generator, data: Library, count: int, *, lowest: bool) -> Tensor:
    """Successive pictures, (count, 3, S, S); without a margin below where their end is the picture's."""
    if rng.random() < params.shot:
        moments = to_pictures(data.longer(count).crop(rng, _side(params), count, turned=False))
    else:
        moments = _composed_moments(params, rng, data, count)
    if rng.random() < params.lettered:
        rolls = rng.random() < 0.2
        speed = (float(rng.integers(-3, 4)), float(rng.integers(-6, 7))) if rolls else (0.0, 0.0)
        moments = degrade.lettering(moments, rng, speed)
    if rng.random() < params.repeated:
        # Film at another rate than its tape's: now and then, or every other time, the picture before comes again.
        goes_on = rng.random(count - 1) >= rng.choice((0.2, 0.5))
        moments = moments[torch.from_numpy(np.concatenate(([0], np.cumsum(goes_on))))]
    if rng.random() < params.uneven:
        moments = moments * torch.from_numpy(1 - 0.1 * rng.random((count, 1, 1, 1)) * rng.random()).float()
    if rng.random() < params.dark:
        gain = rng.uniform(0.08, 0.8)
        moments = moments * gain + rng.uniform(0, 1 - gain) * float(rng.random() < 0.5)
    if rng.random() < params.noisy:
        moments = degrade.gaussian(moments, 0.03 * rng.random(), rng)
    if rng.random() < 0.04:
        # At the ends of a shot the other side stands in.
        later = moments[count // 2 :] if rng.random() < 0.5 else moments[: count // 2 + 1].flip(0)
        moments = torch.cat((later.flip(0), later[1:]))
    return _bottom_edge(params, rng, moments) if lowest else moments


def _bottom_edge(params: Params, rng: np.random.Generator, moments: Tensor) -> Tensor:
    """Pictures that end below; at times their last line, or two, are darker: half covered, or blank."""
    ended = moments[..., : moments.shape[-2] - params.margin, :].clone()
    if rng.random() < 0.6:
        ended[..., -1, :] *= rng.random()
    if rng.random() < 0.15:
        ended[..., -2:, :] *= rng.random()
    return ended


def _side(params: Params) -> int:
    return params.crop + 2 * params.margin


def _composed_moments(params: Params, rng: np.random.Generator, data: Library, count: int) -> Tensor:
    """A still under a moving camera, at times with a piece of another one passing in front."""
    moments = _camera_moments(params, rng, data, count)
    if rng.random() < 0.35:
        mask = degrade.moving_mask(count, _side(params), _side(params), rng)
        moments = torch.lerp(moments, _camera_moments(params, rng, data, count), mask)
    return moments


def _camera_moments(params: Params, rng: np.random.Generator, data: Library, count: int) -> Tensor:
    # Slow moves are both more common in footage and harder: draw them more often.
    speed = 0.0 if rng.random() < params.still else params.fastest * rng.random() ** 2
    still = to_pictures(data.crop(rng, _side(params) + 32, turned=False))[0]
    return degrade.camera(still, count, _side(params), _side(params), speed, rng)


def _psnr(output: Tensor, truth: Tensor) -> float:
    error = (output.clamp(0, 1) - truth).square().flatten(1).mean(dim=1).clamp(min=1e-8)
    return float((-10 * error.log10()).mean())


def _woven(top: Tensor, bottom: Tensor) -> Tensor:
    """Pictures of their even and odd lines, (B, 3, h, w) each."""
    return torch.stack((top, bottom), dim=3).flatten(2, 3)
