"""Windows begin and end between steps, where curves pass a height, and move with the seeds and the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dominoes.theory.known import Known, known_windows
from dominoes.theory.run_arrays import Slice, log_time_weights

STEPS = np.unique(np.r_[0, np.round(np.geomspace(1, 100_000, 60))])
FINE = np.geomspace(1, 100_000, 4000)


def measured(onsets: np.ndarray, steps: np.ndarray = STEPS) -> Slice:
    """Curves of (S, 2) onsets, logistic in log time, without noise."""
    rise = 1 / (1 + (np.maximum(steps, 1e-9) / onsets[..., None]) ** -1.5)
    accuracy = 0.1 + 0.9 * rise
    return Slice((accuracy[:, 0], accuracy[:, 1]), steps, log_time_weights(steps), 1000, (), np.arange(len(onsets)), np.arange(len(steps)))


def window(found: Slice, name: str, least: float = 0.05) -> Known:
    return next(part for part in known_windows(found, 10, least) if isinstance(part, Known) and part.window == name)


@pytest.mark.parametrize("name", ["early", "rise", "late"])
def test_an_average_over_a_window_is_the_integral_between_its_ends(name: str) -> None:
    """Of a quantity that is linear in log time: its value in the middle between where the curves, also linear in log time between 60
    steps, pass the ends, here found on 4,000 steps."""
    onsets = np.array([[50.0, 400.0], [60.0, 300.0]])
    coarse = measured(onsets)
    part = window(coarse, name, 0.001)
    assert part.weights.sum() == pytest.approx(1)
    top, bottom = (np.interp(np.log(FINE), np.log(STEPS[1:]), side.mean(axis=0)[1:]) for side in coarse.values)
    both = np.interp(np.log(FINE), np.log(STEPS[1:]), np.prod([(side - 0.1) / 0.9 for side in coarse.values], axis=0).mean(axis=0)[1:])
    rise = np.mean([(side - 0.1) / (side[-1] - 0.1) for side in (top, bottom)], axis=0)
    inside = {"early": rise < 0.2, "rise": (rise >= 0.2) & (rise <= 0.8), "late": rise > 0.8}[name] & (both > 0.001)
    middle = np.log(FINE[inside])[[0, -1]].mean()
    assert part.weights[1:] @ np.log(STEPS[1:]) == pytest.approx(middle, abs=0.01)


def test_each_fold_is_the_window_of_the_seeds_that_remain() -> None:
    """The window without a seed is that of a table that never had it."""
    onsets = np.array([[50.0, 400.0], [60.0, 300.0], [70.0, 500.0]])
    for name in ("rise", "late"):
        part = window(measured(onsets), name)
        assert part.folds.shape == (4, len(STEPS))
        for seed in range(3):
            assert part.folds[1 + seed] == pytest.approx(window(measured(np.delete(onsets, seed, axis=0)), name).weights)


@pytest.mark.parametrize("name", ["rise", "late"])
def test_what_hard_pictures_do_to_a_ratio_by_moving_its_window(name: str) -> None:
    """A few more tops, or bottoms, silent at all steps, the same for all seeds: what is said to be added to the average above at a fixed
    average below is how the ratio moves with the window, formed anew."""
    before = measured(np.array([[50.0, 400.0], [60.0, 300.0]]))
    part, silent = window(before, name), 10 / 9
    # Any two quantities of time, the same whichever pictures there are.
    time = np.log(np.maximum(STEPS, 1.0))
    above, below = (np.tile(values, (2, 1)) for values in (1 + time**2, 3 + np.sin(time)))
    for side in (0, 1):
        more = 1e-3 * np.linspace(2, 1, len(STEPS))
        values = list(before.values)
        values[side] = values[side] - more / silent
        after = window(replace(before, values=tuple(values)), name)
        ratio = [float(np.log(above[0] @ each.weights) - np.log(below[0] @ each.weights)) for each in (part, after)]
        added = part.moved(above, below, silent)[side] @ more / (above[0] @ part.weights)
        assert added == pytest.approx(ratio[1] - ratio[0], rel=0.05)


def test_a_ratio_that_stays_the_same_is_not_moved() -> None:
    """Where what is measured is everywhere the same multiple of what is predicted the ends do nothing."""
    part = window(measured(np.array([[50.0, 400.0], [60.0, 300.0]])), "rise")
    above = np.tile(np.log(np.maximum(STEPS, 1.0)), (2, 1))
    assert max(np.abs(each).max() for each in part.moved(above, 3 * above, 10 / 9)) < 1e-9


def test_one_seed_has_one_window() -> None:
    """There is nothing to leave out, and a window without a seed in which nothing is known stays that of all."""
    assert window(measured(np.array([[50.0, 400.0]])), "rise").folds.shape == (1, len(STEPS))
    # The second seed alone never learns its bottom, so that no step is known without the first.
    lost = measured(np.array([[50.0, 400.0], [50.0, 1e12]]))
    part = window(lost, "late")
    assert np.isfinite(part.folds).all()
    assert part.folds.sum(axis=1) == pytest.approx(np.ones(3))


def test_a_window_of_one_step_is_told_in_the_singular() -> None:
    """A reason speaks of the only step of a window as one."""
    steps = np.array([0.0, 1, 10, 100, 1000])
    reasons = [part[1] for part in known_windows(measured(np.array([[50.0, 50.0]]), steps), 10, 0.05) if isinstance(part, tuple)]
    assert any("at one step, and there is only one" in reason or "at no step, and there is only one" in reason for reason in reasons)
    assert not any("of the 1 there" in reason for reason in reasons)
