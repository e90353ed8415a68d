"""Measures of answers beside loss and accuracy: margins, and the area under the ROC curve for two classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_QUARTILES = {"margin lower quartile": 0.25, "margin median": 0.5, "margin upper quartile": 0.75}


def logit_margins(logits: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logit of each of N labels less the highest other one, of N×K with K > 1."""
    rows = np.arange(len(label))
    others = logits.copy()
    others[rows, label] = -np.inf
    found: NDArray[np.float64] = logits[rows, label] - others.max(axis=1)
    return found


def further(
    logits: NDArray[np.float64], label: NDArray[np.int64], margin: NDArray[np.float64] | None = None
) -> Iterator[tuple[str, float]]:
    """Name and value of each measure of one kind's dominoes.

    `margin` is the logit of the label less the highest other logit: its mean, and its quartiles (interpolated linearly). `auc`, where there
    are two classes, is the area under the ROC curve of the difference of the two logits, ties counted half (Mann-Whitney): the share of
    pairs of one domino of each class that the difference puts in order. It is left out where all dominoes have one label.

    Args:
        logits: N×K, finite.
        label: N classes.
        margin: their `logit_margins`, where these are known.
    """
    if logits.shape[1] > 1:
        margin = logit_margins(logits, label) if margin is None else margin
        yield "margin mean", float(margin.mean())
        for name, value in zip(_QUARTILES, np.quantile(margin, list(_QUARTILES.values())), strict=True):
            yield name, float(value)
    if logits.shape[1] == 2 and 0 < label.sum() < len(label):
        yield "auc", area_under_roc(logits[:, 1] - logits[:, 0], label == 1)


def area_under_roc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Share of (positive, negative) pairs in which the positive has the higher score, ties counted half.

    Both must occur. From the positives' ranks, after Mann and Whitney 1947.
    """
    from scipy.stats import rankdata

    many = int(positive.sum())
    above = float(rankdata(score)[positive].sum()) - many * (many + 1) / 2
    return above / (many * (len(positive) - many))
