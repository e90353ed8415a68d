"""A seed that learns later moves the ends of the windows along, and what that does is foreseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated_truths import Truth, simulated

from dominoes.theory.edges import edges, moved
from dominoes.theory.questions.conflicts import WANTED
from dominoes.theory.run_arrays import Slice, arrays, log_time_weights
from dominoes.theory.windows import shared, windows

STEPS = np.unique(np.round(np.geomspace(1, 100_000, 2000)))


def measured(onsets: np.ndarray) -> Slice:
    """Curves of (S, 2) onsets, logistic in log time, without noise."""
    rise = 1 / (1 + (STEPS / onsets[..., None]) ** -1.5)
    accuracy = 0.1 + 0.9 * rise
    values = (accuracy[:, 0], accuracy[:, 1])
    return Slice(values, STEPS, log_time_weights(STEPS), 1000, (), np.arange(len(onsets)), np.arange(len(STEPS)))


def window(found: Slice, name: str) -> tuple[np.ndarray, np.ndarray]:
    used = windows(found.steps, *(side.mean(axis=0) for side in found.values), 0.1)[name]
    weights = shared(used, found.weights)
    assert weights is not None
    return used, weights


@pytest.mark.parametrize("name", ["rise", "late"])
def test_what_an_edge_gains_is_how_the_ratio_moves(name: str) -> None:
    """Two seeds of which one learns 5 % later or earlier: what its deviation from the mean of both is said to add is how the ratio's
    logarithm moves with the window, formed anew, when the mean moves as far."""
    onsets = np.array([[50.0, 400.0], [50.0, 400.0]])
    before = measured(onsets)
    weights = window(before, name)[1]
    # Any two quantities of time, the same whichever seeds there are.
    above, below = (np.tile(values, (2, 1)) for values in (np.log(STEPS) ** 2, 3 + np.sin(np.log(STEPS))))
    for factor in (0.95, 1.05):
        onsets[1] = [50 * factor, 400 * factor]
        after = measured(onsets)
        ratio = [float(np.log(above[0] @ each) - np.log(below[0] @ each)) for each in (weights, window(after, name)[1])]
        added = moved(edges(after, name, window(after, name)[0], 10), above, below, window(after, name)[1], 10 / 9)[0]
        assert added.sum() == pytest.approx(0, abs=1e-12)
        assert added[1] == pytest.approx(ratio[1] - ratio[0], rel=0.15)


def test_a_ratio_that_stays_the_same_is_not_moved() -> None:
    """Where what is measured is everywhere the same multiple of what is predicted the ends do nothing."""
    found = measured(np.array([[50.0, 400.0], [60.0, 300.0]]))
    used, weights = window(found, "rise")
    above = np.tile(np.log(STEPS), (2, 1))
    of_seeds, by = moved(edges(found, "rise", used, 10), above, 3 * above, weights, 10 / 9)
    assert np.abs(of_seeds).max() < 1e-12
    assert max(np.abs(each).max() for each in by) < 1e-12


def test_ends_that_no_rise_sets_do_not_move() -> None:
    """The late window ends where training ends, and a window that begins where the patterns become known begins there for every seed."""
    curves, classes, joint = simulated(Truth(n=400, points=30), 3)
    data = arrays(curves, classes, joint=joint)
    found = data.common(WANTED)
    assert not isinstance(found, str)
    used = window(replace(found, values=found.values[:2]), "late")[0]
    assert len(edges(found, "late", used, 10)) == 1
    used[np.flatnonzero(used)[:2]] = False
    assert edges(found, "late", used, 10) == []
