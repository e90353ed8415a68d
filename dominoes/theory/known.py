"""The windows in which rules are judged: the part of log time in which both patterns are known, early, in the rise and late.

A window begins and ends where the pair of curves has risen so far (`windows`), or where the patterns become known: between measured
steps, where the curves, linear in log time between steps, pass that height. So a seed that learns later moves its ends along, and so do
pictures that are hard; with the window held fixed that would seem to change what is measured in it. Each jackknife value is therefore
taken in the window of the seeds that remain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.intervals import BoolArray, without_each
from dominoes.theory.rules import fired
from dominoes.theory.run_arrays import Slice
from dominoes.theory.windows import ENDS, pair_risen, shared, windows

# By how much an accuracy is moved to see what that does to a window: less than the next higher or lower one lies away.
_MOVE = 1e-7


@dataclass(frozen=True)
class Known:
    """One window of log time, in which both patterns fire often enough to be looked at.

    Attributes:
        window: its name. used: (T,) the measured steps within it.
        folds: (1 + S, T) shares of log time of each step, sum 1: of the window of all seeds, then of the windows without each of them.
        by: (T, T) each for the top and the bottom: what the shares gain by its accuracy at each step.
    """

    window: str
    used: BoolArray
    folds: FloatArray
    by: tuple[FloatArray, FloatArray]

    @property
    def weights(self) -> FloatArray:
        """(T,) shares of log time in the window of all seeds."""
        return np.asarray(self.folds[0])

    def of_seeds(self, values: FloatArray) -> FloatArray:
        """(S, T) -> (S, 1 + S): each seed's average over each of the windows `folds`."""
        return np.asarray(values @ self.folds.T)

    def moved(self, above: FloatArray, below: FloatArray, silent: float) -> tuple[FloatArray, FloatArray]:
        """(T,), (T,): what the ends of the window do to the average `above`, at a fixed average `below`, by the share of tops that are
        silent at each step, and of bottoms.

        above, below: (S, T). silent: K/(K−1), silent halves for each wrong answer.
        """
        a, b = above.mean(axis=0), below.mean(axis=0)
        level, under = float(a @ self.weights), float(b @ self.weights)
        if not (level > 0 and under > 0):
            return np.zeros(len(a)), np.zeros(len(a))
        top, bottom = (-level / silent * (each @ (a / level - b / under)) for each in self.by)
        return top, bottom


def known_windows(measured: Slice, classes_count: int, least: float) -> list[Known | tuple[str, str]]:
    """For each window the part of it in which both patterns fire with probability over `least`, on average over seeds, or its name and why
    there is none.

    Earlier, everything is at chance, every rule predicts that, and agreement would be cheap. `measured.values` begin with the accuracies of
    the top and of the bottom alone.
    """
    top, bottom = measured.values[:2]
    p, q = fired(top, classes_count), fired(bottom, classes_count)
    both, chance = (p * q).mean(axis=0), 1 / classes_count
    seeds = without_each(measured.n_seeds)
    # The windows of all seeds, of all but one, and of curves moved at one step, of the top and of the bottom.
    move, scale = _MOVE * np.eye(len(both)), classes_count / (classes_count - 1)
    means = top.mean(axis=0), bottom.mean(axis=0)
    moved = [np.where(_first_so_high(mean), move, 0.0) for mean in means]
    of_top = np.concatenate([seeds @ top, means[0] + moved[0], np.tile(means[0], (len(both), 1))])
    of_bottom = np.concatenate([seeds @ bottom, np.tile(means[1], (len(both), 1)), means[1] + moved[1]])
    rise = pair_risen(of_top, of_bottom, chance)
    known = np.concatenate([seeds @ (p * q), both + scale * move * q.mean(axis=0), both + scale * move * p.mean(axis=0)])
    found: list[Known | tuple[str, str]] = []
    for name, inside in windows(measured.steps, *means, chance).items():
        used = inside & (both > least)
        if shared(used, measured.weights) is not None:
            lengths = _lengths(measured.steps, rise, known - least, *ENDS[name])
            size = lengths.sum(axis=1, keepdims=True)
            # Where too little is left without a seed, the window stays.
            weights = np.where(size > 0, lengths, lengths[0]) / np.where(size > 0, size, size[0])
            by = (weights[len(seeds) :] - weights[0]) / _MOVE
            found.append(Known(name, used, weights[: len(seeds)], (by[: len(both)], by[len(both) :])))
            continue
        where = "no step" if not used.any() else "one step" if used.sum() == 1 else "no two steps"
        count = int(inside.sum())
        where += f" of the {count} there" if count > 1 else ", and there is only one" if count else ", no step lies there"
        found.append((name, f"the two patterns are hardly known together: both fire with probability over {least:g} at {where}"))
    return found


def _first_so_high(curve: FloatArray) -> BoolArray:
    """(T,) whether a value is higher than all before it: of several that are equal the first alone moves the rise."""
    before = np.maximum.accumulate(np.concatenate([[-np.inf], curve[:-1]]))
    return np.asarray(curve > before)


def _lengths(steps: FloatArray, rise: FloatArray, known: FloatArray, low: float | None, high: float | None) -> FloatArray:
    """(B, T) the weight of each step in the integral over log time where rise is from `low` to `high` and `known` is positive; all (B, T),
    and linear in log time between steps, as is what is integrated."""
    started = steps > 0
    length = np.diff(np.log(steps[started]))
    begin, end = np.zeros((len(rise), len(length))), np.ones((len(rise), len(length)))
    heights = [known, *([] if low is None else [rise - low]), *([] if high is None else [high - rise])]
    for height in heights:
        before, after = height[:, started][:, :-1], height[:, started][:, 1:]
        apart = before - after
        zero = np.divide(before, apart, out=np.zeros_like(apart), where=apart != 0)
        begin = np.maximum(begin, np.where(before > 0, 0.0, np.where(after > 0, zero, 1.0)))
        end = np.minimum(end, np.where(after > 0, 1.0, np.where(before > 0, zero, 0.0)))
    inside, middle = np.maximum(end - begin, 0.0) * length, (begin + end) / 2
    found = np.zeros((len(rise), len(length) + 1))
    found[:, :-1] += inside * (1 - middle)
    found[:, 1:] += inside * middle
    whole = np.zeros(rise.shape)
    whole[:, started] = found
    return whole
