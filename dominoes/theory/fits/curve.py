"""Learning curves in numbers: fits of the pattern-learning model to a run, and of rival shapes to one curve.

`fit_patterns` follows the train and test accuracy of a whole run; `fit_curve` describes one learning curve by its ceiling, speed and onset;
`fit_table` does so for every curve of a table. No torch: curves made elsewhere are as good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import stdtrit, xlogy

from dominoes.errors import FitError
from dominoes.theory.fits.families import BASELINES, FAMILIES, find_family, is_brought_family
from dominoes.theory.fits.least_squares import Array
from dominoes.theory.fits.one_seed import coordinates, evaluate, fit_each, has_risen
from dominoes.theory.fits.records import CurveArrays, Quantity, Single

#: Every family of `fit_curve`, the two baselines last.
SHAPES = (*FAMILIES, *BASELINES)
METRICS = ("accuracy", "loss")

_LEVEL = 0.95


@dataclass(frozen=True)
class CurveFit:
    """What a learning curve says, or the learning curves of several seeds.

    A parametric family is value(t) = floor + (ceiling − floor) F(t), where F rises from 0 to 1.

    - `floor`: the level before learning: chance (accuracy 1/K, loss ln K) where that is given, else fitted.
    - `ceiling`: the level that the curve tends to: the highest accuracy, the lowest loss.
    - `onset`: the step at which F = 1/2, the curve having passed half of its ceiling above chance. `onset_interval` holds it with 95 %.
    - `speed`: four times the slope of F at the onset, per step where `time` is `linear`, per unit of ln(step) where it is `log`. It is
      the α of a logistic curve, and means the same for every family.
    - `parameters`, `errors`: the family's own parameters, in steps, and their standard errors.

    What is not estimated is NaN, and `status` says why: a flat curve is `not learned`, an onset that lies outside the measured steps is not
    reported, a value on a bound has no standard error. `status` is `ok` where there is nothing to say.

    Standard errors come from the seeds (`seeds` holds each seed's own fit; onset and speed are averaged as logarithms over those
    that learned, `n_learned` of `n_seeds`) where there are several. With one seed they allow for correlated residuals and for more
    noise than binomial. `freedom` is the degrees of freedom of the t distribution for intervals.

    `rmse` and `deviance` are those of each seed against its own curve: binomial deviance where the number of examples is known, else the
    sum of squares.
    """

    family: str
    metric: str
    time: str
    parameters: dict[str, float]
    errors: dict[str, float]
    floor: float
    ceiling: float
    ceiling_se: float
    speed: float
    speed_se: float
    onset: float
    onset_se: float
    freedom: float
    n_points: int
    n_seeds: int
    n_learned: int
    rmse: float
    deviance: float
    learned: bool
    converged: bool
    status: str
    seeds: tuple[CurveFit, ...] = field(default=(), repr=False)
    curve: Callable[[Array], Array] = field(default=np.zeros_like, repr=False, compare=False)

    def predict(self, step: npt.ArrayLike) -> Array:
        """The fitted curve at steps of at least 0, of any shape; with several seeds the mean of their curves."""
        steps = np.asarray(step, dtype=float)
        if not (np.isfinite(steps) & (steps >= 0)).all():
            raise FitError("a step is negative or not finite; expected steps of at least 0")
        if self.seeds:
            mean: Array = np.mean([seed.predict(steps) for seed in self.seeds], axis=0)
            return mean
        return self.curve(steps.ravel()).reshape(steps.shape)

    def interval(self, quantity: str, level: float = _LEVEL) -> tuple[float, float]:
        """Confidence interval of `ceiling`, `speed` or `onset`; the latter two are symmetric in the logarithm. NaN where there is none."""
        if quantity not in ("ceiling", "speed", "onset"):
            raise FitError(f"there is no interval of {quantity!r}; expected ceiling, speed or onset")
        value, error = getattr(self, quantity), getattr(self, f"{quantity}_se")
        if not self.freedom >= 1:
            return math.nan, math.nan
        reach = float(stdtrit(self.freedom, (1 + level) / 2)) * error
        if quantity == "ceiling":
            return value - reach, value + reach
        # Not exp(709) and beyond: an interval that wide says "unknown" at any width.
        factor = math.exp(min(reach / value, 700.0))
        return value / factor, value * factor

    @property
    def onset_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the onset, in steps."""
        return self.interval("onset")


