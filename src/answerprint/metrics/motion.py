"""How good flow is: hidden pixels found, and confidence that tells good vectors from bad ones."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def f1(mask: Tensor, truth: Tensor) -> float:
    """Harmonic mean of precision and recall of a bool mask; NaN where both are empty."""
    both = float((mask & truth).sum())
    total = float(mask.sum() + truth.sum())
    return 2 * both / total if total else float("nan")


def area(score: Tensor, truth: Tensor) -> float:
    """Area under the curve: the chance that a pixel where `truth` holds scores higher than one where it does not.

    Ties count half; NaN where it holds everywhere or nowhere.
    """
    values, order = np.unique(score.detach().flatten().numpy(), return_inverse=True)
    label = truth.flatten().numpy()
    yes, no = (np.bincount(order[mask], minlength=len(values)).astype(float) for mask in (label, ~label))
    if not (yes.sum() and no.sum()):
        return float("nan")
    return float((yes * (np.cumsum(no) - no / 2)).sum() / (yes.sum() * no.sum()))
