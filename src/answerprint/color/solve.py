"""Fits a readable grade to an objective, stage by stage: an ASC CDL or seven plain parameters, curves, a residual LUT.

What is tuned is a free vector that every bound is built into (`values.bound`), so no step can leave them and no penalty
is needed to keep them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from answerprint.color import lattice, values
from answerprint.color.objective import Objective
from answerprint.color.values import NEUTRAL, Values

_PULL, _HOLD = 0.02, 1.0  # what a free number 1 away from neutral costs, or from the grade of the whole shot
_ROUGH = 20.0  # what the roughness of a residual LUT costs
_LARGEST_RESIDUAL = 0.25


@dataclass(frozen=True, eq=False)
class Solution:
    """A grade and the way it went.

    Attributes:
        values: the numbers.
        residual: (n, n, n, 3) added on top by a LUT, if asked for.
        before, after: distance to the look.
        shares: stage -> its share of the way, which together are 1 (0 where nothing was won).
        error: color error left, CIEDE2000.
        iterations: how many were needed.
        free: stage -> its free vector, for a fit that begins there.
    """

    values: Values
    residual: Tensor | None
    before: float
    after: float
    shares: dict[str, float]
    error: float
    iterations: int
    free: dict[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """What is tuned, in stages; each stage keeps the values of the stages before it.

    Attributes:
        stages: label and names of the values of each.
        iterations: of each stage, at most.
        lut: points per axis of the residual LUT; 0 = none.
    """

    stages: tuple[tuple[str, tuple[str, ...]], ...]
    iterations: int = 500
    lut: int = 0


def fit(
    objective: Objective, plan: Plan, near: Solution | None = None, say: Callable[[str], None] | None = None
) -> Solution:
    """Tunes a grade, stage by stage.

    Args:
        near: a grade that this one begins at and is held near to, for one of several keys of a shot.
        say: hears of the progress, a line per stage.
    """
    best, iterations, vectors = NEUTRAL, 0, dict[str, Tensor]()
    distances = [objective.distance(lambda pixels: pixels)]
    for label, names in plan.stages:
        center = near.free.get(label) if near is not None else None
        if center is None:
            center = torch.zeros(sum(values.sizes(names).values()))
        rest = objective.after(values.transform(best))
        loss = _stage_loss(rest, names, center, _HOLD if near else _PULL)
        free, count = descend(loss, center, plan.iterations)
        iterations += count
        candidate = values.to_values(values.bound(free, names), best)
        distance = objective.distance(values.transform(candidate))
        # A stage that brings nothing is left neutral: no number without a reason.
        if distance < distances[-1]:
            best, vectors[label] = candidate, free
        distances.append(min(distance, distances[-1]))
        if say is not None:
            say(f"{label}: {count} iterations, distance {distances[-2]:.2f} -> {distances[-1]:.2f}")
    residual = near.residual if near is not None else None
    if plan.lut and near is None:
        candidate_residual, count = _fit_residual(objective.after(values.transform(best)), plan)
        distance, iterations = objective.distance(values.transform(best, candidate_residual)), iterations + count
        residual = candidate_residual if distance < distances[-1] else None
        distances.append(min(distance, distances[-1]))
    labels = [label for label, _ in plan.stages] + (["LUT"] if plan.lut and near is None else [])
    error = objective.error(values.transform(best, residual))
    return Solution(best, residual, distances[0], distances[-1], _shares(labels, distances), error, iterations, vectors)


def measure(objective: Objective, stages: Sequence[tuple[str, Mapping[str, Tensor]]], iterations: int) -> Solution:
    """Measures a grade that came from elsewhere (a network), stage by stage as `fit` measures its own."""
    grade, distances = NEUTRAL, [objective.distance(lambda pixels: pixels)]
    for _, tensors in stages:
        grade = values.to_values(tensors, grade)
        distances.append(objective.distance(values.transform(grade)))
    shares = _shares([label for label, _ in stages], distances)
    error = objective.error(values.transform(grade))
    return Solution(grade, None, distances[0], distances[-1], shares, error, iterations, {})


def _shares(labels: Sequence[str], distances: Sequence[float]) -> dict[str, float]:
    way = distances[0] - distances[-1]
    steps = zip(labels, distances[:-1], distances[1:], strict=True)
    return {label: round((a - b) / way, 4) if way > 0 else 0.0 for label, a, b in steps}


def _stage_loss(
    objective: Objective, names: tuple[str, ...], center: Tensor, pull: float
) -> Callable[[Tensor], Tensor]:
    """Loss of a free vector; a small pull towards `center` settles what the colors leave open."""

    def loss(free: Tensor) -> Tensor:
        tensors = values.bound(free, names)
        return objective.loss(lambda pixels: values.apply(pixels, tensors)) + pull * (free - center).square().sum()

    return loss


def _fit_residual(objective: Objective, plan: Plan) -> tuple[Tensor, int]:
    """The residual LUT (n, n, n, 3), rounded to four digits, and how many iterations it took."""
    n = plan.lut

    def loss(free: Tensor) -> Tensor:
        residual = _LARGEST_RESIDUAL * torch.tanh(free.view(n, n, n, 3))
        return objective.loss(lattice.residual_cube(residual).apply) + _ROUGH * lattice.roughness(residual)

    free, count = descend(loss, torch.zeros(n**3 * 3), plan.iterations)
    return (_LARGEST_RESIDUAL * torch.tanh(free.view(n, n, n, 3))).mul(1e4).round().div(1e4), count


def descend(loss: Callable[[Tensor], Tensor], begin: Tensor, iterations: int) -> tuple[Tensor, int]:
    """Makes `loss` small from `begin` (n,) on, by L-BFGS (Liu and Nocedal 1989) with a strong Wolfe line search.

    Stops when twice ten iterations bring less than two thousandths.

    Returns:
        The vector with the lowest loss, (n,), and how many iterations it took.
    """
    with _one_thread():
        return _descend(loss, begin, iterations)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pictures are so small here that several threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _descend(loss: Callable[[Tensor], Tensor], begin: Tensor, iterations: int) -> tuple[Tensor, int]:
    free = begin.clone().requires_grad_(True)
    best, lowest, count, idle = begin.clone(), math.inf, 0, 0
    block = min(10, iterations)
    optimizer = torch.optim.LBFGS([free], 1.0, block, block * 2, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(free)
        value.backward()  # type: ignore[no-untyped-call]
        if free.grad is not None:
            free.grad.nan_to_num_(0.0, 0.0, 0.0)
        return value.detach()

    while count < iterations and idle < 2:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        count += block
        with torch.no_grad():
            current = float(loss(free)) if bool(torch.isfinite(free).all()) else math.inf
        idle = 0 if current < lowest - 2e-3 * max(abs(lowest), 1e-3) or math.isinf(lowest) else idle + 1
        if current < lowest:
            lowest, best = current, free.detach().clone()
        elif not math.isfinite(current):
            break
    return best, min(count, iterations)
