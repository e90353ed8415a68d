"""How the points of a sweep are drawn from ranges and lists: at random, or so that few of them fill the space.

Random draws are independent of each other. A Latin hypercube (McKay, Beckman & Conover 1979, Technometrics 21, 239) has each of R draws
in a different R-th of every range; a scrambled Sobol' sequence (Owen 1998, J. Complexity 14, 466) fills all ranges together, ever more
finely, so that any first part of it is spread well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from enum import StrEnum
from math import exp, floor, log
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dominoes.arrays import FloatArray
from dominoes.spec import stream


class Method(StrEnum):
    """How points are chosen."""

    GRID = "grid"
    RANDOM = "random"
    LATIN_HYPERCUBE = "latin-hypercube"
    SOBOL = "sobol"


class Distribution(StrEnum):
    """How a sweep draws from a range; q rounds to its multiples."""

    UNIFORM = "uniform"
    INT_UNIFORM = "int_uniform"
    Q_UNIFORM = "q_uniform"
    LOG_UNIFORM_VALUES = "log_uniform_values"
    Q_LOG_UNIFORM_VALUES = "q_log_uniform_values"


class SweptRange(BaseModel):
    """Entry of a parameter that is drawn or counted between two ends.

    Attributes:
        min: lower end.
        max: upper end.
        distribution: of draws; None: int_uniform for whole numbers, q_uniform with q, else uniform.
        q: step; a grid counts from `min` to `max` by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min: float
    max: float
    distribution: Distribution | None = None
    q: Annotated[float, Field(gt=0)] | None = None

    def at(self, place: float) -> float:
        """The value below which the share `place` (0 to 1, 1 not included) of draws lies."""
        if self.distribution is Distribution.INT_UNIFORM:
            lowest, highest = int(self.min), int(self.max)
            return lowest + floor(place * (highest - lowest + 1))
        logarithmic = self.distribution in (Distribution.LOG_UNIFORM_VALUES, Distribution.Q_LOG_UNIFORM_VALUES)
        low, high = (log(end) if logarithmic else end for end in (self.min, self.max))
        value = low + place * (high - low)
        return self.clamped(exp(value) if logarithmic else value)

    def clamped(self, value: float) -> float:
        """A drawn value as a multiple of q, inside the range."""
        if self.q is not None:
            value = float(f"{round(value / self.q) * self.q:.12g}")
        return min(max(value, self.min), self.max)


#: What a parameter takes: values of its field, or a range of them.
Axis = list[Any] | SweptRange


def points(axes: Mapping[str, Axis], method: Method, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """`count` draws of values by name. Draw number i of `random` depends on the seed, i and each parameter's name alone; one of `sobol`
    on the seed, i and which parameters vary, in their order; of `latin-hypercube` on `count` too."""
    if method is Method.RANDOM:
        return itertools.islice(_independent(axes, seed), count)
    moved = [name for name, axis in axes.items() if isinstance(axis, SweptRange) or len(axis) > 1]
    filled = _filling(method, len(moved), seed, count)
    return ({name: _value(axes[name], place) for name, place in _places(axes, moved, row)} for row in filled)


def _places(axes: Mapping[str, Axis], moved: list[str], row: FloatArray) -> Iterator[tuple[str, float]]:
    """Every parameter's place in its range, in the file's order; 0 of those that have one value."""
    drawn = dict(zip(moved, map(float, row), strict=True))
    return ((name, drawn.get(name, 0.0)) for name in axes)


def _value(axis: Axis, place: float) -> Any:
    return axis.at(place) if isinstance(axis, SweptRange) else axis[floor(place * len(axis))]


def _filling(method: Method, dimensions: int, seed: int, count: int) -> FloatArray:
    """(count, dimensions) places from 0 to 1, 1 not included."""
    from scipy.stats import qmc  # loads much, which a grid need not wait for

    if not dimensions:
        return np.zeros((count, 0))
    rng = np.random.Generator(np.random.PCG64(stream(seed, "sweep", method.value)))
    if method is Method.LATIN_HYPERCUBE:
        found = qmc.LatinHypercube(d=dimensions, seed=rng).random(count)
    else:
        found = qmc.Sobol(d=dimensions, seed=rng).random_base2(max(count - 1, 1).bit_length())[:count]
    return np.minimum(found, np.nextafter(1.0, 0.0))


def _independent(axes: Mapping[str, Axis], seed: int) -> Iterator[dict[str, Any]]:
    for number in itertools.count():
        point = {}
        for name, axis in axes.items():
            rng = np.random.Generator(np.random.PCG64(stream(seed, "sweep", name, str(number))))
            point[name] = _drawn(axis, rng) if isinstance(axis, SweptRange) else axis[int(rng.integers(len(axis)))]
        yield point


def _drawn(axis: SweptRange, rng: np.random.Generator) -> float:
    if axis.distribution is Distribution.INT_UNIFORM:
        return int(rng.integers(int(axis.min), int(axis.max), endpoint=True))
    logarithmic = axis.distribution in (Distribution.LOG_UNIFORM_VALUES, Distribution.Q_LOG_UNIFORM_VALUES)
    low, high = (log(end) if logarithmic else end for end in (axis.min, axis.max))
    value = float(rng.uniform(low, high))
    return axis.clamped(exp(value) if logarithmic else value)
