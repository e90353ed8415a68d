"""What goes wrong while a sweep runs costs what it must, and no finished run."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from small_sweeps import ROOT, call, command, export, run, start, write

from dominoes.data import dealing, probe_sets
from dominoes.runs import claims, state, sweep_file
from dominoes.runs.engines import local, protocol, worker
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.spec import DominoSpec


@pytest.fixture(scope="module", autouse=True)
def _decoded(cache: Path) -> None:
    """The embedded pictures are decoded before any process limits the size of files or is killed."""
    probe_sets.probes(DominoSpec(n=10, top="digits", bottom="textures"), 5, 0)
    dealing.deal_spec(DominoSpec(n=10, prevalence=(0.5, 0.5), top="digits", bottom="textures"))


def names(out: Path) -> set[str]:
    return {mark.parent.name for mark in (out / "runs").glob("*/DONE")}


@pytest.mark.slow
def test_a_diverged_run_is_marked_and_its_curve_kept(tmp_path: Path) -> None:
    """A loss that is not finite stops the run; runs.csv says diverged and where; the curve up to there is exported, all finite."""
    file = write(tmp_path / "sweep.yaml", train__lr=["1e30", 0.01], train__epochs=3, train__measurements=6)
    out = tmp_path / "out"
    printed = run(file, out, "--workers", 1, code=3)
    assert "1 of 2 runs diverged: a loss was not finite" in printed
    assert (printed.count("\ndiverged "), printed.count("\ndone ")) == (1, 1)
    assert "2 done (1 diverged)" in call("status", out)
    export(out, tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv").set_index("lr")
    assert runs["status"].to_dict() == {1e30: "diverged", 0.01: "finished"}
    assert runs.loc[1e30, "diverged_at"] == runs.loc[1e30, "steps"] < runs.loc[0.01, "steps"]
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves["loss"].notna().all()
    steps = curves.groupby("lr")["step"].max()
    assert 0 <= steps[1e30] < steps[0.01]


@pytest.mark.slow
def test_a_full_disk_fails_one_run_and_resume_repairs(tmp_path: Path) -> None:
    """The run whose files do not fit is FAILED with the reason, the others go on; with room again the same command runs just it."""
    file = write(tmp_path / "sweep.yaml", train__epochs=4, train__batch=8, train__measurements=[1, 30, 2])
    out = tmp_path / "out"
    limited = ["bash", "-c", 'ulimit -f 24; exec "$@"', "sweep", *command("run", file, "--out", out, "--device", "cpu", "--workers", 1)]
    stopped = subprocess.run([*limited, "--limit", "2"], capture_output=True, text=True, check=False)
    assert stopped.returncode == 1
    assert "1 run failed; no further run was started (--keep-going starts them)" in stopped.stderr
    done = subprocess.run([*limited, "--keep-going"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert (done.stdout.count("\ndone "), done.stdout.count("\nfailed ")) == (1, 1)
    assert "classes.csv cannot be written (File too large); nothing was changed" in done.stdout
    (failed,) = out.glob("runs/*/FAILED")
    assert "Traceback" in failed.read_text(encoding="utf-8")
    assert "2 done, 0 running, 1 failed, 0 left" in call("status", out)
    export(out, tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv").set_index("measurements")
    assert runs["status"].to_dict() == {1: "finished", 30: "failed", 2: "finished"}
    assert "File too large" in runs.loc[30, "reason"]
    printed = run(file, out, "--workers", 1)
    assert "2 done before" in printed
    assert printed.count("\ndone ") == 1
    assert not list(out.glob("runs/*/FAILED"))


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_attempt(tmp_path: Path) -> None:
    """Its run starts again in a new process; one that ends its process each time is FAILED, and the reason says how."""
    file = write(tmp_path / "sweep.yaml", dataset__n=300, train__epochs=8, train__batch=4, seed=[0, 1])
    out = tmp_path / "out"
    process = start(file, out, "--workers", 1, "--keep-going")
    killed: list[tuple[str, int]] = []
    while process.poll() is None and len(killed) < 3:
        for claim in out.glob("runs/*/CLAIM-*"):
            try:
                pid = json.loads(claim.read_text(encoding="utf-8"))["pid"]
            except (OSError, ValueError):
                continue
            # The parent's own claim, with which it marks a run FAILED, is not a worker's.
            if pid != process.pid and (claim.parent.name, pid) not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.append((claim.parent.name, pid))
        time.sleep(0.01)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    first, second, third = (name for name, _ in killed)
    assert first == second != third
    assert f"failed {first}" in printed
    assert "the worker process ended (signal 9) at this run, 2 times; signal 9 often means too little memory" in printed
    assert f"done {third}" in printed
    assert "the worker process ended (signal 9)" in state.reason(out / "runs" / first)


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL of the whole sweep, or of its first process only, at twenty random moments; then the export is the undisturbed one's."""
    rng = random.Random(0)
    file = write(tmp_path / "sweep.yaml", dataset__prevalence__bottom=0.5, dataset__prevalence__top=[0.3, 0.6], seed=list(range(22)))
    out = tmp_path / "killed"
    finished: list[set[str]] = []
    moments = 0
    while moments < 20:
        process = start(file, out, "--workers", 2)
        # Half of the moments lie anywhere from the start on, half while runs are at work.
        if moments % 2:
            time.sleep(rng.uniform(0, 2.5))
        else:
            while not list(out.glob("runs/*/CLAIM-*")) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.2))
        if process.poll() is not None:
            process.communicate()
            break
        (os.killpg if moments % 4 < 2 else os.kill)(process.pid, signal.SIGKILL)
        process.communicate()
        finished.append(names(out))
        moments += 1
    assert moments == 20
    # Nothing that was finished is ever lost.
    assert all(before <= after for before, after in itertools.pairwise(finished))
    run(file, out, "--workers", 2)
    run(file, tmp_path / "calm", "--workers", 2)
    assert export(out, tmp_path / "a") == export(tmp_path / "calm", tmp_path / "b")
    left = {path.name for path in (out / "runs").rglob("*") if path.is_file()}
    assert left == {"DONE", "classes.csv", "confusion.npz", "curves.csv", "environment.json", "joint.csv", "measures.csv", "spec.json"}


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_too(tmp_path: Path) -> None:
    """Exit code 130, one sentence, no process left behind; the runs at work are simply unfinished."""
    file = write(tmp_path / "sweep.yaml", dataset__n=300, train__epochs=500, train__batch=4, seed=[0])
    process = start(file, tmp_path / "out", "--workers", 1)
    while not (found := list(tmp_path.glob("out/runs/*/CLAIM-*"))) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.2)
    worker = json.loads(found[0].read_text(encoding="utf-8"))["pid"]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted. What is finished is kept" in errors
    assert claims._start(worker) is None
    assert "0 done, 0 running, 0 failed, 1 left" in call("status", tmp_path / "out")


