"""Estimates how a picture was blurred: widths across and down, and its noise, by prediction and repeated correction.

After "Blind Super-Resolution With Iterative Kernel Correction" (Gu et al. 2019): a predictor looks at the picture, a
corrector at what super-resolution with the present estimate makes of it, where a kernel that is too wide rings and one
that is too narrow stays soft. Both look along lines only and are asked twice, the second time of the picture turned
over its diagonal: what is soft across is not what is soft down. Energies of learned filters are pooled as logarithms,
so that contrast is a constant and widths are differences. Widths are in pixels of the picture that is looked at, so one
estimate serves all factors; the corrector enlarges by two.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.color import spaces
from answerprint.filters.inverse import Blur
from answerprint.inference import weights
from answerprint.nets._blocks import faint
from answerprint.nets.upscale import enlarge
from answerprint.settings import Settings

CORRECTIONS = 7
NARROWEST, WIDEST = 0.05, 1.0  # widths in pixels
FACTOR = 2  # of the enlargement that the corrector looks at
BINS = 17  # frequencies of a spectrum, from 0 to half the sampling rate
STEP = 40  # widths are whole parts of a pixel: banks of filters are found once each
_FAINT = 1e-7  # energy, below what rounding to 8 bits leaves


class Config(Settings):
    """Everything needed to build the networks again."""

    width: int = Field(32, ge=1, description="Channels.")


class Trunk(nn.Module):
    """Planes (B, C, H, W) to log energies of filters of three depths, (B, 6 * width + 1)."""

    def __init__(self, planes: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(planes, width, (3, 5), padding=(1, 2), bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=2, dilation=2)

    def forward(self, planes: Tensor) -> Tensor:
        # Brightness says nothing of softness: the filters answer to changes alone.
        kernels = self.first.weight - self.first.weight.mean((2, 3), keepdim=True)
        first = F.conv2d(planes, kernels, padding=(1, 2))
        second = self.second(F.relu(first))
        third = self.third(F.relu(second))
        pooled = torch.cat([_energies(each) for each in (first, second, third)], dim=1)
        # Contrast is common to all of them: differences remain, and it says how far noise matters.
        common = pooled.mean(1, keepdim=True)
        return torch.cat((pooled - common, common / 4), dim=1)


def _energies(x: Tensor) -> Tensor:
    """Logarithms of the mean energy, and of that of the strongest places (B, 2 C)."""
    energy = x.float().square()
    strong = F.avg_pool2d(energy, 8, 4).flatten(2).amax(2)
    return torch.cat([torch.log(_FAINT + each) for each in (energy.mean((2, 3)), strong)], dim=1)


def spectra(luma: Tensor) -> Tensor:
    """Log power along lines by frequency, of all lines and of those with most detail, (B, 2 * BINS), for (B, 1, H, W).

    A Gaussian blur takes from it the square of width and frequency: what is sought is nearly linear in these.
    """
    length = 2 * (BINS - 1)
    width = luma.shape[-1]
    lines = F.pad(luma[:, 0].float(), (0, max(length - width, 0)), mode="replicate")
    pieces = lines.unfold(2, length, length // 2)
    window = torch.hann_window(length, device=luma.device)
    pieces = (pieces - pieces.mean(-1, keepdim=True)) * window
    power = torch.fft.rfft(pieces).abs().square().flatten(1, 2)
    strongest = power.sum(-1).argsort(dim=1, descending=True)[:, : max(power.shape[1] // 8, 1)]
    strong = torch.gather(power, 1, strongest[..., None].expand(-1, -1, BINS))
    logs = [torch.log(_FAINT + each.mean(1)) for each in (power, strong)]
    return torch.cat([each - each[:, 1:5].mean(1, keepdim=True) for each in logs], dim=1) / 2


class Estimator(nn.Module):
    """Predictor and corrector."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        pooled = 6 * config.width + 1
        seen = pooled + 2 * BINS
        self.look = Trunk(1, config.width)
        self.predictor = _head(seen)
        self.check = Trunk(1 + FACTOR**2, config.width)
        self.corrector = _head(seen + pooled + 3, 96)
        faint(self.corrector[-1], 0.05)

    def predict(self, luma: Tensor) -> Tensor:
        """Of luma (B, 1, H, W): (B, 3), width across, log of its error, noise in codes / 15."""
        return _bounded(self.predictor(self._seen(luma)))

    def _seen(self, luma: Tensor) -> Tensor:
        with torch.autocast(luma.device.type, enabled=False):
            along = spectra(luma)
        return torch.cat((self.look(luma), along), dim=1)

    def correct(self, luma: Tensor, detail: Tensor, estimate: Tensor) -> Tensor:
        """A better estimate (B, 3) from what the present one makes of it.

        Args:
            luma: (B, 1, H, W).
            detail: what was added by the enlargement, folded, (B, s s, H, W).
            estimate: (B, 3): widths across and down, noise in codes / 15.
        """
        seen = self._seen(luma)
        first = _bounded(self.predictor(seen)).detach()
        features = torch.cat((seen, self.check(torch.cat((luma, detail), dim=1)), estimate), dim=1)
        # On top of what was predicted, and not of the last estimate: errors do not add up.
        return _bounded(first + self.corrector(features))


def _head(inputs: int, width: int = 128) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 3))


def _bounded(values: Tensor) -> Tensor:
    return torch.stack((values[:, 0], values[:, 1].clamp(-6, 2), values[:, 2]), 1)


def both_ways(net: Estimator, low: Tensor) -> Tensor:
    """First estimates (B, 4) of pictures (B, 3, H, W): widths across and down, noise, log error."""
    luma = spaces.luma(low)
    return _joined(net.predict(luma), net.predict(luma.transpose(2, 3)))


def corrected(net: Estimator, low: Tensor, estimate: Tensor) -> Tensor:
    """Estimates (B, 4) once corrected."""
    luma = spaces.luma(low)
    detail = torch.cat([_detail(luma[i : i + 1], estimate[i]) for i in range(len(low))])
    across = net.correct(luma, _folded(detail), estimate[:, :3])
    turned = estimate[:, [1, 0, 2]]
    down = net.correct(luma.transpose(2, 3), _folded(detail.transpose(2, 3)), turned)
    return _joined(across, down)


def _joined(across: Tensor, down: Tensor) -> Tensor:
    noise, error = (across[:, 2] + down[:, 2]) / 2, (across[:, 1] + down[:, 1]) / 2
    return torch.stack((across[:, 0], down[:, 0], noise, error), dim=1)


def _detail(luma: Tensor, estimate: Tensor) -> Tensor:
    """What an enlargement by an estimate (4) adds to luma (1, 1, H, W), at the large size."""
    across, down = (round(min(max(float(value), NARROWEST), WIDEST) * STEP) / STEP for value in estimate[:2])
    sigma = max(round(float(estimate[2]) * 15), 0) / 255
    large = enlarge(luma, Blur(FACTOR, FACTOR * across, FACTOR * down), sigma)
    return large - luma.repeat_interleave(FACTOR, 2).repeat_interleave(FACTOR, 3)


def _folded(detail: Tensor) -> Tensor:
    return F.pixel_unshuffle(detail, FACTOR) * 4


def load(path: Path | None = None) -> Estimator:
    """The networks with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted.
    """
    return weights.network("softness", Config, Estimator, path)
