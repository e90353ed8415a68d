"""The prequential code length of labels: blocks, calibration, nats; and the table that a yardstick's measurements are kept in.

Blier and Ollivier 2018 (arXiv 1802.07044): a sender who trains a model on the labels sent so far, and codes the next block by it, needs
as many nats as there is to learn. Nothing here trains; networks are `simplicity`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from dominoes.arrays import FloatArray
from dominoes.errors import SpecError

# Pictures of a class in the first block, which is coded without a model.
_FIRST = 8
# Of what is known of the labels, the share that a model is calibrated on instead of trained on.
_HELD_OUT = 10


def block_ends(classes: int, n: int) -> list[int]:
    """Ends of the blocks: 8·K labels, then twice as many each time, up to n. Raises SpecError if n leaves no second block."""
    if n < 2 * _FIRST * classes:
        raise SpecError(f"n {n}: blocks of labels double from {_FIRST}·K = {_FIRST * classes}; expected at least {2 * _FIRST * classes}")
    ends = [_FIRST * classes]
    while ends[-1] * 2 <= n:
        ends.append(ends[-1] * 2)
    return ends if ends[-1] == n else [*ends, n]


def known(end: int) -> tuple[slice, slice]:
    """Of the first `end` labels, those that a model is trained on, and the last tenth, which it is calibrated on."""
    trained = end - max(end // _HELD_OUT, 1)
    return slice(0, trained), slice(trained, end)


def nats(logits: FloatArray, labels: NDArray[np.int64], temperature: float = 1.0) -> FloatArray:
    """Code lengths of N labels, −ln softmax(logits / temperature), from N×K logits."""
    return np.asarray(-log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels])


def temperature(logits: FloatArray, labels: NDArray[np.int64]) -> float:
    """The temperature at which these labels cost least, so that being sure of what is wrong is not counted as complexity.

    As few as eight labels would allow any temperature; ln T therefore has a standard normal prior, which weighs like one label.
    """

    def cost(log_temperature: float) -> float:
        return float(nats(logits, labels, math.exp(log_temperature)).sum()) + log_temperature**2 / 2

    return math.exp(float(minimize_scalar(cost, bounds=(-3, 8), method="bounded", options={"xatol": 1e-4}).x))


def hedged(costs: FloatArray, classes: int) -> float:
    """Nats of a whole block, by an even mixture of the model, at these costs a label, and of the uniform code.

    It costs at most ln 2 more than the better of the two; a model that has learned nothing, but was
    calibrated on too few labels to show it, cannot cost more than ln K a label and ln 2 a block.
    """
    return float(math.log(2) - np.logaddexp(-costs.sum(), -len(costs) * math.log(classes)))


def per_label(ends: Sequence[int], classes: int, costs: Sequence[float]) -> float:
    """Nats per label of the whole code: the first block uniform, each further one at its mean cost."""
    sizes = np.diff([0, *ends])
    return float(sizes @ np.array([math.log(classes), *costs])) / ends[-1]
