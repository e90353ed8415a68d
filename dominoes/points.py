"""A sweep as points × replicates: every one-sided curve with its onset, speed and ceiling.

The unit is the replicate: the runs of all points that share a seed. What is computed in each replicate (a law's exponent, say) has its
interval over replicates, so that what a seed does to all points alike cancels. Where points have different seeds, replicates are put
together by rank, which is no worse than independent runs allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes.comparison import swept
from dominoes.errors import CurvesError
from dominoes.fitting import fit_curve
from dominoes.panel import log_time_weights, mended
from dominoes.verdicts import FloatArray

SIDES = ("top", "bottom")
# Fields that follow from the prevalences: held fixed, they would leave nothing to compare.
_DERIVED = ("both", "empty", "ratio")
_FEWEST = 4

Points = NDArray[np.intp]


@dataclass(frozen=True)
class Curve:
    """One one-sided curve: times (T,) above 0, accuracy (T,), and its onset, speed and ceiling, NaN where the pattern was not learned."""

    time: FloatArray
    accuracy: FloatArray
    onset: float
    speed: float
    ceiling: float

    def at(self, time: FloatArray) -> FloatArray:
        """Accuracy at other times, linear in log time between the measured ones."""
        return np.interp(np.log(time), np.log(self.time), self.accuracy)

    def mean(self) -> float:
        """Accuracy averaged over log time."""
        return float(self.accuracy @ log_time_weights(self.time))


@dataclass(frozen=True)
class Sweep:
    """A sweep as points × replicates.

    Attributes:
        fields: names of what is swept. values: (P,) values of each field.
        curves: side -> S rows of P curves; None where a run has no curve of that side.
        time: `samples` or `step`, what onsets are counted in.
    """

    fields: tuple[str, ...]
    values: dict[str, tuple[object, ...]]
    curves: dict[str, tuple[tuple[Curve | None, ...], ...]]
    time: str
    chance: float
    notes: tuple[str, ...]

    @property
    def n_seeds(self) -> int:
        return len(self.curves["top"])

    def numbers(self, field: str) -> FloatArray | None:
        """(P,) the field's values, or None if they are not numbers."""
        numbers = pd.to_numeric(pd.Series(self.values[field], dtype=object), errors="coerce").to_numpy(float)
        return numbers if np.isfinite(numbers).all() else None

    def groups(self, field: str, usable: NDArray[np.bool_]) -> list[Points]:
        """Usable points that differ in this field only, at least two values a group, in increasing order of the field."""
        numbers = self.numbers(field)
        if numbers is None:
            return []
        others = [self.values[name] for name in self.fields if name != field]
        together: dict[tuple[object, ...], list[int]] = {}
        for point in np.flatnonzero(usable):
            together.setdefault(tuple(values[point] for values in others), []).append(int(point))
        ordered = [np.array(sorted(points, key=lambda point: numbers[point]), dtype=np.intp) for points in together.values()]
        return [points for points in ordered if len(points) > 1]

    def measured(self, side: str, value: Callable[[Curve], float]) -> FloatArray:
        """(S, P): a number of every curve, NaN where there is none."""
        return np.array([[math.nan if curve is None else value(curve) for curve in row] for row in self.curves[side]])

    def quantity(self, side: str, name: str) -> FloatArray:
        """(S, P): onset, speed or ceiling, NaN where the pattern was not learned."""
        return self.measured(side, lambda curve: getattr(curve, name))


