"""Run folders: whole, claimed, finished once, and honest about what they were made from."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dominoes import tables
from dominoes.data.dealing import Dealt, deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.errors import OutputError, RunError
from dominoes.runs import execution, parameters, run_folders, state
from dominoes.spec import DominoSpec, RunSpec, TrainSpec
from dominoes.training import loop
from dominoes.training.device import Device

ROOT = Path(__file__).parents[2]
HOW = TrainSpec(epochs=1, batch=64, measurements=3, probe=50)


@pytest.fixture(scope="module")
def tests(small: Dealt) -> dict[str, Dominoes]:
    """Small probes of the embedded sources."""
    return probes(small.spec, 50, 0)


def test_the_rows_of_a_deal_are_digested_once(small: Dealt, tests: dict[str, Dominoes], monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs on a deal share its digest, which is that of its rows; another deal has its own."""
    made: list[int] = []
    plain = execution.metadata
    monkeypatch.setattr(execution, "metadata", lambda table: made.append(len(table)) or plain(table))
    dealt = deal_spec(small.spec)
    first, again = (execution._digests(dealt, tests)["deal"] for _ in range(2))
    assert first == again == hashlib.sha256(plain(dealt.deal).encode()).hexdigest()
    assert len(made) == 1
    other = deal_spec(small.spec.model_copy(update={"seed": 9}))
    assert execution._digests(other, tests)["deal"] != first
    assert len(made) == 2