@pytest.mark.slow
def test_two_launches_at_once_share_the_runs(tmp_path: Path) -> None:
    """Every run is executed by one of them; both end when all is done, and what the other did is said."""
    file = write(tmp_path / "sweep.yaml", seed=list(range(8)))
    out = tmp_path / "out"
    both = [start(file, out, "--workers", 1) for _ in range(2)]
    printed = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    lines = [line for text, _ in printed for line in text.splitlines() if line.startswith("done ")]
    mine = [line.split()[1] for line in lines if "by another launch" not in line]
    assert sorted(set(mine)) == sorted(mine)
    assert set(mine) == names(out)
    assert len(mine) == 8


def environments(out: Path) -> list[dict[str, object]]:
    """environment.json of every finished run."""
    return [json.loads(mark.with_name("environment.json").read_text(encoding="utf-8")) for mark in sorted(out.glob("runs/*/DONE"))]


@pytest.mark.slow
def test_a_pack_that_is_killed_costs_its_unfinished_runs(tmp_path: Path) -> None:
    """kill -9 of a worker with three runs at work: what was finished stays, the others begin again, each by itself, and end with the bytes
    of an undisturbed sweep."""
    file = write(tmp_path / "sweep.yaml", dataset__n=200, train__epochs=4, train__batch=4, seed=list(range(4)))
    calm, out = tmp_path / "calm", tmp_path / "out"
    assert {report.state for report in worker.attempt(sweep_file.read_sweep_file(file).runs, WorkerSetting(calm, "cpu"))} == {"done"}
    process = start(file, out, "--workers", 1, "--pack", 3)
    while len(found := list(out.glob("runs/*/CLAIM-*"))) < 3 and process.poll() is None:
        time.sleep(0.002)
    at_work = {claim.parent.name for claim in found}
    os.kill(json.loads(found[0].read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    printed, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert sorted(line.split()[1] for line in printed.splitlines() if line.startswith("done ")) == sorted(names(calm))
    for name in names(calm):
        for table in state.TABLES:
            assert (out / "runs" / name / table).read_bytes() == (calm / "runs" / name / table).read_bytes()
        assert name not in at_work or state.environment(out / "runs" / name)["packing"] == 1


@pytest.mark.slow
def test_a_cuda_error_costs_the_run_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker, useless after it, is replaced; the runs of its pack are tried again, each by itself; only the one at fault is FAILED."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from dominoes.runs.engines import worker
from dominoes.training import loop
plain = loop.row_batches
def batches(count, how, seed, *rest):
    for rows in plain(count, how, seed, *rest):
        if seed == 1:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        yield rows
loop.row_batches = batches
worker.serve()
""",
        encoding="utf-8",
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{broken}" "{ROOT}"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    runs = sweep_file.read_sweep_file(write(tmp_path / "sweep.yaml", train__epochs=4, seed=list(range(5)))).runs
    setting = WorkerSetting(tmp_path / "out", "cpu", pack=3)
    reports = list(protocol.launch(runs, lambda specs: local.local(specs, setting, workers=1), setting.out, keep_going=True))
    assert sorted((report.run, report.state) for report in reports) == sorted(
        (spec.id, "failed" if spec.seed == 1 else "done") for spec in runs
    )
    assert state.reason(setting.out / "runs" / runs[1].id) == "AcceleratorError: CUDA error: an illegal memory access was encountered"
    assert len(environments(setting.out)) == 4


@pytest.mark.slow
def test_what_a_pack_can_be(tmp_path: Path) -> None:
    """auto, or a number; on a CPU auto is one run at a time, and whatever is asked of CUDA changes nothing but the record."""
    file = write(tmp_path / "sweep.yaml", seed=[0, 1])
    for wrong in ("33", "many"):
        printed = run(file, tmp_path / "out", "--pack", wrong, code=2)
        assert f"--pack: expected auto or a whole number from 1 to 32, got '{wrong}'" in printed
    assert not (tmp_path / "out").exists()
    run(file, tmp_path / "out", "--workers", 1, "--pack", "auto", "--no-deterministic")
    assert [(each["packing"], each["deterministic"]) for each in environments(tmp_path / "out")] == [(1, True)] * 2
