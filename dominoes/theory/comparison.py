"""Does the pattern-learning model predict the curves of one group of runs?

The model (Davies, Langosco & Krueger 2023, arXiv 2303.06173; design.md section 7): pattern i fires with probability p_i(t),
independently of the others; accuracy is the probability that something fires, plus guessing among K classes. With p = 1 − e K / (K − 1)
read off the one-sided curves (e = 1 − accuracy), it predicts the doubles, the conflicts and the losses with no free parameter. Here
each of these predictions is judged, beside the rivals that a researcher would think of. Tables in, tables out: no torch, no files.

What the intervals hold: the spread of seeds (verdicts.SeedBootstrap), and the part of the sampling of pictures that all seeds share.
All probes show the same pictures (the i-th double is the i-th top picture above the i-th bottom picture), so how hard the pictures are
cancels between the kinds; what remains is that hard tops may happen to be paired with hard bottoms (`pairing_error`). Guesses, and
everything else that differs between runs, are in the spread of seeds. Probes that do not share pictures have larger errors than that
and want a larger n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from dominoes.errors import CurvesError
from dominoes.tables import CURVES
from dominoes.theory import verdicts
from dominoes.theory.questions.one_sided import empties, held_out_time, monotonicity, reading
from dominoes.theory.rules import (
    RULES,
    answered_neither,
    calibrated_loss,
    deviance,
    fired,
    floored,
    pairing_error,
    predicted_error,
    relative_error,
    rmse,
)
from dominoes.theory.run_arrays import Panel, panel
from dominoes.theory.verdicts import (
    CANNOT_TELL,
    FAILS,
    HOLDS,
    Answer,
    BoolArray,
    Comparison,
    FloatArray,
    Interval,
    Margins,
    Options,
    SeedBootstrap,
    Verdict,
    gathered,
)

QUESTIONS = ("doubles", "conflicts", "empties", "loss", "held-out time", "monotonicity")


def compare(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    classes_count: int | None = None,
    level: float = 0.95,
    margins: Margins | None = None,
    seed: int = 0,
    resamples: int = 2000,
    questions: Sequence[str] = QUESTIONS,
    group: str = "",
) -> Comparison:
    """Judge the pattern-learning model (arXiv 2303.06173; design.md section 7) on runs of one spec that differ by seed.

    Doubles e_both = K/(K−1) e_top e_bottom; conflicts P(neither) = (K−2)/K (1−p_t)(1−p_b) and a constant preference λ; empties 1/K and
    ln K; losses L_both = L_top L_bottom / ln K; one-sided curves that one pattern p(t) = γ / (1 + exp(−α (t − b))) continues, and that
    never fall.

    Args:
        curves: columns of curves.csv (design.md section 4). Rows that break the contract are mended or left out, each with a note.
        classes: columns of classes.csv; without it nothing is judged per class.
        classes_count: K. None: the number of labels in `classes`, else 10 with a note.
        level: of the intervals.
        margins: what counts as agreement.
        seed, resamples: of the bootstrap; the same input gives the same output.
        questions: some of QUESTIONS.
        group: a name for the runs; it goes into the column `group`.

    Returns a Comparison. A question that the curves cannot answer has one row that says why, with the verdict `cannot tell`.

    Raises CurvesError: nothing to compare at all, an option out of range, or runs that differ by more than the seed.
    """
    unknown = [question for question in questions if question not in QUESTIONS]
    if unknown:
        raise CurvesError(f"question {', '.join(unknown)} is not known; expected some of {', '.join(QUESTIONS)}")
    different = swept(curves)
    if different:
        names = ", ".join(different)
        raise CurvesError(f"the runs differ in {names}; expected runs of one spec: compare each group alone, or compare a sweep")
    options = Options(margins or Margins(), level, seed, resamples)
    data = panel(curves, classes, classes_count=classes_count)
    answer = gathered(_ANSWERS[question](data, options) for question in QUESTIONS if question in questions)
    return verdicts.comparison(answer, data.notes, group)


def compare_groups(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    by: Sequence[str] | None = None,
    classes_count: int | None = None,
    level: float = 0.95,
    margins: Margins | None = None,
    seed: int = 0,
    resamples: int = 2000,
    questions: Sequence[str] = QUESTIONS,
) -> Comparison:
    """Judge every group of runs that agree in the columns `by` (None: all further columns that take more than one value), each alone.

    A group is named by its values, `prevalence_top=0.2 lr=0.01`; one group alone has no name. A group that cannot be compared at all is
    a note. Other arguments and errors as in `compare`.
    """
    fields = swept(curves) if by is None else list(by)
    missing = [name for name in fields if name not in curves.columns]
    if missing:
        raise CurvesError(f"the column {', '.join(missing)} is not in the curves; expected columns that set the groups apart")
    if not fields:
        groups = [("", curves)]
    else:
        # A group has its own values in `fields` only; what else differs within it is for `compare` to refuse.
        keyed = curves.groupby(fields, sort=True, dropna=False)
        groups = [(" ".join(f"{name}={_value(each)}" for name, each in zip(fields, key, strict=True)), rows) for key, rows in keyed]
    parts = []
    for name, rows in groups:
        own = classes
        if classes is not None and "run" in classes.columns and "run" in rows.columns:
            own = classes[classes["run"].isin(rows["run"])]
        try:
            part = compare(
                rows, own, classes_count=classes_count, level=level, margins=margins, seed=seed, resamples=resamples,
                questions=questions, group=name,
            )  # fmt: skip
        except CurvesError as error:
            if not name:
                raise
            part = verdicts.comparison(Answer(()), [f"not compared: {error}"])
        prefix = f"[{name}] " if name else ""
        parts.append(Comparison(part.table, part.bands, tuple(prefix + note for note in part.notes)))
    found = verdicts.joined(parts)
    if not len(found.table):
        raise CurvesError(f"no group of runs can be compared; {found.notes[0]}")
    return found


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def swept(table: pd.DataFrame) -> list[str]:
    """The further columns of a table of curves (beyond the contract's) that take more than one value."""
    return [str(column) for column in table.columns if column not in CURVES and table[column].nunique(dropna=False) > 1]


def _window(both_fire: FloatArray, weights: FloatArray, options: Options) -> tuple[BoolArray, FloatArray] | str:
    """The steps at which both patterns fire often enough, on average over seeds, and their shares of log time.

    Earlier, everything is at chance, every rule predicts that, and agreement would be cheap.
    """
    used = (both_fire.mean(axis=0) > options.margins.known) & (weights > 0)
    if used.sum() < 3:
        steps = "no step" if not used.any() else f"{used.sum()} steps"
        return f"the two patterns are hardly known together: both fire with probability over {options.margins.known:g} at {steps}; 3 needed"
    return used, np.where(used, weights, 0.0) / weights[used].sum()


def _doubles(data: Panel, options: Options) -> Answer:
    """Doubles from one-sided curves: each rule by the ratio of time-averaged errors, and the product against each rival by deviance."""
    wanted = [("accuracy", "top"), ("accuracy", "bottom"), ("accuracy", "both")]
    measured = data.common(wanted)
    if isinstance(measured, str):
        return options.unanswered("doubles", measured, len(data.runs))
    K = data.classes_count
    top, bottom, both = (1 - values for values in measured.values)
    window = _window(fired(1 - top, K) * fired(1 - bottom, K), measured.weights, options)
    if isinstance(window, str):
        return options.unanswered("doubles", window, measured.n_seeds)
    used, weights = window
    forms = {rule: (both, predicted_error(rule, top, bottom, K)) for rule in RULES}
    notes = measured.notes
    classes = data.common([*wanted, ("n", "both")], per_class=True)
    reason = classes if isinstance(classes, str) else ""
    if not isinstance(classes, str):
        if classes.n_seeds == measured.n_seeds and np.array_equal(classes.steps, measured.steps):
            forms |= _per_class(classes.values, K)
        else:
            reason = "the table of classes has other runs or steps than the curves"
    if reason:
        why = "difficulty that the halves of a class share would look like a failure of the rule"
        notes = (*notes, f"doubles: nothing is judged per class: {reason}; {why}")
    bootstrap = options.bootstrap(measured.n_seeds)
    mean_top, mean_bottom, n = top.mean(axis=0), bottom.mean(axis=0), measured.n
    # Relative to the product of the errors, for every rule: what the pictures do to the others is not known better than that.
    pictures = relative_error(mean_top, mean_bottom, weights, n)
    by_step = np.array([relative_error(*pair, np.ones(1), n) for pair in zip(mean_top[:, None], mean_bottom[:, None], strict=True)])
    quantity = "measured / predicted error"
    rows, bands, scores = [], [], {}
    for model, (error, predicted) in forms.items():
        above, below = floored(error @ weights, n), floored(predicted @ weights, n)
        interval = bootstrap.log_ratio(above, below, pictures).exp()
        scores[model] = deviance(error, predicted, measured.weights, n), rmse(error, predicted, measured.weights)
        off = float(scores[model][0].mean()), float(scores[model][1].mean())
        also = f"RMSE over log time {verdicts.number(off[1])}"
        if math.isfinite(n):
            also += f", deviance per step {verdicts.number(off[0])}"
        rows.append(
            options.judge(
                "doubles", f"{_named(model)} for doubles", quantity, interval, options.margins.factor(), measured.n_seeds,
                also=also, model=model, expected=1.0, n=n, deviance=off[0], rmse=off[1],
            )
        )  # fmt: skip
        if model in ("product", "product per class"):
            seen, foreseen = floored(error, n), floored(predicted, n)
            values = bootstrap.log_ratios(seen, foreseen, by_step)
            bands.append(verdicts.band("doubles", model, quantity, measured.steps, used, values, 1.0))
    for model in ("product", "product per class"):
        rows += [_score(options, bootstrap, model, rival, scores, n) for rival in scores if model in scores and _is_rival(model, rival)]
    return Answer(tuple(rows), tuple(bands), notes)


def _per_class(values: Sequence[FloatArray], classes_count: int) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Rules formed per class and then averaged: shared difficulty of classes, which breaks a product of averages, does not break this.

    The other two rules are left out: the mean is the same either way, and the better side of 100 pictures is better by luck.
    """
    top, bottom, both, count = values
    share = count / count.sum(axis=2, keepdims=True)
    measured = ((1 - both) * share).sum(axis=2)
    return {
        f"{rule} per class": (measured, (predicted_error(rule, 1 - top, 1 - bottom, classes_count) * share).sum(axis=2))
        for rule in ("product", "addition")
    }


def _is_rival(model: str, rival: str) -> bool:
    """The product per class is set against what else is formed per class, and against the product on averages."""
    if model.endswith("per class"):
        return rival != model and (rival == "product" or rival.endswith("per class"))
    return rival != model and not rival.endswith("per class")


def _named(model: str) -> str:
    rule = model.removesuffix(" per class")
    return RULES[rule] + model.removeprefix(rule)


def _score(
    options: Options, bootstrap: SeedBootstrap, model: str, rival: str, scores: dict[str, tuple[FloatArray, FloatArray]], n: float
) -> Verdict:
    """Does one rule predict better than another, on the same seeds?"""
    which, quantity = (0, "deviance per step, rival − model") if math.isfinite(n) else (1, "RMSE, rival − model")
    interval = bootstrap.mean(scores[rival][which] - scores[model][which])
    off = [float(values.mean()) for values in scores[model]]
    return options.judge(
        "doubles score", f"{_named(model)} predicts doubles better than {_named(rival)}", quantity, interval, (0.0, math.inf),
        bootstrap.n_seeds, model=model, rival=rival, n=n, deviance=off[0], rmse=off[1],
    )  # fmt: skip


def _conflicts(data: Panel, options: Options) -> Answer:
    """P(neither class) = (K−2)/K (1−p_t)(1−p_b), and the preference λ(t) = [P(top class) − (1−U)/K − p_t (1−p_b)] / (p_t p_b)."""
    measured = data.common([("accuracy", "top"), ("accuracy", "bottom"), ("agree_top", "conflict"), ("agree_bottom", "conflict")])
    if isinstance(measured, str):
        return options.unanswered("conflicts", measured, len(data.runs))
    K, n = data.classes_count, measured.n
    top, bottom, for_top, for_bottom = measured.values
    p_top, p_bottom = fired(top, K), fired(bottom, K)
    both = p_top * p_bottom
    window = _window(both, measured.weights, options)
    if isinstance(window, str):
        return options.unanswered("conflicts", window, measured.n_seeds)
    used, weights = window
    neither = 1 - for_top - for_bottom
    notes = measured.notes
    impossible = int((neither < -1e-9).sum())
    if impossible:
        notes = (*notes, f"conflicts: at {impossible} points agree_top and agree_bottom add up to more than 1, which no answers can")
    bootstrap = options.bootstrap(measured.n_seeds)
    rows = []
    mean_top, mean_bottom = (1 - top).mean(axis=0), (1 - bottom).mean(axis=0)
    pictures = relative_error(mean_top, mean_bottom, weights, n)
    for model in ("product", "addition") if K > 2 else ():
        share, predicted = np.maximum(neither, 0.0), answered_neither(model, 1 - top, 1 - bottom, K)
        above, below = floored(share @ weights, n), floored(predicted @ weights, n)
        interval = bootstrap.log_ratio(above, below, pictures).exp()
        off = float(deviance(share, predicted, measured.weights, n).mean()), float(rmse(share, predicted, measured.weights).mean())
        rows.append(
            options.judge(
                "conflicts", f"{RULES[model]} for conflicts", "measured / predicted share of answers that are neither class", interval,
                options.margins.factor(), measured.n_seeds, model=model, expected=1.0, n=n, deviance=off[0], rmse=off[1],
            )
        )  # fmt: skip
    excess = for_top - (1 - p_top) * (1 - p_bottom) / K - p_top * (1 - p_bottom)
    place = np.log(np.maximum(measured.steps, 1.0))
    place = (place - place[used][0]) / (place[used][-1] - place[used][0])
    joint = np.clip(both.mean(axis=0), 0.0, 1.0)

    def shared(over: FloatArray) -> float:
        # Beside the pairing, which of two patterns wins may be settled by the picture: at most ¼ p_top p_bottom, the same for every seed.
        if not math.isfinite(n):
            return 0.0
        won = float(over @ np.minimum.outer(joint, joint) @ over) / 4 / n
        return math.hypot(pairing_error(p_top.mean(axis=0), p_bottom.mean(axis=0), over, n), math.sqrt(max(won, 0.0)))

    def line(w: FloatArray) -> tuple[FloatArray, FloatArray]:
        # λ = mean + change · (place − middle), least squares weighted by p_top p_bottom, as the variance of λ asks for.
        share = w @ (both * weights)
        middle = (share @ place / share.sum(axis=1))[:, None]
        seen = w @ (excess * weights)
        return seen.sum(axis=1) / share.sum(axis=1), (seen * (place - middle)).sum(axis=1) / (share * (place - middle) ** 2).sum(axis=1)

    share = joint * weights
    off_middle = place - share @ place / share.sum()
    preference = bootstrap.interval(lambda w: line(w)[0], shared(weights / share.sum()))
    drift = bootstrap.interval(lambda w: line(w)[1], shared(weights * off_middle / (share @ off_middle**2)))
    rows += _preference(options, preference, drift, measured.n_seeds, n)
    each = np.flatnonzero(used)
    by_step = np.array([shared(np.eye(len(used))[index] / joint[index]) for index in each])
    values = bootstrap.intervals(lambda w: np.asarray((w @ excess[:, each]) / (w @ both[:, each])), by_step)
    return Answer(tuple(rows), (verdicts.band("preference", "", "λ", measured.steps[each], used[each], values, math.nan),), notes)


def _preference(options: Options, preference: Interval, drift: Interval, n_seeds: int, n: float) -> list[Verdict]:
    """λ is one of three constants, or it drifts; if it is a constant in between, every row fails."""
    margin = options.margins.preference
    moved = -options.margins.drift, options.margins.drift
    constant = drift.verdict(*moved)
    also = {HOLDS: "", FAILS: "λ drifts", CANNOT_TELL: "whether λ drifts cannot be told"}[constant]
    rows = []
    for model, value in (("equal", 0.5), ("top preferred", 1.0), ("bottom preferred", 0.0)):
        within = value - margin, value + margin
        verdict = preference.verdict(*within)
        # A mean of ½ may be a 0 that became 1: what is called constant has to be shown constant.
        overruled = FAILS if constant == FAILS else CANNOT_TELL if (verdict, constant) == (HOLDS, CANNOT_TELL) else ""
        claim = f"preference on conflicts, {model}"
        rows.append(
            options.judge(
                "preference", claim, "mean λ", preference, within, n_seeds, also=also, overruled=overruled, model=model, expected=value, n=n
            )
        )
    reverse = {HOLDS: FAILS, FAILS: HOLDS, CANNOT_TELL: CANNOT_TELL}[constant]
    rows.append(
        options.judge(
            "preference", "preference on conflicts, drifting", "change of λ over the steps compared", drift, moved, n_seeds,
            also="here agreement means that λ is constant", overruled=reverse, model="drifting", n=n,
        )
    )  # fmt: skip
    return rows


def _loss(data: Panel, options: Options) -> Answer:
    """L_both = L_top L_bottom / ln K if a network that fires is sure and else uniform; and which reading the one-sided losses follow."""
    return gathered([_both_losses(data, options), reading(data, options, "top"), reading(data, options, "bottom")])


def _both_losses(data: Panel, options: Options) -> Answer:
    wanted = [("accuracy", "top"), ("accuracy", "bottom"), ("loss", "top"), ("loss", "bottom"), ("loss", "both")]
    measured = data.common(wanted)
    if isinstance(measured, str):
        return options.unanswered("loss", measured, len(data.runs))
    K, n = data.classes_count, measured.n
    top, bottom, loss_top, loss_bottom, loss_both = measured.values
    window = _window(fired(top, K) * fired(bottom, K), measured.weights, options)
    if isinstance(window, str):
        return options.unanswered("loss", window, measured.n_seeds)
    _, weights = window
    error = np.clip(predicted_error("product", 1 - top, 1 - bottom, K), 0.0, 1.0)
    models = {
        "sure or uniform": (loss_top * loss_bottom / math.log(K), "L_top L_bottom / ln K"),
        "calibrated": (calibrated_loss(1 - error, K), "the entropy at the product rule's accuracy"),
    }
    # Under the first reading a loss is ln K times the share of pictures on which nothing fires.
    silent = loss_top.mean(axis=0) / math.log(K), loss_bottom.mean(axis=0) / math.log(K)
    pictures = relative_error(*silent, weights, n)
    bootstrap = options.bootstrap(measured.n_seeds)
    rows = []
    for model, (predicted, formula) in models.items():
        above, below = floored(loss_both @ weights, n), floored(predicted @ weights, n)
        interval = bootstrap.log_ratio(above, below, pictures).exp()
        off = float(rmse(loss_both, predicted, measured.weights).mean())
        rows.append(
            options.judge(
                "loss", f"the loss on doubles is {formula} ({model})", "measured / predicted loss", interval, options.margins.factor(),
                measured.n_seeds, model=model, expected=1.0, n=n, rmse=off,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), measured.notes)


_ANSWERS: dict[str, Callable[[Panel, Options], Answer]] = {
    "doubles": _doubles,
    "conflicts": _conflicts,
    "empties": empties,
    "loss": _loss,
    "held-out time": held_out_time,
    "monotonicity": monotonicity,
}
