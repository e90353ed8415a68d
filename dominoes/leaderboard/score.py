"""The score: log predictive density of the mean curves, as skill between copying the nearest spec (0) and the noise ceiling (1).

Of one curve in one window, with ȳ the mean curve over runs on the scale of `scale.forward`, μ the forecast, T steps and Σ of `covariance`,

    L = −[ln det(2π Σ) + (ȳ − μ)ᵀ Σ⁻¹ (ȳ − μ)] / (2 T)        nats per step.

A cell (one spec in one task) has the mean over its curves of the mean over its windows. A theory that states a 90 % band is scored with
the standard deviations of the band, at the correlations of Σ. The ceiling is what the other units (seeds and deals) of the spec predict:
unit u against the mean of the others, e_u = z_u − z̄₋ᵤ, has the covariance of a unit times U/(U − 1); e_u √(U − 1)/U therefore has
exactly the covariance of ȳ about its expectation, Σ_unit/U, and is put in the place of ȳ − μ.

    skill = Σ (L − L_copy) / Σ (L_ceiling − L_copy)        over the cells in which L_ceiling − L_copy is positive beyond its interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from dominoes.arrays import FloatArray
from dominoes.leaderboard import covariance, tasks
from dominoes.leaderboard.covariance import CurveNoise
from dominoes.leaderboard.edition import SpecRuns
from dominoes.leaderboard.scale import forward
from dominoes.leaderboard.tasks import CurveKey
from dominoes.leaderboard.windows import window
from dominoes.theory.windows import WINDOWS

# Goes up with every change that moves a score; boards of different evaluators are not put together.
EVALUATOR = "1"
COPY = "copy-nearest"
LEVEL = 0.95
_RESAMPLES = 1000
# Half of a 90 % band of a normal distribution, in standard deviations.
_BAND = 1.6448536269514722
# A band narrower than this (logits, log nats) is taken as this: its density would be unbounded.
_LEAST_SD = 1e-3


@dataclass(frozen=True)
class ScoredCell:
    """One theory, or the ceiling, on one spec: L, and what each unit adds to it per unit of weight (for the bootstrap)."""

    value: float
    influence: FloatArray


@dataclass(frozen=True)
class MeasuredCurve:
    """What a question is scored against, made once: for each curve its parts by window.

    Attributes:
        parts: (curve, window) -> indices into the asked steps.
        targets: curve -> (mean (T,), raw (T,), units (U, T)) on the scale; covariances: curve -> Σ.
        normals: (curve, window) -> Σ⁻¹ and ln det(2π Σ) of its steps; centred: its units (U, steps) around their mean.
    """

    steps: tuple[int, ...]
    n: float
    parts: Mapping[tuple[CurveKey, int], NDArray[np.intp]]
    targets: Mapping[CurveKey, tuple[FloatArray, FloatArray, FloatArray]]
    covariances: Mapping[CurveKey, FloatArray]
    normals: Mapping[tuple[CurveKey, int], tuple[FloatArray, float]]
    centred: Mapping[tuple[CurveKey, int], FloatArray]

    @property
    def curves(self) -> list[CurveKey]:
        return list(self.targets)

    @cached_property
    def weights(self) -> list[tuple[CurveKey, int, float]]:
        """Each curve's windows with their weights: windows alike in a curve, curves alike in a spec."""
        found = []
        for curve in self.curves:
            numbers = [number for other, number in self.parts if other == curve]
            found += [(curve, number, 1 / len(numbers) / len(self.targets)) for number in numbers]
        return found


