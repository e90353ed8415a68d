"""Two coupled strengths over time: integration in ln t, for many parameters and specs at once.

Arrays are (2, B, N), sides first, so that what belongs to one side is contiguous; a rate takes a stack of them, (..., 2, B, N).
"""

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
_ASIDE = 1e-6


def integrate_races(rate: Rate, start: FloatArray, times: FloatArray, *, stiff: bool) -> FloatArray:
    """ln s at the times.

    Args:
        rate: d ln s / dt from ln s, (..., 2, B, N) -> the same; it does not depend on t.
        start: (2, B, N) ln s at time 0. times: (T,) above 0, increasing.
        stiff: whether strengths come to rest, near which an explicit step is stable only if it is short.

    Returns (T, 2, B, N).
    """
    u = start
    for _ in range(2):
        u = _explicit(rate, u, float(times[0]) / 2, (1.0, 1.0, 1.0))
    found = np.empty((len(times), *start.shape))
    found[0] = u
    for place, (first, last) in enumerate(pairwise(times.tolist()), start=1):
        count = max(1, math.ceil(math.log(last / first) / (_IMPLICIT if stiff else _EXPLICIT)))
        knots = [first, last] if count == 1 else np.geomspace(first, last, count + 1).tolist()
        for begin, end in pairwise(knots):
            h = math.log(end / begin)
            u = _implicit(rate, u, h, begin, end) if stiff else _explicit(rate, u, h, (begin, math.sqrt(begin * end), end))
        found[place] = u
    return found


def _explicit(rate: Rate, u: FloatArray, h: float, pace: tuple[float, float, float]) -> FloatArray:
    """One step of Runge and Kutta's fourth order; `pace` is dt by the variable that h is a step of, at its begin, middle and end."""
    one = pace[0] * rate(u)
    two = pace[1] * rate(_kept(u + h / 2 * one))
    three = pace[1] * rate(_kept(u + h / 2 * two))
    four = pace[2] * rate(_kept(u + h * three))
    return _moved(u, h / 6 * (one + 2 * (two + three) + four))


def _implicit(rate: Rate, u: FloatArray, h: float, begin: float, end: float) -> FloatArray:
    """One step in ln t of the Rosenbrock method ROS2 (Verwer, Spee, Blom and Hundsdorfer 1999): second order, L-stable."""
    # The rate and its differences by both sides in one call: arrays are small, and calls cost more than numbers.
    points = np.empty((3, *u.shape))
    points[:] = u
    points[1, 0] += _ASIDE
    points[2, 1] += _ASIDE
    rates = begin * rate(_kept(points))
    here = rates[0]
    (a, c), (b, d) = (-_GAMMA * h) * ((rates[1:] - here) / _ASIDE)
    a, d = 1 + a, 1 + d
    determinant = a * d - b * c

    def solved(right: FloatArray) -> FloatArray:
        top, bottom = right
        return np.asarray(np.stack([d * top - b * bottom, a * bottom - c * top]) / determinant)

    # In ln t the equation depends on time, through dt = t d ln t, whose derivative is the rate itself.
    one = solved(here * (1 + _GAMMA * h))
    two = solved(end * rate(_kept(u + h * one)) - 2 * one - _GAMMA * h * here)
    return _moved(u, h * (1.5 * one + 0.5 * two))


def _kept(u: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(np.maximum(u, _RANGE[0]), _RANGE[1]))


def _moved(u: FloatArray, step: FloatArray) -> FloatArray:
    return _kept(u + np.minimum(np.maximum(step, -_MOST_MOVED), _MOST_MOVED))
