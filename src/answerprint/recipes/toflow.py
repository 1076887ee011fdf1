"""Trains TOFlow as "Decoding consumer-grade video" does: first on noise, then on coded footage.

Adam at 1e-4 with weight decay 1e-4. Begin with `--task denoise` (the paper takes weights pretrained so), then train
`--task decode --begin-with RUN/best.safetensors`: seven frames coded at a rate drawn at random, the middle one of the
master as target; with `--septuplets`, as many samples come from such a set. Masters as in recipes/bitdepth.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.media import pixels
from answerprint.metrics import quality
from answerprint.nets.toflow import Config, TOFlow
from answerprint.recipes.bitdepth import TAGS
from answerprint.train import degrade, septuplets
from answerprint.train.data import Library
from answerprint.train.loop import Batch, Networks, Training, Update, Validation


class Params(Training):
    """All that this run can be told."""

    task: Literal["decode", "denoise"] = Field("decode", description="Coded footage, or noise to begin with.")
    steps: int = Field(100_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-4, gt=0, le=1, description="Highest learning rate.")
    optimizer: Literal["adamw", "adam"] = Field("adam", description="AdamW, or Adam with L2 regularization.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 regularization.")
    batch: int = Field(1, ge=1, description="Sequences a step.")
    crop: int = Field(128, ge=32, multiple_of=16, description="Side of a crop in pixels, after halving.")
    rates: tuple[float, float] = Field((0.0417, 0.2504), description="Range of the rates in bits a pixel.")
    septuplets: Path | None = Field(None, description="A set of septuplets that half of the samples come from.")
    levels: int = Field(4, ge=1, description="Levels of the pyramid of flow.")
    flow_widths: tuple[int, ...] = Field((32, 64, 32, 16), description="Channels inside a level of flow.")
    width: int = Field(64, ge=1, description="Channels of the image processing network.")
    looked_at: int = Field(8, ge=1, description="Sequences of a validation.")


SHIPS = "toflow"
LENGTH = 7


def networks(params: Params) -> Networks:
    return {"toflow": TOFlow(Config(levels=params.levels, flow_widths=params.flow_widths, width=params.width))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    samples = [_sample(params, rng, data) for _ in range(params.batch)]
    frames, truth = (torch.stack(part) for part in zip(*samples, strict=True))
    return {"frames": frames, "truth": truth}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    update("toflow", F.l1_loss(nets["toflow"](batch["frames"].flatten(1, 2)), batch["truth"]))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of R'G'B', and what the network brings over its middle input, on clips not trained on."""
    rng = np.random.default_rng(0)
    device = next(nets["toflow"].parameters()).device
    plain, made = [], []
    for _ in range(params.looked_at):
        frames, truth = _sample(params.model_copy(update={"septuplets": None}), rng, data)
        out = nets["toflow"](frames.flatten(0, 1)[None].to(device))[0].cpu()
        plain.append(quality.psnr(frames[LENGTH // 2], truth))
        made.append(quality.psnr(out, truth))
    figures = {"psnr": float(np.mean(made)), "gain": float(np.mean(made) - np.mean(plain))}
    return Validation(figures["gain"], figures)


def _sample(params: Params, rng: np.random.Generator, data: Library) -> tuple[Tensor, Tensor]:
    """Seven frames (7, 3, H, W) and the master's middle one."""
    if params.task == "decode" and params.septuplets is not None and rng.random() < 0.5:
        return _from_set(params, rng)
    codes = data.crop(rng, 2 * params.crop, LENGTH)
    master = F.avg_pool2d(torch.from_numpy(codes).permute(0, 3, 1, 2).float() / 255, 2)
    middle = master[LENGTH // 2]
    if params.task == "denoise":
        return degrade.gaussian(master, rng.uniform(2, 15) / 255, rng).clamp(0, 1), middle
    stored = [pixels.from_rgb(picture, "yuv420p", TAGS) for picture in master]
    offered = [(y.numpy(), cb.numpy(), cr.numpy()) for y, cb, cr in stored]
    coded = septuplets.at_rate(offered, "h264", float(rng.uniform(*params.rates)))
    back = [tuple(torch.from_numpy(plane) for plane in planes) for planes in coded.frames]
    return torch.stack([pixels.to_rgb(planes, "yuv420p", TAGS) for planes in back]), middle


def _from_set(params: Params, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    paths = septuplets.samples(params.septuplets or Path(), "training")
    found = septuplets.read(paths[int(rng.integers(len(paths)))])
    height, width = found.target.shape[1:]
    top, left = (int(rng.integers((size - params.crop) // 2 + 1)) * 2 for size in (height, width))
    place = (..., slice(top, top + params.crop), slice(left, left + params.crop))
    return found.coded()[place].contiguous(), found.master()[place].contiguous()
