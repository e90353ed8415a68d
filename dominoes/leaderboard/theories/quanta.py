"""Quanta: a pattern is many skills with frequencies that fall as a power law, learned in the order of their frequencies."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares

from dominoes.arrays import FloatArray
from dominoes.leaderboard.theories.base import (
    CurveKey,
    CurvesByKey,
    CurveTheory,
    Dials,
    StraightLine,
    chance,
    classes_of,
    dial_number,
    shift_to,
    whole,
)
from dominoes.spec import SIDES


class Quanta(CurveTheory):
    """The quantisation model (Michaud, Liu, Girit and Tegmark 2023, arXiv 2303.13506).

    Quantum k is used with frequency ∝ k^(−(1 + α)) and learned once it has been seen often enough: after t samples those up to
    n ∝ t^(1/(1 + α)) are, and the share not yet learned is Σ_{k > n} k^(−(1 + α)) ∝ n^(−α): 1 − p ∝ t^(−α/(1 + α)), the model's law for
    data and single-epoch steps. A side shown with prevalence π has seen π t of its samples, so that its curves of all prevalences
    collapse against π t (onset exponent −1), whatever the other side does. Departures: 1 − p = (1 + π t / τ)^(−α/(1 + α)), since the
    law holds for late t only; what is fitted is accuracy, with guessing where no quantum answers. Doubles and conflicts as two
    patterns that fire independently, used equally. Parameters: τ and κ = α/(1 + α), at most 1, of each side.
    """

    def __init__(self) -> None:
        super().__init__()
        # (ln τ in samples, exponent κ = α/(1 + α)) of each side.
        self.parameters = {side: (math.log(5000.0), 0.5) for side in SIDES}

    def learn(self) -> None:
        for side in SIDES:
            x, p = [], []
            for name, curves in self.curves.items():
                if (side, "accuracy") in curves:
                    line, K = curves[side, "accuracy"], classes_of(self.specs[name])
                    x.append(np.log(_seen(self.specs[name], side, line.step)))
                    p.append(1 - (1 - line.value) * K / (K - 1))
            if not x:
                continue
            seen, fired = np.concatenate(x), np.clip(np.concatenate(p), 0, 1)
            wanted = np.arcsin(np.sqrt(fired))

            def misfit(theta: FloatArray, seen: FloatArray = seen, wanted: FloatArray = wanted) -> FloatArray:
                return np.arcsin(np.sqrt(learned(seen, theta[0], theta[1]))) - wanted

            begin = [float(np.median(seen)), 0.5]
            # No α makes an exponent α/(1 + α) of 1 or more.
            fit = least_squares(misfit, begin, bounds=([0.0, 0.01], [40.0, 1.0]))
            self.parameters[side] = (float(fit.x[0]), float(fit.x[1]))

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        K = classes_of(spec)
        found = chance(spec, len(steps))
        p = {}
        for side in SIDES:
            curve = (side, "accuracy")
            if whole(given, curve, steps):
                p[side] = np.clip(1 - (1 - given[curve].at(steps)) * K / (K - 1), 0, 1)
                found[side, "accuracy"] = given[curve].at(steps)
            else:
                p[side] = self._alone(spec, given.get(curve), side, steps)
                found[side, "accuracy"] = p[side] + (1 - p[side]) / K
            found[side, "loss"] = (1 - p[side]) * math.log(K)
        top, bottom = p["top"], p["bottom"]
        neither = (1 - top) * (1 - bottom)
        found["both", "accuracy"], found["both", "loss"] = 1 - neither * (K - 1) / K, neither * math.log(K)
        found["conflict", "agree_top"] = top * (1 - bottom / 2) + neither / K
        found["conflict", "agree_bottom"] = bottom * (1 - top / 2) + neither / K
        found["conflict", "neither"] = neither * (K - 2) / K
        return found

    def _alone(self, spec: Dials, first: StraightLine | None, side: str, steps: FloatArray) -> FloatArray:
        K = classes_of(spec)
        log_seen = np.log(_seen(spec, side, steps))
        if first is None or first.step[-1] >= steps[0]:
            return learned(log_seen, *self.parameters[side])
        dense = np.geomspace(first.step[0], steps[-1] * 20, 200)
        p = learned(np.log(_seen(spec, side, dense)), *self.parameters[side])
        return learned(log_seen + shift_to(first, StraightLine("accuracy", dense, p + (1 - p) / K, first.n)), *self.parameters[side])


def learned(log_seen: FloatArray, log_tau: float, kappa: float) -> FloatArray:
    """p = 1 − (1 + x / τ)^(−κ), from ln x and ln τ."""
    return np.asarray(-np.expm1(-kappa * np.logaddexp(0.0, log_seen - log_tau)))


def _seen(spec: Dials, side: str, steps: FloatArray) -> FloatArray:
    """Samples that have shown the side by each step."""
    return np.asarray(np.maximum(steps * dial_number(spec, "batch", 64) * dial_number(spec, f"prevalence_{side}", 1.0), 1e-9))
