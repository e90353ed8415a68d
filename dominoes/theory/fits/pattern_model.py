"""The pattern-learning model (see `patterns`) fitted to the train and test accuracy of a whole run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dominoes.errors import FitError
from dominoes.theory.fits.least_squares import Array, Minimum, Objective, RowIndices, minimise
from dominoes.theory.pattern_model import MAX_PATTERNS, Pattern, PatternModel, mix, sigmoid

TIMES = ("linear", "log")

# Random candidates that are scored for each start that is followed, and the points on which they are scored.
_CANDIDATES, _SCORED_POINTS = 20, 100
# Time is scaled so that the measured steps span [0, 1]; step 0 lies at ln 0, which this stands for: nothing fires there at any speed.
_SLOWEST, _LN_ZERO = math.log(0.1), -1e6
_EARLIEST, _LATEST = -1.0, 2.0
# Starts whose cost is within this factor of the least count as having reached it.
_SAME_MINIMUM = 1.01
_ROUNDS = 3
# Two classes.
_HIGHEST_CHANCE = 0.5
# A pattern that answers less than this share of test examples at every step says nothing about its generalization.
_UNUSED = 1e-3


@dataclass(frozen=True)
class PatternFit:
    """Patterns that describe one run.

    `patterns` stand in order of inflection; their time is the step where `time` is `linear` and ln(step) where it is `log`, so that a
    speed is per step or per unit of ln(step). `chance` is the probability that an answer is right when nothing fires. `mse` = `mse_train`
    + `mse_test`, each a mean over the points that were measured (`mse_test` is None without test accuracies). `starts_at_best` of
    `starts` ended within 1 % of the least mse: with few of them another seed may find a better fit. `status` says in words what is not
    an estimate.
    """

    patterns: tuple[Pattern, ...]
    model: PatternModel
    time: str
    chance: float
    mse: float
    mse_train: float
    mse_test: float | None
    converged: bool
    starts: int
    starts_at_best: int
    status: str

    def predict(self, step: npt.ArrayLike) -> tuple[Array, Array]:
        """Train and test accuracy at steps of any shape, each in [0, 1]."""
        t = _model_time(_steps(step), self.time)
        return self.model.train_accuracy(t), self.model.test_accuracy(t)


def _steps(step: npt.ArrayLike) -> Array:
    steps = np.asarray(step, dtype=float)
    if not (np.isfinite(steps) & (steps >= 0)).all():
        raise FitError("a step is negative or not finite; expected steps of at least 0")
    return steps


def _model_time(steps: Array, time: str) -> Array:
    """The time of the model at each step; ln 0 becomes a number so low that no pattern of positive speed fires there."""
    if time == "linear":
        return steps
    return np.log(steps, out=np.full(steps.shape, -1e300), where=steps > 0)


@dataclass(frozen=True)
class _Measured:
    """One run on a scaled time axis: τ (N,), accuracies (2, N) with 0 where missing, weights (2, N) of the squared errors in the mse."""

    tau: Array
    values: Array
    weights: Array

    def pick(self, points: RowIndices) -> _Measured:
        """The same run on some of its points, weighted so that each curve still counts as its mean."""
        weights = self.weights[:, points]
        total = weights.sum(axis=1, keepdims=True)
        return _Measured(self.tau[points], self.values[:, points], weights / np.where(total > 0, total, 1))


@dataclass(frozen=True)
class _Layout:
    """Parameters of S fits as rows: n ceilings, n log speeds, n inflections, n generalizations, chance."""

    n: int
    preferred: int | None

    def split(self, parameters: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Ceilings, speeds, inflections and generalizations, each (n, S, 1), and chance (S, 1)."""
        blocks = parameters[:, :-1].reshape(-1, 4, self.n).transpose(1, 2, 0)[..., None]
        return blocks[0], np.exp(blocks[1]), blocks[2], blocks[3], parameters[:, -1:]


