"""Which side is learned first, and when."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dominoes.theory.intervals import CANNOT_TELL, number
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options
from dominoes.theory.windows import is_early, onset


def order(data: RunArrays, options: Options) -> Answer:
    """The side with the earlier onset is learned first: the ratio of onsets, over seeds. The onset is the step at which a one-sided test
    accuracy passes half of its rise; a side that is never learned in a seed has none."""
    question = "learned first"
    measured = data.common([("accuracy", "top"), ("accuracy", "bottom")])
    if isinstance(measured, str):
        return options.unanswered(question, measured, len(data.runs))
    chance = 1 / data.classes_count
    onsets = np.array([[onset(measured.steps, curve, chance) for curve in side] for side in measured.values])
    learned = np.isfinite(onsets).all(axis=1)
    if not learned.all():
        unlearned = [side for side, known in zip(("top", "bottom"), learned, strict=True) if not known]
        reason = f"the {' half and the '.join(unlearned)} half {'are' if len(unlearned) > 1 else 'is'} not learned in every seed"
        if len(unlearned) == 1:
            other = 1 if learned[1] else 0
            at = float(np.exp(np.log(onsets[other]).mean()))
            reason += f"; the {('top', 'bottom')[other]} is half risen at step {number(at)}"
        return options.unanswered(question, reason, measured.n_seeds)
    means = np.exp(np.log(onsets).mean(axis=1))
    first, second = (0, 1) if means[0] <= means[1] else (1, 0)
    names = ("top", "bottom")
    interval = options.spread(measured.n_seeds).mean(np.log(onsets[second]) - np.log(onsets[first])).exp()
    early = np.array([[is_early(measured.steps, curve, chance) for curve in side] for side in measured.values]).sum(axis=1)
    if early[first]:
        # The earlier onset is at most the first measured step, so that the ratio is at least this.
        interval = replace(interval, high=math.inf)
    at_once = "at the same step in every seed; " if (onsets[0] == onsets[1]).all() else ""
    when = f"{at_once}half of the rise by step {number(float(means[first]))} and {number(float(means[second]))}"
    ends = ", ".join(f"{names[side]} {number(float(measured.values[side][:, -1].mean()))}" for side in (first, second))
    soon = [
        f"the {names[side]} is half risen at the first measured step in {early[side]} of {measured.n_seeds} seeds, its onset at most that"
        for side in (first, second)
        if early[side]
    ]
    row = options.judge(
        question, f"the {names[first]} half is learned before the {names[second]}", f"onset of the {names[second]} / of the {names[first]}",
        interval, (1.0, math.inf), measured.n_seeds,
        also="; ".join([when, *soon, f"accuracy at the end: {ends}"]),
        overruled=CANNOT_TELL if at_once else "", side=names[first], model="onset", n=measured.n,
    )  # fmt: skip
    return Answer((row,), (), measured.notes)
