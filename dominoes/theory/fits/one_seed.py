"""One family (see `families`) fitted to many curves that were measured at the same steps, each curve alone but all at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from dominoes.theory.fits.families import Family, find_family, half
from dominoes.theory.fits.least_squares import Array, Objective, RowIndices, minimise
from dominoes.theory.fits.records import CurveArrays, Quantity, Single

# Columns of the parameters of a curve: floor, ceiling, ln α, b, ln ν. On the linear axis x = step / last step.
_FLOOR, _CEILING, _SPEED, _PLACE, _SHAPE = range(5)
_LN_ZERO = -1e6
# Two one-sided tests at this many standard errors have a level of 0.0005 in all.
_RISE_ERRORS = 3.5
# Correlation of neighbouring residuals that is assumed where the curve cannot show its noise (measured on real curves: about .95).
_ASSUMED_CORRELATION = 0.95
_HIGHEST_CORRELATION = 0.97
_CERTAIN = 1e-9
# A curve that has less than this share of its rise behind it at the last step has not shown its ceiling.
_LEVELLED = 0.9
# Smallest eigenvalue of the information, in the units of each parameter, below which the points leave some combination of them open.
_UNSETTLED = 1e-8


def has_risen(curves: CurveArrays) -> npt.NDArray[np.bool_]:
    """Whether each curve has left its floor, shape (R,) of bool.

    The mean of the last three points or of the last quarter lies more than 3.5 standard errors beyond the floor (or, where no floor is
    known, beyond the mean of the first points). The residuals of a learning curve are so correlated that either mean counts as one
    measurement. Its standard error is the binomial one at the floor, where the number of examples and the chance are known; else see
    `_noise`. Of flat curves about one in a thousand passes, at a lag-1 correlation of 0.95; hardly one if their noise is independent.
    """
    sign = 1.0 if curves.rising else -1.0
    risen = np.zeros(len(curves.values), dtype=bool)
    for r, row in enumerate(curves.values):
        seen = np.flatnonzero(~np.isnan(row))
        known = row[seen]
        if len(known) < 4:
            continue
        if curves.floor is None:
            floor, noise = float(known[: max(1, len(known) // 20)].mean()), math.sqrt(2) * _noise(known, curves.rising)
        elif curves.examples is not None and curves.rising:
            floor = curves.floor
            noise = math.sqrt(floor * (1 - floor) / float(np.median(curves.examples[r, seen])))
        else:
            floor, noise = curves.floor, _noise(known, curves.rising)
        late = max(float(sign * known[-3:].mean()), float(sign * known[-max(3, len(known) // 4) :].mean()))
        risen[r] = late - sign * floor > _RISE_ERRORS * noise + _CERTAIN
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
    return 1.4826 * float(bends[(size - 2) // 2]) / math.sqrt(2 * (1 - _ASSUMED_CORRELATION) * (3 - _ASSUMED_CORRELATION))


def coordinates(family: Family, steps: Array, last: float) -> Array:
    """x of each step on the family's axis; `last` is the last step of the fit."""
    if family.axis == "linear":
        return steps / last
    return np.log(steps, out=np.full(steps.shape, _LN_ZERO), where=steps > 0)


def evaluate(family: Family, parameters: Array, x: Array) -> Array:
    """Values (R, N) of R curves, whose parameters are rows, at x (N,)."""
    p = parameters[:, :, None]
    share, _, _ = family.rise(np.exp(p[:, _SPEED]) * (x - p[:, _PLACE]), p[:, _SHAPE])
    value: Array = p[:, _FLOOR] + (p[:, _CEILING] - p[:, _FLOOR]) * share
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
        safe = np.clip(values, _CERTAIN, 1 - _CERTAIN)
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
            safe = np.clip(fitted, _CERTAIN, 1 - _CERTAIN)
            information = n / (safe * (1 - safe))
            pull = information * (safe - observed)
            cost = entropy[curve] - np.einsum("sn,sn->s", n, observed * np.log(safe) + (1 - observed) * np.log1p(-safe))
            weighted = jacobian * information[:, None, :]
        return cost, (jacobian @ pull[:, :, None])[:, :, 0], jacobian @ weighted.swapaxes(1, 2)

    return objective


