"""The mathematics of evidence: accuracies, losses and shares of Gaussian evidence and of margins, and their inverses."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import log_ndtr, logsumexp

from dominoes.arrays import FloatArray

# Beyond d = 12 every answer is right to nine digits, and the loss below 1e-9.
_MOST_D, _POINTS = 12.0, 601


@cache
def _nodes(count: int = 96) -> tuple[FloatArray, FloatArray]:
    """Gauss–Hermite nodes and weights of the standard normal distribution."""
    x, w = np.polynomial.hermite_e.hermegauss(count)
    return x, w / w.sum()


def gaussian_accuracy(d: FloatArray, K: int) -> FloatArray:
    """P(the right one of K alternatives is largest), one with evidence N(d, 1) and K − 1 with N(0, 1): ∫ φ(x − d) Φ(x)^(K−1) dx.

    Green and Swets 1966; Hacker and Ratcliff 1979, Perception & Psychophysics 26, 168: M-alternative forced choice.
    """
    x, w = _nodes()
    return np.asarray(np.exp((K - 1) * log_ndtr(np.asarray(d)[..., None] + x)) @ w)


def gaussian_conflict(top: FloatArray, bottom: FloatArray, K: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shares answered with the top's class, the bottom's, neither, where two classes have evidence and K − 2 have none.

    Each side's evidence N(d y, I) enters with the weight d that makes the sum the log likelihood ratio. In units of the sum's standard
    deviation D = √(d_t² + d_b²) the top's class has mean d_t²/D, the bottom's d_b²/D, the others 0; the largest is the answer:
    P(top) = ∫ φ(x − d_t²/D) Φ(x − d_b²/D) Φ(x)^(K−2) dx.
    """
    x, w = _nodes()
    total = np.maximum(np.hypot(top, bottom), 1e-12)
    of_top, of_bottom = (np.asarray(each**2 / total)[..., None] for each in (top, bottom))
    first = np.exp(log_ndtr(of_top - of_bottom + x) + (K - 2) * log_ndtr(of_top + x)) @ w
    second = np.exp(log_ndtr(of_bottom - of_top + x) + (K - 2) * log_ndtr(of_bottom + x)) @ w
    return first, second, np.maximum(1 - first - second, 0.0)


@cache
def _tables(K: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """d on a grid with the accuracy and the loss at each."""
    grid = np.linspace(0, _MOST_D, _POINTS)
    return grid, gaussian_accuracy(grid, K), _gaussian_loss(grid, K)


def _gaussian_loss(d: FloatArray, K: int) -> FloatArray:
    """Cross-entropy in nats of the posterior softmax(d x) on evidence x ~ N(d y, I).

    The mean over 1,000 antithetic pairs of draws, the same for every d, so that the loss falls smoothly; relative error about 1 %.
    """
    draws = np.random.default_rng(0).standard_normal((1000, K))
    draws = np.concatenate([draws, -draws])
    found = np.empty(len(d))
    for place, each in enumerate(d):
        logits = each * draws
        logits[:, 0] += each * each
        found[place] = np.mean(logsumexp(logits, axis=1) - logits[:, 0])
    return found


def d_of_accuracy(accuracy: FloatArray, K: int) -> FloatArray:
    """d at which `gaussian_accuracy` is the accuracy; 0 at chance and below, at most 12."""
    grid, known, _ = _tables(K)
    return np.interp(accuracy, known, grid)


def d_of_loss(loss: FloatArray, K: int) -> FloatArray:
    """d at which the loss of the calibrated posterior is the loss; 0 at ln K and above, at most 12."""
    grid, _, known = _tables(K)
    return np.interp(-loss, -known, grid)


def loss_of_d(d: FloatArray, K: int) -> FloatArray:
    """Loss of the calibrated posterior at d."""
    grid, _, known = _tables(K)
    return np.interp(d, grid, known)


def margin_of_accuracy(accuracy: FloatArray, K: int, n: float) -> FloatArray:
    """m = ln[(K − 1) a / (1 − a)], with a kept half a picture of n away from 0 and 1, and m at least 0 (chance)."""
    kept = np.clip(accuracy, 0.5 / n, 1 - 0.5 / n)
    return np.asarray(np.maximum(np.log((K - 1) * kept / (1 - kept)), 0.0))


def accuracy_of_margin(margin: FloatArray, K: int) -> FloatArray:
    """a = 1 / (1 + (K − 1) e^(−m))."""
    return np.asarray(1 / (1 + (K - 1) * np.exp(-np.asarray(margin))))


def margin_conflict(top: FloatArray, bottom: FloatArray, K: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """softmax(m_t, m_b, 0 × (K − 2)): shares answered with the top's class, the bottom's, neither."""
    logits = np.stack([np.asarray(top), np.asarray(bottom), np.full(np.shape(top), np.log(K - 2) if K > 2 else -np.inf)])
    share = np.exp(logits - logsumexp(logits, axis=0))
    return share[0], share[1], share[2]
