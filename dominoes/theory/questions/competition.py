"""Whether a side's curve depends on its own prevalence by rescaling alone, and on the other side's not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.spec import SIDES
from dominoes.theory.intervals import CANNOT_TELL, HOLDS
from dominoes.theory.questions.laws import contrast, everywhere, mean_span
from dominoes.theory.run_arrays import log_time_weights
from dominoes.theory.sweep_curves import Points, SweepCurves, SweptCurve
from dominoes.theory.verdicts import Answer, Options, Verdict, gathered
from dominoes.theory.windows import shared, windows

# Times of the common grid of points whose curves were measured at different ones.
_TIMES = 60
# Curves end at once where the shortest lasts at least this share of the longest.
_ENDS = 0.8
# Accuracy above chance, or nats below ln K, under which a share of what is learned is a share of nothing.
_LEAST = 0.03


def rescaling(data: SweepCurves, options: Options) -> Answer:
    """Is time counted in a side's own examples, so that its curves at all prevalences are one curve of prevalence × samples?

    Twice: by the exponent of the onset (−1), and without any fit by the accuracy averaged over the rescaled log time that all points share.
    """
    return gathered(_rescaled(data, options, side) for side in SIDES)


def _rescaled(data: SweepCurves, options: Options, side: str) -> Answer:
    name = f"prevalence_{side}"
    x = data.numbers(name) if name in data.fields else None
    present = np.array([all(row[point] is not None for row in data.curves[side]) for point in range(len(data.curves[side][0]))])
    groups = data.groups(name, present) if x is not None else []
    if x is None or not groups or not (x > 0).all():
        return options.unanswered("rescaling", f"no two points differ in {name} alone", data.n_seeds, side=side)
    onset = data.quantity(side, "onset")
    if not data.risen(side).any():
        return options.unanswered("rescaling", "it is learned at no point of the sweep", data.n_seeds, side=side)
    over = options.spread(data.n_seeds)
    rows, notes = [], []
    learned = data.groups(name, everywhere(onset))
    if learned:
        exponent = over.contrast(*contrast(np.log(x), np.log(np.where(np.isfinite(onset), onset, 1.0)), learned))
        margin = options.margins.exponent
        rows.append(
            options.judge(
                "rescaling", f"onset of the {side} goes as 1 / {name}", "exponent", exponent, (-1 - margin, -1 + margin), data.n_seeds,
                side=side, model="onset", expected=-1.0,
            )
        )  # fmt: skip
    else:
        unseen = f"the {side} has no onset in every replicate of two points that differ in {name} alone"
        notes.append(f"rescaling: {unseen}{' (some lie before the first measured step)' * bool(data.early(side).any())}; no exponent")
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
        seen, slope = contrast(np.log(x), means, shared)
        change = over.contrast(seen, slope * mean_span(np.log(x), shared))
        margin = options.margins.accuracy
        rows.append(
            options.judge(
                "rescaling", f"the {side}'s curves collapse against {name} × {data.time}",
                f"change of mean accuracy from the smallest to the largest {name}, after rescaling", change, (-margin, margin),
                data.n_seeds, side=side, model="collapse", expected=0.0,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), tuple(notes))


@dataclass(frozen=True)
class Design:
    """Points that differ in one thing alone, or in two that move together.

    Attributes:
        moved: what differs, in words. x: (P,) its values. groups: the points that are compared.
    """

    moved: str
    x: FloatArray
    groups: list[Points]


def designs(data: SweepCurves, side: str) -> list[Design]:
    """How a sweep can show whether a side suffers from the other: by the other's prevalence at fixed co-occurrence, by co-occurrence (the
    share of dominoes that show both) at fixed prevalences, or, where a sweep moves both at once, by the two confounded."""
    other = "bottom" if side == "top" else "top"
    name = f"prevalence_{other}"
    if not {name, "both"} & set(data.fields):
        return []
    if name not in data.dealt:
        return []
    usable = everywhere(data.measured(side, SweptCurve.mean))
    prevalence, both = data.dealt[name], data.dealt.get("both")
    fixed = [field for field in data.fields if field not in (name, "both")]
    together: dict[tuple[object, ...], list[int]] = {}
    for point in np.flatnonzero(usable):
        together.setdefault(tuple(data.values[field][point] for field in fixed), []).append(int(point))
    bases = [np.array(points, dtype=np.intp) for points in together.values()]
    if both is None:
        groups = _apart(prevalence, [np.zeros(len(prevalence))], bases)
        return [Design(f"{name} (the table does not tell the co-occurrence)", prevalence, groups)] if groups else []
    found = [
        Design(f"{name}, at fixed co-occurrence", prevalence, _apart(prevalence, [both], bases)),
        Design(f"the co-occurrence of both halves, at fixed {name}", both, _apart(both, [prevalence], bases)),
    ]
    found = [design for design in found if design.groups]
    if found:
        return found
    groups = _apart(prevalence, [np.zeros(len(prevalence))], bases)
    return [Design(f"{name} with {_along(prevalence, both, groups)} co-occurrence (confounded)", prevalence, groups)] if groups else []


def _along(x: FloatArray, y: FloatArray, groups: Sequence[Points]) -> str:
    """How y goes as x grows within the groups, in a word; points of one x count by their mean."""
    steps = [np.diff([y[points][x[points] == value].mean() for value in np.unique(x[points])]) for points in groups]
    each = np.concatenate(steps)
    return "growing" if (each >= 0).all() else "falling" if (each <= 0).all() else "changing"


def _apart(x: FloatArray, fixed: Sequence[FloatArray], bases: Sequence[Points]) -> list[Points]:
    """Of each group the points that agree in what is fixed (to whole dominoes of 10,000) and differ in x, in its order."""
    found = []
    for points in bases:
        keys = np.round(np.stack([values[points] for values in fixed], axis=1), 4)
        for key in np.unique(keys, axis=0):
            chosen = points[(keys == key).all(axis=1)]
            if len(np.unique(np.round(x[chosen], 4))) > 1:
                found.append(chosen[np.argsort(x[chosen], kind="stable")])
    return found


def competition(data: SweepCurves, options: Options) -> Answer:
    """A side's curve does not depend on how often the other side is shown: the effect of the whole swept range on its late accuracy and
    loss, as shares of what is learned, on its onset, and on its accuracy before that."""
    answers = []
    for side, other in (("bottom", "top"), ("top", "bottom")):
        found = designs(data, side)
        answers += [competes(data, options, side, design) for design in found]
        if not found:
            reason = f"no two points have the same prevalence_{side} and differ in prevalence_{other} or in co-occurrence"
            answers.append(options.unanswered("no competition", reason, data.n_seeds, side=side))
    return gathered(answers)


def of_field(data: SweepCurves, side: str, name: str) -> Design | None:
    """Points that differ in one field alone, where a side has a curve in every replicate."""
    x = data.numbers(name) if name in data.fields else None
    groups = data.groups(name, everywhere(data.measured(side, SweptCurve.mean))) if x is not None else []
    return Design(name, x, groups) if x is not None and groups else None


def competes(data: SweepCurves, options: Options, side: str, design: Design | None, *, question: str = "no competition") -> Answer:
    """Late accuracy, late loss, onset, and accuracy early and in the rise: does any of them move?"""
    if design is None:
        reason = f"no two points at which the {side} is measured differ in one thing alone"
        return options.unanswered(question, reason, data.n_seeds, side=side)
    if not data.risen(side).any():
        # Curves that stay at chance agree with each other, and that is no evidence.
        return options.unanswered(question, "it is learned at no point of the sweep", data.n_seeds, side=side)
    answers = [_levels(data, options, side, design, question), _onsets(data, options, side, design, question)]
    return gathered(answers)


def _levels(data: SweepCurves, options: Options, side: str, design: Design, question: str) -> Answer:
    """What is learned in each window, at the same times at all points: its change over the range, as a share of what is learned late."""
    points = np.unique(np.concatenate(design.groups))
    curves = {each: [[data.curves[each][row][point] for point in points] for row in range(data.n_seeds)] for each in SIDES}
    pair = [[curve for row in curves[each] for curve in row if curve is not None] for each in SIDES]
    own = pair[SIDES.index(side)]
    start, end = max(curve.time[0] for curve in own), min(curve.time[-1] for curve in own)
    if not end > start:
        return options.unanswered(question, "the curves of the points share no time", data.n_seeds, side=side)
    at = np.geomspace(start, end, _TIMES)
    # Of both sides together over all points and replicates, so that a point is not compared at other times for being learned later.
    means = [np.mean([curve.at(at) for curve in each], axis=0) if each else np.full(_TIMES, data.chance) for each in pair]
    accuracy, loss = (np.full((data.n_seeds, len(design.x), _TIMES), np.nan) for _ in range(2))
    for row, each in enumerate(curves[side]):
        for point, curve in zip(points, each, strict=True):
            if curve is not None:
                accuracy[row, point], loss[row, point] = curve.at(at), curve.loss_at(at)
    weights = log_time_weights(at)
    learned = {"accuracy": accuracy - data.chance, "loss": -math.log(data.chance) - loss}
    known = {name: shared(inside, weights) for name, inside in windows(at, means[0], means[1], data.chance).items()}
    late = known["late"]
    longest = max(curve.time[-1] for curve in own)
    notes: tuple[str, ...] = ()
    if end < longest * _ENDS:
        spans = f"end between {end:,.0f} and {longest:,.0f} {data.time}"
        notes = (f"{question}: curves of the {side} {spans}; all are judged up to the first, and what is late there may not be late",)
    if late is None:
        return options.unanswered(question, "the curves do not come to their last fifth", data.n_seeds, side=side)
    rows: list[Verdict] = []
    for what, window in (("accuracy", "late"), ("loss", "late"), ("accuracy", "rise"), ("accuracy", "early")):
        over = known[window]
        values = learned[what][:, points]
        if over is None or not np.isfinite(values).all():
            continue
        level = (values @ late).mean(axis=1)
        if level.min() <= _LEAST or (values @ over).mean() <= _LEAST:
            reason = f"hardly anything is learned of it ({what})"
            rows += options.unanswered(question, reason, data.n_seeds, side=side, model=what, window=window).verdicts
            continue
        whole = np.full((data.n_seeds, len(design.x)), 0.0)
        whole[:, points] = values @ over
        seen, slope = contrast(design.x, whole, design.groups)
        effect = options.spread(data.n_seeds).contrast(seen, slope * mean_span(design.x, design.groups), level)
        margin, mean = options.margins.learned, effect.estimate * float(level.mean())
        said, learned_of = f"{100 * mean:+.1f} points of accuracy", what
        if what == "loss":
            said, learned_of = f"the loss {'rises' if mean < 0 else 'falls'} by {abs(mean):.3f} nats", "ln K − loss"
        rows.append(
            options.judge(
                question, f"what is learned of the {side} does not depend on {design.moved}",
                f"change of {learned_of} from the smallest to the largest, as a share of what is learned late", effect, (-margin, margin),
                data.n_seeds, also=said, side=side, model=what, rival=design.moved, window=window, expected=0.0,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), notes)


def _onsets(data: SweepCurves, options: Options, side: str, design: Design, question: str) -> Answer:
    onset = data.quantity(side, "onset")
    learned = everywhere(onset)
    among = [points[learned[points]] for points in design.groups]
    among = [points for points in among if len(np.unique(design.x[points])) > 1]
    lost = int(sum(len(points) for points in design.groups) - sum(len(points) for points in among))
    notes = []
    soon = data.early(side).any(axis=0)
    early = sum(int((soon & ~learned)[points].sum()) for points in design.groups)
    if early:
        notes.append(f"{question}: at {early} point{'s' * (early > 1)} the {side} is half risen when first measured, past its onset")
    if lost > early:
        late = "its onset lies after the last step there, which only the accuracy shows"
        notes.append(f"{question}: at {lost - early} point{'s' * (lost - early > 1)} the {side} is not learned in every replicate; {late}")
    if not among:
        return Answer((), (), tuple(notes))
    over = options.spread(data.n_seeds)
    seen, slope = contrast(design.x, np.log(np.where(learned, onset, 1.0)), among)
    effect = over.contrast(seen, slope * mean_span(design.x, among)).exp()
    # Points without an onset are those with the latest or the earliest: what is left cannot show that nothing moves.
    verdict = effect.verdict(*options.margins.onsets())
    row = options.judge(
        question, f"the onset of the {side} does not depend on {design.moved}", "onset at the largest / at the smallest", effect,
        options.margins.onsets(), data.n_seeds,
        also=f"{lost} point{'s' * (lost > 1)} where {'no onset is seen' if early else 'it is not learned'} left out" if lost else "",
        overruled=CANNOT_TELL if lost and verdict == HOLDS else "",
        side=side, model="onset", rival=design.moved, expected=1.0,
    )  # fmt: skip
    return Answer((row,), (), tuple(notes))


def reliabilities(data: SweepCurves, options: Options) -> Answer:
    """A pattern answers the class that is shown: its curve against that class (on test dominoes, which are never wrong) keeps its level
    however often the half was wrong in training."""
    fields = [(side, f"reliability_{side}") for side in SIDES if f"reliability_{side}" in data.fields]
    return gathered(competes(data, options, side, of_field(data, side, name), question="reliability") for side, name in fields)
