"""Several launches of one packed sweep: each takes ranges of the plan under a lease, executes what is missing there and packs it."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dominoes.runs import claims, state
from dominoes.runs.engines import protocol
from dominoes.runs.engines.protocol import BY_ANOTHER, POLL_SECONDS, Engine, RunReport
from dominoes.runs.packed import mirror, packing
from dominoes.runs.packed.place import HOME
from dominoes.runs.packed.shards import RUNS_A_SHARD
from dominoes.runs.plan import Planned
from dominoes.runs.state import RUNS
from dominoes.spec import DominoSpec, RunSpec

_LEASES = "leases"
STORE_POLL_SECONDS = 5.0
#: So long what is finished waits on this machine before an object store gets it, at most; a machine may be taken away for good.
SEND_SECONDS = 60.0


@dataclass(frozen=True)
class Range:
    """Runs that follow each other in a plan, and become a shard.

    Attributes:
        runs: ids of all of them.
        missing: specs of those that were not finished when the plan was looked at, by id.
        datasets: that no run of another range is trained on.
    """

    runs: tuple[str, ...]
    missing: dict[str, RunSpec]
    datasets: tuple[DominoSpec, ...] = ()

    @property
    def name(self) -> str:
        """The same for every launch that has these runs together."""
        return hashlib.sha256("\n".join(self.runs).encode()).hexdigest()[:12]


def ranges(runs: Sequence[Planned], missing: Sequence[RunSpec], *, size: int = RUNS_A_SHARD) -> list[Range]:
    """The ranges of a plan in which runs are missing.

    Args:
        runs: all runs of the plan, in order.
        missing: specs of those to execute.
        size: runs of a range.
    """
    specs = {spec.id: spec for spec in missing}
    parts = [runs[start : start + size] for start in range(0, len(runs), size)]
    needed = Counter(spec for part in parts for spec in {run.spec.dataset for run in part})
    found = []
    for part in parts:
        lacking = {run.id: specs[run.id] for run in part if run.id in specs}
        if lacking:
            own = dict.fromkeys(run.spec.dataset for run in part if needed[run.spec.dataset] == 1)
            found.append(Range(tuple(run.id for run in part), lacking, tuple(own)))
    return found


@contextmanager
def lease(out: Path, which: Range) -> Iterator[None]:
    """Hold a range, so that no other launch begins with it. Raises claims.Busy, OutputError."""
    kept = mirror.of(out)
    if kept is not None:
        with kept.leases.held(which.name):
            # What others have packed of it since this launch looked.
            kept.renew()
            yield
        return
    place = out / HOME / _LEASES / which.name
    with claims.claimed(place):
        yield
    try:
        place.rmdir()
    except OSError:
        # Another launch has come for it just now.
        return


def launch(
    todo: Sequence[Range],
    engine: Engine,
    out: Path,
    *,
    keep_going: bool = False,
    waits: Callable[[RunReport], None] = lambda report: None,
) -> Iterator[RunReport]:
    """What `protocol.launch` does, range by range; the finished runs of a range are packed when its last run ends.

    A range that another launch holds is waited for at the end, and taken over if that one dies.
    """
    left = list(todo)
    said: set[str] = set()
    while left:
        busy, failed = yield from _round(left, engine, out, keep_going, waits, said)
        left = [] if failed and not keep_going else busy
        if left:
            # To ask a store costs money.
            time.sleep(POLL_SECONDS if mirror.of(out) is None else STORE_POLL_SECONDS)


def _round(
    todo: list[Range], engine: Engine, out: Path, keep_going: bool, waits: Callable[[RunReport], None], said: set[str]
) -> Generator[RunReport, None, tuple[list[Range], bool]]:
    """Go through the ranges once; those that other launches hold, and whether a run failed. `said`: those that were said to be held."""
    busy: list[Range] = []
    held: dict[str, _Held] = {}
    by_run: dict[str, _Held] = {}
    before: list[RunReport] = []

    def feed() -> Iterator[RunSpec]:
        for each in todo:
            stack = ExitStack()
            try:
                stack.enter_context(lease(out, each))
            except claims.Busy as error:
                busy.append(each)
                if each.name not in said:
                    said.add(each.name)
                    waits(RunReport(each.runs[0], "running", f"a range of {len(each.runs)} runs: {error}"))
                continue
            mine = held[each.name] = _Held(each, stack, set())
            finished = {run for run in each.missing if state.is_whole(out / RUNS / run)}
            before.extend(RunReport(run, "done", BY_ANOTHER) for run in each.missing if run in finished)
            mine.open |= each.missing.keys() - finished
            by_run.update(dict.fromkeys(mine.open, mine))
            if not mine.open:
                held.pop(each.name).end(out)
            yield from (each.missing[run] for run in each.missing if run not in finished)

    failed = False
    try:
        for report in protocol.launch(feed(), engine, out, keep_going=keep_going, waits=waits):
            while before:
                yield before.pop(0)
            failed = failed or report.state == "failed"
            mine = by_run.pop(report.run)
            mine.open.discard(report.run)
            if not mine.open:
                held.pop(mine.range.name).end(out)
            else:
                mine.send(out)
            yield report
        yield from before
    finally:
        # Of a range that was not ended (a failure, an interrupt) what is finished is packed too.
        for mine in held.values():
            mine.end(out)
    return busy, failed


@dataclass
class _Held:
    """A range under this launch's lease, and its runs that have not ended."""

    range: Range
    lease: ExitStack
    open: set[str]
    sent: float = dataclasses.field(default_factory=time.monotonic)

    def send(self, out: Path) -> None:
        """Give an object store what is finished, in a shard of its own, if the last time is some while ago."""
        if time.monotonic() - self.sent < SEND_SECONDS or mirror.of(out) is None:
            return
        packing.pack_folders(out, order=self.range.runs, only=self.range.runs, wait=True)
        self.sent = time.monotonic()

    def end(self, out: Path) -> None:
        """Pack what is finished, and give the range back. Datasets that nobody needs any more go: a million deals fill a disk."""
        with self.lease:
            packing.pack_folders(out, order=self.range.runs, only=self.range.runs, wait=True)
            if not self.open:
                for spec in self.range.datasets:
                    shutil.rmtree(protocol.dataset_folder(spec, out), ignore_errors=True)
