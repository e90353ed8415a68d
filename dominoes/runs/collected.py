"""The results of a sweep as tables: curves with what was swept beside them, and one row for each run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from dominoes import files, tables
from dominoes.errors import OutputError, RunError, SpecError
from dominoes.runs import parameters, progress, run_folders, state
from dominoes.runs.packed.columns import TYPES, arrow_source, header
from dominoes.runs.plan import Plan, Planned, Refused
from dominoes.runs.progress import Survey
from dominoes.runs.state import RUNS, State
from dominoes.spec import RunSpec

# Always there, so that tables of different sweeps can be put together; other parameters only where runs differ in them.
ALWAYS = (
    "dominoes",
    "prevalence_top",
    "prevalence_bottom",
    "both",
    "empty",
    "ratio",
    "reliability_top",
    "reliability_bottom",
    "model",
    "lr",
)
RUNS_TABLE = "runs.csv"
# A table's own columns keep their names; a parameter that would meet one is joined under another.
_INSTEAD = {"probe": "probe_size"}
# Runs that are read and written as one: few enough for the memory, many enough for speed.
_CHUNK = 200


@dataclass(frozen=True)
class Collected:
    """What was exported.

    Attributes:
        files: that were written.
        runs: finished runs in them; missing: runs of the plan that are not finished.
        without: by table, finished runs that have none, because an earlier version made them.
        damaged: by id, what is wrong with runs that were left out although they are marked DONE.
    """

    files: tuple[Path, ...]
    runs: int
    missing: int
    damaged: Mapping[str, str]
    without: Mapping[str, int]


def export_table(plan: Plan, out: Path, path: Path, *, classes: bool = False, joint: bool = False, measures: bool = False) -> Collected:
    """Write the curves of all finished runs of a plan as one table, and runs.csv beside it.

    Rows are in the plan's order, whatever order the runs ended in: equal results are equal bytes. A run whose files are not what
    was written is left out and named.

    Args:
        plan: of the sweep.
        out: its results folder.
        path: table to write, .csv or .parquet.
        classes: write the curves by class too, as classes.csv (or .parquet) beside it.
        joint: write the crossed answers too, as joint.csv.
        measures: write the further measures too, as measures.csv.

    Raises OutputError, and RunError if no run is finished.
    """
    if path.suffix not in (".csv", ".parquet") or path.name == RUNS_TABLE:
        raise OutputError(f"{path}: curves are written as .csv or .parquet (and {RUNS_TABLE} beside them), pass such an --out")
    found, done = _done(plan, out)
    columns = _columns(plan)
    written = [path]
    _write(done, columns, out, path, "curves")
    without = {}
    for form in [form for form, wanted in (("classes", classes), ("joint", joint), ("measures", measures)) if wanted]:
        having = [run for run in done if form == "classes" or f"{form}.csv" in found.environments[run.id]["files"]]
        if len(having) < len(done):
            without[form] = len(done) - len(having)
        if not having:
            raise RunError(f"{out}: no finished run has a {form}.csv, an earlier version made them; leave out --with-{form}")
        written.append(path.with_name(f"{form}{path.suffix}"))
        _write(having, columns, out, written[-1], form)
    written.append(path.with_name(RUNS_TABLE))
    files.write(written[-1], _runs_table(plan, columns, found, out))
    return Collected(tuple(written), len(done), len(plan.runs) - len(done), found.damaged, without)


def copy(plan: Plan, out: Path, stream: TextIO) -> Collected:
    """Write the curves of all finished runs of a plan to an open file, as CSV; else as `export_table` does. Raises RunError."""
    found, done = _done(plan, out)
    _copy(done, _columns(plan), out, stream, "curves")
    return Collected((), len(done), len(plan.runs) - len(done), found.damaged, {})


def _done(plan: Plan, out: Path) -> tuple[Survey, list[Planned]]:
    found = progress.survey(plan, out, deep=True)
    done = [run for run in plan.runs if run.id in found.environments]
    if not done:
        raise RunError(f"{out} holds no finished run of this sweep; run it with 'dominoes sweep run', or ask 'dominoes sweep status {out}'")
    return found, done


def _columns(plan: Plan) -> dict[str, dict[str, Any]]:
    """By run id, the columns that are joined to its curves: the same names for every run."""
    # Runs that differ in seeds alone, of which there may be very many, have the same parameters but for the deal's seed.
    kinds: dict[tuple[RunSpec, int], dict[str, Any]] = {}
    deals: dict[int, dict[str, Any]] = {}
    # Runs that share dataset and training as objects, as those of a record do, have the same columns.
    known = {(id(run.spec.dataset), id(run.spec.train), run.n): run for run in plan.runs}
    for run in known.values():
        key = (parameters.without_seeds(run.spec), run.n)
        if key not in kinds or (run.spec.dataset.seed not in deals and len(deals) < 2):
            made = parameters.of_spec(run.spec, run.n)
            kinds.setdefault(key, made)
            deals.setdefault(run.spec.dataset.seed, made)
    apart = parameters.differing([*kinds.values(), *deals.values()])
    names = dict.fromkeys(name for each in kinds.values() for name in each)
    kept = [name for name in names if name in ALWAYS or name in apart]

    def chosen(run: Planned) -> dict[str, Any]:
        found = parameters.of_spec(run.spec, run.n)
        return {name: found.get(name) for name in kept}

    made_of = {key: chosen(run) for key, run in known.items()}
    return {run.id: made_of[id(run.spec.dataset), id(run.spec.train), run.n] for run in plan.runs}


def _called(names: list[str], form: str) -> list[str]:
    return [_INSTEAD.get(name, name) if name in tables.COLUMNS[form] else name for name in names]


def _copy(done: list[Planned], columns: Mapping[str, Mapping[str, Any]], out: Path, file: TextIO, form: str) -> None:
    head = header(form)
    file.write(head[:-1] + "," + _line(_called(list(columns[done[0].id]), form)))
    for run, rows in zip(done, _rows([run.id for run in done], out, form), strict=True):
        # The tables' own digits are copied: what is exported is, to the letter, what was measured.
        file.write(rows.replace("\n", "," + _line(columns[run.id].values())))


def _write(done: list[Planned], columns: Mapping[str, Mapping[str, Any]], out: Path, path: Path, form: str) -> None:
    names = list(columns[done[0].id])
    called = _called(names, form)
    with files.replacing(path) as temporary:
        if path.suffix == ".csv":
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                _copy(done, columns, out, file, form)
            return
        own = [(name, TYPES[name]) for name in tables.COLUMNS[form]]
        schema = pa.schema([*own, *((called_so, _type(columns, name)) for called_so, name in zip(called, names, strict=True))])
        with parquet.ParquetWriter(temporary, schema) as writer:
            for chunk in _chunks([run.id for run in done]):
                texts = list(_rows(chunk, out, form))
                source = arrow_source((header(form) + "".join(texts)).encode())
                read = arrow_csv.read_csv(source, convert_options=arrow_csv.ConvertOptions(column_types=TYPES))
                lengths = [text.count("\n") for text in texts]
                for called_so, name in zip(called, names, strict=True):
                    values = pa.array([columns[run][name] for run in chunk], _type(columns, name))
                    read = read.append_column(called_so, values.take(pa.array(np.repeat(np.arange(len(chunk)), lengths))))
                writer.write_table(read)


def _rows(runs: Sequence[str], out: Path, form: str) -> Iterator[str]:
    """The lines of each run's table. Raises RunError: it was damaged since the survey, or is of another form."""
    head = header(form)
    for run, text in zip(runs, run_folders.texts((out / RUNS / run for run in runs), form), strict=True):
        if not text.startswith(head):
            raise RunError(
                f"{out / RUNS / run}/{form}.csv has other columns than {head.strip()}; remove this folder and run the sweep again"
            )
        yield text[len(head) :]


