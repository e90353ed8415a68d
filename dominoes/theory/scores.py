"""By how much one rule predicts doubles better than another: the difference of their binomial deviances, and what the probe pictures do
to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.cells import luck_by_cell, slopes_of
from dominoes.theory.known import Known
from dominoes.theory.luck import Pairing
from dominoes.theory.rules import Rule, deviance


@dataclass(frozen=True)
class Form:
    """A rule's prediction of the doubles that were measured.

    Attributes:
        rule: that predicts. error, predicted: (S, T) error on doubles, measured and predicted.
    """

    rule: Rule
    error: FloatArray
    predicted: FloatArray

    def odds(self, n: float) -> FloatArray:
        """(T,) log odds of the predicted error, with half a count at least of either answer among n pictures."""
        share = np.clip(self.predicted.mean(axis=0), 0.5 / n, 1 - 0.5 / n)
        return np.asarray(np.log(share / (1 - share)))

    def steepness(self, alone: tuple[FloatArray, FloatArray], K: int, n: float) -> tuple[FloatArray, FloatArray]:
        """(T,), (T,): what the deviance, on average over seeds, gains at each step by the error of the top, and of the bottom, through what
        is predicted from them; 0 where less than half a count is predicted.

        alone: (S, T) one-sided errors of the top and of the bottom.
        """
        inside = (self.predicted > 0.5 / n) & (self.predicted < 1 - 0.5 / n)
        share = np.where(inside, self.predicted, 0.5)
        by_prediction = np.where(inside, -2 * n * (self.error - share) / (share * (1 - share)), 0.0)
        by_side = slopes_of(lambda top, bottom: self.rule.doubles(top, bottom, K), *alone)
        return (by_prediction * by_side[0]).mean(axis=0), (by_prediction * by_side[1]).mean(axis=0)


def surprise(model: Form, rival: Form, n: float) -> FloatArray:
    """(T,) factors with which a measured error m enters the difference of two deviances (rival − model) at each step: it is linear in m,
    2n [m ln(q/r) + (1 − m) ln((1 − q)/(1 − r))] for predictions q and r; 0 where n is not known."""
    if not math.isfinite(n):
        return np.zeros(model.error.shape[1])
    return np.asarray(2 * n * (model.odds(n) - rival.odds(n)))


def luck_of_score(
    model: Form,
    rival: Form,
    alone: tuple[FloatArray, FloatArray],
    part: Known,
    pairing: Pairing,
    crossed: FloatArray,
    *,
    set_right: bool,
) -> float:
    """Standard error, shared by all seeds, of the difference of two deviances (rival − model) in a window.

    A sample of hard tops moves what is measured, what either rule predicts of it, and the ends of the window (`luck_by_cell`, whose
    arguments these are). To first order, so that it is too small where neither rule is off and the difference is near 0.
    """
    n, K = pairing.n, pairing.K
    gained = zip(rival.steepness(alone, K, n), model.steepness(alone, K, n), strict=True)
    by_top, by_bottom = (of_model - of_rival for of_rival, of_model in gained)
    every = np.eye(len(part.weights))
    ahead = np.asarray((deviance(rival.error, rival.predicted, every, n) - deviance(model.error, model.predicted, every, n)).mean(axis=0))
    silent = K / (K - 1)
    by_ends = -(part.by[0] @ ahead) / silent, -(part.by[1] @ ahead) / silent
    return luck_by_cell(
        crossed,
        crossed[..., 1],
        (by_top, by_bottom),
        part.weights,
        pairing,
        (K - 1) / K,
        gain=surprise(model, rival, n),
        set_right=set_right,
        by_ends=by_ends,
    )
