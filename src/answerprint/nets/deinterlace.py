"""The deinterlacer: a small U-Net over five fields that makes the lines the middle one lacks, and nothing else.

It works at the size of a field, four pixels of a line folded into channels, so that a frame costs as little as its
lines allow. It sees differences, from what the lines above and below make expect and from what is around: given
brightness as it is, it has to learn first to take one from the other (1.2 dB after the same 600 steps). The fields
beside the present one come twice: as they are, and moved to where things are now by optical flow (`first_inputs`). Each
missing pixel is a mixture of five guesses, in shares that the network gives: the lines above and below, the lines
before and after it in time (what stands still is woven back as it is, and what is shown twice too), and these lines
moved; to that it adds the detail it sees. Only the missing lines are made, as in Zhu et al. 2017 (real-time deep video
deinterlacing).

What it made can be gone over once more by the same network (`refinement_inputs`): then the first guess is the line that
it made before, and the fields beside are the whole pictures that it made of them, moved along what motion whole
pictures show. A field moved by part of a line has to be guessed between its lines, and its own motion is that of
something aliased.

Fields and pictures that are moved get the local brightness of the present one (fields/motion.py): old film changes in
brightness from picture to picture. `Steady` stands around the network and weaves bit for bit what does not move.
Operation and recipe share `first_inputs` and `refinement_inputs`: the network is trained on what it gets in use.

The field that is kept is always told as the top one; a bottom field is turned upside down.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.fields.motion import align_lines, align_pictures
from answerprint.inference import engine, weights
from answerprint.settings import Settings

FOLD = 4
GUESSES = 5
WORTH_COMPILING = 100_000  # pixels of a field
AROUND = 9  # pixels each way over which a field's own brightness is taken off
STILL = 0.5 / 255  # a pixel that changes less than this in two fields either way is woven, whatever the network says


class Config(Settings):
    """Everything needed to build the network again."""

    # Without a default: weights of when it was brightness have the same shapes, and would make nonsense of differences.
    told: Literal["differences"] = Field(description="What the network is told of brightness.")
    widths: tuple[int, ...] = Field((32, 48, 64), description="Channels at 1, 1/2, 1/4 of the folded field's size.")
    down: tuple[int, ...] = Field((1, 1, 1), description="Convolutions of each stage going down.")
    up: tuple[int, ...] = Field((1, 1), description="Convolutions of each stage going up, from the largest size.")


class ResidualStage(nn.Module):
    """Convolutions at one size, each rectified and added to its input."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(count))
        # Begin near the identity: without normalization a stack of full-size branches would not train at this rate.
        with torch.no_grad():
            for step in self.steps:
                step.get_parameter("weight").mul_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = x + F.relu(step(x))
        return x


class Deinterlacer(nn.Module):
    """Five fields in, the missing lines of the middle one out; heights and widths are multiples of `self.multiple`."""

    multiple = 16

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(5 * FOLD + 2 + 6, widths[0], 3, padding=1)
        self.falls = nn.ModuleList(
            ResidualStage(width, count) for width, count in zip(widths, config.down, strict=True)
        )
        self.rises = nn.ModuleList(
            ResidualStage(width, count) for width, count in zip(widths[:-1], config.up, strict=True)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[0], (GUESSES + 1) * FOLD + 2, 3, padding=1)
        # All that differs between making lines and going over lines that were made.
        self.again_in = nn.Parameter(torch.zeros(widths[0]))
        self.again_out = nn.Parameter(torch.zeros((GUESSES + 1) * FOLD + 2))
        with torch.no_grad():
            self.head.weight.mul_(0.1)

    def forward(self, *planes: Tensor) -> Tensor:
        """The lines below those of the middle field.

        Args:
            planes: nine of (B, 3, h, w), R'G'B', in this order:
                field: the lines 0, 2, ... of a picture;
                before, after: lines 1, 3, ... one field earlier and later;
                earlier, later: lines 0, 2, ... two fields earlier and later;
                before, after: those above, warped to where things are now;
                guess: lines 1, 3, ... at first sight: means of those above and below, or those of the last pass;
                again: (B, 1, h, w), 1 where there was a pass before, else 0.

        Returns:
            (B, 3, h, w): lines 1, 3, ... at the moment of `field`.
        """
        field, before, after, earlier, later, came, goes, guess, again = planes
        present, expected, *sides = (_split(part) for part in (field, guess, before, after, came, goes))
        around = _mean(_mean(present[0], (AROUND, 1)), (1, AROUND))
        brightness = torch.cat([present[0] - around, *(side[0] - expected[0] for side in sides)], dim=1)
        change = torch.cat([(_split(part)[0] - present[0]).abs() for part in (earlier, later)], dim=1)
        coarse = torch.cat((change, present[1], sides[2][1], sides[3][1]), dim=1)
        features = torch.cat((_fold(_plain(brightness)), _plain(_coarse(coarse))), dim=1)
        *shares, detail, tint = torch.split(
            self._look(features, _coarse(again)).float(), [FOLD] * (GUESSES + 1) + [2], dim=1
        )
        guesses = (guess, before, after, came, goes)
        parts = torch.unbind(torch.softmax(torch.stack(shares), dim=0))
        mixed = torch.stack([_unfold(part) * guess for part, guess in zip(parts, guesses, strict=True)]).sum(dim=0)
        return mixed + _joined(_unfold(detail), F.interpolate(tint, scale_factor=(1.0, float(FOLD))))

    def _look(self, features: Tensor, again: Tensor) -> Tensor:
        x = F.relu(self.stem(features) + again * self.again_in[:, None, None])
        skips: list[Tensor] = []
        for index, fall in enumerate(self.falls):
            x = fall(x)
            if index < len(self.shrink):
                skips.append(x)
                x = F.relu(self.shrink[index](x))
        for index in reversed(range(len(self.rises))):
            x = self.rises[index](F.relu(F.pixel_shuffle(self.grow[index](x), 2) + skips[index]))
        out: Tensor = self.head(x) + again * self.again_out[:, None, None]
        return out


