"""The training loop and the only scorer.

Everything random comes from named streams of the run's seed; global random state is left as it was. Measuring changes nothing:
a run that is measured often ends with the same weights, bit for bit, as one that is measured once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes import curves
from dominoes.dataset import Dominoes, Resident
from dominoes.deal import Deal
from dominoes.errors import DeviceError
from dominoes.models import MODELS
from dominoes.spec import KINDS, SIDES, Optimizer, RunSpec, TrainSpec, stream

# Small enough for the activations to stay in memory that the allocator keeps; larger batches are slower on a CPU.
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind.

    Attributes:
        curves: table of `curves.CURVES`.
        classes: table of `curves.CLASSES`.
        network: as it was after the last step.
        steps: steps taken.
        diverged: step of the measurement at which a loss was not finite any more, and training stopped; None if it went well.
        seconds: wall seconds by stage: `training`, `measuring`.
    """

    curves: pd.DataFrame
    classes: pd.DataFrame
    network: nn.Module
    steps: int
    diverged: int | None
    seconds: Mapping[str, float]


def device_of(name: str) -> torch.device:
    """The device called `auto` (the best there is), `cpu`, `cuda` or `mps`. Raises DeviceError where it is missing."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, usable in there.items() if usable))
    if not there.get(name, False):
        usable = ", ".join(device for device, found in there.items() if found)
        raise DeviceError(f"device {name} is not available here; usable are {usable}: pass --device auto")
    return torch.device(name)


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
        torch.manual_seed(stream(seed, "init"))
        return MODELS[TrainSpec(model=model).model](classes)


def train(
    spec: RunSpec,
    dominoes: Dominoes,
    probes: Mapping[str, Dominoes],
    *,
    device: torch.device | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Trained:
    """Train one network and measure it on the way.

    Args:
        spec: of the run; its dataset is not looked at, `dominoes` is what was dealt for it.
        dominoes: the training set.
        probes: by kind, the test sets to measure on.
        device: where to train; CPU if not given.
        threads: CPU threads. The numbers depend on it in the last digits.
        progress: called after each step with (step, last step).
    """
    how, device = spec.train, device or torch.device("cpu")
    with _threads(threads), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        network = initial(how.model, len(dominoes.classes), spec.seed).to(device)
        channels_last = device.type == "cpu" and getattr(network, "channels_last", False)
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
        resident = Resident(dominoes.deal, dominoes.sources, device)
        meter = Meter(spec, resident, dominoes.deal, probes, channels_last=channels_last)
        optimizer = _optimizer(network, how)
        order = torch.Generator().manual_seed(stream(spec.seed, "order"))
        count = len(dominoes)
        per_epoch = -(-count // how.batch)
        steps = per_epoch * how.epochs
        due = set(schedule(steps, how.measurements))
        seconds = {"training": 0.0, "measuring": 0.0}
        clock = _Clock(device, seconds)
        step = samples = 0
        finite = meter.measure(network, step, 0.0, samples)
        clock.stop("measuring")
        for _ in range(how.epochs if finite else 0):
            permutation = torch.randperm(count, generator=order).to(device)
            for rows in torch.split(permutation, how.batch):
                network.train()
                optimizer.zero_grad(set_to_none=True)
                batch = resident.compose(rows, channels_last=channels_last)
                nn.functional.cross_entropy(network(batch), resident.label.index_select(0, rows)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                step += 1
                samples += len(rows)
                progress(step, steps)
                if step in due:
                    clock.stop("training")
                    finite = meter.measure(network, step, step / per_epoch, samples)
                    clock.stop("measuring")
                    if not finite:
                        break
            if not finite:
                break
    return Trained(*meter.tables(), network, step, None if finite else step, seconds)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Wall seconds by stage. Measuring ends in a copy to the CPU, so the device is idle when a stage is stopped."""

    def __init__(self, device: torch.device, seconds: dict[str, float]):
        self._device, self._seconds, self._since = device, seconds, time.perf_counter()

    def stop(self, stage: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._seconds[stage] += now - self._since
        self._since = now


def _optimizer(network: nn.Module, how: TrainSpec) -> torch.optim.Optimizer:
    if how.optimizer is Optimizer.ADAM:
        return torch.optim.Adam(network.parameters(), lr=how.lr, betas=(how.momentum, 0.999), weight_decay=how.weight_decay)
    return torch.optim.SGD(network.parameters(), lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay)


@dataclass(frozen=True)
class _Group:
    """Dominoes that are measured as one: a kind of the train or test split."""

    split: str
    kind: str
    label: NDArray[np.int64]
    shown: Mapping[str, NDArray[np.int64]]


class Meter:
    """Measures a network on the probes and on a fixed sample of the training dominoes of each kind."""

    def __init__(self, spec: RunSpec, resident: Resident, table: Deal, probes: Mapping[str, Dominoes], *, channels_last: bool):
        self._spec, self._channels_last = spec, channels_last
        self._classes = len(next(iter(probes.values())).classes)
        self._curves: list[tuple[Any, ...]] = []
        self._by_class: list[tuple[Any, ...]] = []
        # For each split: where its pictures are, its distinct dominoes, and the groups as runs of numbers of distinct dominoes.
        self._parts = [
            (resident, *_distinct(table, rows), groups) for rows, groups in [_sample(table, spec.train.probe, spec.train.probe_seed)]
        ]
        joined = _join([probe.deal for probe in probes.values()])
        test = Resident(joined, next(iter(probes.values())).sources, resident.device)
        groups = [_Group("test", kind, probe.deal.label, probe.deal.shown) for kind, probe in probes.items()]
        self._parts.append((test, *_distinct(joined, np.arange(len(joined))), groups))

    def measure(self, network: nn.Module, step: int, epoch: float, samples: int) -> bool:
        """Add a row for each group and return True; or, if a loss is not finite, add none and return False."""
        curve_rows: list[tuple[Any, ...]] = []
        class_rows: list[tuple[Any, ...]] = []
        head = (self._spec.id, self._spec.seed, step, epoch, samples)
        for resident, rows, inverse, groups in self._parts:
            logits = _logits(network, resident, rows, channels_last=self._channels_last)[inverse]
            start = 0
            for group in groups:
                mine = logits[start : start + len(group.label)]
                start += len(group.label)
                loss = -torch.log_softmax(mine, 1).gather(1, torch.from_numpy(group.label)[:, None])[:, 0].numpy()
                answer = mine.argmax(1).numpy()
                correct = answer == group.label
                agree = [float(np.mean(answer == group.shown[side])) if group.shown[side][0] >= 0 else np.nan for side in SIDES]
                curve_rows.append((*head, group.split, group.kind, len(loss), float(loss.mean()), float(correct.mean()), *agree))
                if group.split == "test":
                    class_rows += _class_rows((self._spec.id, step, group.kind), group.label, loss, correct, self._classes)
        if not all(np.isfinite(row[8]) for row in curve_rows):
            return False
        self._curves += curve_rows
        self._by_class += class_rows
        return True

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables of `curves.csv` (ordered by split and kind, then step) and `classes.csv`."""
        found = pd.DataFrame(self._curves, columns=list(curves.CURVES))
        classes = pd.DataFrame(self._by_class, columns=list(curves.CLASSES))
        return found, classes


def _class_rows(
    head: tuple[Any, ...], label: NDArray[np.int64], loss: NDArray[np.float64], correct: NDArray[np.bool_], classes: int
) -> Iterator[tuple[Any, ...]]:
    counts = np.bincount(label, minlength=classes)
    losses, right = np.bincount(label, loss, classes), np.bincount(label, correct, classes)
    for number in np.flatnonzero(counts):
        yield (*head, int(number), int(counts[number]), losses[number] / counts[number], right[number] / counts[number])


def _sample(table: Deal, most: int, seed: int) -> tuple[NDArray[np.int64], list[_Group]]:
    """At most `most` training dominoes of each kind, fixed by the probe seed."""
    found, groups = [], []
    for kind in KINDS:
        rows = table.of_kind(kind)
        if len(rows):
            rng = np.random.Generator(np.random.PCG64(stream(seed, "sample", kind)))
            rows = np.sort(rng.permutation(rows)[:most])
            found.append(rows)
            groups.append(_Group("train", kind, table.label[rows], {side: table.shown[side][rows] for side in SIDES}))
    return np.concatenate(found), groups


def _join(tables: list[Deal]) -> Deal:
    return Deal(
        np.concatenate([table.label for table in tables]),
        {side: np.concatenate([table.index[side] for table in tables]) for side in SIDES},
        {side: np.concatenate([table.shown[side] for table in tables]) for side in SIDES},
    )


def _distinct(table: Deal, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
    """Of some rows those that differ in pictures (empty dominoes are all alike), and for each row its number among them."""
    pairs = np.stack([table.index[side][rows] for side in SIDES], axis=1)
    _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    return rows[first], torch.from_numpy(inverse.ravel())


@torch.inference_mode()
def _logits(network: nn.Module, resident: Resident, rows: NDArray[np.int64], *, channels_last: bool) -> Tensor:
    """Answers of the network in evaluation mode, rows × classes, float64 on the CPU."""
    network.eval()
    parts = torch.split(torch.from_numpy(rows).to(resident.device), _EVALUATION_BATCH)
    answers = [network(resident.compose(part, channels_last=channels_last)) for part in parts]
    return torch.cat(answers).cpu().double()
