"""Status, changes and cleaning of a results folder, on folders made by hand."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_sweeps import write

import dominoes
from dominoes.cli.commands import main
from dominoes.runs import claims, plan, progress, state, sweep_file
from dominoes.runs.plan import Plan

ENVIRONMENT = {
    "package": dominoes.__version__,
    "torch": "2.15.0",
    "status": "finished",
    "steps": 2,
    "diverged_at": None,
    "dominoes": {"n": 60},
    "digests": {},
    "seconds": {"wall": 30.0},
}


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """A plan of six runs whose folders are done, done and diverged, at work, failed, unfinished, and absent."""
    found = plan.make_plan(sweep_file.read_sweep_file(write(tmp_path / "s.yaml", seed=list(range(6)))))
    plan.save_plan(found, tmp_path, b"")
    folders = [tmp_path / "runs" / run.spec.id for run in found.runs]
    for number, folder in enumerate(folders[:5]):
        folder.mkdir(parents=True)
        if number < 2:
            spec = found.runs[number].spec
            (folder / "spec.json").write_text(json.dumps(spec.identity()), encoding="utf-8")
            for table in state.TABLES:
                (folder / table).write_text(f"run\n{spec.id},1\n", encoding="utf-8")
            content = ENVIRONMENT | {"files": {table: state.file_record(folder / table) for table in state.TABLES}}
            content["status"] = "diverged" if number else "finished"
            (folder / "environment.json").write_text(json.dumps(content), encoding="utf-8")
            (folder / "DONE").touch()
    (folders[2] / "CLAIM-a").write_text(json.dumps({"host": "elsewhere", "pid": 3}), encoding="utf-8")
    (folders[3] / "FAILED").write_text("out of cheese\n\ntrace", encoding="utf-8")
    return found


def test_status_counts_each_run_once(planned: Plan, tmp_path: Path) -> None:
    """Done, running, failed and left sum to the plan; the time to go follows from the finished runs and those at work."""
    found = progress.sweep_status(planned, tmp_path)
    assert (found.runs, found.done, found.running, found.failed, found.left) == (6, 2, 1, 1, 2)
    assert (found.diverged, found.others, found.infeasible) == (1, 0, 0)
    assert list(found.reasons.values()) == ["out of cheese"]
    assert found.per_hour == 120
    assert found.seconds_left == 30 * 3.5
    result = CliRunner().invoke(main, ["sweep", "status", str(tmp_path)])
    assert "6 runs: 2 done (1 diverged), 1 running, 1 failed, 2 left" in result.output
    assert "120 runs an hour, 2 min to go" in result.output
    assert json.loads(CliRunner().invoke(main, ["sweep", "status", str(tmp_path), "--json"]).output)["done"] == 2


def test_status_writes_nothing(planned: Plan, tmp_path: Path) -> None:
    """Not even a dead process's claim is removed by looking."""
    claim = next(tmp_path.glob("runs/*/CLAIM-a"))
    os.utime(claim, (0, 0))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert progress.sweep_status(planned, tmp_path).running == 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_clean_removes_unfinished_runs_only(planned: Plan, tmp_path: Path) -> None:
    """It asks first; finished, failed and held runs stay; one that is taken in the meantime stays too."""
    unfinished = tmp_path / "runs" / planned.runs[4].spec.id
    refused = CliRunner().invoke(main, ["sweep", "clean", str(tmp_path)], input="n\n")
    assert "Remove 1 unfinished runs" in refused.output
    assert unfinished.exists()
    with claims.claimed(unfinished):
        assert not progress.remove(unfinished)
    assert "1 unfinished runs removed" in CliRunner().invoke(main, ["sweep", "clean", str(tmp_path), "--yes"]).output
    assert not unfinished.exists()
    assert len(list((tmp_path / "runs").iterdir())) == 4
    assert "nothing is unfinished" in CliRunner().invoke(main, ["sweep", "clean", str(tmp_path)]).output
    (unfinished / "x").mkdir(parents=True)
    (unfinished / "DONE").touch()
    assert not progress.remove(unfinished)
    assert CliRunner().invoke(main, ["sweep", "clean", str(tmp_path / "absent")]).exit_code == 2


def test_builds_of_one_pytorch_are_no_change() -> None:
    """A CPU's and a GPU's wheel of one version have one public number."""
    assert progress._public("2.15.0+cu132") == progress._public("2.15.0+cpu") == "2.15.0"
