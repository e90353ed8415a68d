"""The training loop, as turns that can alternate with those of other runs.

Everything random comes from named streams of the run's seed; global random state is left as it was. Measuring changes nothing:
a run that is measured often ends with the same weights, bit for bit, as one that is measured once. On CUDA nothing in a turn waits for
the device: steps are replayed as a graph, and what is measured is looked at in the next turn.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes.data import resident as residents
from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import Resident
from dominoes.spec import RunSpec, TrainSpec, stream
from dominoes.training.device import Device
from dominoes.training.models import MODELS
from dominoes.training.optimizers import Descent, make_optimizer
from dominoes.training.scorer import Scorer

# Steps after which a turn ends: enough to keep a device busy while other runs have theirs.
_TURN = 32
# Steps that are recorded as one, so that a device is told of them once.
_BLOCK = 8
# As PyTorch's documentation wants it before a graph is recorded: libraries choose algorithms and get their memory.
_REHEARSALS = 3

T = TypeVar("T")
Step = Callable[[Tensor], None]


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind.

    Attributes:
        curves: table of `tables.CURVES`.
        classes: table of `tables.CLASSES`.
        network: as it was after the last step.
        steps: steps taken.
        diverged: step of the measurement at which a loss was not finite any more, and training stopped; None if it went well.
        seconds: by stage (`training`, `measuring`), of the run's own turns; on CUDA as its stream saw them, beside those of other runs.
        confusion: what the probes were answered with in the last measurement (`scorer.Scorer.confusion`).
    """

    curves: pd.DataFrame
    classes: pd.DataFrame
    network: nn.Module
    steps: int
    diverged: int | None
    seconds: Mapping[str, float]
    confusion: NDArray[np.int64]


def schedule(steps: int, points: int) -> list[int]:
    """Steps at which everything is measured: 0, and the unique rounded points of a geometric grid from 1 to the last step, which is
    always among them."""
    # From so many points on, every step is on the grid.
    points = min(points, int(steps * (2 + np.log(steps))) + 2)
    grid = np.unique(np.rint(np.geomspace(1, steps, points)).astype(int)) if points > 1 else np.array([], dtype=int)
    return sorted({0, *grid.tolist(), steps})


def initial(model: str, classes: int, seed: int) -> nn.Module:
    """A new network whose weights follow from the seed; the global random state is put back."""
    with torch.random.fork_rng(devices=[]):
        # The CPU's generator alone: `torch.manual_seed` would set those of every device, and nobody put them back.
        torch.default_generator.manual_seed(stream(seed, "init"))
        return MODELS[TrainSpec(model=model).model](classes)


