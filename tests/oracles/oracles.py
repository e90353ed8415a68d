"""Slow and plain reference implementations, which share no code with the package."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any


def usage_by_enumeration(p: Sequence[Any], preferred: int | None = None) -> list[Any]:
    """Probability that each pattern answers, summed over all 2^n outcomes of which patterns fire.

    Works in whatever numbers `p` holds: Fractions (exact), floats, or complex numbers (for complex-step derivatives).
    """
    n = len(p)
    zero = p[0] * 0
    used = [zero for _ in range(n)]
    for fires in itertools.product((False, True), repeat=n):
        probability = zero + 1
        for fired, chance in zip(fires, p, strict=True):
            probability = probability * (chance if fired else 1 - chance)
        firing = [i for i in range(n) if fires[i]]
        if preferred is not None and fires[preferred]:
            used[preferred] = used[preferred] + probability
        elif firing:
            for i in firing:
                used[i] = used[i] + probability / len(firing)
    return used


def accuracies(p: Sequence[Any], g: Sequence[Any], preferred: int | None = None, guess: Any = 0) -> tuple[Any, Any]:
    """Train and test accuracy, by enumeration."""
    used = usage_by_enumeration(p, preferred)
    train = sum(used[1:], used[0])
    test = sum((share * right for share, right in zip(used, g, strict=True)), used[0] * 0)
    return train + guess * (1 - train), test + guess * (1 - train)


def exact(values: Sequence[float]) -> list[Fraction]:
    """Floats as the fractions that they are."""
    return [Fraction(value) for value in values]