def _objective(data: _Measured, layout: _Layout) -> Objective:
    """Sum of the mean squared errors of the train and test accuracy, with analytic derivatives."""
    n, points = layout.n, len(data.tau)
    roots = np.sqrt(2 * data.weights).ravel()

    def objective(parameters: Array, _: RowIndices) -> tuple[Array, Array, Array]:
        ceiling, speed, inflection, generalization, chance = layout.split(parameters)
        since = data.tau - inflection
        share = sigmoid(speed * since)
        firing = ceiling * share
        mixture = mix(firing, generalization, layout.preferred)
        unanswered = 1 - mixture.train
        # Residuals and Jacobian carry the roots of twice the weights, so that cost = ½ r·r, gradient = J r, curvature = J Jᵀ.
        guessed = chance * unanswered
        errors = roots * np.concatenate([mixture.train + guessed - data.values[0], mixture.test + guessed - data.values[1]], axis=1)
        jacobian = np.zeros((len(parameters), 4 * n + 1, 2 * points))
        by_firing = ((1 - chance) * mixture.train_by_firing, mixture.test_by_firing - chance * mixture.train_by_firing)
        steepness = firing * (1 - share) * speed
        for curve, by in enumerate(by_firing):
            block = jacobian[:, :, curve * points : (curve + 1) * points]
            by_inflection = by * steepness
            block[:, :n] = (by * share).swapaxes(0, 1)
            block[:, n : 2 * n] = (by_inflection * since).swapaxes(0, 1)
            block[:, 2 * n : 3 * n] = -by_inflection.swapaxes(0, 1)
            block[:, -1] = unanswered
        jacobian[:, 3 * n : 4 * n, points:] = mixture.usage.swapaxes(0, 1)
        jacobian *= roots
        gradient = (jacobian @ errors[:, :, None])[:, :, 0]
        return 0.5 * np.sum(errors**2, axis=1), gradient, jacobian @ jacobian.swapaxes(1, 2)

    return objective


def _cost_with_best_generalization(data: _Measured, layout: _Layout, parameters: Array) -> tuple[Array, Array]:
    """Costs (S,) with the generalizations, in which the test accuracy is linear, solved for (variable projection), and the parameters.

    The unconstrained solution is clipped to [0, 1]: good enough for a start.
    """
    ceiling, speed, inflection, _, chance = layout.split(parameters)
    firing = ceiling * sigmoid(speed * (data.tau - inflection))
    mixture = mix(firing, np.zeros_like(ceiling), layout.preferred)
    guessed = chance * (1 - mixture.train)
    usage = mixture.usage.swapaxes(0, 1)
    weighted = usage * data.weights[1]
    normal = weighted @ usage.swapaxes(1, 2) + 1e-6 * np.eye(layout.n)
    wanted = weighted @ (data.values[1] - guessed)[:, :, None]
    generalization = np.clip(np.linalg.solve(normal, wanted), 0, 1)
    test = np.sum(generalization * usage, axis=1) + guessed
    train = mixture.train + guessed
    cost = (train - data.values[0]) ** 2 @ data.weights[0] + (test - data.values[1]) ** 2 @ data.weights[1]
    solved = parameters.copy()
    solved[:, 3 * layout.n : 4 * layout.n] = generalization[:, :, 0]
    return cost, solved


