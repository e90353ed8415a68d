"""What must hold of any curves and any forecasts, whoever made them; a number that breaks one of these comes from a broken evaluator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dominoes.leaderboard.protocol import ASKED, BANDS

if TYPE_CHECKING:
    from dominoes.leaderboard.edition import Edition

# Sums of shares, and forecasts of what is known: room for rounding, and for a mean over a finite probe.
_SUM, _EMPTY = 1e-6, 0.03


def of_curves(edition: Edition) -> list[str]:
    """Identities that measured curves break, one sentence each.

    Shares lie in [0, 1] and losses are finite and not negative; the two shares of a conflict add up to at most 1; an empty domino is
    answered by chance: its accuracy is 1/K but for the sampling of labels.
    """
    found = []
    for (study, spec), table in edition.tables.items():
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
        chance = 1 / edition.classes
        room = 5 * np.sqrt(chance * (1 - chance) / empty["n"].to_numpy(float)) + 1 / empty["n"].to_numpy(float)
        off = np.abs(empty["accuracy"].to_numpy(float) - chance)
        if (off > room).any():
            found.append(f"{where}: accuracy on empty dominoes is {chance + off.max():.3f} or as far below, expected 1/K = {chance:g}")
    return found


def of_forecast(forecast: object, asked: pd.DataFrame, classes: int) -> pd.DataFrame | str:
    """The forecast in the order of `asked`, columns ASKED, mean, q05, q95 (NaN where not stated), or a sentence that says what is wrong.

    Every asked row once, numbers finite, shares in [0, 1], losses not negative, q05 ≤ mean ≤ q95, the three shares of a conflict add
    up to 1, empties at 1/K.
    """
    if not isinstance(forecast, pd.DataFrame):
        return f"the forecast is a {type(forecast).__name__}, expected a table with the columns kind, metric, step, mean"
    missing = [name for name in (*ASKED, "mean") if name not in forecast.columns]
    if missing:
        return f"the forecast has no column {', '.join(missing)}; expected kind, metric, step, mean and, if stated, q05 and q95"
    columns = [*ASKED, "mean", *(name for name in BANDS if name in forecast.columns)]
    if len(columns) == len(ASKED) + 2:
        return "the forecast has one of q05 and q95; expected both or neither"
    given = forecast[columns]
    if given.duplicated(list(ASKED)).any():
        return "the forecast has a row of kind, metric and step twice; expected each asked row once"
    found = asked.merge(given, on=list(ASKED), how="left", validate="one_to_one")
    numbers = found[columns[len(ASKED) :]].apply(pd.to_numeric, errors="coerce").astype(float)
    if (lost := ~np.isfinite(numbers["mean"].to_numpy())).any():
        row = found[lost].iloc[0]
        return f"the forecast has no finite mean for {row['metric']} of {row['kind']} at step {row['step']} ({int(lost.sum())} such rows)"
    mean, shares = numbers["mean"], found["metric"] != "loss"
    outside = (numbers < -_SUM).any(axis=1) | ((numbers > 1 + _SUM).any(axis=1) & shares)
    if outside.any():
        row = found[outside].iloc[0]
        return (
            f"the forecast of {row['metric']} of {row['kind']} at step {row['step']} is {numbers[outside].iloc[0].tolist()}; "
            "expected shares from 0 to 1 and losses of at least 0"
        )
    if "q05" in numbers:
        wrong = ~((numbers["q05"] <= mean + _SUM) & (mean <= numbers["q95"] + _SUM))
        if wrong.any():
            return f"the forecast has {int(wrong.sum())} rows with q05, mean and q95 out of order; expected q05 <= mean <= q95"
    for kind, metric in (("conflict", None), ("empty", "accuracy")):
        of_kind = found["kind"] == kind
        if metric is None and of_kind.any():
            total = mean[of_kind].groupby(found.loc[of_kind, "step"]).sum()
            if (math.fabs(float((total - 1).abs().max()))) > 1e-3:
                return f"the forecast shares of a conflict add up to {total.loc[(total - 1).abs().idxmax()]:.4f}, expected 1"
        elif of_kind.any():
            off = mean[of_kind & (found["metric"] == metric)]
            if len(off) and float((off - 1 / classes).abs().max()) > _EMPTY:
                return f"the forecast accuracy on empty dominoes is {off.loc[(off - 1 / classes).abs().idxmax()]:.3f}, expected 1/K"
    numbers = numbers.assign(**{name: np.nan for name in BANDS if name not in numbers})
    return pd.concat([found[list(ASKED)], numbers[["mean", *BANDS]]], axis=1)
