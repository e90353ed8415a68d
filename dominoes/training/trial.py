"""A look, before anything is written, at whether a training can be had as it is asked for."""

from __future__ import annotations

import torch

from dominoes import registry
from dominoes.data import resident as residents
from dominoes.data.dominoes import Dominoes
from dominoes.errors import DominoesError, SpecError
from dominoes.spec import RunSpec, TrainSpec, stream
from dominoes.training.device import Device, NoiseStream
from dominoes.training.levels import Levels, kinds_of
from dominoes.training.models import chosen, initial
from dominoes.training.optimizers import is_short, make_optimizer
from dominoes.training.schedules import factors
from dominoes.training.steps import about, stepper

# Dominoes of the step that is tried.
_FEW = 4


def check_run(spec: RunSpec, dominoes: Dominoes) -> None:
    """Look at what a run asks of its dominoes, then `attempt_step`.

    Raises RegistryError, or SpecError.
    """
    how = spec.train
    steps = -(-len(dominoes) // how.batch) * how.epochs
    beyond = [step for step in sorted(how.checkpoint_steps) if step > steps]
    if beyond:
        raise SpecError(f"checkpoints {beyond[0]}: the run has {steps} steps; expected steps up to the last one")
    Levels(how, kinds_of(dominoes.deal))
    attempt_step(spec, dominoes)


def attempt_step(spec: RunSpec, dominoes: Dominoes) -> None:
    """Find all that the spec names, and where that is not all built in make one step with it, on a CPU, of a network that is then
    forgotten; any dominoes with its classes do.

    Raises RegistryError or SpecError if something cannot be had, or not with its arguments, or the step fails.
    """
    how = spec.train
    factors(how, 1000)
    if is_usual(how):
        return
    hardware, record = Device(torch.device("cpu")), chosen(how.model)
    with hardware.entered(), NoiseStream(stream(spec.seed, "trial"), hardware.device).entered():
        network = initial(how.model, len(dominoes.classes), spec.seed, how.model_args)
        descent = make_optimizer(network, how, hardware, static=record.static)
        resident = residents.resident(dominoes.deal, dominoes.sources, hardware.device, swap=dominoes.swap, scale=how.input)
        take = stepper(network, descent, resident, hardware, spec, about(dominoes, how, hardware.device), channels_last=False)
        try:
            take(torch.arange(min(_FEW, len(dominoes))))
        except DominoesError:
            raise
        except Exception as error:
            names = ", ".join(name for kind, name in how.named() if registry.find(kind, name).origin != registry.BUILT_IN)
            reason = " ".join(str(error).split())[:300]
            raise SpecError(f"a step of training{' with ' * bool(names)}{names} fails ({type(error).__name__}: {reason})") from error


def is_usual(how: TrainSpec) -> bool:
    """Whether it is made of built-in things with nothing that could fail."""
    brought = any(registry.find(kind, name).origin != registry.BUILT_IN for kind, name in how.named())
    return not (brought or how.model_args or how.loss_args or how.augment or not is_short(how))
