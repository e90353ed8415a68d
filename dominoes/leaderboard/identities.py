"""What must hold of any curves and any forecasts, whoever made them; a number that breaks one of these comes from a broken evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.leaderboard.protocol import ASKED, QUANTILES

# Sums of shares, and forecasts of what is known: room for rounding, and for a mean over a finite probe.
_SUM, _CONFLICT, _EMPTY = 1e-6, 1e-3, 0.03


def of_curves(tables: Mapping[tuple[str, str], pd.DataFrame], classes: int, *, assumed: bool = False) -> list[str]:
    """Identities that measured curves break, one sentence each; tables by (study, spec) as in `Edition.tables`.

    assumed: nobody has said that there are so many classes.

    Shares lie in [0, 1] and losses are finite and not negative; the two shares of a conflict add up to at most 1; an empty domino is
    answered by chance: its accuracy is 1/K but for the sampling of labels.
    """
    found = []
    for (study, spec), table in tables.items():
        where = f"{study}, spec {spec}"
        for name in ("accuracy", "agree_top", "agree_bottom"):
            values = table[name].to_numpy(float)
            if ((values < 0) | (values > 1)).any():
                found.append(f"{where}: {name} is {values[(values < 0) | (values > 1)][0]:g}, expected a share from 0 to 1")
        if (~np.isfinite(table["loss"]) | (table["loss"] < 0)).any():
            found.append(f"{where}: a loss is not a finite number of at least 0")
        conflict = table[table["kind"] == "conflict"]
        total = (conflict["agree_top"] + conflict["agree_bottom"]).to_numpy(float)
        if (total > 1 + _SUM).any():
            found.append(f"{where}: the shares of a conflict add up to {total.max():g}, expected at most 1")
        empty = table[(table["kind"] == "empty") & table["accuracy"].notna()]
        chance = 1 / classes
        room = 5 * np.sqrt(chance * (1 - chance) / empty["n"].to_numpy(float)) + 1 / empty["n"].to_numpy(float)
        off = np.abs(empty["accuracy"].to_numpy(float) - chance)
        if (off > room).any():
            row = empty.iloc[(off - room).argmax()]
            expected = f"expected 1/K = {chance:g}, since an empty domino can only be guessed"
            if assumed:
                expected += f"; nothing says the number of classes K, and {classes} was taken: pass --classes if it is another"
            found.append(f"{where}: accuracy on empty dominoes is {row['accuracy']:.3f} at step {row['step']}, {expected}")
    return found


def of_forecast(forecast: object, asked: pd.DataFrame, classes: int) -> FloatArray | str:
    """The forecast (rows, 3) in the order of `asked`: mean, q05, q95 (NaN where not stated); or a sentence that says what is wrong.

    Every asked row once, numbers finite, shares in [0, 1], losses not negative, q05 ≤ mean ≤ q95, the three shares of a conflict add
    up to 1, empties at 1/K.
    """
    if not isinstance(forecast, pd.DataFrame):
        return f"the forecast is of type {type(forecast).__name__}, expected a pandas DataFrame with the columns kind, metric, step, mean"
    missing = [name for name in (*ASKED, "mean") if name not in forecast.columns]
    if missing:
        return f"the forecast has no column {', '.join(missing)}; expected kind, metric, step, mean and, if stated, q05 and q95"
    columns = [*ASKED, "mean", *(name for name in QUANTILES if name in forecast.columns)]
    if twice := [name for name in columns if isinstance(forecast[name], pd.DataFrame)]:
        return f"the forecast has the column {', '.join(twice)} twice; expected each once"
    if len(columns) == len(ASKED) + 2:
        return "the forecast has one of q05 and q95; expected both or neither"
    found = _aligned(forecast, columns, asked)
    if isinstance(found, str):
        return found
    numbers = {}
    for name in columns[len(ASKED) :]:
        values = _numbers(found[name])
        if isinstance(values, str):
            return values
        numbers[name] = values
    kind, metric, step = (asked[name].to_numpy(object) for name in ASKED)
    if wrong := _wrong_numbers(kind, metric, step, numbers):
        return wrong
    mean = numbers["mean"]
    if (conflict := kind == "conflict").any():
        steps, places = np.unique(step[conflict].astype(float), return_inverse=True)
        total = np.bincount(places, weights=mean[conflict], minlength=len(steps))
        if np.abs(total - 1).max() > _CONFLICT:
            return f"the forecast shares of a conflict add up to {total[np.abs(total - 1).argmax()]:.4f}, expected 1"
    empty = (kind == "empty") & (metric == "accuracy")
    off = np.abs(mean[empty] - 1 / classes)
    if len(off) and off.max() > _EMPTY:
        return f"the forecast accuracy on empty dominoes is {mean[empty][off.argmax()]:.3f}, expected 1/K = {1 / classes:g}"
    nothing = np.full(len(mean), np.nan)
    return np.column_stack([mean, *(numbers.get(name, nothing) for name in QUANTILES)])


def _aligned(forecast: pd.DataFrame, columns: Sequence[str], asked: pd.DataFrame) -> Mapping[str, pd.Series] | str:
    """The forecast's columns with the rows in the order of `asked`."""
    same = len(forecast) == len(asked) and all(
        np.array_equal(forecast[name].to_numpy(object), asked[name].to_numpy(object)) for name in ASKED
    )
    if same:
        return {name: forecast[name] for name in columns}
    if forecast.duplicated(list(ASKED)).any():
        return "the forecast has a row of kind, metric and step twice; expected each asked row once"
    try:
        merged = asked.merge(forecast[list(columns)], on=list(ASKED), how="left", validate="one_to_one", indicator="_found")
    except (TypeError, ValueError):
        kinds = [
            f"{name} as {forecast[name].dtype}, asked as {asked[name].dtype}" for name in ASKED if forecast[name].dtype != asked[name].dtype
        ]
        return f"the forecast has {'; '.join(kinds)}; expected the columns kind, metric and step as they were asked"
    if (missing := (merged["_found"] != "both").to_numpy()).any():
        row = asked[missing].iloc[0]
        return (
            f"the forecast has no row for {row['metric']} of {row['kind']} at step {row['step']} "
            f"({int(missing.sum())} of {len(asked)} rows are missing); expected each asked row once"
        )
    return {name: merged[name] for name in columns}


