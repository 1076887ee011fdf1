"""Trains the denoiser: crops of photographs and clips, made noisy in all the ways footage is; their PSNR is raised.

Gaussian noise mostly, of any level up to 75/255; the rest is sensor noise, film grain, coding residue and impulses. The
network is told the noise of every pixel (nets/denoise.py).

Stills come first, neighbors after: a run with one frame, then one with `--frames 5 --init-from` the first run's
best.safetensors. In most sequences each frame has its neighbors laid onto it (`--joined`), by the code of the
operation: the network is trained on what it gets in use.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint.nets.denoise import Config, Denoiser
from answerprint.noise import impulse, merge
from answerprint.train import degrade
from answerprint.train.data import Library, Pixels, to_pictures
from answerprint.train.losses import decibels
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation


class Params(Training):
    """Options of the run."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Crops a step.")
    crop: int = Field(96, ge=16, multiple_of=8, description="Side of a crop in pixels.")
    frames: int = Field(1, ge=1, le=32, description="Frames of a crop; above 1 the network is temporal.")
    highest: float = Field(75 / 255, gt=0, le=1, description="Highest noise level.")
    stills: float = Field(0.5, ge=0, le=1, description="Share of steps on single frames when the network is temporal.")
    joined: float = Field(
        0.7, ge=0, le=1, description="Share of sequences whose frames have their neighbors laid onto them first."
    )
    gaussian: float = Field(0.7, ge=0, le=1, description="Share of crops with white Gaussian noise of one level.")
    widths: tuple[int, ...] = Field((64, 96, 192), description="Channels at 1/2, 1/4, 1/8 of the size.")
    blocks: tuple[int, ...] = Field((1, 2, 4), description="Residual blocks of each stage.")
    validation_samples: int = Field(64, ge=1, description="Frames of a validation.")
    scales: tuple[float, ...] = Field((0.5, 0.75), description="Sizes at which each clip is used.")


SHIPS = "denoiser"
TINY = {"widths": (16, 16, 16), "blocks": (1, 1, 1)}


