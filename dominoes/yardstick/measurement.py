"""The yardstick: how simple one side alone is to a network, in numbers that know nothing of dominoes' counts.

For dominoes that show only this side: the prequential code length of their labels (`code_length`), the samples until half and 90 % of the
ceiling are reached, the ceiling, and how much of it a linear model reaches. Network, optimiser and schedule are those of a run.

What bounds the work: each block's model is trained from scratch for the run's epochs over what it knows, or for `FEWEST_STEPS` steps where
that is more (a few passes over eighty pictures teach nothing); one model a block and seed, one network, as long, for the solo curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dominoes import dials
from dominoes.data import sources
from dominoes.data.dominoes import Dominoes
from dominoes.data.sources import Source
from dominoes.errors import RunError, SpecError
from dominoes.spec import SIDES, RunSpec, Split, TrainSpec
from dominoes.tables import ALL, SIMPLICITY, UNREACHED
from dominoes.theory.intervals import Interval
from dominoes.theory.verdicts import Options
from dominoes.training.device import device_of
from dominoes.yardstick import code_length
from dominoes.yardstick.one_side import coded, epochs, learning_times, linear, probe, solo, steps_of
from dominoes.yardstick.processes import pool

# Passes over what is known, unless asked otherwise: as many as keep MNIST within minutes.
EPOCHS = 1
# And measured so often, since learning times are read off its curve.
MEASUREMENTS = 60
_LEVEL = 0.95


@dataclass(frozen=True)
class YardstickTask:
    """What is measured, and with what.

    Attributes:
        source: its name.
        transforms: of its pictures, in the spec's words.
        side: where it is shown; the other half is blank.
        train: network, optimiser, schedule, and the probe that the solo curve is measured on.
        n: pictures used at most, the first ones in an order of the seed; None: all of the training split.
        data, download, device: as `sources.load_source` and `training.device_of` take them.
    """

    source: str
    transforms: tuple[str, ...] = ()
    side: str = "top"
    train: TrainSpec = field(default_factory=lambda: TrainSpec(epochs=EPOCHS, measurements=MEASUREMENTS))
    n: int | None = None
    data: Path | None = None
    download: bool = False
    device: str = "cpu"


def measure(
    settings: Sequence[YardstickTask],
    seeds: Sequence[int],
    *,
    workers: int = 1,
    level: float = _LEVEL,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> pd.DataFrame:
    """Measure every setting with every seed; the table SIMPLICITY.

    Args:
        settings: what to measure.
        seeds: of the order of the labels, of initialisation and of the order of training; at least one.
        workers: processes at once, of one thread each; the numbers do not depend on how many.
        level: of the intervals over seeds, Student's.
        progress: called after each task with (tasks done, tasks in all).

    Raises SourceError, SpecError (transforms that do not suit the source, n or probe too large), DeviceError, RunError (a loss that is not
    finite any more, or a process that was killed).
    """
    options = Options(level=level)
    tasks: list[tuple[float, int, int, int | None]] = []
    ends: list[list[int]] = []
    for number, setting in enumerate(settings):
        device_of(setting.device)
        source = _source(setting, Split.TRAIN)
        _probe(setting)
        count = _count(setting, source)
        ends.append(code_length.block_ends(len(source.classes), count))
        for seed in seeds:
            tasks += [(steps_of(end, setting.train), number, seed, block) for block, end in enumerate(ends[-1][:-1])]
            # The solo curve is measured while it is trained, which takes about as long again.
            steps = epochs(count, setting.train) * count / setting.train.batch
            tasks.append((2 * steps, number, seed, None))
        tasks.append((math.inf, number, seeds[0], -1))
    # The longest first, so that no process is left with one at the end.
    tasks.sort(reverse=True, key=lambda task: task[0])
    found: dict[tuple[int, int, int | None], Any] = {}
    with pool(min(workers, len(tasks))) as processes:
        running: dict[Future[Any], tuple[int, int, int | None]] = {
            processes.submit(_task, settings[number], seed, block): (number, seed, block) for _, number, seed, block in tasks
        }
        try:
            for done in as_completed(running):
                found[running[done]] = done.result()
                progress(len(found), len(tasks))
        except BrokenProcessPool as error:
            raise RunError("a process of the yardstick was killed (was there enough memory?); run it again with fewer --workers") from error
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            raise
    rows: list[dict[str, Any]] = []
    for number, setting in enumerate(settings):
        costs = {seed: [found[number, seed, block] for block in range(len(ends[number]) - 1)] for seed in seeds}
        solos = [found[number, seed, None] for seed in seeds]
        rows += _rows(setting, ends[number], costs, solos, found[number, seeds[0], -1], options)
    return pd.DataFrame(rows, columns=list(SIMPLICITY)).astype({"labels": "Int64"})


def looks(runs: Sequence[RunSpec]) -> tuple[list[tuple[str, tuple[str, ...], str]], TrainSpec]:
    """What of a sweep's runs a yardstick can tell apart: (source, transforms, side) wherever they differ on that side; and the training.

    Raises SpecError: no side looks different in two runs, or the runs are trained differently.
    """
    found: list[tuple[str, tuple[str, ...], str]] = []
    for side in SIDES:
        mine = dict.fromkeys((getattr(run.dataset, side), run.dataset.transforms(side), side) for run in runs)
        found += mine if len(mine) > 1 else ()
    if not found:
        raise SpecError("no side's source or transforms differ between the sweep's runs; expected a ladder of one side, or pass --source")
    how = runs[0].train
    if any(run.train != how for run in runs):
        raise SpecError(
            "the sweep's runs are trained differently, and a yardstick is of one training; pass --source and the training instead"
        )
    return found, how


def sentences(table: pd.DataFrame) -> list[str]:
    """What was found out about each setting, a line each."""
    found = []
    for (source, transforms, side), rows in table[table["seed"] == ALL].groupby(["source", "transforms", "side"], sort=False):
        of = {row["quantity"]: row for _, row in rows[rows["quantity"] != "block"].iterrows()}

        def said(quantity: str, digits: str = ".3f", of: dict[Any, Any] = of) -> str:
            row = of[quantity]
            reach = "" if math.isnan(row["low"]) else f" ({row['low']:{digits}} to {row['high']:{digits}})"
            return f"{row['estimate']:{digits}}{reach}"

        def reached(quantity: str, of: dict[Any, Any] = of, said: Callable[..., str] = said) -> str:
            return UNREACHED if of[quantity]["status"] == UNREACHED else f"by {said(quantity, '.0f')} samples"

        name = source if transforms == "none" else f"{source} ({transforms})"
        found.append(
            f"{name}, {side}: code length {said('code length')} nats per label (uniform {of['uniform code']['estimate']:.3f}); "
            f"half of the ceiling {reached('samples to half')}, 90 % {reached('samples to 90 %')}; "
            f"ceiling: accuracy {said('accuracy')}, loss {said('loss')}; linear share {said('linear share')}"
        )
    return found


def _task(setting: YardstickTask, seed: int, block: int | None) -> Any:
    """One piece of work, in a process of the pool: a block's cost, the solo curve (None) or the linear model (-1)."""
    source = _source(setting, Split.TRAIN)
    device = device_of(setting.device)
    count = _count(setting, source)
    if block is None:
        return solo(source, setting.side, setting.train, _probe(setting), count, seed, device)
    if block < 0:
        return linear(source, _probe(setting), setting.side, count, seed)
    return coded(source, setting.side, setting.train, count, seed, block, device)


