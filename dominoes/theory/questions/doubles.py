"""Doubles: is the error on both halves what the two patterns leave together?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory import intervals, verdicts
from dominoes.theory.cells import Chance, luck_by_cell, slopes_of
from dominoes.theory.known import Known, known_windows
from dominoes.theory.luck import Pairing, agreed, count_error
from dominoes.theory.rules import RULES, Rule, deviance, floored, rmse, same
from dominoes.theory.run_arrays import RunArrays, Slice
from dominoes.theory.scores import Form, luck_of_score, surprise
from dominoes.theory.verdicts import Answer, Options, Verdict

_QUANTITY = "measured / predicted error"


def doubles(data: RunArrays, options: Options) -> Answer:
    """Doubles from one-sided curves, window by window: each rule by the ratio of errors, and the product against each rival by deviance."""
    wanted = [("accuracy", "top"), ("accuracy", "bottom"), ("accuracy", "both")]
    measured = data.common(wanted)
    if isinstance(measured, str):
        return options.unanswered("doubles", measured, len(data.runs))
    K, n = data.classes_count, measured.n
    top, bottom, both = (1 - values for values in measured.values)
    forms = {name: (both, np.clip(rule.doubles(top, bottom, K), 0.0, 1.0)) for name, rule in options.rules.items()}
    notes = measured.notes
    classes = data.by_class([*wanted, ("n", "both")], measured)
    by_class: FloatArray | None = None
    if isinstance(classes, str):
        why = "difficulty that the halves of a class share would look like a failure of the rule"
        notes = (*notes, f"doubles: nothing is judged per class: {classes}; {why}")
    else:
        forms |= _per_class(classes, K, options.rules)
        of_top, of_bottom, of_both = (1 - values for values in classes[:3])
        by_class = of_both - np.clip(RULES["product"].doubles(of_top, of_bottom, K), 0.0, 1.0)
    rows: list[Verdict] = []
    alone = top.mean(axis=0), bottom.mean(axis=0)
    parts = known_windows(measured, K, options.margins.known)
    pairing = Pairing(*alone, n, K, options.level, agreed(data, measured), by_class)
    chance, said = Chance.of(data, measured, "both")
    notes = (*notes, *said)
    for part in parts:
        if isinstance(part, Known):
            rows += _in_window(options, measured, forms, part, pairing, data.crossed("both", measured), chance)
        else:
            rows += options.unanswered("doubles", part[1], measured.n_seeds, window=part[0]).verdicts
    used = np.any([part.used for part in parts if isinstance(part, Known)] or [np.zeros(len(measured.steps), dtype=bool)], axis=0)
    if not used.any():
        return Answer(tuple(rows), (), notes)
    pairing = replace(pairing, by_class=None)
    by_step = np.array([pairing.error(one) for one in np.eye(len(measured.steps))])
    bands = []
    for model in ("product", "product per class"):
        if model in forms:
            seen, foreseen = (floored(values, n) for values in forms[model])
            counted = [count_error(float(share), n) for share in seen.mean(axis=0)]
            reach = np.hypot(by_step, counted) / seen.mean(axis=0)
            values = options.spread(measured.n_seeds).log_ratios(seen, foreseen, reach)
            bands.append(verdicts.band("doubles", model, _QUANTITY, measured.steps, used, values, 1.0))
    return Answer(tuple(rows), tuple(bands), notes)


def _in_window(
    options: Options,
    measured: Slice,
    forms: Mapping[str, tuple[FloatArray, FloatArray]],
    part: Known,
    pairing: Pairing,
    crossed: FloatArray | None,
    chance: Chance | None,
) -> list[Verdict]:
    n, spread = measured.n, options.spread(measured.n_seeds)
    paired = pairing.error(part.weights)
    luck = np.zeros_like(measured.values[0]) if chance is None or crossed is None else chance.share(crossed[..., 1], part.weights)
    name = partial(rule_in_words, rules=options.rules)
    rows, scores, silent = [], {}, pairing.K / (pairing.K - 1)
    alone = 1 - measured.values[0], 1 - measured.values[1]
    for model, (error, predicted) in forms.items():
        above, below = floored(part.of_seeds(error - luck), n), floored(part.of_seeds(predicted), n)
        level, by_ends = float(above[:, 0].mean()), part.moved(error, predicted, silent)
        pictures = paired
        if crossed is not None:
            predict = options.rules[model.removesuffix(" per class")].doubles
            slopes = slopes_of(lambda top, bottom, of=predict: of(top, bottom, pairing.K), pairing.top, pairing.bottom)  # type: ignore[misc]
            ratio = level / float(below[:, 0].mean())
            by_side, right = (ratio * slopes[0], ratio * slopes[1]), chance is not None
            pictures = luck_by_cell(
                crossed, crossed[..., 1], by_side, part.weights, pairing, (pairing.K - 1) / pairing.K, set_right=right, by_ends=by_ends
            )
        interval = spread.log_ratio(above, below, math.hypot(pictures, count_error(level, n)) / level).exp()
        scores[model] = deviance(error, predicted, part.folds.T, n), rmse(error, predicted, part.folds.T)
        off = float(scores[model][0][:, 0].mean()), float(scores[model][1][:, 0].mean())
        also = f"RMSE {intervals.number(off[1])}"
        if math.isfinite(n):
            also += f", deviance per step {intervals.number(off[0])}"
        rows.append(
            options.judge(
                "doubles", f"{name(model)} for doubles", _QUANTITY, interval, options.margins.factor(), measured.n_seeds,
                also=also, model=model, window=part.window, expected=1.0, n=n, deviance=off[0], rmse=off[1],
            )
        )  # fmt: skip
    which, quantity = (0, "deviance per step, rival − model") if math.isfinite(n) else (1, "RMSE, rival − model")
    for model in ("product", "product per class"):
        for rival in scores:
            if model in scores and _is_rival(model, rival):
                ahead = scores[rival][which] - scores[model][which]
                if same(forms[model][1], forms[rival][1], part.weights):
                    reason = f"{name(model)} and {name(rival)} predict the same"
                    rows += options.unanswered("doubles score", reason, measured.n_seeds, model=model, window=part.window).verdicts
                    continue
                mine, other = (Form(options.rules[each.removesuffix(" per class")], *forms[each]) for each in (model, rival))
                factor = surprise(mine, other, n)
                pictures = pairing.error(factor * part.weights)
                if crossed is not None and which == 0:
                    ahead = ahead - part.of_seeds(luck * factor)
                    pictures = luck_of_score(mine, other, alone, part, pairing, crossed, set_right=chance is not None)
                interval = spread.jackknife(spread.means(ahead), pictures)
                if which == 0:
                    interval = interval.of_counts()
                off = float(scores[model][0][:, 0].mean()), float(scores[model][1][:, 0].mean())
                rows.append(
                    options.judge(
                        "doubles score", f"{name(model)} predicts doubles better than {name(rival)}", quantity, interval,
                        (0.0, math.inf), measured.n_seeds,
                        model=model, rival=rival, window=part.window, n=n, deviance=off[0], rmse=off[1],
                    )
                )  # fmt: skip
    return rows


def _per_class(values: Sequence[FloatArray], classes_count: int, rules: Mapping[str, Rule]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Rules formed per class and then averaged: shared difficulty of classes, which breaks a product of averages, does not break this.

    Some rules are left out (`Rule.per_class`): the mean is the same either way, and the better side of 100 pictures is better by luck.
    """
    top, bottom, both, count = values
    share = count / count.sum(axis=2, keepdims=True)
    measured = ((1 - both) * share).sum(axis=2)
    return {
        # A class that is never answered has an error of 1 on each side, and a product above 1.
        f"{name} per class": (measured, (np.clip(rule.doubles(1 - top, 1 - bottom, classes_count), 0.0, 1.0) * share).sum(axis=2))
        for name, rule in rules.items()
        if rule.per_class
    }


def _is_rival(model: str, rival: str) -> bool:
    """The product per class is set against what else is formed per class, and against the product on averages."""
    if model.endswith("per class"):
        return rival != model and (rival == "product" or rival.endswith("per class"))
    return rival != model and not rival.endswith("per class")


def rule_in_words(model: str, rules: Mapping[str, Rule]) -> str:
    """A rule in words, `product per class` too."""
    rule = model.removesuffix(" per class")
    return rules[rule].label + model.removeprefix(rule)
