"""The local engine and what it survives: every run ends DONE once, whatever is killed, full, damaged, edited or done at once."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_sweeps import ROOT, call, export, run, start, write

from dominoes import __version__
from dominoes.data import dealing, probe_sets
from dominoes.runs import plan, state, sweep_file
from dominoes.runs.engines import local, protocol
from dominoes.runs.engines.protocol import RunReport, WorkerSetting
from dominoes.spec import DominoSpec, RunSpec


@pytest.fixture(scope="module", autouse=True)
def _decoded(cache: Path) -> None:
    """The embedded pictures are decoded before any process limits the size of files or is killed."""
    probe_sets.probes(DominoSpec(n=10, top="digits", bottom="textures"), 5, 0)
    dealing.deal_spec(DominoSpec(n=10, prevalence=(0.5, 0.5), top="digits", bottom="textures"))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sweep of four runs, finished: its file and its folder. Tests copy it."""
    place = tmp_path_factory.mktemp("swept")
    file = write(place / "sweep.yaml", dataset__prevalence__bottom=0.5, dataset__prevalence__top=[0.3, 0.6], seed=[0, 1])
    printed = run(file, place / "out", "--workers", 2)
    assert printed.startswith("tiny: 4 runs, 0 done before")
    assert printed.count("\ndone ") == 4
    return file, place / "out"


def names(out: Path) -> set[str]:
    return {mark.parent.name for mark in (out / "runs").glob("*/DONE")}


@pytest.mark.slow
def test_a_second_call_runs_nothing(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """No byte of a finished run changes, no process is started; status and export agree with what was run."""
    file, out = swept
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted((out / "runs").rglob("*")) if path.is_file()}
    assert run(file, out) == "tiny: 4 runs, 4 done before\n"
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted((out / "runs").rglob("*")) if path.is_file()}
    assert call("status", out).startswith("tiny: 4 runs: 4 done, 0 running, 0 failed, 0 left")
    curves = pd.read_csv(tmp_path / "curves.csv") if export(out, tmp_path) else None
    assert curves is not None
    assert curves["run"].nunique() == 4
    assert set(curves["prevalence_top"]) == {0.3, 0.6}


def test_datasets_are_composed_once_and_shared(swept: tuple[Path, Path]) -> None:
    """A dataset folder for each distinct dataset, whole and verified, beside the runs that were trained on it."""
    from dominoes.data import folder

    _, out = swept
    found = list((out / "datasets").iterdir())
    assert len(found) == 4
    assert all(folder.verify_dataset(place) == [] for place in found)
    environments = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("runs/*/environment.json")]
    metadata = {json.loads((place / "digests.json").read_text(encoding="utf-8"))["metadata.csv"] for place in found}
    assert {environment["digests"]["deal"] for environment in environments} == metadata


