"""Availability: how soon each side is learned, read off the network before it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.errors import LeaderboardError
from dominoes.leaderboard.theories.base import CurveKey, CurvesByKey, Dials, StraightLine, classes_of, shares
from dominoes.leaderboard.theories.rules import GaussianEvidence
from dominoes.leaderboard.theories.setting import optimizer_step
from dominoes.spec import SIDES

# Columns of the specs that hold what was measured of the initial network, for each side.
KERNEL_COLUMNS = ("kernel_rates", "kernel_weights")


class Availability(GaussianEvidence):
    """Learning with the initial network's kernel: f(t) = (I − e^(−η K t)) y, side by side.

    Gradient flow on the squared loss with a kernel K that does not change learns the labels' part along eigenvector j at the rate η λ_j
    (Jacot, Gabriel and Hongler 2018, arXiv 1806.07572). The one-sided kernel of side i, over dominoes that show it alone, has
    eigenvalues λ_ij (per domino of the training set, where all show the side) and carries the share w_ij of the labels of *held-out*
    pictures; shown with prevalence π_i its eigenvalues are π_i times as large, so the side is learned to

        s_i(t) = Σ_j w_ij (1 − exp(−η λ_ij π_i t)),        η t = lr / (1 − momentum) × steps.

    That predictive, easily read features win is the account of Hermann, Mobahi, Fel and Mozer (2024, arXiv 2310.16228), whose
    kernel theory is of two features of a small network; here the kernel is measured. Departures: p_i = s_i is read as the
    probability that the side answers, a = p + (1 − p)/K; doubles and conflicts by Gaussian evidence; momentum as a longer step. No
    free parameter: nothing is fitted, one-sided curves that are given are not used for themselves.

    The specs must have the columns `kernel_rates_top`, `kernel_weights_top`, `kernel_rates_bottom` and `kernel_weights_bottom`: lists
    (eigenvalues λ in 1/step at η = 1, and weights w), text such as "[0.3, 0.01]" or sequences. `dominoes leaderboard kernels` measures
    them.
    """

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        missing = [f"{name}_{side}" for side in SIDES for name in KERNEL_COLUMNS if f"{name}_{side}" not in spec]
        if missing:
            raise LeaderboardError(f"the specs have no column {', '.join(missing)}; measure them with 'dominoes leaderboard kernels'")
        return super().predict(spec, given, steps)

    def _one_sided(self, spec: Dials, given: dict[CurveKey, StraightLine], side: str, steps: FloatArray) -> CurvesByKey:
        if (side, "accuracy") in given and given[side, "accuracy"].step[-1] >= steps[-1] - 1e-9:
            return super()._one_sided(spec, given, side, steps)
        K = classes_of(spec)
        p = self.learned(spec, side, steps)
        return {(side, "accuracy"): p + (1 - p) / K, (side, "loss"): (1 - p) * math.log(K)}

    @staticmethod
    def learned(spec: Mapping[str, Any], side: str, steps: FloatArray) -> FloatArray:
        """s_i at the steps (T,)."""
        rates, weights = (_numbers(spec[f"{name}_{side}"]) for name in KERNEL_COLUMNS)
        prevalence = shares(spec)[SIDES.index(side)]
        progress = -np.expm1(-np.outer(steps * optimizer_step(spec) * prevalence, rates))
        return np.clip(progress @ weights, 0.0, 1.0)


def _numbers(value: object) -> FloatArray:
    text = value.strip("[] ").replace(",", " ").split() if isinstance(value, str) else value
    return np.asarray(text, dtype=float)
