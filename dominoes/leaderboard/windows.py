"""The three windows of a pair's learning: early, rise, late. An average over log time alone would be chance level for its greater part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.leaderboard.edition import SpecRuns
from dominoes.spec import SIDES

BOUNDS = (0.2, 0.8)
# A side that ends less than this above chance was not learned, and says nothing of when the pair was.
_LEARNED = 0.05


def rise(runs: SpecRuns, classes: int) -> FloatArray:
    """(T,) from 0 to 1: how far the pair of sides has risen, the mean over sides of (a − 1/K) / (highest a − 1/K), never falling.

    a is the mean over runs of the accuracy on one-sided dominoes. A side that was not learned is left out; 0 throughout if neither was.
    """
    chance = 1 / classes
    parts = []
    for side in SIDES:
        if (side, "accuracy") in runs.values:
            mean = runs.values[side, "accuracy"].mean(axis=0)
            if mean.max() - chance > _LEARNED:
                parts.append(np.clip((mean - chance) / (mean.max() - chance), 0, 1))
    if not parts:
        return np.zeros(len(runs.steps))
    return np.asarray(np.maximum.accumulate(np.mean(parts, axis=0)))


def window(runs: SpecRuns, classes: int) -> NDArray[np.intp]:
    """(T,) the number in WINDOWS of each step: rise below 20 %, to 80 %, above."""
    return np.asarray(np.digitize(rise(runs, classes), BOUNDS), dtype=np.intp)