@lru_cache(maxsize=4)
def _source(setting: YardstickTask, split: Split) -> Source:
    return sources.load_source(setting.source, split, setting.transforms, data=setting.data, download=setting.download)


@lru_cache(maxsize=4)
def _probe(setting: YardstickTask) -> Dominoes:
    return probe(_source(setting, Split.TEST), setting.side, setting.train)


def _count(setting: YardstickTask, source: Source) -> int:
    there = len(source.chosen)
    if setting.n is not None and setting.n > there:
        raise SpecError(f"n {setting.n}: the train split of {setting.source} has {there} pictures; expected at most that many")
    return setting.n or there


def _rows(
    setting: YardstickTask,
    ends: Sequence[int],
    costs: dict[int, list[tuple[float, float]]],
    solos: Sequence[pd.DataFrame],
    of_linear: tuple[float, str],
    options: Options,
) -> Iterator[dict[str, Any]]:
    seeds = list(costs)
    classes = ends[0] // code_length.block_ends(1, 16)[0]
    how = setting.train
    head: dict[str, Any] = {"source": setting.source, "transforms": dials.join_transforms(setting.transforms), "side": setting.side}
    head |= {name: getattr(how, name) for name in ("epochs", "batch", "lr", "momentum", "weight_decay")}
    head |= {"model": how.model, "optimizer": how.optimizer, "n": ends[-1], "classes": classes}

    def one(
        quantity: str, value: float, *, labels: int | None = None, seed: object = ALL, count: int = 1, status: str = "ok"
    ) -> dict[str, Any]:
        row = {"quantity": quantity, "labels": labels, "seed": seed, "estimate": value}
        return head | row | {"level": options.level, "n_seeds": count, "status": status}

    def several(quantity: str, values: Sequence[float], *, labels: int | None = None, status: str = "ok", log: bool = False) -> Any:
        for seed, value in zip(seeds, values, strict=True):
            yield one(quantity, value, labels=labels, seed=seed, status=status)
        numbers = np.array(values, dtype=float)
        good = numbers[np.isfinite(numbers)]
        interval = Interval(math.nan, math.nan, math.nan)
        if len(good):
            interval = options.spread(len(good)).mean(np.log(good) if log else good)
            interval = interval.exp() if log else interval
        row = one(quantity, interval.estimate, labels=labels, count=len(good), status=status)
        yield row | {"low": interval.low, "high": interval.high}

    yield from several(
        "code length", [code_length.per_label(ends, classes, [cost for cost, _ in costs[seed]]) for seed in seeds], labels=ends[-1]
    )
    yield one("uniform code", math.log(classes), labels=ends[-1], count=0)
    for block, end in enumerate(ends[1:]):
        yield from several("block", [costs[seed][block][0] for seed in seeds], labels=end)
        yield from several("temperature", [costs[seed][block][1] for seed in seeds], labels=end, log=True)
    for quantity, share in (("samples to half", 0.5), ("samples to 90 %", 0.9)):
        times, status = learning_times(solos, share, classes)
        yield from several(quantity, times, status=status, log=True)
    last = [table.iloc[-1] for table in solos]
    for quantity in ("accuracy", "loss"):
        yield from several(quantity, [float(row[quantity]) for row in last])
    accuracy, status = of_linear
    yield one("linear accuracy", accuracy, status=status)
    yield from several("linear share", [accuracy / float(row["accuracy"]) for row in last], status=status)
