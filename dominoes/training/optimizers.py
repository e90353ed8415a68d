"""Steps of gradient descent on a CPU, by PyTorch's own functions but without its optimiser classes.

`torch.optim.SGD` and `Adam` load PyTorch's compiler when the first is made: a second and 140 MB that nothing here needs. The numbers
are theirs, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from dominoes.spec import Optimizer, TrainSpec
from dominoes.training.device import Device


class Descent:
    """Gradient descent as a training spec describes it; steps and state are those of `torch.optim.SGD` or `torch.optim.Adam`."""

    def __init__(self, parameters: Iterable[nn.Parameter], how: TrainSpec):
        self._parameters = list(parameters)
        self._how = how
        self._momentum: list[torch.Tensor | None] = [None] * len(self._parameters)
        if how.optimizer is Optimizer.ADAM:
            self._first, self._second = ([torch.zeros_like(each) for each in self._parameters] for _ in range(2))
            self._steps = [torch.tensor(0.0) for _ in self._parameters]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; to fill them with zeros instead would only cost a pass over memory."""
        for each in self._parameters:
            each.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by their gradients, which all must be there."""
        how = self._how
        gradients = [each.grad for each in self._parameters if each.grad is not None]
        parameters: list[torch.Tensor] = list(self._parameters)
        if how.optimizer is Optimizer.ADAM:
            adam(
                parameters,
                gradients,
                self._first,
                self._second,
                [],
                self._steps,
                foreach=False,
                amsgrad=False,
                beta1=how.momentum,
                beta2=0.999,
                lr=how.lr,
                weight_decay=how.weight_decay,
                eps=1e-8,
                maximize=False,
            )
        else:
            sgd(
                parameters,
                gradients,
                self._momentum,
                foreach=False,
                weight_decay=how.weight_decay,
                momentum=how.momentum,
                lr=how.lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


def make_optimizer(network: nn.Module, how: TrainSpec, lane: Device) -> Descent | torch.optim.Optimizer:
    if lane.device.type == "cpu" and not lane.graphs:
        return Descent(network.parameters(), how)
    # One kernel for all weights where there are graphs; elsewhere what PyTorch takes by itself.
    fused = True if lane.cuda else None
    if how.optimizer is Optimizer.ADAM:
        return torch.optim.Adam(
            network.parameters(),
            lr=how.lr,
            betas=(how.momentum, 0.999),
            weight_decay=how.weight_decay,
            fused=fused,
            capturable=lane.cuda and lane.graphs,
        )
    return torch.optim.SGD(network.parameters(), lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay, fused=fused)
