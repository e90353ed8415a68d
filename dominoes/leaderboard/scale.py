"""The scales on which curves are compared: the logit of a share, the logarithm of a loss."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logit

from dominoes.arrays import FloatArray

# What is asked of each kind of probe; all but the losses are shares of the probe's answers.
SCALED_METRICS = {
    "top": ("accuracy", "loss"),
    "bottom": ("accuracy", "loss"),
    "both": ("accuracy", "loss"),
    "conflict": ("agree_top", "agree_bottom", "neither"),
    "empty": ("accuracy",),
}
# A loss of nothing has no logarithm; a thousandth of a nat is below what a few hundred pictures resolve.
LEAST_LOSS = 1e-3


def forward(metric: str, values: FloatArray, n: float) -> FloatArray:
    """A curve on the scale on which it is scored: logit of (n a + ½) / (n + 1) for a share a of n pictures, log of a loss in nats.

    Half a count keeps the logit of 0 and 1 finite. `n` that is not known (NaN) counts as 1,000.
    """
    if metric == "loss":
        return np.asarray(np.log(np.maximum(values, LEAST_LOSS)))
    count = n if math.isfinite(n) else 1000.0
    return np.asarray(logit((np.clip(values, 0.0, 1.0) * count + 0.5) / (count + 1)))


def backward(metric: str, values: FloatArray) -> FloatArray:
    """The share or loss at a point of its scale (without the half count, which vanishes with n)."""
    return np.asarray(np.exp(values) if metric == "loss" else expit(values))


def slope(metric: str, values: FloatArray, n: float) -> FloatArray:
    """Derivative of `forward` at `values`, by which a standard error is carried to the scale."""
    if metric == "loss":
        return np.asarray(1 / np.maximum(values, LEAST_LOSS))
    count = n if math.isfinite(n) else 1000.0
    share = (np.clip(values, 0.0, 1.0) * count + 0.5) / (count + 1)
    return np.asarray(count / (count + 1) / (share * (1 - share)))
