"""Losses: does a side's loss follow from its accuracy, and the loss on doubles from those of the sides?"""

from __future__ import annotations

import math

import numpy as np

from dominoes.theory.luck import agreed, count_error, pairing_error
from dominoes.theory.rules import RULES, calibrated_loss, fired, floored, rmse
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, gathered
from dominoes.theory.windows import shared


def losses(data: RunArrays, options: Options) -> Answer:
    """L_both = L_top L_bottom / ln K if a network that fires is sure and else uniform; and which reading the one-sided losses follow."""
    return gathered([_both_losses(data, options), reading(data, options, "top"), reading(data, options, "bottom")])


def _both_losses(data: RunArrays, options: Options) -> Answer:
    wanted = [("accuracy", "top"), ("accuracy", "bottom"), ("loss", "top"), ("loss", "bottom"), ("loss", "both")]
    measured = data.common(wanted)
    if isinstance(measured, str):
        return options.unanswered("loss", measured, len(data.runs))
    K, n = data.classes_count, measured.n
    top, bottom, loss_top, loss_bottom, loss_both = measured.values
    known = options.margins.known
    weights = shared((fired(top, K) * fired(bottom, K)).mean(axis=0) > known, measured.weights)
    if weights is None:
        reason = f"the two patterns are hardly known together: both fire with probability over {known:g} at no two steps"
        return options.unanswered("loss", reason, measured.n_seeds)
    error = np.clip(RULES["product"].doubles(1 - top, 1 - bottom, K), 0.0, 1.0)
    models = {
        "sure or uniform": (loss_top * loss_bottom / math.log(K), "L_top L_bottom / ln K"),
        "calibrated": (calibrated_loss(1 - error, K), "the entropy at the product rule's accuracy"),
    }
    # Under the first reading a loss is ln K times the share of pictures on which nothing fires.
    silent = [np.minimum(loss.mean(axis=0) / math.log(K), 1.0) for loss in (loss_top, loss_bottom)]
    rho = agreed(data, measured)
    paired = pairing_error(silent[0], silent[1], weights, n, 1.0 if rho is None else rho)
    least = count_error(float((loss_both @ weights).mean()) / math.log(K), n)
    pictures = math.hypot(paired, least) * math.log(K)
    spread = options.spread(measured.n_seeds)
    rows = []
    for model, (predicted, formula) in models.items():
        above, below = floored(loss_both @ weights, n), floored(predicted @ weights, n)
        interval = spread.log_ratio(above, below, pictures / float(above.mean())).exp()
        off = float(rmse(loss_both, predicted, measured.weights).mean())
        rows.append(
            options.judge(
                "loss", f"the loss on doubles is {formula} ({model})", "measured / predicted loss", interval, options.margins.factor(),
                measured.n_seeds, model=model, expected=1.0, n=n, rmse=off,
            )
        )  # fmt: skip
    return Answer(tuple(rows), (), measured.notes)


# Nats between the two readings of a loss below which they are one.
_APART = 1e-3


def reading(data: RunArrays, options: Options, side: str) -> Answer:
    """Where the loss of a side lies between two readings of the same accuracy, over the log time in which the side is known.

    0: the network is sure when the pattern fires and uniform when not, L = (1 − p) ln K. 1: calibrated but cannot tell, the entropy of
    being right as often as it is (`calibrated_loss`). Above 1 it is more sure than it is right.
    """
    measured = data.common([("accuracy", side), ("loss", side)])
    if isinstance(measured, str):
        return options.unanswered("loss reading", measured, len(data.runs), side=side)
    K = data.classes_count
    accuracy, loss = measured.values
    p = fired(accuracy, K)
    used = (p.mean(axis=0) > options.margins.known) & (measured.weights > 0)
    if used.sum() < 3:
        return options.unanswered("loss reading", "it is hardly learned, and the readings agree at chance", measured.n_seeds, side=side)
    weights = np.where(used, measured.weights, 0.0) / measured.weights[used].sum()
    sure = (1 - p) * math.log(K)
    above, below = (loss - sure) @ weights, (calibrated_loss(accuracy, K) - sure) @ weights
    if below.min() < _APART:
        return options.unanswered("loss reading", "it is so well known that the readings agree", measured.n_seeds, side=side)
    interval = options.spread(measured.n_seeds).interval(lambda w: np.asarray((w @ above) / (w @ below)))
    margin = options.margins.reading
    rows = [
        options.judge(
            "loss reading", f"one-sided loss of the {side} is {model}", "place of the loss between sure or uniform (0) and calibrated (1)",
            interval, (value - margin, value + margin), measured.n_seeds,
            also="the network is more sure than it is right" if interval.low > 1 + margin else "",
            side=side, model=model, expected=value, n=measured.n,
        )
        for model, value in (("sure or uniform", 0.0), ("calibrated", 1.0))
    ]  # fmt: skip
    return Answer(tuple(rows), (), measured.notes)
