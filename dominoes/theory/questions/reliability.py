"""Halves that show a wrong class now and then: what the model says of curves against the label and against the class that is shown."""

from __future__ import annotations

import math

import numpy as np

from dominoes.theory.intervals import number
from dominoes.theory.rules import fired
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, Verdict, gathered
from dominoes.theory.windows import risen, shared, windows


def reliability(data: RunArrays, options: Options) -> Answer:
    """A pattern that fires answers the class that is shown, with probability p(t) read off the training dominoes of one side; these show
    the label's class in ρ of the cases. Hence, on training dominoes of that side, accuracy against the label = ρ p + (1 − p)/K, which
    never passes ρ: what is above has been learned by heart.

    Nothing where a side is fully reliable, or where the runs have no column that tells its reliability.
    """
    sides = [side for side, share in zip(("top", "bottom"), data.reliability, strict=True) if share < 1]
    return gathered(_of_side(data, options, side) for side in sides)


def _of_side(data: RunArrays, options: Options, side: str) -> Answer:
    question = "reliability"
    share = data.reliability[("top", "bottom").index(side)]
    if data.training is None:
        return options.unanswered(question, "there are no rows of split train", len(data.runs), side=side)
    measured = data.training.common([("accuracy", side), (f"agree_{side}", side)])
    if isinstance(measured, str):
        return options.unanswered(question, f"on training dominoes {measured}", len(data.runs), side=side)
    K = data.classes_count
    accuracy, agreement = measured.values
    mean = agreement.mean(axis=0)
    if risen(mean, 1 / K) is None:
        return options.unanswered(question, "it is never learned", measured.n_seeds, side=side)
    predicted = share * fired(agreement, K) + (1 - fired(agreement, K)) / K
    spread, margin = options.spread(measured.n_seeds), options.margins.accuracy
    rows: list[Verdict] = []
    for window, inside in windows(measured.steps, mean, mean, 1 / K).items():
        weights = shared(inside, measured.weights)
        if weights is None:
            there = {0: "no steps of the curve on training dominoes lie", 1: "one step of the curve on training dominoes lies"}
            reason = f"{there[int(inside.sum())]} there, too few to judge"
            rows += options.unanswered(question, reason, measured.n_seeds, side=side, model="label", window=window).verdicts
            continue
        off = spread.mean((accuracy - predicted) @ weights)
        rows.append(
            options.judge(
                question, f"on training dominoes of the {side} the label is answered as often as ρ p + (1 − p)/K, ρ = {number(share)}",
                "accuracy against the label, measured − predicted", off, (-margin, margin), measured.n_seeds,
                side=side, model="label", window=window, expected=0.0, n=measured.n,
            )
        )  # fmt: skip
        if window == "late":
            top = spread.mean(accuracy @ weights)
            rows.append(
                options.judge(
                    question, f"on training dominoes of the {side} the accuracy stays under its reliability {number(share)}",
                    "accuracy against the label", top, (-math.inf, share + margin), measured.n_seeds,
                    side=side, model="ceiling", window=window, expected=share, n=measured.n,
                )
            )  # fmt: skip
    test = data.common([("accuracy", side)])
    late = shared(windows(measured.steps, mean, mean, 1 / K)["late"], measured.weights)
    if isinstance(test, str) or test.n_seeds != measured.n_seeds or not np.array_equal(test.steps, measured.steps):
        reason = test if isinstance(test, str) else "test curves have other seeds or steps than those on training dominoes"
        rows += options.unanswered(question, reason, measured.n_seeds, side=side, model="shown class", window="late").verdicts
    elif late is not None:
        gap = spread.mean((agreement - test.values[0]) @ late)
        rows.append(
                options.judge(
                    question, f"the class shown on the {side} is answered as often on training as on test dominoes",
                    "agreement with the class shown, training − test", gap, (-margin, margin), measured.n_seeds,
                    side=side, model="shown class", window="late", expected=0.0, n=measured.n,
                )
            )  # fmt: skip
    return Answer(tuple(rows), (), measured.notes)
