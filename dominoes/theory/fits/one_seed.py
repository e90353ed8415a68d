"""One family (see `families`) fitted to many curves that were measured at the same steps, each curve alone but all at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from dominoes.theory.fits.estimates import ASSUMED_CORRELATION, Fitted, estimates
from dominoes.theory.fits.families import Family, find_family
from dominoes.theory.fits.least_squares import Array, Objective, RowIndices, minimise
from dominoes.theory.fits.records import CEILING, CERTAIN, FLOOR, PLACE, SHAPE, SPEED, CurveArrays, Single

_LN_ZERO = -1e6
# Two one-sided tests at this many standard errors have a level of 0.0005 in all.
_RISE_ERRORS = 3.5
# Points below which nothing is told of a curve.
_FEWEST = 4
#: Curves that are fitted side by side: many enough to share the calls, few enough to stay in the cache and in memory.
AT_ONCE = 256


def has_risen(curves: CurveArrays) -> npt.NDArray[np.bool_]:
    """Whether each curve has left its floor, shape (R,) of bool.

    The mean of the last three points or of the last quarter lies more than 3.5 standard errors beyond the floor (or, where no floor is
    known, beyond the mean of the first points). The residuals of a learning curve are so correlated that either mean counts as one
    measurement. Its standard error is the binomial one at the floor, where the number of examples and the chance are known; else see
    `_noise`. Of flat curves about one in a thousand passes, at a lag-1 correlation of 0.95; hardly one if their noise is independent.
    """
    sign = 1.0 if curves.rising else -1.0
    seen = ~np.isnan(curves.values)
    count = seen.sum(axis=1)
    known = np.take_along_axis(np.where(seen, curves.values, 0.0), np.argsort(~seen, axis=1, kind="stable"), axis=1)
    place = np.arange(known.shape[1])

    def level(first: npt.NDArray[np.intp], end: npt.NDArray[np.intp]) -> Array:
        chosen = (place >= first[:, None]) & (place < end[:, None])
        return np.asarray(np.where(chosen, known, 0.0).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1))

    noise = np.zeros(len(known))
    if curves.floor is not None and curves.examples is not None and curves.rising:
        enough = count > 0
        typical = np.nanmedian(np.where(seen, curves.examples, math.nan)[enough], axis=1)
        noise[enough] = np.sqrt(curves.floor * (1 - curves.floor) / typical)
    else:
        for r in np.flatnonzero(count >= _FEWEST):
            noise[r] = _noise(known[r, : count[r]], curves.rising)
    if curves.floor is None:
        floor, noise = level(np.zeros_like(count), np.maximum(1, count // 20)), math.sqrt(2) * noise
    else:
        floor = np.full(len(known), curves.floor)
    late = np.maximum(sign * level(count - 3, count), sign * level(count - np.maximum(3, count // 4), count))
    risen: npt.NDArray[np.bool_] = (count >= _FEWEST) & (late - sign * floor > _RISE_ERRORS * noise + CERTAIN)
    return risen


def _noise(known: Array, rising: bool) -> float:
    """Standard deviation of the noise of a curve, whatever its monotone course.

    Where the residuals of the closest monotone curve show no correlation, that of these residuals. Else the noise is taken for
    first-order autoregressive with ρ = 0.95, and its deviation from second differences, of variance 2 (1 − ρ) (3 − ρ) σ², in which neither
    a smooth rise nor a wandering level shows.
    """
    size = len(known)
    residuals = known - isotonic_regression(known, increasing=rising).x
    total = float(residuals @ residuals)
    if total > 0 and float(residuals[1:] @ residuals[:-1]) / total <= 2 / math.sqrt(size):
        # A monotone curve takes up about four degrees of freedom of sixty noisy points, fewer of fewer.
        return math.sqrt(total / (size - math.log(size)))
    bends = np.sort(np.abs(known[2:] - 2 * known[1:-1] + known[:-2]))
    return 1.4826 * float(bends[(size - 2) // 2]) / math.sqrt(2 * (1 - ASSUMED_CORRELATION) * (3 - ASSUMED_CORRELATION))


def coordinates(family: Family, steps: Array, last: float) -> Array:
    """x of each step on the family's axis; `last` is the last step of the fit."""
    if family.axis == "linear":
        return steps / last
    return np.log(steps, out=np.full(steps.shape, _LN_ZERO), where=steps > 0)


