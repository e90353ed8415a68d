"""Steps of training: which dominoes each has, what it does, at which rate; and how a device repeats them by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dominoes.data.dealing import Deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import SCALES, Resident
from dominoes.spec import SIDES, Precision, RunSpec, TrainSpec, stream
from dominoes.training import halves
from dominoes.training.augmentations import augmentation
from dominoes.training.batches import Batches
from dominoes.training.device import Device
from dominoes.training.losses import loss
from dominoes.training.models import Network
from dominoes.training.optimizers import Descent
from dominoes.training.schedules import factors

# Steps that are recorded as one, so that a device is told of them once.
_BLOCK = 8
# As PyTorch's documentation wants it before a graph is recorded: libraries choose algorithms and get their memory.
_REHEARSALS = 3

# Share of all halves. With none blank a detector's step takes a tenth longer by halves, with a fifth blank as long.
_ENOUGH_BLANK = 0.2
#: Of the numbers that training gives. 1: whole pictures, a few at a time (environment.json names no version). 2: on a CPU `detector`'s
#: convolution takes more at a time, and blank halves of a batch are computed once (`takes_halves`).
TRAINING_VERSION = 2

Step = Callable[[Tensor], None]


def stepper(
    network: nn.Module,
    descent: Descent | torch.optim.Optimizer,
    resident: Resident,
    hardware: Device,
    spec: RunSpec,
    told: Batches | None,
    *,
    channels_last: bool,
    by_halves: bool = False,
) -> Step:
    """A function that makes one training step on the dominoes of some rows; `told` is what a loss other than plain cross-entropy and
    augmentations are told of them; with `by_halves` the network is given distinct halves (`takes_halves`)."""
    how = spec.train
    change = augmentation(how, spec.seed, hardware.device)
    penalty = loss(how)

    def value(rows: Tensor) -> Tensor:
        if by_halves:
            pair = [halves.distinct(resident, rows, place, channels_last=channels_last) for place in (halves.UPPER, halves.LOWER)]
            answers = cast(halves.ByDistinctHalves, network).of_distinct(*pair)
            return nn.functional.cross_entropy(answers, resident.label.index_select(0, rows))
        pictures = resident.compose(rows, channels_last=channels_last)
        if told is None:
            return nn.functional.cross_entropy(network(pictures), resident.label.index_select(0, rows))
        batch = told.of(rows)
        return penalty(network(pictures if change is None else change(pictures, batch)), batch)

    def take(rows: Tensor) -> None:
        descent.zero_grad(set_to_none=True)
        with hardware.cast():
            found = value(rows)
        found.backward()  # type: ignore[no-untyped-call]
        if how.clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), how.clip)
        descent.step()

    return take


def replayed(take: Step, network: nn.Module, optimizer: torch.optim.Optimizer, batch: int, count: int, hardware: Device) -> Step:
    """The same step, recorded for full batches, and for `_BLOCK` of them, one after the other, where there are so many dominoes: then only
    rows are brought to it. A shorter batch is taken as before.

    To be recorded a step must have been made before. Weights, statistics and the optimiser's state are put back after that, in place,
    because a recording knows tensors by their addresses.
    """
    batch = min(batch, count)
    rows = torch.zeros(batch, dtype=torch.int64, device=hardware.device)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    with warnings.catch_warnings():
        # What Adam says of every first step that is not recorded, also of those that must not be.
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
        for _ in range(_REHEARSALS):
            take(rows)
    for name, value in network.state_dict().items():
        value.copy_(before[name])
    cleared(optimizer)

    def take_all(parts: tuple[Tensor, ...]) -> None:
        for part in parts:
            take(part)

    recordings = {}
    for size in {batch, _BLOCK * batch if _BLOCK * batch <= count else batch}:
        buffer = torch.zeros(size, dtype=torch.int64, device=hardware.device)
        recordings[size] = buffer, hardware.recorded(partial(take_all, torch.split(buffer, batch)))

    def step(mine: Tensor) -> None:
        if len(mine) not in recordings:
            take(mine)
            return
        buffer, replay = recordings[len(mine)]
        buffer.copy_(mine)
        replay()

    return step


def cleared(optimizer: torch.optim.Optimizer) -> None:
    """Put an optimiser's state back to what it was before the first step, in place; a momentum of zeros is none."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.zero_()


