"""Shapes of a learning curve: what every family must obey."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dominoes.theory.fits.families import FAMILIES, half_points


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("log_shape", [-2.0, 0.0, 1.5])
def test_derivatives_equal_finite_differences(name: str, log_shape: float) -> None:
    """∂F/∂z and ∂F/∂ln ν equal central differences of F."""
    rise = FAMILIES[name].rise
    z, k = np.linspace(-6, 6, 49), np.full(49, log_shape)
    _, by_z, by_shape = rise(z, k)
    h = 1e-5
    np.testing.assert_allclose(by_z, (rise(z + h, k)[0] - rise(z - h, k)[0]) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(np.broadcast_to(by_shape, 49), (rise(z, k + h)[0] - rise(z, k - h)[0]) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_rises_from_0_to_1(name: str) -> None:
    """F never falls, reaches 0 and 1 far away without a warning, and its inverse gives back the share."""
    family = FAMILIES[name]
    z = np.concatenate([[-1e9, -1e3], np.linspace(-40, 40, 400), [1e3, 1e9]])
    for log_shape in (0.0,) if family.shape is None else family.shape:
        share, slope, by_shape = family.rise(z, np.array([log_shape]))
        assert np.isfinite([share, slope]).all()
        assert np.isfinite(by_shape).all()
        assert (np.diff(share) >= 0).all()
        assert (slope >= 0).all()
        assert share[0] < 1e-6
        assert share[-1] > 1 - 1e-6
        for q in (0.25, 0.5, 0.75):
            at = np.array([family.inverse(q, log_shape)])
            assert family.rise(at, np.array([log_shape]))[0] == pytest.approx(q, abs=1e-9)


def test_special_cases() -> None:
    """Richards is the logistic at ν = 1 and close to Gompertz at small ν; the exponential is 1 − exp(−t/τ)."""
    z = np.linspace(-5, 5, 21)
    logistic = FAMILIES["logistic"].rise(z, np.zeros(1))
    for ours, theirs in zip(FAMILIES["richards"].rise(z, np.zeros(1))[:2], logistic[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-14)
    gompertz = FAMILIES["gompertz"].rise(z, np.zeros(1))[0]
    np.testing.assert_allclose(FAMILIES["richards"].rise(z, np.full(1, math.log(1e-4)))[0], gompertz, atol=1e-4)
    t, tau = np.array([1.0, 10.0, 50.0]), 20.0
    np.testing.assert_allclose(FAMILIES["exponential"].rise(np.log(t / tau), np.zeros(1))[0], 1 - np.exp(-t / tau))
    np.testing.assert_allclose(FAMILIES["power"].rise(np.log(t / tau), np.full(1, math.log(3.0)))[0], 1 - (1 + t / tau) ** -3.0)


def test_half() -> None:
    """The half point of the logistic is its inflection, where four times the slope is its rate."""
    z, log_slope = half_points(FAMILIES["logistic"], np.zeros(2))
    assert [*z, *log_slope] == pytest.approx([0.0] * 4, abs=1e-15)
    z, log_slope = (float(each[0]) for each in half_points(FAMILIES["exponential"], np.zeros(1)))
    assert math.exp(z) == pytest.approx(math.log(2))
    assert math.exp(log_slope) == pytest.approx(4 * math.log(2) / 2)
