"""Levels of the train loss: at which step each was first met, where that ends training, and where to look for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dominoes.data.dealing import Deal
from dominoes.errors import SpecError
from dominoes.spec import KINDS, TrainSpec

# Looks for each measurement: a step is known to so many times less of itself than measurements are apart.
LOOKS = 4


@dataclass(frozen=True)
class Level:
    """A level that was met.

    Attributes:
        loss: the level, in nats.
        step: the first step that was looked at with a train loss of at most that.
        after: the last step before it that was looked at; −1 if there was none.
        train_loss: there, on the sample of training dominoes.
    """

    loss: float
    step: int
    after: int
    train_loss: float


class Levels:
    """Follows the train loss of the whole mix (each kind by its share of the dataset) or of one kind."""

    def __init__(self, how: TrainSpec, kinds: Mapping[str, int]):
        """Raises SpecError if the kind that the levels are of has no dominoes.

        Args:
            how: the levels.
            kinds: dominoes of each kind in the dataset.
        """
        self.stop = how.stop_loss
        self._left = sorted({*how.measure_at_loss, *([] if self.stop is None else [self.stop])}, reverse=True)
        self.asked = bool(self._left)
        self._weights = {kind: float(count) for kind, count in kinds.items() if count and how.level_kind in ("mix", kind)}
        if self.asked and not self._weights:
            there = ", ".join(kind for kind in KINDS if kinds.get(kind))
            raise SpecError(f"level_kind {how.level_kind}: the dataset has no such dominoes; expected mix or one of {there}")
        self._last = -1
        self.met: list[Level] = []

    def look(self, step: int, losses: Mapping[str, float]) -> bool:
        """Whether a level is first met at a step, where the kinds have these mean train losses. Each step once, in order."""
        loss = sum(weight * losses[kind] for kind, weight in self._weights.items()) / sum(self._weights.values())
        found = [level for level in self._left if loss <= level]
        self.met += [Level(level, step, self._last, loss) for level in found]
        self._left = [level for level in self._left if level not in found]
        self._last = step
        return bool(found)

    @property
    def over(self) -> bool:
        """Whether training is to end."""
        return self.stop is not None and self.stop not in self._left


def kinds_of(table: Deal) -> dict[str, int]:
    """Dominoes of each kind."""
    return dict(zip(KINDS, np.bincount(table.kind, minlength=len(KINDS)).tolist(), strict=True))
