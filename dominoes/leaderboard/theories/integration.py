"""Two coupled strengths over time: integration in ln t, for many parameters and specs at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from dominoes.arrays import FloatArray

Rate = Callable[[FloatArray], FloatArray]
# Steps in ln t, of the explicit method and of the implicit one.
_EXPLICIT, _IMPLICIT = 0.25, 0.125
# Of ROS2: 1 − 1/√2, the choice with the smaller error.
_GAMMA = 1 - math.sqrt(0.5)
# Of one step, and of ln s: where a trial parameter makes the equation wild, the search has only to stay finite.
_MOST_MOVED, _RANGE = 1.5, (-30.0, 5.0)


def integrate_races(rate: Rate, start: FloatArray, times: FloatArray, *, stiff: bool) -> FloatArray:
    """ln s at the times.

    Args:
        rate: d ln s / dt from ln s, (..., 2) -> (..., 2); it does not depend on t.
        start: (..., 2) ln s at time 0. times: (T,) above 0, increasing.
        stiff: whether strengths come to rest, near which an explicit step is stable only if it is short.

    Returns (T, ..., 2).
    """

    def kept(u: FloatArray) -> FloatArray:
        return rate(np.clip(u, *_RANGE))

    u = start
    for _ in range(2):
        u = _explicit(kept, u, times[0] / 2, (1.0, 1.0, 1.0))
    found = np.empty((len(times), *start.shape))
    found[0] = u
    for place in range(1, len(times)):
        count = max(1, math.ceil(math.log(times[place] / times[place - 1]) / (_IMPLICIT if stiff else _EXPLICIT)))
        knots = np.geomspace(times[place - 1], times[place], count + 1).tolist()
        for begin, end in pairwise(knots):
            h = math.log(end / begin)
            u = _implicit(kept, u, h, begin, end) if stiff else _explicit(kept, u, h, (begin, math.sqrt(begin * end), end))
        found[place] = u
    return found


def _explicit(rate: Rate, u: FloatArray, h: float, pace: tuple[float, float, float]) -> FloatArray:
    """One step of Runge and Kutta's fourth order; `pace` is dt by the variable that h is a step of, at its begin, middle and end."""
    one = pace[0] * rate(u)
    two = pace[1] * rate(u + h / 2 * one)
    three = pace[1] * rate(u + h / 2 * two)
    four = pace[2] * rate(u + h * three)
    return _moved(u, h / 6 * (one + 2 * (two + three) + four))


def _implicit(rate: Rate, u: FloatArray, h: float, begin: float, end: float) -> FloatArray:
    """One step in ln t of the Rosenbrock method ROS2 (Verwer, Spee, Blom and Hundsdorfer 1999): second order, L-stable."""
    here = begin * rate(u)
    jacobian = np.empty((*u.shape, 2))
    for side in range(2):
        aside = u.copy()
        aside[..., side] += 1e-6
        jacobian[..., side] = (begin * rate(aside) - here) / 1e-6
    a, b, c, d = (-_GAMMA * h * jacobian[..., i, j] for i in range(2) for j in range(2))
    a, d = 1 + a, 1 + d
    determinant = a * d - b * c

    def solved(right: FloatArray) -> FloatArray:
        top, bottom = right[..., 0], right[..., 1]
        return np.stack([(d * top - b * bottom) / determinant, (a * bottom - c * top) / determinant], axis=-1)

    # In ln t the equation depends on time, through dt = t d ln t, whose derivative is the rate itself.
    one = solved(here * (1 + _GAMMA * h))
    two = solved(end * rate(u + h * one) - 2 * one - _GAMMA * h * here)
    return _moved(u, h * (1.5 * one + 0.5 * two))


def _moved(u: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(np.clip(u + np.clip(step, -_MOST_MOVED, _MOST_MOVED), *_RANGE))
