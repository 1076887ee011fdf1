"""Sequences coded as consumer cameras code them, made while training, beside the masters that they came from.

Pieces of twice the size are halved by area, which gives masters of more than 8 bits and of full chroma; they are
rounded to 8 bits, 4:2:0, and go through H.264 at a rate drawn uniformly, as "Decoding consumer-grade video" (Eder,
section 3.1) draws it. Pieces are large and coded once: what a coder spends on headers would eat the rate of a crop,
and the paper found coding beside the training too slow as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.frame import ColorTags
from answerprint.media.planes import from_rgb
from answerprint.train import septuplets
from answerprint.train.data import Library, to_pictures
from answerprint.train.params import Training

TAGS = ColorTags("bt709", "bt709", "bt709", "limited", "left")
RATES = (0.0417, 0.2504)  # the paper's, in bits a pixel


class CodedTraining(Training):
    """Options of runs on coded sequences."""

    sequences: int = Field(600, ge=1, description="Sequences of seven frames that are coded before the first step.")
    piece: int = Field(288, ge=32, multiple_of=16, description="Longest side of their pictures, after halving.")
    rates: tuple[float, float] = Field(RATES, description="Range of their rates in bits a pixel.")
    septuplets: Path | None = Field(None, description="A set of septuplets that half of the samples come from.")


@dataclass(frozen=True, eq=False)
class CodedSequence:
    """Seven frames and what a coder made of them.

    Attributes:
        master: R'G'B', (7, 3, H, W), even sizes.
        coded: Y, Cb, Cr of each as the decoder gives them, the rate, the step of the quantizer.
    """

    master: Tensor
    coded: septuplets.Coded

    def septuplet(self) -> septuplets.Septuplet:
        """The same as a sample of a set: the target is the middle frame."""
        y, cb, cr = (np.stack(planes) for planes in zip(*self.coded.frames, strict=True))
        target = from_rgb(self.master[septuplets.LENGTH // 2], "yuv444p16", TAGS)
        color = {"primaries": TAGS.primaries, "transfer": TAGS.transfer, "matrix": TAGS.matrix}
        facts = {"color": color, "bits a pixel": self.coded.rate, "quantizer": self.coded.step}
        return septuplets.Septuplet((y, cb, cr), np.stack([plane.numpy() for plane in target]), facts)


def sequences(data: Library, count: int, piece: int, rates: tuple[float, float], seed: int) -> Iterator[CodedSequence]:
    """The same sequences whenever they are asked for, each by its number alone.

    Args:
        data: clips that pieces are drawn from.
        count: how many.
        piece: longest side of their pictures in pixels, after halving.
        rates: lowest and highest rate in bits a pixel.
        seed: everything random follows from it.
    """
    return (_sequence(data, number, piece, rates, seed) for number in range(count))


def _sequence(data: Library, number: int, piece: int, rates: tuple[float, float], seed: int) -> CodedSequence:
    rng = np.random.default_rng([seed, number])
    # Nothing mirrored: at its edge motion would turn around, as it never does in footage.
    clip = data.crop(rng, 2 * piece, septuplets.LENGTH, grown=False)
    clip = clip[:, : clip.shape[1] // 4 * 4, : clip.shape[2] // 4 * 4]
    master = F.avg_pool2d(to_pictures(np.ascontiguousarray(clip)), 2)
    stored = [from_rgb(picture.contiguous(), "yuv420p", TAGS) for picture in master]
    offered = [(y.numpy(), cb.numpy(), cr.numpy()) for y, cb, cr in stored]
    return CodedSequence(master, septuplets.at_rate(offered, "h264", float(rng.uniform(*rates))))
