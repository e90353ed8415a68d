"""The training loop.

Everything random comes from named streams of the run's seed; global random state is left as it was. Measuring changes nothing:
a run that is measured often ends with the same weights, bit for bit, as one that is measured once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from dominoes.dataset import Dominoes, Resident
from dominoes.errors import DeviceError
from dominoes.measuring import Meter
from dominoes.models import MODELS
from dominoes.spec import Optimizer, RunSpec, TrainSpec, stream


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
        confusion: what the probes were answered with in the last measurement (`measuring.Meter.confusion`).
    """

    curves: pd.DataFrame
    classes: pd.DataFrame
    network: nn.Module
    steps: int
    diverged: int | None
    seconds: Mapping[str, float]
    confusion: NDArray[np.int64]


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
    return Trained(*meter.tables(), network, step, None if finite else step, seconds, meter.confusion())


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
