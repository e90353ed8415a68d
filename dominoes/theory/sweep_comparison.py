"""How the learning curves move across a sweep: laws, competition, and points that were left out.

Each side's one-sided test curve has an onset (in samples seen), a speed and a ceiling (`fitting.fit_curve`, logistic in log time).
These are compared within groups of points that differ in one field only, each replicate for itself (see `points`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes.errors import CurvesError
from dominoes.theory import verdicts
from dominoes.theory.questions import simplicity as simplicity_module
from dominoes.theory.run_arrays import log_time_weights
from dominoes.theory.sweep_curves import SIDES, Curve, Points, Sweep, sweep
from dominoes.theory.verdicts import CANNOT_TELL, Answer, Comparison, FloatArray, Interval, Margins, Options, gathered, number

SWEEP_QUESTIONS = ("laws", "rescaling", "no competition", "held-out point")
QUANTITIES = ("onset", "speed", "ceiling")


def compare_sweep(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    by: Sequence[str] | None = None,
    classes_count: int | None = None,
    level: float = 0.95,
    margins: Margins | None = None,
    seed: int = 0,
    resamples: int = 2000,
    questions: Sequence[str] = SWEEP_QUESTIONS,
    simplicity: pd.DataFrame | None = None,
    group: str = "",
) -> Comparison:
    """Judge how the curves of the two sides move across a sweep.

    In the pattern-learning model (arXiv 2303.06173; design.md section 7) a side's p(t) depends on its own pattern alone: not on how
    prevalent the other is (no competition), and on its own prevalence, if learning takes a number of its own examples, through
    prevalence × samples.

    Args:
        curves: columns of curves.csv, and further columns that hold the swept parameters (`prevalence_top`, `prevalence_bottom`, ...).
            Only test curves of kind `top` and `bottom` are used.
        classes: only the number of labels is read from it.
        by: the columns that are swept. None: all further columns that take more than one value.
        classes_count, level, margins, seed, resamples, group: as in `comparison.compare`.
        questions: some of SWEEP_QUESTIONS.
        simplicity: columns of simplicity.csv. Where runs differ in a side's source or transforms, it is asked in addition whether that
            side's onset follows its measured code length, by which law, and whether the other side's curve depends on it.

    Raises CurvesError: nothing is swept, a column of `by` is missing, there are no one-sided test curves, a setting of the sweep is not in
    `simplicity`, or an option is out of range.
    """
    unknown = [question for question in questions if question not in SWEEP_QUESTIONS]
    if unknown:
        raise CurvesError(f"question {', '.join(unknown)} is not known; expected some of {', '.join(SWEEP_QUESTIONS)}")
    options = Options(margins or Margins(), level, seed, resamples)
    data = sweep(curves, classes, by=by, classes_count=classes_count)
    answers: dict[str, Callable[[Sweep, Options], Answer]] = {
        "laws": _laws,
        "rescaling": _rescaling,
        "no competition": _competition,
        "held-out point": _held_out_points,
    }
    found = [answers[question](data, options) for question in SWEEP_QUESTIONS if question in questions]
    notes = data.notes
    for yardstick, quantity in simplicity_module.YARDSTICKS.items():
        if simplicity is not None and (simplicity["quantity"] == quantity).any():
            measured = simplicity_module.measured(data, curves, simplicity, yardstick)
            found.append(_simplicity(measured, options, yardstick))
            notes += tuple(note for note in measured.notes if note not in notes)
    return verdicts.comparison(gathered(found), notes, group)


def _simplicity(data: Sweep, options: Options, yardstick: str) -> Answer:
    """Onset against the yardstick on the side that is dialled, and what that does to the other side."""
    answers = []
    for side, other in (("top", "bottom"), ("bottom", "top")):
        name = simplicity_module.field(yardstick, side)
        if name in data.fields:
            answers += [simplicity_module.ordered(data, options, side, name), _law(data, options, side, name, "onset")]
            answers.append(_competes(data, options, other, name))
    return gathered(answers)


def _everywhere(values: FloatArray) -> NDArray[np.bool_]:
    """(S, P) -> (P,): the points at which every replicate has a value."""
    return np.asarray(np.isfinite(values).all(axis=0))


def _slopes(x: FloatArray, y: FloatArray, groups: Sequence[Points]) -> FloatArray:
    """(P,), (S, P) -> (S,): common slope within groups, least squares with a constant a group."""
    centred = [(x[points] - x[points].mean(), points) for points in groups]
    return np.asarray(sum(y[:, points] @ each for each, points in centred) / sum(each @ each for each, _ in centred))


def _range(x: FloatArray, groups: Sequence[Points]) -> float:
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
    return np.asarray(-above / below * _range(x, groups) ** 2 / 4) if below > 0 else None


def _own_fields(data: Sweep, side: str) -> list[str]:
    """Numeric fields that may act on a side: not those of the other side, which are the question of competition."""
    other = "bottom" if side == "top" else "top"
    return [name for name in data.fields if not name.endswith(f"_{other}") and data.numbers(name) is not None]


def _laws(data: Sweep, options: Options) -> Answer:
    """Onset, speed and ceiling against each field: power law, exponential, linear. A form holds if it does not bend."""
    answers = [_law(data, options, side, name, quantity) for side in SIDES for name in _own_fields(data, side) for quantity in QUANTITIES]
    return gathered(answers) if answers else options.unanswered("laws", "no swept column holds numbers", data.n_seeds)


def _law(data: Sweep, options: Options, side: str, name: str, quantity: str) -> Answer:
    y = data.quantity(side, quantity)
    usable = _everywhere(y)
    groups = data.groups(name, usable)
    x = data.numbers(name)
    question = f"law of {quantity}"
    if x is None or not groups:
        reason = f"no two points at which the {side} is learned in every replicate differ in {name} alone"
        return options.unanswered(question, reason, data.n_seeds, side=side, model=name)
    notes = []
    if not usable.all():
        notes.append(f"laws: {(~usable).sum()} of {len(usable)} points left out: the {side} is not learned in every replicate there")
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
    bootstrap = options.bootstrap(data.n_seeds)
    rows = []
    for form, (place, values, coefficient) in forms.items():
        if form == "power law" and not positive:
            continue
        slope = bootstrap.mean(_slopes(place, values, groups))
        bends = _bends(place, values, groups)
        off = _misfit(place, values, groups)
        if bends is None:
            verdict, also = CANNOT_TELL, "two values of a field fit every form"
        else:
            if form == "linear":
                # In units of the mean, so that one margin serves all forms.
                level = float(values[:, used].mean())
                bend = bootstrap.mean(1 + bends / level)
            else:
                bend = bootstrap.mean(bends).exp()
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
    slope = float(_slopes(x, mean, groups)[0])
    off = [mean[0, points] - mean[0, points].mean() - slope * (x[points] - x[points].mean()) for points in groups]
    return float(np.sqrt(np.mean(np.concatenate(off) ** 2)))


def _text(interval: Interval, options: Options) -> str:
    if math.isnan(interval.low):
        return number(interval.estimate)
    return f"{number(interval.estimate)} ({100 * options.level:g} % interval {number(interval.low)} to {number(interval.high)})"


def _rescaling(data: Sweep, options: Options) -> Answer:
    """Is time counted in a side's own examples, so that its curves at all prevalences are one curve of prevalence × samples?

    Twice: by the exponent of the onset (−1), and without any fit by the accuracy averaged over the rescaled log time that all points share.
    """
    return gathered(_rescaled(data, options, side) for side in SIDES)


def _rescaled(data: Sweep, options: Options, side: str) -> Answer:
    name = f"prevalence_{side}"
    x = data.numbers(name) if name in data.fields else None
    present = np.array([all(row[point] is not None for row in data.curves[side]) for point in range(len(data.curves[side][0]))])
    groups = data.groups(name, present) if x is not None else []
    if x is None or not groups or not (x > 0).all():
        return options.unanswered("rescaling", f"no two points differ in {name} alone", data.n_seeds, side=side)
    onset = data.quantity(side, "onset")
    if not np.isfinite(onset).any():
        return options.unanswered("rescaling", "it is learned at no point of the sweep", data.n_seeds, side=side)
    bootstrap = options.bootstrap(data.n_seeds)
    rows, notes = [], []
    learned = data.groups(name, _everywhere(onset))
    if learned:
        exponent = bootstrap.mean(_slopes(np.log(x), np.log(np.where(np.isfinite(onset), onset, 1.0)), learned))
        margin = options.margins.exponent
        rows.append(
            options.judge(
                "rescaling", f"onset of the {side} goes as 1 / {name}", "exponent", exponent, (-1 - margin, -1 + margin), data.n_seeds,
                side=side, model="onset", expected=-1.0,
            )
        )  # fmt: skip
    else:
        notes.append(f"rescaling: the {side} is not learned in every replicate of two points that differ in {name} alone; no exponent")
    means = np.zeros((data.n_seeds, len(x)))
    shared = []
    for points in groups:
        curves = [[curve for curve in (row[point] for point in points) if curve is not None] for row in data.curves[side]]
        start = max(curve.time[0] * x[point] for row in curves for curve, point in zip(row, points, strict=True))
        end = min(curve.time[-1] * x[point] for row in curves for curve, point in zip(row, points, strict=True))
        if end > start:
            at = np.geomspace(start, end, 60)
            shared.append(points)
            for replicate, row in enumerate(curves):
                for curve, point in zip(row, points, strict=True):
                    means[replicate, point] = float(curve.at(at / x[point]) @ log_time_weights(at))
    if shared:
        change = bootstrap.mean(_slopes(np.log(x), means, shared) * _range(np.log(x), shared))
        margin = options.margins.accuracy
        rows.append(
            options.judge(
                "rescaling", f"the {side}'s curves collapse against {name} × {data.time}",
                f"change of mean accuracy from the smallest to the largest {name}, after rescaling", change, (-margin, margin),
                data.n_seeds, side=side, model="collapse", expected=0.0,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), tuple(notes))


def _competition(data: Sweep, options: Options) -> Answer:
    """A side's curve does not depend on how prevalent the other side is: effect of the whole swept range on onset and on mean accuracy."""
    return gathered(_competes(data, options, side, f"prevalence_{other}") for side, other in (("bottom", "top"), ("top", "bottom")))


