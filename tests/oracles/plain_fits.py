"""Plain twins of the batched fits: one curve at a time, one number after the other, as the formulas are read."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import isotonic_regression

from dominoes.theory.fits import one_seed
from dominoes.theory.fits.families import Family, find_family
from dominoes.theory.fits.least_squares import Array, minimise
from dominoes.theory.fits.records import CurveArrays, Quantity, Single

_FLOOR, _CEILING, _SPEED, _PLACE, _SHAPE = range(5)
_RISE_ERRORS, _CERTAIN, _LEVELLED, _UNSETTLED = 3.5, 1e-9, 0.9, 1e-8
_ASSUMED_CORRELATION, _HIGHEST_CORRELATION = 0.95, 0.97


def has_risen(curves: CurveArrays) -> list[bool]:
    """Whether each curve has left its floor, shape (R,) of bool.

    The mean of the last three points or of the last quarter lies more than 3.5 standard errors beyond the floor (or, where no floor is
    known, beyond the mean of the first points). The residuals of a learning curve are so correlated that either mean counts as one
    measurement. Its standard error is the binomial one at the floor, where the number of examples and the chance are known; else see
    `_noise`. Of flat curves about one in a thousand passes, at a lag-1 correlation of 0.95; hardly one if their noise is independent.
    """
    sign = 1.0 if curves.rising else -1.0
    risen = [False] * len(curves.values)
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
        risen[r] = bool(late - sign * floor > _RISE_ERRORS * noise + _CERTAIN)
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


def half(family: Family, log_shape: float) -> tuple[float, float]:
    """z of the half point and ln of four times the slope there."""
    z = family.inverse(0.5, log_shape)
    _, slope, _ = family.rise(np.array([z]), np.array([log_shape]))
    return z, math.log(4 * float(slope[0]))


def fit_one(family_name: str, curves: CurveArrays) -> Single:
    """The fit of a batch of one curve."""
    (risen,), values, family = has_risen(curves), curves.values[0], find_family(family_name)
    free = 3 + (curves.floor is None) - (not family.rated) + (family.shape is not None)
    points = int((~np.isnan(values)).sum())
    level = float(np.nanmean(values)) if points else math.nan
    if points <= free:
        return Single(f"too few points: {points}, expected at least {free + 1}", False, False, level)
    if not risen:
        return Single("not learned", False, True, level)
    last = float(curves.steps[-1])
    x = one_seed.coordinates(family, curves.steps, last)
    low, high = one_seed._bounds(family, curves, x)
    objective = one_seed._objective(family, curves, x, 1)
    (starts,) = one_seed._starts(family, curves, x, low, high)
    none = np.zeros(1, dtype=np.intp)
    costs = [float(objective(start[None], none)[0][0]) for start in starts]
    best = None
    for number in np.argsort(costs, kind="stable")[: 1 if family.shape is None else 3]:
        found = minimise(objective, starts[number][None], low, high, steps=100)
        best = found if best is None or found.cost[0] < best.cost[0] else best
    assert best is not None
    values, jacobian = one_seed._derivatives(family, best.parameters, x)
    return _judge(family, curves, 0, best.parameters[0], bool(best.converged[0]), values[0], jacobian[0], (low, high), last, free)


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
