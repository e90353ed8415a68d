"""One group of runs as rectangular arrays, with a note for everything that was missing, repaired or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dominoes.arrays import FloatArray, IndexArray
from dominoes.errors import CurvesError, brief
from dominoes.labels import count_classes
from dominoes.spec import PERMUTED, PROBES
from dominoes.tables import CURVES, JOINT, JOINT_ANSWERS, mended, of_rows

_MOST_CLASSES = 1_000_000
# Shares that differ by more were not counted on the same pictures; tables from elsewhere may have three digits.
_ROUNDED = 2e-3
_NOT_OF_THESE = (
    "the table of classes has no rows that are known to be of these runs, by run or, where a table has no column run, by seed: {} classes "
    "are taken, and nothing is judged per class"
)


@dataclass(frozen=True)
class Slice:
    """Values that were measured together: in every run kept, at every step kept.

    Attributes:
        values: one (S, T) array for each (column, kind) asked for.
        steps: (T,), increasing. weights: (T,), each step's share of log time (sum 1; step 0 has none).
        n: mean number of probe pictures a kind; NaN if not known.
        runs, places: which runs and steps of the group these are.
    """

    values: tuple[FloatArray, ...]
    steps: FloatArray
    weights: FloatArray
    n: float
    notes: tuple[str, ...]
    runs: IndexArray
    places: IndexArray

    @property
    def n_seeds(self) -> int:
        return int(self.values[0].shape[0])


@dataclass(frozen=True)
class RunArrays:
    """The test curves of one group of runs (same spec, different seeds).

    Attributes:
        runs: (S,) one run a seed. steps: (T,) all steps that occur. kinds, labels: those that occur.
        cube: `loss`, `accuracy`, `agree_top`, `agree_bottom`, `n`, `samples` -> (S, T, kinds), NaN where not measured.
        class_cube: `loss`, `accuracy`, `n` -> (S, T, kinds, K); None without a table of classes.
        joint: probe -> (S, T, 2, 2, A) shares of pictures (`crossed`), NaN where not measured; empty without a table of joint answers.
        classes_count: K.
        reliability: of the top and of the bottom half, where the table tells it, else 1.
        training: the curves on training dominoes, of the same runs; None without any, or where both halves are fully reliable.
    """

    runs: tuple[str, ...]
    steps: FloatArray
    kinds: tuple[str, ...]
    cube: dict[str, FloatArray]
    class_cube: dict[str, FloatArray] | None
    classes_count: int
    notes: tuple[str, ...]
    joint: dict[str, FloatArray] = field(default_factory=dict)
    reliability: tuple[float, float] = (1.0, 1.0)
    training: RunArrays | None = None

    def common(self, wanted: Sequence[tuple[str, str]]) -> Slice | str:
        """The values of (column, kind) pairs where all of them were measured, or a sentence that says why there are none."""
        absent = sorted({kind for _, kind in wanted if kind not in self.kinds})
        if absent:
            return f"the test curves have no rows of kind {', '.join(absent)}"
        arrays = [self.cube[column][:, :, self.kinds.index(kind)] for column, kind in wanted]
        there = np.asarray(np.isfinite(arrays).all(axis=0))
        lengths = there.sum(axis=1)
        # A run that broke off would take its missing steps from all the others; without it, only its own are lost.
        kept = lengths > lengths.max() / 2
        what = ", ".join(f"{column} of {kind}" for column, kind in wanted)
        if not lengths.max():
            return f"no step has all of {what}"
        notes = []
        if not kept.all():
            left = ", ".join(run for run, keep in zip(self.runs, kept, strict=True) if not keep)
            notes.append(f"{what}: run {left} left out, it has less than half of the steps")
        steps = there[kept].all(axis=0)
        partly = there[kept].any(axis=0) & ~steps
        if partly.any():
            others = f" and {partly.sum() - 1} more" if partly.sum() > 1 else ""
            notes.append(
                f"{what}: step {self.steps[partly][0]:g}{others} that not every run has {'are' if partly.sum() > 1 else 'is'} not compared"
            )
        if (self.steps[steps] > 0).sum() < 3:
            return f"the runs have fewer than three steps after 0 in common for {what}"
        numbers = self.cube["n"][kept][:, steps]
        n = float(np.nanmean(numbers)) if np.isfinite(numbers).any() else np.nan
        values = tuple(array[kept][:, steps] for array in arrays)
        where = np.flatnonzero(kept), np.flatnonzero(steps)
        return Slice(values, self.steps[steps], log_time_weights(self.steps[steps]), n, tuple(notes), *where)

    def by_class(self, wanted: Sequence[tuple[str, str]], measured: Slice) -> tuple[FloatArray, ...] | str:
        """(S, T, K) each: values of (column, kind) pairs at the runs and steps of a slice; a sentence where not all have been measured."""
        if self.class_cube is None:
            return "there are no rows by class of these runs"
        if any(kind not in self.kinds for _, kind in wanted):
            return "the test curves do not have every kind"
        where = np.ix_(measured.runs, measured.places)
        found = tuple(self.class_cube[column][:, :, self.kinds.index(kind)][where] for column, kind in wanted)
        if not np.isfinite(found).all():
            return "the table of classes does not have every run and step of the curves"
        return found

    def crossed(self, probe: str, measured: Slice) -> FloatArray | None:
        """(S, T, 2, 2, A) shares of pictures at the runs and steps of a slice; None where not all of them have been measured.

        Axes after runs and steps: the top alone wrong or right, the bottom alone wrong or right, the answer (`tables.JOINT_ANSWERS`).
        """
        if probe not in self.joint:
            return None
        found = self.joint[probe][np.ix_(measured.runs, measured.places)]
        return found if np.isfinite(found).all() else None


def arrays(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    classes_count: int | None = None,
    joint: pd.DataFrame | None = None,
) -> RunArrays:
    """Arrange the test curves of one group of runs.

    Args:
        curves: columns of curves.csv ; rows of other splits than `test` are not used.
        classes: columns of classes.csv, or None.
        classes_count: K; None: the number of labels in `classes`, even where its rows are of other runs, else 10 (and a note says so).
            Where one of the two tables has no column `run`, rows are of the run that has their seed.
        joint: columns run,step,probe,top_alone,bottom_alone,answer,n of joint.csv: answers crossed picture by picture; or None.

    Raises CurvesError: nothing to compare, or K contradicts the labels.
    """
    # Whether one of the tables names no runs, though the curves have seeds of their own.
    by_seed = "seed" in curves.columns and ("run" not in curves.columns or (classes is not None and "run" not in classes.columns))
    curves, found = mended(curves)
    varying = of_rows(curves, [column for column in curves.columns if column not in CURVES])
    notes = [*found, *(f"curves: column {name} varies within runs, so it tells none apart: it is not used" for name in varying)]
    whole, curves = curves, curves[curves["split"] == "test"]
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
    other = sorted(set(curves["kind"]) - {*PROBES, *PERMUTED})
    if other:
        notes.append(f"rows of kind {', '.join(other)} are not used; the kinds are {', '.join(PROBES)}")
    kinds = tuple(kind for kind in PROBES if (curves["kind"] == kind).any())
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
        whole_table = classes
        classes = _of_these(classes, first.loc[~again, "seed"].set_axis(runs), by_seed)
        classes = classes[classes["kind"].isin(kinds) & classes["step"].isin(steps)]
        labels = np.unique(classes["label"].to_numpy(float))
        told, said = count_classes(classes["label"])
        if len(labels):
            if classes_count not in (None, told):
                raise CurvesError(f"classes_count is {classes_count}, but the table of classes has {told} labels; pass one or the other")
            classes_count = told
            notes += [f"{said}, and nothing is judged per class" if len(labels) < told else said] if said else []
        if 0 < len(labels) == told:
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
        elif not len(labels):
            classes_count = classes_count or count_classes(whole_table["label"])[0]
            notes.append(_NOT_OF_THESE.format(classes_count))
    if classes_count is None:
        classes_count = 10
        notes.append("the number of classes is not known (no table of classes): 10 was taken")
    check_classes(classes_count)
    notes += _copies(cube, runs)
    crossed, said_of = ({}, []) if joint is None else _checked(_crossed(joint, runs, steps), cube, kinds, runs)
    notes += said_of
    top, bottom = (_constant(whole, f"reliability_{side}") for side in ("top", "bottom"))
    training = None
    if min(top, bottom) < 1:
        rows = whole[(whole["split"] == "train") & whole["run"].isin(runs)]
        plain = rows[[column for column in rows.columns if not column.startswith("reliability_")]]
        training = arrays(plain.assign(split="test"), classes_count=classes_count) if len(rows) else None
    return RunArrays(runs, steps, kinds, cube, class_cube, classes_count, tuple(notes), crossed, (top, bottom), training)


def _of_these(classes: pd.DataFrame, seeds: pd.Series, by_seed: bool) -> pd.DataFrame:
    """The rows by class of some runs (`seeds`, by run id), known by their run, else by their seed where a table names no runs; none where
    a seed has several rows for the same thing, as it has in several groups."""
    same = classes["run"].isin(seeds.index)
    if same.any() or not by_seed or "seed" not in classes.columns:
        return classes[same]
    of_seed = dict(zip(seeds.to_numpy(float), seeds.index, strict=True))
    known = classes.assign(run=pd.to_numeric(classes["seed"], errors="coerce").map(of_seed)).dropna(subset=["run"])
    return known.iloc[:0] if known.duplicated(["run", "kind", "label", "step"]).any() else known


def check_classes(count: object) -> None:
    """Raises CurvesError unless it is a number of classes."""
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= _MOST_CLASSES:
        raise CurvesError(f"the number of classes is {brief(repr(count))}; expected a whole number from 2 to {_MOST_CLASSES:,}")


def _copies(cube: dict[str, FloatArray], runs: Sequence[str]) -> list[str]:
    """A note where runs have the same losses to the last digit at all steps, of which there are several."""
    seen: dict[bytes, list[str]] = {}
    for run, losses in zip(runs, cube["loss"], strict=True):
        if len(np.unique(losses[np.isfinite(losses)])) > 2:
            seen.setdefault(losses.tobytes(), []).append(run)
    same = [", ".join(names) for names in seen.values() if len(names) > 1]
    return [
        f"runs {names} have the same losses to the last digit: copies are no further seeds, and make intervals too short" for names in same
    ]


def _constant(table: pd.DataFrame, column: str) -> float:
    """The one value of a further column, 1 where it is not there."""
    values = pd.to_numeric(table[column], errors="coerce").dropna() if column in table.columns else pd.Series(dtype=float)
    return float(values.iloc[0]) if len(values) else 1.0


def _crossed(joint: pd.DataFrame, runs: Sequence[str], steps: FloatArray) -> dict[str, FloatArray]:
    """Probe -> (S, T, 2, 2, A) shares of pictures; a cell without a row has none, a run and step without rows is NaN."""
    missing = [column for column in JOINT if column not in joint.columns]
    if missing:
        raise CurvesError(f"the table of joint answers has no column {', '.join(missing)}; expected {','.join(JOINT)}")
    joint = joint.reset_index(drop=True)
    numbers = pd.to_numeric(joint["n"], errors="coerce").astype(float)
    bad = ~(numbers >= 0) | (numbers > 2.0**53)
    if bad.any():
        value = joint["n"][bad].iloc[0]
        raise CurvesError(f"the table of joint answers, column n, row {int(np.flatnonzero(bad)[0]) + 1}: {value}; expected a count")
    found = {}
    for probe, answers in JOINT_ANSWERS.items():
        rows = joint[(joint["probe"] == probe) & joint["run"].astype(str).isin(runs) & joint["step"].isin(steps)]
        rows = rows[rows["answer"].isin(answers) & rows["top_alone"].isin([0, 1]) & rows["bottom_alone"].isin([0, 1])]
        if not len(rows):
            continue
        counts = np.zeros((len(runs), len(steps), 2, 2, len(answers)))
        place = (
            _index(rows["run"].astype(str), runs),
            np.searchsorted(steps, rows["step"].to_numpy(float)),
            rows["top_alone"].to_numpy(int),
            rows["bottom_alone"].to_numpy(int),
            _index(rows["answer"], answers),
        )
        np.add.at(counts, place, numbers[rows.index].to_numpy(float))
        total = counts.sum(axis=(2, 3, 4), keepdims=True)
        found[probe] = np.where(total > 0, counts / np.maximum(total, 1.0), np.nan)
    return found


def _checked(
    crossed: dict[str, FloatArray], cube: dict[str, FloatArray], kinds: tuple[str, ...], runs: Sequence[str]
) -> tuple[dict[str, FloatArray], list[str]]:
    """Crossed answers of the probes whose shares are those of the curves, and notes of those that are missing in part or others."""
    found, notes = {}, []
    for probe, shares in crossed.items():
        lacking = [run for run, each in zip(runs, shares, strict=True) if np.isnan(each).all()]
        if probe not in kinds:
            continue
        if lacking:
            named = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            notes.append(f"answers picture by picture ({probe}) are missing for run {named}: those of the others are not used")
            continue
        answered = shares.sum(axis=(2, 3))
        place = kinds.index(probe)
        for answer, column in (("wrong", "accuracy"), ("top", "agree_top"), ("bottom", "agree_bottom")):
            if answer not in JOINT_ANSWERS[probe]:
                continue
            curve = cube[column][:, :, place]
            off = np.abs(answered[..., JOINT_ANSWERS[probe].index(answer)] - (1 - curve if answer == "wrong" else curve))
            if np.nanmax(off, initial=0.0) > _ROUNDED:
                run = runs[int(np.nanargmax(off)) // off.shape[1]]
                told = f"the share of {probe} that is answered {answer!r} is another there than in the curves (run {run})"
                notes.append(f"answers picture by picture are not used: {told}; they are of other runs or pictures")
                break
        else:
            found[probe] = shares
    return found, notes


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
