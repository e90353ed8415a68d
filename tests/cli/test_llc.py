"""The command of the local learning coefficient."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from small_sweeps import ROOT

from dominoes.cli.commands import main

DOMINOES = ["--top", "digits", "--bottom", "textures", "--n", "200", "--prevalence", "0.7", "0.6", "--probe", "40"]


@pytest.mark.slow
def test_from_training_to_the_table(tmp_path: Path) -> None:
    """`train --checkpoints last`, then `llc --plan`, then `llc`; mistakes cost a sentence and write nothing."""
    runner, results, out = CliRunner(), tmp_path / "results", tmp_path / "llc.csv"
    train = ["train", *DOMINOES, "--model", "mlp", "--measurements", "2", "--checkpoints", "last", "--device", "cpu"]
    done = runner.invoke(main, [*train, "--out", str(results)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    how = "--on top,bottom --gamma 10000 --draws 30 --chains 2 --batch 16 --weights layers.5"
    few = ["llc", str(results), *how.split()]
    planned = runner.invoke(main, [*few, "--plan"], catch_exceptions=False)
    assert planned.stdout.startswith("1 checkpoints × localisations, 0 done; 2 chains × 30 steps each: 60 steps of ")
    mistakes = {
        "--plan --address auto": "--address belongs to ray",
        "": "--out is missing",
        "--on left --plan": "no kind of domino",
        "--steps x --plan": "--steps: expected whole numbers",
        "--every 0 --plan": "every 0: expected .* a look every step or more seldom",
    }
    for wrong, said in mistakes.items():
        refused = runner.invoke(main, [*few, *wrong.split()])
        assert refused.exit_code == 2
        assert re.search(said, refused.stderr)
    assert not (results / "llc").exists()
    done = runner.invoke(main, [*few, "--workers", "1", "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert list(pd.read_csv(out)["kind"]) == ["mix", "top", "bottom"]
    assert done.stdout.splitlines()[0] == "0 of 3 estimates have converged"
    assert done.stdout.splitlines()[-1] == str(out)


def _worker(out: Path, besides: set[int]) -> int:
    """The process of a claim in the results folder that is none of these; waits until there is one."""
    while True:
        for claim in out.glob("llc/*/CLAIM-*"):
            try:
                pid = int(json.loads(claim.read_text(encoding="utf-8"))["pid"])
            except (OSError, ValueError):
                continue
            if pid not in besides:
                return pid
        time.sleep(0.01)


@pytest.mark.slow
def test_calls_on_one_folder_share_the_work_and_survive_kills(tmp_path: Path) -> None:
    """A killed worker's task is done again by another; what a killed call was at is taken over by a call that shares its folder."""
    runner = CliRunner()
    results = tmp_path / "results"
    train = ["train", *DOMINOES, "--model", "mlp", "--measurements", "2", "--checkpoints", "last", "--device", "cpu"]
    assert runner.invoke(main, [*train, "--out", str(results)], catch_exceptions=False).exit_code == 0
    how = ["--on", "top", *(part for gamma in (10000, 20000, 30000, 40000) for part in ("--gamma", str(gamma)))]
    how += ["--draws", "200", "--chains", "2", "--batch", "16", "--workers", "1"]

    def start(table: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "cli.py"), "llc", str(results), *how, "--out", str(tmp_path / table)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

    first = start("killed.csv")
    dead = {_worker(results, set())}
    os.kill(min(dead), signal.SIGKILL)
    second = start("shared.csv")
    dead.add(_worker(results, dead))
    another = _worker(results, dead)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    printed, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors
    assert not (tmp_path / "killed.csv").exists()
    table = pd.read_csv(tmp_path / "shared.csv")
    assert list(table["gamma"]) == [float(gamma) for gamma in (10000, 20000, 30000, 40000) for _ in range(2)]
    assert not table["status"].str.startswith("not sampled").any()
    assert another not in dead
    assert {path.name for path in (results / "llc").glob("*/*")} == {"rows.json", "DONE"}
    assert printed.splitlines()[-1] == str(tmp_path / "shared.csv")
