"""Agreement by equivalence: intervals of differences against simulation, pairs of runs, and the verdict's words."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dominoes.studies import agreement, headline_numbers
from dominoes.theory.intervals import Interval


def test_the_interval_of_a_difference_covers_it() -> None:
    """Two Student intervals of 6 and 4 values: the true difference lies inside in at least 93 of 100 simulations, and not in nearly all
    of them of an interval half as wide."""
    rng = np.random.default_rng(0)
    inside = half = 0
    for _ in range(800):
        ends = []
        for size, mean in ((6, 0.3), (4, 0.5)):
            values = mean + 0.1 * rng.standard_normal(size)
            ends.append(Interval(values.mean(), *stats.t.interval(0.95, size - 1, values.mean(), stats.sem(values))))
        found = agreement.difference(*ends)
        inside += found.low <= 0.2 <= found.high
        half += abs(found.estimate - 0.2) <= (found.high - found.low) / 4
    assert 0.93 <= inside / 800 <= 0.995
    assert half / 800 < 0.9


def test_ratios_are_compared_in_logarithms() -> None:
    """Twice as late is 2 whatever the unit; without a positive number there is no ratio."""
    found = agreement.difference(Interval(10, 9, 11), Interval(20, 18, 22), "ratio")
    assert found.estimate == pytest.approx(2)
    assert agreement.difference(Interval(100, 90, 110), Interval(200, 180, 220), "ratio").high == pytest.approx(found.high)
    assert math.isnan(agreement.difference(Interval(0, 0, 1), Interval(1, 1, 1), "ratio").estimate)
    assert agreement.difference(Interval(3, 2, 4), Interval(3, 2, 4)).triple == (0, 0, 0)


def test_verdicts() -> None:
    """Within the margin, outside, across; a factor for ratios; no margin, no verdict; one seed alone cannot tell."""
    assert agreement.verdict(Interval(0.0, -0.02, 0.02), 0.03) == "agrees"
    assert agreement.verdict(Interval(0.1, 0.05, 0.2), 0.03) == "differs"
    assert agreement.verdict(Interval(0.0, -0.05, 0.02), 0.03) == "cannot tell"
    assert agreement.verdict(Interval(0.9, 0.85, 1.1), 1.2, "ratio") == "agrees"
    assert agreement.verdict(Interval(0.5, 0.4, 0.6), 1.2, "ratio") == "differs"
    assert agreement.verdict(Interval(0.0, -9, 9), math.nan) == "no margin"
    assert agreement.verdict(Interval(0.0, math.nan, math.nan), 0.03) == "cannot tell"


def table(values: list[float]) -> pd.DataFrame:
    """Runs of one point by their late accuracy of the top, one a seed."""
    rows = [{"run": f"r{seed}", "seed": seed, "point": "all runs", "deal": 0, "probe": 0, "quantity": "late accuracy top", "value": value}
            for seed, value in enumerate(values)]  # fmt: skip
    return pd.DataFrame(rows)


def test_runs_that_are_in_both_are_compared_in_pairs() -> None:
    """Where every run moves by .01, the difference is .01 without doubt, though seeds differ by .3; independent runs cannot tell."""
    old, new = table([0.5, 0.6, 0.8]), table([0.51, 0.61, 0.81])
    numbers = headline_numbers.at_points(old), headline_numbers.at_points(new)
    (row,) = agreement.compared(*numbers, agreement.paired(old, new)).to_dict("records")
    assert (row["difference"], row["difference_low"], row["difference_high"]) == pytest.approx((0.01, 0.01, 0.01))
    assert (row["verdict"], row["paired"]) == ("agrees", True)
    (row,) = agreement.compared(*numbers).to_dict("records")
    assert (row["verdict"], row["paired"]) == ("cannot tell", False)
    assert not len(agreement.compared(numbers[0].assign(point="elsewhere"), numbers[1]))
