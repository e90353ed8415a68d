"""Whether chains have converged, and if not, why: what an estimate needs before it is reported.

Split-R̂ and effective sample size are ArviZ's (Vehtari et al. 2021, arXiv 1903.08008). They are taken of the traces' means over up to 100
blocks: batch noise in single draws would hide that chains wander apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dominoes.arrays import FloatArray

_BLOCKS = 100


@dataclass(frozen=True)
class Limits:
    """What is asked of chains.

    Attributes:
        rhat: split-R̂ must be below.
        ess: effective sample size, over all chains, must be at least.
        drift: most relative change of the mean loss, either way, and most growth of the mean squared distance, from the first to the
            last third of the draws.
        stability: most relative change of the estimate when the step is made a quarter.
    """

    rhat: float = 1.05
    ess: float = 50.0
    drift: float = 0.1
    stability: float = 0.1


@dataclass(frozen=True)
class Convergence:
    """What was found of one trace.

    Attributes:
        mean, se: over all draws of all chains, and its Monte Carlo standard error.
        rhat, ess: of the blocks.
        drift: (last third − first third) / |mean|.
        spreading: the same of the squared distance, at the step size where it is largest; positive while the walk still spreads.
        quarter: (mean at a quarter of the step − mean) / |mean|.
        reasons: why it has not converged, a clause each; empty if it has.
    """

    mean: float
    se: float
    rhat: float
    ess: float
    drift: float
    spreading: float
    quarter: float
    reasons: tuple[str, ...]

    @property
    def converged(self) -> bool:
        """Whether nothing speaks against the mean."""
        return not self.reasons


def assess(
    trace: FloatArray,
    fine: FloatArray,
    distances: Sequence[FloatArray],
    *,
    broken: tuple[int | None, ...] = (),
    limits: Limits | None = None,
) -> Convergence:
    """Judge the draws of an excess loss.

    Args:
        trace: C × draws, burn-in left out.
        fine: C × draws (any number), the same excess loss at a quarter of the step.
        distances: of each step size C × draws (any number), squared distances from the centre.
        broken: for each chain the step at which it was not finite any more, or None.
        limits: what is asked.
    """
    limits = limits or Limits()
    bad = [chain for chain, at in enumerate(broken) if at is not None]
    if bad or not all(np.isfinite(each).all() for each in (trace, fine, *distances)):
        where = f"chain {bad[0]} became infinite or NaN" if bad else "a loss became infinite or NaN"
        nan = math.nan
        return Convergence(nan, nan, nan, nan, nan, nan, nan, (f"{where}: a smaller step is needed",))
    mean = float(trace.mean())
    rhat, ess, se = _monte_carlo(_blocks(trace))
    drift, spreading = _drift(trace), max(_drift(distance) for distance in distances)
    change = float(fine.mean() - mean) / abs(mean) if mean else math.inf
    reasons = []
    if len(trace) < 2:
        reasons.append("one chain alone cannot show that chains agree: at least two are needed")
    elif not rhat < limits.rhat:
        reasons.append(f"chains disagree (split-R̂ {rhat:.2f}, needed < {limits.rhat:g})")
    if not ess >= limits.ess:
        reasons.append(f"effective sample size {math.floor(ess)} (needed {limits.ess:g})")
    if not abs(drift) <= limits.drift:
        reasons.append(f"the loss drifts by {drift:+.0%} from the first to the last third (allowed {limits.drift:.0%})")
    if not spreading <= limits.drift:
        reasons.append(f"the chains still spread: squared distance {spreading:+.0%} from the first to the last third, as in diffusion")
    if not abs(change) <= limits.stability:
        reasons.append(f"a quarter of the step changes the estimate by {change:+.0%} (allowed {limits.stability:.0%})")
    if mean <= 0:
        reasons.append("the mean loss along the chains is not above the checkpoint's: it is no minimum of this loss")
    return Convergence(mean, se, rhat, ess, drift, spreading, change, tuple(reasons))


def _blocks(trace: FloatArray) -> FloatArray:
    """C × at most 100 means of consecutive draws; the first draws that fill no block are left out."""
    size = max(trace.shape[1] // _BLOCKS, 1)
    count = trace.shape[1] // size
    return cast(FloatArray, trace[:, trace.shape[1] - count * size :].reshape(len(trace), count, size).mean(2))


def _monte_carlo(trace: FloatArray) -> tuple[float, float, float]:
    """Split-R̂, effective sample size and standard error of the mean; NaN, 0 and NaN of draws that are too few or never change."""
    if trace.shape[1] < 4 or np.ptp(trace) == 0:
        return math.nan, 0.0, math.nan
    from arviz_stats.base.array import array_stats

    stats: Any = array_stats
    axes = {"chain_axis": 0, "draw_axis": 1}
    rhat = stats.rhat(trace, method="split", **axes) if len(trace) > 1 else math.nan
    ess = float(stats.ess(trace, method="mean", **axes))
    return float(rhat), ess, float(stats.mcse(trace, method="mean", **axes))


def _drift(trace: FloatArray) -> float:
    third = trace.shape[1] // 3
    mean = float(trace.mean())
    if not third or mean == 0:
        return math.inf
    return float(trace[:, -third:].mean() - trace[:, :third].mean()) / abs(mean)
