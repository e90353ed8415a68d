"""Packed sweeps at work: killed, launched twice, failing; every run ends finished once, and exports are those of folders."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_sweeps import call, export, run, start, write

from dominoes.data import dealing, probe_sets
from dominoes.runs import claims, plan, progress, run_folders, state, sweep_file
from dominoes.runs.engines.protocol import BY_ANOTHER, RunReport
from dominoes.runs.packed import manifest, ranges
from dominoes.runs.packed.place import HOME
from dominoes.runs.plan import Plan
from dominoes.spec import DominoSpec, RunSpec


@pytest.fixture(scope="module", autouse=True)
def _decoded(cache: Path) -> None:
    """The embedded pictures are decoded before any process is killed."""
    probe_sets.probes(DominoSpec(n=10, top="digits", bottom="textures"), 5, 0)


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """Seven runs: five of one dataset, one each of two others."""
    file = write(tmp_path / "s.yaml", **{"seed": [0, 1, 2], "train__lr": [0.01, 0.02, 0.03]})
    made = plan.make_plan(sweep_file.read_sweep_file(file))
    return Plan(made.name, "", made.swept, made.runs[:7], ())


def execute(out: Path, fail: tuple[str, ...] = ()) -> object:
    """An engine that executes here."""
    from dominoes.runs import execution

    def engine(specs: Iterator[RunSpec]) -> Iterator[RunReport]:
        for spec in specs:
            if spec.id in fail:
                with claims.claimed(out / "runs" / spec.id) as claim:
                    claim.fail("out of cheese", "trace")
                yield RunReport(spec.id, "failed", "out of cheese")
                continue
            execution.execute(spec, dealing.deal_spec(spec.dataset), probe_sets.probes(spec.dataset, spec.train.probe, 0), out)
            (out / "datasets" / spec.dataset.id).mkdir(parents=True, exist_ok=True)
            yield RunReport(spec.id, "done")

    return engine


def test_ranges_are_packed_as_they_end(planned: Plan, tmp_path: Path) -> None:
    """One shard a range, in the plan's order; datasets that no other range needs go; a second launch has nothing to do."""
    specs = [each.spec for each in planned.runs]
    todo = ranges.ranges(planned.runs, specs, size=3)
    assert [len(each.runs) for each in todo] == [3, 3, 1]
    reports = list(ranges.launch(todo, execute(tmp_path), tmp_path))  # type: ignore[arg-type]
    assert [report.run for report in reports] == [spec.id for spec in specs]
    known = manifest.load_manifest(tmp_path)
    assert sorted(part.runs["run"].to_pylist() for part in known.parts) == sorted(list(each.runs) for each in todo)
    assert list((tmp_path / "runs").iterdir()) == []
    shared = {spec.dataset.id for spec in specs if sum(each.dataset == spec.dataset for each in specs) > 1}
    assert {path.name for path in (tmp_path / "datasets").iterdir()} <= shared
    assert not list((tmp_path / HOME / "leases").iterdir())
    assert ranges.ranges(planned.runs, [], size=3) == []


def test_what_fails_stays_a_folder(planned: Plan, tmp_path: Path) -> None:
    """What is finished of its range is packed all the same, and no further range begins unless asked for."""
    specs = [each.spec for each in planned.runs]
    todo = ranges.ranges(planned.runs, specs, size=3)
    bad = specs[1].id
    reports = list(ranges.launch(todo, execute(tmp_path, (bad,)), tmp_path))  # type: ignore[arg-type]
    assert [report.state for report in reports] == ["done", "failed"]
    assert len(manifest.load_manifest(tmp_path)) == 1
    status = progress.sweep_status(planned, tmp_path)
    assert (status.done, status.failed, status.left, status.reasons) == (1, 1, 5, {bad: "out of cheese"})
    again = ranges.ranges(planned.runs, specs[1:], size=3)
    reports = list(ranges.launch(again, execute(tmp_path, (bad,)), tmp_path, keep_going=True))  # type: ignore[arg-type]
    assert len(reports) == 6
    assert progress.sweep_status(planned, tmp_path).done == 6


def test_a_range_in_other_hands_is_waited_for(planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once; what the other has finished is reported as its own."""
    monkeypatch.setattr(ranges, "POLL_SECONDS", 0.01)
    specs = [each.spec for each in planned.runs]
    todo = ranges.ranges(planned.runs, specs, size=3)
    said: list[RunReport] = []
    held = ranges.lease(tmp_path, todo[0])
    held.__enter__()

    def give_back(specs: Iterator[RunSpec]) -> Iterator[RunReport]:
        yield from execute(tmp_path)(specs)  # type: ignore[operator]
        if said and not (tmp_path / "given").exists():
            list(execute(tmp_path)(iter([todo[0].missing[todo[0].runs[0]]])))  # type: ignore[operator]
            (tmp_path / "given").touch()
            held.__exit__(None, None, None)

    reports = list(ranges.launch(todo, give_back, tmp_path, waits=said.append))
    assert len(said) == 1
    assert "a range of 3 runs" in said[0].reason
    assert {report.run: report.reason for report in reports if report.reason} == {todo[0].runs[0]: BY_ANOTHER}
    assert sorted(report.run for report in reports) == sorted(spec.id for spec in specs)
    assert len(manifest.load_manifest(tmp_path)) == 7


@pytest.mark.slow
def test_a_packed_sweep_survives_being_killed(tmp_path: Path) -> None:
    """SIGKILL at random moments: runs that were finished stay so, two launches share the rest, and exports are those of folders."""
    file = write(tmp_path / "s.yaml", seed=[0, 1, 2, 3, 4, 5])
    out = tmp_path / "out"
    rng = random.Random(3)
    finished: set[str] = set()
    for _ in range(4):
        process = start(file, out, "--packed", "--workers", 1)
        time.sleep(4 + 8 * rng.random())
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = {folder.name for folder in run_folders.finished(out)} if out.exists() else set()
        assert finished <= now
        assert not any(isinstance(each, state.Damage) for each in run_folders.read_all(run_folders.finished(out)))
        finished = now
    both = [start(file, out, "--packed", "--workers", 1) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert call("status", out).startswith("tiny: 6 runs: 6 done, 0 running, 0 failed, 0 left")
    assert list((out / "runs").iterdir()) == []
    run(file, tmp_path / "folders", "--folders", "--workers", 1)
    assert export(out, tmp_path / "a") == export(tmp_path / "folders", tmp_path / "b")
