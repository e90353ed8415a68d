"""What lies in results folders and exported tables, as the tables that editions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dominoes import tables
from dominoes.errors import LeaderboardError
from dominoes.folded import CLASSES_COUNT
from dominoes.labels import count_classes
from dominoes.leaderboard.edition import MANIFEST, RUNS, Edition, read_edition
from dominoes.runs import parameters, run_folders
from dominoes.runs.run_folders import FinishedRun

SHIPPED = Path(__file__).parent / "editions"


def study_curves(path: Path) -> pd.DataFrame:
    """The curves of a study with the dials as further columns.

    Args:
        path: a results folder (its finished runs, with every parameter), a folder with an exported curves.csv or curves.parquet, or
            such a table (with the parameters that the export has).

    The number of classes is in the attrs of the table (`folded.CLASSES_COUNT`) where the runs, a kept table or a table by class beside an
    exported one say it.

    Raises LeaderboardError, CurvesError, RunError.
    """
    path = Path(path)
    if path.is_dir():
        found = run_folders.finished(path)
        if found:
            return _of_runs(path, [run_folders.read_run(folder) for folder in found])
        exported = [path / name for name in ("curves.csv", "curves.parquet") if (path / name).is_file()]
        if not exported:
            raise LeaderboardError(f"{path} holds neither finished runs nor curves.csv; expected a results folder or an export of one")
        path = exported[0]
    table = tables.read_table(path)
    beside = path.with_name(f"classes{path.suffix}")
    if CLASSES_COUNT not in table.attrs and beside.is_file():
        count, _ = count_classes(tables.read_table(beside, form="classes")["label"])
        if count > 1:
            table.attrs[CLASSES_COUNT] = count
    return table


def _of_runs(path: Path, runs: Sequence[FinishedRun]) -> pd.DataFrame:
    counts = {count for run in runs if (count := run.environment["dominoes"].get("classes")) is not None}
    if len(counts) > 1:
        several = ", ".join(map(str, sorted(counts)))
        raise LeaderboardError(f"{path} has runs with different numbers of classes ({several}); expected one number for all of an edition")
    table = pd.concat([_of_run(run) for run in runs], ignore_index=True)
    if counts:
        table.attrs[CLASSES_COUNT] = counts.pop()
    return table


def _of_run(run: FinishedRun) -> pd.DataFrame:
    table, made = run.table(), parameters.of_spec(run.spec, run.n)
    return table.assign(**{name: value for name, value in made.items() if name not in table.columns})


def study_name(path: Path) -> str:
    """The name of a study: that of its folder, or of its table."""
    path = Path(path).resolve()
    return path.parent.name if path.stem == "curves" else path.stem if path.is_file() else path.name


def find_edition(name: str | None) -> Edition:
    """An edition by its folder, or a shipped one by its name; None: the newest that is shipped. Raises LeaderboardError."""
    shipped = sorted(path.parent for path in SHIPPED.glob(f"*/{MANIFEST}"))
    if name is None:
        if not shipped:
            raise LeaderboardError("no edition comes with this package; pass --edition DIR, made with 'dominoes leaderboard edition'")
        return read_edition(shipped[-1])
    by_name = {path.name: path for path in shipped}
    if name in by_name:
        return read_edition(by_name[name])
    if not (Path(name) / MANIFEST).is_file():
        known = f" or one of {', '.join(by_name)}" if by_name else ""
        raise LeaderboardError(f"{name} is no edition ({MANIFEST} and {RUNS} are not in it); expected a folder{known}")
    return read_edition(Path(name))
