"""One group of runs as rectangular arrays, with a note for everything that was missing, repaired or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dominoes import tables as contract
from dominoes.errors import CurvesError
from dominoes.theory.verdicts import FloatArray

KINDS = ("top", "bottom", "both", "conflict", "empty")
_SHARES = ("accuracy", "agree_top", "agree_bottom")
_MAY_BE_EMPTY = ("agree_top", "agree_bottom")
_INSTEAD = {
    "seed": "every run is taken as one seed",
    "epoch": "nothing here needs it",
    "samples": "time is counted in steps",
    "split": "all rows are taken as the test split",
    "n": "no deviance, and the error of sampling the probe pictures is not in the intervals",
    "loss": "the questions about loss are not answered",
    "accuracy": "the questions about accuracy are not answered",
    "agree_top": "conflicts are not judged",
    "agree_bottom": "conflicts are not judged",
}


def read(path: Path) -> pd.DataFrame:
    """A table of curves or classes from CSV or Parquet (by its suffix), as it is: `mended` says what is wrong with it, `curves.read`
    refuses it.

    Raises CurvesError if there is no such file, or no table in it.
    """
    path = Path(path)
    if not path.is_file():
        raise CurvesError(f"{path} is not there; expected a table of learning curves (.csv or .parquet)")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # Run ids are hex digits, some of which read as numbers.
        return pd.read_csv(path, dtype=dict.fromkeys(("run", "split", "kind"), str))
    except (ValueError, OSError) as error:
        raise CurvesError(f"{path} cannot be read as a table ({error}); expected the columns {','.join(contract.CURVES)}") from error


def mended(table: pd.DataFrame, *, form: str = "curves") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table of which every row can be used, and a note for each change that made it so.

    Missing columns become empty ones; values that are no number, or out of range, become empty; rows without step or kind go; of rows
    that are there twice the first stays; rows are sorted by step. Further columns (swept parameters) are kept.

    Raises CurvesError if what remains cannot be compared at all: no `step` or `kind`, neither `run` nor `seed`, no accuracy and no
    loss, no rows.
    """
    columns = contract.CURVES if form == "curves" else contract.CLASSES
    missing = [column for column in columns if column not in table.columns]
    needed = [column for column in ("step", "kind", *(("label",) if form == "classes" else ())) if column in missing]
    if needed or {"run", "seed"} <= {*missing} or {"accuracy", "loss"} <= {*missing}:
        names = ", ".join(needed or (["run", "seed"] if {"run", "seed"} <= {*missing} else ["accuracy", "loss"]))
        raise CurvesError(f"{form}: the column {names} is missing and nothing can be compared without it; expected {','.join(columns)}")
    if not missing and not contract.problems(table, form=form):
        return contract.check(table, form=form), ()
    notes = [f"{form}: the column {column} is missing: {_INSTEAD.get(column, 'done without it')}" for column in missing]
    table = table.assign(**dict.fromkeys(missing, np.nan)).reset_index(drop=True)
    if "run" in missing:
        table["run"] = "seed " + table["seed"].astype(str)
    if "seed" in table.columns and table["seed"].notna().any() and pd.to_numeric(table["seed"], errors="coerce").isna().all():
        notes.append(f"{form}: column seed holds names: they are numbered in order of appearance")
        table["seed"] = pd.factorize(table["seed"])[0]
    if "seed" in missing:
        table["seed"] = pd.factorize(table["run"])[0]
    if "split" in missing:
        table["split"] = "test"
    for column in columns:
        if column in ("run", "split", "kind") or column in missing:
            continue
        table[column], found = _usable(table[column], column, form)
        notes += found
    keys = [column for column in ("run", "split", "kind", "label", "step") if column in columns]
    lost = table[[*keys, *(["seed"] if "seed" in columns else [])]].isna().any(axis=1)
    if lost.any():
        notes.append(f"{form}: {_rows(lost)} left out: no {', '.join(keys)} or seed to know it by")
        table = table[~lost]
    twice = table.duplicated(keys)
    if twice.any():
        same = table.duplicated([column for column in columns if column not in missing])
        differing = " (some differ in their values)" if (twice & ~same).any() else ""
        notes.append(f"{form}: {_rows(twice)} left out: the same {', '.join(keys)} as an earlier row{differing}; the first is used")
        table = table[~twice]
    groups = table.groupby([key for key in keys if key != "step"], sort=False)["step"]
    if not groups.is_monotonic_increasing.all():
        notes.append(f"{form}: steps are not in increasing order; they were sorted")
        table = table.sort_values("step", kind="stable")
    if not len(table):
        raise CurvesError(f"{form}: no usable row is left ({'; '.join(notes)})")
    return table.astype({"run": str, "kind": str, **({"split": str} if "split" in columns else {})}), tuple(notes)


