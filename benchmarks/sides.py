"""One side of `benchmarks.train` in a process of its own: `python -m benchmarks.sides ours|baseline`.

Reads a request a line (JSON: a figure's name and its sizes), answers with a line of JSON. A process serves many requests, so that
imports, the making of data and the first use of each figure stay outside the timers. Seconds are CPU seconds of the process, one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks import baseline
from dominoes.data import folder, measuring
from dominoes.data.dealing import deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD, Resident
from dominoes.runs.engines import protocol
from dominoes.spec import DominoSpec, RunSpec, Split, TrainSpec
from dominoes.training import loop, scorer
from dominoes.training.models import chosen
from dominoes.training.scorer import Scorer

Answer = dict[str, float]


class EnoughError(Exception):
    """Raised to end a run where the figure does."""


def spec_of(n: int, sources: tuple[str, str], split: Split = Split.TRAIN) -> DominoSpec:
    """Dominoes with prevalences .65, independently."""
    return DominoSpec(n=n, prevalence=(0.65, 0.65), top=sources[0], bottom=sources[1], split=split)


@lru_cache(maxsize=4)
def dominoes(n: int, sources: tuple[str, str], split: Split = Split.TRAIN) -> Dominoes:
    """The dominoes that both sides train on."""
    return Dominoes.of(deal_spec(spec_of(n, sources, split)))


@lru_cache(maxsize=4)
def probes_of(n: int, sources: tuple[str, str]) -> dict[str, Dominoes]:
    """Test probes, n of each kind, or as many as there are pictures for."""
    return probes(spec_of(1, sources), n, 0, fewer=True)


def examples(source: Dominoes, rows: torch.Tensor | None = None) -> list[baseline.Example]:
    """A Python list of float pictures, each a tensor of its own, with labels: what the baseline starts from."""
    rows = torch.arange(len(source)) if rows is None else rows
    found: list[baseline.Example] = []
    for part in rows.split(100):
        pictures = source.compose(part).float().div(255).sub(MEAN).div(STD)
        found += [(picture.clone(), int(label)) for picture, label in zip(pictures, source.targets[part], strict=True)]
    return found


@lru_cache(maxsize=4)
def listed(n: int, sources: tuple[str, str], split: Split = Split.TRAIN) -> list[baseline.Example]:
    """`examples` of `dominoes`."""
    return examples(dominoes(n, sources, split))


class Stopwatch:
    """CPU seconds from the first to the last step that it is told of: the steps between, without set-up and first use."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0

    def __call__(self, step: int, steps: int = 0) -> None:
        self.last = time.process_time()
        self.first = self.first or self.last
        self.count += 1

    @property
    def per_step(self) -> float:
        """Seconds."""
        return (self.last - self.first) / (self.count - 1)


def _ours(model: str, n: int, sources: tuple[str, str], progress: Callable[[int, int], None] = lambda *_: None, **how: Any) -> Any:
    spec = RunSpec(dataset=spec_of(n, sources), train=TrainSpec(model=model, **how))
    return loop.train(spec, dominoes(n, sources), probes_of(measuring.probe_size(spec.train, n), sources), progress=progress)


def step_ours(model: str, n: int, sources: tuple[str, str]) -> Answer:
    """Seconds a step, composing the batch included."""
    watch = Stopwatch()
    _ours(model, n, sources, watch, epochs=1, measurements=1, probe=1)
    return {"seconds": watch.per_step}


def step_baseline(model: str, n: int, sources: tuple[str, str]) -> Answer:
    """The same of the baseline, its DataLoader included."""
    watch = Stopwatch()
    baseline.run(model, listed(n, sources), [], epochs=1, every=0, after=watch)
    return {"seconds": watch.per_step}


def evaluation_ours(model: str, n: int, sources: tuple[str, str], probe: int) -> Answer:
    """Seconds of one measurement of all kinds, with the making of its rows."""
    train, tests = dominoes(n, sources), probes_of(probe, sources)
    spec = RunSpec(dataset=spec_of(n, sources), train=TrainSpec(model=model, measurements=60, probe=probe))
    network = loop.initial(model, len(train.classes), 0)
    record = chosen(model)
    last = record.channels_last
    network = network.to(memory_format=torch.channels_last if last else torch.contiguous_format)
    meter = Scorer(spec, Resident(train.deal, train.sources, torch.device("cpu")), train.deal, tests, record)
    torch.set_num_threads(1)
    start = time.process_time()
    meter.measure(network, 0, 0.0, 0)
    seconds = time.process_time() - start
    table = meter.tables()[0]
    empty = table["kind"] == "empty"
    # Empty dominoes are all alike and are computed once a split.
    return {"seconds": seconds, "dominoes": int(table["n"].sum()), "distinct": int(table["n"][~empty].sum() + empty.sum())}


@lru_cache(maxsize=2)
def _measured(n: int, sources: tuple[str, str], probe: int) -> list[baseline.Example]:
    """The dominoes of all kinds that a measurement is of, as the baseline's list."""
    train = dominoes(n, sources)
    rows = [train.deal.of_kind(kind)[:probe] for kind in ("top", "bottom", "both", "empty")]
    found = [each for part in rows if len(part) for each in examples(train, torch.from_numpy(part))]
    return found + [each for part in probes_of(probe, sources).values() for each in examples(part)]


def evaluation_baseline(model: str, n: int, sources: tuple[str, str], probe: int, graph: bool = False) -> Answer:
    """Seconds of one evaluation of as many dominoes of each kind."""
    loader = baseline.loaders(_measured(n, sources, probe))
    network = baseline.MODELS[model]()
    start = time.process_time()
    baseline.evaluate(network, loader, graph=graph)
    return {"seconds": time.process_time() - start, "dominoes": len(_measured(n, sources, probe))}


