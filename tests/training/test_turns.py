"""Packs: every job has its turns, a full memory halves the pack, and a run's tables are the bytes it would have alone."""

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from mixed_runs import FULL, MIXED, of, packing, tables

from dominoes.runs import claims, state
from dominoes.runs.engines import worker
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.spec import TrainSpec
from dominoes.training import loop
from dominoes.training.turns import CardMemory, Ended, Pack


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, tuple[bytes, ...]]:
    """The tables of all runs, each executed by itself."""
    out = tmp_path_factory.mktemp("alone")
    for spec in MIXED:
        (report,) = worker.attempt([spec], WorkerSetting(out, "cpu", pack=1))
        assert report.state == ("diverged" if spec.seed == 5 else "done"), report
    return tables(out)


class Shelf:
    """Memory of a hundred bytes."""

    def __init__(self) -> None:
        self.taken = 0

    def used(self) -> int:
        return self.taken

    def free(self) -> int:
        return 100 - self.taken


class Work:
    """Jobs that need some turns and some memory, and say what happened."""

    def __init__(self, turns: int = 3, needs: Callable[[int], int] = lambda key: 0):
        self.memory, self._turns, self._needs = Shelf(), turns, needs
        self.log: list[str] = []

    def start(self, key: int, together: Callable[[], int]) -> Generator[None, None, int]:
        self.memory.taken += self._needs(key)
        try:
            if self.memory.taken > 100:
                raise torch.OutOfMemoryError(FULL)
            for number in range(self._turns):
                self.log.append(f"{key}.{number}")
                yield
            return together()
        finally:
            self.memory.taken -= self._needs(key)


def ended(pack: Pack[int, int], keys: range) -> list[Ended[int, int]]:
    """All that comes of some jobs."""
    for key in keys:
        pack.add(key)
    found = []
    while len(pack):
        found += list(pack.turn())
    return found


def test_jobs_take_turns() -> None:
    """One more is let in at each round, up to the limit; each ends with its result, in its time."""
    work = Work()
    found = ended(Pack(work.start, 2), range(3))
    assert work.log == ["0.0", "0.1", "1.0", "0.2", "1.1", "1.2", "2.0", "2.1", "2.2"]
    assert [(each.key, each.result, each.error) for each in found] == [(0, 2, None), (1, 2, None), (2, 2, None)]
    assert [each.result for each in ended(Pack(Work().start, 1), range(3))] == [1, 1, 1]


def test_an_error_is_its_own_jobs() -> None:
    """The others go on."""

    def start(key: int, together: Callable[[], int]) -> Generator[None, None, int]:
        yield
        if key == 1:
            raise ValueError("bad")
        yield
        return key

    found = {each.key: each for each in ended(Pack(start, 3), range(3))}
    assert (found[0].result, found[2].result) == (0, 2)
    assert repr(found[1].error) == "ValueError('bad')"
    assert "in start" in found[1].trace


def test_a_full_memory_halves_the_pack() -> None:
    """Of four that need 30 of 100 the oldest two go on and the others begin again; all end, and it is said once."""
    work = Work(turns=9, needs=lambda key: 30)
    pack = Pack(work.start, 32)
    with pytest.warns(
        RuntimeWarning, match=r"no memory left for 4 runs at once \(CUDA out of memory.*\); 2 go on, the others begin again"
    ) as said:
        found = ended(pack, range(8))
    assert sorted(each.key for each in found) == list(range(8))
    assert all(each.error is None for each in found)
    assert (len(said), pack.limit, work.memory.taken) == (1, 2, 0)
    assert work.log.count("0.0") == work.log.count("1.0") == 1
    assert work.log.count("2.0") == 2


def test_what_cannot_be_packed_is_alone() -> None:
    """One that needs nearly all runs when the others have ended; one that needs more than there is fails, and only that."""
    work = Work(turns=9, needs=lambda key: {3: 90, 5: 150}.get(key, 20))
    with pytest.warns(RuntimeWarning, match="no memory left"):
        found = {each.key: each for each in ended(Pack(work.start, 32), range(7))}
    assert {key for key, each in found.items() if each.error} == {5}
    assert isinstance(found[5].error, torch.OutOfMemoryError)
    assert found[3].result is not None


def test_a_pack_grows_as_far_as_memory_goes() -> None:
    """A further job is let in while there is twice what the largest took: of 100, four that need 20, without one that fails."""
    work = Work(turns=9, needs=lambda key: 20)
    found = ended(Pack(work.start, 32, work.memory), range(9))
    assert max(each.result or 0 for each in found) == 4
    assert len(found) == 9