def fit_curve(
    step: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    family: str = "logistic",
    metric: str = "accuracy",
    chance: float | None = None,
    n: npt.ArrayLike | None = None,
) -> CurveFit:
    """Fit one learning curve; with several seeds each is fitted alone, and the seeds are the unit of every standard error.

    `family="logistic"` is one pattern of Davies, Langosco and Krueger (2023, arXiv 2303.06173) above chance:
    p(t) = γ / (1 + exp(−α (t − b))).

    Args:
        step: (N,) steps, at least 0 and strictly increasing.
        value: (N,), or (seeds, N) for several seeds at the same steps. Accuracies in [0, 1] or losses of at least 0; NaN where missing.
        family: one of SHAPES. `isotonic` (the closest monotone curve) and `last` (the last value carried forward) are baselines.
        metric: `accuracy` rises, `loss` falls.
        chance: 1/K. The level before learning is then chance (for a loss −ln chance); None: it is fitted.
        n: number of examples behind each accuracy, of a shape that broadcasts to that of `value`. An accuracy is then fitted by binomial
            deviance; without n, and for a loss, by least squares.

    Raises FitError on input that breaks these rules. A curve that cannot be fitted is no error: see `CurveFit.status`.
    """
    steps = np.asarray(step, dtype=float)
    values = np.atleast_2d(np.asarray(value, dtype=float))
    examples = None if n is None or metric == "loss" else np.asarray(n, dtype=float)
    _check(steps, values, family, metric, chance, examples)
    if examples is not None:
        examples = np.broadcast_to(examples, values.shape)
    floor = chance if chance is None or metric == "accuracy" else -math.log(chance)
    fits = fit_all(CurveArrays(steps, values, examples, floor, metric == "accuracy"), family)
    return fits[0] if len(fits) == 1 else _over_seeds(fits)


def _check(steps: Array, values: Array, family: str, metric: str, chance: float | None, examples: Array | None) -> None:
    for name, given, known in (("family", family, SHAPES), ("metric", metric, METRICS)):
        if given not in known and not (name == "family" and is_brought_family(given)):
            raise FitError(f"{name} is {given!r}, expected one of {', '.join(known)}")
    if steps.ndim != 1 or values.ndim != 2 or values.shape[1] != len(steps) or not values.size:
        raise FitError(f"step and value have shapes {steps.shape} and {values.shape}; expected (N,) and (N,) or (seeds, N)")
    if not (np.isfinite(steps) & (steps >= 0)).all():
        raise FitError("a step is negative or not finite; expected steps of at least 0")
    if (np.diff(steps) <= 0).any():
        raise FitError(
            f"step {steps[1:][np.diff(steps) <= 0][0]:g} does not come after the one before it; sort the steps and average repeated ones"
        )
    outside = (values < 0) | (values > (1 if metric == "accuracy" else np.finfo(float).max))
    if outside.any():
        expected = "a share from 0 to 1" if metric == "accuracy" else "a finite number of at least 0"
        raise FitError(f"a value is {values[outside][0]:g}, expected {expected}, or NaN where it is missing")
    if chance is not None and not 0 < chance < 1:
        raise FitError(f"chance is {chance}, expected a share between 0 and 1, or None to fit the level before learning")
    if examples is not None:
        if not (examples >= 1).all():
            raise FitError("n is below 1 or missing; expected the number of examples behind each value")
        try:
            np.broadcast_to(examples, values.shape)
        except ValueError:
            raise FitError(f"n has shape {examples.shape}, expected one that broadcasts to {values.shape}") from None


