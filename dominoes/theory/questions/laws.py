"""How onset, speed and ceiling move with each swept parameter, and whether a point follows from its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.spec import SIDES
from dominoes.theory.intervals import CANNOT_TELL, Interval, number
from dominoes.theory.run_arrays import log_time_weights
from dominoes.theory.sweep_curves import Points, SweepCurves, SweptCurve
from dominoes.theory.verdicts import Answer, Options, gathered

QUANTITIES = ("onset", "speed", "ceiling")


def everywhere(values: FloatArray) -> NDArray[np.bool_]:
    """(S, P) -> (P,): the points at which every replicate has a value."""
    return np.asarray(np.isfinite(values).all(axis=0))


def slopes(x: FloatArray, y: FloatArray, groups: Sequence[Points]) -> FloatArray:
    """(P,), (S, P) -> (S,): common slope within groups, least squares with a constant a group."""
    centred = [(x[points] - x[points].mean(), points) for points in groups]
    return np.asarray(sum(y[:, points] @ each for each, points in centred) / sum(each @ each for each, _ in centred))


def contrast(x: FloatArray, y: FloatArray, groups: Sequence[Points]) -> tuple[FloatArray, FloatArray]:
    """The points that groups hold, and what each of them adds to the common slope: (P,), (S, P) -> y (S, Q), coefficients (Q,)."""
    points = np.unique(np.concatenate(list(groups)))
    return y[:, points], slopes(x, np.eye(len(x)), groups)[points]


def mean_span(x: FloatArray, groups: Sequence[Points]) -> float:
    """How far x goes from one end of a group to the other, on average over groups."""
    return float(np.mean([np.ptp(x[points]) for points in groups]))


def _bends(x: FloatArray, y: FloatArray, groups: Sequence[Points]) -> FloatArray | None:
    """(P,), (S, P) -> (S,): how far y at the middle of the range lies above the straight line between its ends; None with two values
    only.
    """
    above, below = np.zeros(len(y)), 0.0
    for points in groups:
        basis = np.stack([np.ones(len(points)), x[points] - x[points].mean()], axis=1)
        square = basis[:, 1] ** 2
        if len(np.unique(x[points])) > 2:
            square = square - basis @ np.linalg.lstsq(basis, square, rcond=None)[0]
            above, below = above + y[:, points] @ square, below + float(square @ square)
    return np.asarray(-above / below * mean_span(x, groups) ** 2 / 4) if below > 0 else None


def own_fields(data: SweepCurves, side: str) -> list[str]:
    """Numeric fields that may act on a side: not those of the other side, which are the question of competition, nor seeds, which are
    names."""
    other = "bottom" if side == "top" else "top"
    fields = [name for name in data.fields if not name.endswith((f"_{other}", "seed"))]
    return [name for name in fields if data.numbers(name) is not None]


def laws(data: SweepCurves, options: Options) -> Answer:
    """Onset, speed and ceiling against each field: power law, exponential, linear. A form holds if it does not bend."""
    answers = [law(data, options, side, name, quantity) for side in SIDES for name in own_fields(data, side) for quantity in QUANTITIES]
    return gathered(answers) if answers else options.unanswered("laws", "no swept column holds numbers that are no seeds", data.n_seeds)


def law(data: SweepCurves, options: Options, side: str, name: str, quantity: str) -> Answer:
    y = data.quantity(side, quantity)
    usable = everywhere(y)
    groups = data.groups(name, usable)
    x = data.numbers(name)
    question = f"law of {quantity}"
    if x is None or not groups:
        soon = "; it is half risen when first measured, which is past its onset" * bool(data.early(side).any())
        reason = f"no two points at which the {side} is learned in every replicate differ in {name} alone{soon}"
        return options.unanswered(question, reason, data.n_seeds, side=side, model=name)
    notes = []
    if not usable.all():
        notes.append(f"laws: {(~usable).sum()} of {len(usable)} points left out: the {side} has no {quantity} in every replicate there")
    used = np.concatenate(list(groups))
    positive = bool((x[used] > 0).all())
    if not positive:
        notes.append(f"laws: {name} is not above 0 everywhere, so no power law is tried")
    logs = np.log(np.where(np.isfinite(y) & (y > 0), y, 1.0))
    forms = {
        "power law": (np.log(np.where(x > 0, x, 1.0)), logs, "exponent"),
        "exponential": (x, logs, f"change of ln {quantity} per unit of {name}"),
        "linear": (x, np.where(np.isfinite(y), y, 0.0), f"change of {quantity} per unit of {name}"),
    }
    over = options.spread(data.n_seeds)
    rows = []
    for form, (place, values, coefficient) in forms.items():
        if form == "power law" and not positive:
            continue
        slope = over.mean(slopes(place, values, groups))
        bends = _bends(place, values, groups)
        off = _misfit(place, values, groups)
        if bends is None:
            verdict, also = CANNOT_TELL, "two values of a field fit every form"
        else:
            if form == "linear":
                # In units of the mean, so that one margin serves all forms.
                level = float(values[:, used].mean())
                bend = over.mean(1 + bends / level)
            else:
                bend = over.mean(bends).exp()
            verdict = bend.verdict(*options.margins.factor())
            low, high = options.margins.factor()
            also = f"mid-sweep it is {_text(bend, options)} of the law's; agreement: {number(low)} to {number(high)}"
        claim = f"{quantity} of the {side} against {name}, {form}"
        rows.append(
            options.judge(
                question, claim, coefficient, slope, (math.nan, math.nan), data.n_seeds,
                also=also, overruled=verdict, side=side, model=form, rival=name, rmse=off,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), tuple(notes))


def _misfit(x: FloatArray, y: FloatArray, groups: Sequence[Points]) -> float:
    """RMS distance of the points' means from the law."""
    mean = y.mean(axis=0, keepdims=True)
    slope = float(slopes(x, mean, groups)[0])
    off = [mean[0, points] - mean[0, points].mean() - slope * (x[points] - x[points].mean()) for points in groups]
    return float(np.sqrt(np.mean(np.concatenate(off) ** 2)))


