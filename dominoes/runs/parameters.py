"""Finished runs read back: their parameters, flat, and their tables joined."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dominoes import tables
from dominoes.dials import join_transforms
from dominoes.errors import RunError
from dominoes.runs import run_folders
from dominoes.runs.packed import mirror
from dominoes.runs.run_folders import Rows
from dominoes.runs.state import Damage
from dominoes.solver.shares import resolve
from dominoes.spec import SIDES, RunSpec

_IMPERFECT = tuple(f"reliability_{side}" for side in SIDES)
#: What is shown of both sides, which is told together: whether a side's prevalence moved alone is seen by what stayed.
SHOWN = (*(f"prevalence_{side}" for side in SIDES), "both")
_NO_RUN = "{} holds no finished run; expected runs/<id>/DONE in it, as 'dominoes train --out' leaves them"
# What a field is called in a table that has the measured loss too.
_COLUMNS = {"loss": "loss_function"}
_ALL_DAMAGED = "{} holds no finished run that is whole ({} are damaged); train them again"


def read_runs(out: Path | str, *, form: str = "curves", damaged: Callable[[Damage], None] | None = None) -> pd.DataFrame:
    """One table of all finished runs under `out` (`read_tables`)."""
    return read_tables(out, (form,), damaged=damaged).table(form)


@dataclass(frozen=True)
class Joined:
    """The tables of several runs, below each other in the order of the runs' ids.

    Attributes:
        tables: by form; curves and classes with the parameters in which the runs differ as further columns, all shares that are shown if
            one differs, and reliabilities below 1, which the theory needs. None of a form that a run lacks, as runs of before do.
        classes: K; None where the runs differ in it, or one does not say.
        classes_of: by run, K of those that say it.
    """

    tables: Mapping[str, pd.DataFrame | None]
    classes: int | None
    classes_of: Mapping[str, int]

    def table(self, form: str) -> pd.DataFrame:
        """A table that every run has: `curves` or `classes`."""
        found = self.tables[form]
        assert found is not None, form
        return found


def read_tables(out: Path | str, forms: Sequence[str] = ("curves",), *, damaged: Callable[[Damage], None] | None = None) -> Joined:
    """The tables of all finished runs under `out`. Every file is read once, and the rows are checked once, when all are together.

    Args:
        out: a results folder, a single run folder, or the address of packed results in an object store.
        forms: `curves`, `classes`, `joint`, `measures`.
        damaged: called with what is wrong with each run that is left out because its files are not what was written.

    Raises RunError if no finished run is left; without `damaged`, Damage at the first damaged one.
    """
    found = run_folders.finished(mirror.results(out))
    runs: list[Rows] = []
    for each in run_folders.run_rows(found, forms):
        if isinstance(each, Rows):
            runs.append(each)
        elif damaged is None:
            raise each
        else:
            damaged(each)
    if not runs:
        raise RunError(_ALL_DAMAGED.format(out, len(found)) if found else _NO_RUN.format(out))
    runs.sort(key=lambda run: run.folder.name)
    made = [of_spec(run.spec, run.n) for run in runs]
    apart = differing(made)
    names = apart + [name for name in SHOWN if name not in apart and not set(SHOWN).isdisjoint(apart)]
    names += [name for name in _IMPERFECT if name not in apart and any(each[name] < 1 for each in made)]
    columns = {name: pd.Series([each.get(name) for each in made]) for name in names}
    counts = {run.classes for run in runs}
    joined = {form: _joined(runs, form, columns if form in ("curves", "classes") else {}) for form in forms}
    known = {run.folder.name: run.classes for run in runs if run.classes is not None}
    return Joined(joined, counts.pop() if len(counts) == 1 else None, known)


def _joined(runs: Sequence[Rows], form: str, columns: Mapping[str, pd.Series]) -> pd.DataFrame | None:
    parts = [run.tables[form] for run in runs if form in run.tables]
    if len(parts) < len(runs):
        return None
    table = tables.check_table(pa.concat_tables(parts).to_pandas(), form=form, name=f"{form}.csv of {len(runs)} runs")
    of_row = np.repeat(np.arange(len(runs)), [part.num_rows for part in parts])
    return table.assign(**{name: values.take(of_row).array for name, values in columns.items()})


def read_joint(folders: Sequence[Path]) -> pd.DataFrame | None:
    """The answers crossed picture by picture of some runs, in their order; None without any, or where one lacks them, as runs of before
    do. Raises Damage."""
    runs: list[Rows] = []
    for each in run_folders.run_rows(folders, ("joint",)):
        if isinstance(each, Damage):
            raise each
        runs.append(each)
    return _joined(runs, "joint", {}) if runs else None


def of_spec(spec: RunSpec, count: int | None) -> dict[str, Any]:
    """What a run is made with, as flat columns that meet no column of its curves.

    The shares are the resolved ones, whichever fields were given: prevalence_top, prevalence_bottom, both, empty, ratio. `dominoes`
    is `count`, the number of dominoes that it is trained on. Arguments of things have a column each, such as model_args.width, which runs
    without them lack. Raises SpecError if the shares cannot be resolved.
    """
    return _of_base(without_seeds(spec)) | {"dominoes": count, "deal_seed": spec.dataset.seed}


def without_seeds(spec: RunSpec) -> RunSpec:
    """What runs that differ in seeds alone have in common."""
    return spec.model_copy(update={"seed": 0, "dataset": spec.dataset.model_copy(update={"seed": 0})})


@lru_cache(maxsize=4096)
def _of_base(spec: RunSpec) -> dict[str, Any]:
    """The columns of `of_spec`, of a spec without seeds and count."""
    shares = resolve(spec.dataset)
    ratio = float("nan") if shares.ratio is None else float(shares.ratio)
    found: dict[str, Any] = {"dominoes": None}
    found |= {f"prevalence_{side}": float(share) for side, share in zip(SIDES, (shares.top, shares.bottom), strict=True)}
    found |= {"both": float(shares.both), "empty": float(shares.empty), "ratio": ratio}
    found |= {f"reliability_{side}": share for side, share in zip(SIDES, spec.dataset.reliability, strict=True)}
    found |= {f"source_{side}": getattr(spec.dataset, side) for side in SIDES}
    found |= {f"transform_{side}": join_transforms(spec.dataset.transforms(side)) for side in SIDES} | {"swap": int(spec.dataset.swap)}
    found |= {"labels": spec.dataset.labels.value, "reuse": spec.dataset.reuse, "deal_seed": spec.dataset.seed}
    for name, value in spec.train.model_dump(mode="json").items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": _flat(part) for key, part in value.items()}
        elif isinstance(value, list):
            found[name] = " ".join(map(str, value)) or "none"
        else:
            found[_COLUMNS.get(name, name)] = value if value is not None else "" if name == "parameter_groups" else float("nan")
    return found


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else "" if value is None else value


def differing(made: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the parameters (of `parameters`) in which runs differ; beside a side's transforms its source, which they are of."""
    known = list(dict.fromkeys(name for each in made for name in each))
    names = [name for name in known if len({str(each.get(name)) for each in made}) > 1]
    of_transforms = {f"source_{side}" for side in SIDES if f"transform_{side}" in names}
    return [name for name in known if name in names or name in of_transforms]