def same_ours(model: str, n: int, test: int, sources: tuple[str, str], every: int) -> Answer:
    """Seconds of a run that measures all training and test dominoes at the baseline's steps, 0 included."""
    train, held_out = dominoes(n, sources), {"both": dominoes(test, sources, Split.TEST)}
    spec = RunSpec(dataset=spec_of(n, sources), train=TrainSpec(model=model, epochs=1, probe=n))
    with mock.patch.object(loop, "schedule", lambda steps, points: range(0, steps + 1, every)):
        start = time.process_time()
        loop.train(spec, train, held_out)
    return {"seconds": time.process_time() - start}


def same_baseline(model: str, n: int, test: int, sources: tuple[str, str], every: int) -> Answer:
    """The same of the baseline."""
    lists = listed(n, sources), listed(test, sources, Split.TEST)
    start = time.process_time()
    baseline.run(model, *lists, epochs=1, every=every, first=True)
    return {"seconds": time.process_time() - start}


def whole_ours(model: str, n: int, sources: tuple[str, str], epochs: int, **how: Any) -> Answer:
    """Seconds of a run that is measured as it is by default, or as `how` says; and which share of them measuring took."""
    start = time.process_time()
    trained = _ours(model, n, sources, epochs=epochs, **how)
    seconds = time.process_time() - start
    return {"seconds": seconds, "measuring": trained.seconds["measuring"] / sum(trained.seconds.values())}


def whole_baseline(model: str, n: int, test: int, sources: tuple[str, str], epochs: int, every: int) -> Answer:
    """Seconds of the baseline's run, all training and test dominoes evaluated every `every` steps."""
    lists = listed(n, sources), listed(test, sources, Split.TEST)
    start = time.process_time()
    baseline.run(model, *lists, epochs=epochs, every=every)
    return {"seconds": time.process_time() - start}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident() -> Answer:
    """MiB held, private (RssAnon) and of mapped files (RssFile), of a process that is still there (Linux; elsewhere unknown)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("RssAnon", "RssFile"))}


_AT_START = {"peak": _peak(), **_resident()}


def _memory(work: Callable[[], object]) -> Answer:
    work()
    now = _resident()
    found = {"peak": _peak(), "imports": _AT_START["peak"]}
    return found | {kind: now[kind] - _AT_START[kind] for kind in now}


def memory_ours(model: str, n: int, test: int, sources: tuple[str, str], probe: int) -> Answer:
    """MiB: peak of a run of 60 steps with the measurement of step 0, after every picture was touched once, as an epoch would."""
    train = dominoes(n, sources)
    tests = probes_of(probe, sources)
    spec = RunSpec(dataset=spec_of(n, sources), train=TrainSpec(model=model, epochs=1, measurements=1, probe=probe))

    def enough(step: int, steps: int) -> None:
        if step == 60:
            raise EnoughError

    def work() -> None:
        resident = Resident(train.deal, train.sources, torch.device("cpu"))
        for rows in torch.arange(n).split(64):
            resident.compose(rows)
        with contextlib.suppress(EnoughError):
            loop.train(spec, train, tests, progress=enough)

    return _memory(work)


def memory_baseline(model: str, n: int, test: int, sources: tuple[str, str], probe: int) -> Answer:
    """The same of the baseline: its lists, 60 steps, and an evaluation of the test set."""

    def work() -> None:
        lists = listed(n, sources), listed(test, sources, Split.TEST)

        def after(step: int) -> None:
            if step == 60:
                raise EnoughError

        with contextlib.suppress(EnoughError):
            baseline.run(model, *lists, epochs=1, every=0, after=after)
        baseline.evaluate(baseline.MODELS[model](), baseline.loaders(lists[1]))

    return _memory(work)


def start_ours(model: str, n: int, sources: tuple[str, str], probe: int, out: str) -> Answer:
    """Wall seconds from imported modules to the end of the first step, as a worker goes; the dataset's folder is in `out`."""
    imported = _age()
    spec = RunSpec(dataset=spec_of(n, sources), train=TrainSpec(model=model, probe=probe, probe_train=-(-probe // 4)))
    setting = protocol.WorkerSetting(Path(out), "cpu")
    found: Answer = {"imports": imported}
    began = time.perf_counter()

    def first(step: int, steps: int) -> None:
        found["seconds"] = time.perf_counter() - began
        raise EnoughError

    plain = scorer._logits

    def watched(*arguments: Any, **more: Any) -> torch.Tensor:
        at = time.perf_counter()
        answers = plain(*arguments, **more)
        found["evaluating step 0"] = found.get("evaluating step 0", 0.0) + time.perf_counter() - at
        return answers

    with contextlib.suppress(EnoughError), mock.patch.object(scorer, "_logits", watched):
        dealt = folder.read_dataset(protocol.dataset_folder(spec.dataset, setting.out))
        loop.train(spec, Dominoes.of(dealt), probes(spec.dataset, probe, 0), progress=first)
    return found


def _age() -> float:
    """Wall seconds since this process was started, from Linux's own books."""
    ticks = float(Path("/proc/self/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Answer requests."""
    side = sys.argv[1]
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        figure = request.pop("figure")
        request["sources"] = tuple(request["sources"])
        print(json.dumps(globals()[f"{figure}_{side}"](**request)), flush=True)


if __name__ == "__main__":
    main()
