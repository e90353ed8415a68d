"""Optimisers: those of `torch.optim` by name, any other by reference, and the two usual ones in a short form for a CPU.

An optimiser is brought as a callable (parameters, lr=..., **optimizer_args) that gives a `torch.optim.Optimizer` whose `step` needs no
closure. It is also given the spec's weight_decay and momentum if its signature has them by these names, and the momentum as the first of
its `betas`. Parameter groups are brought as a callable (network) that gives what such an optimiser takes as its parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from dominoes import registry
from dominoes.errors import SpecError
from dominoes.spec import TrainSpec
from dominoes.training.device import Device

# Those that need nothing but gradients: no closure, no sparse layers.
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    each.__name__.lower(): each
    for each in (
        *(torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adadelta, torch.optim.Adafactor, torch.optim.Adagrad),
        *(torch.optim.Adamax, torch.optim.ASGD, torch.optim.Muon, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop),
        torch.optim.Rprop,
    )
}


class Descent:
    """Gradient descent as a training spec describes it; steps and state are those of `torch.optim.SGD` or `torch.optim.Adam`, bit for bit.

    These load PyTorch's compiler when the first is made: a second and 140 MB that nothing here needs.

    Attributes:
        factor: of the learning rate, for the next step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], how: TrainSpec):
        self._parameters = list(parameters)
        self._how = how
        self.factor = 1.0
        self._momentum: list[torch.Tensor | None] = [None] * len(self._parameters)
        if how.optimizer == "adam":
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
        if how.optimizer == "adam":
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
                lr=how.lr * self.factor,
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
                lr=how.lr * self.factor,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )


def is_short(how: TrainSpec) -> bool:
    """Whether it is one of the two optimisers, all parameters alike, that have short forms and may be recorded."""
    return how.optimizer in ("sgd", "adam") and not how.optimizer_args and how.parameter_groups is None


def make_optimizer(network: nn.Module, how: TrainSpec, hardware: Device, *, static: bool) -> Descent | torch.optim.Optimizer:
    """The optimiser of a network.

    Args:
        network: on its device.
        how: which, and with what.
        hardware: where its steps are made.
        static: whether the network is (`models.Network`).

    Raises RegistryError, or SpecError if it cannot be made with its arguments.
    """
    if not (static and is_short(how)):
        return _any(network, how)
    if hardware.device.type == "cpu" and not hardware.graphs:
        return Descent(network.parameters(), how)
    # One kernel for all weights where there are graphs; elsewhere what PyTorch takes by itself.
    fused = True if hardware.cuda else None
    if how.optimizer == "adam":
        return torch.optim.Adam(
            network.parameters(),
            lr=how.lr,
            betas=(how.momentum, 0.999),
            weight_decay=how.weight_decay,
            fused=fused,
            capturable=hardware.cuda and hardware.graphs,
        )
    return torch.optim.SGD(network.parameters(), lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay, fused=fused)


def _any(network: nn.Module, how: TrainSpec) -> torch.optim.Optimizer:
    entry = registry.find("optimizers", how.optimizer)
    make = entry.load()
    known = inspect.signature(make).parameters if callable(make) else {}
    given: dict[str, Any] = {"lr": how.lr}
    given |= {"weight_decay": how.weight_decay} if "weight_decay" in known else {}
    given |= {"momentum": how.momentum} if "momentum" in known else {}
    betas = known["betas"].default if "betas" in known else None
    given |= {"betas": (how.momentum, *betas[1:])} if isinstance(betas, tuple) else {}
    given |= how.optimizer_args
    registry.check_call(make, entry.said, ("parameters",), given)
    try:
        found = make(_parameters(network, how), **given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SpecError(f"{entry.said} cannot be made with {given} ({' '.join(str(error).split())[:300]})") from error
    if not isinstance(found, torch.optim.Optimizer):
        raise SpecError(f"{entry.said} makes {type(found).__name__}; expected a torch.optim.Optimizer")
    return found


def _parameters(network: nn.Module, how: TrainSpec) -> Any:
    if how.parameter_groups is None:
        return [each for each in network.parameters() if each.requires_grad]
    entry = registry.find("parameter_groups", how.parameter_groups)
    make = entry.load()
    registry.check_call(make, entry.said, ("network",), {})
    return make(network)