def _chunks(runs: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(runs), _CHUNK):
        yield runs[start : start + _CHUNK]


def _type(columns: Mapping[str, Mapping[str, Any]], name: str) -> pa.DataType:
    value = next((each[name] for each in columns.values() if each[name] is not None), None)
    return pa.string() if isinstance(value, str) else pa.int64() if isinstance(value, int) else pa.float64()


def _line(values: Any) -> str:
    """Values as a line of CSV; a number that is not there is empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow("" if value is None or value != value else value for value in values)
    return buffer.getvalue()


def _runs_table(plan: Plan, columns: Mapping[str, Mapping[str, Any]], found: Survey, out: Path) -> str:
    """One row for each run of the plan, infeasible ones too. Holds no times: equal results are equal bytes."""
    names = list(next(iter(columns.values())))
    head = ("run", "seed", "status", "steps", "diverged_at")
    lines = [_line([*head, *names, "package", "torch", "device", "reason"])]
    for run in plan.runs:
        name = run.id
        environment = found.environments.get(name, {})
        which = found.states[name]
        status = str(environment["status"]) if environment else "damaged" if name in found.damaged else which.value
        reason = found.damaged.get(name) or (state.reason(out / RUNS / name) if which is State.FAILED else "")
        about = [environment.get(key) for key in ("package", "torch", "device")]
        start = [name, run.spec.seed, status, environment.get("steps"), environment.get("diverged_at")]
        lines.append(_line([*start, *(columns[name][column] for column in names), *about, reason]))
    for refused in plan.infeasible:
        made = _asked(refused)
        start = [refused.spec.id, refused.spec.seed, "infeasible", None, None]
        lines.append(_line([*start, *(made.get(column) for column in names), None, None, None, refused.reason]))
    return "".join(lines)


def _asked(refused: Refused) -> dict[str, Any]:
    try:
        return parameters.of_spec(refused.spec, None)
    except SpecError:
        # Fields that contradict each other resolve to no shares.
        return {}