def _numbers(column: pd.Series) -> FloatArray | str:
    """A column as numbers, or a sentence that says what else it holds."""
    expected = "expected a number in every row of mean, q05 and q95"
    if column.dtype.kind in "fiu" and isinstance(column.dtype, np.dtype):
        return column.to_numpy(float)
    if np.iscomplexobj(column):
        return f"the forecast holds something else than numbers (complex ones); {expected}"
    try:
        return np.asarray(pd.to_numeric(column, errors="coerce").astype(float), dtype=float)
    except (TypeError, ValueError) as error:
        return f"the forecast holds something else than numbers ({error}); {expected}"


def _wrong_numbers(
    kind: NDArray[np.object_], metric: NDArray[np.object_], step: NDArray[np.object_], numbers: Mapping[str, FloatArray]
) -> str:
    mean = numbers["mean"]
    if (lost := ~np.isfinite(mean)).any():
        row = lost.argmax()
        return f"the forecast has no finite mean for {metric[row]} of {kind[row]} at step {step[row]} ({int(lost.sum())} such rows)"
    values = np.column_stack(list(numbers.values()))
    outside = (values < -_SUM).any(axis=1) | ((values > 1 + _SUM).any(axis=1) & (metric != "loss"))
    if outside.any():
        row = outside.argmax()
        return (
            f"the forecast of {metric[row]} of {kind[row]} at step {step[row]} is {values[row].tolist()}; "
            "expected shares from 0 to 1 and losses of at least 0"
        )
    if "q05" in numbers:
        lost = ~(np.isfinite(numbers["q05"]) & np.isfinite(numbers["q95"]))
        if lost.any():
            return f"the forecast has {int(lost.sum())} rows whose q05 or q95 is no finite number; expected numbers, or neither column"
        wrong = ~((numbers["q05"] <= mean + _SUM) & (mean <= numbers["q95"] + _SUM))
        if wrong.any():
            return f"the forecast has {int(wrong.sum())} rows with q05, mean and q95 out of order; expected q05 <= mean <= q95"
    return ""
