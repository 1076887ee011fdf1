"""Coded sequences: the same whenever they are asked for, at the rate asked for, in place with their masters."""

import cv2
import numpy as np
import pytest
import torch

from answerprint.metrics.quality import psnr
from answerprint.train import coded
from answerprint.train import data as training
from pictures import spots


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> training.Library:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for index in range(4):
        picture = spots(rng, 20, 26, 260, 330) + rng.normal(0, 3, (260, 330, 3))
        cv2.imwrite(str(folder / f"p_{index * 3}.png"), picture.clip(0, 255))
    return training.load([folder]).training


def test_a_sequence_depends_on_seed_and_number_alone(library: training.Library) -> None:
    two = list(coded.sequences(library, 2, 64, coded.RATES, 5))
    three = list(coded.sequences(library, 3, 64, coded.RATES, 5))
    for one, other in zip(two, three, strict=False):
        assert torch.equal(one.master, other.master) and one.coded.rate == other.coded.rate
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(one.coded.frames, other.coded.frames, strict=True))
    assert not torch.equal(three[1].master, three[2].master)
    other_seed = next(coded.sequences(library, 1, 64, coded.RATES, 6))
    assert not torch.equal(other_seed.master, two[0].master)


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_the_rate_is_met_and_the_sample_lies_on_its_master(library: training.Library, rate: float) -> None:
    sequence = next(coded.sequences(library, 1, 112, (rate, rate), 1))
    assert sequence.coded.rate == pytest.approx(rate, rel=0.06) and sequence.coded.step > 0
    assert sequence.master.shape == (7, 3, 112, 112)
    kept = sequence.septuplet()
    frames, truth = kept.coded(), kept.master()
    assert frames.shape == (7, 3, 112, 112)
    assert float((truth - sequence.master[3]).abs().max()) < 4 / 65535
    assert psnr(frames[3], truth) > 24
    beside = [psnr(frames[place], sequence.master[place]) for place in range(7)]
    assert min(beside) > psnr(frames[3], truth) - 5, "no frame lies on another's place"


def test_pieces_of_small_pictures_are_as_large_as_these_and_nothing_is_mirrored(library: training.Library) -> None:
    sequence = next(coded.sequences(library, 1, 288, (0.5, 0.5), 1))
    assert sequence.master.shape == (7, 3, 130, 130)
    assert all(planes[0].shape == (130, 130) for planes in sequence.coded.frames)


def test_a_piece_of_a_sample_is_the_same_piece_of_all_its_planes(library: training.Library) -> None:
    kept = next(coded.sequences(library, 1, 112, (0.5, 0.5), 1)).septuplet()
    piece = kept.cut(16, 32, 48, 64)
    inside = (..., slice(4, -4), slice(4, -4))
    assert torch.equal(piece.master(), kept.master()[:, 16:64, 32:96])
    # At its edge chroma is filled up from what is left of it.
    assert torch.allclose(piece.coded()[inside], kept.coded()[..., 16:64, 32:96][inside], atol=1e-5)
