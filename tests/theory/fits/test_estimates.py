"""Curves fitted side by side against the plain twin, which takes one curve after the other."""

from __future__ import annotations

import math

import numpy as np
import plain_fits
import pytest

from dominoes.theory.fits.estimates import covariances
from dominoes.theory.fits.families import FAMILIES, find_family
from dominoes.theory.fits.one_seed import evaluate, fit_each, has_risen
from dominoes.theory.fits.records import CurveArrays, Quantity, Single

STEPS = np.concatenate([[0], np.unique(np.geomspace(1, 4300, 45).round())])


def curves(kind: str, seed: int) -> CurveArrays:
    """Sixty curves of all sorts: learned early, late or never, smooth, noisy and wandering, some with gaps, at few and many examples."""
    rng = np.random.default_rng(seed)
    count = 60
    loss = kind == "loss"
    speed, place, ceiling = rng.uniform(0.5, 6, count), rng.uniform(0.5, 9.5, count), rng.uniform(0.1, 1, count)
    share = ceiling[:, None] / (1 + np.exp(-speed[:, None] * (np.log(np.maximum(STEPS, 0.1)) - place[:, None])))
    share[::7] = 0
    share[3] = 1
    wander = rng.normal(size=share.shape)
    for n in range(1, len(STEPS)):
        wander[:, n] = 0.9 * wander[:, n - 1] + math.sqrt(1 - 0.9**2) * wander[:, n]
    noise = np.where(np.arange(count)[:, None] % 3 == 0, wander, rng.normal(size=share.shape)) * rng.choice([0, 0.01, 0.05], count)[:, None]
    values = math.log(10) * (1 - share) if loss else 0.1 + 0.9 * share
    values = np.clip(values + noise * (~(share == 1)), 0, None if loss else 1)
    values[rng.random(values.shape) < np.where(np.arange(count)[:, None] % 4 == 1, 0.2, 0)] = math.nan
    values[8, 3:] = math.nan
    values[9] = math.nan
    examples = rng.choice([20, 500, 5000], (count, 1)) * np.ones_like(values) if kind == "accuracy" else None
    floor = None if kind == "open" else math.log(10) if loss else 0.1
    return CurveArrays(STEPS, values, examples, floor, not loss)


def close(found: Quantity, expected: Quantity) -> bool:
    """Whether two estimates and their errors agree to the last digits that the order of sums leaves alone."""
    return all(np.isclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True) for a, b in zip(_pair(found), _pair(expected), strict=True))


def _pair(quantity: Quantity) -> tuple[float, float]:
    return quantity.value, quantity.error


@pytest.mark.parametrize("kind", ["accuracy", "shares", "loss", "open"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_batch_says_what_each_curve_alone_says(family: str, kind: str) -> None:
    """The same status, the same flags, and the same estimates and standard errors, whatever the other curves of the batch are."""
    batch = curves(kind, 5)
    found = fit_each(family, batch)
    statuses = set()
    for r, each in enumerate(found):
        alone = CurveArrays(
            STEPS, batch.values[r : r + 1], None if batch.examples is None else batch.examples[r : r + 1], batch.floor, batch.rising
        )
        expected: Single = plain_fits.fit_one(family, alone)
        statuses.add(expected.status)
        assert (each.status, each.learned, each.converged) == (expected.status, expected.learned, expected.converged), r
        assert each.named.keys() == expected.named.keys()
        pairs = [(each.named[name], expected.named[name]) for name in each.named]
        pairs += [(each.ceiling, expected.ceiling), (each.log_speed, expected.log_speed), (each.log_onset, expected.log_onset)]
        assert all(close(*pair) for pair in pairs), (r, pairs)
        assert np.allclose([each.level, each.floor, each.freedom], [expected.level, expected.floor, expected.freedom], equal_nan=True)
    # The curves are of enough sorts for the comparison to mean something.
    assert {"ok", "not learned"} <= statuses
    assert len(statuses) > 4, statuses


@pytest.mark.parametrize("kind", ["accuracy", "shares", "loss", "open"])
def test_what_has_risen_is_told_of_all_curves_as_of_each(kind: str) -> None:
    """The test for learning gives the plain twin's answer for each curve."""
    batch = curves(kind, 6)
    assert has_risen(batch).tolist() == plain_fits.has_risen(batch)
    assert 5 < has_risen(batch).sum() < len(batch.values) - 5


def test_errors_are_those_of_the_sandwich_written_out() -> None:
    """With one open parameter and correlated residuals, the variance is (JᵀΣJ) / (JᵀJ)² with the matrix of correlations written out."""
    family = find_family("logistic")
    rng = np.random.default_rng(0)
    jacobian = np.zeros((2, 5, 30))
    jacobian[:, 1] = rng.random((2, 30)) + 0.5
    noise = np.cumsum(rng.normal(size=(2, 30)), axis=1)
    open_ = np.zeros((2, 5), dtype=bool)
    open_[:, 1] = True
    seen = np.ones((2, 30), dtype=bool)
    values = evaluate(family, np.array([[0.1, 0.9, 1, 0.5, 0]] * 2), np.linspace(0, 1, 30))
    found = covariances(jacobian, open_, noise, values, None, seen)
    for r in range(2):
        j, e = jacobian[r, 1], noise[r]
        lag = (e[1:] @ e[:-1]) / (e @ e)
        assert lag > 2 / math.sqrt(30)
        sigma = min(max(lag, 0.95), 0.97) ** np.abs(np.arange(30)[:, None] - np.arange(30))
        meat = j @ sigma @ j
        phi = (e @ e) / max(30 - meat / (j @ j), 1)
        assert found[r, 1, 1] == pytest.approx(phi * meat / (j @ j) ** 2)
        assert np.count_nonzero(found[r]) == 1
