"""What the built-in theories share: mean curves as arrays, dials, distances between specs, and the form of their answers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dominoes.arrays import FloatArray
from dominoes.leaderboard.scale import SCALED_METRICS, backward, forward
from dominoes.spec import SIDES

CurveKey = tuple[str, str]
CurvesByKey = dict[CurveKey, FloatArray]
Dials = Mapping[str, Any]
_METRICS = sorted({metric for metrics in SCALED_METRICS.values() for metric in metrics})
# Follow from other dials, or do not bear on what is learned.
_NOT_COMPARED = ("spec", "classes", "empty", "ratio")


@dataclass(frozen=True)
class StraightLine:
    """One mean curve: step (T,) above 0 and increasing, value (T,) on the metric's own scale, n pictures."""

    metric: str
    step: FloatArray
    value: FloatArray
    n: float

    def __deepcopy__(self, memo: dict[int, object]) -> StraightLine:
        # Never changed once made; copying all curves for every question would cost more than answering it.
        return self

    def at(self, steps: FloatArray, shift: float = 0.0) -> FloatArray:
        """Values at other steps, linear in log time on the metric's scale; `shift` > 0 reads the curve later by that many units of ln t.

        Beyond its ends the curve is flat.
        """
        on_scale = np.interp(np.log(np.maximum(steps, 1e-9)) + shift, np.log(self.step), forward(self.metric, self.value, self.n))
        return backward(self.metric, on_scale)


def lines(table: pd.DataFrame) -> dict[CurveKey, StraightLine]:
    """Curves of one spec, means over its runs, at steps above 0."""
    found = lines_by_spec(table.assign(spec=""))
    return found.get("", {})


def lines_by_spec(curves: pd.DataFrame) -> dict[str, dict[CurveKey, StraightLine]]:
    """spec -> its mean curves at steps above 0; in arrays, because folds are many and tables slow."""
    after = curves[curves["step"].to_numpy() > 0]
    found: dict[str, dict[CurveKey, StraightLine]] = {}
    if not len(after):
        return found
    specs, names = pd.factorize(after["spec"], sort=True)
    kinds, kind_names = pd.factorize(after["kind"], sort=True)
    step = after["step"].to_numpy(float)
    order = np.lexsort((step, kinds, specs))
    keys = np.stack([specs[order], kinds[order], step[order]])
    first = np.flatnonzero(np.concatenate([[True], (np.diff(keys) != 0).any(axis=0)]))
    counts = np.diff(np.append(first, len(order)))
    values = after[["n", *_METRICS]].to_numpy(float)[order]
    means = np.add.reduceat(values, first, axis=0) / counts[:, None]
    point = keys[:, first]
    curve_first = np.flatnonzero(np.concatenate([[True], (np.diff(point[:2]) != 0).any(axis=0)]))
    for begin, end in zip(curve_first, np.append(curve_first[1:], len(first)), strict=True):
        spec, kind = str(names[int(point[0, begin])]), str(kind_names[int(point[1, begin])])
        of_spec = found.setdefault(spec, {})
        for metric in SCALED_METRICS.get(kind, ()):
            column = means[begin:end, 1 + _METRICS.index(metric)]
            if np.isfinite(column).all():
                of_spec[kind, metric] = StraightLine(metric, point[2, begin:end], column, float(means[begin, 0]))
    return found