def row_batches(count: int, how: TrainSpec, seed: int, hardware: Device, due: set[int], graphs: bool) -> Iterator[Tensor]:
    """Rows of each step, on the device; an epoch's order goes there at once.

    Where steps are recorded (`graphs`), those of `_BLOCK` steps at once if their batches are full and none but the last is to be measured.
    """
    order = torch.Generator().manual_seed(stream(seed, "order"))
    step = 0
    for _ in range(how.epochs):
        rows = hardware.upload(torch.randperm(count, generator=order))
        start = 0
        while start < count:
            full = graphs and count - start >= _BLOCK * how.batch
            many = _BLOCK if full and due.isdisjoint(range(step + 1, step + _BLOCK)) else 1
            yield rows[start : start + many * how.batch]
            start += many * how.batch
            step += many


def takes_halves(record: Network, how: TrainSpec, table: Deal, hardware: Device) -> bool:
    """Whether the steps of a run on some dominoes compute the blank halves of a batch once: where enough halves are blank to be worth it,
    on a CPU in float32, with plain cross-entropy of dominoes as they are. Elsewhere a step must be the same work for every batch, looks
    at whole pictures, or rounds too much what is added up."""
    blank = float(np.mean([table.index[side] < 0 for side in SIDES]))
    exact = hardware.device.type == "cpu" and not hardware.graphs and hardware.precision is Precision.FLOAT32
    return record.distinct and blank >= _ENOUGH_BLANK and _is_plain(how) and exact


def _is_plain(how: TrainSpec) -> bool:
    return how.loss == "cross-entropy" and not how.loss_args and not how.augment


def about(dominoes: Dominoes, how: TrainSpec, device: torch.device) -> Batches | None:
    """What a loss and augmentations are told; None where plain cross-entropy needs nothing but labels."""
    if _is_plain(how):
        return None
    mean, std = SCALES[how.input]
    return Batches(dominoes.deal, device, swap=dominoes.swap, blank=-mean / std)


def rate_setter(descent: Descent | torch.optim.Optimizer, how: TrainSpec, steps: int) -> Callable[[int], None] | None:
    """A function that sets the learning rate for the step after so many others; None where it never changes."""
    if how.schedule == "constant" and not how.warmup:
        return None
    factor = factors(how, steps)
    if isinstance(descent, Descent):

        def scale(step: int) -> None:
            descent.factor = factor(step)

        return scale
    # Groups may have rates of their own.
    rates = [float(group["lr"]) for group in descent.param_groups]

    def scale_all(step: int) -> None:
        for group, rate in zip(descent.param_groups, rates, strict=True):
            group["lr"] = rate * factor(step)

    return scale_all


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


def recorded_shape(how: TrainSpec, dominoes: Dominoes, hardware: Device) -> Hashable:
    """What runs have in common whose steps are the same work on other content."""
    pictures = tuple(dominoes.sources[side].digest for side in SIDES)
    place = hardware.device, hardware.deterministic, hardware.precision
    return how, len(dominoes), len(dominoes.classes), dominoes.swap, pictures, place


class Recordings:
    """Stages with recorded steps that no run works on, which one run leaves to the next of its shape.

    To record a graph a device must come to rest, and steps be rehearsed; a recording knows tensors by their addresses. So when a run has
    ended its network, optimiser and tables stay where they are, and a run of equal shape puts its own content there and replays what is
    recorded: a pack records as often as runs are at work at once, not as often as there are runs. Measurements are recorded by each run:
    how many distinct halves its sample of training dominoes has follows from its deal. Only stages of the last shape that was asked for
    are kept, so that others' memory is free.
    """

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