def _derivatives(family: Family, parameters: Array, x: Array) -> tuple[Array, Array]:
    """Values (S, N) and their derivatives by the parameters (S, 5, N)."""
    p = parameters[:, :, None]
    alpha = np.exp(p[:, _SPEED])
    z = alpha * (x - p[:, _PLACE])
    share, slope, by_shape = family.rise(z, p[:, _SHAPE])
    height = p[:, _CEILING] - p[:, _FLOOR]
    jacobian = np.empty((len(parameters), 5, len(x)))
    steep = height * slope
    jacobian[:, _FLOOR] = 1 - share
    jacobian[:, _CEILING] = share
    jacobian[:, _SPEED] = steep * z
    jacobian[:, _PLACE] = -steep * alpha
    jacobian[:, _SHAPE] = height * by_shape
    return p[:, _FLOOR] + height * share, jacobian


def _bounds(family: Family, curves: CurveArrays, x: Array) -> tuple[Array, Array]:
    """Lowest and highest value of each parameter, (5,) each; equal where it is fixed."""
    finite = x[x > _LN_ZERO]
    span = float(finite[-1] - finite[0])
    top = 1.0 if curves.rising else math.inf
    low, high = np.zeros(5), np.array([top, top, 0, finite[-1] + span, 0])
    low[_PLACE] = finite[0] - span
    if curves.floor is not None:
        low[_FLOOR] = high[_FLOOR] = curves.floor
        (low if curves.rising else high)[_CEILING] = curves.floor
    if family.rated:
        # Slower than the whole span, or faster than a twentieth of the closest spacing, cannot be told apart.
        low[_SPEED], high[_SPEED] = math.log(0.1 / span), math.log(20 / float(np.diff(finite).min()))
    if family.shape is not None:
        low[_SHAPE], high[_SHAPE] = family.shape
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
    limit = float(high[_CEILING] if curves.rising else low[_CEILING])
    candidates = []

    def at(index: RowIndices) -> Array:
        where: Array = finite[order[rows, index]]
        return where

    for beyond in (0.0, 0.4):
        ceiling = end + beyond * (limit - end)
        height = np.where(ceiling == begin, _CERTAIN, ceiling - begin)
        share = (known - begin[:, None]) / height[:, None]
        # The number of points below a level, not the first point above it: one noisy point does not move it far.
        below = [np.minimum(((share < q) & (place < count[:, None])).sum(axis=1), count - 1) for q in (0.25, 0.5, 0.75)]
        first, third = at(np.maximum(below[0] - 1, 0)), at(below[2])
        middle = (at(np.maximum(below[1] - 1, 0)) + at(below[1])) / 2
        for shape in shapes:
            z1, z2, z3 = (family.inverse(q, shape) for q in (0.25, 0.5, 0.75))
            for stretch in (1.0, 3.0) if family.rated else (1.0,):
                alpha = (z3 - z1) / np.maximum(third - first, 20 / np.exp(high[_SPEED])) * stretch if family.rated else np.ones(len(values))
                log_alpha = np.clip(np.log(alpha), low[_SPEED], high[_SPEED])
                parts = (begin, ceiling, log_alpha, middle - z2 / np.exp(log_alpha), np.full(len(values), shape))
                candidates.append(np.stack(parts, axis=1))
    clipped: Array = np.clip(np.stack(candidates, axis=1), low, high)
    return clipped