def test_the_engine_trains_what_one_process_trains(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """A worker's curves are those of `dominoes train`, byte for byte: nothing depends on where a run was executed."""
    from click.testing import CliRunner

    from dominoes.cli.commands import main

    _, out = swept
    options = "--n 60 --prevalence 0.3 0.5 --top digits --bottom textures --model mlp --epochs 1 --batch 30 --measurements 2 --probe 10"
    result = CliRunner().invoke(main, ["train", *options.split(), "--device", "cpu", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "runs").iterdir()
    for table in state.TABLES:
        assert (folder / table).read_bytes() == (out / "runs" / folder.name / table).read_bytes()


@pytest.mark.slow
def test_an_edited_sweep_file_runs_the_new_points_only(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """Points that are gone stay on disk and are not exported; points that are new run; the change is said."""
    _, finished = swept
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    file = write(tmp_path / "sweep.yaml", dataset__prevalence__bottom=0.5, dataset__prevalence__top=[0.6], seed=[0, 1, 2])
    printed = run(file, out, "--workers", 1)
    assert "the sweep file has changed: 1 run is new, 2 are no longer in it (kept, not exported)" in printed
    assert "tiny: 3 runs, 2 done before" in printed
    assert (printed.count("\ndone "), len(names(out))) == (1, 5)
    assert "3 done, 0 running, 0 failed, 0 left, 2 finished ones of another sweep file" in call("status", out)
    curves, _ = export(out, tmp_path)
    assert curves.count(b"\n") > 1
    assert set(pd.read_csv(tmp_path / "curves.csv")["prevalence_top"]) == {0.6}


@pytest.mark.slow
def test_a_damaged_run_is_reported_rerun_and_never_exported(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """One byte of a table changed, a table cut off, environment.json torn: each is named, left out, and runs again to the same bytes."""
    file, finished = swept
    good = export(finished, tmp_path / "good")
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    a, b, c, d = sorted(path for path in (out / "runs").iterdir())
    text = (a / "curves.csv").read_text(encoding="utf-8")
    (a / "curves.csv").write_text(text.replace(",0.", ",1.", 1), encoding="utf-8")
    (b / "classes.csv").write_text("run,", encoding="utf-8")
    (c / "environment.json").write_text("{", encoding="utf-8")
    status = call("status", out)
    assert "1 done, 0 running, 0 failed, 3 left" in status
    assert f"damaged {b.name}: classes.csv has 4 bytes" in status
    printed = call("export", out, "--out", tmp_path / "bad" / "curves.csv", code=3)
    assert f"left out, damaged: run {a.name}: curves.csv is not what was written (its SHA-256 differs)" in printed
    assert f"left out, damaged: run {c.name}: its environment.json is missing or damaged" in printed
    assert set(pd.read_csv(tmp_path / "bad" / "curves.csv", dtype={"run": str})["run"]) == {d.name}
    assert pd.read_csv(tmp_path / "bad" / "runs.csv")["status"].value_counts().to_dict() == {"damaged": 3, "finished": 1}
    printed = run(file, out, "--workers", 1)
    assert printed.count("is marked DONE but damaged, it runs again") == 3
    assert printed.count("\ndone ") == 3
    assert export(out, tmp_path / "again") == good


@pytest.mark.slow
def test_a_copied_folder_goes_on_elsewhere(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """What was finished counts; a claim that was copied along belongs to a machine that is not here, and its silence frees the run."""
    _, finished = swept
    out = Path(shutil.copytree(finished, tmp_path / "elsewhere"))
    file = write(tmp_path / "sweep.yaml", dataset__prevalence__bottom=0.5, dataset__prevalence__top=[0.3, 0.6], seed=[0, 1, 2])
    spec = sweep_file.read_sweep_file(file).runs[-1]
    claim = out / "runs" / spec.id / "CLAIM-copied"
    claim.parent.mkdir()
    claim.write_text(json.dumps({"host": "first", "boot": "b", "pid": 1, "start": "1", "time": 0}), encoding="utf-8")
    process = start(file, out, "--workers", 1)
    while len(names(out)) < 5 and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    assert process.poll() is None
    os.utime(claim, (0, 0))
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "6 runs, 4 done before" in printed
    assert len(names(out)) == 6


@pytest.mark.slow
def test_where_nothing_can_be_written_nothing_runs(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """Read-only output is one sentence and exit code 2; a finished sweep can still be asked for its status, and exported elsewhere."""
    file, finished = swept
    assert "cannot be written" in run(file, Path("/proc/nowhere"), code=2)
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    places = [out, *(path for path in out.rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    try:
        assert "4 done" in call("status", out)
        assert export(out, tmp_path / "a") == export(finished, tmp_path / "b")
        if os.geteuid() != 0:
            assert "cannot be written (Permission denied)" in run(file, out, code=2)
    finally:
        for place in places:
            place.chmod(0o755)


def test_other_pictures_and_another_package_are_noticed(swept: tuple[Path, Path], tmp_path: Path) -> None:
    """Finished runs that this package, or these pictures, would not make are named; --accept-changed keeps them and goes on."""
    file, finished = swept
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    a, b, *_ = sorted((out / "runs").iterdir())
    for folder, change in ((a, {"package": "0.0.1"}), (b, {"digests": {"top": "0" * 64}})):
        path = folder / "environment.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content |= {key: content[key] | value if isinstance(value, dict) else value for key, value in change.items()}
        path.write_text(state.sealed(content), encoding="utf-8")
    printed = run(file, out, code=2)
    assert f"1 finished runs were made by dominoes 0.0.1 (this is {__version__})" in printed
    assert "1 finished runs were made from other pictures of the top half; " in printed
    assert "; pass --accept-changed to keep them" in printed
    assert "4 runs, 4 done before" in run(file, out, "--accept-changed")


@pytest.mark.slow
def test_infeasible_points_are_all_found_before_anything_runs(tmp_path: Path) -> None:
    """Each with the solver's reason; nothing is written. --skip-infeasible goes on without them and records them in runs.csv."""
    file = write(tmp_path / "sweep.yaml", dataset__n=[60, 5000, 9000], seed=[0, 1])
    out = tmp_path / "out"
    printed = run(file, out, code=2)
    assert "4 of 6 runs have no dataset; change these points, or pass --skip-infeasible" in printed
    assert "n 5000 (2 runs): n = 5000 with" in printed
    assert "n 9000 (2 runs): n = 9000 with" in printed
    assert not out.exists()
    assert "tiny: 2 runs, 0 done before, 4 infeasible" in run(file, out, "--skip-infeasible", "--workers", 1)
    export(out, tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert runs["status"].value_counts().to_dict() == {"infeasible": 4, "finished": 2}
    assert runs.loc[runs["status"] == "infeasible", "reason"].str.contains("digits|textures").all()
    assert "2 done, 0 running, 0 failed, 0 left, 4 infeasible" in call("status", out)


@pytest.mark.slow
def test_what_no_run_could_do_is_said_before_the_first(tmp_path: Path) -> None:
    """A probe that the test pictures do not suffice for, or a device that is not here: one sentence, exit code 2, nothing written."""
    file = write(tmp_path / "sweep.yaml", train__probe=1000)
    assert "probe 1000: the test splits of digits and textures have pictures for 340" in run(file, tmp_path / "out", code=2)
    if not torch.backends.mps.is_available():
        assert "device mps is not available here" in run(write(file), tmp_path / "out", "--device", "mps", code=2)
    assert not (tmp_path / "out").exists()


def fake(states: dict[str, list[str]], started: list[str]) -> protocol.Engine:
    """An engine that gives each run its next state."""

    def engine(specs: Iterator[RunSpec]) -> Iterator[RunReport]:
        for spec in specs:
            started.append(spec.id)
            yield RunReport(spec.id, states[spec.id].pop(0), "why")

    return engine


def test_a_failure_stops_what_has_not_started(tmp_path: Path) -> None:
    """Without keep_going no further run starts; with it all do."""
    specs = [RunSpec(dataset={}, train={}, seed=seed) for seed in range(4)]
    for keep_going, count in ((False, 2), (True, 4)):
        started: list[str] = []
        states = {spec.id: ["failed" if spec.seed == 1 else "done"] for spec in specs}
        reports = list(protocol.launch(specs, fake(states, started), tmp_path, keep_going=keep_going))
        assert len(reports) == len(started) == count


def test_runs_in_other_hands_are_waited_for_or_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the other launch finishes is reported as its work; one that it drops is run here."""
    monkeypatch.setattr(protocol, "POLL_SECONDS", 0.01)
    finished, dropped = (RunSpec(dataset={}, train={}, seed=seed) for seed in range(2))
    (tmp_path / "runs" / finished.id).mkdir(parents=True)
    (tmp_path / "runs" / finished.id / "DONE").touch()
    states = {finished.id: ["running"], dropped.id: ["running", "done"]}
    started: list[str] = []
    reports = list(protocol.launch([finished, dropped], fake(states, started), tmp_path))
    assert [(report.run, report.state) for report in reports] == [(finished.id, "done"), (dropped.id, "done")]
    assert started == [finished.id, dropped.id, dropped.id]
    assert reports[0].reason == "by another launch"


def test_a_dataset_of_other_pictures_is_composed_anew(tmp_path: Path) -> None:
    """What lies in the folder is used only if it is whole and made of the pictures that are here."""
    spec = DominoSpec(n=40, prevalence=(0.5, 0.5), top="digits", bottom="textures")
    setting = WorkerSetting(tmp_path)
    protocol.compose(spec, setting)
    place = protocol.dataset_folder(spec, tmp_path)
    before = (place / "metadata.csv").read_bytes()
    (place / "metadata.csv").write_bytes(before + b"\n")
    protocol.compose(spec, setting)
    assert (place / "metadata.csv").read_bytes() == before
    stamp = (place / "digests.json").stat().st_mtime_ns
    protocol.compose(spec, setting)
    assert (place / "digests.json").stat().st_mtime_ns == stamp


def test_workers_are_as_many_as_cores_without_gpus() -> None:
    """One for each core that this process may use; a CPU sweep asks no GPU."""
    assert local.workers_here("cpu") == len(os.sched_getaffinity(0))
    assert local.gpus("cpu") == 0


@pytest.mark.slow
def test_the_smoke_sweep_works(tmp_path: Path) -> None:
    """The shipped file, from start to export."""
    run(ROOT / "sweeps" / "smoke.yaml", tmp_path / "out")
    export(tmp_path / "out", tmp_path)
    assert len(plan.load_plan(tmp_path / "out").runs) == 4


def test_a_setting_travels_whole(tmp_path: Path) -> None:
    """What a worker is told is what was said."""
    for setting in (WorkerSetting(tmp_path), WorkerSetting(tmp_path, "cuda", tmp_path / "data", True, 7, False)):
        assert WorkerSetting.loads(setting.dumps()) == setting


class _Slow(queue.SimpleQueue):  # type: ignore[type-arg]
    """A queue whose senders are slow to listen again, as they are on a crowded machine."""

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        super().put(item)
        time.sleep(0.3)


def test_a_worker_that_ended_leaves_no_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who listens to a worker has heard its end before the pipe is closed, so that nothing is written while the interpreter ends."""
    start_process = subprocess.Popen
    echo = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    monkeypatch.setattr(local.subprocess, "Popen", lambda _, **how: start_process([sys.executable, "-S", "-c", echo], **how))
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    before = set(threading.enumerate())
    replies: queue.SimpleQueue[tuple[local._Process, str | None]] = _Slow()
    process = local._Process(WorkerSetting(tmp_path, "cpu"), None, replies)
    assert replies.get()[1]
    assert process.end() == "signal 9"
    assert set(threading.enumerate()) <= before
    assert raised == []