def test_a_run_leaves_the_agreed_files(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """spec.json, environment.json, four tables, confusion.npz and DONE, under runs/ID; the id follows from spec.json."""
    spec = RunSpec(dataset=small.spec, train=HOW, seed=2)
    outcome = execution.execute(spec, small, tests, tmp_path)
    assert outcome.folder == tmp_path / "runs" / spec.id
    expected = ["DONE", "classes.csv", "confusion.npz", "curves.csv", "environment.json", "joint.csv", "measures.csv", "spec.json"]
    assert sorted(file.name for file in outcome.folder.iterdir()) == expected
    assert RunSpec.model_validate(json.loads((outcome.folder / "spec.json").read_text(encoding="utf-8"))).id == spec.id
    environment = json.loads((outcome.folder / "environment.json").read_text(encoding="utf-8"))
    assert {
        "torch",
        "numpy",
        "python",
        "device",
        "threads",
        "packing",
        "precision",
        "deterministic",
        "measuring",
        "training",
        "status",
        "digests",
        "seconds",
    } <= set(environment)
    assert (environment["threads"], environment["device"], environment["status"]) == (1, "cpu", "finished")
    assert (environment["packing"], environment["precision"], environment["deterministic"]) == (1, "float32", True)
    assert set(outcome.curves["run"]) == {spec.id}
    assert set(outcome.curves["seed"]) == {2}


def test_a_finished_run_is_not_run_again(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """The second call finds DONE, changes no byte and says that nothing was done."""
    spec = RunSpec(dataset=small.spec, train=HOW)
    first = execution.execute(spec, small, tests, tmp_path)
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in first.folder.iterdir()}
    steps: list[int] = []
    again = execution.execute(spec, small, tests, tmp_path, progress=lambda step, _: steps.append(step))
    assert (first.fresh, again.fresh, steps) == (True, False, [])
    assert before == {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in first.folder.iterdir()}


def test_curves_are_bytes_that_follow_from_the_spec(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """Two runs of one spec in two folders write identical tables and confusion.npz."""
    spec = RunSpec(dataset=small.spec, train=HOW)
    folders = [execution.execute(spec, small, tests, tmp_path / name).folder for name in ("a", "b")]
    for name in ("curves.csv", "classes.csv", "confusion.npz", "spec.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_run_from_before_confusion_was_kept_is_whole(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """Without confusion.npz, and without a word of it in environment.json, a run is finished; with the word, it is damaged."""
    folder = execution.execute(RunSpec(dataset=small.spec, train=HOW), small, tests, tmp_path).folder
    (folder / "confusion.npz").unlink()
    assert "missing" in str(state.damage(folder, deep=True))
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    del environment["files"]["confusion.npz"]
    (folder / "environment.json").write_text(state.sealed(environment), encoding="utf-8")
    assert state.damage(folder, deep=True) is None
    assert not execution.execute(RunSpec(dataset=small.spec, train=HOW), small, tests, tmp_path).fresh


def test_an_interrupted_run_is_unfinished_and_run_again(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """Ctrl-C leaves a folder without DONE and without a claim; the next call runs it as if nothing had been."""
    spec = RunSpec(dataset=small.spec, train=HOW)

    def interrupt(step: int, _: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execution.execute(spec, small, tests, tmp_path, progress=interrupt)
    folder = tmp_path / "runs" / spec.id
    assert [file.name for file in folder.iterdir()] == ["spec.json"]
    assert run_folders.finished(tmp_path) == []
    assert execution.execute(spec, small, tests, tmp_path).fresh
    clean = execution.execute(spec, small, tests, tmp_path / "clean").folder
    assert (folder / "curves.csv").read_bytes() == (clean / "curves.csv").read_bytes()


@pytest.mark.slow
def test_a_killed_process_costs_only_its_unfinished_run(tmp_path: Path) -> None:
    """After SIGKILL the same command runs what is missing; the dead process's claim does not stand in the way."""
    command = [sys.executable, str(ROOT / "cli.py"), "train", "--n", "600", "--prevalence", "1", "1", "--top", "digits"]
    command += [
        "--bottom",
        "textures",
        "--epochs",
        "3",
        "--measurements",
        "2",
        "--probe",
        "20",
        "--seeds",
        "0-2",
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert "seed 0" in process.stdout.readline()
    deadline = time.time() + 60
    while not list((tmp_path / "out" / "runs").glob("*/CLAIM*")) and time.time() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = {folder.name for folder in run_folders.finished(tmp_path / "out")}
    assert 1 <= len(done) < 3
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.count("done before") == len(done)
    assert len(run_folders.finished(tmp_path / "out")) == 3
    assert not list((tmp_path / "out" / "runs").glob("*/CLAIM*"))


def test_a_run_in_other_hands_is_left_alone(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """A claim of a living process, here or on another machine, is respected; one without a sign of life for long is taken over."""
    spec = RunSpec(dataset=small.spec, train=HOW)
    claim = tmp_path / "runs" / spec.id / "CLAIM"
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getppid(), "time": 0}), encoding="utf-8")
    with pytest.raises(RunError, match=f"{spec.id} is being run by process {os.getppid()} of this machine; wait for it"):
        execution.execute(spec, small, tests, tmp_path)
    claim.write_text(json.dumps({"host": "elsewhere", "pid": 5, "time": 0}), encoding="utf-8")
    with pytest.raises(RunError, match="is being run by process 5 of elsewhere"):
        execution.execute(spec, small, tests, tmp_path)
    os.utime(claim, (0, 0))
    assert execution.execute(spec, small, tests, tmp_path).fresh


def test_a_run_on_other_pictures_is_not_passed_off(tmp_path: Path) -> None:
    """A finished run whose source has other pixels now is refused, not reused."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (60, 32, 32), dtype=np.uint8), np.arange(60) % 2
    path = tmp_path / "a.npz"
    spec = DominoSpec(n=40, prevalence=(1, 0), top=str(path), bottom=str(tmp_path / "b.npz"))
    np.savez(tmp_path / "b.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    for first in (True, False):
        np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
        dealt, tests = deal_spec(spec), probes(spec, 10, 0)
        run_spec = RunSpec(dataset=spec, train=TrainSpec(epochs=1, measurements=1, probe=10))
        if first:
            assert execution.execute(run_spec, dealt, tests, tmp_path / "out").fresh
            x[0, 0, 0] ^= 1
        else:
            with pytest.raises(RunError, match="was finished with other pictures of the top half"):
                execution.execute(run_spec, dealt, tests, tmp_path / "out")


def test_a_damaged_finished_run_is_named(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """A folder marked DONE whose files are damaged is not taken for a result."""
    spec = RunSpec(dataset=small.spec, train=HOW)
    folder = execution.execute(spec, small, tests, tmp_path).folder
    (folder / "environment.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="is marked DONE but its environment.json is missing or damaged; train it again"):
        execution.execute(spec, small, tests, tmp_path)
    with pytest.raises(RunError, match="its environment.json is missing or damaged"):
        parameters.read_runs(tmp_path)


def test_an_unwritable_results_folder_is_named(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """Where nothing can be written, nothing is trained."""
    with pytest.raises(OutputError, match="cannot be made"):
        execution.execute(RunSpec(dataset=small.spec, train=HOW), small, tests, Path("/proc/nowhere"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be made"):
        execution.execute(RunSpec(dataset=small.spec, train=HOW), small, tests, tmp_path / "file")


def test_runs_are_joined_with_what_sets_them_apart(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """One table of all finished runs, with the fields in which their specs differ and what the theory must know; nothing finished is an
    error."""
    known = ["reliability_top", "reliability_bottom"]
    with pytest.raises(RunError, match="holds no finished run; expected runs/<id>/DONE"):
        parameters.read_runs(tmp_path)
    for seed in (0, 1):
        execution.execute(RunSpec(dataset=small.spec, train=HOW, seed=seed), small, tests, tmp_path)
    alone = parameters.read_runs(tmp_path)
    assert set(alone.columns) == {*tables.CURVES, *known}
    execution.execute(RunSpec(dataset=small.spec, train=HOW.model_copy(update={"lr": 0.1})), small, tests, tmp_path)
    joined = parameters.read_runs(tmp_path)
    assert joined.groupby("lr")["seed"].nunique().to_dict() == {0.01: 2, 0.1: 1}
    assert [column for column in joined if column not in tables.CURVES] == ["lr", *known]
    assert tables.table_problems(joined) == []
    assert set(parameters.read_runs(tmp_path, form="classes").columns) == {*tables.CLASSES, "lr", *known}


def test_parameters_are_the_resolved_ones(tmp_path: Path) -> None:
    """Whatever fields a spec gave, a run's columns hold prevalence, both, empty and ratio, and the number of dominoes behind max."""
    spec = DominoSpec(ratio=0.5, both=0.2, empty=0.1, top="digits", bottom="textures")
    dealt = deal_spec(spec)
    folder = execution.execute(RunSpec(dataset=spec, train=HOW), dealt, probes(spec, 50, 0), tmp_path).folder
    run = run_folders.read_run(folder)
    found = parameters.of_spec(run.spec, run.n)
    assert found["prevalence_top"] == pytest.approx(1.1 / 3)
    assert (found["ratio"], found["both"], found["empty"], found["dominoes"]) == (0.5, 0.2, 0.1, dealt.composition.n)
    assert (found["model"], found["source_bottom"]) == ("detector", "textures")


def test_a_full_device_is_a_failure_of_a_run_by_itself(
    small: Dealt, tests: dict[str, Dominoes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody else is on the device the run is FAILED with the reason; by turns it is left unfinished for others to judge."""

    def full(*_: object) -> torch.nn.Module:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(loop, "initial", full)
    spec = RunSpec(dataset=small.spec, train=HOW)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        next(execution.execute_by_turns(spec, small, tests, tmp_path, Device(torch.device("cpu"))))
    assert state.state_of(tmp_path / "runs" / spec.id) is state.State.UNFINISHED
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        execution.execute(spec, small, tests, tmp_path)
    assert state.reason(tmp_path / "runs" / spec.id) == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