def fit_all(curves: CurveArrays, family: str, risen: npt.NDArray[np.bool_] | None = None) -> list[CurveFit]:
    """Each curve's own fit; `risen` is `has_risen` of the curves, where that was asked before."""
    last = float(curves.steps[-1])
    risen = has_risen(curves) if risen is None else risen
    if family not in BASELINES:
        known = find_family(family)
        time = known.time
        singles = fit_each(family, curves, risen)
        shapes: list[Callable[[Array], Array]] = [
            partial(_shape, family, single.parameters, last) if single.learned else partial(_flat, single.level) for single in singles
        ]
        fitted = np.repeat([[single.level] for single in singles], len(curves.steps), axis=1)
        learned = np.flatnonzero([single.learned for single in singles])
        if len(learned):
            own = np.stack([singles[r].parameters for r in learned])
            fitted[learned] = evaluate(known, own, coordinates(known, curves.steps, last))
    else:
        time = "none"
        judged = [_baseline(family, curves, r, bool(each)) for r, each in enumerate(risen)]
        singles, shapes = [single for single, _ in judged], [shape for _, shape in judged]
        fitted = np.stack([shape(curves.steps) for shape in shapes])
    seen = ~np.isnan(curves.values)
    counts = seen.sum(axis=1)
    deviances = _deviances(curves, fitted, seen)
    rmses = np.sqrt(_squares(curves, fitted, seen) / np.maximum(counts, 1))
    fits = []
    for single, curve, points, rmse, deviance in zip(singles, shapes, counts.tolist(), rmses.tolist(), deviances.tolist(), strict=True):
        speed, onset = _natural(single.log_speed), _natural(single.log_onset)
        fits.append(
            CurveFit(
                family=family,
                metric="accuracy" if curves.rising else "loss",
                time=time,
                parameters={name: quantity.value for name, quantity in single.named.items()},
                errors={name: quantity.error for name, quantity in single.named.items()},
                floor=single.floor if single.learned or curves.floor is None else curves.floor,
                ceiling=single.ceiling.value,
                ceiling_se=single.ceiling.error,
                speed=speed.value,
                speed_se=speed.error,
                onset=onset.value,
                onset_se=onset.error,
                freedom=single.freedom,
                n_points=points,
                n_seeds=1,
                n_learned=int(single.learned),
                rmse=rmse if points else math.nan,
                deviance=deviance if points else math.nan,
                learned=single.learned,
                converged=single.converged,
                status=single.status,
                curve=curve,
            )
        )
    return fits


def _natural(logarithm: Quantity) -> Quantity:
    """A quantity from the estimate of its logarithm: the standard error by the delta method."""
    value = math.exp(min(logarithm.value, 700.0)) if not math.isnan(logarithm.value) else math.nan
    return Quantity(value, value * logarithm.error)


def _shape(family: str, parameters: Array, last: float, steps: Array) -> Array:
    (values,) = evaluate(find_family(family), parameters[None], coordinates(find_family(family), steps, last))
    return np.asarray(values)


def _flat(level: float, steps: Array) -> Array:
    return np.full(steps.shape, level)


def _interpolated(knots: Array, values: Array, steps: Array) -> Array:
    between: Array = np.interp(steps, knots, values)
    return between


def _carried(knots: Array, values: Array, steps: Array) -> Array:
    carried: Array = values[np.maximum(np.searchsorted(knots, steps, side="right") - 1, 0)]
    return carried


def _squares(curves: CurveArrays, fitted: Array, seen: npt.NDArray[np.bool_]) -> Array:
    """(R,) sums of squared residuals."""
    return np.asarray(np.sum(np.where(seen, curves.values - fitted, 0.0) ** 2, axis=1))


def _deviances(curves: CurveArrays, fitted: Array, seen: npt.NDArray[np.bool_]) -> Array:
    """(R,) binomial deviances where the number of examples is known, else the sums of squared residuals."""
    if curves.examples is None:
        return _squares(curves, fitted, seen)
    safe = np.clip(np.where(seen, fitted, 0.5), 1e-9, 1 - 1e-9)
    observed = np.where(seen, curves.values, 0.5)
    terms = xlogy(observed, observed / safe) + xlogy(1 - observed, (1 - observed) / (1 - safe))
    return np.asarray(2 * np.sum(np.where(seen, curves.examples, 0.0) * terms, axis=1))


