"""What the curves of a single kind tell: empties, the reading of a loss, held-out time, monotonicity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.fits.curve import fit_curve
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, number
from dominoes.theory.rules import deviance, rmse
from dominoes.theory.run_arrays import RunArrays, log_time_weights
from dominoes.theory.verdicts import Answer, Options, Verdict, gathered

# Measured steps that are averaged at either end of a fall: one is as noisy as its 1,000 pictures, many would hide a short fall.
_STRETCH = 3
# Shares of log time on which curves are fitted; the rest is foretold.
_FITTED = (0.5, 0.7)
# Free parameters of the rivals of one pattern, which has three: ceiling, speed and inflection.
_RIVALS = {"gompertz": 3, "weibull": 3, "power": 3, "exponential": 2, "richards": 4, "isotonic": 0, "last": 0}
_FEWEST = 5


def empties(data: RunArrays, options: Options) -> Answer:
    """Empties show nothing: accuracy 1/K and loss ln K at all times (docs: the pattern-learning model)."""
    K = data.classes_count
    chance = (("accuracy", "1/K", 1 / K, options.margins.accuracy), ("loss", "ln K", math.log(K), options.margins.loss))
    return gathered(_empty(data, options, *each) for each in chance)


def _empty(data: RunArrays, options: Options, column: str, name: str, expected: float, margin: float) -> Answer:
    measured = data.common([(column, "empty")])
    if isinstance(measured, str):
        return options.unanswered("empties", measured, len(data.runs), model=column)
    values, n = measured.values[0], measured.n
    # All empties are one picture, so all answers are one class; only the labels are sampled, and they are the same for every seed.
    labels = math.sqrt(expected * (1 - expected) / n) if column == "accuracy" and math.isfinite(n) else 0.0
    interval = options.spread(measured.n_seeds).mean(values @ measured.weights, labels)
    claim = f"empties have {column} {name} = {number(expected)}"
    off = float(rmse(values, np.full_like(values, expected), measured.weights).mean())
    row = options.judge(
        "empties", claim, f"mean {column}", interval, (expected - margin, expected + margin), measured.n_seeds,
        model=column, expected=expected, n=n, rmse=off,
    )  # fmt: skip
    return Answer((row,), (), measured.notes)


def held_out_time(data: RunArrays, options: Options) -> Answer:
    """Fit each one-sided accuracy on the first half, and on the first 70 %, of log time, and score the rest.

    The pattern model is one pattern, p(t) = γ / (1 + exp(−α (t − b))) above chance (arXiv 2303.06173), in t or in ln t, whichever
    fits the first part better; its rivals are the other families of `curve.fit_curve` and two baselines. Every curve is fitted alone,
    and the rest is scored by RMSE over log time, paired within seeds. Where a pattern is not learned in the first part there is no shape
    to continue: such a seed keeps the level that it has, under every family.
    """
    return gathered(_held_out(data, options, side, share) for side in ("top", "bottom") for share in _FITTED)


def _held_out(data: RunArrays, options: Options, side: str, share: float) -> Answer:
    measured = data.common([("accuracy", side)])
    if isinstance(measured, str):
        return options.unanswered("held-out time", measured, len(data.runs), side=side)
    steps, accuracy, n = measured.steps, measured.values[0], measured.n
    started = np.log(steps[steps > 0])
    first = np.log(np.maximum(steps, 1e-9)) <= started[0] + share * (started[-1] - started[0])
    part = f"the first {100 * share:g} % of log time"
    if min(first.sum(), (~first).sum()) < _FEWEST:
        reason = f"{first.sum()} steps in {part} and {(~first).sum()} after it; {_FEWEST} are needed in each"
        return options.unanswered("held-out time", reason, measured.n_seeds, side=side, model=part, verdict=CANNOT_TELL)

    def foretold(family: str) -> tuple[FloatArray, FloatArray, bool]:
        examples = np.full(accuracy[:, first].shape, n) if math.isfinite(n) else None
        fit = fit_curve(steps[first], accuracy[:, first], family=family, chance=1 / data.classes_count, n=examples)
        each = fit.seeds or (fit,)
        return np.stack([seed.predict(steps[~first]) for seed in each]), np.array([seed.deviance for seed in each]), fit.n_learned > 0

    (linear, misfit, learned), (logarithmic, log_misfit, _) = foretold("logistic"), foretold("logistic-log")
    if not learned:
        return options.unanswered("held-out time", f"it is not learned in {part}", measured.n_seeds, side=side, model=part)
    rest, weights = accuracy[:, ~first], log_time_weights(steps[~first])
    model = np.where((misfit <= log_misfit)[:, None], linear, logarithmic)
    off = rmse(rest, model, weights)
    surprise = float(deviance(rest, model, weights, n).mean())
    # Many rivals: one of them is better by chance more often than the level allows, unless each is asked at a higher one (Bonferroni).
    family = replace(options, level=1 - (1 - options.level) / len(_RIVALS))
    rows = []
    for rival, free in _RIVALS.items():
        other = rmse(rest, foretold(rival)[0], weights)
        claim = f"one pattern fitted on {part} predicts the {side} better than {rival} ({free} free parameters, the pattern 3)"
        rows.append(
            family.judge(
                "held-out time", claim, "RMSE on the rest, rival − model", family.spread(measured.n_seeds).mean(other - off),
                (0.0, math.inf), measured.n_seeds, also=f"RMSE {number(float(off.mean()))}, rival {number(float(other.mean()))}",
                side=side, model=f"one pattern, {100 * share:g} %", rival=rival, n=n, deviance=surprise, rmse=float(off.mean()),
            )
        )  # fmt: skip
    return Answer((_summary(options, rows, side, part), *rows), (), measured.notes)


def _summary(options: Options, rows: Sequence[Verdict], side: str, part: str) -> Verdict:
    """One pattern against all its rivals at once: it holds if it beats every one, and fails if one of them beats it."""
    by_verdict = {verdict: [row.rival for row in rows if row.verdict == verdict] for verdict in (HOLDS, FAILS, CANNOT_TELL)}
    words = {HOLDS: "better than", FAILS: "worse than", CANNOT_TELL: "open against"}
    told = "; ".join(f"{words[verdict]} {', '.join(rivals)}" for verdict, rivals in by_verdict.items() if rivals)
    closest = min(rows, key=lambda row: row.interval.estimate)
    verdict = FAILS if by_verdict[FAILS] else CANNOT_TELL if by_verdict[CANNOT_TELL] else HOLDS
    sentence = (
        f"one pattern fitted on {part} predicts the rest of the {side} better than all {len(rows)} rivals: {told} "
        f"(level {100 * options.level:g} % for all together; {options.over(rows[0].n_seeds)})"
    )
    return replace(closest, rival="all rivals", level=options.level, sentence=sentence, verdict=verdict)


def monotonicity(data: RunArrays, options: Options) -> Answer:
    """The accuracy of a side never falls, and its loss never rises.

    The largest of many noisy falls is always large, so the place is chosen by the other seeds: the two stretches of three measured steps
    between which the mean of all seeds but one falls most. The fall of the seed left out between these two is free of that choice.
    """
    return gathered(_monotone(data, options, side, column) for side in ("top", "bottom") for column in ("accuracy", "loss"))


def _monotone(data: RunArrays, options: Options, side: str, column: str) -> Answer:
    sign, margin, what = (1.0, options.margins.accuracy, "fall") if column == "accuracy" else (-1.0, options.margins.loss, "rise")
    measured = data.common([(column, side)])
    if isinstance(measured, str):
        return options.unanswered("monotonicity", measured, len(data.runs), side=side, model=column)
    if measured.values[0].shape[1] < 2 * _STRETCH:
        reason = f"{measured.values[0].shape[1]} steps; {2 * _STRETCH} are needed to see a fall"
        return options.unanswered("monotonicity", reason, measured.n_seeds, side=side, model=column, verdict=CANNOT_TELL)
    if measured.n_seeds < 2:
        reason = f"one seed; where the {column} {what}s most has to be chosen by other seeds"
        return options.unanswered("monotonicity", reason, 1, side=side, model=column, verdict=CANNOT_TELL)
    interval = options.spread(measured.n_seeds).mean(_falls(sign * measured.values[0]))
    row = options.judge(
        "monotonicity", f"the {column} of the {side} never {what}s", f"largest {what}", interval, (-math.inf, margin), measured.n_seeds,
        side=side, model=column, expected=0.0, n=measured.n,
    )  # fmt: skip
    return Answer((row,), (), measured.notes)


def _falls(values: FloatArray) -> FloatArray:
    """(S, T) -> (S,): for each seed, its fall between the two stretches of steps that the other seeds point at."""
    smooth = np.lib.stride_tricks.sliding_window_view(values, _STRETCH, axis=1).mean(axis=2)
    others = (smooth.sum(axis=0) - smooth) / (len(values) - 1)
    falls = others[:, :, None] - others[:, None, :]
    later = np.triu(np.ones(falls.shape[1:], dtype=bool), k=_STRETCH)
    start, stop = np.unravel_index(np.where(later, falls, -np.inf).reshape(len(values), -1).argmax(axis=1), later.shape)
    seeds = np.arange(len(values))
    return np.asarray(smooth[seeds, start] - smooth[seeds, stop])
