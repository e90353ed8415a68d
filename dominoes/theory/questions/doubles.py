"""Doubles: is the error on both halves what the two patterns leave together?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dominoes.theory import intervals, verdicts
from dominoes.theory.intervals import BoolArray, FloatArray, SeedBootstrap
from dominoes.theory.rules import RULES, deviance, fired, floored, predicted_error, relative_error, rmse
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, Verdict


def both_known(both_fire: FloatArray, weights: FloatArray, options: Options) -> tuple[BoolArray, FloatArray] | str:
    """The steps at which both patterns fire often enough, on average over seeds, and their shares of log time.

    Earlier, everything is at chance, every rule predicts that, and agreement would be cheap.
    """
    used = (both_fire.mean(axis=0) > options.margins.known) & (weights > 0)
    if used.sum() < 3:
        steps = "no step" if not used.any() else f"{used.sum()} steps"
        return f"the two patterns are hardly known together: both fire with probability over {options.margins.known:g} at {steps}; 3 needed"
    return used, np.where(used, weights, 0.0) / weights[used].sum()


def doubles(data: RunArrays, options: Options) -> Answer:
    """Doubles from one-sided curves: each rule by the ratio of time-averaged errors, and the product against each rival by deviance."""
    wanted = [("accuracy", "top"), ("accuracy", "bottom"), ("accuracy", "both")]
    measured = data.common(wanted)
    if isinstance(measured, str):
        return options.unanswered("doubles", measured, len(data.runs))
    K = data.classes_count
    top, bottom, both = (1 - values for values in measured.values)
    window = both_known(fired(1 - top, K) * fired(1 - bottom, K), measured.weights, options)
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
        also = f"RMSE over log time {intervals.number(off[1])}"
        if math.isfinite(n):
            also += f", deviance per step {intervals.number(off[0])}"
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
