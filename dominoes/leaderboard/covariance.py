"""How far the mean curve of a spec's runs lies from its expectation: seeds (shrunk, pooled over a study), deals, probe pictures.

On the scale of `scale.forward`, at the steps of one curve,

    Σ = Σ_run / U + [one deal alone] Σ_deal + Σ_pictures / P.

U is the number of units: deals where there are several, else runs. Σ_run = D R D with D² the variance over units at each step, shrunk to
its pool over the specs of the study in the same window, and R = (1 − w) exp(−|Δ ln t| / ℓ) + w I, fitted to all residuals of the study:
a full T × T matrix of 24 steps from 6 runs a spec would be singular, and its smallest eigenvalues would decide every score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.leaderboard.edition import Edition, SpecRuns
from dominoes.leaderboard.scale import forward, slope
from dominoes.leaderboard.windows import window
from dominoes.theory.windows import WINDOWS

# Degrees of freedom that the pool counts for beside a spec's own runs.
PRIOR = 10.0
# Variance of deals in units of that of seeds of one deal, where a study has one deal only and cannot show it: late accuracy of the
# bottom half differs by SD .019 between deals, .009 within (docs/explanation/theories.md).
DEALS_TO_SEEDS = 4.5
# Below this SD (logits, log nats) nothing is resolved: two thirds of a picture in a thousand.
_LEAST_SD = 0.01
_LENGTHS = np.geomspace(0.05, 20.0, 40)


@dataclass(frozen=True)
class Units:
    """One curve of one spec, by unit.

    Attributes:
        values: (U, T) on the scale. mean: (T,) the mean curve over runs, on the scale. raw: (T,) the same as a share or in nats.
        one_deal: whether all runs share one deal. probes: number of probes that differ.
    """

    values: FloatArray
    mean: FloatArray
    raw: FloatArray
    one_deal: bool
    probes: int


def units(runs: SpecRuns, curve: tuple[str, str], at: NDArray[np.intp]) -> Units:
    """The units of one curve, at the steps with these indices: means over the runs of a deal where deals differ, else runs."""
    values = runs.values[curve][:, at]
    deals = sorted(set(runs.deals))
    each = values if len(deals) == 1 else np.array([values[[deal == other for other in runs.deals]].mean(axis=0) for deal in deals])
    raw = each.mean(axis=0)
    return Units(forward(curve[1], each, runs.n), forward(curve[1], raw, runs.n), raw, len(deals) == 1, len(set(runs.pictures)))


@dataclass(frozen=True)
class CurveNoise:
    """What the runs of one study say of one curve's spread over units: pooled variance by window (3,), nugget w, length ℓ, and dof."""

    variance: FloatArray
    nugget: float
    length: float
    dof: float

    def correlation(self, steps: FloatArray) -> FloatArray:
        """(T, T) correlation R between steps (above 0)."""
        lags = np.abs(np.subtract.outer(np.log(steps), np.log(steps)))
        return np.asarray((1 - self.nugget) * np.exp(-lags / self.length) + self.nugget * np.eye(len(steps)))


def noise(edition: Edition) -> dict[tuple[str, tuple[str, str]], CurveNoise]:
    """(study, curve) -> its pooled spread, from all specs of the study."""
    by_study: dict[str, list[SpecRuns]] = {}
    for runs in edition.arrays.values():
        by_study.setdefault(runs.study, []).append(runs)
    found = {}
    for study, members in by_study.items():
        for curve in sorted({curve for runs in members for curve in runs.values}):
            found[study, curve] = _pooled([runs for runs in members if curve in runs.values], curve, edition.classes)
    return found


