"""Finished runs shown in other tools. The run folder's CSV files stay the truth: these read them, nothing reads back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dominoes import registry
from dominoes.errors import RunError
from dominoes.runs import run_folders
from dominoes.runs.state import RUNS
from dominoes.spec import RunSpec

# Called with each finished run.
Log = Callable[[RunSpec], None]


def logger(which: str, out: Path, name: str) -> Log:
    """What to call with each finished run.

    A logger is brought as a callable (out, name) that gives such a function.

    Args:
        which: tensorboard writes event files under `out`/tensorboard; wandb runs under `out`/wandb, offline unless WANDB_MODE says
            otherwise; or another name of the registry.
        out: results folder.
        name: of the sweep.

    Raises RegistryError if there is no such logger, RunError if its package is not installed.
    """
    entry = registry.find("loggers", which)
    make = entry.load()
    registry.check_call(make, entry.said, ("out", "name"), {})
    try:
        found: Log = make(out, name)
    except ImportError as error:
        raise RunError(f"--log {which} needs {which}, which is not installed: pip install 'dominoes[{which}]'") from error
    return found


def _series(spec: RunSpec, out: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, values by split/kind/metric) of a run, what is not there left out."""
    table = run_folders.read_run(out / RUNS / spec.id).table()
    long = table.melt(["step", "split", "kind"], ["loss", "accuracy", "agree_top", "agree_bottom"], "metric").dropna()
    long["name"] = long["split"] + "/" + long["kind"] + "/" + long["metric"]
    return [(int(str(step)), dict(zip(rows["name"], rows["value"], strict=True))) for step, rows in long.groupby("step")]


def _tensorboard(out: Path, name: str) -> Log:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def log(spec: RunSpec) -> None:
        folder = out / "tensorboard" / f"{name}-{spec.id}"
        if folder.exists():
            return
        writer = EventFileWriter(str(folder))
        for step, values in _series(spec, out):
            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            writer.add_event(Event(step=step, wall_time=float(step), summary=Summary(value=points)))
        writer.close()

    return log


def _wandb(out: Path, name: str) -> Log:
    import wandb

    mode: Any = os.environ.get("WANDB_MODE", "offline")

    def log(spec: RunSpec) -> None:
        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True)
        config = {str(name): value for name, value in pd.json_normalize(spec.model_dump(mode="json")).iloc[0].items()}
        run = wandb.init(
            project="dominoes", group=name, id=spec.id, name=spec.id, dir=str(out), mode=mode, config=config, settings=settings
        )
        for step, values in _series(spec, out):
            run.log(values, step=step)
        run.finish()

    return log


LOGGERS: dict[str, Callable[[Path, str], Log]] = {"tensorboard": _tensorboard, "wandb": _wandb}
