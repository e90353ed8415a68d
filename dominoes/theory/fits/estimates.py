"""What the best parameters of many curves say: estimates with standard errors, and what is not an estimate; all curves at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dominoes.theory.fits.families import Family, half_points
from dominoes.theory.fits.least_squares import Array
from dominoes.theory.fits.records import CEILING, CERTAIN, FLOOR, PLACE, SHAPE, SPEED, CurveArrays, Quantity, Single

#: Correlation of neighbouring residuals that is assumed where the curve cannot show its noise (measured on real curves: about .95).
ASSUMED_CORRELATION = 0.95
_HIGHEST_CORRELATION = 0.97
# A curve that has less than this share of its rise behind it at the last step has not shown its ceiling.
_LEVELLED = 0.9
# Smallest eigenvalue of the information, in the units of each parameter, below which the points leave some combination of them open.
_UNSETTLED = 1e-8


@dataclass(frozen=True)
class Fitted:
    """Where the search ended for R curves of a family.

    Attributes:
        parameters: (R, 5). converged: (R,).
        values: (R, N) of the fitted curves, and their derivatives by the parameters, jacobian (R, 5, N).
        low, high: (5,) bounds of the parameters.
        free: number of parameters that are fitted.
    """

    parameters: Array
    converged: npt.NDArray[np.bool_]
    values: Array
    jacobian: Array
    low: Array
    high: Array
    free: int


def estimates(family: Family, curves: CurveArrays, found: Fitted) -> list[Single]:
    """Ceiling, speed and onset of each curve, with standard errors."""
    parameters, last = found.parameters, float(curves.steps[-1])
    seen = ~np.isnan(curves.values)
    open_: npt.NDArray[np.bool_] = (parameters > found.low) & (parameters < found.high)
    covariance = covariances(found.jacobian, open_, np.where(seen, curves.values - found.values, 0.0), found.values, curves.examples, seen)
    errors = np.where(open_, np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0)), math.nan)
    time, speed, unsettled = _times(family, curves, found, covariance)
    held = ~open_[:, SPEED] if family.rated else np.zeros(len(parameters), dtype=bool)
    statuses = _statuses(family, curves, found, open_, np.asarray(np.isnan(covariance).any(axis=(1, 2))), unsettled)
    named = _named(family, parameters, errors, last)
    settled = np.array([not text for text in unsettled])
    freedom = seen.sum(axis=1) - found.free
    lists = (parameters, errors, time, speed, held, settled, freedom, found.converged)
    singles = []
    for r, (own, error, onset, rate, is_held, is_settled, rest, converged) in enumerate(zip(*lists, strict=True)):
        singles.append(
            Single(
                statuses[r],
                True,
                bool(converged),
                math.nan,
                own,
                named[r],
                float(own[FLOOR]),
                Quantity(float(own[CEILING]), float(error[CEILING])),
                Quantity() if is_held else Quantity(float(rate[0]), float(rate[1])),
                Quantity(float(onset[0]), float(onset[1])) if is_settled else Quantity(),
                int(rest),
            )
        )
    return singles


def _times(family: Family, curves: CurveArrays, found: Fitted, covariance: Array) -> tuple[Array, Array, list[str]]:
    """ln(onset) and ln(speed) with their standard errors by the delta method, (R, 2) each, and a note of an onset outside the steps."""
    last, started = float(curves.steps[-1]), float(curves.steps[curves.steps > 0][0])
    alpha, place, log_shape = np.exp(found.parameters[:, SPEED]), found.parameters[:, PLACE], found.parameters[:, SHAPE]
    z, log_slope = half_points(family, log_shape)
    z_by_shape = slope_by_shape = np.zeros(len(z))
    if family.shape is not None:
        (z_up, slope_up), (z_down, slope_down) = (half_points(family, log_shape + change) for change in (1e-4, -1e-4))
        z_by_shape, slope_by_shape = (z_up - z_down) / 2e-4, (slope_up - slope_down) / 2e-4
    half_x = place + z / alpha
    nothing, one = np.zeros(len(z)), np.ones(len(z))
    by_onset = np.stack([nothing, nothing, -z / alpha, one, z_by_shape / alpha], axis=1)
    by_speed = np.stack([nothing, nothing, one, nothing, slope_by_shape], axis=1)
    log_speed = found.parameters[:, SPEED] + log_slope
    if family.axis == "linear":
        onset = half_x * last
        log_onset = np.log(onset, out=np.full(len(z), -math.inf), where=onset > 0)
        by_onset = by_onset / np.where(half_x > 0, half_x, math.nan)[:, None]
        log_speed = log_speed - math.log(last)
    else:
        log_onset = half_x
        onset = np.exp(np.minimum(half_x, 700))
        if family.time == "linear":
            log_speed, by_speed = log_speed - log_onset, by_speed - by_onset
    early, late = onset < started, ~(onset <= last)
    unsettled = ["before the first" if a else "after the last" if b else "" for a, b in zip(early, late, strict=True)]

    def with_error(value: Array, by: Array) -> Array:
        # One that is exactly 0 is none: all that it rests on is held.
        error = np.sqrt(np.maximum(np.einsum("ri,rij,rj->r", by, covariance, by), 0.0))
        return np.stack([value, np.where(error == 0, math.nan, error)], axis=1)

    return with_error(log_onset, by_onset), with_error(log_speed, by_speed), unsettled


def _statuses(
    family: Family,
    curves: CurveArrays,
    found: Fitted,
    open_: npt.NDArray[np.bool_],
    without_errors: npt.NDArray[np.bool_],
    unsettled: Sequence[str],
) -> list[str]:
    """What is to be said of each fit, `ok` where nothing is."""
    parameters, low, high = found.parameters, found.low, found.high
    height = parameters[:, CEILING] - parameters[:, FLOOR]
    reached = (found.values[:, -1] - parameters[:, FLOOR]) / np.where(height == 0, math.nan, height)
    ending = f"still {'rising' if curves.rising else 'falling'} at the last step, the ceiling is an extrapolation"
    names = zip((CEILING, SPEED, SHAPE, PLACE), ("ceiling", family.names[0], family.names[2], family.names[1]), strict=True)
    bounded = [(index, name) for index, name in names if low[index] < high[index]]
    notes: list[list[str]] = [[] for _ in parameters]

    def add(where: npt.NDArray[np.bool_], text: str) -> None:
        for r in np.flatnonzero(where):
            notes[r].append(text)

    add(~found.converged, "not converged")
    add(without_errors, "no standard errors, too few points on the rise")
    for r, where in enumerate(unsettled):
        notes[r] += [f"onset {where} step"] if where else []
    add(reached < _LEVELLED, ending)
    for index, name in bounded:
        lower = parameters[:, index] <= low[index]
        add(~open_[:, index] & lower, f"{name} on its lower bound")
        add(~open_[:, index] & ~lower, f"{name} on its upper bound")
    return ["; ".join(each) or "ok" for each in notes]


def _named(family: Family, parameters: Array, errors: Array, last: float) -> list[dict[str, Quantity]]:
    """The family's own parameters in steps."""
    alpha, place, shape = np.exp(parameters[:, SPEED]), parameters[:, PLACE], np.exp(parameters[:, SHAPE])
    linear = family.axis == "linear"
    unit = last if linear else 1.0
    where = place * last if linear else np.exp(place)
    columns = {"floor": (parameters[:, FLOOR], errors[:, FLOOR]), "ceiling": (parameters[:, CEILING], errors[:, CEILING])}
    if family.rated:
        columns[family.names[0]] = (alpha / unit, alpha / unit * errors[:, SPEED])
    columns[family.names[1]] = (where, (last if linear else where) * errors[:, PLACE])
    if family.shape is not None:
        columns[family.names[2]] = (shape, shape * errors[:, SHAPE])
    pairs = {name: list(zip(value.tolist(), error.tolist(), strict=True)) for name, (value, error) in columns.items()}
    return [{name: Quantity(*each[r]) for name, each in pairs.items()} for r in range(len(parameters))]


