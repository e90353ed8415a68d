"""The results of a sweep as tables: curves with what was swept beside them, and one row for each run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from dominoes import files, tables
from dominoes.errors import OutputError, RunError, SpecError
from dominoes.runs import parameters, progress, run_folders, state
from dominoes.runs.plan import Plan, Planned, Refused
from dominoes.runs.progress import Survey
from dominoes.runs.state import RUNS, State

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
_TYPES = {
    **dict.fromkeys(("run", "split", "kind", "probe", "answer", "measure"), pa.string()),
    **dict.fromkeys(("seed", "step", "samples", "n", "label", "top_alone", "bottom_alone"), pa.int64()),
    **dict.fromkeys(("epoch", "loss", "accuracy", "agree_top", "agree_bottom", "value"), pa.float64()),
}
# A table's own columns keep their names; a parameter that would meet one is joined under another.
_INSTEAD = {"probe": "probe_size"}
# Runs that are read and written as one: few enough for the memory, many enough for speed.
_CHUNK = 200


@dataclass(frozen=True)
class Harvest:
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


def export(plan: Plan, out: Path, path: Path, *, classes: bool = False, joint: bool = False, measures: bool = False) -> Harvest:
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
        having = [run for run in done if form == "classes" or f"{form}.csv" in found.environments[run.spec.id]["files"]]
        if len(having) < len(done):
            without[form] = len(done) - len(having)
        if not having:
            raise RunError(f"{out}: no finished run has a {form}.csv, an earlier version made them; leave out --with-{form}")
        written.append(path.with_name(f"{form}{path.suffix}"))
        _write(having, columns, out, written[-1], form)
    written.append(path.with_name(RUNS_TABLE))
    files.write(written[-1], _runs_table(plan, columns, found, out))
    return Harvest(tuple(written), len(done), len(plan.runs) - len(done), found.damaged, without)


def copy(plan: Plan, out: Path, stream: TextIO) -> Harvest:
    """Write the curves of all finished runs of a plan to an open file, as CSV; else as `export` does. Raises RunError."""
    found, done = _done(plan, out)
    _copy(done, _columns(plan), out, stream, "curves")
    return Harvest((), len(done), len(plan.runs) - len(done), found.damaged, {})


def _done(plan: Plan, out: Path) -> tuple[Survey, list[Planned]]:
    found = progress.survey(plan, out, deep=True)
    done = [run for run in plan.runs if run.spec.id in found.environments]
    if not done:
        raise RunError(f"{out} holds no finished run of this sweep; run it with 'dominoes sweep run', or ask 'dominoes sweep status {out}'")
    return found, done


def _columns(plan: Plan) -> dict[str, dict[str, Any]]:
    """By run id, the columns that are joined to its curves: the same names for every run."""
    made = {run.spec.id: parameters.of_spec(run.spec, run.n) for run in plan.runs}
    apart = parameters.differing(list(made.values()))
    kept = [name for name in dict.fromkeys(name for each in made.values() for name in each) if name in ALWAYS or name in apart]
    return {run: {name: each.get(name) for name in kept} for run, each in made.items()}


def _called(names: list[str], form: str) -> list[str]:
    return [_INSTEAD.get(name, name) if name in tables.COLUMNS[form] else name for name in names]


def _copy(done: list[Planned], columns: Mapping[str, Mapping[str, Any]], out: Path, file: TextIO, form: str) -> None:
    header = ",".join(tables.COLUMNS[form]) + "\n"
    file.write(header[:-1] + "," + _line(_called(list(columns[done[0].spec.id]), form)))
    for run in done:
        # The tables' own digits are copied: what is exported is, to the letter, what was measured.
        rows = _rows(out / RUNS / run.spec.id, form, header)
        file.write(rows.replace("\n", "," + _line(columns[run.spec.id].values())))


def _write(done: list[Planned], columns: Mapping[str, Mapping[str, Any]], out: Path, path: Path, form: str) -> None:
    folders = {run.spec.id: out / RUNS / run.spec.id for run in done}
    header = ",".join(tables.COLUMNS[form]) + "\n"
    names = list(columns[done[0].spec.id])
    called = _called(names, form)
    with files.replacing(path) as temporary:
        if path.suffix == ".csv":
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                _copy(done, columns, out, file, form)
            return
        schema = pa.schema(
            [
                *((name, _TYPES[name]) for name in header[:-1].split(",")),
                *((own, _type(columns, name)) for own, name in zip(called, names, strict=True)),
            ]
        )
        with parquet.ParquetWriter(temporary, schema) as writer:
            for chunk in _chunks(list(folders)):
                texts = [_rows(folders[run], form, header) for run in chunk]
                read = arrow_csv.read_csv(
                    io.BytesIO((header + "".join(texts)).encode()), convert_options=arrow_csv.ConvertOptions(column_types=_TYPES)
                )
                lengths = [text.count("\n") for text in texts]
                for own, name in zip(called, names, strict=True):
                    values = [columns[run][name] for run, length in zip(chunk, lengths, strict=True) for _ in range(length)]
                    read = read.append_column(own, pa.array(values, _type(columns, name)))
                writer.write_table(read)


def _rows(folder: Path, form: str, header: str) -> str:
    """The lines of a run's table. Raises RunError: it was damaged since the survey, or is of another form."""
    text = run_folders.read(folder).text(form)
    if not text.startswith(header):
        raise RunError(f"{folder}/{form}.csv has other columns than {header.strip()}; remove this folder and run the sweep again")
    return text[len(header) :]


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
        name = run.spec.id
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
