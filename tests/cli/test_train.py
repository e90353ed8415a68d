"""Training from the command line: launches that share a folder, workers, and what a log file hears."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dominoes.cli import heartbeat
from dominoes.cli.commands import main
from dominoes.runs import claims, run_folders
from dominoes.runs.engines import protocol

ROOT = Path(__file__).parents[2]
SMALL = ("--n", 200, "--prevalence", 0.6, 0.5, "--top", "digits", "--bottom", "textures", "--model", "mlp", "--measurements", 2)
QUICK = (*SMALL, "--probe", 20, "--epochs", 2, "--device", "cpu")


def call(*arguments: Any) -> Result:
    """Run `dominoes train` in this process."""
    return CliRunner().invoke(main, ["train", *map(str, arguments)], catch_exceptions=False)


def tables(out: Path) -> dict[str, bytes]:
    """The curves of every finished run."""
    return {folder.name: (folder / "curves.csv").read_bytes() for folder in run_folders.finished(out)}


@pytest.mark.slow
def test_two_launches_share_the_seeds(tmp_path: Path) -> None:
    """Two commands on one folder, started together: both end well, every seed is trained once, and both tell of all of them."""
    out = tmp_path / "out"
    command = [sys.executable, ROOT / "cli.py", "train", *QUICK, "--epochs", 40, "--seeds", "0-5", "--out", out]
    both = [subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(run_folders.finished(out)) == 6
    assert all(output.count("\nrun ") + output.startswith("run ") == 6 for output, _ in said)
    assert sum(output.count("[done before]") for output, _ in said) == 6
    assert not list(out.glob("runs/*/CLAIM*"))


def test_a_seed_in_other_hands_comes_last_and_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process is at seed 0, seed 1 is trained; this is said, and when that one gives up, it is taken over."""
    monkeypatch.setattr(protocol, "POLL_SECONDS", 0.02)
    alone = tmp_path / "alone"
    call(*QUICK, "--seeds", "0-1", "--out", alone)
    first = re.findall(r"run (\w+) seed 0", call(*QUICK, "--seeds", "0-1", "--out", alone).stdout)[0]
    out = tmp_path / "out"
    with claims.claimed(out / "runs" / first) as claim:
        ended = threading.Event()

        def give_up() -> None:
            while len(run_folders.finished(out)) < 1:
                time.sleep(0.02)
            ended.set()
            claim.release()

        thread = threading.Thread(target=give_up)
        thread.start()
        result = call(*QUICK, "--seeds", "0-1", "--out", out)
        thread.join()
    assert ended.is_set()
    assert result.exit_code == 0
    assert re.findall(r"seed (\d):", result.stdout) == ["1", "0"]
    assert f"Note: {first} is being run by process {os.getpid()} of this machine; it is waited for" in result.stderr
    assert tables(out) == tables(alone)


@pytest.mark.slow
def test_workers_train_what_one_process_trains(tmp_path: Path) -> None:
    """Two workers leave the bytes that one process does, from a dataset folder too; a second call says that all was done before."""
    build = ["build", *SMALL[:9], "--out", tmp_path / "set"]
    assert CliRunner().invoke(main, [*map(str, build)]).exit_code == 0
    how = ("--model", "mlp", "--measurements", 2, "--probe", 20, "--epochs", 2, "--device", "cpu", "--seeds", "0-2")
    here = call(tmp_path / "set", *how, "--out", tmp_path / "here")
    workers = call(tmp_path / "set", *how, "--workers", 2, "--out", tmp_path / "workers")
    assert (here.exit_code, workers.exit_code) == (0, 0)
    assert tables(tmp_path / "here") == tables(tmp_path / "workers")
    assert len(tables(tmp_path / "here")) == 3
    assert sorted(re.findall(r"seed (\d):", workers.stdout)) == ["0", "1", "2"]
    assert "done before" not in workers.stdout
    again = call(tmp_path / "set", *how, "--workers", 2, "--out", tmp_path / "workers")
    assert again.stdout.count("[done before]") == 3


def test_a_damaged_run_is_trained_again(tmp_path: Path) -> None:
    """Cut off, or with a digit changed: `train` makes what was there, and the next call finds it done."""
    call(*QUICK, "--out", tmp_path)
    before = tables(tmp_path)
    (folder,) = run_folders.finished(tmp_path)
    for content in (before[folder.name][:300], before[folder.name].replace(b",0.", b",0.9", 1), b""):
        (folder / "curves.csv").write_bytes(content)
        result = call(*QUICK, "--out", tmp_path)
        assert result.exit_code == 0
        assert "done before" not in result.stdout
        assert tables(tmp_path) == before
    assert "done before" in call(*QUICK, "--out", tmp_path).stdout


def test_threads_are_as_many_as_there_are_cores_at_most(tmp_path: Path) -> None:
    """More are capped with a note; beside workers, which have one thread each, they are refused."""
    result = call(*QUICK, "--threads", 1000, "--out", tmp_path)
    assert result.exit_code == 0
    assert "Note: --threads 1000 is more than the" in result.stderr
    refused = call(*QUICK, "--threads", 2, "--workers", 2, "--out", tmp_path / "b")
    assert refused.exit_code == 2
    assert "--threads 2 is for runs one after the other" in refused.stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_log_file_hears_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no bar is drawn, a line comes at least every so often, with the seed and the step, or the runs of a sweep that ended."""
    assert heartbeat.EVERY <= 30
    monkeypatch.setattr(heartbeat, "EVERY", 0.05)
    result = call(*QUICK, "--epochs", 60, "--seeds", "0-1", "--out", tmp_path)
    assert re.search(r"^[01] of 2 runs ended, seed \d: step \d+ of \d+ \[\d+ s\]$", result.stderr, re.MULTILINE)
    with heartbeat.heartbeat(lambda: "never said", every=60):
        pass


def test_a_terminal_has_its_bar_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No line is put between the bars."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with heartbeat.heartbeat(lambda: "said", every=0.01):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_each_run_is_a_line_of_json(tmp_path: Path) -> None:
    """--json prints a line for each run as it ends, with the last row of its curves; a second call says that they were there."""
    out = tmp_path / "out"
    lines = [json.loads(line) for line in call(*QUICK, "--seeds", "0-1", "--out", out, "--json").stdout.splitlines()]
    assert [(line["seed"], line["status"], line["fresh"]) for line in lines] == [(0, "finished", True), (1, "finished", True)]
    for line in lines:
        table = pd.read_csv(Path(line["folder"]) / "curves.csv")
        last = table[(table["split"] == "test") & (table["step"] == line["step"])].set_index("kind")
        assert line["step"] == table["step"].max()
        assert {kind: (row["accuracy"], row["loss"]) for kind, row in line["test"].items()} == {
            kind: (last.accuracy[kind], last.loss[kind]) for kind in last.index
        }
    again = [json.loads(line) for line in call(*QUICK, "--seeds", "0-1", "--out", out, "--json").stdout.splitlines()]
    assert [line["fresh"] for line in again] == [False, False]
    assert [line["test"] for line in again] == [line["test"] for line in lines]