def measured_targets(
    runs: SpecRuns, question: tasks.TaskQuestion, pools: Mapping[tuple[str, CurveKey], CurveNoise], classes: int
) -> MeasuredCurve:
    """The targets of one question."""
    steps = tasks.asked_steps(runs, question)
    at = np.flatnonzero(np.isin(runs.steps, steps))
    where = window(runs, classes)[at]
    parts, targets, covariances, normals, centred = {}, {}, {}, {}, {}
    for curve in question.curves:
        if curve not in tasks.SCORED:
            continue
        own = covariance.units(runs, curve, at)
        targets[curve] = (own.mean, own.raw, own.values)
        found = covariance.mean_covariance(runs, curve, at, pools[runs.study, curve], classes)
        covariances[curve] = found
        for number in range(len(WINDOWS)):
            if (where == number).any():
                parts[curve, number] = inside = np.flatnonzero(where == number)
                normals[curve, number] = _normal(found[np.ix_(inside, inside)])
                centred[curve, number] = own.values[:, inside] - own.values[:, inside].mean(axis=0)
    return MeasuredCurve(tuple(steps), runs.n, parts, targets, covariances, normals, centred)


def density(target: MeasuredCurve, forecast: Mapping[CurveKey, tuple[FloatArray, FloatArray, FloatArray]]) -> ScoredCell:
    """L of a forecast: curve -> (mean, q05, q95) at the asked steps, on the metric's scale; NaN where no band is stated."""
    total, influence = 0.0, np.zeros(_units(target))
    expected = {curve: forward(curve[1], forecast[curve][0], target.n) for curve in target.curves}
    for curve, number, weight in target.weights:
        at = target.parts[curve, number]
        inverse, log_det = target.normals[curve, number]
        if np.isfinite(forecast[curve][1][at]).all():
            low, high = (forward(curve[1], values[at], target.n) for values in forecast[curve][1:])
            sigma = target.covariances[curve][np.ix_(at, at)]
            scaled = np.maximum((high - low) / (2 * _BAND), _LEAST_SD) / np.sqrt(np.diag(sigma))
            inverse, log_det = _normal(sigma * np.outer(scaled, scaled))
        residual = (target.targets[curve][0] - expected[curve])[at]
        solved = inverse @ residual
        total += weight * -(log_det + float(residual @ solved)) / (2 * len(at))
        influence += weight * -(target.centred[curve, number] @ solved) / len(at)
    return ScoredCell(total, influence)


def ceiling(target: MeasuredCurve) -> ScoredCell | None:
    """L of what other seeds and deals predict, or None where there is one unit only.

    Where all runs share one deal it is what other seeds of that deal predict, which is more than a theory of the spec can know.
    """
    count = _units(target)
    if count < 2:
        return None
    each = np.zeros(count)
    for curve, number, weight in target.weights:
        at = target.parts[curve, number]
        units = target.targets[curve][2][:, at]
        inverse, log_det = target.normals[curve, number]
        off = residuals(units)
        each -= weight * (log_det + ((off @ inverse) * off).sum(axis=1)) / (2 * len(at))
    return ScoredCell(float(each.mean()), each - each.mean())


def residuals(units: FloatArray) -> FloatArray:
    """(U, T) residuals with the covariance of the mean over units: each unit against the mean of the others, times √(U − 1)/U."""
    return np.asarray((units - units.mean(axis=0)) / np.sqrt(len(units) - 1))


def _units(target: MeasuredCurve) -> int:
    return min(len(units) for _, _, units in target.targets.values())


def _normal(sigma: FloatArray) -> tuple[FloatArray, float]:
    """Σ⁻¹ and ln det(2π Σ)."""
    factor = cho_factor(sigma + 1e-10 * np.trace(sigma) / len(sigma) * np.eye(len(sigma)), lower=True)
    log_det = 2 * float(np.log(np.diag(factor[0])).sum()) + len(sigma) * float(np.log(2 * np.pi))
    return np.asarray(cho_solve(factor, np.eye(len(sigma)))), log_det


@dataclass(frozen=True)
class Errors:
    """Of one forecast: mean squared error of shares and of losses (windows of equal weight), hits and number of banded rows."""

    shares: float
    losses: float
    hits: int
    banded: int