def covariances(
    jacobian: Array, open_: npt.NDArray[np.bool_], residuals: Array, values: Array, examples: Array | None, seen: npt.NDArray[np.bool_]
) -> Array:
    """Covariances (R, 5, 5) of the parameters that are open, 0 for others: the sandwich B (J Σ Jᵀ) B, with B the inverse of Fisher's
    matrix, Σ that of the residuals.

    Where the lag-1 correlation of the residuals exceeds two standard errors, Σ = φ ρ^|i−j| (first-order autoregression) with ρ of at least
    0.95, what real learning curves show: an estimate from sixty points is far too low. Else Σ is diagonal: φ where the binomial variance
    is known, and each point's own squared residual over (1 − leverage)² (HC3) where it is not, since accuracies are noisiest half-way.
    φ, the variance in units of the assumed one, allows for the degrees of freedom that the fit takes from correlated residuals, and is
    at least 1 where the binomial variance is known. NaN where the points leave some combination of parameters open.

    Args:
        jacobian: (R, 5, N). open_: (R, 5), parameters that lie on no bound.
        residuals: (R, N), 0 where nothing was measured. values: (R, N), fitted.
        examples: (R, N) or None. seen: (R, N), where something was measured.
    """
    root = seen.astype(float)
    if examples is not None:
        safe = np.clip(values, CERTAIN, 1 - CERTAIN)
        n = np.where(seen, examples, 1.0)
        # A point at which the fit is certain would weigh without limit; half an example of doubt is below what n examples can show.
        doubt = np.maximum(safe * (1 - safe), 0.5 / n * (1 - 0.5 / n))
        root = root * np.sqrt(n / doubt)
    scores = jacobian * root[:, None, :] * open_[:, :, None]
    noise = residuals * root
    count = seen.sum(axis=1)
    if not seen.all():
        # Neighbours are points that were measured after each other; what is behind the last of them is 0.
        order = np.argsort(~seen, axis=1, kind="stable")
        scores, noise = np.take_along_axis(scores, order[:, None, :], axis=2), np.take_along_axis(noise, order, axis=1)
    norms = np.maximum(np.sqrt(np.einsum("rin,rin->ri", scores, scores)), 1e-150)
    unit = scores / norms[:, :, None]
    both = open_[:, :, None] & open_[:, None, :]
    # A parameter that is held is a block of its own, of eigenvalue 1: never the smallest of those of a correlation matrix.
    information = np.where(both, unit @ unit.swapaxes(1, 2), np.eye(5))
    settled = np.linalg.eigvalsh(information)[:, 0] >= _UNSETTLED
    information[~settled] = np.eye(5)
    bread = np.where(both, np.linalg.inv(information) / (norms[:, :, None] * norms[:, None, :]), 0.0)
    total = np.einsum("rn,rn->r", noise, noise)
    lagged = np.einsum("rn,rn->r", noise[:, 1:], noise[:, :-1])
    correlation = np.divide(lagged, total, out=np.zeros(len(total)), where=total > 0)
    correlated = correlation > 2 / np.sqrt(count)
    weighted = scores
    if examples is None:
        leverage = np.minimum(np.einsum("rin,rij,rjn->rn", scores, bread, scores, optimize=True), 1 - CERTAIN)
        weighted = scores * (noise / (1 - leverage))[:, None, :]
    meat = weighted @ weighted.swapaxes(1, 2)
    if correlated.any():
        rho = np.clip(correlation[correlated], ASSUMED_CORRELATION, _HIGHEST_CORRELATION)
        meat[correlated] = _autoregressed(scores[correlated], rho) @ scores[correlated].swapaxes(1, 2)
    scaled = bread @ meat @ bread
    taken = np.trace(bread @ meat, axis1=1, axis2=2)
    dispersion = total / np.maximum(count - taken, 1.0)
    factor = np.where(correlated, dispersion, 1.0) if examples is None else np.maximum(dispersion, 1.0)
    covariance = scaled * factor[:, None, None]
    covariance[~settled] = np.where(both[~settled], math.nan, 0.0)
    return np.asarray(covariance)


def _autoregressed(scores: Array, rho: Array) -> Array:
    """scores (R, P, N) times the matrix ρ^|i−j| of each, in two passes instead of N² products."""
    forward, backward = scores.copy(), scores.copy()
    share = rho[:, None]
    for n in range(1, scores.shape[2]):
        forward[:, :, n] += share * forward[:, :, n - 1]
        backward[:, :, -1 - n] += share * backward[:, :, -n]
    return np.asarray(forward + backward - scores)
