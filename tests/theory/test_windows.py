"""Windows follow the rise of the pair; onsets are where a curve is half risen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dominoes.theory.windows import WINDOWS, onset, risen, shared, windows

STEPS = np.unique(np.r_[0, np.round(np.geomspace(1, 4000, 50))])


def curve(at: float, top: float = 1.0) -> np.ndarray:
    """Accuracy with chance 0.1 that is half risen at `at`."""
    return 0.1 + (top - 0.1) / (1 + (np.maximum(STEPS, 1e-9) / at) ** -2.0)


def test_windows_split_all_steps_but_the_first() -> None:
    """Each step after 0 is in one window, in the order early, rise, late, at a fifth and four fifths of the mean rise of the pair."""
    found = windows(STEPS, curve(20), curve(200), 0.1)
    assert tuple(found) == WINDOWS
    assert np.sum(list(found.values()), axis=0).tolist() == [0, *[1] * (len(STEPS) - 1)]
    rise = np.mean([(each - 0.1) / (each[-1] - 0.1) for each in (curve(20), curve(200))], axis=0)
    assert rise[found["early"]].max() < 0.2 <= rise[found["rise"]].min()
    assert rise[found["rise"]].max() <= 0.8 < rise[found["late"]].min()


def test_a_side_that_is_never_learned_has_no_say() -> None:
    """The windows are then those of the other side; where neither is learned all is early."""
    flat = np.full(len(STEPS), 0.1)
    alone, both = windows(STEPS, curve(20), flat, 0.1), windows(STEPS, curve(20), curve(20), 0.1)
    assert all((alone[name] == both[name]).all() for name in WINDOWS)
    assert windows(STEPS, flat, flat, 0.1)["early"].sum() == len(STEPS) - 1
    assert risen(flat, 0.1) is None


def test_a_window_of_one_step_has_no_average() -> None:
    """Two steps with a share of log time are needed."""
    weights = np.array([0.0, 0.5, 0.5])
    assert shared(np.array([True, True, False]), weights) is None
    found = shared(np.array([False, True, True]), weights)
    assert found is not None
    assert found.tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize("at", [3.0, 40.0, 900.0])
def test_the_onset_is_where_a_curve_is_half_risen(at: float) -> None:
    """Against the curve's own parameter; a curve that is never learned has none, one that is known at once has the first step's."""
    assert onset(STEPS, curve(at), 0.1) == pytest.approx(at, rel=0.1)
    assert math.isnan(onset(STEPS, np.full(len(STEPS), 0.11), 0.1))
    assert onset(STEPS, np.full(len(STEPS), 0.9), 0.1) == 1
