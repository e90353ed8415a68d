"""Integration of races: against closed forms, at the order that each method has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import lambertw

from dominoes.arrays import FloatArray
from dominoes.leaderboard.theories import integration

SPEEDS = np.array([[[1.0, 0.5]], [[0.3, 2.0]]])
START = 0.02
TIMES = np.geomspace(1e-3, 20, 12)


def _error(stiff: bool) -> float:
    """Largest error of s, of two sides and two specs.

    Stiff: ds/dt = k s (1 − s), which comes to rest. Else ds/dt = k s / (1 + s), which slows down: s + ln s = k t + s_0 + ln s_0.
    """

    def rate(u: FloatArray) -> FloatArray:
        return np.asarray(SPEEDS * (1 - np.exp(u) if stiff else 1 / (1 + np.exp(u))))

    found = np.exp(integration.integrate_races(rate, np.full(SPEEDS.shape, np.log(START)), TIMES, stiff=stiff))
    grown = np.exp(SPEEDS * TIMES[:, None, None, None])
    expected = grown / (grown - 1 + 1 / START) if stiff else lambertw(START * np.exp(START) * grown).real
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize(("stiff", "step", "order", "most"), [(False, "_EXPLICIT", 4, 1e-3), (True, "_IMPLICIT", 2, 5e-3)])
def test_errors_fall_with_the_order_of_the_method(stiff: bool, step: str, order: int, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the step leaves a sixteenth of the error of Runge and Kutta's method, and a quarter of the Rosenbrock method's."""
    errors = [_error(stiff)]
    assert errors[0] < most
    for _ in range(2):
        monkeypatch.setattr(integration, step, getattr(integration, step) / 2)
        errors.append(_error(stiff))
    assert np.log2(errors[0] / errors[2]) / 2 == pytest.approx(order, abs=0.25)


def test_coupled_sides_are_those_of_scipy() -> None:
    """Two sides that slow each other, unequally, until they rest, against an adaptive integration to 1e-10."""
    speeds, slowed, times = np.array([1.0, 0.3]), np.array([0.9, 0.2]), np.geomspace(1e-3, 200, 16)

    def rate(u: FloatArray) -> FloatArray:
        s = np.exp(u)
        return np.asarray(speeds[:, None, None] * (1 - s - slowed[:, None, None] * s[..., ::-1, :, :]))

    other = solve_ivp(lambda t, s: speeds * s * (1 - s - slowed * s[::-1]), (0, 200), [START] * 2, t_eval=times, rtol=1e-10, atol=1e-13)
    found = np.exp(integration.integrate_races(rate, np.full((2, 1, 1), np.log(START)), times, stiff=True))[:, :, 0, 0]
    np.testing.assert_allclose(found, other.y.T, atol=3e-3)