class CurveTheory(ABC):
    """A theory that predicts whole curves: `fit` keeps the mean curves and dials, `predict` answers in arrays.

    Attributes:
        curves: spec -> mean curves it was fitted to. specs: spec -> dials.
    """

    def __init__(self) -> None:
        self.curves: dict[str, dict[CurveKey, StraightLine]] = {}
        self.specs: dict[str, dict[str, Any]] = {}

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
        """Keep the means over runs; a theory with parameters fits them in `learn`."""
        self.curves = lines_by_spec(curves)
        rows = {row["spec"]: {str(name): value for name, value in row.items() if name != "spec"} for row in specs.to_dict("records")}
        self.specs = {spec: rows[spec] for spec in sorted(self.curves)}
        self.learn()

    def learn(self) -> None:  # noqa: B027  (theories without parameters have nothing to learn)
        """Fit the parameters to `curves` and `specs`."""

    @abstractmethod
    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        """Curves at the asked steps (T,) above 0: (kind, metric) -> (T,), every curve that may be asked."""

    def forecast(self, spec: Dials, given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        """The asked rows with the column `mean`."""
        steps = np.unique(asked["step"].to_numpy(float))
        found = self.predict(spec, lines(given), steps)
        mean = np.full(len(asked), np.nan)
        places = np.searchsorted(steps, asked["step"].to_numpy(float))
        for curve, rows in asked.groupby(["kind", "metric"], sort=False).indices.items():
            if curve in found:
                mean[rows] = found[curve][places[rows]]
        return asked.assign(mean=mean)


def classes_of(spec: Dials) -> int:
    """K."""
    return int(spec.get("classes", 10))


def chance(spec: Dials, count: int) -> CurvesByKey:
    """What a network answers that has learned nothing: shares 1/K (neither: (K − 2)/K), losses ln K."""
    K = classes_of(spec)
    level = {"accuracy": 1 / K, "agree_top": 1 / K, "agree_bottom": 1 / K, "neither": (K - 2) / K, "loss": math.log(K)}
    return {(kind, metric): np.full(count, level[metric]) for kind, metrics in SCALED_METRICS.items() for metric in metrics}


def dial_number(spec: Dials, name: str, default: float) -> float:
    """A dial as a number; the default if the spec has none."""
    value = spec.get(name, default)
    return float(value) if value is not None and np.isfinite(value) else default


def shares(spec: Dials) -> tuple[float, float, float]:
    """A, C, D; D = A C where the spec does not say."""
    top, bottom = (dial_number(spec, f"prevalence_{side}", 1.0) for side in SIDES)
    return top, bottom, dial_number(spec, "both", top * bottom)


def of_side(spec: Dials, side: str) -> dict[str, Any]:
    """The dials that bear on one side if the other does not matter to it: all but the other side's and those of their pairing."""
    other = SIDES[1 - SIDES.index(side)]
    return {name: value for name, value in spec.items() if not name.endswith(f"_{other}") and name != "both" and _compared(name)}


def _compared(name: str) -> bool:
    """Whether a dial says how alike two specs are; kernels follow from network and sources, which are compared."""
    return name not in _NOT_COMPARED and not name.startswith("kernel_")


class Distances:
    """Distances between specs: numbers by their spread over the known specs, names alike (0) or not (1).

    Numbers that are positive and span more than a factor of 8 (steps, rates, sizes) are compared by their logarithms.
    """

    def __init__(self, known: Mapping[str, Dials]):
        self.known = {spec: {name: dials[name] for name in dials if _compared(name)} for spec, dials in known.items()}
        self.columns: dict[str, tuple[bool, float]] = {}
        self._centres: dict[str, float] = {}
        for name in sorted({name for dials in self.known.values() for name in dials}):
            values = [dials[name] for dials in self.known.values() if name in dials]
            if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
                numbers = np.array(values, dtype=float)
                finite = numbers[np.isfinite(numbers)]
                logs = bool(len(finite)) and finite.min() > 0 and finite.max() > 8 * finite.min()
                spread = float((np.log(finite) if logs else finite).std()) if len(finite) else 0.0
                self.columns[name] = (logs, spread)
                self._centres[name] = float((np.log(finite) if logs else finite).mean()) if len(finite) else 0.0

    def vector(self, dials: Dials) -> dict[str, float]:
        """The numbers among the dials around their centre, by their spread; a dial that does not vary among the known, by its size."""
        found = {}
        for name, (logs, spread) in self.columns.items():
            value = dial_number(dials, name, math.nan)
            if logs:
                value = math.log(value) if value > 0 else math.nan
            centre = self._centres[name]
            found[name] = (value - centre) / (spread if spread > 1e-12 else max(abs(centre), 1e-12))
        return found

    def to(self, spec: Dials) -> dict[str, float]:
        """Distance of every known spec."""
        asked = self.vector(spec)
        found = {}
        for name, dials in self.known.items():
            vector = self.vector(dials)
            gaps = [vector[column] - asked[column] for column in vector]
            squares = sum(gap**2 for gap in gaps if math.isfinite(gap))
            squares += sum(str(dials[column]) != str(spec.get(column, dials[column])) for column in dials if column not in self.columns)
            found[name] = math.sqrt(squares)
        return found

    def nearest(self, spec: Dials) -> list[str]:
        """The known specs at the smallest distance; several if they tie."""
        found = self.to(spec)
        least = min(found.values(), default=0.0)
        return [name for name in sorted(found) if found[name] <= least + 1e-9]


def average(members: list[dict[CurveKey, StraightLine]], steps: FloatArray) -> CurvesByKey:
    """Curves at the steps, averaged over specs on the metrics' scales."""
    found: CurvesByKey = {}
    for curve in sorted({curve for each in members for curve in each}):
        values = [forward(curve[1], each[curve].at(steps), each[curve].n) for each in members if curve in each]
        found[curve] = backward(curve[1], np.mean(values, axis=0))
    total = sum((found[curve] for curve in found if curve[0] == "conflict"), np.zeros(len(steps)))
    # Averages on the scale need not add up to one.
    return {curve: values / total if curve[0] == "conflict" and (total > 0).all() else values for curve, values in found.items()}


def whole(given: dict[CurveKey, StraightLine], curve: CurveKey, steps: FloatArray) -> bool:
    """Whether a curve is given at all asked steps (not only at earlier ones)."""
    return curve in given and given[curve].step[-1] >= steps[-1] - 1e-9


def shift_to(given: StraightLine, base: StraightLine) -> float:
    """By how much later (in ln t) the base is to be read so that it meets the given part of a curve best: least squares on the scale.

    Between −3 and 3; 0 if the given part has left chance nowhere, so that it does not say when.
    """
    target = forward(given.metric, given.value, given.n)
    if target.max() - target.min() < 0.3:
        return 0.0
    offsets = np.linspace(-3, 3, 121)
    misfits = [float(((forward(given.metric, base.at(given.step, offset), given.n) - target) ** 2).sum()) for offset in offsets]
    return float(offsets[int(np.argmin(misfits))])
