"""How far the ends of a window move with the curves that define it.

A window of training begins and ends where the pair of curves has risen so far (`windows`), so a seed that learns later moves its ends
along. With the window held fixed such a seed would seem to change what is measured in it; to first order, what the window gains and loses
at its ends is taken into account (the delta method).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.intervals import BoolArray
from dominoes.theory.run_arrays import Slice
from dominoes.theory.windows import ENDS, risen


@dataclass(frozen=True)
class Edge:
    """One end of a window that the rise of the curves sets.

    Attributes:
        steps: the two measured steps between which it lies (places among the steps).
        by: of the top and of the bottom, (T,) each: share of the window that is gained there, per accuracy at each step.
        gained: (S,) share of the window that each seed's own curves would gain there; mean 0.
    """

    steps: tuple[int, int]
    by: tuple[FloatArray, FloatArray]
    gained: FloatArray


def edges(measured: Slice, window: str, used: BoolArray, classes_count: int) -> list[Edge]:
    """The ends of a window that are set by the rise; not those of the curves themselves, or where the patterns become known.

    measured: a slice whose first values are the accuracies of the top and of the bottom alone. used: (T,) steps of the window.
    """
    accuracy, chance = measured.values[:2], 1 / classes_count
    means = [side.mean(axis=0) for side in accuracy]
    rises = [risen(mean, chance) for mean in means]
    known = [rise for rise in rises if rise is not None]
    places, started = np.flatnonzero(used), measured.steps > 0
    length = float(measured.weights[places].sum())
    if not known or not length > 0:
        return []
    mean, time = np.mean(known, axis=0), np.log(np.maximum(measured.steps, 1.0))
    length *= float(time[-1] - time[started][0])
    found = []
    for sign, level, place in ((-1, ENDS[window][0], int(places[0])), (1, ENDS[window][1], int(places[-1]))):
        before, after = (place - 1, place) if sign < 0 else (place, place + 1)
        if level is None or before < 0 or after >= len(mean) or not mean[before] <= level <= mean[after]:
            continue
        wide = max(before - 1, int(started.argmax())), min(after + 1, len(mean) - 1)
        speed = float((mean[wide[1]] - mean[wide[0]]) / (time[wide[1]] - time[wide[0]]))
        if not speed > 0:
            continue
        by = []
        for side, rise in zip(means, rises, strict=True):
            each = np.zeros(len(mean))
            if rise is not None:
                top = int(side.argmax())
                size = float(side[top] - chance) * len(known)
                each[[before, after]] += 0.5 / size
                each[top] -= float(rise[[before, after]].mean()) / size
            by.append(-sign * each / speed / length)
        gained = sum(((side - side.mean(axis=0)) @ each for side, each in zip(accuracy, by, strict=True)), np.zeros(measured.n_seeds))
        found.append(Edge((before, after), (by[0], by[1]), np.asarray(gained)))
    return found


def moved(
    found: list[Edge], above: FloatArray, below: FloatArray, weights: FloatArray, silent: float
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    """What the ends do to the logarithm of a ratio of averages over the window by the curves of each seed, (S,), and to the average
    above by the share of tops that are silent at each step, and of bottoms, (T,) each.

    above, below: (S, T), of which the averages are taken. silent: K/(K−1), silent halves for each wrong answer.
    """
    a, b = above.mean(axis=0), below.mean(axis=0)
    level, under = float(a @ weights), float(b @ weights)
    of_seeds, by = np.zeros(len(above)), [np.zeros(len(weights)) for _ in range(2)]
    if not (level > 0 and under > 0):
        return of_seeds, (by[0], by[1])
    for edge in found:
        differ = float(a[list(edge.steps)].mean()) / level - float(b[list(edge.steps)].mean()) / under
        of_seeds += differ * edge.gained
        for side in (0, 1):
            by[side] -= level * differ * edge.by[side] / silent
    return of_seeds, (by[0], by[1])
