"""What the built-in theories share: mean curves as arrays, dials, distances between specs, and the form of their answers."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.leaderboard.scale import SCALED_METRICS, backward, forward
from dominoes.spec import SIDES

CurveKey = tuple[str, str]
CurvesByKey = dict[CurveKey, FloatArray]
Dials = Mapping[str, Any]
_METRICS = sorted({metric for metrics in SCALED_METRICS.values() for metric in metrics})
# Never changed once fitted; to copy them for every question would cost more than to answer it.
_SHARED = ("curves", "specs", "_distances")
# Follow from other dials, or do not bear on what is learned.
_NOT_COMPARED = ("spec", "classes", "empty", "ratio")


@dataclass(frozen=True)
class StraightLine:
    """One mean curve: step (T,) above 0 and increasing, value (T,) on the metric's own scale, n pictures."""

    metric: str
    step: FloatArray
    value: FloatArray
    n: float

    @cached_property
    def on_scale(self) -> FloatArray:
        """(T,) the values on the metric's scale."""
        return forward(self.metric, self.value, self.n)

    @cached_property
    def log_step(self) -> FloatArray:
        """(T,) ln of the steps."""
        return np.log(self.step)

    def at(self, steps: FloatArray, shift: FloatArray | float = 0.0) -> FloatArray:
        """Values at other steps, linear in log time on the metric's scale; `shift` > 0 reads the curve later by that many units of ln t.

        Beyond its ends the curve is flat.
        """
        return backward(self.metric, np.interp(np.log(np.maximum(steps, 1e-9)) + shift, self.log_step, self.on_scale))


def on_scale(members: Sequence[StraightLine], steps: FloatArray) -> FloatArray:
    """(L, T) lines of one metric at other steps, on its scale; as `StraightLine.at`, at once for those that lie at the same steps."""
    found = np.empty((len(members), len(steps)))
    groups: dict[tuple[int, float], list[int]] = {}
    for place, line in enumerate(members):
        groups.setdefault((id(line.step), line.n), []).append(place)
    for places in groups.values():
        line = members[places[0]]
        values = _interpolated(np.log(np.maximum(steps, 1e-9)), line.log_step, np.array([members[place].on_scale for place in places]))
        found[places] = forward(line.metric, backward(line.metric, values), line.n)
    return found


def _interpolated(x: FloatArray, known: FloatArray, values: FloatArray) -> FloatArray:
    """`numpy.interp` of several curves (L, T) over the same known points."""
    if np.array_equal(x, known):
        return values
    if len(known) == 1:
        return np.repeat(values, len(x), axis=1)
    left = np.clip(np.searchsorted(known, x, side="right") - 1, 0, len(known) - 2)
    inside = np.clip(x, known[0], known[-1]) - known[left]
    slope = (values[:, left + 1] - values[:, left]) / (known[left + 1] - known[left])
    return np.asarray(np.where(x >= known[-1], values[:, -1:], slope * inside + values[:, left]))


def lines(table: pd.DataFrame) -> dict[CurveKey, StraightLine]:
    """Curves of one spec, means over its runs, at steps above 0."""
    return _means(table, np.zeros(len(table), dtype=np.intp), [""]).get("", {})


def lines_by_spec(curves: pd.DataFrame) -> dict[str, dict[CurveKey, StraightLine]]:
    """spec -> its mean curves at steps above 0."""
    specs, names = pd.factorize(curves["spec"], sort=True)
    return _means(curves, specs, [str(name) for name in names])


def _means(table: pd.DataFrame, specs: NDArray[np.intp], names: Sequence[str]) -> dict[str, dict[CurveKey, StraightLine]]:
    """Means over the rows of each (spec, kind, step), in arrays: folds are many and tables slow."""
    found: dict[str, dict[CurveKey, StraightLine]] = {}
    step = table["step"].to_numpy(float)
    after = np.flatnonzero(step > 0)
    if not len(after):
        return found
    kinds, found_kinds = pd.factorize(table["kind"], sort=True)
    kind_names = [str(kind) for kind in found_kinds]
    when, times = pd.factorize(step[after], sort=True)
    cells = (specs[after] * len(kind_names) + kinds[after]) * len(times) + when
    shape = (len(names), len(kind_names), len(times))
    counts = np.bincount(cells, minlength=math.prod(shape)).reshape(shape)
    with np.errstate(invalid="ignore"):
        means = {
            name: np.bincount(cells, table[name].to_numpy(float)[after], math.prod(shape)).reshape(shape) / counts
            for name in ("n", *_METRICS)
        }
    there = counts > 0
    whole = {name: np.all(np.isfinite(values) | ~there, axis=2) for name, values in means.items()}
    # One array for all curves that lie at the same steps: they are read together.
    shared: dict[bytes, tuple[NDArray[np.intp], FloatArray]] = {}
    for spec, kind in np.argwhere(there.any(axis=2)).tolist():
        pattern = there[spec, kind].tobytes()
        if pattern not in shared:
            found_at = np.flatnonzero(there[spec, kind])
            shared[pattern] = (found_at, times[found_at])
        at, steps = shared[pattern]
        of_spec = found.setdefault(names[spec], {})
        for metric in SCALED_METRICS.get(kind_names[kind], ()):
            if whole[metric][spec, kind]:
                column = means[metric][spec, kind, at]
                of_spec[kind_names[kind], metric] = StraightLine(metric, steps, column, float(means["n"][spec, kind, at[0]]))
    return found


