"""The training loop, as turns that can alternate with those of other runs.

Everything random comes from named streams of the run's seed; global random state is left as it was. Measuring changes nothing:
a run that is measured often ends with the same weights, bit for bit, as one that is measured once. On CUDA nothing in a turn waits for
the device: steps are replayed as a graph, and what is measured is looked at in the next turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes import registry, tables
from dominoes.data import measuring
from dominoes.data import resident as residents
from dominoes.data.dominoes import Dominoes
from dominoes.errors import RunError
from dominoes.spec import Decode, RunSpec, stream
from dominoes.training.decoding import Decoder
from dominoes.training.device import Device, NoiseStream
from dominoes.training.levels import LOOKS, Level, Levels, kinds_of
from dominoes.training.models import chosen, initial
from dominoes.training.optimizers import is_short, make_optimizer
from dominoes.training.scorer import Scorer
from dominoes.training.steps import (
    TRAINING_VERSION,
    Recordings,
    Stage,
    about,
    rate_setter,
    recorded_shape,
    row_batches,
    stepper,
    takes_halves,
)

# Steps after which a turn ends: enough to keep a device busy while other runs have theirs.
_TURN = 32

T = TypeVar("T")
#: Called at each checkpoint with the step and the network, which it must leave as it is.
Keep = Callable[[int, nn.Module], None]
#: Called at each measurement with the step, a copy of the network in evaluation mode, and the rows of curves.csv of that step.
Callback = Callable[[int, nn.Module, Sequence[Mapping[str, Any]]], None]


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
        levels: of the train loss that were asked for and met.
        joint: table of `tables.JOINT`.
        measures: table of `tables.MEASURES`.
        measuring: how it was measured (`data.measuring.told`).
        training: how it was trained: `version` of the numbers (`steps.TRAINING_VERSION`) and `halves`, whether blank halves were
            computed once a batch.
        stacked: with how many runs, itself included, it was one batched network (`stacked`); 0: it had its own.
    """

    curves: pd.DataFrame
    classes: pd.DataFrame
    network: nn.Module
    steps: int
    diverged: int | None
    seconds: Mapping[str, float]
    confusion: NDArray[np.int64]
    levels: tuple[Level, ...] = ()
    joint: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(tables.JOINT)))
    measures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(tables.MEASURES)))
    measuring: Mapping[str, int | bool] = field(default_factory=dict)
    training: Mapping[str, int | bool] = field(default_factory=lambda: {"version": TRAINING_VERSION, "halves": False})
    stacked: int = 0


def schedule(steps: int, points: int) -> list[int]:
    """Steps at which everything is measured: 0, and the unique rounded points of a geometric grid from 1 to the last step, which is
    always among them."""
    # From so many points on, every step is on the grid.
    points = min(points, int(steps * (2 + np.log(steps))) + 2)
    grid = np.unique(np.rint(np.geomspace(1, steps, points)).astype(int)) if points > 1 else np.array([], dtype=int)
    return sorted({0, *grid.tolist(), steps})