def _usable(values: pd.Series, column: str, form: str) -> tuple[pd.Series, list[str]]:
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    low = -np.inf if column == "seed" else 1.0 if column == "n" else 0.0
    high = 1.0 if column in _SHARES else np.inf
    outside = (numbers < low) | (numbers > high) | numbers.abs().eq(np.inf)
    empty = numbers.isna() & (values.notna() | (column not in _MAY_BE_EMPTY))
    notes = []
    if outside.any():
        notes.append(f"{form}: column {column}, {_rows(outside)}: {numbers[outside].iloc[0]:g} is out of range, the value is not used")
    if empty.any():
        notes.append(f"{form}: column {column}, {_rows(empty)}: no number there, the value is not used")
    return numbers.mask(outside), notes


def _rows(chosen: pd.Series) -> str:
    rows = np.flatnonzero(chosen.to_numpy()) + 1
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows (the first is row {rows[0]})"


@dataclass(frozen=True)
class Slice:
    """Values that were measured together: in every run kept, at every step kept.

    Attributes:
        values: one (S, T) array for each (column, kind) asked for; (S, T, K) from the table of classes.
        steps: (T,), increasing. weights: (T,), each step's share of log time (sum 1; step 0 has none).
        n: mean number of probe pictures a kind; NaN if not known.
    """

    values: tuple[FloatArray, ...]
    steps: FloatArray
    weights: FloatArray
    n: float
    notes: tuple[str, ...]

    @property
    def n_seeds(self) -> int:
        return int(self.values[0].shape[0])


@dataclass(frozen=True)
class Panel:
    """The test curves of one group of runs (same spec, different seeds).

    Attributes:
        runs: (S,) one run a seed. steps: (T,) all steps that occur. kinds, labels: those that occur.
        cube: `loss`, `accuracy`, `agree_top`, `agree_bottom`, `n`, `samples` -> (S, T, kinds), NaN where not measured.
        class_cube: `loss`, `accuracy`, `n` -> (S, T, kinds, K); None without a table of classes.
        classes_count: K.
    """

    runs: tuple[str, ...]
    steps: FloatArray
    kinds: tuple[str, ...]
    cube: dict[str, FloatArray]
    class_cube: dict[str, FloatArray] | None
    classes_count: int
    notes: tuple[str, ...]

    def common(self, wanted: Sequence[tuple[str, str]], *, per_class: bool = False) -> Slice | str:
        """The values of (column, kind) pairs where all of them were measured, or a sentence that says why there are none."""
        source = self.class_cube if per_class else self.cube
        if source is None:
            return "the table of classes is missing"
        absent = sorted({kind for _, kind in wanted if kind not in self.kinds})
        if absent:
            return f"the test curves have no rows of kind {', '.join(absent)}"
        arrays = [source[column][:, :, self.kinds.index(kind)] for column, kind in wanted]
        there = np.all([np.isfinite(array).reshape(*array.shape[:2], -1).all(axis=2) for array in arrays], axis=0)
        lengths = there.sum(axis=1)
        # A run that broke off would take its missing steps from all the others; without it, only its own are lost.
        kept = lengths > lengths.max() / 2
        what = ", ".join(f"{column} of {kind}" for column, kind in wanted)
        if not lengths.max():
            return f"no step has all of {what}{' by class' if per_class else ''}"
        notes = []
        if not kept.all():
            left = ", ".join(run for run, keep in zip(self.runs, kept, strict=True) if not keep)
            notes.append(f"{what}: run {left} left out, it has less than half of the steps")
        steps = there[kept].all(axis=0)
        partly = there[kept].any(axis=0) & ~steps
        if partly.any():
            notes.append(
                f"{what}: {partly.sum()} steps that not every run has are not compared (the first is step {self.steps[partly][0]:g})"
            )
        if (self.steps[steps] > 0).sum() < 3:
            return f"the runs have fewer than three steps after 0 in common for {what}"
        numbers = self.cube["n"][kept][:, steps]
        n = float(np.nanmean(numbers)) if np.isfinite(numbers).any() else np.nan
        values = tuple(array[kept][:, steps] for array in arrays)
        return Slice(values, self.steps[steps], log_time_weights(self.steps[steps]), n, tuple(notes))


