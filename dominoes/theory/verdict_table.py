"""The table of verdicts as a file, which people may have changed: read, and every cell that others rely on checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dominoes.errors import CurvesError, brief
from dominoes.tables import absent
from dominoes.theory.intervals import VERDICTS
from dominoes.theory.verdicts import COMPARISON

_TEXT = ("group", "question", "side", "model", "rival", "window", "quantity", "verdict", "sentence")
_NUMBERS = tuple(name for name in COMPARISON if name not in _TEXT)
# What there is where a row has an interval, which 'low' begins.
_OF_INTERVAL = ("estimate", "high", "n_seeds", "level")
# What a row with a number is known by.
_KEY = ("group", "question", "side", "model", "rival", "window", "quantity")


def read_comparison(path: Path, *, needed: Sequence[str] = COMPARISON) -> pd.DataFrame:
    """Read comparison.csv, or what `compare` wrote as Parquet.

    Raises CurvesError that names the file, and the column and the first row where a cell is not what is written there: numbers are
    numbers, a verdict is one of VERDICTS, an interval lies the right way round and is of so many seeds, no two rows tell of the same.
    Columns that are not `needed` may be missing.
    """
    expected = f"expected a table made by 'dominoes compare', {','.join(needed)}"
    if not path.is_file():
        raise CurvesError(f"{path} is {'no file' if path.exists() else 'not there'}; {expected}")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=dict.fromkeys(("run", *_TEXT), str))
    except (OSError, ValueError) as error:
        why = "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else brief(error)
        raise CurvesError(f"{path} cannot be read as a table ({why}); {expected}") from error
    needed = (*needed, *(name for name in _OF_INTERVAL if "low" in table.columns and name not in needed))
    if missing := [name for name in needed if name not in table.columns]:
        raise CurvesError(f"{path}: {absent(missing)}; {expected}")
    if not len(table):
        raise CurvesError(f"{path}: there are no rows; {expected}")
    for name in _NUMBERS:
        if name in table.columns:
            numbers = pd.to_numeric(table[name], errors="coerce")
            _refuse(path, table, numbers.isna() & table[name].notna(), name, "expected a number")
            table[name] = numbers
    _refuse(path, table, ~table["verdict"].isin(VERDICTS), "verdict", f"expected one of {', '.join(VERDICTS)}")
    _refuse(path, table, table["question"].isna(), "question", "expected its name")
    if "low" in table.columns:
        _refuse(path, table, table["low"] > table["high"], "low", "expected at most what 'high' is")
        for name in _OF_INTERVAL:
            _refuse(path, table, table["low"].notna() & table[name].isna(), name, "expected a number beside 'low'")
    for name in ("n_seeds", "level"):
        if name in table.columns:
            _refuse(path, table, np.isinf(table[name]), name, "expected a finite number")
    if {"estimate", *_KEY} <= {*table.columns}:
        twice = table["estimate"].notna() & table[table["estimate"].notna()].duplicated(_KEY).reindex(table.index, fill_value=False)
        _refuse(path, table, twice, "question", "the same row as an earlier one; expected each once, so make the table anew")
    return table


def _refuse(path: Path, table: pd.DataFrame, bad: pd.Series, column: str, expected: str) -> None:
    """Raises CurvesError that names the first of the rows that are bad, if one is."""
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        value = table[column].iloc[row]
        found = "empty" if pd.isna(value) else f"'{brief(value, 40)}'"
        raise CurvesError(f"{path}: column {column}, row {row + 1}: {found}, {expected}")
