"""Intervals over seeds, and what lies within a margin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dominoes.arrays import FloatArray

BoolArray = NDArray[np.bool_]


HOLDS, FAILS, CANNOT_TELL, NOT_APPLICABLE = "holds", "fails", "cannot tell", "not applicable"
VERDICTS = (HOLDS, FAILS, CANNOT_TELL, NOT_APPLICABLE)

# A bound that lies this close to the end of the range of agreement, as a share of it, is "at the margin" (`Interval.at_margin`).
_CLOSE = 0.02


# Level of the test by which a contrast's own scatter is set apart from that of the others.
_POOLED = 0.25


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; `low` and `high` are NaN where one seed allows none.

    `pictures` is the share of the squared half-width that the probe pictures alone make, which all seeds share (0 to 1).
    """

    estimate: float
    low: float
    high: float
    pictures: float = 0.0

    def exp(self) -> Interval:
        """The interval of exp(x), for statistics that were averaged as logarithms."""
        estimate, low, high = (math.exp(min(max(value, -50.0), 50.0)) if not math.isnan(value) else value for value in self.triple)
        return Interval(estimate, low, high, self.pictures)

    @property
    def triple(self) -> tuple[float, float, float]:
        return self.estimate, self.low, self.high

    def verdict(self, at_least: float, at_most: float) -> str:
        """`holds` within [at_least, at_most], `fails` wholly outside, else (also without an interval) `cannot tell`."""
        if self.low >= at_least and self.high <= at_most:
            return HOLDS
        if self.low > at_most or self.high < at_least:
            return FAILS
        return CANNOT_TELL

    def at_margin(self, at_least: float, at_most: float) -> bool:
        """Whether a bound lies within 2 % of an end of the range: other seeds may say otherwise. Of ratios, whose range is as far up as
        down, 2 % of that end; else of the margin, half of the range, or where it is open 2 % of that end (of 0: of the interval's width).
        """
        ends = [end for end in (at_least, at_most) if math.isfinite(end)]
        of_ratios = at_least > 0 and math.isclose(at_least * at_most, 1)
        margin = 0.0 if of_ratios or len(ends) < 2 else (at_most - at_least) / 2
        return any(
            abs(bound - end) <= _CLOSE * (margin or abs(end) or self.high - self.low) for bound in (self.low, self.high) for end in ends
        )

    def of_counts(self) -> Interval:
        """The same, of what is larger as more pictures count: its variance grows in proportion, so that the end away from 0 is moved out to
        where the estimate lies as many standard errors away by the variance that would be there (a score interval; Wilson 1927, J. Am.
        Stat. Assoc. 22, 209). A value that is less than its half-width is taken to be as large as that."""
        half = (self.high - self.low) / 2
        share = half / max(abs(self.estimate), half) if half > 0 else 0.0
        further = half * (share + math.sqrt(share**2 + 4)) / 2
        if self.estimate < 0:
            return replace(self, low=self.estimate - further)
        return replace(self, high=self.estimate + further)


def without_each(n_seeds: int) -> FloatArray:
    """(1 + S, S) weights of seeds, rows of sum 1: all seeds, then all but each of them; (1, 1) for one seed."""
    if n_seeds < 2:
        return np.ones((1, 1))
    return np.concatenate([np.full((1, n_seeds), 1 / n_seeds), (1 - np.eye(n_seeds)) / (n_seeds - 1)])


