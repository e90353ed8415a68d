"""Whether a side's curve depends on its own prevalence by rescaling alone, and on the other side's not at all."""

from __future__ import annotations

import numpy as np

from dominoes.spec import SIDES
from dominoes.theory import intervals
from dominoes.theory.intervals import CANNOT_TELL
from dominoes.theory.questions.laws import everywhere, slopes, spread
from dominoes.theory.run_arrays import log_time_weights
from dominoes.theory.sweep_curves import Curve, SweepCurves
from dominoes.theory.verdicts import Answer, Options, gathered


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
    if not np.isfinite(onset).any():
        return options.unanswered("rescaling", "it is learned at no point of the sweep", data.n_seeds, side=side)
    bootstrap = options.bootstrap(data.n_seeds)
    rows, notes = [], []
    learned = data.groups(name, everywhere(onset))
    if learned:
        exponent = bootstrap.mean(slopes(np.log(x), np.log(np.where(np.isfinite(onset), onset, 1.0)), learned))
        margin = options.margins.exponent
        rows.append(
            options.judge(
                "rescaling", f"onset of the {side} goes as 1 / {name}", "exponent", exponent, (-1 - margin, -1 + margin), data.n_seeds,
                side=side, model="onset", expected=-1.0,
            )
        )  # fmt: skip
    else:
        notes.append(f"rescaling: the {side} is not learned in every replicate of two points that differ in {name} alone; no exponent")
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
        change = bootstrap.mean(slopes(np.log(x), means, shared) * spread(np.log(x), shared))
        margin = options.margins.accuracy
        rows.append(
            options.judge(
                "rescaling", f"the {side}'s curves collapse against {name} × {data.time}",
                f"change of mean accuracy from the smallest to the largest {name}, after rescaling", change, (-margin, margin),
                data.n_seeds, side=side, model="collapse", expected=0.0,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), tuple(notes))


def competition(data: SweepCurves, options: Options) -> Answer:
    """A side's curve does not depend on how prevalent the other side is: effect of the whole swept range on onset and on mean accuracy."""
    return gathered(competes(data, options, side, f"prevalence_{other}") for side, other in (("bottom", "top"), ("top", "bottom")))


def competes(data: SweepCurves, options: Options, side: str, name: str) -> Answer:
    x = data.numbers(name) if name in data.fields else None
    mean = data.measured(side, Curve.mean)
    groups = data.groups(name, everywhere(mean)) if x is not None else []
    if x is None or not groups:
        reason = f"no two points have the same prevalence_{side} and differ in {name} alone"
        return options.unanswered("no competition", reason, data.n_seeds, side=side)
    if not np.isfinite(data.quantity(side, "onset")).any():
        # Curves that stay at chance agree with each other, and that is no evidence.
        return options.unanswered("no competition", "it is learned at no point of the sweep", data.n_seeds, side=side)
    bootstrap = options.bootstrap(data.n_seeds)
    claim = f"the {side}'s curve does not depend on {name}"
    rows, notes = [], []
    onset = data.quantity(side, "onset")
    learned = everywhere(onset)
    among = data.groups(name, learned)
    lost = int(np.concatenate(groups).size - (np.concatenate(among).size if among else 0))
    if lost:
        late = "its onset lies after the last step there, which only the mean accuracy shows"
        notes.append(f"no competition: at {lost} points the {side} is not learned in every replicate; {late}")
    if among:
        effect = bootstrap.mean(slopes(x, np.log(np.where(learned, onset, 1.0)), among) * spread(x, among)).exp()
        # Points that are not learned are those with the latest onsets: what is left cannot show that nothing moves.
        verdict = effect.verdict(*options.margins.factor())
        rows.append(
            options.judge(
                "no competition", claim, f"onset at the largest {name} / at the smallest", effect, options.margins.factor(), data.n_seeds,
                also=f"{lost} points where it is not learned are left out" if lost else "",
                overruled=CANNOT_TELL if lost and verdict == intervals.HOLDS else "",
                side=side, model="onset", expected=1.0,
            )
        )  # fmt: skip
    change = bootstrap.mean(slopes(x, np.where(np.isfinite(mean), mean, 0.0), groups) * spread(x, groups))
    margin = options.margins.accuracy
    rows.append(
        options.judge(
            "no competition", claim, f"change of mean accuracy from the smallest to the largest {name}", change, (-margin, margin),
            data.n_seeds, side=side, model="mean accuracy", expected=0.0,
        )
    )  # fmt: skip
    return Answer(tuple(rows), (), tuple(notes))
