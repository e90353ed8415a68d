"""Sweeps of tiny runs, and the command line that executes them, for the tests of sweeps."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FIXED = {
    "dataset.top": "digits",
    "dataset.bottom": "textures",
    "dataset.n": 60,
    "dataset.prevalence": [0.6, 0.5],
    "train.model": "mlp",
    "train.epochs": 1,
    "train.batch": 30,
    "train.measurements": 2,
    "train.probe": 10,
}


def write(path: Path, **parameters: Any) -> Path:
    """A sweep file; `__` stands for the dot in a name, a list for values."""
    changed = {name.replace("__", "."): value for name, value in parameters.items()}
    entries = {name: {"value": value} for name, value in FIXED.items() if name not in changed}
    if any(name.startswith("dataset.prevalence.") for name in changed):
        del entries["dataset.prevalence"]
    entries |= {name: {"values": value} if isinstance(value, list) else {"value": value} for name, value in changed.items()}
    path.write_text(yaml.safe_dump({"name": "tiny", "method": "grid", "parameters": entries}, sort_keys=False), encoding="utf-8")
    return path


def command(*arguments: object) -> list[str]:
    """The command line of `dominoes sweep`, for a process of its own."""
    return [sys.executable, str(ROOT / "cli.py"), "sweep", *map(str, arguments)]


def start(file: Path, out: Path, *options: object, **popen: Any) -> subprocess.Popen[str]:
    """Start `sweep run` in a session of its own, so that all of it can be killed at once."""
    arguments = command("run", file, "--out", out, "--device", "cpu", *options)
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **popen)


def run(file: Path, out: Path, *options: object, code: int = 0) -> str:
    """Execute `sweep run` to its end; what it printed, errors included."""
    return call(*("run", file, "--out", out, "--device", "cpu", *options), code=code)


def call(*arguments: object, code: int = 0) -> str:
    """Execute a command of `dominoes sweep`; what it printed, errors included."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def export(out: Path, to: Path) -> tuple[bytes, bytes]:
    """Export a sweep's results; the bytes of curves.csv and runs.csv."""
    call("export", out, "--out", to / "curves.csv", "--partial")
    return (to / "curves.csv").read_bytes(), (to / "runs.csv").read_bytes()
