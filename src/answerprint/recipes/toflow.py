"""Trains TOFlow as "Decoding consumer-grade video" does: first on noise, then on coded footage.

Adam at 1e-4 with L2 regularization of 1e-4, absolute error. Begin with `--task denoise` (the paper takes weights
pretrained so), then train `--task decode --init-from RUN/best.safetensors`: sequences go through H.264 at the paper's
rates, once, before the first step (train/coded.py), crops are drawn from what came back, and the middle frame of the
master is the target. With `--septuplets`, as many samples come from a set that `answerprint dataset septuplets` made.

Xue et al. train flow alone before all that, on footage whose flow is known: `--task flow` does as much with any
footage, by how near the neighbors come to the middle frame. (Noise cannot teach it: half a pixel of flow takes out more
of it than finding the way.) `--relative` takes errors beside that of the middle frame as it came in, so that pieces
coded well and badly count alike, as they do in a mean of decibels, and the regularization is small beside the gradient.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.metrics import quality
from answerprint.nets.toflow import Config, TOFlow
from answerprint.train import coded, degrade, septuplets
from answerprint.train.data import Library, to_pictures
from answerprint.train.recipe import Batch, Networks, Update, Validation


class Params(coded.CodedTraining):
    """Options of the run."""

    task: Literal["decode", "denoise", "flow"] = Field(
        "decode", description="Coded footage; noise to begin with, and flow alone before that."
    )
    steps: int = Field(100_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-4, gt=0, le=1, description="Highest learning rate.")
    optimizer: Literal["adamw", "adam"] = Field("adam", description="AdamW, or Adam with L2 regularization.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 regularization.")
    batch: int = Field(1, ge=1, description="Sequences a step.")
    crop: int = Field(128, ge=32, multiple_of=16, description="Side of a crop in pixels, after halving.")
    squared: bool = Field(
        False, description="The squared error is made small, which decibels go by; else the absolute."
    )
    relative: bool = Field(False, description="Errors count beside those of the middle frames as they came in.")
    flow: float = Field(0.0, ge=0, description="Weight of how near flow brings the neighbors, in the other tasks.")
    levels: int = Field(4, ge=1, description="Levels of the pyramid of flow.")
    flow_widths: tuple[int, ...] = Field((32, 64, 32, 16), description="Channels inside a level of flow.")
    width: int = Field(64, ge=1, description="Channels of the image processing network.")
    validation_samples: int = Field(16, ge=1, description="Sequences of a validation, at twice the side of a crop.")


SHIPS = "toflow"
TINY = {"levels": 2, "flow_widths": (4, 4), "width": 8, "sequences": 3, "piece": 64}
SLOW = True  # what a coder took away is as good as noise to a network of 24 steps
MIDDLE = septuplets.LENGTH // 2
BESIDE = [place for place in range(septuplets.LENGTH) if place != MIDDLE]
LEAST = 0.25 / 255  # error below which a sample does not count the more for having less
STILL = 4 / 255  # and below which its neighbors do not

Sample = tuple[Tensor, Tensor]  # seven frames (7, 3, H, W) and the master's middle one


def networks(params: Params) -> Networks:
    network = TOFlow(Config(levels=params.levels, flow_widths=params.flow_widths, width=params.width))
    if params.task == "flow":
        network.processing.requires_grad_(False)  # without a gradient, regularization would wear it down
    return {"toflow": network}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    samples = [_sample(params, rng, data) for _ in range(params.batch)]
    frames, truth = (torch.stack(part) for part in zip(*samples, strict=True))
    power = 2 if params.squared else 1
    plain = _error(frames[:, MIDDLE], truth, power).clamp_min(LEAST**power)
    weight = 1 / plain if params.relative else torch.ones_like(plain)
    alone = params.task == "flow"
    return {
        "frames": frames,
        "truth": truth,
        "weight": 0 * weight if alone else weight,
        "power": torch.tensor(power),
        "flow": torch.tensor(1.0 if alone else params.flow),
    }


def step(nets: Networks, batch: Batch, update: Update) -> None:
    frames, truth = batch["frames"], batch["truth"]
    output = nets["toflow"](frames.flatten(1, 2), whole=True).view_as(frames)
    error = (batch["weight"] * _error(output[:, MIDDLE], truth, int(batch["power"]))).mean()
    update("toflow", error + batch["flow"] * _alignment_error(frames, output, truth).mean())


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of R'G'B', and what the network brings over its middle input, on clips not trained on.

    With them, how far from the master the neighbors are that flow laid onto it, beside the neighbors as they are.
    """
    device = next(nets["toflow"].parameters()).device
    plain, restored, alignment = [], [], []
    for frames, truth in _validation_samples(params, data):
        out = nets["toflow"](frames.flatten(0, 1)[None].to(device), whole=True)[0].cpu().view_as(frames)
        plain.append(quality.psnr(frames[MIDDLE], truth))
        restored.append(quality.psnr(out[MIDDLE].clamp(0, 1), truth))
        alignment.append(float(_alignment_error(frames[None], out[None], truth[None])))
    figures = {"laid": float(np.mean(alignment))}
    if params.task == "flow":
        return Validation(-figures["laid"], figures)
    gain = float(np.mean(restored) - np.mean(plain))
    return Validation(gain, {"psnr": float(np.mean(restored)), "gain": gain, **figures})