def panel(curves: pd.DataFrame, classes: pd.DataFrame | None = None, *, classes_count: int | None = None) -> Panel:
    """Arrange the test curves of one group of runs.

    Args:
        curves: columns of curves.csv (design.md section 4); rows of other splits than `test` are not used.
        classes: columns of classes.csv, or None.
        classes_count: K; None: the number of labels in `classes`, else 10 (and a note says so).

    Raises CurvesError: nothing to compare, or K contradicts the labels.
    """
    curves, found = mended(curves)
    notes = list(found)
    curves = curves[curves["split"] == "test"]
    if not len(curves):
        raise CurvesError("curves: there are no rows of split test, and the theory is judged on these; measure the probes")
    # In the order of seeds, so that the same runs in another order draw the same resamples.
    first = curves.drop_duplicates("run").sort_values("seed", kind="stable")
    again = first.duplicated("seed")
    if again.any():
        left = ", ".join(first.loc[again, "run"])
        notes.append(f"run {left} left out: it has the seed of an earlier run of the group, and copies would make intervals too short")
        curves = curves[~curves["run"].isin(first.loc[again, "run"])]
    runs = tuple(str(run) for run in first.loc[~again, "run"])
    other = sorted(set(curves["kind"]) - set(KINDS))
    if other:
        notes.append(f"rows of kind {', '.join(other)} are not used; the kinds are {', '.join(KINDS)}")
    kinds = tuple(kind for kind in KINDS if (curves["kind"] == kind).any())
    curves = curves[curves["kind"].isin(kinds)]
    steps = np.unique(curves["step"].to_numpy(float))
    if 0 not in steps:
        notes.append("step 0 (before training) is missing; no verdict needs it, but that the curves begin at chance is not seen")
    if len(runs) == 1:
        notes.append("there is a single seed: no intervals, and nothing can be told beyond the estimates")
    place = (_index(curves["run"], runs), np.searchsorted(steps, curves["step"].to_numpy(float)), _index(curves["kind"], kinds))
    cube = {}
    for column in ("loss", "accuracy", "agree_top", "agree_bottom", "n", "samples"):
        cube[column] = np.full((len(runs), len(steps), len(kinds)), np.nan)
        cube[column][place] = curves[column].to_numpy(float)
    class_cube = None
    if classes is not None:
        classes, found = mended(classes, form="classes")
        notes += found
        classes = classes[classes["run"].isin(runs) & classes["kind"].isin(kinds) & classes["step"].isin(steps)]
        labels = np.unique(classes["label"].to_numpy(float))
        if len(labels):
            if classes_count not in (None, len(labels)):
                raise CurvesError(
                    f"classes_count is {classes_count}, but the table of classes has {len(labels)} labels; pass one or the other"
                )
            classes_count = len(labels)
            where = (
                _index(classes["run"], runs),
                np.searchsorted(steps, classes["step"].to_numpy(float)),
                _index(classes["kind"], kinds),
                np.searchsorted(labels, classes["label"].to_numpy(float)),
            )
            class_cube = {}
            for column in ("loss", "accuracy", "n"):
                class_cube[column] = np.full((len(runs), len(steps), len(kinds), len(labels)), np.nan)
                class_cube[column][where] = classes[column].to_numpy(float)
        else:
            notes.append("the table of classes has no rows of these runs; nothing is judged per class")
    if classes_count is None:
        classes_count = 10
        notes.append("the number of classes is not known (no table of classes): 10 was taken")
    if classes_count < 2:
        raise CurvesError(f"the number of classes is {classes_count}; expected at least 2")
    return Panel(runs, steps, kinds, cube, class_cube, classes_count, tuple(notes))


def _index(values: pd.Series, names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return pd.Categorical(values, categories=list(names)).codes.astype(np.intp)


def log_time_weights(steps: FloatArray) -> FloatArray:
    """Each step's share of log time by the trapezoid rule, (T,), sum 1. Step 0, which lies infinitely far back, has weight 0."""
    weights = np.zeros(len(steps))
    after = steps > 0
    if after.sum() == 1:
        weights[after] = 1.0
    elif after.any():
        weights[after] = np.gradient(np.log(steps[after]))
        # The ends own half a cell.
        weights[np.flatnonzero(after)[[0, -1]]] /= 2
    return np.asarray(weights / max(weights.sum(), np.finfo(float).tiny))
