"""Trains the small encoder: how was this picture turned, and how graded? Self-taught, from unlabeled pictures.

What a look needs of features is that they tell structure and color. Structure is learned from telling by how many
quarters a picture was turned (Gidaris, Singh and Komodakis 2018), color from telling by how much each of NCST's seven
parameters was changed between two views of it. No labels and no other network are needed, so the weights are as free
as the pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint import arrays
from answerprint.color import values
from answerprint.nets.look import Encoder, EncoderConfig, stylized
from answerprint.train.data import Library
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation

SHIPS = "encoder.encoder"
TINY = {"widths": (8, 8, 16, 16)}
SLOW = True  # its pretext tasks take longer


class Params(Training):
    """Options of the run."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(16, ge=1, description="Pictures a step.")
    crop: int = Field(96, ge=32, multiple_of=8, description="Side of a crop in pixels.")
    scales: tuple[float, ...] = Field((0.25, 0.5), description="Sizes at which each clip is used.")
    widths: tuple[int, ...] = Field((16, 32, 64, 128), description="Channels at relu1_1, 2_1, 3_1, 4_1.")


class Pretext(nn.Module):
    """The encoder with the two heads that only its training needs."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.deeper = nn.Sequential(nn.Conv2d(config.widths[-1], 128, 3, 2, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, 2, 1))
        self.turned = nn.Linear(128, 4)
        self.graded = nn.Sequential(
            nn.Linear(4 * sum(config.widths), 128), nn.ReLU(), nn.Linear(128, len(values.SEVEN) + 1)
        )

    def forward(self, turned: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the four turns (N, 4), and the free vector of the grade (N, 7)."""
        shape = self.deeper(self.encoder(turned)[-1]).relu().mean((2, 3))
        moments = [moment for view in (before, after) for layer in self.encoder(view) for moment in _moments(layer)]
        return self.turned(shape), self.graded(torch.cat(moments, 1))


def networks(params: Params) -> Networks:
    return {"encoder": Pretext(EncoderConfig(widths=params.widths))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    # Crops come turned at random: a picture that is upright is taken from the clips themselves.
    upright = torch.stack([_upright(data, rng, params.crop) for _ in range(params.batch)])
    turns = torch.from_numpy(rng.integers(4, size=params.batch))
    turned = torch.stack(
        [torch.rot90(picture, int(turn), (1, 2)) for picture, turn in zip(upright, turns, strict=True)]
    )
    free = torch.from_numpy(rng.normal(0, 0.4, size=(params.batch, len(values.SEVEN) + 1)).astype(np.float32))
    with torch.no_grad():
        after = stylized(upright, free).clamp(0, 1)
    return {"turned": turned, "turns": turns, "before": upright, "after": after, "free": free}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    turns, free = nets["encoder"](batch["turned"], batch["before"], batch["after"])
    update(
        "encoder", F.cross_entropy(turns.float(), batch["turns"]) + 3 * F.smooth_l1_loss(free.float(), batch["free"])
    )


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """Share of turns that are told right, and of the variance of the grade that is explained."""
    rng = np.random.default_rng(0)
    parts = [batch(params, rng, data) for _ in range(4)]
    device = next(nets["encoder"].parameters()).device
    outputs = [nets["encoder"](*(part[key].to(device) for key in ("turned", "before", "after"))) for part in parts]
    right = torch.cat(
        [(scores.argmax(1).cpu() == part["turns"]).float() for (scores, _), part in zip(outputs, parts, strict=True)]
    )
    free = torch.cat([part["free"] for part in parts])
    error = (torch.cat([vector.float().cpu() for _, vector in outputs]) - free).square().mean() / free.square().mean()
    figures = {"turns": float(right.mean()), "grade": float(1 - error)}
    return Validation(sum(figures.values()), figures)


def _moments(layer: Tensor) -> tuple[Tensor, Tensor]:
    return layer.mean((2, 3)), (layer.var((2, 3), correction=0) + 1e-5).sqrt()


def _upright(data: Library, rng: np.random.Generator, size: int) -> Tensor:
    """A piece of a random picture as it stands, (3, size, size)."""
    clip = data.clips[rng.integers(len(data.clips))]
    fitting = [version for version in clip.versions if min(version.shape[1:3]) >= size] or [clip.versions[0]]
    version = fitting[rng.integers(len(fitting))]
    frame = version[rng.integers(len(version))]
    y, x = (int(rng.integers(max(side - size, 0) + 1)) for side in frame.shape[:2])
    return arrays.from_codes(frame[y : y + size, x : x + size])
