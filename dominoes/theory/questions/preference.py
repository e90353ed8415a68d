"""The preference λ on conflicts: which side answers where both patterns fire, and does it stay the same?

λ(t) = [P(top class) − (1−U)/K − p_t (1−p_b)] / (p_t p_b), U = 1 − (1−p_t)(1−p_b): the excess of the top's answers over those that the
top gives alone, in units of the share in which both fire. Under independent firing it is the share of these that the top answers; under
any other rule it is an index and may leave [0, 1]. It is looked at where p_t p_b is large enough to divide by (`Margins.together`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.errors import counted
from dominoes.theory import verdicts
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, Interval, number
from dominoes.theory.known import Known, known_windows
from dominoes.theory.luck import Contest
from dominoes.theory.rules import fired
from dominoes.theory.run_arrays import Slice
from dominoes.theory.verdicts import Answer, Options, Verdict


def preference(measured: Slice, shares: Mapping[str, Sequence[FloatArray]], contest: Contest, options: Options) -> Answer:
    """Is λ constant, and ½, 1 or 0; and is it what a rule without a free parameter predicts?

    Args:
        measured: accuracy of top and bottom, agree_top and agree_bottom of conflicts.
        shares: rule -> shares of conflicts answered with the top's class, the bottom's, neither.
        contest: what the pictures do to λ, the same for every seed.
    """
    K, pictures = contest.pairing.K, contest.error
    top, bottom, for_top, _ = measured.values
    p, q = fired(top, K), fired(bottom, K)
    both, n = p * q, measured.n
    joint = np.clip(both.mean(axis=0), 0.0, 1.0)
    least = options.margins.together
    used = (joint > least) & (measured.weights > 0)
    if used.sum() < 2:
        steps = counted(int(used.sum()), "step")
        reason = f"λ is looked at where both patterns fire with probability over {least:g}, and that is at {steps}; 2 needed"
        return options.unanswered("preference", reason, measured.n_seeds)
    weights = np.where(used, measured.weights, 0.0) / measured.weights[used].sum()
    alone = (1 - p) * (1 - q) / K + p * (1 - q)
    excess = for_top - alone
    spread = options.spread(measured.n_seeds)
    place = np.log(np.maximum(measured.steps, 1.0))
    place = (place - place[used][0]) / (place[used][-1] - place[used][0])

    def level(w: FloatArray, seen: FloatArray, within: FloatArray) -> FloatArray:
        return np.asarray((w @ (seen @ within)) / (w @ (both @ within)))

    def change(w: FloatArray, seen: FloatArray) -> FloatArray:
        # λ = mean + change · (place − middle), least squares weighted by p_t p_b, as the variance of λ asks for.
        share = w @ (both * weights)
        middle = (share @ place / share.sum(axis=1))[:, None]
        return np.asarray((w @ (seen * weights) * (place - middle)).sum(axis=1) / (share * (place - middle) ** 2).sum(axis=1))

    share = joint * weights
    off_middle = place - share @ place / share.sum()
    drift_error = pictures(weights * off_middle / (share @ off_middle**2))
    mean = spread.interval(lambda w: level(w, excess, weights), pictures(weights / share.sum()))
    drift = spread.interval(lambda w: change(w, excess), drift_error)
    each = np.flatnonzero(used)
    by_step = np.array([pictures(np.eye(len(used))[index] / joint[index]) for index in each])
    values = spread.intervals(lambda w: np.asarray((w @ excess[:, each]) / (w @ both[:, each])), by_step)
    ends = f"λ goes from {number(float(values[0][0]))} at step {measured.steps[each[0]]:g} to {number(float(values[0][-1]))} at the end"
    rows = _constant(options, mean, drift, measured.n_seeds, n, ends)
    parts = [part for part in known_windows(measured, K, least) if isinstance(part, Known)]
    margin = options.margins.preference
    for name, foreseen in shares.items():
        if name not in options.rules or name == "product":
            continue
        predicted = foreseen[0] - alone
        label = "margins (the softmax of both)" if name == "addition" else options.rules[name].label
        for part in parts:
            error = pictures(part.weights / float(joint @ part.weights))
            seen, fire = (spread.means(part.of_seeds(each)) for each in (excess - predicted, both))
            off = spread.jackknife(seen / fire, error)
            rows.append(
                options.judge(
                    "preference", f"{label} for the preference λ", "mean λ, measured − predicted", off, (-margin, margin), measured.n_seeds,
                    model=name, window=part.window, expected=0.0, n=n,
                )
            )  # fmt: skip
        off = spread.interval(lambda w, gap=excess - predicted: change(w, gap), drift_error)  # type: ignore[misc]
        rows.append(
            options.judge(
                "preference", f"{label} for how the preference λ moves", "change of λ, measured − predicted", off,
                (-options.margins.drift, options.margins.drift), measured.n_seeds, model=name, expected=0.0, n=n,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (verdicts.band("preference", "", "λ", measured.steps[each], used[each], values, math.nan),))


def _constant(options: Options, mean: Interval, drift: Interval, n_seeds: int, n: float, ends: str) -> list[Verdict]:
    """λ stays the same, and is one of three constants; if it is a constant in between, or moves, each of the three fails."""
    margin, moved = options.margins.preference, (-options.margins.drift, options.margins.drift)
    constant = drift.verdict(*moved)
    rows = [
        options.judge(
            "preference", "the preference λ stays the same", "change of λ over the steps compared", drift, moved, n_seeds,
            also=ends, model="constant", expected=0.0, n=n,
        )
    ]  # fmt: skip
    also = {HOLDS: "", FAILS: "but λ moves", CANNOT_TELL: "whether λ moves cannot be told"}[constant]
    for model, value in (("equal", 0.5), ("top preferred", 1.0), ("bottom preferred", 0.0)):
        within = value - margin, value + margin
        verdict = mean.verdict(*within)
        # A mean of ½ may be a 0 that became 1: what is called constant has to be shown constant.
        overruled = FAILS if constant == FAILS else CANNOT_TELL if (verdict, constant) == (HOLDS, CANNOT_TELL) else ""
        rows.append(
            options.judge(
                "preference", f"a constant preference on conflicts, {model}", "mean λ", mean, within, n_seeds,
                also=also, overruled=overruled, model=model, expected=value, n=n,
            )
        )  # fmt: skip
    return rows
