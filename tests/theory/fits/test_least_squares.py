"""Bounded least squares, many at once, against scipy one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from dominoes.theory.fits.least_squares import Array, Objective, RowIndices, minimise


def linear(matrices: Array, targets: Array) -> Objective:
    def objective(parameters: Array, rows: RowIndices) -> tuple[Array, Array, Array]:
        a = matrices[rows]
        r = np.einsum("smp,sp->sm", a, parameters) - targets[rows]
        return 0.5 * np.sum(r**2, axis=1), np.einsum("smp,sm->sp", a, r), a.swapaxes(1, 2) @ a

    return objective


def test_bounded_linear_problems_equal_scipy() -> None:
    """Forty random problems in a box, solved side by side, end where scipy's bounded solver ends, often on a bound."""
    rng = np.random.default_rng(0)
    matrices, targets = rng.normal(size=(40, 12, 4)), rng.normal(size=(40, 12)) * 3
    found = minimise(linear(matrices, targets), np.full((40, 4), 0.5), np.zeros(4), np.ones(4), tolerance=1e-12)
    assert found.converged.all()
    assert (found.parameters == 0).any()
    assert (found.parameters == 1).any()
    for matrix, target, cost in zip(matrices, targets, found.cost, strict=True):
        assert cost == pytest.approx(lsq_linear(matrix, target, (0, 1), tol=1e-12).cost, rel=1e-6)


def test_best_point_is_kept() -> None:
    """Cost, gradient and curvature are those of the returned point, which is never worse than the start."""
    rng = np.random.default_rng(1)

    def wavy(parameters: Array, _: RowIndices) -> tuple[Array, Array, Array]:
        r = np.stack([parameters[:, 0] ** 3 - 1, np.sin(5 * parameters[:, 1]) + parameters[:, 0]], axis=1)
        zero = np.zeros(len(parameters))
        j = np.stack([np.stack([3 * parameters[:, 0] ** 2, zero], 1), np.stack([zero + 1, 5 * np.cos(5 * parameters[:, 1])], 1)], 1)
        return 0.5 * np.sum(r**2, axis=1), np.einsum("smp,sm->sp", j, r), j.swapaxes(1, 2) @ j

    start = rng.uniform(-2, 2, (50, 2))
    before, _, _ = wavy(start, np.arange(50))
    found = minimise(wavy, start, np.array([-2.0]), np.array([2.0]), steps=7)
    again = wavy(found.parameters, np.arange(50))
    assert (found.cost <= before).all()
    for stored, computed in zip((found.cost, found.gradient, found.curvature), again, strict=True):
        np.testing.assert_array_equal(stored, computed)


def test_equal_bounds_fix_a_parameter() -> None:
    """A parameter whose bounds are equal stays there, and the others are fitted given it."""
    matrices, targets = np.eye(3)[None], np.array([[1.0, 2.0, 3.0]])
    found = minimise(linear(matrices, targets), np.zeros((1, 3)), np.array([0, 0.5, 0]), np.array([9, 0.5, 9]))
    np.testing.assert_allclose(found.parameters, [[1, 0.5, 3]], atol=1e-4)
