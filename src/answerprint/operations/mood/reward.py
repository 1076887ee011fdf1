"""Reward of moves: how near to the target they come, less what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from answerprint.color import emotion
from answerprint.operations.mood.moves import Array, grade_of
from answerprint.operations.mood.samples import MoodSamples, displayed_lab, polar

_PLAUSIBLE_HUE, _PLAUSIBLE_CHROMA = (15.0, 85.0), (5.0, 50.0)  # of skin: a little more than `samples` takes for it
_TINTED = 12.0  # chroma up to which a gray may be tinted
_COSTS = {"structure": 12.0, "skin": 0.08, "gray": 0.06, "clipped": 8.0, "moves": 0.06}


@dataclass(frozen=True, eq=False)
class Goal:
    """Target and limit of a search.

    Attributes:
        target: warm, heavy, active, (3,).
        structure: SSIM of luma to the source under which structure lost costs, 0..1.
    """

    target: Tensor
    structure: float


def reward(samples: MoodSamples, moves: Array, goal: Goal) -> Array:
    """The reward (n,) of moves (n, 6): 0 is the target reached at no cost; -inf where it is no number."""
    grades = {name: torch.from_numpy(number).float() for name, number in grade_of(moves).items()}
    with torch.no_grad():
        graded = samples.graded_by_each(grades, len(moves))
        lab = displayed_lab(graded, samples.tags)
        away = emotion.distance(emotion.emotion(lab), goal.target)
        each = [{name: number[i] for name, number in grades.items()} for i in range(len(moves))]
        structure = torch.stack([samples.structure(grade) for grade in each])
        cost = (
            _COSTS["structure"] * (goal.structure - structure).clamp_min(0)
            + _COSTS["clipped"] * (_clipped(graded) - _clipped(samples.colors)).clamp_min(0)
            + _COSTS["skin"] * _implausible(lab, samples.skin)
            + _COSTS["gray"] * _tinted(lab, samples.gray)
        )
    effort = _COSTS["moves"] * np.abs(moves).mean(-1)
    rewards: Array = -(away + cost).double().numpy() - effort
    return np.nan_to_num(rewards, nan=-np.inf)


def _clipped(colors: Tensor) -> Tensor:
    """Share of colors (..., n, 3) outside of 0..1."""
    return ((colors > 1.001) | (colors < -0.001)).any(-1).float().mean(-1)


def _implausible(lab: Tensor, skin: Tensor) -> Tensor:
    """Mean distance, in CIELAB units, of what was skin to what can be skin, (count,); 0 where there is none."""
    if not bool(skin.any()):
        return torch.zeros(lab.shape[0])
    chroma, hue = polar(lab[:, skin])
    low, high = _PLAUSIBLE_HUE
    turn = torch.deg2rad((low - hue).clamp_min(0) + (hue - high).clamp_min(0)) * chroma
    pale, rich = _PLAUSIBLE_CHROMA
    return (turn + (pale - chroma).clamp_min(0) + (chroma - rich).clamp_min(0)).mean(-1)


def _tinted(lab: Tensor, gray: Tensor) -> Tensor:
    """Mean chroma of what was gray above what a tint may be, (count,)."""
    if not bool(gray.any()):
        return torch.zeros(lab.shape[0])
    chroma, _ = polar(lab[:, gray])
    return (chroma - _TINTED).clamp_min(0).mean(-1)
