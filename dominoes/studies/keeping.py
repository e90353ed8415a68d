"""A finished sweep as a study that is kept: all curves in one small file, its runs, verdicts and headline numbers as tables, a figure."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dominoes import files, folded, tables
from dominoes.errors import CurvesError, OutputError, brief
from dominoes.runs import collected
from dominoes.runs.collected import Collected
from dominoes.runs.plan import Plan
from dominoes.studies import contrasts, figure, headline_numbers, reproduction, shipped
from dominoes.theory.intervals import SeedSpread
from dominoes.theory.sweep_comparison import compare_sweep, of_points
from dominoes.theory.verdicts import join_comparisons

JOINT_SUMMARY, FIGURE, YARDSTICK = "joint_summary.csv", "headlines.png", "simplicity.csv"
#: Columns of joint_summary.csv.
JOINT_COLUMNS = ("point", "probe", "top_alone", "bottom_alone", "answer", "share", "low", "high", "n_runs")


@dataclass(frozen=True)
class Kept:
    """What was kept: the files, how many runs are in them, what was left out (`collected.Collected`), and what was not made."""

    files: tuple[Path, ...]
    exported: Collected
    notes: tuple[str, ...]


def keep_study(planned: Plan, out: Path, folder: Path) -> Kept:
    """Write a sweep's finished runs to a folder that is small enough to be kept; other files in it, a README say, stay.

    curves.parquet has one row a curve (`folded`); runs.csv; comparison.csv as `dominoes compare --sweep` writes it, where something is
    swept; headlines.csv, with the contrasts that contrasts.yaml of the folder states, and a figure of it; joint_summary.csv, shares of the
    probes' pictures at the last step, where every run crossed its answers. A simplicity.csv that lies in the results folder is kept too,
    and asked about in the comparison.

    Args:
        planned: plan of the sweep. out: its results folder. folder: where the study is kept.

    Raises OutputError (another study lies there too: one that has no run in common), RunError (no run is finished), CurvesError.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; expected a folder for the study, pass another --out")
    path = folder / shipped.CURVES
    _refuse_another(planned, path)
    exported = collected.export_table(planned, out, path)
    curves = pd.read_parquet(path)
    classes = reproduction.classes_of_plan(planned, out)
    save_curves(curves, path, classes)
    written, notes = list(exported.files), []
    by = reproduction.fields_of(planned)
    comparison = None
    measured = tables.read_simplicity(out / YARDSTICK) if (out / YARDSTICK).is_file() else None
    if measured is not None:
        files.write(folder / YARDSTICK, tables.as_csv(measured))
        written.append(folder / YARDSTICK)
    if by:
        try:
            whole = compare_sweep(curves, by=by, classes_count=classes, simplicity=measured)
            found = join_comparisons([whole, *of_points(curves, None, by, classes_count=classes)])
            comparison = found.table
            files.write(folder / shipped.COMPARISON, tables.as_csv(comparison))
            written.append(folder / shipped.COMPARISON)
        except CurvesError as error:
            notes.append(f"no {shipped.COMPARISON}: {error}")
    numbers = headline_numbers.headlines(curves, comparison, contrasts=contrasts.read_contrasts(folder), classes=classes, by=by)
    files.write(folder / shipped.HEADLINES, tables.as_csv(numbers))
    written.append(folder / shipped.HEADLINES)
    joint = joint_summary(planned, out, by)
    if joint is None:
        notes.append(f"no {JOINT_SUMMARY}: not every run crossed its answers")
    else:
        files.write(folder / JOINT_SUMMARY, tables.as_csv(joint))
        written.append(folder / JOINT_SUMMARY)
    figure.draw_headlines(numbers, folder / FIGURE)
    written.append(folder / FIGURE)
    return Kept(tuple(written), exported, tuple(notes))


def _refuse_another(planned: Plan, path: Path) -> None:
    """Raises OutputError where curves are kept already of which none is of this plan."""
    if not path.exists():
        return
    try:
        kept = set(pd.read_parquet(path, columns=["run"])["run"].astype(str))
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"{path} is no table of curves ({brief(error)}); remove it, or pass another --out") from error
    if not kept & {run.id for run in planned.runs}:
        raise OutputError(f"{path} is of another study, which has no run in common with this one; remove it, or pass another --out")


def save_curves(curves: pd.DataFrame, path: Path, classes: int) -> None:
    """Write a table of curves with one row a curve, as Parquet that says the number of classes. Raises OutputError."""
    buffer = io.BytesIO()
    table = folded.fold(curves)
    table.attrs[folded.CLASSES_COUNT] = classes
    table.to_parquet(buffer, index=False, compression="zstd")
    files.write(path, buffer.getvalue())


def joint_summary(planned: Plan, out: Path, by: Sequence[str]) -> pd.DataFrame | None:
    """Of every point at its last step, which share of a probe's pictures was answered with what, by whether each half alone is known:
    means over runs with 95 % intervals, columns JOINT_COLUMNS. None where a finished run has no crossed answers."""
    parts = []
    for done, made in reproduction.finished_runs(planned, out):
        if "joint.csv" not in done.contents:
            return None
        table = done.table("joint")
        if not len(table):
            return None
        last = table[table["step"] == table["step"].max()]
        size = last.groupby("probe")["n"].transform("sum")
        parts.append(last.assign(share=last["n"] / size, **{name: made.get(name) for name in by}))
    rows = pd.concat(parts, ignore_index=True)
    rows["point"] = headline_numbers.point_texts(rows, by)
    runs = rows.groupby("point")["run"].nunique()
    found = []
    for key, cell in rows.groupby(list(JOINT_COLUMNS[:5]), sort=False):
        # A cell without pictures has no row: its share is 0.
        shares = [*cell["share"], *[0.0] * (int(runs[key[0]]) - len(cell))]
        low, high = math.nan, math.nan
        if len(shares) > 1:
            interval = SeedSpread(len(shares), 0.95).mean(pd.Series(shares).to_numpy(float))
            low, high = interval.low, interval.high
        found.append((*key, sum(shares) / len(shares), low, high, len(shares)))
    return pd.DataFrame(found, columns=list(JOINT_COLUMNS))
