"""The tidy tables of learning curves: their columns, their rules, reading and writing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from dominoes import files
from dominoes.errors import CurvesError

CURVES = ("run", "seed", "step", "epoch", "samples", "split", "kind", "n", "loss", "accuracy", "agree_top", "agree_bottom")
CLASSES = ("run", "step", "kind", "label", "n", "loss", "accuracy")

_KEYS = {"curves": ["run", "split", "kind"], "classes": ["run", "kind", "label"]}
_COLUMNS = {"curves": CURVES, "classes": CLASSES}
_TEXT = ("run", "split", "kind")
_WHOLE = ("seed", "step", "samples", "label", "n")
_SHARES = ("accuracy", "agree_top", "agree_bottom")
_MAY_BE_EMPTY = ("agree_top", "agree_bottom")


def problems(table: pd.DataFrame, *, form: str = "curves") -> list[str]:
    """What breaks the contract of a table, one sentence each; empty if nothing does.

    Args:
        table: long form, one row per (run, step, split, kind), or per (run, step, kind, label) for `form="classes"`.
            Further columns (swept parameters) are allowed and not looked at.
        form: `curves` or `classes`.

    Rules: every column present; numbers are numbers; nothing empty but `agree_top` and `agree_bottom`; `loss` at least 0 and
    finite; shares in [0, 1]; `n` at least 1; steps whole, not negative and strictly increasing within each curve.
    """
    missing = [column for column in _COLUMNS[form] if column not in table.columns]
    if missing:
        return [f"the column {', '.join(missing)} is missing; expected {','.join(_COLUMNS[form])}"]
    found = []
    for column in _COLUMNS[form]:
        found += _column_problems(table[column], column)
    if found:
        return found
    steps = table["step"].to_numpy()
    for key, rows in table.groupby(_KEYS[form], sort=False).indices.items():
        backward = np.flatnonzero(np.diff(steps[rows]) <= 0)
        if len(backward):
            before, after = steps[rows][backward[0] : backward[0] + 2]
            where = " ".join(str(part) for part in (key if isinstance(key, tuple) else (key,)))
            wrong = "appears twice" if before == after else f"comes after step {before:g}"
            found.append(f"curve {where}: step {after:g} {wrong}; expected steps that increase")
    return found


def _column_problems(values: pd.Series, column: str) -> list[str]:
    def at(bad: pd.Series) -> str:
        return f"row {int(np.flatnonzero(bad.to_numpy())[0]) + 1}"

    empty = values.isna()
    if column in _TEXT:
        return [f"column {column}, {at(empty)}: empty, expected a name"] if empty.any() else []
    numbers = pd.to_numeric(values, errors="coerce")
    text = numbers.isna() & ~empty
    if text.any():
        return [f"column {column}, {at(text)}: {values[text].iloc[0]!r} is not a number"]
    if empty.any() and column not in _MAY_BE_EMPTY:
        return [f"column {column}, {at(empty)}: no value (NaN), expected a number"]
    low, high, meaning = 0.0, np.inf, "expected at least 0"
    if column in _SHARES:
        high, meaning = 1.0, "expected a share from 0 to 1"
    elif column == "n":
        low, meaning = 1.0, "expected at least 1"
    elif column == "seed":
        low, meaning = -np.inf, ""
    outside = (numbers < low) | (numbers > high)
    if outside.any():
        return [f"column {column}, {at(outside)}: {numbers[outside].iloc[0]:g}, {meaning}"]
    infinite = numbers.abs() == np.inf
    if infinite.any():
        return [f"column {column}, {at(infinite)}: {numbers[infinite].iloc[0]:g}, expected a finite number"]
    if column in _WHOLE:
        broken = numbers % 1 != 0
        if broken.any():
            return [f"column {column}, {at(broken)}: {numbers[broken].iloc[0]:g}, expected a whole number"]
    return []


def check(table: pd.DataFrame, *, form: str = "curves", name: str = "the table") -> pd.DataFrame:
    """Return `table` with the contract's types, or raise CurvesError that names the first problem."""
    found = problems(table, form=form)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise CurvesError(f"{name}: {found[0]}{more}")
    kinds = {column: str if column in _TEXT else int if column in _WHOLE else float for column in _COLUMNS[form]}
    return table.astype(kinds)


def read(path: Path, *, form: str = "curves") -> pd.DataFrame:
    """Read and check a table from CSV or Parquet (by its suffix). Raises CurvesError with the file's name."""
    path = Path(path)
    if not path.is_file():
        raise CurvesError(f"{path} is not there; expected a table of learning curves (.csv or .parquet)")
    try:
        # Run ids are hex digits: without a type, 123456789012 would be read as a number and 0012e4567890 as infinity.
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str))
    except (ValueError, OSError) as error:
        raise CurvesError(f"{path} cannot be read as a table ({error}); expected the columns {','.join(_COLUMNS[form])}") from error
    return check(table, form=form, name=str(path))


def write(table: pd.DataFrame, path: Path, *, form: str = "curves") -> None:
    """Check a table and write it whole or not at all, as CSV or Parquet by the suffix.

    CSV holds the shortest decimals that read back to the same floats, so equal tables are equal bytes.
    """
    path = Path(path)
    table = check(table, form=form, name=str(path))
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        files.write(path, buffer.getvalue())
    else:
        files.write(path, table.to_csv(index=False, lineterminator="\n"))