class CurveTheory(ABC):
    """A theory that predicts whole curves: `fit` keeps the mean curves and dials, `predict` answers in arrays.

    Attributes:
        curves: spec -> mean curves it was fitted to. specs: spec -> dials.
    """

    def __init__(self) -> None:
        self.curves: dict[str, dict[CurveKey, StraightLine]] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        self._distances: dict[str, Distances] = {}

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
        """Keep the means over runs; a theory with parameters fits them in `learn`."""
        self.curves = lines_by_spec(curves)
        rows = {row["spec"]: {str(name): value for name, value in row.items() if name != "spec"} for row in specs.to_dict("records")}
        self.specs = {spec: rows[spec] for spec in sorted(self.curves)}
        self._distances = {}
        self.learn()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        copied = copy.copy(self)
        memo[id(self)] = copied
        vars(copied).update({name: copy.deepcopy(value, memo) for name, value in vars(self).items() if name not in _SHARED})
        return copied

    def learn(self) -> None:  # noqa: B027  (theories without parameters have nothing to learn)
        """Fit the parameters to `curves` and `specs`."""

    def distances(self, side: str = "") -> Distances:
        """Between the fitted specs, in all dials or in those that bear on one side; made once for all copies."""
        if side not in self._distances:
            self._distances[side] = Distances({name: of_side(dials, side) if side else dials for name, dials in self.specs.items()})
        return self._distances[side]

    @abstractmethod
    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        """Curves at the asked steps (T,) above 0: (kind, metric) -> (T,), every curve that may be asked."""

    def forecast(self, spec: Dials, given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        """The asked rows with the column `mean`."""
        steps = np.unique(asked["step"].to_numpy(float))
        found = self.predict(spec, lines(given), steps)
        mean = np.full(len(asked), np.nan)
        places = np.searchsorted(steps, asked["step"].to_numpy(float))
        kinds, metrics = (asked[name].to_numpy(object) for name in ("kind", "metric"))
        for curve in set(zip(kinds.tolist(), metrics.tolist(), strict=True)) & set(found):
            rows = np.flatnonzero((kinds == curve[0]) & (metrics == curve[1]))
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
        gaps = self._vectors - np.array([asked[name] for name in self.columns])
        squares = np.where(np.isfinite(gaps), gaps**2, 0.0).sum(axis=1)
        for place, names in enumerate(self._names):
            squares[place] += sum(value != str(spec.get(name, value)) for name, value in names.items())
        return dict(zip(self.known, np.sqrt(squares).tolist(), strict=True))

    @cached_property
    def _vectors(self) -> FloatArray:
        """(N, columns) of the known."""
        rows = [list(self.vector(dials).values()) for dials in self.known.values()]
        return np.array(rows).reshape(len(self.known), len(self.columns))

    @cached_property
    def _names(self) -> list[dict[str, str]]:
        """Dials of the known that are names."""
        return [{name: str(value) for name, value in dials.items() if name not in self.columns} for dials in self.known.values()]

    def nearest(self, spec: Dials) -> list[str]:
        """The known specs at the smallest distance; several if they tie."""
        found = self.to(spec)
        least = min(found.values(), default=0.0)
        return [name for name in sorted(found) if found[name] <= least + 1e-9]


def average(members: list[dict[CurveKey, StraightLine]], steps: FloatArray) -> CurvesByKey:
    """Curves at the steps, averaged over specs on the metrics' scales."""
    found: CurvesByKey = {}
    for curve in sorted({curve for each in members for curve in each}):
        values = on_scale([each[curve] for each in members if curve in each], steps)
        found[curve] = backward(curve[1], values.mean(axis=0))
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
    target = given.on_scale
    if target.max() - target.min() < 0.3:
        return 0.0
    offsets = np.linspace(-3, 3, 121)
    moved = forward(given.metric, base.at(given.step, offsets[:, None]), given.n)
    return float(offsets[int(((moved - target) ** 2).sum(axis=1).argmin())])
