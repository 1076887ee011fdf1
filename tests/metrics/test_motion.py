"""Measures of flow on cases counted by hand."""

import math

import pytest
import torch

from answerprint.metrics import motion


def test_f1() -> None:
    mask, truth = torch.tensor([1, 1, 0, 0]).bool(), torch.tensor([1, 0, 1, 0]).bool()
    assert motion.f1(mask, truth) == 0.5 and motion.f1(truth, truth) == 1.0
    assert math.isnan(motion.f1(torch.zeros(3).bool(), torch.zeros(3).bool()))


def test_area() -> None:
    truth = torch.tensor([1, 1, 0, 0]).bool()
    assert motion.area(torch.tensor([0.9, 0.8, 0.2, 0.1]), truth) == 1.0
    assert motion.area(torch.tensor([0.1, 0.2, 0.8, 0.9]), truth) == 0.0
    assert motion.area(torch.tensor([0.5, 0.5, 0.5, 0.5]), truth) == 0.5
    assert motion.area(torch.tensor([0.9, 0.3, 0.6, 0.1]), truth) == pytest.approx(0.75)
    assert math.isnan(motion.area(torch.rand(4), torch.ones(4).bool()))
