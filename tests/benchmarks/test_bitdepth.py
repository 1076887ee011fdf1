"""What the bench of bit depth counts."""

from fractions import Fraction
from typing import Any

import torch

from answerprint.frame import Frame
from benchmarks import bitdepth


def test_the_papers_table_counts_no_synthetic_gradient() -> None:
    """A third of the masters was a gradient made here, which raised our share beside the paper's own."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(3, 16, 16, generator=generator)
    rounded = (truth * 255).round() / 255
    frames = tuple(Frame(rounded, Fraction(t, 25)) for t in range(bitdepth.LENGTH))
    coded = [
        bitdepth.CodedClip(name, bitdepth.RATES[-1], truth, None, frames)  # type: ignore[arg-type]
        for name in (bitdepth.GRADIENT, "a street")
    ]
    table = bitdepth._precision(coded, {"decoded only": [rounded, rounded], "ours": [truth, rounded]})
    shares: dict[Any, Any] = {(row[0], row[1]): row[2:] for row in table.rows}
    for bits in bitdepth.PAPER:
        assert shares[bits, "ours"] == shares[bits, "decoded only"]
    assert shares[10, "decoded only"][0] < 50 and any("gradient" in note for note in table.notes)
