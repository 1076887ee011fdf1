"""The best moves by the cross-entropy method (Rubinstein 1999; de Boer, Kroese, Mannor and Rubinstein 2005)."""

from __future__ import annotations

import numpy as np

from answerprint.operations.mood.moves import SMALLEST, Array
from answerprint.operations.mood.reward import Goal, reward
from answerprint.operations.mood.samples import MoodSamples

_DRAWS, _ELITE = 48, 8  # moves drawn in a round, and the best of them that the next round is drawn around
_NARROW = 0.01  # deviation at which the search is over


def search(samples: MoodSamples, goal: Goal, center: Array, reach: float, rounds: int, seed: int) -> Array:
    """The best moves (6,) within `reach` of `center` (both in -1..1), without those that bring next to nothing."""
    chance = np.random.default_rng(seed)
    mean, deviation = center.copy(), np.full(len(center), 0.5 * reach)
    best, highest = center.copy(), float(reward(samples, center[None], goal)[0])
    for _ in range(rounds):
        draws = chance.normal(mean, deviation, (_DRAWS, len(mean)))
        draws = draws.clip(np.maximum(center - reach, -1), np.minimum(center + reach, 1))
        rewards = reward(samples, draws, goal)
        elite = draws[np.argsort(-rewards)[:_ELITE]]
        if rewards.max() > highest:
            best, highest = draws[rewards.argmax()].copy(), float(rewards.max())
        # Smoothed, so that one lucky round does not end the search (de Boer et al. 2005, remark 3.1).
        mean, deviation = 0.3 * mean + 0.7 * elite.mean(0), 0.3 * deviation + 0.7 * elite.std(0)
        if deviation.max() < _NARROW:
            break
    return _prune(samples, goal, best, highest)


def _prune(samples: MoodSamples, goal: Goal, moves: Array, highest: float) -> Array:
    """The moves without those that bring next to nothing: fewer are easier to read and to change."""
    pruned = moves.copy()
    for i in np.argsort(np.abs(moves)):
        without = pruned.copy()
        without[i] = 0
        rewarded = float(reward(samples, without[None], goal)[0])
        if abs(pruned[i]) < SMALLEST or rewarded > highest - 0.01:
            pruned, highest = without, max(rewarded, highest - 0.01)
    return pruned
