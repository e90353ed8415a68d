"""The numbers that a study is known by: what each run comes to, its mean and interval at each point, and what was estimated across points.

They are defined once, for every table of curves, so that a README, a test of it and a run of the study elsewhere speak of the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dominoes import tables
from dominoes.errors import CurvesError, brief, counted
from dominoes.spec import SIDES
from dominoes.studies import variance_components
from dominoes.studies.contrasts import Contrast, of_contrasts
from dominoes.studies.quantities import COMPARISON, DIFFERENCE, GAPS, HEADLINE_COLUMNS, LATE, MARGINS, ONSETS, POINTS, RATIO, VARIANCE
from dominoes.theory.intervals import NOT_APPLICABLE, Interval, SeedSpread
from dominoes.theory.run_arrays import log_time_weights
from dominoes.theory.verdicts import Margins
from dominoes.theory.windows import onset

#: Share of log time, from step 1 to the last, over which late means are taken.
LAST = 0.25
#: Key of `DataFrame.attrs` of `of_runs` and `headlines`: what to know about the numbers, sentences.
NOTES = "notes"
# Not points of a sweep but repetitions, where they are crossed with seeds.
_REPEATED = {"deal": tables.DEAL, "probe": "probe_seed"}
_OF_CURVES = ("run", "seed", "kind", "step", "accuracy", "agree_top", "agree_bottom")
_LEVEL = 0.95


def late_mean(steps: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Mean over log time of the last quarter of log time, from the first step after 0 to the last (trapezoid weights); NaN without any."""
    at, found = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    at, found = at[np.isfinite(found) & (at > 0)], found[np.isfinite(found) & (at > 0)]
    if not len(at):
        return math.nan
    late = np.log(at) >= np.log(at[-1]) - LAST * (np.log(at[-1]) - np.log(at[0])) - 1e-9
    weights = log_time_weights(at[late])
    return float(found[late] @ weights)


def of_runs(curves: pd.DataFrame, *, classes: int | Mapping[str, int] = 10, by: Sequence[str] | None = None) -> pd.DataFrame:
    """What each run comes to on the test probes.

    Args:
        curves: columns of curves.csv and, as further columns, what was swept.
        classes: K, or that of every run by its id; an onset is counted from chance.
        by: the columns that tell points apart. None: those of a sweep (`swept_fields`).

    Returns:
        One row a run and quantity: `run`, `seed`, `point` (what was swept, as text), `deal` and `probe` (seeds of them where the table
        tells them, else 0), `quantity` (keys of MARGINS), `value`: late means (`late_mean`) of accuracy and of the shares of conflicts
        answered with each half's class; how much higher a half's late accuracy is on the sample of training dominoes; and the step at
        which a half's curve passes half of its rise (`windows.onset`), NaN where it is not learned. `.attrs[NOTES]`: sentences
        about onsets that lie before the first measured step, whose value is that step.

    Raises CurvesError: a column is missing, or there are no test curves.
    """
    missing = [name for name in (*_OF_CURVES, *(by or ())) if name not in curves.columns]
    if missing:
        raise CurvesError(f"the column {', '.join(missing)} is missing; expected a table of curves, such as 'dominoes sweep export' writes")
    test = curves[curves["split"] == "test"] if "split" in curves.columns else curves
    if not len(test):
        raise CurvesError("there are no curves of split test; headline numbers are of the test probes")
    learned = {} if test is curves else dict(iter(curves[curves["split"] == "train"].groupby(["run", "kind"], sort=False)))
    first = test.drop_duplicates("run").set_index("run")
    whole = {name: first[name].astype(int) for name in ("seed", *_REPEATED.values()) if name in first.columns}
    labels = point_texts(first, swept_fields(curves) if by is None else by)
    rows = []
    firsts: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    by_kind = dict(iter(test.sort_values("step", kind="stable").groupby(["run", "kind"], sort=False)))
    for run in first.index:
        found, chance = {}, 1 / (classes[str(run)] if isinstance(classes, Mapping) else classes)
        for quantity, (kind, column) in LATE.items():
            if (run, kind) in by_kind:
                found[quantity] = _late(by_kind[run, kind], column)
        for quantity, kind in GAPS.items():
            if (run, kind) in by_kind and (run, kind) in learned:
                found[quantity] = _late(learned[run, kind], "accuracy") - _late(by_kind[run, kind], "accuracy")
        for side in SIDES:
            if (run, side) in by_kind:
                curve = by_kind[run, side].dropna(subset=["accuracy"])
                steps, accuracy = curve["step"].to_numpy(float), curve["accuracy"].to_numpy(float)
                found[f"onset {side}"] = onset(steps, accuracy, chance) if len(steps) else math.nan
                firsts[side].append((min(steps[steps > 0], default=math.nan), found[f"onset {side}"]))
        about = {name: whole[column][run] if column in whole else 0 for name, column in _REPEATED.items()}
        rows += [
            {"run": run, "seed": whole["seed"][run], "point": labels[run], **about, "quantity": name, "value": value}
            for name, value in found.items()
        ]
    made = pd.DataFrame(rows, columns=["run", "seed", "point", *_REPEATED, "quantity", "value"])
    made.attrs[NOTES] = [note for side, pairs in firsts.items() for note in _early(side, pairs)]
    return made