def evaluate(family: Family, parameters: Array, x: Array) -> Array:
    """Values (R, N) of R curves, whose parameters are rows, at x (N,)."""
    p = parameters[:, :, None]
    share, _, _ = family.rise(np.exp(p[:, SPEED]) * (x - p[:, PLACE]), p[:, SHAPE])
    value: Array = p[:, FLOOR] + (p[:, CEILING] - p[:, FLOOR]) * share
    return value


def _objective(family: Family, curves: CurveArrays, x: Array, copies: int) -> Objective:
    """Half the binomial deviance where the number of examples is known, else half the sum of squares; Fisher's matrix.

    Row s of the parameters belongs to curve s // copies.
    """
    seen = ~np.isnan(curves.values)
    values = np.where(seen, curves.values, 0.5)
    examples = None if curves.examples is None else np.where(seen, curves.examples, 0)
    entropy = np.zeros(len(values))
    if examples is not None:
        safe = np.clip(values, CERTAIN, 1 - CERTAIN)
        entropy = np.sum(examples * (safe * np.log(safe) + (1 - safe) * np.log1p(-safe)), axis=1)

    def objective(parameters: Array, rows: RowIndices) -> tuple[Array, Array, Array]:
        curve = rows // copies
        fitted, jacobian = _derivatives(family, parameters, x)
        observed = values[curve]
        if examples is None:
            pull = (fitted - observed) * seen[curve]
            cost = 0.5 * np.einsum("sn,sn->s", pull, pull)
            weighted = jacobian * seen[curve][:, None, :]
        else:
            n = examples[curve]
            safe = np.clip(fitted, CERTAIN, 1 - CERTAIN)
            information = n / (safe * (1 - safe))
            pull = information * (safe - observed)
            cost = entropy[curve] - np.einsum("sn,sn->s", n, observed * np.log(safe) + (1 - observed) * np.log1p(-safe))
            weighted = jacobian * information[:, None, :]
        return cost, (jacobian @ pull[:, :, None])[:, :, 0], jacobian @ weighted.swapaxes(1, 2)

    return objective


def _derivatives(family: Family, parameters: Array, x: Array) -> tuple[Array, Array]:
    """Values (S, N) and their derivatives by the parameters (S, 5, N)."""
    p = parameters[:, :, None]
    alpha = np.exp(p[:, SPEED])
    z = alpha * (x - p[:, PLACE])
    share, slope, by_shape = family.rise(z, p[:, SHAPE])
    height = p[:, CEILING] - p[:, FLOOR]
    jacobian = np.empty((len(parameters), 5, len(x)))
    steep = height * slope
    jacobian[:, FLOOR] = 1 - share
    jacobian[:, CEILING] = share
    jacobian[:, SPEED] = steep * z
    jacobian[:, PLACE] = -steep * alpha
    jacobian[:, SHAPE] = height * by_shape
    return p[:, FLOOR] + height * share, jacobian


def _bounds(family: Family, curves: CurveArrays, x: Array) -> tuple[Array, Array]:
    """Lowest and highest value of each parameter, (5,) each; equal where it is fixed."""
    finite = x[x > _LN_ZERO]
    span = float(finite[-1] - finite[0])
    top = 1.0 if curves.rising else math.inf
    low, high = np.zeros(5), np.array([top, top, 0, finite[-1] + span, 0])
    low[PLACE] = finite[0] - span
    if curves.floor is not None:
        low[FLOOR] = high[FLOOR] = curves.floor
        (low if curves.rising else high)[CEILING] = curves.floor
    if family.rated:
        # Slower than the whole span, or faster than a twentieth of the closest spacing, cannot be told apart.
        low[SPEED], high[SPEED] = math.log(0.1 / span), math.log(20 / float(np.diff(finite).min()))
    if family.shape is not None:
        low[SHAPE], high[SHAPE] = family.shape
    return low, high