def train(
    spec: RunSpec,
    dominoes: Dominoes,
    probes: Mapping[str, Dominoes],
    *,
    device: torch.device | None = None,
    threads: int = 1,
    deterministic: bool = True,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    keep: Keep | None = None,
    callbacks: Sequence[Callback] = (),
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
        keep: called at each checkpoint (`TrainSpec.checkpoints`).
        callbacks: called at each measurement. Whatever they do to what they are given, or to PyTorch's random state, training goes on as
            it would without them.

    Raises:
        RegistryError, SpecError: something that the spec names cannot be had, or does not do what it must (`trial.check_run`).
        DeviceError: CUDA cannot be deterministic in this process (`device.Device`).
    """
    hardware = Device(device or torch.device("cpu"), spec.train.precision, deterministic=deterministic, threads=threads)
    return finish(train_by_turns(spec, dominoes, probes, hardware, progress=progress, keep=keep, callbacks=callbacks))


def finish(work: Generator[None, None, T]) -> T:
    """Take all turns of some work, one after the other; its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def train_by_turns(
    spec: RunSpec,
    dominoes: Dominoes,
    probes: Mapping[str, Dominoes],
    hardware: Device,
    *,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    keep: Keep | None = None,
    callbacks: Sequence[Callback] = (),
    recordings: Recordings | None = None,
) -> Generator[None, None, Trained]:
    """What `train` does, as a generator that yields after every turn: a few steps, or up to the next measurement.

    `recordings` are recorded steps of runs before, which are used where they fit and left to others in the end.
    """
    how = spec.train
    count = len(dominoes)
    per_epoch = -(-count // how.batch)
    steps = per_epoch * how.epochs
    points = measuring.grid_points(how, count)
    due = set(schedule(steps, points)) | {step for step in how.checkpoint_steps if step <= steps}
    levels = Levels(how, kinds_of(dominoes.deal))
    looks = set(schedule(steps, LOOKS * points)) if levels.asked else set()
    seconds = {"training": 0.0, "measuring": 0.0}
    record = chosen(how.model)
    noise = None if record.static else NoiseStream(stream(spec.seed, "noise"), hardware.device)

    def aside() -> AbstractContextManager[None]:
        # What is drawn outside of training, always the same, is nothing to training.
        return nullcontext() if record.static and not callbacks else NoiseStream(stream(spec.seed, "measuring"), hardware.device).entered()

    with hardware.entered():
        network = initial(how.model, len(dominoes.classes), spec.seed, how.model_args).to(hardware.device)
        channels_last = record.channels_last and hardware.device.type == "cpu"
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
        resident = residents.resident(dominoes.deal, dominoes.sources, hardware.device, swap=dominoes.swap, scale=how.input)
        descent = make_optimizer(network, how, hardware, static=record.static)
        rate = rate_setter(descent, how, steps)
        by_halves = takes_halves(record, how, dominoes.deal, hardware)
        told = about(dominoes, how, hardware.device)
        take = stepper(network, descent, resident, hardware, spec, told, channels_last=channels_last, by_halves=by_halves)
        stage, shape = Stage(network, resident, descent, take), recorded_shape(how, dominoes, hardware)
        graphs = hardware.graphs and record.static and rate is None and is_short(how) and how.loss == "cross-entropy" and not how.augment
        if graphs:
            stage = (recordings or Recordings()).recorded(stage, shape, how.batch, count, hardware)
            network, take = stage.network, stage.take
        meter = Scorer(spec, stage.resident, dominoes.deal, probes, record)
        decoder = None
        if how.decode is not Decode.NONE and "both" in probes:
            decoder = Decoder(how, dominoes, probes["both"], hardware.device, channels_last=channels_last)
        ask: Callable[[], Tensor] = partial(meter.judge, network)
        if graphs:
            ask()
            ask = hardware.recorded(ask)
        batches = row_batches(count, how, spec.seed, hardware, due | looks, graphs)
        clock = _Clock(hardware, seconds)

    def decoded(step: int) -> None:
        if decoder is not None:
            with hardware.entered(), aside():
                clock.start()
                meter.add(step, decoder.measure(network))
                clock.mark("measuring")
            clock.wait()

    def measured(step: int, samples: int) -> Generator[None, None, bool]:
        """Look at the network after a step that is due, or may be: false if a loss was not finite."""
        whole = step in due
        with hardware.entered(), aside():
            judged = hardware.download(ask() if whole else meter.judge(network, train_only=True))
            clock.mark("measuring")
        yield
        clock.wait()
        if levels.asked and levels.look(step, meter.train_losses(judged)) and not whole:
            whole = True
            with hardware.entered(), aside():
                clock.start()
                judged = hardware.download(ask())
                clock.mark("measuring")
            yield
            clock.wait()
        if not whole:
            return True
        if not meter.score(judged, step, step / per_epoch, samples):
            return False
        if how.decode is Decode.MEASUREMENTS:
            decoded(step)
        if keep is not None and (how.checkpoints == "measurements" or step in how.checkpoint_steps):
            keep(step, network)
        for each in callbacks:
            with hardware.entered(), aside():
                _call(each, step, network, meter.rows(step))
        return True

    finite = yield from measured(0, 0)
    step = samples = 0
    while finite and step < steps and not levels.over:
        with hardware.entered(), noise.entered() if noise else nullcontext():
            clock.start()
            network.train()
            end = step + _TURN
            while step < end:
                rows = next(batches)
                if rate is not None:
                    rate(step)
                take(rows)
                step += -(-len(rows) // how.batch)
                samples += len(rows)
                progress(step, steps)
                if step in due or step in looks:
                    break
            clock.mark("training")
        if step in due or step in looks:
            finite = yield from measured(step, samples)
        else:
            yield
    if how.decode is Decode.LAST and finite:
        decoded(step)
    if keep is not None and how.checkpoints == "last" and finite:
        keep(step, network)
    if graphs and recordings is not None:
        with hardware.entered():
            network = deepcopy(network)
        recordings.give_back(stage, shape, hardware)
    return Trained(
        *meter.tables(),
        network,
        step,
        None if finite else step,
        seconds,
        meter.confusion(),
        tuple(levels.met),
        meter.joint(),
        meter.measures(),
        measuring.told(how, count, halves=record.halves),
        {"version": TRAINING_VERSION, "halves": by_halves},
    )


def callback(name: str) -> Callback:
    """The callback of a name. Raises RegistryError."""
    entry = registry.find("callbacks", name)
    found: Callback = entry.load()
    registry.check_call(found, entry.said, ("step", "network", "rows"), {})
    return found


def _call(callback: Callback, step: int, network: nn.Module, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        callback(step, deepcopy(network).eval(), rows)
    except Exception as error:
        name = getattr(callback, "__qualname__", type(callback).__qualname__)
        raise RunError(f"callback {name} fails at step {step} ({type(error).__name__}: {' '.join(str(error).split())[:300]})") from error


class _Clock:
    """Seconds by stage. On CUDA, which works on its own, they are told by events, and only `wait` waits for it."""

    def __init__(self, hardware: Device, seconds: dict[str, float]):
        self._cuda, self._seconds = hardware.cuda, seconds
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
