"""Losses: what a step of training makes smaller. What is measured is cross-entropy and accuracy, whatever the loss.

A loss is a callable (logits, batch, **loss_args): N×K answers before the softmax, and a `Batch`; it gives one number, or one for each
domino, of which the mean is taken. Where the name is a class's, that is called once a run, with loss_args, and what it makes is called
with (logits, batch): so that a loss can have a state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from dominoes import registry
from dominoes.errors import RunError
from dominoes.spec import TrainSpec
from dominoes.training.batches import Batch

Loss = Callable[[Tensor, Batch], Tensor]


def cross_entropy(logits: Tensor, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats; with smoothing the share `label_smoothing` of the label is spread evenly over all classes."""
    return nn.functional.cross_entropy(logits, batch.label, label_smoothing=label_smoothing)


LOSSES: dict[str, Callable[..., Tensor]] = {"cross-entropy": cross_entropy}


def loss(how: TrainSpec) -> Loss:
    """The loss of a run, as a function (logits, batch) that gives one number. Raises RegistryError; the function RunError."""
    entry = registry.find("losses", how.loss)
    chosen: Any = entry.load()
    if inspect.isclass(chosen):
        registry.check_call(chosen, entry.said, (), how.loss_args)
        function: Any = chosen(**how.loss_args)
        registry.check_call(function, entry.said, ("logits", "batch"), {})
    else:
        registry.check_call(chosen, entry.said, ("logits", "batch"), how.loss_args)
        function = partial(chosen, **how.loss_args)

    def mean(logits: Tensor, batch: Batch) -> Tensor:
        found: Any = function(logits, batch)
        if not isinstance(found, Tensor) or found.shape not in ((), (len(logits),)):
            got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise RunError(f"{entry.said} gives {got} for {len(logits)} dominoes; expected one number, or one for each domino")
        return found.mean()

    return mean
