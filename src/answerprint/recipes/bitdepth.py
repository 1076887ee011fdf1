"""Trains the network of `bitdepth`: sequences coded as consumer cameras code them, and the masters they came from.

Sequences go through H.264 at the paper's rates, once, before the first step (train/coded.py); crops are drawn from
what came back. The loss is the squared error of R'G'B' beside that of the decoder alone on the same piece, so that
pieces coded well and badly count alike, as they do in a mean of decibels. With `--septuplets`, as many samples come
from a set that `answerprint dataset septuplets` made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from answerprint.coding import codes
from answerprint.color import spaces
from answerprint.media.planes import to_rgb
from answerprint.nets.bitdepth import Config, Decoder, fold, unfold
from answerprint.train import coded, septuplets
from answerprint.train.coded import TAGS
from answerprint.train.data import Library
from answerprint.train.recipe import Batch, Networks, Update, Validation

LENGTH = septuplets.LENGTH
LEAST = (0.25 / 255) ** 2  # error of the decoder below which a piece does not count the more for having less


class Params(coded.CodedTraining):
    """Options of the run."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(8, ge=1, description="Crops a step.")
    crop: int = Field(64, ge=32, multiple_of=16, description="Side of a crop in pixels, after halving.")
    alike: float = Field(0.15, ge=0, le=1, description="Share of crops with one quantizer for all blocks and frames.")
    width: int = Field(32, ge=1, description="Channels.")
    blocks: int = Field(6, ge=1, description="Residual blocks.")
    radius: int = Field(3, ge=0, le=LENGTH // 2, description="Neighbor frames on each side.")
    validation_samples: int = Field(24, ge=1, description="Sequences of a validation.")


SHIPS = "decoder"
TINY = {"width": 8, "blocks": 1, "sequences": 3, "piece": 64}
SLOW = True  # what a coder took away is as good as noise to a network of 24 steps


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame that went through a coder.

    Attributes:
        luma: (T, H, W) uint8, the frame itself first, then its neighbors laid onto it.
        chroma: (2 T, H/2, W/2) uint8.
        levels: steps of the quantizer as codes.steps_to_levels gives them, (T, H/2, W/2) uint8.
        lost: difference of Y', Cb, Cr to the master in 64ths of a code, (3, H, W) int16.
        step: mean step of the quantizer in codes.
        error: mean squared error of R'G'B' as decoded.
    """

    luma: NDArray[np.uint8]
    chroma: NDArray[np.uint8]
    levels: NDArray[np.uint8]
    lost: NDArray[np.int16]
    step: float
    error: float


def networks(params: Params) -> Networks:
    return {"decoder": Decoder(Config(width=params.width, blocks=params.blocks, radius=params.radius))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    pool = _pool(data, params.sequences, params.piece, params.rates, params.radius, params.seed)
    crops = []
    for _ in range(params.batch):
        if params.septuplets is not None and rng.random() < 0.5:
            sample = _from_set(params.septuplets, params.radius, rng)
        else:
            sample = pool[int(rng.integers(len(pool)))]
        crops.append(_crop(sample, params, rng))
    return {name: torch.stack([crop[name] for crop in crops]) for name in crops[0]}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    planes = fold(batch["luma"], batch["chroma"])
    change = nets["decoder"](planes, batch["step"].expand(-1, 1, *planes.shape[-2:]), batch["steps"])
    error = _as_rgb(batch["lost"].float() / 64 - unfold(change))
    update("decoder", (error.square().mean(dim=(1, 2, 3)) / batch["error"]).mean())


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of R'G'B', and what the network brings over the decoder alone, on clips not trained on."""
    device = next(nets["decoder"].parameters()).device
    pool = _pool(data, params.validation_samples, params.piece, params.rates, params.radius, 0)
    plain, restored = [], []
    for sample in pool[:: max(len(pool) // params.validation_samples, 1)]:
        luma, chroma = (torch.from_numpy(part)[None].to(device) for part in (sample.luma, sample.chroma))
        planes = fold(luma, chroma)
        steps = torch.from_numpy(codes.levels_to_steps(sample.levels))[None].to(device)
        change = unfold(nets["decoder"](planes, torch.full_like(planes[:, :1], sample.step), steps))
        error = torch.from_numpy(sample.lost)[None].to(device).float() / 64
        plain.append(_decibels(error))
        restored.append(_decibels(error - change))
    figures = {"psnr": float(np.mean(restored)), "gain": float(np.mean(restored) - np.mean(plain))}
    return Validation(figures["gain"], figures)


# ---- samples


@lru_cache(maxsize=2)
def _pool(
    data: Library, sequences: int, piece: int, rates: tuple[float, float], radius: int, seed: int
) -> list[Sample]:
    """All sequences, coded: the same whenever it is asked for, and kept for as long as the run goes."""
    sequence_iterator = coded.sequences(data, sequences, piece, rates, seed)
    return [sample for sequence in sequence_iterator for sample in _middles(sequence, radius)]


def _middles(sequence: coded.CodedSequence, radius: int) -> list[Sample]:
    """The middle frames: at the ends of so short a sequence a coder has less to predict from than in footage."""
    places = range(LENGTH // 2 - 1, LENGTH // 2 + 2)
    through = sequence.coded
    half = through.frames[0][1].shape
    levels = [codes.steps_to_levels(through.step if each is None else each, *half) for each in through.steps]
    return [
        make_sample(through.frames, levels, sequence.master[place], place, radius, through.step) for place in places
    ]


def _from_set(folder: Path, radius: int, rng: np.random.Generator) -> Sample:
    paths = septuplets.samples(folder, "training")
    return _of_file(paths[int(rng.integers(len(paths)))], radius)


@lru_cache(maxsize=2048)
def _of_file(path: Path, radius: int) -> Sample:
    septuplet = septuplets.read(path)
    frames = list(zip(*septuplet.planes, strict=True))
    step = float(septuplet.facts.get("quantizer", 0.0))
    level = codes.steps_to_levels(step, *frames[0][1].shape)
    return make_sample(frames, [level] * LENGTH, septuplet.master(), LENGTH // 2, radius, step)


def make_sample(
    frames: list[septuplets.Planes],
    levels: list[NDArray[np.uint8]],
    master: Tensor,
    place: int,
    radius: int,
    quantizer: float,
) -> Sample:
    """A coded frame, its neighbors laid onto it, and what it lost of its master."""
    planes_and_levels = [(*planes, level) for planes, level in zip(frames, levels, strict=True)]
    own = planes_and_levels[place]
    # At the ends of a shot its last frame stands in for what is beyond, as operation.windows has it.
    beside = [
        planes_and_levels[min(max(place + offset, 0), len(planes_and_levels) - 1)]
        for offset in range(-radius, radius + 1)
        if offset
    ]
    stack = [own, *codes.align(own[0], beside)]
    y, cb, cr = (torch.from_numpy(plane) for plane in frames[place])
    lost = _planes_of(master) - _planes_of(to_rgb((y, cb, cr), "yuv420p", TAGS))
    return Sample(
        luma=np.stack([planes[0] for planes in stack]),
        chroma=np.stack([plane for planes in stack for plane in planes[1:3]]),
        levels=np.stack([planes[3] for planes in stack]),
        step=quantizer,
        lost=(64 * lost).round().clamp(-32767, 32767).to(torch.int16).numpy(),
        error=max(float(_as_rgb(lost[None]).square().mean()), LEAST),
    )


def _crop(sample: Sample, params: Params, rng: np.random.Generator) -> dict[str, Tensor]:
    """A piece of a sample, turned over at random."""
    size = min(params.crop, *sample.luma.shape[1:])
    top, left = (2 * int(rng.integers((length - size) // 2 + 1)) for length in sample.luma.shape[1:])
    half = (slice(None), slice(top // 2, (top + size) // 2), slice(left // 2, (left + size) // 2))
    whole = (slice(None), slice(top, top + size), slice(left, left + size))
    # Chroma lies beside the left pixel of a pair: mirrored, it would lie elsewhere; of two lines it is in the middle.
    down = -1 if rng.random() < 0.5 else 1
    crop: dict[str, Tensor] = {
        name: torch.from_numpy(plane[where][:, ::down].copy())
        for name, plane, where in (
            ("luma", sample.luma, whole), ("chroma", sample.chroma, half), ("lost", sample.lost, whole),
            ("levels", sample.levels, half),
        )
    }  # fmt: skip
    # A quantizer that is estimated, or a mean over a shot, is not that of this frame.
    step = sample.step * float(np.exp(rng.normal(0, 0.15)))
    steps = torch.from_numpy(codes.levels_to_steps(crop.pop("levels").numpy()))
    if rng.random() < params.alike:
        # Where nothing tells what blocks and frames have, it stands for all of them.
        steps = torch.full_like(steps, step)
    return crop | {"step": torch.full((1, 1, 1), step), "steps": steps, "error": torch.tensor(sample.error)}


def _as_rgb(planes: Tensor) -> Tensor:
    """Differences of Y', Cb, Cr in codes as those of R'G'B', (B, 3, H, W)."""
    rgb = spaces.from_ycbcr(planes[:, 0] / 219, planes[:, 1] / 224, planes[:, 2] / 224, TAGS.matrix)
    return torch.stack(rgb, dim=1)


def _decibels(error: Tensor) -> float:
    return -10 * float(torch.log10(_as_rgb(error).square().mean().clamp_min(LEAST / 100)))


def _planes_of(picture: Tensor) -> Tensor:
    """Y', Cb, Cr at every pixel in codes of 8 bits, limited range, of BT.709, (3, H, W)."""
    luma, blue, red = spaces.to_ycbcr(picture[0], picture[1], picture[2], TAGS.matrix)
    return torch.stack([16 + 219 * luma, 128 + 224 * blue, 128 + 224 * red])