def sweep(
    curves: pd.DataFrame, classes: pd.DataFrame | None = None, *, by: Sequence[str] | None = None, classes_count: int | None = None
) -> Sweep:
    """Arrange runs as points × replicates and find the shape of every one-sided curve; arguments as in `compare_sweep`."""
    missing = [name for name in by or () if name not in curves.columns]
    if missing:
        names = ", ".join(str(name) for name in curves.columns)
        raise CurvesError(f"the column {', '.join(missing)} is not in the curves; expected swept columns among {names}")
    fields = tuple(by) if by else tuple(name for name in swept(curves) if name not in _DERIVED) or tuple(swept(curves))
    if not fields:
        raise CurvesError("the runs differ in nothing but the seed; a sweep needs a column with several values, such as prevalence_top")
    table, found = mended(curves)
    notes = [*found, *([] if by else [f"swept columns: {', '.join(fields)}"])]
    table = table[(table["split"] == "test") & table["kind"].isin(SIDES)]
    if not len(table):
        raise CurvesError("there are no one-sided test curves (split test, kind top or bottom); the laws are read off these")
    if classes_count is None:
        classes_count = 10 if classes is None or "label" not in classes else int(classes["label"].nunique())
        if classes is None:
            notes.append("the number of classes is not known (no table of classes): 10 was taken")
    if classes_count < 2:
        raise CurvesError(f"the number of classes is {classes_count}; expected at least 2")
    time = "samples" if table["samples"].notna().all() else "step"
    if (table["step"] == 0).groupby(table["run"]).any().eq(False).any():
        notes.append("step 0 (before training) is missing in some runs; no law needs it")
    empty = table[list(fields)].isna().any(axis=1)
    if empty.any():
        notes.append(f"{table.loc[empty, 'run'].nunique()} runs left out: a swept column is empty")
        table = table[~empty]
    if not len(table):
        raise CurvesError(f"no run has a value in every swept column ({', '.join(fields)}); pass other columns in by")
    points = [(key, rows) for key, rows in table.groupby(list(fields), sort=True)]
    seeds, replicates, found_seeds = _replicates([rows for _, rows in points])
    notes += found_seeds
    kept = [[rows[rows["run"] == run] for run in row] for (_, rows), row in zip(points, replicates, strict=True)]
    sides: dict[str, tuple[tuple[Curve | None, ...], ...]] = {}
    for side in SIDES:
        found_curves, said = _curves([[rows[rows["kind"] == side] for rows in row] for row in kept], time, 1 / classes_count)
        sides[side] = tuple(tuple(found_curves[point][replicate] for point in range(len(points))) for replicate in range(seeds))
        notes += [f"{note} ({side})" for note in said]
    values = {name: tuple(key[index] for key, _ in points) for index, name in enumerate(fields)}
    return Sweep(fields, values, sides, time, 1 / classes_count, tuple(notes))


def _replicates(points: Sequence[pd.DataFrame]) -> tuple[int, list[list[str]], list[str]]:
    """Number of replicates, the runs of each point in the order of replicates, and notes."""
    runs = [rows.drop_duplicates("run").drop_duplicates("seed").set_index("seed")["run"] for rows in points]
    notes = []
    copies = sum(rows["run"].nunique() for rows in points) - sum(len(each) for each in runs)
    if copies:
        notes.append(f"{copies} runs left out: they have the seed of another run of the same point")
    common = sorted(set(runs[0].index).intersection(*(each.index for each in runs[1:])))
    if len(common) > 1 or all(len(each) == len(common) for each in runs):
        left = sum(len(each) for each in runs) - len(common) * len(runs)
        if left:
            notes.append(f"{left} runs left out: their seeds were not run at every point of the sweep")
        return len(common), [[str(each[seed]) for seed in common] for each in runs], notes
    count = min(len(each) for each in runs)
    notes.append(f"the points have different seeds: runs are put together by rank into {count} replicates")
    left = sum(len(each) for each in runs) - count * len(runs)
    if left:
        notes.append(f"{left} runs left out: every point needs as many as the one with fewest")
    return count, [[str(run) for run in each.sort_index().iloc[:count]] for each in runs], notes


def _curves(rows: Sequence[Sequence[pd.DataFrame]], time: str, chance: float) -> tuple[list[list[Curve | None]], list[str]]:
    """Curves and their fits, in the same nesting; runs with one grid of steps are fitted together, which is much faster."""
    found: list[list[Curve | None]] = [[None] * len(row) for row in rows]
    grids: dict[tuple[float, ...], list[tuple[int, int, FloatArray, FloatArray]]] = {}
    for point, row in enumerate(rows):
        for replicate, curve in enumerate(row):
            usable = curve[curve["accuracy"].notna() & (curve["step"] > 0) & (curve[time] > 0)]
            at = usable[time].to_numpy(float)
            if len(at) >= _FEWEST and (np.diff(at) > 0).all():
                values = usable["accuracy"].to_numpy(float), usable["n"].to_numpy(float)
                grids.setdefault(tuple(at), []).append((point, replicate, *values))
    open_ends = 0
    for grid, curves in grids.items():
        at = np.array(grid)
        accuracy = np.stack([values for *_, values, _ in curves])
        n = np.stack([values for *_, values in curves])
        fit = fit_curve(at, accuracy, family="logistic-log", chance=chance, n=n if np.isfinite(n).all() else None)
        for (point, replicate, *_), values, each in zip(curves, accuracy, fit.seeds or (fit,), strict=True):
            found[point][replicate] = Curve(at, values, each.onset, each.speed, each.ceiling)
            open_ends += each.learned and not each.converged
    lost = sum(curve is None for row in found for curve in row)
    notes = [f"{lost} runs have no usable curve: {_FEWEST} steps after 0, with increasing {time}, are needed"] if lost else []
    if open_ends:
        notes.append(f"{open_ends} fits did not converge; their best values are used")
    return found, notes
