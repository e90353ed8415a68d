"""What all seeds share: the luck of the probe pictures, which more seeds cannot shrink.

Every run is scored on the same pictures, the i-th double being the i-th top picture above the i-th bottom picture. How hard they are
cancels between the kinds; that hard tops may stand above hard bottoms does not (`pairing_error`). That error is the same for all seeds only
as far as these agree on which pictures are hard; the rest differs between them and lies in their spread, where it must not be counted
twice. How far they agree is read off the answers crossed picture by picture (`agreed`), or, without these, off the classes
(`luck_by_class`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, stats
from scipy.special import ndtri

from dominoes.arrays import FloatArray
from dominoes.theory.rules import fired, half_a_count
from dominoes.theory.run_arrays import RunArrays, Slice

# Fewer classes tell little of how much they differ.
_FEWEST_CLASSES = 5
# Of doubles with both halves wrong: where fewer are expected, their variance is not measured.
_FEWEST_WRONG = 3
# Share of the variance of pairing that seeds have in common before they are looked at (.1 to .3 in forty runs of the detector that
# differ by seed and deal), and the degrees of freedom that this counts for: as many as nine seeds', since even ten tell it only within
# a few tenths, and intervals of those that seem to agree by nothing would be too short.
_BEFORE = (0.2, 8.0)
# Runs that agree more than this are taken to agree; below, so many nodes integrate the covariance to four digits.
_ONE = 0.99
_NODES = tuple(zip(*np.polynomial.legendre.leggauss(24), strict=True))


@dataclass(frozen=True)
class Pairing:
    """What it does to a share of the dominoes of both halves that hard tops may stand above hard bottoms by chance.

    Attributes:
        top, bottom: (T,) one-sided errors, means over seeds. n: pictures a kind. K: classes. level: of the intervals.
        agreed: how far the seeds agree on which pictures are hard (`agreed`); None where no answers are crossed, so that it is not known.
        by_class: (S, T, K) measured − predicted share of each class, or None.
    """

    top: FloatArray
    bottom: FloatArray
    n: float
    K: int
    level: float
    agreed: float | None = None
    by_class: FloatArray | None = None

    @cached_property
    def sides(self) -> tuple[FloatArray, FloatArray]:
        """(T, T) each: covariance between two runs of the silent tops, and of the silent bottoms; the largest it can be where `agreed` is
        None."""
        silent, rho = self.K / (self.K - 1), 1.0 if self.agreed is None else self.agreed
        return covariance(silent * self.top, rho), covariance(silent * self.bottom, rho)

    @cached_property
    def shared(self) -> FloatArray:
        """(T, T) covariance, the same for all seeds, of the error on doubles at two steps; the largest it can be where `agreed` is None.

        Independent firing: an error is (K−1)/K of the pictures on which neither fires, so it is their pairing that counts.
        """
        if not math.isfinite(self.n):
            return np.zeros((len(self.top), len(self.top)))
        tops, bottoms = self.sides
        return tops * bottoms * ((self.K - 1) / self.K) ** 2 / self.n

    def error(self, weights: FloatArray) -> float:
        """Standard error, shared by all seeds, of Σ_t w_t (error on doubles): as far as the seeds are seen to agree; else an upper bound,
        or less where the classes differ by less."""
        most = math.sqrt(max(float(weights @ self.shared @ weights), 0.0))
        if self.agreed is not None:
            return most
        found = math.nan if self.by_class is None else luck_by_class(self.by_class, weights, self.level)
        return min(most, found) if math.isfinite(found) else most


@dataclass(frozen=True)
class Contest:
    """What the pictures do to the share of conflicts that the top answers, the same for every seed: how they are paired, and which of two
    patterns that both fire wins, where the picture settles that.

    Attributes:
        pairing: of the conflicts. joint: (T,) share in which both patterns fire, mean over seeds.
        by_class: (S, T, K) the top's answers of each class beyond those that the top gives alone, or None.
    """

    pairing: Pairing
    joint: FloatArray
    by_class: FloatArray | None

    @classmethod
    def of(cls, data: RunArrays, measured: Slice, level: float) -> Contest:
        """From a slice whose first values are the accuracies of the top and of the bottom alone."""
        K = data.classes_count
        top, bottom = measured.values[:2]
        p, q = fired(top, K), fired(bottom, K)
        share = agreed(data, measured)
        pairing = Pairing((1 - top).mean(axis=0), (1 - bottom).mean(axis=0), measured.n, K, level, share)
        classes = data.by_class([("accuracy", "top"), ("accuracy", "conflict")], measured)
        by_class = None
        if not isinstance(classes, str):
            of_class, silent = fired(classes[0], K), 1 - q[..., None]
            by_class = classes[1] - of_class * silent - (1 - of_class) * silent / K
        return cls(pairing, np.clip((p * q).mean(axis=0), 0.0, 1.0), by_class)

    def paired(self, over: FloatArray) -> float:
        """Standard error of Σ_t over_t (share in which both patterns fire, or neither) that the pairing makes."""
        return self.pairing.K / (self.pairing.K - 1) * self.pairing.error(over)

    def error(self, over: FloatArray) -> float:
        """Standard error, shared by all seeds, of Σ_t over_t (share of the top): at most that of pairing with a quarter of the share in
        which both fire, or less where the classes differ by less."""
        if not math.isfinite(self.pairing.n):
            return 0.0
        won = float(over @ np.minimum.outer(self.joint, self.joint) @ over) / 4 / self.pairing.n
        most = math.hypot(self.paired(over), math.sqrt(max(won, 0.0)))
        found = math.nan if self.by_class is None else luck_by_class(self.by_class, over, self.pairing.level)
        return min(most, found) if math.isfinite(found) else most


def pairing_error(top: FloatArray, bottom: FloatArray, weights: FloatArray, n: float, rho: float = 1.0) -> float:
    """Standard error, shared by all runs, of Σ_t w_t (share wrong on both halves − e_top e_bottom) when n pictures a side are paired once,
    at random, for all of them.

    top, bottom: (T,) errors; weights: (T,). rho: how far the runs agree on which pictures are hard. At 1 pictures are learned in one
    order, the same for every seed: then the errors at two times are nested, and the covariance of "wrong at t" and "wrong at t'" is
    min(e, e') (1 − max(e, e')). That is the largest it can be, an upper bound. 0 where n is not known.
    """
    if not math.isfinite(n):
        return 0.0
    shared = covariance(top, rho) * covariance(bottom, rho)
    return math.sqrt(max(0.0, float(weights @ shared @ weights)) / n)


def covariance(share: FloatArray, rho: float) -> FloatArray:
    """Covariance over pictures of "wrong at t in one run" and "wrong at t' in another": (T,) -> (T, T), see `_together`."""
    return _together(share[:, None], share[None, :], rho)


def _together(one: FloatArray, other: FloatArray, rho: float) -> FloatArray:
    """P(wrong in two runs) − e e' for errors e and e' that broadcast.

    In each run the pictures whose difficulty exceeds a threshold are wrong; difficulties are normal, with correlation rho between runs:
    ∫₀^{asin ρ} exp(−(h² + k² − 2hk sin θ) / (2 cos² θ)) dθ / 2π at the thresholds h and k (Drezner & Wesolowsky 1990, J. Stat. Comput.
    Simul. 35, 101), by Gauss-Legendre; at ρ = 1 it is min(e, e') (1 − max(e, e')).
    """
    one, other = np.clip(one, 0.0, 1.0), np.clip(other, 0.0, 1.0)
    nested = np.minimum(one, other) * (1 - np.maximum(one, other))
    if rho > _ONE:
        return np.asarray(nested)
    h, k = (ndtri(np.clip(each, 1e-12, 1 - 1e-12)) for each in (one, other))
    found = np.zeros(np.shape(nested))
    for node, weight in _NODES:
        angle = (node + 1) / 2 * math.asin(rho)
        found += weight * np.exp(-(h**2 + k**2 - 2 * h * k * math.sin(angle)) / (2 * math.cos(angle) ** 2))
    return np.asarray(np.minimum(found * math.asin(rho) / 4 / math.pi, nested))


def luck_by_class(deviation: FloatArray, weights: FloatArray, level: float) -> float:
    """Standard error of Σ_t w_t (mean deviation) that the pairing of the pictures makes, as the classes show it; NaN with one seed or with
    fewer than five classes.

    deviation: (S, T, K), measured − predicted error of each class. Classes have pictures of their own, so their deviations, each averaged
    over seeds, are K independent draws of what pairing does, however far the seeds agree on which pictures are hard; what differs between
    the seeds of a class is taken off (analysis of variance), since it is in the spread of seeds. Deviations that differ between classes for
    other reasons make it larger. Widened so that a normal quantile at `level` gives Student's for K − 1 degrees of freedom.
    """
    S, _, K = deviation.shape
    if K < _FEWEST_CLASSES or S < 2:
        return math.nan
    each = np.einsum("t,stk->sk", weights, deviation)
    shared = each.mean(axis=0).var(ddof=1) - (each - each.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).mean() / S
    tail = (1 + level) / 2
    return float(math.sqrt(max(shared, 0.0) / K) * stats.t.ppf(tail, K - 1) / stats.norm.ppf(tail))


def count_error(share: float, n: float) -> float:
    """Half a count, as a standard error, where fewer than one picture a run is counted: the seeds may then all have counted none, and
    their spread says nothing. 0 where there are more: their spread holds what counting does."""
    least = half_a_count(n)
    return least if share < 2 * least else 0.0


def paired_by_chance(data: RunArrays, measured: Slice, probe: str) -> tuple[FloatArray, FloatArray] | None:
    """By how much the share of pictures of a probe whose halves are both answered wrongly alone exceeds what pairing at random gives on
    average, and the variance of that (the hypergeometric's): (S, T) each; None without crossed answers.

    Which top stands above which bottom is drawn at random, doubles within a class and conflicts between classes, so that the mean of the
    excess is 0 whatever rule the network follows: m_t m_b is expected of n pictures, with variance m_t (1 − m_t) m_b (1 − m_b) / (n − 1).
    Doubles are compared within classes, since a class that is hard for both halves is no luck (without a table of classes: None). The two
    halves of a conflict have different classes, so that classes that are hard for both meet too seldom by Σ_k (t_k − m_t)(b_k − m_b)
    / K (K − 1), where the classes are known.
    """
    crossed = data.crossed(probe, measured)
    if crossed is None:
        return None
    wrong, K = crossed.sum(axis=4), data.classes_count
    known = data.by_class([("accuracy", "top"), ("accuracy", "bottom"), ("n", "both")], measured)
    top, bottom = wrong[..., 0, :].sum(axis=-1), wrong[..., :, 0].sum(axis=-1)
    expected, variance = top * bottom, top * (1 - top) * bottom * (1 - bottom) / max(measured.n - 1, 1.0)
    if not isinstance(known, str):
        share, of_top, of_bottom = known[2] / known[2].sum(axis=2, keepdims=True), 1 - known[0], 1 - known[1]
        within = (share * of_top * of_bottom).sum(axis=2)
        if probe == "both":
            each = share**2 * of_top * (1 - of_top) * of_bottom * (1 - of_bottom) / np.maximum(known[2] - 1, 1.0)
            expected, variance = within, each.sum(axis=2)
        else:
            expected = (K * expected - within) / (K - 1)
    elif probe == "both":
        return None
    return wrong[..., 0, 0] - expected, variance


def agreed(data: RunArrays, measured: Slice) -> float | None:
    """How far the seeds agree on which pictures are hard, from answers crossed picture by picture: the correlation ρ between seeds of a
    normal difficulty, 0 to 1; None without crossed answers or with one seed. Few seeds tell little of it, so what they show is taken
    together with what is usual (`_BEFORE`).

    Of the luck of pairing (`paired_by_chance`) the variance is known. What of it differs between seeds is measured; the rest they share,
    and ρ is what explains that (`covariance`).

    measured: a slice whose first values are the accuracies of the top and of the bottom alone.
    """
    if measured.n_seeds < 2 or not math.isfinite(measured.n):
        return None
    found = [paired_by_chance(data, measured, probe) for probe in ("both", "conflict")]
    pieces = [(each[0].var(axis=0, ddof=1), each[1].mean(axis=0)) for each in found if each is not None]
    if not pieces:
        return None
    K = data.classes_count
    top, bottom = ((1 - values).mean(axis=0) for values in measured.values[:2])
    silent = [np.clip(error * K / (K - 1), 0.0, 1.0) for error in (top, bottom)]
    whole = top * (1 - top) * bottom * (1 - bottom)

    def shared(rho: float) -> FloatArray:
        # A guess is a seed's own: of what is silent, (K−1)/K of each side is wrong.
        each = [_together(share, share, rho) for share in silent]
        return np.asarray(((K - 1) / K) ** 4 * each[0] * each[1] / np.maximum(whole, 1e-12))

    # Steps count by how much could be shared there, and where there is something to count.
    weights = measured.weights * shared(1.0) * (measured.n * top * bottom >= _FEWEST_WRONG)
    if not weights.sum() > 0:
        return None
    weights = weights / weights.sum()
    seen = float(np.mean([weights @ (1 - apart / np.maximum(each, 1e-12)) for apart, each in pieces]))
    freedom = measured.n_seeds - 1
    seen = (freedom * seen + _BEFORE[1] * _BEFORE[0]) / (freedom + _BEFORE[1])
    if seen <= 0:
        return 0.0
    if seen >= weights @ shared(1.0):
        return 1.0
    return float(optimize.brentq(lambda rho: float(weights @ shared(rho)) - seen, 0.0, 1.0, xtol=1e-4))