def networks(params: Params) -> Networks:
    config = Config(widths=params.widths, blocks=params.blocks, temporal=params.frames > 1)
    return {"denoiser": Denoiser(config)}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    # A temporal network must still know what to do with one frame, and learns more pictures that way.
    frames = 1 if params.frames > 1 and rng.random() < params.stills else params.frames
    samples = []
    for _ in range(-(-params.batch // frames)):
        clean = _picture(data.crop(rng, params.crop, frames))
        spoiled = spoil(clean, params, rng)
        joins = frames > 1 and rng.random() < params.joined
        samples.append((clean, *(join(*spoiled, int(rng.integers(1, 3))) if joins else spoiled)))
    clean, noisy, sigma, correlation = (torch.stack(planes) for planes in zip(*samples, strict=True))
    return {"clean": clean, "noisy": noisy, "sigma": sigma, "correlation": correlation}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    restored = nets["denoiser"](batch["noisy"], batch["sigma"], batch["correlation"])
    update("denoiser", decibels(restored, batch["clean"]))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB under white Gaussian noise of 15, 25 and 50 of 255, level given, on crops of clips not trained on."""
    rng = np.random.default_rng(0)
    device = next(nets["denoiser"].parameters()).device
    count = max(params.validation_samples // params.frames, 1)
    clean = torch.stack([_picture(data.crop(rng, 128, params.frames)) for _ in range(count)])
    figures: dict[str, float] = {}
    rows = []
    for level in (15, 25, 50):
        noisy = degrade.gaussian(clean, level / 255, rng)
        sigma = torch.full_like(clean, level / 255)
        white = torch.zeros_like(clean[..., :1, :, :])
        parts = [torch.split(tensor, 8) for tensor in (noisy, sigma, white)]
        restored = torch.cat(
            [nets["denoiser"](*(part.to(device) for part in trio)).cpu() for trio in zip(*parts, strict=True)]
        )
        error = (restored.clamp(0, 1) - clean).square().flatten(1).mean(dim=1)
        figures[f"psnr {level}"] = float((-10 * error.log10()).mean())
        rows += [_stills(noisy)[:8], _stills(restored)[:8]]
    return Validation(sum(figures.values()) / 3, figures, [*rows, _stills(clean)[:8]])


def spoil(clean: Tensor, params: Params, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noise of a kind and level drawn at random on (T, 3, H, W) or (3, H, W).

    Returns:
        The noisy pictures, the standard deviation of their noise at every pixel, and its reach over 4 (1 channel).
    """
    # Low levels are both more common in footage and harder to learn: draw them more often.
    level = params.highest * rng.random() ** 1.5
    correlation = torch.zeros_like(clean[..., :1, :, :])
    kind = rng.random()
    if kind < params.gaussian:
        return degrade.gaussian(clean, level, rng), torch.full_like(clean, level), correlation
    rest = (kind - params.gaussian) / max(1 - params.gaussian, 1e-9)
    if rest < 0.3:
        noisy, sigma = degrade.poisson_gaussian(clean, level * level * 2, level * 0.3 * rng.random(), rng)
        return noisy, sigma, correlation
    if rest < 0.5:
        reach = rng.uniform(0.3, 1.6)
        noisy, sigma = degrade.grain(clean, min(level, 0.15), reach, rng.random(), rng)
        return noisy, sigma, correlation + reach / 4
    if rest < 0.7:
        return _impulses(clean, level * rng.random(), rng.uniform(0.002, 0.1), rng, correlation)
    if rest < 0.85:
        channels = level * torch.from_numpy(rng.uniform(0.3, 1.0, size=(3, 1, 1)).astype(np.float32))
        return degrade.gaussian(clean, channels, rng), channels.expand_as(clean), correlation
    return _coded(clean, level * 0.3, rng, correlation)


def join(noisy: Tensor, sigma: Tensor, correlation: Tensor, neighbors: int) -> tuple[Tensor, Tensor, Tensor]:
    """A sequence (T, 3, H, W) as the network is shown it when footage is denoised: neighbors laid onto each frame.

    What is left of the noise then differs from pixel to pixel, and hangs together from frame to frame.
    """
    sources = [merge.NoisyFrame(*planes) for planes in zip(noisy, sigma, strict=True)]
    reach = 4 * float(correlation.flatten()[0])
    merged = [
        merge.merge(frame, [*sources[max(t - neighbors, 0) : t], *sources[t + 1 : t + 1 + neighbors]], reach)
        for t, frame in enumerate(sources)
    ]
    pictures, sigmas = (torch.stack(planes) for planes in zip(*merged, strict=True))
    return pictures, sigmas, correlation


def _impulses(
    clean: Tensor, level: float, density: float, rng: np.random.Generator, correlation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels that say nothing are set to a local mean and marked by sigma 1, as the operation does it."""
    noisy, hit = degrade.salt_and_pepper(degrade.gaussian(clean, level, rng), density, rng)
    return impulse.mend(noisy, hit), torch.where(hit, 1.0, torch.full_like(clean, level)), correlation


def _coded(clean: Tensor, level: float, rng: np.random.Generator, correlation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A little noise, then a coder that smears it; told as the residue that is left, with a reach of half a block."""
    noisy = degrade.gaussian(clean, level, rng)
    if clean.ndim == 4:
        coded = degrade.coded(noisy, "h264", int(rng.integers(16, 36)))
    else:
        coded = degrade.jpeg(noisy, int(rng.integers(20, 96)), bool(rng.integers(2)))
    residue = float((coded - clean).square().mean().sqrt())
    return coded, torch.full_like(clean, residue), correlation + 1.0


def _picture(crop: Pixels) -> Tensor:
    """Codes (T, H, W, 3) as (T, 3, H, W) in 0..1; (3, H, W) where T is 1."""
    picture = to_pictures(crop)
    return picture[0] if len(picture) == 1 else picture.contiguous()


def _stills(pictures: Tensor) -> Tensor:
    """The middle frames of sequences."""
    return pictures[:, pictures.shape[1] // 2] if pictures.ndim == 5 else pictures
