"""What the pattern-learning model and its rivals predict of doubles and conflicts, and how far off a prediction is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import entr, ndtr, xlogy

from dominoes.arrays import FloatArray

AnswerShares = tuple[FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class Rule:
    """A rule without a free parameter that predicts two-sided dominoes from the curves of either side alone.

    Attributes:
        name: by which tables know it. label: in sentences.
        doubles: (error on the top alone, error on the bottom alone, K) -> error on doubles; arrays of any shapes that broadcast.
        conflicts: from the same, the shares of conflicts answered with the top's class, with the bottom's and with neither (sum 1);
            None for a rule that says nothing about them.
        colour, style: in figures.
        per_class: whether it is also formed per class and then averaged.
    """

    name: str
    label: str
    doubles: Callable[[FloatArray, FloatArray, int], FloatArray]
    conflicts: Callable[[FloatArray, FloatArray, int], AnswerShares] | None
    colour: str
    style: str
    per_class: bool = False


def _product(top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
    """K/(K−1) e_top e_bottom: something fires with probability A = 1 − Π(1 − p_i) (Davies, Langosco & Krueger 2023, arXiv 2303.06173,
    equation 2), else the answer is a guess."""
    return np.asarray(K / (K - 1) * top * bottom)


def product_conflicts(top: FloatArray, bottom: FloatArray, K: int, preference: float = 0.5) -> AnswerShares:
    """Independent firing: where one fires it answers, where both fire the top with probability `preference`, where none fires a guess."""
    p, q = fired(1 - top, K), fired(1 - bottom, K)
    guess = (1 - p) * (1 - q) / K
    return p * (1 - q) + preference * p * q + guess, q * (1 - p) + (1 - preference) * p * q + guess, (K - 2) * guess


def _addition(top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
    """Logits add, so the odds of the label against each other class multiply: e = e_t e_b / (e_t e_b + (K−1) a_t a_b), a = 1 − e.

    This is exact for answers drawn from the softmax of the sum. Where instead the evidence of a picture varies and the largest sum is
    the answer (`_gaussian`, K = 10, sides from 0.2 to 0.98 right), the error on doubles comes within 10 % of the product rule, so that
    doubles alone do not tell the two apart; conflicts do: answers that are neither class are 1.1 to 12 times as frequent.
    """
    wrong = top * bottom
    return np.asarray(wrong / np.maximum(wrong + (K - 1) * (1 - top) * (1 - bottom), np.finfo(float).tiny))


def _margins(top: FloatArray, bottom: FloatArray, K: int) -> AnswerShares:
    """The softmax of (m_top, m_bottom, 0 of each other class), m_i = ln[(K−1) a_i / e_i]: on a conflict each side's margin is its class's
    logit. Multiplied by e_t e_b, so that an error of 0 divides nothing."""
    for_top, for_bottom = (K - 1) * (1 - top) * bottom, (K - 1) * (1 - bottom) * top
    neither = (K - 2) * top * bottom
    total = for_top + for_bottom + neither
    # Two sides that are never wrong say nothing of which of them wins.
    known = total > 0
    shares = (
        np.where(known, part / np.where(known, total, 1.0), rest) for part, rest in ((for_top, 0.5), (for_bottom, 0.5), (neither, 0.0))
    )
    a, b, c = shares
    return a, b, c


def _gaussian(top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
    """Gaussian evidence (signal detection, Green & Swets 1966): a side gives evidence N(d·y, I) for the K classes (y: 1 for the class it
    shows), each side is weighted by its own d, the answer is the largest sum. Then doubles have d² = d_top² + d_bottom²."""
    return _error_at(np.hypot(_strength(top, K), _strength(bottom, K)), K)


def _gaussian_conflicts(top: FloatArray, bottom: FloatArray, K: int) -> AnswerShares:
    """The same evidence on conflicts: in units of its noise, D = hypot(d_top, d_bottom), the weighted sum is d_top²/D for the top's class,
    d_bottom²/D for the bottom's and 0 for each other class. P(top's class) = ∫ φ(x − μ_t) Φ(x − μ_b) Φ(x)^(K−2) dx."""
    strengths = np.broadcast_arrays(_strength(top, K), _strength(bottom, K))
    total = np.maximum(np.hypot(*strengths), 1e-9)
    for_top, for_bottom = (np.empty(total.shape) for _ in range(2))
    mean_top, mean_bottom = (np.asarray(strength**2 / total) for strength in strengths)
    rest = ndtr(_GRID) ** (K - 2)
    for index in np.ndindex(total.shape):
        x, y = _GRID - mean_top[index], _GRID - mean_bottom[index]
        for_top[index] = np.exp(-(x**2) / 2) @ (ndtr(y) * rest) * _CELL
        for_bottom[index] = np.exp(-(y**2) / 2) @ (ndtr(x) * rest) * _CELL
    return for_top, for_bottom, np.maximum(1 - for_top - for_bottom, 0.0)


# Integrals over a normal density by the trapezoid rule, which is exact to rounding for such functions at this step.
_STEP = 0.05
_GRID = np.arange(-9.0, 20.0, _STEP)
_CELL = _STEP / math.sqrt(2 * math.pi)
_STRENGTHS = np.arange(0.0, 10.0, 0.02)


@lru_cache(maxsize=8)
def _log_errors(K: int) -> FloatArray:
    """ln error at each of _STRENGTHS: 1 − ∫ φ(x − d) Φ(x)^(K−1) dx, as an integral of what is small."""
    wrong = -np.expm1((K - 1) * np.log(np.maximum(ndtr(_GRID), np.finfo(float).tiny)))
    return np.asarray(np.log(np.exp(-((_GRID - _STRENGTHS[:, None]) ** 2) / 2) @ wrong * _CELL))


def _strength(error: FloatArray, K: int) -> FloatArray:
    """d from the error of one side; 0 at chance and beyond."""
    logs = _log_errors(K)
    return np.asarray(np.interp(-np.log(np.maximum(error, math.exp(logs[-1]))), -logs, _STRENGTHS))


def _error_at(strength: FloatArray, K: int) -> FloatArray:
    return np.asarray(np.exp(np.interp(strength, _STRENGTHS, _log_errors(K))))


def _better(top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
    return np.asarray(np.minimum(top, bottom))


def _mean(top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
    return np.asarray((top + bottom) / 2)


# Shares that differ by less differ by rounding.
_ROUNDING = 1e-9
RULES = {
    rule.name: rule
    for rule in (
        Rule("product", "the product rule", _product, product_conflicts, "both", "solid", per_class=True),
        Rule("addition", "addition of evidence", _addition, _margins, "rival", "dash", per_class=True),
        Rule("gaussian", "Gaussian evidence", _gaussian, _gaussian_conflicts, "rival", "dot", per_class=True),
        Rule("better side", "the better side alone", _better, None, "other", "dash"),
        Rule("mean", "the mean of the sides", _mean, None, "empty", "dot"),
    )
}


def deviance(measured: FloatArray, predicted: FloatArray, weights: FloatArray, n: float) -> FloatArray:
    """Binomial deviance per step, averaged over log time: (S, T), (S, T), (T,) -> (S,), or weights (T, W) -> (S, W). About 1 if the
    prediction is exact; NaN if n is not known.
    """
    if not math.isfinite(n):
        return np.full((len(measured), *weights.shape[1:]), np.nan)
    share = np.clip(measured, 0.0, 1.0)
    # Half a count: a prediction of exactly 0 would make one wrong answer infinitely surprising.
    model = np.clip(predicted, 0.5 / n, 1 - 0.5 / n)
    likelihood = xlogy(share, model) + xlogy(1 - share, 1 - model)
    return np.asarray(2 * n * (-entr(share) - entr(1 - share) - likelihood) @ weights)


def rmse(measured: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Root mean square deviation over log time: (S, T), (S, T), (T,) -> (S,), or weights (T, W) -> (S, W)."""
    return np.asarray(np.sqrt((measured - predicted) ** 2 @ weights))


def calibrated_loss(accuracy: FloatArray, classes_count: int) -> FloatArray:
    """Cross-entropy in nats of a network that knows how often it is right but not when, and spreads the rest evenly over the other K
    − 1 classes.
    """
    return np.asarray(entr(accuracy) + entr(1 - accuracy) + (1 - accuracy) * math.log(classes_count - 1))


def fired(accuracy: FloatArray, classes_count: int) -> FloatArray:
    """p = 1 − e K / (K − 1): the probability that a pattern fires, from the accuracy with guessing when it does not. Below 0 by noise."""
    return np.asarray(1 - (1 - accuracy) * classes_count / (classes_count - 1))


def same(one: FloatArray, other: FloatArray, weights: FloatArray) -> bool:
    """Whether two predictions (S, T) are equal, but for rounding, at all steps that weigh anything: (T,)."""
    return bool(np.allclose(one[:, weights > 0], other[:, weights > 0], rtol=0, atol=_ROUNDING))


def floored(values: FloatArray, n: float) -> FloatArray:
    """Half a count instead of none, so that a ratio of rare errors has a logarithm."""
    return np.maximum(values, half_a_count(n))


def half_a_count(n: float) -> float:
    return 0.5 / n if math.isfinite(n) else 1e-4
