"""Measures of answers beside loss and accuracy: margins, and the area under the ROC curve for two classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_QUARTILES = {"margin lower quartile": 0.25, "margin median": 0.5, "margin upper quartile": 0.75}


def logit_margins(logits: Tensor, label: Tensor) -> Tensor:
    """The logit of each of N labels less the highest other one, of N×K on any device; with one class the logit."""
    own = label[:, None] == torch.arange(logits.shape[1], device=logits.device)
    found = logits.gather(1, label[:, None])[:, 0]
    return found if logits.shape[1] == 1 else found - logits.masked_fill(own, -torch.inf).amax(1)


def further(margin: NDArray[np.float64], label: NDArray[np.int64], classes: int) -> Iterator[tuple[str, float]]:
    """Name and value of each measure of one kind's dominoes.

    `margin` is the logit of the label less the highest other logit: its mean, and its quartiles (interpolated linearly). `auc`, where there
    are two classes, is the area under the ROC curve of the difference of the two logits, ties counted half (Mann-Whitney): the share of
    pairs of one domino of each class that the difference puts in order. It is left out where all dominoes have one label.

    Args:
        margin: N `logit_margins`, finite; nothing is said of them where there is one class.
        label: N classes.
        classes: how many there are.
    """
    if classes > 1:
        yield "margin mean", float(margin.mean())
        for name, value in zip(_QUARTILES, np.quantile(margin, list(_QUARTILES.values())), strict=True):
            yield name, float(value)
    if classes == 2 and 0 < label.sum() < len(label):
        # Of two classes the margin is the difference of the logits, or its negative.
        yield "auc", area_under_roc(np.where(label == 1, margin, -margin), label == 1)


def area_under_roc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Share of (positive, negative) pairs in which the positive has the higher score, ties counted half.

    Both must occur. From the positives' ranks, after Mann and Whitney 1947.
    """
    from scipy.stats import rankdata

    many = int(positive.sum())
    above = float(rankdata(score)[positive].sum()) - many * (many + 1) / 2
    return above / (many * (len(positive) - many))
