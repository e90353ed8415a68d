"""By how much one rule predicts better than another, and what the probe pictures do to it: on doubles the difference of binomial
deviances, on conflicts that of the RMSE of both classes' shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.cells import luck_by_cell, luck_of_halves, slopes_of
from dominoes.theory.known import Known
from dominoes.theory.luck import Contest, Pairing
from dominoes.theory.rules import Rule, deviance

# Standard errors by which a rule is off before its RMSE moves with its luck in one direction.
_SURELY_OFF = 2.0


@dataclass(frozen=True)
class Form:
    """A rule's prediction of the doubles that were measured.

    Attributes:
        rule: that predicts. error, predicted: (S, T) error on doubles, measured and predicted.
    """

    rule: Rule
    error: FloatArray
    predicted: FloatArray

    def odds(self, n: float) -> FloatArray:
        """(T,) log odds of the predicted error, with half a count at least of either answer among n pictures."""
        share = np.clip(self.predicted.mean(axis=0), 0.5 / n, 1 - 0.5 / n)
        return np.asarray(np.log(share / (1 - share)))

    def steepness(self, alone: tuple[FloatArray, FloatArray], K: int, n: float) -> tuple[FloatArray, FloatArray]:
        """(T,), (T,): what the deviance, on average over seeds, gains at each step by the error of the top, and of the bottom, through what
        is predicted from them; 0 where less than half a count is predicted.

        alone: (S, T) one-sided errors of the top and of the bottom.
        """
        inside = (self.predicted > 0.5 / n) & (self.predicted < 1 - 0.5 / n)
        share = np.where(inside, self.predicted, 0.5)
        by_prediction = np.where(inside, -2 * n * (self.error - share) / (share * (1 - share)), 0.0)
        by_side = slopes_of(lambda top, bottom: self.rule.doubles(top, bottom, K), *alone)
        return (by_prediction * by_side[0]).mean(axis=0), (by_prediction * by_side[1]).mean(axis=0)


def surprise(model: Form, rival: Form, n: float) -> FloatArray:
    """(T,) factors with which a measured error m enters the difference of two deviances (rival − model) at each step: it is linear in m,
    2n [m ln(q/r) + (1 − m) ln((1 − q)/(1 − r))] for predictions q and r; 0 where n is not known."""
    if not math.isfinite(n):
        return np.zeros(model.error.shape[1])
    return np.asarray(2 * n * (model.odds(n) - rival.odds(n)))


def luck_of_score(
    model: Form,
    rival: Form,
    alone: tuple[FloatArray, FloatArray],
    part: Known,
    pairing: Pairing,
    crossed: FloatArray,
    *,
    set_right: bool,
) -> float:
    """Standard error, shared by all seeds, of the difference of two deviances (rival − model) in a window.

    A sample of hard tops moves what is measured, what either rule predicts of it, and the ends of the window (`luck_by_cell`, whose
    arguments these are). To first order, so that it is too small where neither rule is off and the difference is near 0.
    """
    n, K = pairing.n, pairing.K
    gained = zip(rival.steepness(alone, K, n), model.steepness(alone, K, n), strict=True)
    by_top, by_bottom = (of_model - of_rival for of_rival, of_model in gained)
    every = np.eye(len(part.weights))
    ahead = np.asarray((deviance(rival.error, rival.predicted, every, n) - deviance(model.error, model.predicted, every, n)).mean(axis=0))
    silent = K / (K - 1)
    by_ends = -(part.by[0] @ ahead) / silent, -(part.by[1] @ ahead) / silent
    return luck_by_cell(
        crossed,
        crossed[..., 1],
        (by_top, by_bottom),
        part.weights,
        pairing,
        (K - 1) / K,
        gain=surprise(model, rival, n),
        set_right=set_right,
        by_ends=by_ends,
    )


@dataclass(frozen=True)
class ConflictForm:
    """A rule's prediction of the shares of conflicts that were measured.

    Attributes:
        apart: (S, T) each, measured − predicted share of the top's class, and of the bottom's.
        slopes: (2, T) each, derivatives of these two predictions by the error of the top, and of the bottom. part: the window.
    """

    apart: tuple[FloatArray, FloatArray]
    slopes: tuple[FloatArray, FloatArray]
    part: Known

    @cached_property
    def off(self) -> FloatArray:
        """(S, 1 + S) RMSE of both shares of each seed, in each of the windows (`Known.of_seeds`)."""
        return np.asarray(np.sqrt(np.mean([self.part.of_seeds(each**2) for each in self.apart], axis=0)))

    @cached_property
    def by_share(self) -> tuple[FloatArray, FloatArray]:
        """(T,), (T,): what the RMSE, on average over seeds, gains by the measured share of the top's class at each step, and of the
        bottom's."""
        top, bottom = (self.part.weights * (each / (2 * self._off)).mean(axis=0) for each in self.apart)
        return top, bottom

    @property
    def by_weight(self) -> FloatArray:
        """(T,) what the RMSE, on average over seeds, gains by the weight of each step in the window."""
        return np.asarray(np.mean([each**2 / (2 * self._off) for each in self.apart], axis=(0, 1)))

    @property
    def by_error(self) -> tuple[FloatArray, FloatArray]:
        """(T,), (T,): what it loses by the error of the top, and of the bottom, through what is predicted from them."""
        top, bottom = ((np.stack(self.by_share) * slopes).sum(axis=0) for slopes in self.slopes)
        return top, bottom

    @property
    def _off(self) -> FloatArray:
        return np.maximum(self.off[:, :1], 1e-9)


