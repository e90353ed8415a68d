"""Intervals over few seeds cover as often as they say; verdicts follow from intervals and stated ranges alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, Interval, number
from dominoes.theory.verdicts import BANDS, COMPARISON, Answer, Options, comparison, gathered, joined


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 8])
def test_intervals_cover_at_any_number_of_seeds(n_seeds: int) -> None:
    """The 95 % interval of a mean over 2, 3, 5 or 8 seeds covers the truth in 92.5 to 97.5 % of 1,000 simulations."""
    bootstrap = Options(resamples=1000).bootstrap(n_seeds)
    generator = np.random.default_rng(1)
    found = [bootstrap.mean(values) for values in generator.normal(size=(1000, n_seeds))]
    assert 0.925 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.975


def test_the_interval_of_a_mean_is_students() -> None:
    """For a mean over seeds the corrected bootstrap is Student's t interval, up to the resampling."""
    from scipy import stats

    values = np.random.default_rng(2).normal(size=6)
    found = Options(resamples=20000).bootstrap(6).mean(values)
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert found.low == pytest.approx(low, abs=0.02 * (high - low))
    assert found.high == pytest.approx(high, abs=0.02 * (high - low))


def test_a_known_error_of_the_pictures_widens_the_interval() -> None:
    """The error that all seeds share is added: an interval over identical seeds is ± 1.96 of it."""
    found = Options().bootstrap(4).mean(np.ones(4), pictures=0.1)
    assert (found.low, found.high) == pytest.approx((1 - 0.196, 1 + 0.196), abs=1e-3)


def test_comparisons_are_paired() -> None:
    """What all seeds share cancels in a ratio: seeds that differ a thousandfold in both parts have a narrow interval."""
    scale = np.array([1.0, 10.0, 100.0, 1000.0])
    found = Options().bootstrap(4).log_ratio(1.1 * scale, scale).exp()
    assert found.estimate == pytest.approx(1.1)
    assert found.high - found.low < 1e-6


@given(low=st.floats(-2, 2), width=st.floats(0, 2))
def test_a_verdict_is_the_place_of_the_interval(low: float, width: float) -> None:
    """Wholly inside holds, wholly outside fails, and across an end cannot tell."""
    interval = Interval(low + width / 2, low, low + width)
    verdict = interval.verdict(-0.5, 0.5)
    if low >= -0.5 and low + width <= 0.5:
        assert verdict == HOLDS
    elif low > 0.5 or low + width < -0.5:
        assert verdict == FAILS
    else:
        assert verdict == CANNOT_TELL


def test_no_interval_is_no_verdict() -> None:
    """One seed has an estimate, no interval and no verdict, however good the estimate."""
    found = Options().bootstrap(1).mean(np.array([1.0]))
    assert found.estimate == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.exp().high)
    assert found.verdict(0.9, 1.1) == CANNOT_TELL


def test_intervals_too_wide_for_floats_stay_finite() -> None:
    """Two seeds far apart give an interval that is enormous and still a number."""
    found = Interval(0.0, -1e4, 1e4).exp()
    assert 0 < found.low < 1e-20
    assert 1e20 < found.high < math.inf


def test_answers_are_gathered_and_tables_joined_in_order() -> None:
    """Rows keep their order, notes are kept once, and nothing at all is an empty table with the right columns."""
    options = Options()
    parts = [options.unanswered("a", "no rows", 3), options.unanswered("b", "no rows", 3, side="top")]
    parts = [Answer(part.verdicts, (), ("twice",)) for part in parts]
    one = comparison(gathered(parts), ["first"], "g")
    assert list(one.table["question"]) == ["a", "b"]
    assert one.notes == ("first", "twice")
    assert one.lines() == ["cannot tell [g] a: no rows", "cannot tell [g] b of the top: no rows", "note        first", "note        twice"]
    both = joined([one, comparison(gathered(parts[:1]), ["first"], "h")])
    assert list(both.table["group"]) == ["g", "g", "h"]
    assert both.notes == ("first", "twice")
    nothing = joined([])
    assert tuple(nothing.table.columns) == COMPARISON
    assert tuple(nothing.bands.columns) == BANDS


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1.0, "1.00"), (0.12345, "0.123"), (-12.345, "-12.3"), (123456.0, "123456"), (1e-7, "1.00e-07")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """Numbers for people: three significant digits, exponents only where there is no other way."""
    assert number(value) == text
