"""A sweep as points × replicates: every one-sided curve with its onset, speed and ceiling.

The unit is the replicate: the runs of all points that share a seed. What is computed in each replicate (a law's exponent, say) has its
interval over replicates, so that what a seed does to all points alike cancels. Where points have different seeds, replicates are put
together by rank, which is no worse than independent runs allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.errors import CurvesError, counted
from dominoes.labels import count_classes
from dominoes.spec import SIDES
from dominoes.tables import dealt_anew, mended, swept, telling
from dominoes.theory.fits.curve import fit_curve
from dominoes.theory.run_arrays import check_classes, log_time_weights

_FEWEST = 4

Points = NDArray[np.intp]
MeasuredColumns = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class SweptCurve:
    """One one-sided curve: times (T,) above 0, accuracy and loss (T,), NaN where not measured, and the onset, speed and ceiling of the
    accuracy, NaN where the pattern was not learned; `early` where it is learned so soon that the first measured step is past its onset,
    which is NaN then."""

    time: FloatArray
    accuracy: FloatArray
    loss: FloatArray
    onset: float
    speed: float
    ceiling: float
    early: bool = False

    def at(self, time: FloatArray) -> FloatArray:
        """Accuracy at other times, linear in log time between the measured ones."""
        return np.interp(np.log(time), np.log(self.time), self.accuracy)

    def loss_at(self, time: FloatArray) -> FloatArray:
        """Loss at other times, linear in log time between the measured ones."""
        return np.interp(np.log(time), np.log(self.time), self.loss)

    def mean(self) -> float:
        """Accuracy averaged over log time."""
        return float(self.accuracy @ log_time_weights(self.time))


@dataclass(frozen=True)
class SweepCurves:
    """A sweep as points × replicates.

    Attributes:
        fields: names of what is swept. values: (P,) values of each field.
        curves: side -> S rows of P curves; None where a run has no curve of that side.
        time: `samples` or `step`, what onsets are counted in.
        dealt: (P,) prevalence_top, prevalence_bottom and both (the share that shows both halves), those that the table tells, swept or not.
        deals: whether every seed has a deal of its own (`tables.dealt_anew`).
    """

    fields: tuple[str, ...]
    values: dict[str, tuple[object, ...]]
    curves: dict[str, tuple[tuple[SweptCurve | None, ...], ...]]
    time: str
    chance: float
    notes: tuple[str, ...]
    dealt: dict[str, FloatArray] = field(default_factory=dict)
    deals: bool | None = False

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

    def measured(self, side: str, value: Callable[[SweptCurve], float]) -> FloatArray:
        """(S, P): a number of every curve, NaN where there is none."""
        return np.array([[math.nan if curve is None else value(curve) for curve in row] for row in self.curves[side]])

    def risen(self, side: str) -> NDArray[np.bool_]:
        """(S, P): whether the pattern rose by half while it was measured, or before."""
        return np.isfinite(self.quantity(side, "onset")) | self.early(side)

    def early(self, side: str) -> NDArray[np.bool_]:
        """(S, P): whether it had risen by half when it was first measured."""
        return np.asarray(self.measured(side, lambda curve: float(curve.early)) == 1)

    def quantity(self, side: str, name: str) -> FloatArray:
        """(S, P): onset, speed or ceiling, NaN where the pattern was not learned."""
        return self.measured(side, lambda curve: getattr(curve, name))


def arranged(
    curves: pd.DataFrame, classes: pd.DataFrame | None = None, *, by: Sequence[str] | None = None, classes_count: int | None = None
) -> SweepCurves:
    """Arrange runs as points × replicates and find the shape of every one-sided curve; arguments as in `compare_sweep`."""
    missing = [name for name in by or () if name not in curves.columns]
    if missing:
        names = ", ".join(str(name) for name in curves.columns)
        raise CurvesError(f"the column {', '.join(missing)} is not in the curves; expected swept columns among {names}")
    fields = tuple(by) if by else tuple(telling(curves[swept(curves)].drop_duplicates()))
    if not fields:
        raise CurvesError("the runs differ in nothing but the seed; a sweep needs a column with several values, such as prevalence_top")
    # Runs of different points may carry one name (a table without run ids, or ids that begin anew at each point).
    name = curves["run"] if "run" in curves.columns else curves["seed"] if "seed" in curves.columns else None
    if name is not None:
        curves = curves.assign(run=_named(curves.groupby(list(fields), sort=True, dropna=False).ngroup(), name))
    table, found = mended(curves)
    # As codes, names of runs take a twentieth of the memory in all that follows.
    table = table.astype({"run": "category", "kind": "category"})
    notes = [*found, *([] if by else [f"swept columns: {', '.join(fields)}"])]
    table = table[(table["split"] == "test") & table["kind"].isin(SIDES)]
    if not len(table):
        raise CurvesError("there are no one-sided test curves (split test, kind top or bottom); the laws are read off these")
    if classes_count is None:
        classes_count, told = (10, "") if classes is None or "label" not in classes else count_classes(classes["label"])
        if classes is None:
            told = "the number of classes is not known (no table of classes): 10 was taken"
        notes += [told] if told else []
    check_classes(classes_count)
    time = "samples" if table["samples"].notna().all() else "step"
    if (table["step"] == 0).groupby(table["run"]).any().eq(False).any():
        notes.append("step 0 (before training) is missing in some runs; no law needs it")
    empty = table[list(fields)].isna().any(axis=1)
    if empty.any():
        notes.append(f"{counted(table.loc[empty, 'run'].nunique(), 'run')} left out: a swept column is empty")
        table = table[~empty]
    if not len(table):
        raise CurvesError(f"no run has a value in every swept column ({', '.join(fields)}); pass other columns in by")
    points = [(key, rows.drop_duplicates("run")) for key, rows in table.groupby(list(fields), sort=True)]
    most = max(rows["seed"].nunique() for _, rows in points)
    thin = [rows["seed"].nunique() <= most / 2 for _, rows in points]
    if any(thin):
        notes.append(
            f"{counted(sum(thin), 'point')} left out: {'it has' if sum(thin) == 1 else 'they have'} at most half of the seeds of the others"
        )
        points = [each for each, few in zip(points, thin, strict=True) if not few]
    replicates, said = _replicates([rows for _, rows in points])
    notes += said
    measured = _measured(table, time)
    sides: dict[str, tuple[tuple[SweptCurve | None, ...], ...]] = {}
    for side in SIDES:
        sides[side], said = _curves([[measured.get((run, side)) for run in row] for row in replicates], 1 / classes_count)
        notes += [f"{note} ({side})" for note in said]
    values = {name: tuple(key[index] for key, _ in points) for index, name in enumerate(fields)}
    dealt, said_of = _dealt([rows for _, rows in points])
    notes += said_of
    return SweepCurves(fields, values, sides, time, 1 / classes_count, tuple(notes), dealt, dealt_anew(curves))


def _named(point: pd.Series, name: pd.Series) -> pd.Categorical[str]:
    """For each row the name of its run at its point, such as `3:7`; empty where it has none. Each is written once."""
    codes, different = pd.factorize(name)
    texts, labels = pd.factorize(np.array([str(each) for each in different], dtype=object))
    # Behind the last: what has no name, whose code is -1.
    label = np.append(texts, -1)[codes]
    both = pd.DataFrame({"point": point.to_numpy(), "label": label}).groupby(["point", "label"], sort=False).ngroup().to_numpy()
    first = np.unique(both, return_index=True)[1]
    names = [f"{point.iloc[row]}:{labels[label[row]] if label[row] >= 0 else ''}" for row in first]
    return pd.Categorical.from_codes(np.where(label < 0, -1, both), categories=pd.Index(names))


def _dealt(points: Sequence[pd.DataFrame]) -> tuple[dict[str, FloatArray], list[str]]:
    """Shares shown at each point, from the first run of each, and notes of columns that are no shares."""
    found, notes = {}, []
    for name in ("prevalence_top", "prevalence_bottom", "both"):
        if all(name in rows.columns for rows in points):
            values = pd.to_numeric(pd.Series([rows[name].iloc[0] for rows in points]), errors="coerce").to_numpy(float)
            if ((values >= 0) & (values <= 1)).all():
                found[name] = values
            elif not np.isnan(values).all():
                notes.append(f"column {name} is not used, as it is no share from 0 to 1 at every point")
    return found, notes


def _replicates(points: Sequence[pd.DataFrame]) -> tuple[list[list[str]], list[str]]:
    """The run of each point (P) in each replicate (S), S rows of P, and notes; `points` have one row a run."""
    runs = [rows.drop_duplicates("seed").set_index("seed")["run"] for rows in points]
    notes = []
    copies = sum(len(rows) for rows in points) - sum(len(each) for each in runs)
    if copies:
        notes.append(
            f"{counted(copies, 'run')} left out: {'it has' if copies == 1 else 'they have'} the seed of another run of the same point"
        )
    common = sorted(set(runs[0].index).intersection(*(each.index for each in runs[1:])))
    if len(common) > 1 or all(len(each) == len(common) for each in runs):
        left = sum(len(each) for each in runs) - len(common) * len(runs)
        if left:
            whose = "its seed was" if left == 1 else "their seeds were"
            notes.append(f"{counted(left, 'run')} left out: {whose} not run at every point of the sweep")
        return [[str(each[seed]) for each in runs] for seed in common], notes
    count = min(len(each) for each in runs)
    notes.append(f"the points have different seeds: runs are put together by rank into {count} replicates")
    left = sum(len(each) for each in runs) - count * len(runs)
    if left:
        notes.append(f"{counted(left, 'run')} left out: every point needs as many as the one with fewest")
    ranked = [each.sort_index().tolist() for each in runs]
    return [[str(each[rank]) for each in ranked] for rank in range(count)], notes


def _measured(table: pd.DataFrame, time: str) -> dict[tuple[str, str], MeasuredColumns]:
    """(run, side) -> time, accuracy, n and loss, after step 0 and where there is an accuracy."""
    table = table[table["accuracy"].notna() & (table["step"] > 0) & (table[time] > 0)]
    columns = [table[name].to_numpy(float) for name in (time, "accuracy", "n", "loss")]
    found = {}
    for key, rows in table.groupby(["run", "kind"], sort=False).indices.items():
        at, accuracy, n, loss = (column[rows] for column in columns)
        found[cast("tuple[str, str]", key)] = at, accuracy, n, loss
    return found


def _curves(
    measured: Sequence[Sequence[MeasuredColumns | None]], chance: float
) -> tuple[tuple[tuple[SweptCurve | None, ...], ...], list[str]]:
    """Curves with their fits, in the same nesting; those on one grid of steps are fitted together, which is much faster."""
    found: list[list[SweptCurve | None]] = [[None] * len(row) for row in measured]
    grids: dict[tuple[float, ...], list[tuple[int, int, FloatArray, FloatArray, FloatArray]]] = {}
    for replicate, row in enumerate(measured):
        for point, values in enumerate(row):
            if values is not None and len(values[0]) >= _FEWEST and (np.diff(values[0]) > 0).all():
                grids.setdefault(tuple(values[0]), []).append((replicate, point, *values[1:]))
    open_ends = 0
    for grid, curves in grids.items():
        accuracy, n = np.stack([each for _, _, each, _, _ in curves]), np.stack([each for *_, each, _ in curves])
        fit = fit_curve(grid, accuracy, family="logistic-log", chance=chance, n=n if np.isfinite(n).all() else None)
        for (replicate, point, shares, _, loss), each in zip(curves, fit.seeds or (fit,), strict=True):
            early = each.learned and math.isnan(each.onset) and shares[0] - chance >= (each.ceiling - chance) / 2
            found[replicate][point] = SweptCurve(np.array(grid), shares, loss, each.onset, each.speed, each.ceiling, early)
            open_ends += each.learned and not each.converged
    lost = sum(curve is None for row in found for curve in row)
    no_curve = f"{counted(lost, 'run has', 'runs have')} no usable curve: {_FEWEST} steps after 0, with increasing time, are needed"
    notes = [no_curve] if lost else []
    if open_ends:
        best = "its best value is" if open_ends == 1 else "their best values are"
        notes.append(f"{counted(open_ends, 'fit')} did not converge; {best} used")
    return tuple(tuple(row) for row in found), notes