def _error(frames: Tensor, truth: Tensor, power: int = 1) -> Tensor:
    """Mean absolute error of each picture, or the squared one."""
    difference = frames - truth
    return (difference.abs() if power == 1 else difference.square()).mean(dim=(-3, -2, -1))


def _alignment_error(frames: Tensor, warped_frames: Tensor, truth: Tensor) -> Tensor:
    """Error of the neighbors after flow beside that before it, (B,)."""
    before, after = (_error(each[:, BESIDE], truth[:, None]).mean(dim=1) for each in (frames, warped_frames))
    return after / before.clamp_min(STILL)


# ---- samples


def _sample(params: Params, rng: np.random.Generator, data: Library) -> Sample:
    if params.task != "decode":
        return _master(params, params.crop, rng, data)
    if params.septuplets is not None and rng.random() < 0.5:
        paths = septuplets.samples(params.septuplets, "training")
        septuplet = septuplets.read(paths[int(rng.integers(len(paths)))])
    else:
        pool = _pool(data, params.sequences, params.piece, params.rates, params.seed)
        septuplet = pool[int(rng.integers(len(pool)))]
    frames, truth = _to_sample(septuplet, params.crop, rng)
    # From top to bottom, where chroma lies in the middle of two lines; across it lies beside the left pixel of a pair.
    if rng.random() < 0.5:
        frames, truth = frames.flip(-2), truth.flip(-2)
    return (frames.flip(0) if rng.random() < 0.5 else frames), truth


def _validation_samples(params: Params, data: Library) -> list[Sample]:
    """The same samples in every validation."""
    rng = np.random.default_rng(0)
    size = 2 * params.crop
    if params.task != "decode":
        return [_master(params, size, rng, data) for _ in range(params.validation_samples)]
    return [
        _to_sample(each, size, rng) for each in _pool(data, params.validation_samples, params.piece, params.rates, 0)
    ]


def _master(params: Params, size: int, rng: np.random.Generator, data: Library) -> Sample:
    """A piece of footage, with noise where that is what is learned."""
    codes = data.crop(rng, 2 * size, septuplets.LENGTH)
    master = F.avg_pool2d(to_pictures(codes), 2)
    if params.task == "flow":
        return master, master[MIDDLE]
    return degrade.gaussian(master, rng.uniform(2, 15) / 255, rng).clamp(0, 1), master[MIDDLE]


@lru_cache(maxsize=2)
def _pool(
    data: Library, sequences: int, piece: int, rates: tuple[float, float], seed: int
) -> list[septuplets.Septuplet]:
    """All sequences, coded: the same whenever it is asked for, and kept for as long as the run goes."""
    return [each.septuplet() for each in coded.sequences(data, sequences, piece, rates, seed)]


def _to_sample(septuplet: septuplets.Septuplet, size: int, rng: np.random.Generator) -> Sample:
    """A piece of a septuplet as R'G'B'."""
    _, height, width = septuplet.target.shape
    size = min(size, height // 16 * 16, width // 16 * 16)
    top, left = (2 * int(rng.integers((length - size) // 2 + 1)) for length in (height, width))
    piece = septuplet.cut(top, left, size, size)
    return piece.coded(), piece.master()
