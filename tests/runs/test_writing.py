"""Runs are written while others train: the same bytes, whole or not at all, and an error is the run's own sentence."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from mixed_runs import of

from dominoes import tables
from dominoes.data.dealing import Dealt
from dominoes.data.probe_sets import probes
from dominoes.errors import OutputError
from dominoes.runs import claims, execution, state
from dominoes.runs.engines import worker
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.runs.writing import Writer
from dominoes.spec import RunSpec, TrainSpec
from dominoes.training import loop
from dominoes.training.device import Device

SHORT, LONG = of(0, epochs=1), of(1, epochs=9)


def test_work_is_done_in_order_by_one_other_thread() -> None:
    """Others have turns until it is done; its result comes, or its error."""
    writer, log, go = Writer(), [], threading.Event()

    def work(number: int) -> str:
        assert go.wait(30)
        log.append(number)
        if number == 1:
            raise OutputError("the disk is full")
        return threading.current_thread().name

    jobs = [writer.done(lambda number=number: work(number)) for number in range(3)]  # type: ignore[misc]
    for job in jobs:
        next(job)
    go.set()
    results: list[Any] = []
    for job in jobs:
        try:
            results.append(loop.finish(job))
        except OutputError as error:
            results.append(str(error))
    assert log == [0, 1, 2]
    assert results == ["writer_0", "the disk is full", "writer_0"]


def test_work_that_is_closed_ends_or_never_begins() -> None:
    """Closing waits for the work at hand; what waited behind it is dropped."""
    writer, log, go = Writer(), [], threading.Event()

    def work() -> None:
        assert go.wait(30)
        log.append("first")

    first, second = writer.done(work), writer.done(lambda: log.append("second"))
    next(first)
    next(second)
    second.close()
    threading.Timer(0.2, go.set).start()
    first.close()
    assert log == ["first"]
    assert loop.finish(writer.done(lambda: 7)) == 7
    assert log == ["first"]


def test_others_train_while_a_run_is_written(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of the short run wait for 30 more steps of the long one; both end, in this order, with the bytes they have alone."""
    for spec in (SHORT, LONG):
        assert [report.state for report in worker.attempt([spec], WorkerSetting(tmp_path / "alone", "cpu", pack=1))] == ["done"]
    plain_write, plain_rows = tables.write_table, loop.row_batches
    asked, further = threading.Event(), threading.Event()
    names: set[str] = set()

    def write(table: Any, path: Path, **options: Any) -> None:
        names.add(threading.current_thread().name)
        if SHORT.id in str(path):
            asked.set()
            assert further.wait(60)
        plain_write(table, path, **options)

    def rows(count: int, how: TrainSpec, seed: int, *rest: Any) -> Generator[torch.Tensor, None, None]:
        more = 0
        for each in plain_rows(count, how, seed, *rest):
            yield each
            more += seed == LONG.seed and asked.is_set()
            if more == 30:
                further.set()

    monkeypatch.setattr(tables, "write_table", write)
    monkeypatch.setattr(loop, "row_batches", rows)
    monkeypatch.setattr(loop, "_TURN", 2)
    reports = list(worker.attempt([LONG, SHORT], WorkerSetting(tmp_path / "packed", "cpu", pack=2)))
    assert [(report.run, report.state) for report in reports] == [(SHORT.id, "done"), (LONG.id, "done")]
    assert names == {"writer_0"}
    for spec in (SHORT, LONG):
        for name in (*state.TABLES, *state.FURTHER):
            one, other = (tmp_path / place / "runs" / spec.id / name for place in ("alone", "packed"))
            assert one.read_bytes() == other.read_bytes()
        assert state.is_whole(tmp_path / "packed" / "runs" / spec.id, strict=True)


def test_what_cannot_be_written_fails_its_own_run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence in the report and in FAILED; no DONE, no claim, nothing half-written; the other run is done."""
    plain = tables.write_table

    def write(table: Any, path: Path, **options: Any) -> None:
        if SHORT.id in str(path) and path.name == "joint.csv":
            raise OutputError(f"{path} cannot be written (No space left on device); nothing was changed, free the disk")
        plain(table, path, **options)

    monkeypatch.setattr(tables, "write_table", write)
    reports = {report.run: report for report in worker.attempt([SHORT, LONG], WorkerSetting(tmp_path, "cpu", pack=2))}
    assert (reports[SHORT.id].state, reports[LONG.id].state) == ("failed", "done")
    folder = tmp_path / "runs" / SHORT.id
    assert reports[SHORT.id].reason == state.reason(folder)
    assert reports[SHORT.id].reason.endswith("joint.csv cannot be written (No space left on device); nothing was changed, free the disk")
    assert {file.name for file in folder.iterdir()} == {"spec.json", "curves.csv", "classes.csv", "FAILED"}


def test_the_claim_is_held_until_the_run_is_done(small: Dealt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes a run that is being written gives its folder back only when it is whole."""
    spec = RunSpec(dataset=small.spec, train=TrainSpec(model="mlp", epochs=1, measurements=2, probe=20))
    tests, folder = probes(small.spec, 20, 0), tmp_path / "runs" / spec.id
    asked, go = threading.Event(), threading.Event()
    plain = tables.write_table

    def write(table: Any, path: Path, **options: Any) -> None:
        asked.set()
        assert go.wait(60)
        plain(table, path, **options)

    monkeypatch.setattr(tables, "write_table", write)
    turns = execution.execute_by_turns(spec, small, tests, tmp_path, Device(torch.device("cpu")), writer=Writer())
    while not asked.is_set():
        next(turns)
    assert state.state_of(folder) is state.State.RUNNING
    closing = threading.Thread(target=turns.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    assert list(folder.glob(f"{claims.CLAIM}*"))
    go.set()
    closing.join(60)
    assert state.is_whole(folder, strict=True)
    assert not list(folder.glob(f"{claims.CLAIM}*"))