def _starts(family: Family, curves: CurveArrays, x: Array, low: Array, high: Array) -> Array:
    """Candidates for each curve, (R, C, 5), from the points at which it has a quarter, a half and three quarters of its rise."""
    values = curves.values
    seen = ~np.isnan(values)
    count = seen.sum(axis=1)
    order = np.argsort(~seen, axis=1, kind="stable")
    known = np.take_along_axis(values, order, axis=1)
    rows = np.arange(len(values))
    place = np.arange(values.shape[1])
    late = (place >= (count - np.maximum(count // 8, 2))[:, None]) & (place < count[:, None])
    end = np.where(late, known, 0).sum(axis=1) / late.sum(axis=1)
    begin = known[:, 0] if curves.floor is None else np.full(len(values), curves.floor)
    finite = np.maximum(x, x[x > _LN_ZERO][0])
    shapes = (0.0,) if family.shape is None else (math.log(0.3), 0.0, math.log(3.0))
    # A curve that has not levelled out has a higher ceiling than its last points show.
    limit = float(high[CEILING] if curves.rising else low[CEILING])
    candidates = []

    def at(index: RowIndices) -> Array:
        where: Array = finite[order[rows, index]]
        return where

    for beyond in (0.0, 0.4):
        ceiling = end + beyond * (limit - end)
        height = np.where(ceiling == begin, CERTAIN, ceiling - begin)
        share = (known - begin[:, None]) / height[:, None]
        # The number of points below a level, not the first point above it: one noisy point does not move it far.
        below = [np.minimum(((share < q) & (place < count[:, None])).sum(axis=1), count - 1) for q in (0.25, 0.5, 0.75)]
        first, third = at(np.maximum(below[0] - 1, 0)), at(below[2])
        middle = (at(np.maximum(below[1] - 1, 0)) + at(below[1])) / 2
        for shape in shapes:
            z1, z2, z3 = (family.inverse(q, shape) for q in (0.25, 0.5, 0.75))
            for stretch in (1.0, 3.0) if family.rated else (1.0,):
                alpha = (z3 - z1) / np.maximum(third - first, 20 / np.exp(high[SPEED])) * stretch if family.rated else np.ones(len(values))
                log_alpha = np.clip(np.log(alpha), low[SPEED], high[SPEED])
                parts = (begin, ceiling, log_alpha, middle - z2 / np.exp(log_alpha), np.full(len(values), shape))
                candidates.append(np.stack(parts, axis=1))
    clipped: Array = np.clip(np.stack(candidates, axis=1), low, high)
    return clipped


def fit_each(family_name: str, curves: CurveArrays, risen: npt.NDArray[np.bool_] | None = None) -> list[Single]:
    """Fit a parametric family to each curve that has risen; `risen` is `has_risen` of the curves, where that was asked before."""
    family = find_family(family_name)
    risen = has_risen(curves) if risen is None else risen
    free = 3 + (curves.floor is None) - (not family.rated) + (family.shape is not None)
    points = (~np.isnan(curves.values)).sum(axis=1)
    fitted = np.flatnonzero(risen & (points > free))
    singles: dict[int, Single] = {}
    for r in np.flatnonzero(~(risen & (points > free))).tolist():
        if points[r] <= free:
            singles[r] = Single(f"too few points: {points[r]}, expected at least {free + 1}", False, False, _mean(curves.values[r]))
        else:
            singles[r] = Single("not learned", False, True, _mean(curves.values[r]))
    for start in range(0, len(fitted), AT_ONCE):
        some = fitted[start : start + AT_ONCE]
        examples = None if curves.examples is None else curves.examples[some]
        part = CurveArrays(curves.steps, curves.values[some], examples, curves.floor, curves.rising)
        singles |= dict(zip(some.tolist(), _fit_risen(family, part, free), strict=True))
    return [singles[r] for r in range(len(curves.values))]


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _fit_risen(family: Family, curves: CurveArrays, free: int) -> list[Single]:
    x = coordinates(family, curves.steps, float(curves.steps[-1]))
    low, high = _bounds(family, curves, x)
    candidates = _starts(family, curves, x, low, high)
    count, tries = candidates.shape[:2]
    cost, _, _ = _objective(family, curves, x, tries)(candidates.reshape(-1, 5), np.arange(count * tries))
    keep = 1 if family.shape is None else 3
    best = np.argsort(cost.reshape(count, tries), axis=1, kind="stable")[:, :keep]
    start = candidates[np.arange(count)[:, None], best].reshape(-1, 5)
    found = minimise(_objective(family, curves, x, keep), start, low, high, steps=100)
    winner = found.cost.reshape(count, keep).argmin(axis=1) + keep * np.arange(count)
    parameters = found.parameters[winner]
    values, jacobian = _derivatives(family, parameters, x)
    return estimates(family, curves, Fitted(parameters, found.converged[winner], values, jacobian, low, high, free))