def _early(side: str, pairs: Sequence[tuple[float, float]]) -> list[str]:
    """A sentence where onsets of a half lie at the first measured step, and so anywhere before: from (first step, onset) of each run."""
    early = sorted({first for first, value in pairs if math.isclose(first, value)})
    if not early:
        return []
    count = sum(math.isclose(first, value) for first, value in pairs)
    step = f"{early[0]:g}" + (f" to {early[-1]:g}" if len(early) > 1 else "")
    advice = ": measure earlier" if early[-1] > 1 else ""
    return [f"onset of the {side} lies at or before the first measured step ({step}) in {count} of {counted(len(pairs), 'run')}{advice}"]


def _late(curve: pd.DataFrame, column: str) -> float:
    return late_mean(curve["step"].to_numpy(float), curve[column].to_numpy(float))


def swept_fields(curves: pd.DataFrame) -> list[str]:
    """The further columns that tell the points of a sweep apart; deals and probes are repetitions, no points."""
    return tables.telling(curves[[name for name in tables.swept(curves) if name not in _REPEATED.values()]].drop_duplicates())


def point_texts(rows: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """What was swept, as text such as `prevalence_top 0.25, both 0.1`, for each row; `all runs` where nothing was."""
    texts = [name + " " + rows[name].map(_plain) for name in by]
    found = pd.Series("all runs" if not texts else "", index=rows.index)
    for number, text in enumerate(texts):
        found = found + (", " if number else "") + text
    return found


def _plain(value: object) -> str:
    if value is None or value == "" or value != value:
        return "none"
    return f"{float(value):.6g}" if isinstance(value, int | float | np.number) else str(value)


def at_points(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95 % interval of every quantity at every point, from `of_runs`; columns HEADLINE_COLUMNS.

    Runs of different seeds: Student's interval over them (onsets averaged as logarithms, over the runs that learned). Where several runs
    share a seed, because deals or probes are crossed with seeds, runs are no independent repetitions: the interval then resamples deals
    and seeds (`variance_components`). The pictures of the probes, which all runs share, are not in it.
    """
    rows = []
    for (point, quantity), each in runs.groupby(["point", "quantity"], sort=False):
        known = each.dropna(subset=["value"])
        timed = quantity in ONSETS
        if not len(known):
            interval = Interval(math.nan, math.nan, math.nan)
        elif known["seed"].duplicated().any():
            found = crossed(known.assign(value=np.log(known["value"]) if timed else known["value"]))
            values = np.log(known["value"]) if timed else known["value"]
            interval = found[variance_components.MEAN] if found else Interval(float(values.mean()), math.nan, math.nan)
        else:
            values = known["value"].to_numpy(float)
            interval = SeedSpread(len(values), _LEVEL).mean(np.log(values) if timed else values)
        interval = interval.exp() if timed else interval
        rows.append((POINTS, point, quantity, *interval.triple, RATIO if timed else DIFFERENCE, MARGINS[str(quantity)], len(known)))
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def crossed(runs: pd.DataFrame) -> dict[str, Interval]:
    """Variance components of one quantity at one point, from rows of `of_runs`; empty where deals, seeds and probes are not crossed, or a
    cell has no value or several."""
    factors = [name for name in ("deal", "seed", "probe") if runs[name].nunique() > 1]
    if len(factors) < 2:
        return {}
    cells = runs.set_index(factors)["value"]
    levels = [sorted(runs[name].unique()) for name in factors]
    if cells.index.duplicated().any() or len(cells) != math.prod(map(len, levels)) or cells.isna().any():
        return {}
    values = cells.reindex(pd.MultiIndex.from_product(levels)).to_numpy(float).reshape([len(each) for each in levels])
    return variance_components.components(values, factors)


def of_variance(runs: pd.DataFrame) -> pd.DataFrame:
    """Variance components at every point where deals, seeds and probes are crossed, from `of_runs`; columns HEADLINE_COLUMNS. Those
    of onsets are of their natural logarithm. There is no margin: two estimates are shown with their intervals."""
    rows = []
    for (point, quantity), each in runs.groupby(["point", "quantity"], sort=False):
        timed = quantity in ONSETS
        for name, interval in crossed(each.assign(value=np.log(each["value"])) if timed else each).items():
            if name != variance_components.MEAN:
                what = f"variance of {'ln ' if timed else ''}{quantity}: {name}"
                rows.append((VARIANCE, point, what, *interval.triple, DIFFERENCE, math.nan, len(each)))
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def of_comparison(table: pd.DataFrame) -> pd.DataFrame:
    """What `dominoes compare --sweep` estimated across the points of a sweep, from comparison.csv; columns HEADLINE_COLUMNS.

    Rows of single points are left out (their numbers are above), and rows that are not applicable. A row's margin is half of the width of
    its range of agreement; of a ratio the factor at its upper end; of a law's exponent that of `Margins`; else there is none.
    """
    of_points = table["group"].fillna("").astype(str) != ""
    judged = table[~of_points & table["verdict"].ne(NOT_APPLICABLE) & table["estimate"].notna()]
    rows = []
    for row in judged.to_dict("records"):
        text = [row[name] for name in ("question", "side", "model", "rival", "window", "quantity")]
        what = " | ".join(str(each) for each in text if isinstance(each, str) and each)
        scale, margin = _margin(row)
        count = row["n_seeds"]
        rows.append((COMPARISON, "", what, row["estimate"], row["low"], row["high"], scale, margin, int(count) if count == count else 0))
    found = pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))
    again = found.groupby("quantity").cumcount()
    found["quantity"] = found["quantity"].where(again == 0, found["quantity"] + " #" + (again + 1).astype(str))
    return found


def _margin(row: Mapping[Any, Any]) -> tuple[str, float]:
    low, high = row["at_least"], row["at_most"]
    if math.isfinite(low) and math.isfinite(high):
        if low > 0 and math.isclose(low * high, 1, rel_tol=1e-6):
            return RATIO, high
        return DIFFERENCE, (high - low) / 2
    return DIFFERENCE, Margins().exponent if row["quantity"] == "exponent" else math.nan


def headlines(
    curves: pd.DataFrame,
    comparison: pd.DataFrame | None = None,
    *,
    contrasts: Mapping[str, Contrast] | None = None,
    classes: int | Mapping[str, int] = 10,
    by: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The numbers that a study is known by: columns HEADLINE_COLUMNS.

    `part` is `points` (mean and interval over seeds of each quantity at each point), `variance` (components, where deals, seeds and
    probes are crossed), `contrast` (what was asked beyond points) or `comparison` (what `compare --sweep` estimated); `scale` says
    whether two values are compared by their `difference` or their `ratio`; `margin` is what counts as none, empty where none is stated;
    `n_runs` the runs (of a contrast or a comparison: replicates) behind a number. `.attrs[NOTES]` as of `of_runs`.

    Args:
        curves: of the sweep. comparison: of `dominoes compare --sweep`, or None. contrasts: by name (`contrasts.read_contrasts`).
        classes, by: as in `of_runs`.
    """
    runs = of_runs(curves, classes=classes, by=by)
    parts = [at_points(runs), of_variance(runs), of_contrasts(runs, contrasts or {})]
    parts += [of_comparison(comparison)] if comparison is not None else []
    if not any(len(part) for part in parts):
        kinds = ", ".join(sorted(map(str, curves["kind"].unique())))
        raise CurvesError(f"headline numbers are of the kinds top, bottom, both and conflict; the curves are of {brief(kinds)}")
    found = pd.concat([part for part in parts if len(part)], ignore_index=True)
    found.attrs = {NOTES: runs.attrs[NOTES]}
    return found


def read_headlines(path: Path) -> pd.DataFrame:
    """Read headlines.csv. Raises CurvesError."""
    try:
        table = pd.read_csv(path, dtype={"part": str, "point": str, "quantity": str, "scale": str}, keep_default_na=False, na_values=_EMPTY)
    except (OSError, ValueError) as error:
        raise CurvesError(f"{path} cannot be read as a table ({brief(error)}); expected one made by 'dominoes headlines'") from error
    missing = [name for name in HEADLINE_COLUMNS if name not in table.columns]
    if missing:
        raise CurvesError(f"{path}: the column {', '.join(missing)} is missing; expected {','.join(HEADLINE_COLUMNS)}")
    return table


# An empty number is none; an empty text is empty.
_EMPTY = {name: [""] for name in ("estimate", "low", "high", "margin")}