def fit_each(family_name: str, curves: CurveArrays) -> list[Single]:
    """Fit a parametric family to each curve that has risen."""
    family = find_family(family_name)
    risen = has_risen(curves)
    free = 3 + (curves.floor is None) - (not family.rated) + (family.shape is not None)
    points = (~np.isnan(curves.values)).sum(axis=1)
    fitted = np.flatnonzero(risen & (points > free))
    singles: dict[int, Single] = {}
    for r in range(len(curves.values)):
        if points[r] <= free:
            singles[r] = Single(f"too few points: {points[r]}, expected at least {free + 1}", False, False, _mean(curves.values[r]))
        elif not risen[r]:
            singles[r] = Single("not learned", False, True, _mean(curves.values[r]))
    if len(fitted):
        some = CurveArrays(
            curves.steps,
            curves.values[fitted],
            None if curves.examples is None else curves.examples[fitted],
            curves.floor,
            curves.rising,
        )
        singles |= dict(zip(fitted.tolist(), _fit_risen(family, some, free), strict=True))
    return [singles[r] for r in range(len(curves.values))]


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _fit_risen(family: Family, curves: CurveArrays, free: int) -> list[Single]:
    last = float(curves.steps[-1])
    x = coordinates(family, curves.steps, last)
    low, high = _bounds(family, curves, x)
    candidates = _starts(family, curves, x, low, high)
    count, tries = candidates.shape[:2]
    cost, _, _ = _objective(family, curves, x, tries)(candidates.reshape(-1, 5), np.arange(count * tries))
    keep = 1 if family.shape is None else 3
    best = np.argsort(cost.reshape(count, tries), axis=1, kind="stable")[:, :keep]
    start = candidates[np.arange(count)[:, None], best].reshape(-1, 5)
    found = minimise(_objective(family, curves, x, keep), start, low, high, steps=100)
    winner = found.cost.reshape(count, keep).argmin(axis=1) + keep * np.arange(count)
    parameters, converged = found.parameters[winner], found.converged[winner]
    values, jacobian = _derivatives(family, parameters, x)
    return [
        _judge(family, curves, r, parameters[r], bool(converged[r]), values[r], jacobian[r], (low, high), last, free) for r in range(count)
    ]


def _judge(
    family: Family,
    curves: CurveArrays,
    r: int,
    parameters: Array,
    converged: bool,
    values: Array,
    jacobian: Array,
    bounds: tuple[Array, Array],
    last: float,
    free: int,
) -> Single:
    """Estimates with standard errors from the best parameters of one curve, and what is not an estimate."""
    low, high = bounds
    open_ = (parameters > low) & (parameters < high)
    seen = ~np.isnan(curves.values[r])
    examples = None if curves.examples is None else curves.examples[r, seen]
    residuals = curves.values[r, seen] - values[seen]
    covariance = np.zeros((5, 5))
    covariance[np.ix_(open_, open_)] = _covariance(jacobian[np.ix_(open_, seen)], residuals, values[seen], examples)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    errors[~open_] = math.nan

    alpha, place, log_shape = math.exp(parameters[_SPEED]), float(parameters[_PLACE]), float(parameters[_SHAPE])
    z, log_slope = half(family, log_shape)
    by_shape = (0.0, 0.0)
    if family.shape is not None:
        (z_up, slope_up), (z_down, slope_down) = half(family, log_shape + 1e-4), half(family, log_shape - 1e-4)
        by_shape = ((z_up - z_down) / 2e-4, (slope_up - slope_down) / 2e-4)
    half_x = place + z / alpha
    by_onset = np.array([0, 0, -z / alpha, 1, by_shape[0] / alpha])
    by_speed = np.array([0, 0, 1, 0, by_shape[1]])
    log_speed = float(parameters[_SPEED]) + log_slope
    notes = [] if converged else ["not converged"]
    if np.isnan(covariance).any():
        notes.append("no standard errors, too few points on the rise")
    started = float(curves.steps[curves.steps > 0][0])
    if family.axis == "linear":
        onset = half_x * last
        log_onset = math.log(onset) if onset > 0 else -math.inf
        by_onset /= half_x if half_x > 0 else math.nan
        log_speed -= math.log(last)
    else:
        log_onset = half_x
        onset = math.exp(min(half_x, 700))
        if family.time == "linear":
            log_speed, by_speed = log_speed - log_onset, by_speed - by_onset
    settled = started <= onset <= last
    if not settled:
        notes.append(f"onset {'before the first' if onset < started else 'after the last'} step")
    reached = (values[-1] - parameters[_FLOOR]) / (parameters[_CEILING] - parameters[_FLOOR] or math.nan)
    if reached < _LEVELLED:
        notes.append(f"still {'rising' if curves.rising else 'falling'} at the last step, the ceiling is an extrapolation")
    names = dict(zip((_CEILING, _SPEED, _SHAPE, _PLACE), ("ceiling", family.names[0], family.names[2], family.names[1]), strict=True))
    for index, name in names.items():
        if not open_[index] and low[index] < high[index]:
            notes.append(f"{name} on its {'lower' if parameters[index] <= low[index] else 'upper'} bound")

    def spread(by: Array) -> float:
        return math.sqrt(max(float(by @ covariance @ by), 0.0)) or math.nan

    ceiling = Quantity(float(parameters[_CEILING]), float(errors[_CEILING]))
    held = not (open_[_SPEED] or not family.rated)
    speed = Quantity() if held else Quantity(log_speed, spread(by_speed))
    time = Quantity(log_onset, spread(by_onset)) if settled else Quantity()
    named = _named(family, parameters, errors, last)
    return Single(
        "; ".join(notes) or "ok",
        True,
        converged,
        math.nan,
        parameters,
        named,
        float(parameters[_FLOOR]),
        ceiling,
        speed,
        time,
        len(residuals) - free,
    )