def _competes(data: Sweep, options: Options, side: str, name: str) -> Answer:
    x = data.numbers(name) if name in data.fields else None
    mean = data.measured(side, Curve.mean)
    groups = data.groups(name, _everywhere(mean)) if x is not None else []
    if x is None or not groups:
        reason = f"no two points have the same prevalence_{side} and differ in {name} alone"
        return options.unanswered("no competition", reason, data.n_seeds, side=side)
    if not np.isfinite(data.quantity(side, "onset")).any():
        # Curves that stay at chance agree with each other, and that is no evidence.
        return options.unanswered("no competition", "it is learned at no point of the sweep", data.n_seeds, side=side)
    bootstrap = options.bootstrap(data.n_seeds)
    claim = f"the {side}'s curve does not depend on {name}"
    rows, notes = [], []
    onset = data.quantity(side, "onset")
    learned = _everywhere(onset)
    among = data.groups(name, learned)
    lost = int(np.concatenate(groups).size - (np.concatenate(among).size if among else 0))
    if lost:
        late = "its onset lies after the last step there, which only the mean accuracy shows"
        notes.append(f"no competition: at {lost} points the {side} is not learned in every replicate; {late}")
    if among:
        effect = bootstrap.mean(_slopes(x, np.log(np.where(learned, onset, 1.0)), among) * _range(x, among)).exp()
        # Points that are not learned are those with the latest onsets: what is left cannot show that nothing moves.
        verdict = effect.verdict(*options.margins.factor())
        rows.append(
            options.judge(
                "no competition", claim, f"onset at the largest {name} / at the smallest", effect, options.margins.factor(), data.n_seeds,
                also=f"{lost} points where it is not learned are left out" if lost else "",
                overruled=CANNOT_TELL if lost and verdict == verdicts.HOLDS else "",
                side=side, model="onset", expected=1.0,
            )
        )  # fmt: skip
    change = bootstrap.mean(_slopes(x, np.where(np.isfinite(mean), mean, 0.0), groups) * _range(x, groups))
    margin = options.margins.accuracy
    rows.append(
        options.judge(
            "no competition", claim, f"change of mean accuracy from the smallest to the largest {name}", change, (-margin, margin),
            data.n_seeds, side=side, model="mean accuracy", expected=0.0,
        )
    )  # fmt: skip
    return Answer(tuple(rows), (), tuple(notes))