def luck_of_shares(model: ConflictForm, rival: ConflictForm, contest: Contest, crossed: FloatArray | None) -> float:
    """Standard error, shared by all seeds, of the difference of two RMSE (rival − model) in a window, to first order.

    An RMSE that is mostly luck grows with it in either direction, so that what it does to the RMSE of both rules cancels, or adds up, by
    chance; both count by themselves there, and together where both rules are off by more than luck (`_SURELY_OFF`).
    """
    of_rival, of_model = (_luck_of_rmse([(each, 1.0)], contest, crossed) for each in (rival, model))
    together = _luck_of_rmse([(rival, 1.0), (model, -1.0)], contest, crossed)
    each = ((luck / max(float(shares.off[:, 0].mean()), 1e-9)) ** 2 for luck, shares in ((of_rival, rival), (of_model, model)))
    surely = max(1 - _SURELY_OFF**2 * max(each), 0.0)
    return math.sqrt(surely * together**2 + (1 - surely) * (of_rival**2 + of_model**2))


def _luck_of_rmse(of: Sequence[tuple[ConflictForm, float]], contest: Contest, crossed: FloatArray | None) -> float:
    """Standard error, shared by all seeds, of a sum of RMSE in one window, each with its factor.

    How conflicts are paired, and who wins, moves the top's share by x and the bottom's by −x, at most (`Contest.error`). A sample of hard
    tops moves what is measured, what a rule predicts of it, and the ends of the window, as far as the crossed answers (S, T, 2, 2, A) tell
    (`luck_of_halves`).
    """
    part, pairing = of[0][0].part, contest.pairing
    by_share = [sum((factor * each.by_share[side] for each, factor in of), np.zeros(len(pairing.top))) for side in (0, 1)]
    found = contest.error(by_share[0] - by_share[1])
    if crossed is None:
        return found
    by_top, by_bottom = (sum((factor * each.by_error[side] for each, factor in of), np.zeros(len(pairing.top))) for side in (0, 1))
    by_weight = sum((factor * each.by_weight for each, factor in of), np.zeros(len(pairing.top)))
    by_ends = tuple(-(by @ by_weight) * (pairing.K - 1) / pairing.K for by in part.by)
    events = [(crossed[..., side], by_share[side]) for side in (0, 1)]
    return math.hypot(found, luck_of_halves(crossed, events, (by_top, by_bottom), part.weights, pairing, (by_ends[0], by_ends[1])))
