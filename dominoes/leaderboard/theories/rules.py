"""Theories that make doubles and conflicts of the one-sided curves by a rule: independent firing, Gaussian evidence, margins.

None of them says how a side's curve depends on the dials but that the other side does not matter. Where the one-sided curves are not given
they are taken from the specs that are nearest in the side's own dials; where the first steps are given, moved in ln t to meet them.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.leaderboard.theories import evidence
from dominoes.leaderboard.theories.base import (
    CurveKey,
    CurvesByKey,
    CurveTheory,
    Dials,
    StraightLine,
    average,
    chance,
    classes_of,
    of_side,
    shift_to,
    whole,
)
from dominoes.spec import SIDES

Pair = tuple[FloatArray, FloatArray]
Three = tuple[FloatArray, FloatArray, FloatArray]


class RuleTheory(CurveTheory):
    """One-sided curves as given (or of the nearest specs in that side's dials), doubles and conflicts by a rule. No parameters."""

    @abstractmethod
    def doubles(self, accuracy: Pair, loss: Pair, K: int, n: float) -> Pair:
        """Accuracy and loss on doubles from those of the sides alone, (T,) each."""

    @abstractmethod
    def conflicts(self, accuracy: Pair, K: int, n: float) -> Three:
        """Shares answered with the top's class, the bottom's, neither."""

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        K = classes_of(spec)
        found = chance(spec, len(steps))
        for side in SIDES:
            found |= self._one_sided(spec, given, side, steps)
        n = max((line.n for line in given.values()), default=1000.0)
        accuracy = (found["top", "accuracy"], found["bottom", "accuracy"])
        loss = (found["top", "loss"], found["bottom", "loss"])
        found["both", "accuracy"], found["both", "loss"] = self.doubles(accuracy, loss, K, n)
        shares = self.conflicts(accuracy, K, n)
        for metric, share in zip(("agree_top", "agree_bottom", "neither"), shares, strict=True):
            found["conflict", metric] = share
        return found

    def _one_sided(self, spec: Dials, given: dict[CurveKey, StraightLine], side: str, steps: FloatArray) -> CurvesByKey:
        curves = [(side, "accuracy"), (side, "loss")]
        if all(whole(given, curve, steps) for curve in curves):
            return {curve: given[curve].at(steps) for curve in curves}
        nearest = self.distances(side).nearest(of_side(spec, side))
        members = [{curve: self.curves[name][curve] for curve in curves if curve in self.curves[name]} for name in nearest]
        shift = 0.0
        if (side, "accuracy") in given and members:
            first = given[side, "accuracy"]
            early = average(members, first.step)
            dense = np.geomspace(first.step[0], max(steps[-1], first.step[-1]) * 20, 200)
            base = average(members, dense)
            if (side, "accuracy") in early:
                shift = shift_to(first, StraightLine("accuracy", dense, base[side, "accuracy"], first.n))
        return average(members, steps * math.exp(shift))


class PatternLearning(RuleTheory):
    """The pattern-learning model (Davies, Langosco and Krueger 2023, arXiv 2303.06173): two patterns fire independently.

    p_i = 1 − e_i K/(K − 1). Doubles, their equation 1: something fires with 1 − (1 − p_t)(1 − p_b), else the answer is a guess:
    e = K/(K − 1) e_t e_b; read as "fires → sure, else uniform", L = L_t L_b / ln K. Conflicts, their equation 2: where both fire, each is
    used half of the time (equal usage), or the preferred side always: the side with the higher p on average over log time, since the
    model does not say which. Departures: where neither fires, with (1 − p_t)(1 − p_b), the answer is a guess, which they leave open;
    p_i is measured, not a sigmoid in time.
    """

    def __init__(self, usage: str = "equal"):
        super().__init__()
        self.usage = usage

    def doubles(self, accuracy: Pair, loss: Pair, K: int, n: float) -> Pair:
        top, bottom = accuracy
        error = np.minimum(K / (K - 1) * (1 - top) * (1 - bottom), 1.0)
        return 1 - error, loss[0] * loss[1] / math.log(K)

    def conflicts(self, accuracy: Pair, K: int, n: float) -> Three:
        p, q = (np.clip(1 - (1 - each) * K / (K - 1), 0, 1) for each in accuracy)
        if self.usage == "equal":
            of_top, of_bottom = p * (1 - q) + p * q / 2, q * (1 - p) + p * q / 2
        elif p.mean() >= q.mean():
            of_top, of_bottom = p, q * (1 - p)
        else:
            of_top, of_bottom = p * (1 - q), q
        guess = (1 - p) * (1 - q) / K
        return of_top + guess, of_bottom + guess, (K - 2) * guess


class GaussianEvidence(RuleTheory):
    """Signal detection: side i gives evidence N(d_i y, I) for the K classes, weighted by d_i; the largest sum is the answer.

    d_i from the accuracy alone, a = ∫ φ(x − d) Φ(x)^(K−1) dx; doubles d² = d_t² + d_b² (independent cues, Green and Swets 1966, chapter
    9); conflicts: `evidence.gaussian_conflict`. Losses are those of the calibrated posterior, with d_i read off the losses.
    """

    def doubles(self, accuracy: Pair, loss: Pair, K: int, n: float) -> Pair:
        d = np.hypot(*(evidence.d_of_accuracy(each, K) for each in accuracy))
        d_loss = np.hypot(*(evidence.d_of_loss(each, K) for each in loss))
        return evidence.gaussian_accuracy(d, K), evidence.loss_of_d(d_loss, K)

    def conflicts(self, accuracy: Pair, K: int, n: float) -> Three:
        top, bottom = (evidence.d_of_accuracy(each, K) for each in accuracy)
        return evidence.gaussian_conflict(top, bottom, K)


class MarginsTheory(RuleTheory):
    """Margins m = ln[(K − 1) a / (1 − a)] add, as logits do: answers are drawn from the softmax of the sum.

    Doubles: m = m_t + m_b (odds multiply), losses alike with a = e^(−L). Conflicts: softmax(m_t, m_b, 0 × (K − 2)).
    """

    def doubles(self, accuracy: Pair, loss: Pair, K: int, n: float) -> Pair:
        margin = sum(evidence.margin_of_accuracy(each, K, n) for each in accuracy)
        of_loss = sum(evidence.margin_of_accuracy(np.exp(-each), K, n) for each in loss)
        return evidence.accuracy_of_margin(np.asarray(margin), K), -np.log(evidence.accuracy_of_margin(np.asarray(of_loss), K))

    def conflicts(self, accuracy: Pair, K: int, n: float) -> Three:
        top, bottom = (evidence.margin_of_accuracy(each, K, n) for each in accuracy)
        return evidence.margin_conflict(top, bottom, K)
