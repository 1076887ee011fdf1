"""Sequences coded as consumer cameras code them, made while training, beside the masters that they came from.

Pieces of twice the size are halved by area, which gives masters of more than 8 bits and of full chroma; they are
rounded to 8 bits, 4:2:0, and go through H.264 at a rate drawn uniformly, as "Decoding consumer-grade video" (Eder,
section 3.1) draws it. Pieces are large and coded once: what a coder spends on headers would eat the rate of a crop,
and the paper found coding beside the training too slow as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint.frame import ColorTags
from answerprint.media import pixels
from answerprint.train import septuplets
from answerprint.train.data import Library

TAGS = ColorTags("bt709", "bt709", "bt709", "limited", "left")
RATES = (0.0417, 0.2504)  # the paper's, in bits a pixel


@dataclass(frozen=True, eq=False)
class Sequence:
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
        target = pixels.from_rgb(self.master[septuplets.LENGTH // 2], "yuv444p16", TAGS)
        color = {"primaries": TAGS.primaries, "transfer": TAGS.transfer, "matrix": TAGS.matrix}
        facts = {"color": color, "bits a pixel": self.coded.rate, "quantizer": self.coded.step}
        return septuplets.Septuplet((y, cb, cr), np.stack([plane.numpy() for plane in target]), facts)


def sequences(data: Library, count: int, piece: int, rates: tuple[float, float], seed: int) -> Iterator[Sequence]:
    """The same sequences whenever they are asked for, each by its number alone.

    Args:
        data: clips that pieces are drawn from.
        count: how many.
        piece: longest side of their pictures in pixels, after halving.
        rates: lowest and highest rate in bits a pixel.
        seed: everything random follows from it.
    """
    return (_sequence(data, number, piece, rates, seed) for number in range(count))


def _sequence(data: Library, number: int, piece: int, rates: tuple[float, float], seed: int) -> Sequence:
    rng = np.random.default_rng([seed, number])
    # Nothing mirrored: at its edge motion would turn around, as it never does in footage.
    clip = data.crop(rng, 2 * piece, septuplets.LENGTH, grown=False)
    clip = clip[:, : clip.shape[1] // 4 * 4, : clip.shape[2] // 4 * 4]
    master = F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2).float() / 255, 2)
    stored = [pixels.from_rgb(picture.contiguous(), "yuv420p", TAGS) for picture in master]
    offered = [(y.numpy(), cb.numpy(), cr.numpy()) for y, cb, cr in stored]
    return Sequence(master, septuplets.at_rate(offered, "h264", float(rng.uniform(*rates))))
