"""Variance components: the method of moments against a textbook's formulas and a simulation, intervals that hold what they say."""

import numpy as np
import pytest

from dominoes.errors import CurvesError
from dominoes.studies import variance_components
from dominoes.studies.variance_components import components


def test_two_factors_have_the_textbooks_mean_squares() -> None:
    """σ²_a = (MS_a − MS_ab)/b with mean squares computed cell by cell."""
    y = np.array([[1.0, 2.0, 4.0], [2.0, 5.0, 3.0], [7.0, 7.0, 9.0], [1.0, 0.0, 2.0]])
    a, b = y.shape
    rows, columns, mean = y.mean(1), y.mean(0), y.mean()
    rest = sum((y[i, j] - rows[i] - columns[j] + mean) ** 2 for i in range(a) for j in range(b)) / ((a - 1) * (b - 1))
    found = components(y, ("deal", "seed"))
    assert found["deal"].estimate == pytest.approx((b * sum((rows - mean) ** 2) / (a - 1) - rest) / b)
    assert found["seed"].estimate == pytest.approx((a * sum((columns - mean) ** 2) / (b - 1) - rest) / a)
    assert found["deal x seed"].estimate == pytest.approx(rest)
    assert found["total"].estimate == pytest.approx(sum(found[name].estimate for name in ("deal", "seed", "deal x seed")))
    assert found["mean"].estimate == pytest.approx(mean)


def test_components_are_unbiased_and_a_factor_of_one_level_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean over simulated designs of 6 deals, 4 seeds and 2 probes: within four standard errors of the truth."""
    monkeypatch.setattr(variance_components, "RESAMPLES", 200)
    rng = np.random.default_rng(1)
    truth = {"deal": 0.04, "seed": 0.01, "probe": 0.02, "deal x seed": 0.01, "deal x seed x probe": 0.0025}
    shapes = {"deal": (6, 1, 1), "seed": (1, 4, 1), "probe": (1, 1, 2), "deal x seed": (6, 4, 1), "deal x seed x probe": (6, 4, 2)}
    found = []
    for _ in range(60):
        y = sum(np.sqrt(truth[name]) * rng.standard_normal(shape) for name, shape in shapes.items())
        each = components(y, ("deal", "seed", "probe"))
        found.append([each[name].estimate for name in truth])
        assert all(interval.low <= interval.estimate <= interval.high for interval in each.values())
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(mean - list(truth.values())) < 4 * error).all()
    assert list(components(y[:, :, :1], ("deal", "seed", "probe"))) == ["deal", "seed", "deal x seed", "total", "mean"]


def test_the_same_table_has_the_same_interval() -> None:
    """Nothing is left to chance: resamples have a stream of their own."""
    y = np.random.default_rng(2).standard_normal((5, 3))
    assert components(y, ("deal", "seed")) == components(y, ("deal", "seed"))


def test_what_is_not_crossed_is_refused() -> None:
    """One factor alone, or an empty cell."""
    with pytest.raises(CurvesError, match="two crossed factors of at least two levels"):
        components(np.ones((4, 1)), ("deal", "seed"))
    with pytest.raises(CurvesError, match="1 empty cells"):
        components(np.array([[1.0, np.nan], [1.0, 2.0]]), ("deal", "seed"))
