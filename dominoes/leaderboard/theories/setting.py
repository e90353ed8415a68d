"""The dials that a race knows, of several specs as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.leaderboard.theories.base import Dials, classes_of, dial_number, shares
from dominoes.spec import SIDES


@dataclass(frozen=True)
class Setting:
    """The dials that a race knows, of N specs.

    Attributes:
        shown: (N, 2) A and C. both: (N, 1) D. alone: (N, 2) shares that show one side alone. reliability: (N, 2).
        pace: (N, 1) size of a step relative to the fitted specs. reliable: whether every half is right.
    """

    shown: FloatArray
    both: FloatArray
    alone: FloatArray
    reliability: FloatArray
    pace: FloatArray
    K: int
    reliable: bool


def shared_setting(specs: Sequence[Dials], clock: float) -> Setting:
    """The setting of several specs."""
    each = np.array([shares(spec) for spec in specs], dtype=float).reshape(-1, 3)
    reliability = np.array([[dial_number(spec, f"reliability_{side}", 1.0) for side in SIDES] for spec in specs]).reshape(-1, 2)
    pace = np.array([[optimizer_step(spec)] for spec in specs]) / clock
    shown, both = each[:, :2], each[:, 2:]
    return Setting(shown, both, shown - both, reliability, pace, classes_of(specs[0]), bool((reliability == 1).all()))


def optimizer_step(spec: Dials) -> float:
    """How far one step goes: lr / (1 − momentum) for SGD; Adam's steps do not grow with momentum."""
    lr = dial_number(spec, "lr", 0.01)
    return lr / (1 - min(dial_number(spec, "momentum", 0.9), 0.999)) if spec.get("optimizer", "sgd") == "sgd" else lr