def _plain(difference: Tensor) -> Tensor:
    """Small differences made large, large ones kept from drowning them: the inverse hyperbolic sine.

    Made of roots, for OpenVINO has fast code neither for this as a whole nor for the logarithm: that of the eighth
    power of r is 16 artanh((r - 1) / (r + 1)), and three terms of the series are right to 4e-5 from -1 to 1.
    """
    size = difference.abs() * 30.0
    root = torch.sqrt(torch.sqrt(torch.sqrt(size + torch.sqrt(size * size + 1.0))))
    part = (root - 1.0) / (root + 1.0)
    square = part * part
    return torch.sign(difference) * part * (4.0 + square * (4.0 / 3.0 + square * 0.8))


def _mean(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return F.avg_pool2d(picture, size, 1, (size[0] // 2, size[1] // 2), count_include_pad=False)


def _split(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness (B, 1, h, w) and two color differences (B, 2, h, w), after YCgCo (Malvar and Sullivan 2003)."""
    red, green, blue = picture[:, :1], picture[:, 1:2], picture[:, 2:]
    brightness = (red + blue) * 0.25 + green * 0.5
    return brightness, torch.cat((red - brightness, blue - brightness), dim=1)


def _between(field: Tensor) -> Tensor:
    """The mean of each line and the one below it; the last stands alone."""
    return (field + torch.cat((field[..., 1:, :], field[..., -1:, :]), dim=-2)) * 0.5


def _joined(brightness: Tensor, color: Tensor) -> Tensor:
    """R'G'B' again of what `_split` gives."""
    red, blue = color[:, :1], color[:, 1:]
    return brightness + torch.cat((red, (red + blue) * -0.5, blue), dim=1)


def _coarse(planes: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C, h, w / FOLD), the mean of what is folded into one; OpenVINO pools far slower."""
    return planes.reshape(*planes.shape[:-1], -1, FOLD).mean(dim=-1)


def _fold(lines: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C * FOLD, h, w / FOLD)."""
    batch, channels, height, width = lines.shape
    folded = lines.reshape(batch, channels, height, width // FOLD, FOLD).permute(0, 1, 4, 2, 3)
    return folded.reshape(batch, channels * FOLD, height, width // FOLD)


def _unfold(folded: Tensor) -> Tensor:
    """(B, FOLD, h, w / FOLD) to (B, 1, h, w)."""
    batch, _, height, width = folded.shape
    return folded.permute(0, 2, 3, 1).reshape(batch, 1, height, width * FOLD)


class Steady(nn.Module):
    """A deinterlacer that weaves, bit for bit, what stands still around a pixel."""

    def __init__(self, network: Deinterlacer) -> None:
        super().__init__()
        self.network = network

    def forward(self, *planes: Tensor) -> Tensor:
        """See `Deinterlacer.forward`; the last plane is the noise's standard deviation, (B, 1, h, w): no motion."""
        *inputs, noise = planes
        output = self.network(*inputs)
        field, before, after, earlier, later = inputs[:5]
        own = torch.maximum((field - earlier).abs(), (field - later).abs())
        below = torch.cat((own[..., 1:, :], own[..., -1:, :]), dim=2)
        other = (before - after).abs()
        change = torch.maximum(torch.maximum(own, below), other).amax(dim=1, keepdim=True)
        # Under noise: around a pixel (its fold, those beside it, three lines) none changes much, nor many a little.
        most = F.max_pool2d(F.max_pool2d(change, (1, FOLD)), 3, 1, 1)
        many = _coarse(torch.maximum(own.mean(dim=1, keepdim=True), other.mean(dim=1, keepdim=True)))
        level = _coarse(noise)
        still = (most < STILL + 8 * level) & (F.avg_pool2d(many, 3, 1, 1) < STILL + 2.2 * level)
        woven = (F.interpolate(still.float(), scale_factor=(1.0, float(FOLD))) > 0.5) | (change < STILL)
        return torch.where(woven, (before + after) * 0.5, output)


def ready(network: Deinterlacer, device: torch.device) -> engine.Run:
    """The network made ready to run, each size in the way that suits it.

    On a CPU that multiplies in fp32 only, OpenVINO, where installed, needs two thirds of torch's time, for it joins
    small steps; but it takes seconds to get ready for a size.
    """
    steady = Steady(network)
    plain = engine.ready(steady, device)
    if engine.choose(device) != "fp32" or util.find_spec("openvino") is None:
        return plain
    compiled = engine.ready(steady, device, "openvino")

    def run(*planes: Tensor) -> Tensor:
        return (compiled if planes[0][0, 0].numel() >= WORTH_COMPILING else plain)(*planes)

    return run


def fill(
    run: engine.Run,
    pictures: Sequence[Tensor],
    parity: int,
    noise: float = 0.0,
    last_pass: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Keeps one field of a picture and makes the lines of the other.

    Args:
        run: from `ready`.
        pictures: (3, H, W) each, that hold the fields two before, one before, at, one after and two after the moment.
        parity: 0 keeps the top field of the middle one, 1 the bottom field.
        noise: standard deviation of the noise.
        last_pass: pictures of the fields one before, at and one after from the pass before, (3, H, W) each; None in
            the first pass.

    Returns:
        (3, H, W); the kept lines are those of the middle picture, bit for bit.
    """
    center = pictures[2]
    height = center.shape[-2]
    upright = _upright(pictures, parity)
    inputs = first_inputs(upright) if last_pass is None else refinement_inputs(upright, _upright(last_pass, parity))
    planes = [part[None] for part in inputs]
    planes.append(torch.full_like(planes[-1], noise))
    lines = engine.tiled(run, planes, multiple=Deinterlacer.multiple, tile=2048)[0]
    lines = lines.flip(-2) if parity else lines
    out = center.clone()
    out[..., 1 - parity :: 2, :] = lines[..., : (height + parity) // 2, :].to(out.device)
    return out


def _upright(pictures: Sequence[Tensor], parity: int) -> list[Tensor]:
    """Pictures of an even height whose kept field is the top one."""
    even = [_even(picture) for picture in pictures]
    return [picture.flip(-2) for picture in even] if parity else even


def _even(picture: Tensor) -> Tensor:
    """With one more line at the bottom where their number is odd, a copy of the last line of the same field."""
    height = picture.shape[-2]
    return torch.cat((picture, picture[..., -2:-1, :]), dim=-2) if height % 2 else picture


def first_inputs(pictures: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Inputs of `Deinterlacer.forward` from the pictures (3, H, W) of five successive moments, H even.

    Only the lines of the field that each moment has are read: 0, 2, ... of the first, third and fifth, else 1, 3, ...
    """
    fields = _fields(pictures)
    field = fields[0]
    return *fields, *align_lines(field, fields[1:3]), _between(field), torch.zeros_like(field[:1])


def refinement_inputs(pictures: Sequence[Tensor], last_pass: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same for a further pass; `last_pass`: its pictures, (3, H, W) each, of the second to fourth moment."""
    before, center, after = last_pass
    fields = _fields(pictures)
    beside = [picture[..., 1::2, :] for picture in align_pictures(center, (before, after))]
    return *fields, *beside, center[..., 1::2, :], torch.ones_like(fields[0][:1])


def _fields(pictures: Sequence[Tensor]) -> tuple[Tensor, ...]:
    earlier, before, center, after, later = pictures
    return center[..., 0::2, :], before[..., 1::2, :], after[..., 1::2, :], earlier[..., 0::2, :], later[..., 0::2, :]


def load(path: Path | None = None) -> Deinterlacer:
    """The deinterlacer with trained weights: those at `path`, else a user's own, else those that ship."""
    return weights.network("deinterlace", Config, Deinterlacer, path)
