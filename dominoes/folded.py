"""Curves with one row each: what is measured at every step lies in lists, so that a study of many runs is a small file."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Key of `DataFrame.attrs` under which a table of curves has its number of classes, which a Parquet file keeps.
CLASSES_COUNT = "classes"
#: What tells the curves of a table apart, and what is measured at each step of one.
CURVE_KEYS = ("run", "split", "kind")
LISTS = ("step", "epoch", "samples", "n", "loss", "accuracy", "agree_top", "agree_bottom")


def is_folded(table: pd.DataFrame) -> bool:
    """Whether the steps of a table are lists."""
    return "step" in table.columns and len(table) > 0 and not np.isscalar(table["step"].iloc[0])


def fold(table: pd.DataFrame) -> pd.DataFrame:
    """A table of curves with one row a curve: the columns of LISTS that it has hold lists, all others (which are the same along a curve)
    their value. Curves stand in the order in which they first appear; `unfold` gives the table back."""
    lists = [name for name in LISTS if name in table.columns]
    groups = table.groupby(list(CURVE_KEYS), sort=False).indices
    first = [rows[0] for rows in groups.values()]
    found = table.iloc[first].reset_index(drop=True)
    for name in lists:
        values = table[name].to_numpy()
        found[name] = pd.Series([values[rows] for rows in groups.values()], dtype=object)
    return found


def unfold(table: pd.DataFrame) -> pd.DataFrame:
    """The long form of a folded table: a row for each step and curve, run by run, steps in order, curves of a step in the table's order."""
    lists = [name for name in LISTS if name in table.columns]
    lengths = table["step"].map(len).to_numpy()
    columns = {}
    for name in table.columns:
        columns[name] = np.concatenate(list(table[name])) if name in lists else np.repeat(table[name].to_numpy(), lengths)
    long = pd.DataFrame(columns).astype({name: table[name].dtype for name in table.columns if name not in lists})
    order = np.lexsort((np.repeat(np.arange(len(table)), lengths), long["step"], pd.factorize(long["run"])[0]))
    found = long.iloc[order].reset_index(drop=True)
    found.attrs = table.attrs
    return found