def errors(target: MeasuredCurve, forecast: Mapping[CurveKey, tuple[FloatArray, FloatArray, FloatArray]]) -> Errors:
    """Squared errors and coverage of a forecast."""
    squares: dict[bool, list[float]] = {True: [], False: []}
    hits = banded = 0
    for curve in target.curves:
        _, raw, _ = target.targets[curve]
        mean, low, high = forecast[curve]
        # A finite loss, such as 1e308, may have a square that is not.
        with np.errstate(over="ignore"):
            of_windows = [np.mean((raw[at] - mean[at]) ** 2) for (other, _), at in target.parts.items() if other == curve]
        squares[curve[1] == "loss"].append(float(np.mean(of_windows)))
        stated = np.isfinite(low)
        banded += int(stated.sum())
        hits += int(((low <= raw) & (raw <= high) & stated).sum())
    shares, losses = (float(np.mean(squares[key])) if squares[key] else np.nan for key in (False, True))
    return Errors(shares, losses, hits, banded)


def by_curve(
    kinds: NDArray[np.object_], metrics: NDArray[np.object_], values: FloatArray
) -> dict[CurveKey, tuple[FloatArray, FloatArray, FloatArray]]:
    """Forecast rows of one question, curve after curve with steps increasing (as `asking` writes them), as curve -> (mean, q05, q95)."""
    return {
        (str(kinds[rows.start]), str(metrics[rows.start])): (values[rows, 0], values[rows, 1], values[rows, 2])
        for rows in blocks_of_rows(kinds, metrics)
    }


def blocks_of_rows(*columns: NDArray[np.object_]) -> list[slice]:
    """Runs of rows that agree in all columns, in their order."""
    if not len(columns[0]):
        return []
    changed = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    begins = np.flatnonzero(np.concatenate([[True], changed[1:]]))
    return [slice(int(begin), int(end)) for begin, end in zip(begins, np.append(begins[1:], len(changed)), strict=True)]


@dataclass(frozen=True)
class Skill:
    """Skill over cells with its interval; `left_out` cells had nothing to predict."""

    value: float
    low: float
    high: float
    cells: int
    left_out: int


def skill(
    theory: Mapping[str, ScoredCell],
    copied: Mapping[str, ScoredCell],
    best: Mapping[str, ScoredCell | None],
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> Skill:
    """Skill of a theory over its cells, with a bootstrap over cells (specs), then over units (seeds and deals) within them.

    Units enter by their influence on L (the derivative by a unit's weight), so that a resample costs a product and adds no bias.
    """
    kept, left = [], 0
    for name in sorted(theory):
        top = best[name]
        if top is None or not _something(top, copied[name]):
            left += 1
            continue
        kept.append((name, theory[name], copied[name], top))
    if not kept:
        return Skill(np.nan, np.nan, np.nan, 0, left)
    above = np.array([each.value - base.value for _, each, base, _ in kept])
    below = np.array([top.value - base.value for _, _, base, top in kept])
    value = above.sum() / below.sum()
    drawn = np.random.default_rng([seed, len(kept)]).multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=_RESAMPLES)
    moved_above, moved_below = np.tile(above, (_RESAMPLES, 1)), np.tile(below, (_RESAMPLES, 1))
    for place, (name, each, base, top) in enumerate(kept):
        count = len(base.influence)
        # A stream of the cell's own, so that no order of cells changes what is drawn.
        stream = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")])
        weights = stream.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count - 1 / count
        moved_above[:, place] += weights @ (each.influence - base.influence)
        moved_below[:, place] += weights @ (top.influence - base.influence)
    total = (drawn * moved_below).sum(axis=1)
    ratios = (drawn * moved_above).sum(axis=1)[total > 0] / total[total > 0]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2]) if len(ratios) > 1 else (np.nan, np.nan)
    return Skill(float(value), float(low), float(high), len(kept), left)


def _something(top: ScoredCell, base: ScoredCell) -> bool:
    """Whether the ceiling is above copying beyond the interval over units."""
    influence = top.influence - base.influence
    count = len(influence)
    error = float(np.sqrt((influence**2).sum() / (count * max(count - 1, 1))))
    return top.value - base.value > 1.96 * error