def _proposals(data: _Measured, count: int, time: str, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Ceilings, log speeds and inflections of `count` patterns (each (count,)), learned where the curves of this run rise.

    An inflection is the time of a point drawn evenly from the points, or in proportion to the rise of one curve there. A speed is drawn
    around the inverse of a third of the time since the start (linear) or of a sixteenth of the span (log), a factor of e either way.
    """
    density = np.full(len(data.tau), 1 / len(data.tau))
    for values, weights in zip(data.values, data.weights, strict=True):
        seen = np.flatnonzero(weights)
        if len(seen) > 1:
            rise = np.diff(np.maximum.accumulate(values[seen]), prepend=values[seen[0]])
            if rise.sum() > 0:
                density[seen] += rise / rise.sum()
    at = rng.choice(len(data.tau), size=count, p=density / density.sum())
    finite = np.maximum(data.tau, 0)
    inflection = finite[at] + rng.normal(0, 0.01, count) * (finite[at] if time == "linear" else 1)
    width = np.maximum(finite[at], 1e-6) / 3 if time == "linear" else np.full(count, 0.06)
    log_speed = -np.log(width) + rng.normal(0, 1, count)
    ceiling = np.where(rng.random(count) < 0.4, 1.0, rng.random(count))
    return ceiling, log_speed, inflection


def _follow(data: _Measured, layout: _Layout, low: Array, high: Array, candidates: Array, keep: int, scored: _Measured) -> Minimum:
    """Score candidates, keep the best of each of `keep` equal groups, and descend from those.

    A winner a group, not the best of all: those would crowd into the widest basin.
    """
    pieces = np.array_split(candidates, math.ceil(len(candidates) / 256))
    results = [_cost_with_best_generalization(scored, layout, piece) for piece in pieces]
    cost, solved = np.concatenate([cost for cost, _ in results]), np.concatenate([solved for _, solved in results])
    winners = cost.reshape(keep, -1).argmin(axis=1)
    start = solved.reshape(keep, -1, candidates.shape[1])[np.arange(keep), winners]
    return minimise(_objective(data, layout), start, low, high, steps=300)


def _fastest(data: _Measured) -> float:
    """Log speed of a pattern that is learned within a twentieth of the closest spacing: measurements cannot tell it from a steeper one."""
    return math.log(20 / float(np.diff(np.unique(data.tau[data.tau > _LN_ZERO])).min()))


def _search(
    data: _Measured, layout: _Layout, time: str, chance: float | None, starts: int, rng: np.random.Generator
) -> tuple[Array, float, bool, int]:
    """The best parameters, their mse, whether they converged, and how many starts ended there."""
    n = layout.n
    fixed = 0.0 if chance is None else chance
    untested = 0.0 if data.weights[1].any() else 1.0
    low = np.repeat([0, _SLOWEST, _EARLIEST, untested, fixed], [n, n, n, n, 1])
    high = np.repeat([1, _fastest(data), _LATEST, 1, _HIGHEST_CHANCE if chance is None else chance], [n, n, n, n, 1])
    first = min(values[np.flatnonzero(weights)[0]] for values, weights in zip(data.values, data.weights, strict=True) if weights.any())
    scored = data.pick(np.unique(np.linspace(0, len(data.tau) - 1, _SCORED_POINTS).astype(int)))
    if not (scored.weights.any(axis=1) == data.weights.any(axis=1)).all():
        scored = data

    count = starts * _CANDIDATES
    ceiling, log_speed, inflection = (part.reshape(count, n) for part in _proposals(data, count * n, time, rng))
    level = np.full((count, 1), first if chance is None else chance)
    candidates = np.concatenate([ceiling, log_speed, inflection, np.ones((count, n)), level], axis=1)
    found = _follow(data, layout, low, high, candidates, starts, scored)
    best = int(found.cost.argmin())
    parameters, mse, converged = found.parameters[best], float(found.cost[best]), bool(found.converged[best])
    # Minima differ mostly in what one pattern is spent on: replace each pattern of the best minimum by fresh ones until that gains nothing.
    tries = max(1, starts // n)
    for _ in range(_ROUNDS):
        ceiling, log_speed, inflection = _proposals(data, tries * n * _CANDIDATES, time, rng)
        candidates = np.repeat(parameters[None], tries * n * _CANDIDATES, axis=0)
        rows = np.arange(len(candidates))
        replaced = rows * n // len(candidates)
        candidates[rows, replaced], candidates[rows, n + replaced], candidates[rows, 2 * n + replaced] = ceiling, log_speed, inflection
        again = _follow(data, layout, low, high, candidates, tries * n, scored)
        best = int(again.cost.argmin())
        gained = again.cost[best] < mse
        enough = again.cost[best] > mse / _SAME_MINIMUM
        if gained:
            parameters, mse, converged = again.parameters[best], float(again.cost[best]), bool(again.converged[best])
        if enough:
            break
    reached = int(np.sum(found.cost <= mse * _SAME_MINIMUM + 1e-12))
    return parameters, mse, converged, reached


def fit_patterns(
    step: npt.ArrayLike,
    train_accuracy: npt.ArrayLike,
    test_accuracy: npt.ArrayLike | None = None,
    *,
    n_patterns: int,
    usage: str = "preferred",
    time: str = "best",
    starts: int = 50,
    seed: int = 0,
    chance: float | None = None,
) -> PatternFit:
    """Fit the pattern-learning model (Davies, Langosco and Krueger 2023, arXiv 2303.06173) to the curves of one whole run.

    Minimises the mean squared error of the train accuracy plus that of the test accuracy over 0 ≤ γ, g ≤ 1, α > 0 and b, from many
    starts, by bounded Levenberg-Marquardt with the analytic Jacobian. The same input and seed give the same fit.

    Args:
        step: (N,) steps of at least 0, finite, of any scale; they need be neither regular nor sorted nor unique.
        train_accuracy, test_accuracy: (N,) shares in [0, 1]; NaN where not measured.
        n_patterns: how many patterns, 1 to 30.
        usage: `preferred` (one pattern, which one is fitted, is used whenever it fires) or `equal`.
        time: `linear` (patterns are logistic in the step), `log` (in ln step; nothing fires at step 0), or `best` (both are fitted, the
            smaller mse stays).
        starts: how many minima are searched from random starts, at least 1.
        seed: of those starts.
        chance: probability of a right answer when nothing fires, 1/K: 0 for none, None to fit it too (at most 1/2).

    Raises FitError on input out of these ranges and on fewer measurements than parameters.
    """
    steps, values = _checked(step, train_accuracy, test_accuracy)
    for name, given, known in (("usage", usage, ("preferred", "equal")), ("time", time, (*TIMES, "best"))):
        if given not in known:
            raise FitError(f"{name} is {given!r}, expected one of {', '.join(known)}")
    if not 1 <= n_patterns <= MAX_PATTERNS:
        raise FitError(f"n_patterns is {n_patterns}, expected 1 to {MAX_PATTERNS}")
    if starts < 1:
        raise FitError(f"starts is {starts}, expected at least 1")
    if chance is not None and not 0 <= chance <= _HIGHEST_CHANCE:
        raise FitError(f"chance is {chance}, expected a share from 0 to 0.5, or None to fit it")
    tested = bool(np.isfinite(values[1]).any())
    needed = n_patterns * (4 if tested else 3) + (chance is None)
    measured = int(np.isfinite(values).sum())
    different = len(np.unique(steps[steps > 0]))
    if measured < needed or different < 3:
        raise FitError(
            f"{measured} measurements at {different} steps after step 0 cannot settle {needed} parameters; "
            "fit fewer patterns or measure more often"
        )
    fits = [_fit_one(steps, values, n_patterns, usage, axis, starts, seed, chance) for axis in (TIMES if time == "best" else (time,))]
    return min(fits, key=lambda fit: fit.mse)


def _checked(step: npt.ArrayLike, train: npt.ArrayLike, test: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Sorted steps (N,) and accuracies (2, N), the rows without any measurement left out."""
    steps, first = _steps(step), np.asarray(train, dtype=float)
    second = np.full(first.shape, np.nan) if test is None else np.asarray(test, dtype=float)
    if steps.ndim != 1 or first.shape != steps.shape or second.shape != steps.shape:
        raise FitError(
            f"step, train_accuracy and test_accuracy have shapes {steps.shape}, {first.shape}, {second.shape}; expected one length"
        )
    for name, curve in (("train_accuracy", first), ("test_accuracy", second)):
        outside = (curve < 0) | (curve > 1)
        if outside.any():
            where = f"{curve[outside][0]:g} at step {steps[outside][0]:g}"
            raise FitError(f"{name} is {where}, expected a share from 0 to 1, or NaN where it is missing")
    if not np.isfinite(first).any():
        raise FitError("train_accuracy holds no measurement (all NaN); expected shares from 0 to 1")
    order = np.argsort(steps, kind="stable")
    values = np.stack([first, second])[:, order]
    known = np.isfinite(values).any(axis=0)
    return steps[order][known], values[:, known]


def _fit_one(steps: Array, values: Array, n: int, usage: str, time: str, starts: int, seed: int, chance: float | None) -> PatternFit:
    measured = np.isfinite(values)
    counts = measured.sum(axis=1, keepdims=True)
    weights = measured / np.where(counts > 0, counts, 1)
    t = _model_time(steps, time)
    started = t[steps > 0]
    origin, span = (0.0, float(t[-1])) if time == "linear" else (float(started[0]), float(started[-1] - started[0]))
    tau = np.maximum((t - origin) / span, _LN_ZERO)
    data = _Measured(tau, np.where(measured, values, 0), weights)
    layout = _Layout(n, 0 if usage == "preferred" else None)
    parameters, _, converged, reached = _search(data, layout, time, chance, starts, np.random.default_rng(seed))

    parts = parameters[:-1].reshape(4, n)
    order = np.argsort(parts[2], kind="stable")
    ceiling, log_speed, inflection, generalization = parts[:, order]
    speed = np.exp(log_speed) / span
    patterns = tuple(map(Pattern, ceiling.tolist(), speed.tolist(), (origin + inflection * span).tolist(), generalization.tolist()))
    level = float(parameters[-1])
    rule = "equal" if layout.preferred is None else f"preferred:{int(np.flatnonzero(order == 0)[0]) + 1}"
    model = PatternModel(patterns, rule, 1 / level if level > 0 else None)
    predicted = (model.train_accuracy(t), model.test_accuracy(t))
    errors = [float(weight @ (curve - value) ** 2) for weight, curve, value in zip(weights, predicted, data.values, strict=True)]
    tested = bool(counts[1, 0])
    notes = ["converged" if converged else "not converged, raise starts"]
    notes += _not_estimates(model, t, (started[0] - origin) / span, parts[:, order], _fastest(data), tested)
    if chance is None and level == _HIGHEST_CHANCE:
        notes.append(f"chance on its bound {level:g}")
    if reached < 2 < starts:
        notes.append("fewer than two starts reached the best fit, raise starts")
    return PatternFit(
        patterns, model, time, level, sum(errors), errors[0], errors[1] if tested else None, converged, starts, reached, "; ".join(notes)
    )


def _not_estimates(model: PatternModel, t: Array, begin: float, parts: Array, fastest: float, tested: bool) -> list[str]:
    """What in a fit is not settled by the curves, one clause for each pattern and parameter."""
    notes = []
    usage = model.usage(t).max(axis=1)
    for i, (ceiling, log_speed, inflection, generalization) in enumerate(parts.T):
        pattern = f"pattern {i + 1}"
        if ceiling == 0:
            notes.append(f"{pattern} never fires")
            continue
        if ceiling == 1:
            notes.append(f"ceiling of {pattern} on its bound 1")
        if log_speed >= fastest or log_speed <= _SLOWEST:
            notes.append(f"speed of {pattern} on its {'upper' if log_speed >= fastest else 'lower'} bound")
        if not begin <= inflection <= 1:
            notes.append(f"inflection of {pattern} outside the measured steps")
        if tested and usage[i] < _UNUSED:
            notes.append(f"generalization of {pattern} unknown, it is hardly used")
        elif tested and generalization in (0, 1):
            notes.append(f"generalization of {pattern} on its bound {generalization:g}")
    if not tested:
        notes.append("generalization unknown without test accuracies")
    return notes
