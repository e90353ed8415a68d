"""What lies in results folders and exported tables, as the tables that editions are made of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dominoes import tables
from dominoes.errors import LeaderboardError
from dominoes.leaderboard.edition import MANIFEST, RUNS, Edition, read_edition
from dominoes.runs import parameters, run_folders
from dominoes.runs.run_folders import FinishedRun

SHIPPED = Path(__file__).parent / "editions"


def study_curves(path: Path) -> pd.DataFrame:
    """The curves of a study with the dials as further columns.

    Args:
        path: a results folder (its finished runs, with every parameter), a folder with an exported curves.csv or curves.parquet, or
            such a table (with the parameters that the export has).

    Raises LeaderboardError, CurvesError, RunError.
    """
    path = Path(path)
    if path.is_dir():
        found = run_folders.finished(path)
        if found:
            return pd.concat([_of_run(run_folders.read_run(folder)) for folder in found], ignore_index=True)
        exported = [path / name for name in ("curves.csv", "curves.parquet") if (path / name).is_file()]
        if not exported:
            raise LeaderboardError(f"{path} holds neither finished runs nor curves.csv; expected a results folder or an export of one")
        path = exported[0]
    return tables.read_table(path)


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
