"""Conflicts: how often is the answer neither class, and which side is preferred?"""

from __future__ import annotations

import math

import numpy as np

from dominoes.theory import verdicts
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, FloatArray, Interval
from dominoes.theory.questions.doubles import both_known
from dominoes.theory.rules import RULES, answered_neither, deviance, fired, floored, pairing_error, relative_error, rmse
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, Verdict


def conflicts(data: RunArrays, options: Options) -> Answer:
    """P(neither class) = (K−2)/K (1−p_t)(1−p_b), and the preference λ(t) = [P(top class) − (1−U)/K − p_t (1−p_b)] / (p_t p_b)."""
    measured = data.common([("accuracy", "top"), ("accuracy", "bottom"), ("agree_top", "conflict"), ("agree_bottom", "conflict")])
    if isinstance(measured, str):
        return options.unanswered("conflicts", measured, len(data.runs))
    K, n = data.classes_count, measured.n
    top, bottom, for_top, for_bottom = measured.values
    p_top, p_bottom = fired(top, K), fired(bottom, K)
    both = p_top * p_bottom
    window = both_known(both, measured.weights, options)
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