def test_a_card_has_what_its_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch keeps is given back before the driver is asked: of that nothing counts which a graph holds on to."""
    device, kept = torch.device("cuda"), {"ended run": 30, "graph": 20}
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: kept.pop("ended run", None))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100 - sum(kept.values()), 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: sum(kept.values()))
    memory = CardMemory(device)
    assert memory.used() == 50
    assert memory.free() == 80
    assert memory.used() == 20


@pytest.mark.parametrize(("pack", "order"), [(3, -1), (6, 1)])
def test_neighbours_do_not_matter(alone: dict[str, tuple[bytes, ...]], tmp_path: Path, pack: int, order: int) -> None:
    """Different datasets, models, optimisers, learning rates, lengths and precisions in one pack, in either order, one of them diverging:
    every table has the bytes that it has when its run is alone."""
    reports = list(worker.attempt(MIXED[::order], WorkerSetting(tmp_path, "cpu", pack=pack)))
    assert sorted(report.state for report in reports) == ["diverged"] + ["done"] * 5
    assert tables(tmp_path) == alone
    assert max(packing(tmp_path)) == pack


def test_on_a_cpu_auto_is_one(alone: dict[str, tuple[bytes, ...]], tmp_path: Path) -> None:
    """One after the other, as they came."""
    reports = list(worker.attempt(MIXED, WorkerSetting(tmp_path, "cpu")))
    assert [report.run for report in reports] == [spec.id for spec in MIXED]
    assert packing(tmp_path) == [1] * 6
    assert tables(tmp_path) == alone


@pytest.mark.parametrize("when", ["start", "step"])
def test_runs_survive_a_full_memory(
    alone: dict[str, tuple[bytes, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A device that is full while a run begins, or in the middle of a step: those put back begin again, and every table is what it was."""
    name = "initial" if when == "start" else "row_batches"
    plain, met = getattr(loop, name), []

    def initial(model: str, classes: int, seed: int, *rest: Any) -> torch.nn.Module:
        if seed == 3 and not met:
            met.append(seed)
            raise torch.OutOfMemoryError(FULL)
        return plain(model, classes, seed, *rest)

    def batches(count: int, how: TrainSpec, seed: int, *rest: Any) -> Generator[torch.Tensor, None, None]:
        for number, rows in enumerate(plain(count, how, seed, *rest)):
            if seed == 0 and number == 7 and not met:
                met.append(seed)
                raise torch.OutOfMemoryError(FULL)
            yield rows

    monkeypatch.setattr(loop, name, initial if when == "start" else batches)
    with pytest.warns(RuntimeWarning, match="no memory left"):
        reports = list(worker.attempt(MIXED, WorkerSetting(tmp_path, "cpu", pack=4)))
    assert met
    assert {report.run: report.state for report in reports} == {spec.id: "diverged" if spec.seed == 5 else "done" for spec in MIXED}
    assert tables(tmp_path) == alone
    assert not list(tmp_path.glob("runs/*/FAILED"))


def test_a_run_that_never_fits_is_failed_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, and still no memory: FAILED says so; the others are done."""
    plain = loop.initial

    def initial(model: str, classes: int, seed: int, *rest: Any) -> torch.nn.Module:
        if seed == 1:
            raise torch.OutOfMemoryError(FULL)
        return plain(model, classes, seed, *rest)

    monkeypatch.setattr(loop, "initial", initial)
    specs = [of(seed) for seed in range(3)]
    with pytest.warns(RuntimeWarning, match="no memory left"):
        reports = {report.run: report for report in worker.attempt(specs, WorkerSetting(tmp_path, "cpu", pack=3))}
    assert [reports[spec.id].state for spec in specs] == ["done", "failed", "done"]
    assert state.reason(tmp_path / "runs" / specs[1].id) == f"OutOfMemoryError: {FULL}"


def test_a_broken_device_is_not_blamed_on_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a CUDA error the whole pack is lost, and no run of it FAILED: which was at fault is not known yet."""
    plain = loop.row_batches

    def batches(count: int, how: TrainSpec, seed: int, *rest: Any) -> Generator[torch.Tensor, None, None]:
        for rows in plain(count, how, seed, *rest):
            if seed == 1:
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
            yield rows

    monkeypatch.setattr(loop, "row_batches", batches)
    reports = list(worker.attempt([of(seed) for seed in range(4)], WorkerSetting(tmp_path, "cpu", pack=3)))
    assert [report.state for report in reports] == ["lost"] * 4
    assert all("AcceleratorError: CUDA error: an illegal memory access" in report.reason for report in reports)
    assert not list(tmp_path.glob("runs/*/FAILED"))


def test_a_claim_that_another_takes_leaves_the_pack_alone(
    alone: dict[str, tuple[bytes, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose claim is gone ends with that reason; one that another process holds is left to it; the others are what they were."""
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    taken, held = MIXED[1], MIXED[0]
    plain = loop.row_batches

    def batches(count: int, how: TrainSpec, seed: int, *rest: Any) -> Generator[torch.Tensor, None, None]:
        for number, rows in enumerate(plain(count, how, seed, *rest)):
            if seed == taken.seed and number == 4:
                for claim in (tmp_path / "runs" / taken.id).glob("CLAIM-*"):
                    claim.unlink()
                time.sleep(0.2)
            yield rows

    monkeypatch.setattr(loop, "row_batches", batches)
    with claims.claimed(tmp_path / "runs" / held.id):
        reports = {report.run: report for report in worker.attempt(MIXED, WorkerSetting(tmp_path, "cpu", pack=4))}
    assert reports[held.id].state == "running"
    assert reports[taken.id].state == "failed"
    assert "was taken over by another process" in reports[taken.id].reason
    found = tables(tmp_path)
    assert found == {run: content for run, content in alone.items() if run in found}
    assert len(found) == 4
    assert threading.active_count() < 20