@dataclass(frozen=True)
class SeedSpread:
    """Intervals from the spread of seeds, by the jackknife.

    Seeds are left out whole, one at a time: every kind, step and class of a seed stays together, so that whatever is compared is
    compared within seeds (paired), and nothing is assumed of the strong correlation between steps. The interval is

        estimate ± sqrt((t · SE)² + (z · SE_pictures)²),   SE² = (S − 1)/S · Σ_s (θ_(s) − mean θ_(·))²  (Tukey 1958),

    where θ_(s) is the statistic without seed s and t the Student quantile for S − 1 degrees of freedom. For a mean over seeds this is
    Student's interval exactly; the jackknife carries it to ratios of means. Nothing is drawn at random: the same curves have the same
    interval, always.

    SE_pictures is the part that no number of seeds can shrink: all runs are scored on the same probe pictures. It is added as a known
    error. The two parts are combined as half-widths because a lucky small spread of two seeds must not borrow the other part's degrees
    of freedom.

    Attributes:
        n_seeds: S. level: of the interval, in (0, 1).
    """

    n_seeds: int
    level: float

    def intervals(
        self, statistic: Callable[[FloatArray], FloatArray], pictures: FloatArray | float = 0.0
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Estimates, lows and highs of a statistic that maps weights (B, S), rows of sum 1, to values (B, ...)."""
        return self._jackknife(np.asarray(statistic(without_each(self.n_seeds))), pictures)

    def _jackknife(self, folds: FloatArray, pictures: FloatArray | float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Estimates, lows and highs from values (1 + S, ...) in the order of `without_each`."""
        S, estimate = self.n_seeds, np.asarray(folds[0])
        if S < 2:
            nothing = np.full(np.shape(estimate), np.nan)
            return estimate, nothing, nothing
        error = folds[1:].std(axis=0) * math.sqrt(S - 1)
        half = np.hypot(_students(self.level, S - 1) * error, _normal(self.level) * np.asarray(pictures))
        return estimate, np.asarray(estimate - half), np.asarray(estimate + half)

    def interval(self, statistic: Callable[[FloatArray], FloatArray], pictures: float = 0.0) -> Interval:
        """The interval of a statistic that maps weights (B, S) to values (B,)."""
        return self.jackknife(np.asarray(statistic(without_each(self.n_seeds))), pictures)

    def jackknife(self, folds: FloatArray, pictures: float = 0.0) -> Interval:
        """The interval from (1 + S,) values of a statistic: of all seeds, then without each (`without_each`)."""
        estimate, low, high = (float(value) for value in self._jackknife(folds, pictures))
        shared, half = _normal(self.level) * pictures, (high - low) / 2
        return Interval(estimate, low, high, (shared / half) ** 2 if half > 0 else 0.0)

    def mean(self, values: FloatArray, pictures: float = 0.0) -> Interval:
        """The interval of the mean of one number a seed, values (S,)."""
        return self.interval(lambda weights: np.asarray(weights @ values), pictures)

    def contrast(self, values: FloatArray, over: FloatArray, level: FloatArray | None = None) -> Interval:
        """The interval of a contrast between the points of a sweep, mean_s values_s · over, or its ratio to the mean of `level`.

        Args:
            values: (S, P), one number a seed and point. over: (P,), sum 0 (a slope, a difference). level: (S,), or None for 1.

        A seed gives one value of the contrast, so that S seeds leave S − 1 degrees of freedom. The runs of a seed also scatter about the
        means of points and seeds in P − 2 ways that have nothing to do with the contrast; where these scatter alike they estimate the same
        variance, and together leave (S − 1)(P − 1) degrees of freedom: the interaction of a two-way analysis of variance. They are
        taken together unless the contrast scatters more than the rest by an F test at the level .25 (Bancroft 1964, Biometrics 20, 427): a
        slope that differs between seeds keeps its own, wider interval.
        """
        S, P = values.shape
        size = np.ones(S) if level is None else level
        mine = values @ over
        if S < 2 or P < 3:
            return self.interval(lambda w: np.asarray((w @ mine) / (w @ size)))
        own, scale = float(mine.var(ddof=1)), float(over @ over)
        around = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        rest = max(float((around**2).sum()) - (S - 1) * own / scale, 0.0) / ((S - 1) * (P - 2))
        if own / scale > rest * float(stats.f.ppf(1 - _POOLED, S - 1, (S - 1) * (P - 2))):
            return self.interval(lambda w: np.asarray((w @ mine) / (w @ size)))
        tail, freedom = (1 + self.level) / 2, (S - 1) * (P - 1)
        estimate = float(mine.mean() / size.mean())
        among = float((around**2).sum()) / freedom * scale
        spread = [(freedom, among), (S - 1, estimate**2 * float(size.var(ddof=1)))]
        half = math.sqrt(sum(float(stats.t.ppf(tail, each)) ** 2 * variance / S for each, variance in spread)) / abs(float(size.mean()))
        return Interval(estimate, estimate - half, estimate + half)

    def means(self, values: FloatArray) -> FloatArray:
        """(1 + S,) means over all seeds, then without each, of values (S, 1 + S), each in the window of that column."""
        return np.asarray((without_each(self.n_seeds) * values.T).sum(axis=1))

    def log_ratio(self, above: FloatArray, below: FloatArray, pictures: float = 0.0) -> Interval:
        """The interval of log(mean above / mean below), both (S,), or (S, 1 + S) as in `means`, and positive in the mean of every S − 1
        seeds."""
        each = (np.broadcast_to(values.T, (self.n_seeds + (self.n_seeds > 1), self.n_seeds)).T for values in (above, below))
        over, under = (self.means(values) for values in each)
        return self.jackknife(np.asarray(np.log(over) - np.log(under)), pictures)

    def log_ratios(self, above: FloatArray, below: FloatArray, pictures: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Estimate, low and high of mean above / mean below at each step, from logarithms: (S, T), (S, T), (T,) -> three of (T,)."""
        found = self.intervals(lambda weights: np.asarray(np.log(weights @ above) - np.log(weights @ below)), pictures)
        estimate, low, high = (np.asarray(np.exp(np.clip(values, -50.0, 50.0))) for values in found)
        return estimate, low, high


@lru_cache(maxsize=64)
def _students(level: float, freedom: int) -> float:
    """The half-width of an interval at `level` in standard errors that have so many degrees of freedom."""
    return float(stats.t.ppf((1 + level) / 2, freedom))


@lru_cache(maxsize=64)
def _normal(level: float) -> float:
    """The half-width of an interval at `level` in standard errors that are known."""
    return float(stats.norm.ppf((1 + level) / 2))


def number(value: float) -> str:
    """Three significant digits, without exponents in the range that people read."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if 1e-4 <= abs(value) < 1e6 else f"{value:.2e}"
