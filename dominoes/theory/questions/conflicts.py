"""Conflicts: how often is the answer neither class, and which rule predicts the shares of the two classes?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.cells import Chance, luck_by_cell, slopes_of
from dominoes.theory.known import Known, known_windows
from dominoes.theory.luck import Contest, Pairing, count_error
from dominoes.theory.questions.preference import preference
from dominoes.theory.rules import AnswerShares, Rule, deviance, floored, product_conflicts, rmse, same
from dominoes.theory.run_arrays import RunArrays, Slice
from dominoes.theory.scores import ConflictForm, luck_of_shares
from dominoes.theory.verdicts import Answer, Options, Verdict, gathered

Predict = Callable[[FloatArray, FloatArray, int], AnswerShares]
WANTED = (("accuracy", "top"), ("accuracy", "bottom"), ("agree_top", "conflict"), ("agree_bottom", "conflict"))


def conflicts(data: RunArrays, options: Options) -> Answer:
    """P(neither class) = (K−2)/K (1−p_t)(1−p_b) and its rivals, window by window; which rule's shares are closer; and the preference λ."""
    measured = data.common(WANTED)
    if isinstance(measured, str):
        return options.unanswered("conflicts", measured, len(data.runs))
    K = data.classes_count
    top, bottom, for_top, for_bottom = measured.values
    neither = 1 - for_top - for_bottom
    notes = measured.notes
    impossible = int((neither < -1e-9).sum())
    if impossible:
        notes = (*notes, f"conflicts: at {impossible} points agree_top and agree_bottom add up to more than 1, which no answers can")
    predict: dict[str, Predict] = {name: rule.conflicts for name, rule in options.rules.items() if rule.conflicts is not None}
    for side, value in (("top", 1.0), ("bottom", 0.0)):
        predict[f"product, {side} preferred"] = partial(product_conflicts, preference=value)
    shares = {name: each(1 - top, 1 - bottom, K) for name, each in predict.items()}
    rows: list[Verdict] = []
    contest = Contest.of(data, measured, options.level)
    forms = {
        name: (
            (for_top - shares[name][0], for_bottom - shares[name][1]),
            slopes_of(lambda top, bottom, of=each: np.stack(of(top, bottom, K)[:2]), contest.pairing.top, contest.pairing.bottom),  # type: ignore[misc]
        )
        for name, each in predict.items()
    }
    crossed = data.crossed("conflict", measured)
    chance, said = Chance.of(data, measured, "conflict")
    notes = (*notes, *said)
    for part in known_windows(measured, K, options.margins.known):
        if not isinstance(part, Known):
            rows += options.unanswered("conflicts", part[1], measured.n_seeds, window=part[0]).verdicts
            continue
        if K == 2:
            rows += options.unanswered("conflicts", "with two classes no answer is neither", measured.n_seeds, window=part.window).verdicts
        else:
            predicted = {name: each[2] for name, each in shares.items() if name in options.rules}
            rows += [_neither(options, measured, name, each, part, contest.pairing, crossed, chance) for name, each in predicted.items()]
        of_window = {name: ConflictForm(*form, part) for name, form in forms.items()}
        for name in shares:
            if name == "product":
                continue
            if all(same(shares["product"][side], shares[name][side], part.weights) for side in (0, 1)):
                rows += options.unanswered(
                    "conflicts score",
                    f"the product rule and {_named(name, options.rules)} predict the same",
                    measured.n_seeds,
                    model="product",
                    window=part.window,
                ).verdicts
            else:
                rows.append(_closer(options, measured, of_window["product"], of_window[name], name, contest, crossed))
    return gathered([Answer(tuple(rows), (), notes), preference(measured, shares, contest, options)])


def _neither(
    options: Options,
    measured: Slice,
    model: str,
    predicted: FloatArray,
    part: Known,
    pairing: Pairing,
    crossed: FloatArray | None,
    chance: Chance | None,
) -> Verdict:
    """The share of answers that are neither class, against a rule's."""
    *_, for_top, for_bottom = measured.values
    n, share = measured.n, np.maximum(1 - for_top - for_bottom, 0.0)
    luck = np.zeros_like(share) if chance is None or crossed is None else chance.share(crossed[..., 2], part.weights)
    above, below = floored(part.of_seeds(share - luck), n), floored(part.of_seeds(predicted), n)
    level, K = float(above[:, 0].mean()), pairing.K
    by_ends = part.moved(share, predicted, K / (K - 1))
    # Of K/(K−1) times the errors that are paired, the share (K−2)/K is neither class.
    pictures = (K - 2) / (K - 1) * pairing.error(part.weights)
    if crossed is not None:
        slopes = slopes_of(lambda top, bottom: _answer_neither(options.rules[model], top, bottom, K), pairing.top, pairing.bottom)
        ratio = level / float(below[:, 0].mean())
        by_side, right = (ratio * slopes[0], ratio * slopes[1]), chance is not None
        pictures = luck_by_cell(
            crossed, crossed[..., 2], by_side, part.weights, pairing, (K - 2) / K, set_right=right, by_ends=by_ends, contested=True
        )
    interval = options.spread(measured.n_seeds).log_ratio(above, below, math.hypot(pictures, count_error(level, n)) / level).exp()
    off = float(deviance(share, predicted, part.weights, n).mean()), float(rmse(share, predicted, part.weights).mean())
    return options.judge(
        "conflicts", f"{options.rules[model].label} for conflicts", "measured / predicted share of answers that are neither class",
        interval,
        options.margins.factor(), measured.n_seeds, model=model, window=part.window, expected=1.0, n=n, deviance=off[0], rmse=off[1],
    )  # fmt: skip


def _answer_neither(rule: Rule, top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
    assert rule.conflicts is not None
    return rule.conflicts(top, bottom, K)[2]


def _closer(
    options: Options, measured: Slice, model: ConflictForm, other: ConflictForm, rival: str, contest: Contest, crossed: FloatArray | None
) -> Verdict:
    """Is the product rule with equal preference closer to the shares of both classes than a rival?"""
    spread = options.spread(measured.n_seeds)
    interval = spread.jackknife(spread.means(other.off - model.off), luck_of_shares(model, other, contest, crossed))
    alone, beside = (float(each.off[:, 0].mean()) for each in (model, other))
    name = _named(rival, options.rules)
    return options.judge(
        "conflicts score", f"the product rule with equal preference predicts conflicts better than {name}",
        "RMSE of the shares of both classes, rival − model", interval, (0.0, math.inf), measured.n_seeds,
        also=f"RMSE {alone:.3f}, rival {beside:.3f}",
        model="product", rival=rival, window=model.part.window, n=measured.n, rmse=alone,
    )  # fmt: skip


def _named(rival: str, rules: Mapping[str, Rule]) -> str:
    return rules[rival].label if rival in rules else f"the product rule with the {rival.removeprefix('product, ')}"