def _text(interval: Interval, options: Options) -> str:
    if math.isnan(interval.low):
        return number(interval.estimate)
    return f"{number(interval.estimate)} ({100 * options.level:g} % interval {number(interval.low)} to {number(interval.high)})"


def held_out_points(data: SweepCurves, options: Options) -> Answer:
    """Are the curves of a point predicted by its neighbours' parameters better than by the nearest neighbour's curve?

    For every point between two others (that differ from it in one field alone): ln onset, ln speed and logit ceiling, means over
    replicates, are interpolated in the logarithm of the field (in the field, where it is not above 0), and the curve that they make is
    scored on every replicate of the point, with no refit, against the mean curve of the nearest neighbour.
    """
    return gathered(_held_out(data, options, side, name) for side in SIDES for name in own_fields(data, side))


def _held_out(data: SweepCurves, options: Options, side: str, name: str) -> Answer:
    shapes = np.stack([data.quantity(side, quantity) for quantity in QUANTITIES])
    usable = everywhere(shapes.reshape(-1, shapes.shape[2]))
    x = data.numbers(name)
    groups = [points for points in data.groups(name, usable) if len(points) > 2]
    if x is None or not groups:
        reason = f"no point at which the {side} is learned lies between two others that differ from it in {name} alone"
        return options.unanswered("held-out point", reason, data.n_seeds, side=side, model=name)
    place = np.log(np.where(x > 0, x, 1.0)) if (x[np.concatenate(groups)] > 0).all() else x
    ceiling = np.clip(shapes[2], 1e-3, 1 - 1e-3)
    with np.errstate(invalid="ignore"):
        parameters = np.stack([np.log(shapes[0]), np.log(np.maximum(shapes[1], 1e-6)), np.log(ceiling / (1 - ceiling))]).mean(axis=1)
    scores = []
    for points in groups:
        for before, point, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
            share = (place[point] - place[before]) / (place[after] - place[before])
            onset, speed, odds = (1 - share) * parameters[:, before] + share * parameters[:, after]
            nearest = before if share <= 0.5 else after
            own = [curve for row in data.curves[side] if (curve := row[point]) is not None]
            near = [curve for row in data.curves[side] if (curve := row[nearest]) is not None]
            scores.append([_errors(curve, near, math.exp(onset), math.exp(speed), 1 / (1 + math.exp(-odds)), data.chance) for curve in own])
    carried, predicted = np.array(scores).mean(axis=0).T
    better = options.spread(data.n_seeds).mean(carried - predicted)
    off = float(predicted.mean()), float(carried.mean())
    claim = f"parameters interpolated over {name} predict the {side}'s curves better than the nearest point does"
    row = options.judge(
        "held-out point", claim, "RMSE, nearest − interpolated", better, (0.0, math.inf), data.n_seeds,
        also=f"RMSE {number(off[0])} interpolated, {number(off[1])} nearest; {len(scores)} points left out in turn",
        side=side, model=name, rival="nearest point", rmse=off[0],
    )  # fmt: skip
    return Answer((row,))


def _errors(
    curve: SweptCurve, near: Sequence[SweptCurve], onset: float, speed: float, ceiling: float, chance: float
) -> tuple[float, float]:
    """RMSE over log time on one curve: of the mean of the nearest point's curves, and of the interpolated shape."""
    weights = log_time_weights(curve.time)
    carried = np.mean([each.at(curve.time) for each in near], axis=0)
    predicted = chance + (ceiling - chance) / (1 + (curve.time / onset) ** -speed)
    return float(np.sqrt((curve.accuracy - carried) ** 2 @ weights)), float(np.sqrt((curve.accuracy - predicted) ** 2 @ weights))
