"""Many small bounded least-squares problems at once.

One Levenberg-Marquardt iteration on a curve of sixty points is a few microseconds of arithmetic and a hundred of calling numpy. Running all
starts, or all seeds, of a fit side by side pays for the calls once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
RowIndices = npt.NDArray[np.intp]

#: (parameters (S, P), rows (S,)) -> cost (S,), gradient (S, P), Gauss-Newton or Fisher matrix (S, P, P). `rows` says which of the problems
#: are asked for, since those that have converged are left out.
Objective = Callable[[Array, RowIndices], tuple[Array, Array, Array]]

# A sum of squares of shares that is only rounding: a fit that is exact has nothing left to lower.
_NOTHING = 1e-20


@dataclass(frozen=True)
class Minimum:
    """Where each problem ended: the best point that was met, never merely the last.

    `parameters` (S, P), `cost` (S,), `gradient` (S, P), `curvature` (S, P, P) there; `converged` (S,): no step was foreseen to lower the
    cost by more than `tolerance` of itself.
    """

    parameters: Array
    cost: Array
    gradient: Array
    curvature: Array
    converged: npt.NDArray[np.bool_]


def minimise(objective: Objective, start: Array, low: Array, high: Array, *, steps: int = 200, tolerance: float = 1e-9) -> Minimum:
    """Lower S costs, each from its own start, inside a box.

    Levenberg-Marquardt with Marquardt's scaling and Nielsen's damping. Parameters on a bound whose gradient points outwards are held for
    the step (an active set), others are clipped to the box, so that a value on a bound is met exactly and left freely.

    Args:
        objective: cost, gradient and curvature (see Objective).
        start: (S, P), clipped to the box.
        low, high: bounds, of a shape that broadcasts to (S, P); where they are equal the parameter is fixed.
        steps: at most so many iterations.
        tolerance: relative decrease of the cost below which a problem is done.
    """
    best = np.clip(start, low, high)
    low, high = np.broadcast_to(low, best.shape), np.broadcast_to(high, best.shape)
    count, size = best.shape
    diagonal = np.arange(size)
    converged = np.zeros(count, dtype=bool)
    damping, growth = np.full(count, 1e-2), np.full(count, 2.0)
    active = np.arange(count)
    cost, gradient, curvature = objective(best, active)
    for _ in range(steps):
        here, slope, matrix = best[active], gradient[active], curvature[active]
        held = ((here <= low[active]) & (slope > 0)) | ((here >= high[active]) & (slope < 0)) | (low[active] == high[active])
        free = ~held
        pull = slope * free
        matrix = matrix * (free[:, :, None] & free[:, None, :])
        scale = matrix[:, diagonal, diagonal]
        # A parameter on which nothing depends here (a pattern with ceiling 0 has no speed) must not make the matrix singular.
        scale = np.where(free, np.maximum(scale, 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300), 1.0)
        damped = matrix.copy()
        damped[:, diagonal, diagonal] += damping[active, None] * scale + held
        trial = np.clip(here - np.linalg.solve(damped, pull[:, :, None])[:, :, 0], low[active], high[active])
        move = trial - here
        foreseen = -np.sum(move * pull, axis=1) - 0.5 * np.einsum("si,sij,sj->s", move, matrix, move)
        new_cost, new_gradient, new_curvature = objective(trial, active)
        gain = cost[active] - new_cost
        better = gain > 0
        small = (foreseen >= 0) & (foreseen <= tolerance * cost[active] + _NOTHING)
        ratio = gain / np.where(foreseen > 0, foreseen, np.inf)
        winners = active[better]
        best[winners], cost[winners] = trial[better], new_cost[better]
        gradient[winners], curvature[winners] = new_gradient[better], new_curvature[better]
        # Nielsen (1999): shrink the damping smoothly with the quality of the step, grow it ever faster while steps fail.
        shrink = np.maximum(1 / 9, 1 - (2 * np.clip(ratio[better], 0, 1) - 1) ** 3)
        damping[winners] = np.maximum(damping[winners] * shrink, 1e-12)
        growth[winners] = 2.0
        losers = active[~better]
        damping[losers] *= growth[losers]
        growth[losers] *= 2
        settled = small & (damping[active] < 1)
        stuck = damping[active] > 1e12
        converged[active[settled]] = True
        active = active[~(settled | stuck)]
        if not len(active):
            break
    return Minimum(best, cost, gradient, curvature, converged)
