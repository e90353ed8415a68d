"""What the pattern-learning model and its rivals predict of doubles and conflicts, and how far off a prediction is."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import entr, xlogy

from dominoes.theory.intervals import FloatArray

RULES = {
    "product": "the product rule",
    "addition": "addition of evidence",
    "better side": "the better side alone",
    "mean": "the mean of the sides",
}


def predicted_error(rule: str, top: FloatArray, bottom: FloatArray, classes_count: int) -> FloatArray:
    """Error on doubles, from the errors on one-sided dominoes (any shapes that broadcast), under one of RULES.

    product: K/(K−1) e_top e_bottom: something fires with probability A = 1 − Π(1 − p_i) (Davies, Langosco & Krueger 2023, arXiv
    2303.06173; docs/explanation/pattern-model.md), else the answer is a guess.
    addition: logits add, so the odds of the label against each other class multiply: e = e_t e_b / (e_t e_b + (K−1) a_t a_b), a = 1 − e.
    This is exact for answers drawn from the softmax of the sum. Where instead the evidence of a picture varies and the largest sum is
    the answer (Gaussian evidence, K = 10, sides from 0.2 to 0.98 right), the error on doubles comes within 10 % of the product rule,
    so that doubles alone do not tell the two apart; conflicts do: answers that are neither class are 1.1 to 12 times as frequent.
    """
    if rule == "product":
        return np.asarray(classes_count / (classes_count - 1) * top * bottom)
    if rule == "addition":
        wrong = top * bottom
        return np.asarray(wrong / np.maximum(wrong + (classes_count - 1) * (1 - top) * (1 - bottom), np.finfo(float).tiny))
    return np.asarray(np.minimum(top, bottom) if rule == "better side" else (top + bottom) / 2)


def pairing_error(top: FloatArray, bottom: FloatArray, weights: FloatArray, n: float) -> float:
    """Standard error of Σ_t w_t (share wrong on both halves − e_top e_bottom) when n pictures a side are paired once, at random, for
    all runs.

    top, bottom: (T,) errors; weights: (T,). Pictures are taken to be learned in one order, the same for every seed: then the errors at two
    times are nested, and the covariance of "wrong at t" and "wrong at t'" is min(e, e') (1 − max(e, e')). That is the largest it can
    be, so this is an upper bound. 0 where n is not known.
    """
    if not math.isfinite(n):
        return 0.0
    shared = _nested(top) * _nested(bottom)
    return math.sqrt(max(0.0, float(weights @ shared @ weights)) / n)


def _nested(share: FloatArray) -> FloatArray:
    """Covariance over pictures of "wrong at t" and "wrong at t'" when pictures are learned in one order: (T,) -> (T, T)."""
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(np.minimum.outer(share, share) * (1 - np.maximum.outer(share, share)))


def deviance(measured: FloatArray, predicted: FloatArray, weights: FloatArray, n: float) -> FloatArray:
    """Binomial deviance per step, averaged over log time: (S, T), (S, T), (T,) -> (S,). About 1 if the prediction is exact; NaN if n
    is not known.
    """
    if not math.isfinite(n):
        return np.full(len(measured), np.nan)
    share = np.clip(measured, 0.0, 1.0)
    # Half a count: a prediction of exactly 0 would make one wrong answer infinitely surprising.
    model = np.clip(predicted, 0.5 / n, 1 - 0.5 / n)
    likelihood = xlogy(share, model) + xlogy(1 - share, 1 - model)
    return np.asarray(2 * n * (-entr(share) - entr(1 - share) - likelihood) @ weights)


def rmse(measured: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Root mean square deviation over log time: (S, T), (S, T), (T,) -> (S,)."""
    return np.asarray(np.sqrt((measured - predicted) ** 2 @ weights))


def calibrated_loss(accuracy: FloatArray, classes_count: int) -> FloatArray:
    """Cross-entropy in nats of a network that knows how often it is right but not when, and spreads the rest evenly over the other K
    − 1 classes.
    """
    return np.asarray(entr(accuracy) + entr(1 - accuracy) + (1 - accuracy) * math.log(classes_count - 1))


def fired(accuracy: FloatArray, classes_count: int) -> FloatArray:
    """p = 1 − e K / (K − 1): the probability that a pattern fires, from the accuracy with guessing when it does not. Below 0 by noise."""
    return np.asarray(1 - (1 - accuracy) * classes_count / (classes_count - 1))


def answered_neither(rule: str, top: FloatArray, bottom: FloatArray, classes_count: int) -> FloatArray:
    """Share of answers to conflicts that are neither class, from the one-sided errors.

    product: (K−2)/K (1−p_t)(1−p_b). addition: logits add, so the top's class has its odds (K−1) a_t / e_t against any other class,
    the bottom's class its own, and the K − 2 others 1 each.
    """
    K = classes_count
    wrong = (K - 2) * top * bottom
    if rule == "product":
        return np.asarray(wrong * K / (K - 1) ** 2)
    return np.asarray(wrong / np.maximum(wrong + (K - 1) * ((1 - top) * bottom + top * (1 - bottom)), np.finfo(float).tiny))


def floored(values: FloatArray, n: float) -> FloatArray:
    """Half a count instead of none, so that a ratio of rare errors has a logarithm."""
    return np.maximum(values, _half_a_count(n))


def relative_error(top: FloatArray, bottom: FloatArray, weights: FloatArray, n: float) -> float:
    """`pairing_error` and half a count, relative to the time average of e_top e_bottom.

    Half a count, so that two predictions of no errors at all, both of them right, are not taken for agreement.
    """
    return math.hypot(pairing_error(top, bottom, weights, n), _half_a_count(n)) / float(floored(top * bottom, n) @ weights)


def _half_a_count(n: float) -> float:
    return 0.5 / n if math.isfinite(n) else 1e-4
