"""Trains NCST's network: two random pictures, one is to have the look of the other (equations 1 to 6).

The paper's setting is the default: Adam, rate 1e-4, 6 pairs of 256 x 256 a step, 20,000 iterations. Both heads learn
at once; the encoder that also judges stays as it is.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from answerprint.color import style
from answerprint.nets.look import VGG19, Config, Encoder, LookNet, judge, shipped_encoder, stylized, vgg19
from answerprint.train.data import Library, to_pictures
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation

SHIPS = "look"
SLOW = True  # 150 steps, see tests/recipes/test_look.py


class Params(Training):
    """Options of the run."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-4, gt=0, le=1, description="Learning rate.")
    final_rate: float = Field(1.0, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    optimizer: Literal["adamw", "adam"] = Field("adam", description="Adam, as in the paper, or AdamW.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Momenta of the optimizer.")
    precision: Literal["auto", "bf16", "fp32"] = Field("fp32", description="bf16 is too coarse for parameters.")
    batch: int = Field(6, ge=1, description="Pairs a step.")
    crop: int = Field(256, ge=32, multiple_of=8, description="Side of the pictures in pixels.")
    scales: tuple[float, ...] = Field((0.5,), description="Sizes at which each clip is used.")
    encoder: Literal["shipped", "vgg19"] = Field("shipped", description="The small encoder of ours, or VGG-19.")
    vgg_file: str = Field("", description="File or URL of torchvision's VGG-19, for encoder vgg19.")
    vgg_sha256: str = Field("dcbb9e9d", description="Its SHA-256, or the beginning of it.")


def networks(params: Params) -> Networks:
    encoder: Encoder = vgg19(params.vgg_file, params.vgg_sha256) if params.encoder == "vgg19" else shipped_encoder()
    network = LookNet(Config(encoder=VGG19 if params.encoder == "vgg19" else encoder.config))
    network.encoder.load_state_dict(encoder.state_dict())
    return {"look": network}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    content, reference = (
        torch.stack([to_pictures(data.crop(rng, params.crop))[0] for _ in range(params.batch)]) for _ in range(2)
    )
    return {"content": content, "style": reference}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    network = nets["look"]
    vectors = network(batch["content"], batch["style"])
    # Several processes wrap it.
    encoder = cast(LookNet, getattr(network, "module", network)).encoder
    losses = [
        judge(encoder, stylized(batch["content"], free), batch["content"], batch["style"]).total for free in vectors
    ]
    update("look", torch.stack(losses).sum())


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """Share of the sliced Wasserstein distance in CIELAB that each head takes away, on pictures not trained on."""
    part = batch(params.model_copy(update={"batch": 12}), np.random.default_rng(0), data)
    device = next(nets["look"].parameters()).device
    content, reference = part["content"].to(device), part["style"].to(device)
    vectors = nets["look"](content, reference)
    graded = [stylized(content, free.float()).clamp(0, 1) for free in vectors]
    before, *after = [_distance(pictures, reference) for pictures in (content, *graded)]
    figures = {name: 1 - reached / before for name, reached in zip(("seven", "extended"), after, strict=True)}
    return Validation(sum(figures.values()), figures, (content, reference, *graded))


def _distance(pictures: Tensor, reference: Tensor) -> float:
    pairs = zip(pictures.cpu(), reference.cpu(), strict=True)
    samples = [[style.to_lab(style.colors(side, 2000)) for side in pair] for pair in pairs]
    return float(np.mean([float(style.sliced_wasserstein(ours, theirs)) for ours, theirs in samples]))