def _held_out_points(data: Sweep, options: Options) -> Answer:
    """Are the curves of a point foretold by its neighbours' parameters better than by the nearest neighbour's curve?

    For every point between two others (that differ from it in one field alone): ln onset, ln speed and logit ceiling, means over
    replicates, are interpolated in the logarithm of the field (in the field, where it is not above 0), and the curve that they make is
    scored on every replicate of the point, with no refit, against the mean curve of the nearest neighbour.
    """
    return gathered(_held_out(data, options, side, name) for side in SIDES for name in _own_fields(data, side))


def _held_out(data: Sweep, options: Options, side: str, name: str) -> Answer:
    shapes = np.stack([data.quantity(side, quantity) for quantity in QUANTITIES])
    usable = _everywhere(shapes.reshape(-1, shapes.shape[2]))
    x = data.numbers(name)
    groups = [points for points in data.groups(name, usable) if len(points) > 2]
    if x is None or not groups:
        reason = f"no point at which the {side} is learned lies between two others that differ from it in {name} alone"
        return options.unanswered("held-out point", reason, data.n_seeds, side=side, model=name)
    place = np.log(x) if (x[np.concatenate(groups)] > 0).all() else x
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
    carried, foretold = np.array(scores).mean(axis=0).T
    better = options.bootstrap(data.n_seeds).mean(carried - foretold)
    off = float(foretold.mean()), float(carried.mean())
    claim = f"parameters interpolated over {name} foretell the {side}'s curves better than the nearest point does"
    row = options.judge(
        "held-out point", claim, "RMSE, nearest − interpolated", better, (0.0, math.inf), data.n_seeds,
        also=f"RMSE {number(off[0])} interpolated, {number(off[1])} nearest; {len(scores)} points left out in turn",
        side=side, model=name, rival="nearest point", rmse=off[0],
    )  # fmt: skip
    return Answer((row,))


def _errors(curve: Curve, near: Sequence[Curve], onset: float, speed: float, ceiling: float, chance: float) -> tuple[float, float]:
    """RMSE over log time on one curve: of the mean of the nearest point's curves, and of the interpolated shape."""
    weights = log_time_weights(curve.time)
    carried = np.mean([each.at(curve.time) for each in near], axis=0)
    foretold = chance + (ceiling - chance) / (1 + (curve.time / onset) ** -speed)
    return float(np.sqrt((curve.accuracy - carried) ** 2 @ weights)), float(np.sqrt((curve.accuracy - foretold) ** 2 @ weights))
