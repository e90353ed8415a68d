"""What is handed to a worker and what comes back; and the datasets that workers share. Loads neither torch nor pandas."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dominoes.data import dealing, folder
from dominoes.data.dealing import Dealt
from dominoes.errors import DatasetError, OutputError, RunError
from dominoes.runs import claims, state
from dominoes.spec import DominoSpec, RunSpec

# Read by the memory allocator and by numerical libraries before Python starts. glibc would return big tensors to the kernel after
# each step and wait for fresh pages in the next; threads of one process cost more than processes of one thread; and CUDA's matrix
# products are only reproducible with a workspace of their own.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
# Runs that a worker has at once on a GPU at most: PyTorch has so many streams, with more some would share one.
MOST_TOGETHER = 32
# Reason of a report of a run that was finished elsewhere in the meantime.
BY_ANOTHER = "by another launch"


class Job(Protocol):
    """What engines execute: a run (`spec.RunSpec`), or a task."""

    @property
    def id(self) -> str:
        """12 hex digits of all that its result depends on; its folder's name."""

    def canonical(self) -> str:
        """As a line of text."""


J = TypeVar("J", bound=Job)


@dataclass(frozen=True)
class Task:
    """Something else than a run that engines execute: `WorkerSetting.work` is called with it, and fills its folder.

    Attributes:
        id: its folder's name.
        arguments: what the function is told, in words of its own.
    """

    id: str
    arguments: str

    def canonical(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, line: str) -> Task:
        """From a line of JSON."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class WorkerSetting:
    """Where a worker works.

    Attributes:
        out: results folder; datasets that were composed before are in `out`/datasets.
        device: auto, cpu, cuda or mps.
        data: folder with the sources, None: where `sources.load_source` looks.
        download: let torchvision download sources.
        pack: most runs that a worker has at work at once; None: on CUDA as many as find memory, up to 32, elsewhere one.
        deterministic: on CUDA, use only algorithms that repeat themselves bit for bit.
        modules: the folder whose modules specs may name.
        code: (name, SHA-256) of all code from outside that the runs are made with; elsewhere it must be the same.
        callbacks: names of what is called at each measurement.
        work: `module:attr` of what is called with each task's arguments and its folder, where jobs are tasks; empty where they are runs.
            A name, since it belongs to rooms above this one.
        shelf: the folder in `out` that holds the folders of jobs.
        pack_mode: how runs share a device: `streams`, each with its own network and numbers, or `stacked`, those of one shape as one
            batched network (`training.stacked`).
    """

    out: Path
    device: str = "auto"
    data: Path | None = None
    download: bool = False
    pack: int | None = None
    deterministic: bool = True
    modules: Path | None = None
    code: tuple[tuple[str, str], ...] = ()
    callbacks: tuple[str, ...] = ()
    work: str = ""
    shelf: str = state.RUNS
    pack_mode: str = "streams"

    def dumps(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def loads(cls, text: str) -> WorkerSetting:
        """From a line of JSON."""
        values = json.loads(text)
        values |= {name: Path(values[name]) for name in ("out", "data", "modules") if values[name]}
        return cls(**values | {"code": tuple(map(tuple, values["code"])), "callbacks": tuple(values["callbacks"])})


@dataclass(frozen=True)
class RunReport:
    """What became of a run.

    Attributes:
        run: its id.
        state: done, diverged, failed, running (in other hands), or lost (the worker's device broke down, perhaps through another run).
        reason: of a failure or loss, in one line; who has it, if it is in other hands.
        trace: of a failure, the traceback.
        seconds: wall time from taking the spec to the report.
    """

    run: str
    state: str
    reason: str = ""
    trace: str = ""
    seconds: float = 0.0

    def dumps(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, line: str) -> RunReport:
        """From a line of JSON. Raises RunError if it is none."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise RunError(f"a worker process answered {line.strip()[:80]!r}, expected a report; run the sweep again") from error


def dataset_folder(spec: DominoSpec, out: Path) -> Path:
    """Where a sweep keeps the dataset of a spec."""
    return Path(out) / "datasets" / spec.id


def failed(spec: Job, setting: WorkerSetting, reason: str, trace: str, seconds: float = 0.0) -> RunReport:
    """Mark a job FAILED that came to no end of its own."""
    try:
        with claims.claimed(Path(setting.out) / setting.shelf / spec.id) as claim:
            claim.fail(reason, trace)
    except claims.Busy as error:
        return RunReport(spec.id, "running", str(error), seconds=seconds)
    except OutputError as error:
        reason = f"{reason} ({error})"
    return RunReport(spec.id, "failed", reason, trace, seconds)


def keep_dataset(dealt: Dealt, setting: WorkerSetting) -> None:
    """Put a dataset where workers find it, unless it is there already. Raises OutputError."""
    place = dataset_folder(dealt.spec, setting.out)
    if not _readable(place, setting):
        folder.save_dataset(dealt, place, force=True)


def compose(spec: DominoSpec, setting: WorkerSetting) -> None:
    """Keep the dataset of a spec where every worker finds it, unless it is there already. Raises OutputError, Infeasible, SourceError."""
    place = dataset_folder(spec, setting.out)
    if _readable(place, setting):
        return
    dealt = dealing.deal_spec(spec, data=setting.data, download=setting.download)
    try:
        folder.save_dataset(dealt, place, force=True)
    except OutputError:
        # Another launch may have put it there in between.
        if not _readable(place, setting):
            raise


def _readable(place: Path, setting: WorkerSetting) -> bool:
    try:
        folder.read_dataset(place, data=setting.data, download=setting.download, trust=True)
    except DatasetError:
        return False
    return True


def composed(specs: Iterator[J], setting: WorkerSetting) -> Iterator[J]:
    """The jobs; a run once its dataset is there."""
    done: set[DominoSpec] = set()
    for spec in specs:
        if isinstance(spec, RunSpec) and spec.dataset not in done:
            compose(spec.dataset, setting)
            done.add(spec.dataset)
        yield spec


#: Takes jobs, all runs or all tasks, as its setting says.
Engine = Callable[[Iterator[Any]], Iterator[RunReport]]


POLL_SECONDS = 0.5


def launch(
    runs: Iterable[J],
    engine: Engine,
    out: Path,
    *,
    shelf: str = state.RUNS,
    keep_going: bool = False,
    waits: Callable[[RunReport], None] = lambda report: None,
) -> Iterator[RunReport]:
    """Execute runs, or tasks; yield a report of each as it ends.

    Those that another launch is at are waited for, and taken over if that one dies.

    Args:
        runs: to execute, in this order; they are taken when an engine can start one.
        engine: takes specs when it can start one, gives reports as they come.
        out: results folder.
        shelf: the folder in it that holds the jobs' own.
        keep_going: after a failure start further runs; else those at work end and no new one starts.
        waits: called with the report of each run that is in other hands.
    """
    stopped = False
    elsewhere: list[J] = []
    todo: Iterable[J] = runs
    watch = claims.Watch()
    known: dict[str, J] = {}

    def feed(specs: Iterable[J]) -> Iterator[J]:
        for spec in specs:
            if stopped:
                return
            known[spec.id] = spec
            yield spec

    while todo:
        for report in engine(feed(todo)):
            if report.state == "running":
                elsewhere.append(known[report.run])
                waits(report)
                continue
            known.pop(report.run, None)
            stopped = stopped or (report.state == "failed" and not keep_going)
            yield report
        todo = again = list[J]()
        while elsewhere and not again and not stopped:
            for spec in elsewhere:
                place = out / shelf / spec.id
                if state.state_of(place) is state.State.DONE:
                    yield RunReport(spec.id, "done", BY_ANOTHER)
                elif watch.holder(place) is None:
                    again.append(spec)
                else:
                    continue
                elsewhere.remove(spec)
                break
            else:
                time.sleep(POLL_SECONDS)