def _pooled(members: list[SpecRuns], curve: tuple[str, str], classes: int) -> CurveNoise:
    squares, counts = np.zeros(len(WINDOWS)), np.zeros(len(WINDOWS))
    sampled = []
    pieces = []
    for runs in members:
        at = np.flatnonzero(runs.steps > 0)
        own = units(runs, curve, at)
        sampled.append(slope(curve[1], own.raw, runs.n) ** 2 * _sampling(curve[1], own.raw) / runs.n)
        dof = len(own.values) - 1
        if not dof:
            continue
        where = window(runs, classes)[at]
        residuals = own.values - own.values.mean(axis=0)
        for number in range(len(WINDOWS)):
            squares[number] += float((residuals[:, where == number] ** 2).sum())
            counts[number] += dof * int((where == number).sum())
        pieces.append((np.log(runs.steps[at]), where, residuals, dof))
    # Single runs show no spread; that of sampling the pictures is the least there can be.
    total = squares.sum() / counts.sum() if counts.sum() else float(np.concatenate(sampled).mean())
    variance = np.where(counts > 0, squares / np.maximum(counts, 1), total)
    variance = np.maximum(variance, _LEAST_SD**2)
    nugget, length = _correlation(pieces, variance)
    return CurveNoise(variance, nugget, length, float(sum(dof for *_, dof in pieces)))


def _sampling(metric: str, raw: FloatArray) -> FloatArray:
    """Variance of one picture: of being right, or of its loss (taken as large as the loss, as in an exponential distribution)."""
    return np.asarray(raw**2 if metric == "loss" else raw * (1 - raw))


def _correlation(pieces: list[tuple[FloatArray, NDArray[np.intp], FloatArray, int]], variance: FloatArray) -> tuple[float, float]:
    """Nugget and length by least squares over the products of standardised residuals at all pairs of steps."""
    lags, products, weights = [], [], []
    for log_steps, where, residuals, dof in pieces:
        scaled = residuals / np.sqrt(variance[where])
        product = scaled.T @ scaled / dof
        upper = np.triu_indices(len(log_steps), 1)
        lags.append(np.abs(np.subtract.outer(log_steps, log_steps))[upper])
        products.append(product[upper])
        weights.append(np.full(len(upper[0]), float(dof)))
    if not lags or not sum(len(lag) for lag in lags):
        return 0.1, 1.0
    lag, product, weight = np.concatenate(lags), np.concatenate(products), np.concatenate(weights)
    best = (np.inf, 0.1, 1.0)
    for length in _LENGTHS:
        shape = np.exp(-lag / length)
        share = float(np.clip((weight * product * shape).sum() / (weight * shape**2).sum(), 0.0, 0.95))
        misfit = float((weight * (product - share * shape) ** 2).sum())
        if misfit < best[0]:
            best = (misfit, 1 - share, float(length))
    return best[1], best[2]


def mean_covariance(runs: SpecRuns, curve: tuple[str, str], at: NDArray[np.intp], pool: CurveNoise, classes: int) -> FloatArray:
    """(T, T) covariance of the mean curve about its expectation, at the steps with these indices (all above 0)."""
    own = units(runs, curve, at)
    count, dof = len(own.values), len(own.values) - 1
    pooled = pool.variance[window(runs, classes)[at]]
    variance = (own.values.var(axis=0) * count + PRIOR * pooled) / (dof + PRIOR) if dof else pooled
    sd = np.sqrt(np.maximum(variance, _LEAST_SD**2))
    run = pool.correlation(runs.steps[at]) * np.outer(sd, sd)
    deal = DEALS_TO_SEEDS * run if own.one_deal else 0.0
    return np.asarray(run / count + deal + _pictures(curve[1], own.raw, runs, at, pool) / own.probes)


def _pictures(metric: str, raw: FloatArray, runs: SpecRuns, at: NDArray[np.intp], pool: CurveNoise) -> FloatArray:
    """Covariance from n pictures that all runs share.

    Pictures are taken to be learned in one order, so that being right at two times is nested: cov = min(e, e') (1 − max(e, e')) / n,
    the largest it can be. Losses have the pool's correlation.
    """
    derivative = slope(metric, raw, runs.n)
    if metric == "loss":
        sd = derivative * np.sqrt(_sampling(metric, raw))
        return np.asarray(pool.correlation(runs.steps[at]) * np.outer(sd, sd) / runs.n)
    share = np.clip(raw, 0.5 / runs.n, 1 - 0.5 / runs.n)
    nested = np.minimum.outer(share, share) * (1 - np.maximum.outer(share, share))
    return np.asarray(nested * np.outer(derivative, derivative) / runs.n)