def train(
    spec: RunSpec,
    dominoes: Dominoes,
    probes: Mapping[str, Dominoes],
    *,
    device: torch.device | None = None,
    threads: int = 1,
    deterministic: bool = True,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Trained:
    """Train one network and measure it on the way.

    Args:
        spec: of the run; its dataset is not looked at, `dominoes` is what was dealt for it.
        dominoes: the training set.
        probes: by kind, the test sets to measure on.
        device: where to train; CPU if not given.
        threads: CPU threads. The numbers depend on it in the last digits.
        deterministic: on CUDA, use only algorithms that repeat themselves bit for bit.
        progress: called after each step with (step, last step); on CUDA the device may be behind.

    Raises DeviceError if CUDA cannot be deterministic in this process (`device.Device`).
    """
    lane = Device(device or torch.device("cpu"), spec.train.precision, deterministic=deterministic, threads=threads)
    return finish(turns(spec, dominoes, probes, lane, progress=progress))


def finish(work: Generator[None, None, T]) -> T:
    """Take all turns of some work, one after the other; its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def turns(
    spec: RunSpec,
    dominoes: Dominoes,
    probes: Mapping[str, Dominoes],
    lane: Device,
    *,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Generator[None, None, Trained]:
    """What `train` does, as a generator that yields after every turn: a few steps, or up to the next measurement."""
    how = spec.train
    count = len(dominoes)
    per_epoch = -(-count // how.batch)
    steps = per_epoch * how.epochs
    due = set(schedule(steps, how.measurements))
    seconds = {"training": 0.0, "measuring": 0.0}
    with lane.entered():
        network = initial(how.model, len(dominoes.classes), spec.seed).to(lane.device)
        channels_last = lane.device.type == "cpu" and getattr(network, "channels_last", False)
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
        resident = residents.resident(dominoes.deal, dominoes.sources, lane.device, swap=dominoes.swap)
        meter = Scorer(spec, resident, dominoes.deal, probes, channels_last=channels_last)
        optimizer = make_optimizer(network, how, lane)
        take = stepper(network, optimizer, resident, lane, channels_last=channels_last)
        ask: Callable[[], list[Tensor]] = partial(meter.answers, network)
        if lane.graphs:
            assert isinstance(optimizer, torch.optim.Optimizer)
            take = replayed(take, network, optimizer, how.batch, count, lane)
            ask()
            ask = lane.recorded(ask)
        batches = _batches(count, how, spec.seed, lane, due)
        clock = _Clock(lane, seconds)
        asked = [lane.download(answers) for answers in ask()]
        clock.mark("measuring")
    yield
    step = samples = 0
    clock.wait()
    finite = meter.score(asked, step, 0.0, samples)
    while finite and step < steps:
        with lane.entered():
            clock.start()
            network.train()
            end = step + _TURN
            while step < end:
                rows = next(batches)
                take(rows)
                step += -(-len(rows) // how.batch)
                samples += len(rows)
                progress(step, steps)
                if step in due:
                    break
            clock.mark("training")
            if step in due:
                asked = [lane.download(answers) for answers in ask()]
                clock.mark("measuring")
        yield
        if step in due:
            clock.wait()
            finite = meter.score(asked, step, step / per_epoch, samples)
    return Trained(*meter.tables(), network, step, None if finite else step, seconds, meter.confusion())


def stepper(
    network: nn.Module, optimizer: Descent | torch.optim.Optimizer, resident: Resident, lane: Device, *, channels_last: bool
) -> Step:
    """A function that makes one training step on the dominoes of some rows."""

    def take(rows: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        with lane.cast():
            answers = network(resident.compose(rows, channels_last=channels_last))
            loss = nn.functional.cross_entropy(answers, resident.label.index_select(0, rows))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return take


def replayed(take: Step, network: nn.Module, optimizer: torch.optim.Optimizer, batch: int, count: int, lane: Device) -> Step:
    """The same step, recorded for full batches, and for `_BLOCK` of them, one after the other, where there are so many dominoes: then only
    rows are brought to it. A shorter batch is taken as before.

    To be recorded a step must have been made before. Weights, statistics and the optimiser's state are put back after that, in place,
    because a recording knows tensors by their addresses; a momentum of zeros and one that is not there yet are the same.
    """
    batch = min(batch, count)
    rows = torch.zeros(batch, dtype=torch.int64, device=lane.device)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    with warnings.catch_warnings():
        # What Adam says of every first step that is not recorded, also of those that must not be.
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
        for _ in range(_REHEARSALS):
            take(rows)
    for name, value in network.state_dict().items():
        value.copy_(before[name])
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.zero_()

    def take_all(parts: tuple[Tensor, ...]) -> None:
        for part in parts:
            take(part)

    recordings = {}
    for size in {batch, _BLOCK * batch if _BLOCK * batch <= count else batch}:
        buffer = torch.zeros(size, dtype=torch.int64, device=lane.device)
        recordings[size] = buffer, lane.recorded(partial(take_all, torch.split(buffer, batch)))

    def step(mine: Tensor) -> None:
        if len(mine) not in recordings:
            take(mine)
            return
        buffer, replay = recordings[len(mine)]
        buffer.copy_(mine)
        replay()

    return step


def _batches(count: int, how: TrainSpec, seed: int, lane: Device, due: set[int]) -> Iterator[Tensor]:
    """Rows of each step, on the device; an epoch's order goes there at once.

    Where steps are recorded, those of `_BLOCK` steps at once if their batches are full and none but the last is due to be measured.
    """
    order = torch.Generator().manual_seed(stream(seed, "order"))
    step = 0
    for _ in range(how.epochs):
        rows = lane.upload(torch.randperm(count, generator=order))
        start = 0
        while start < count:
            full = lane.graphs and count - start >= _BLOCK * how.batch
            many = _BLOCK if full and due.isdisjoint(range(step + 1, step + _BLOCK)) else 1
            yield rows[start : start + many * how.batch]
            start += many * how.batch
            step += many


class _Clock:
    """Seconds by stage. On CUDA, which works on its own, they are told by events, and only `wait` waits for it."""

    def __init__(self, lane: Device, seconds: dict[str, float]):
        self._cuda, self._seconds = lane.cuda, seconds
        self._spans: list[tuple[str, Any, Any]] = []
        self.start()

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def start(self) -> None:
        """A turn begins."""
        self._since = self._now()

    def mark(self, stage: str) -> None:
        """What was done since the last mark, or the start of the turn, belongs to a stage."""
        now = self._now()
        self._spans.append((stage, self._since, now))
        self._since = now

    def wait(self) -> None:
        """Until the device has come to the last mark; then add up."""
        if self._cuda:
            self._since.synchronize()
        for stage, start, end in self._spans:
            self._seconds[stage] += start.elapsed_time(end) / 1000 if self._cuda else end - start
        self._spans.clear()