def _named(family: Family, parameters: Array, errors: Array, last: float) -> dict[str, Quantity]:
    """The family's own parameters in steps."""
    alpha, place, shape = math.exp(parameters[_SPEED]), float(parameters[_PLACE]), math.exp(parameters[_SHAPE])
    unit = last if family.axis == "linear" else 1.0
    named = {
        "floor": Quantity(float(parameters[_FLOOR]), float(errors[_FLOOR])),
        "ceiling": Quantity(float(parameters[_CEILING]), float(errors[_CEILING])),
    }
    if family.rated:
        named[family.names[0]] = Quantity(alpha / unit, alpha / unit * float(errors[_SPEED]))
    where, error = (
        (place * last, float(errors[_PLACE]) * last)
        if family.axis == "linear"
        else (math.exp(place), math.exp(place) * float(errors[_PLACE]))
    )
    named[family.names[1]] = Quantity(where, error)
    if family.shape is not None:
        named[family.names[2]] = Quantity(shape, shape * float(errors[_SHAPE]))
    return named


def _covariance(jacobian: Array, residuals: Array, values: Array, examples: Array | None) -> Array:
    """Covariance of the open parameters: the sandwich B (J Σ Jᵀ) B, with B the inverse of Fisher's matrix, Σ that of the residuals.

    Where the lag-1 correlation of the residuals exceeds two standard errors, Σ = φ ρ^|i−j| (first-order autoregression) with ρ of at least
    0.95, what real learning curves show: an estimate from sixty points is far too low. Else Σ is diagonal: φ where the binomial variance
    is known, and each point's own squared residual over (1 − leverage)² (HC3) where it is not, since accuracies are noisiest half-way.
    φ, the variance in units of the assumed one, allows for the degrees of freedom that the fit takes from correlated residuals, and is
    at least 1 where the binomial variance is known.
    """
    if not len(jacobian):
        return np.zeros((0, 0))
    root = np.ones(len(values))
    if examples is not None:
        safe = np.clip(values, _CERTAIN, 1 - _CERTAIN)
        # A point at which the fit is certain would weigh without limit; half an example of doubt is below what n examples can show.
        doubt = np.maximum(safe * (1 - safe), 0.5 / examples * (1 - 0.5 / examples))
        root = np.sqrt(examples / doubt)
    scores, noise = jacobian * root, residuals * root
    count = scores.shape[1]
    norms = np.maximum(np.sqrt(np.einsum("in,in->i", scores, scores)), 1e-150)
    unit = scores / norms[:, None]
    information = unit @ unit.T
    if np.linalg.eigvalsh(information)[0] < _UNSETTLED:
        return np.full(information.shape, math.nan)
    bread = np.linalg.inv(information) / np.outer(norms, norms)
    total = float(noise @ noise)
    correlation = float(noise[1:] @ noise[:-1]) / total if total > 0 else 0.0
    correlated = correlation > 2 / math.sqrt(count)
    if examples is None and not correlated:
        leverage = np.minimum(np.einsum("in,ij,jn->n", scores, bread, scores), 1 - _CERTAIN)
        weighted = scores * (noise / (1 - leverage))
        return np.asarray(bread @ weighted @ weighted.T @ bread)
    meat = scores @ scores.T
    if correlated:
        correlation = min(max(correlation, _ASSUMED_CORRELATION), _HIGHEST_CORRELATION)
        meat = scores @ correlation ** np.abs(np.arange(count)[:, None] - np.arange(count)) @ scores.T
    dispersion = total / max(count - float(np.trace(bread @ meat)), 1.0)
    return np.asarray(bread @ meat @ bread * (dispersion if examples is None else max(dispersion, 1.0)))