def _baseline(family: str, curves: CurveArrays, r: int, risen: bool) -> tuple[Single, Callable[[Array], Array]]:
    """The isotonic smoother, or the last value carried forward; neither has parameters or, from one curve, standard errors."""
    seen = ~np.isnan(curves.values[r])
    knots, known = curves.steps[seen], curves.values[r, seen]
    if not len(known):
        return Single("too few points: 0, expected at least 1", False, False), partial(_flat, math.nan)
    if family == "last":
        status = "ok" if risen else "not learned"
        ceiling = Quantity(float(known[-1])) if risen else Quantity()
        return Single(status, bool(risen), True, floor=float(known[0]) if curves.floor is None else curves.floor, ceiling=ceiling), partial(
            _carried, knots, known
        )
    weights = None if curves.examples is None else curves.examples[r, seen]
    smooth = np.asarray(isotonic_regression(known, weights=weights, increasing=curves.rising).x, dtype=float)
    curve = partial(_interpolated, knots, smooth)
    if not risen:
        return Single("not learned", False, True), curve
    floor = float(smooth[0]) if curves.floor is None else curves.floor
    shares = (smooth - floor) / (smooth[-1] - floor)
    after = int(np.argmax(shares >= 0.5))
    single = Single("ok", True, True, floor=floor, ceiling=Quantity(float(smooth[-1])))
    if after == 0:
        return replace(single, status="onset before the first step"), curve
    onset = float(np.interp(0.5, shares[after - 1 : after + 1], knots[after - 1 : after + 1]))
    return replace(single, log_onset=Quantity(math.log(onset))), curve


def _over_seeds(fits: Sequence[CurveFit]) -> CurveFit:
    """One fit from the seeds' fits, whose spread gives the standard errors."""
    good = [fit for fit in fits if fit.learned and fit.converged]
    notes = []
    if len(good) < len(fits):
        learned = sum(fit.learned for fit in fits)
        notes.append("not learned" if not learned and all(fit.converged for fit in fits) else f"learned by {learned} of {len(fits)} seeds")
    for fit, number in [(fit, i + 1) for i, fit in enumerate(fits)]:
        if fit.status not in ("ok", "not learned"):
            notes.append(f"seed {number}: {fit.status}")
    ceiling = _mean([fit.ceiling for fit in good])
    speed, onset = (
        _natural(_mean([math.log(value) for value in values if value > 0])) for values in ([f.speed for f in good], [f.onset for f in good])
    )
    names = list(good[0].parameters) if good else []
    own = {name: _mean([fit.parameters[name] for fit in good]) for name in names}
    timed = sum(fit.onset > 0 for fit in good)
    if 0 < timed < len(good):
        notes.append(f"onset from {timed} of {len(good)} seeds")
    if len(good) == 1:
        notes.append("no standard error from one seed")
    points = sum(fit.n_points for fit in fits)
    squares = [fit.rmse**2 * fit.n_points for fit in fits if fit.n_points]
    return CurveFit(
        family=fits[0].family,
        metric=fits[0].metric,
        time=fits[0].time,
        parameters={name: quantity.value for name, quantity in own.items()},
        errors={name: quantity.error for name, quantity in own.items()},
        floor=_mean([fit.floor for fit in (good or fits)]).value,
        ceiling=ceiling.value,
        ceiling_se=ceiling.error,
        speed=speed.value,
        speed_se=speed.error,
        onset=onset.value,
        onset_se=onset.error,
        freedom=len(good) - 1,
        n_points=points,
        n_seeds=len(fits),
        n_learned=sum(fit.learned for fit in fits),
        rmse=math.sqrt(sum(squares) / points) if points else math.nan,
        deviance=float(sum(fit.deviance for fit in fits if fit.n_points)),
        learned=bool(good),
        converged=all(fit.converged for fit in fits),
        status="; ".join(notes) or "ok",
        seeds=tuple(fits),
    )


def _mean(values: Sequence[float]) -> Quantity:
    """Mean over the seeds that have a value, and its standard error; none from one seed, nor from seeds that are equal (a shared bound)."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Quantity()
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
    return Quantity(float(np.mean(known)), spread / math.sqrt(len(known)) if spread > 0 else math.nan)
