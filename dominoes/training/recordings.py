"""Recorded steps that one run leaves to the next of its shape.

To record a graph a device must come to rest, and steps be rehearsed; a recording knows tensors by their addresses. So when a run has ended
its network, optimiser and tables stay where they are, and a run of equal shape puts its own content there and replays what is recorded: a
pack records as often as runs are at work at once, not as often as there are runs. Measurements are recorded by each run: how many
distinct halves its sample of training dominoes has follows from its deal.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import nn

from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import Resident
from dominoes.spec import SIDES, TrainSpec
from dominoes.training.device import Device
from dominoes.training.optimizers import Descent
from dominoes.training.steps import Step, cleared, replayed


@dataclass(eq=False)
class Stage:
    """What the steps of a run work on.

    Attributes:
        network: on the device.
        resident: its training dominoes.
        descent: its optimiser.
        take: makes a step with these.
    """

    network: nn.Module
    resident: Resident
    descent: Descent | torch.optim.Optimizer
    take: Step

    def become(self, other: Stage) -> None:
        """Take over what another has that has made no step yet, in place."""
        with torch.no_grad():
            for mine, its in zip(self.network.state_dict().values(), other.network.state_dict().values(), strict=True):
                mine.copy_(its)
        self.resident.become(other.resident)
        assert isinstance(self.descent, torch.optim.Optimizer)
        cleared(self.descent)


def shape(how: TrainSpec, dominoes: Dominoes, hardware: Device) -> Hashable:
    """What runs have in common whose steps are the same work on other content."""
    pictures = tuple(dominoes.sources[side].digest for side in SIDES)
    place = hardware.device, hardware.deterministic, hardware.precision
    return how, len(dominoes), len(dominoes.classes), dominoes.swap, pictures, place


class Recordings:
    """Stages with recorded steps that no run works on; of the last shape that was asked for alone, so that others' memory is free."""

    def __init__(self) -> None:
        self._free: list[Stage] = []
        self._shape: Hashable = None

    def recorded(self, new: Stage, shape: Hashable, batch: int, count: int, hardware: Device) -> Stage:
        """A stage with the content of a new one, whose steps on full batches are replayed (`steps.replayed`)."""
        if shape != self._shape:
            self.forget()
            self._shape = shape
        if self._free:
            stage = self._free.pop()
            stage.become(new)
            return stage
        assert isinstance(new.descent, torch.optim.Optimizer)
        new.take = replayed(new.take, new.network, new.descent, batch, count, hardware)
        return new

    def give_back(self, stage: Stage, shape: Hashable, hardware: Device) -> None:
        """Nobody works on a stage any more; what its device was told to do with it is waited for."""
        hardware.wait()
        if shape == self._shape:
            self._free.append(stage)

    def forget(self) -> None:
        """Let go of all that no run works on."""
        self._free.clear()
