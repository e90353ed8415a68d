"""Of what the spread of a number between runs consists, where every deal was trained with every seed and measured on every probe."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.errors import CurvesError
from dominoes.spec import stream
from dominoes.theory.intervals import Interval

#: Resamples of an interval.
RESAMPLES = 4000
TOTAL = "total"
MEAN = "mean"


def components(
    values: FloatArray, factors: Sequence[str], *, resampled: Sequence[str] = ("deal", "seed"), level: float = 0.95
) -> dict[str, Interval]:
    """Variance components of a crossed design without replication, by the method of moments.

    With random effects of every factor and of every combination of factors, all independent, the value of one cell is their sum. The
    component of a combination U is

        σ²_U = Σ_{V ⊇ U} (−1)^{|V| − |U|} MS_V / Π_{f ∉ U} L_f,

    MS_V the mean square of V in the analysis of variance, L_f the number of levels (Searle, Casella & McCulloch 1992, Variance
    Components, ch. 5). It is unbiased, and so below 0 now and then where a component is small. The combination of all factors is the
    rest: nothing tells its own effect from noise.

    Intervals are percentiles over RESAMPLES draws of whole levels of the `resampled` factors (with replacement, each factor for itself:
    Owen 2007, The pigeonhole bootstrap), moved so that their mean is the estimate. With few levels they are too short: with 6 deals, 4
    seeds and 2 probes, and deals that weigh most, a nominal 95 % interval held the deals' component in 77 % of 200 simulations, the
    seeds' in 93 %, that of deal x seed in 94 %. Of a factor that is not resampled the interval is of the levels that were used.

    Args:
        values: one axis for each factor, no NaN. Factors of one level are left out.
        factors: names of the axes.
        resampled: names of factors whose levels are drawn.
        level: of the intervals, in (0, 1).

    Returns:
        By name, in the square of the values' unit: every factor, combinations as `deal x seed`, `total` (the sum of all components: the
        variance of one run), and `mean`, the mean of all values in their own unit.

    Raises CurvesError: fewer than two factors with two levels, or a cell without value.
    """
    values = np.asarray(values, dtype=float)
    kept = [axis for axis, count in enumerate(values.shape) if count > 1]
    if len(kept) < 2 or not np.isfinite(values).all():
        raise CurvesError(
            f"variance components need two crossed factors of at least two levels and a value in every cell; got {', '.join(factors)} with "
            f"{' x '.join(map(str, values.shape))} levels and {int((~np.isfinite(values)).sum())} empty cells"
        )
    values = values.reshape([values.shape[axis] for axis in kept])
    names = [factors[axis] for axis in kept]
    estimates = _components(values[None], names)
    rng = np.random.Generator(np.random.PCG64(stream(0, "variance components")))
    drawn = np.broadcast_to(values, (RESAMPLES, *values.shape))
    for axis, name in enumerate(names):
        if name in resampled:
            levels = rng.integers(values.shape[axis], size=(RESAMPLES, values.shape[axis]))
            shape = [RESAMPLES if place == 0 else values.shape[axis] if place == axis + 1 else 1 for place in range(drawn.ndim)]
            drawn = np.take_along_axis(drawn, levels.reshape(shape), axis=axis + 1)
    replicates = _components(drawn, names)
    found = {}
    for name, (estimate,) in estimates.items():
        spread = replicates[name]
        # Levels that are drawn twice make the spread between them smaller, by this much on average.
        inside = [axis for axis, each in enumerate(names) if each in name.split(" x ") and each in resampled]
        scale = np.prod([values.shape[axis] / (values.shape[axis] - 1) for axis in inside]) if inside else 1.0
        spread = (spread - spread.mean()) * scale + estimate
        low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
        found[name] = Interval(float(estimate), float(low), float(high))
    return found


def _components(values: FloatArray, names: Sequence[str]) -> Mapping[str, FloatArray]:
    """By name, (B,) components of tables (B, L1, L2, ...)."""
    axes = range(1, values.ndim)
    sets = [each for size in range(1, values.ndim) for each in itertools.combinations(axes, size)]
    squares: dict[tuple[int, ...], FloatArray] = {}
    for inside in sets:
        others = tuple(axis for axis in axes if axis not in inside)
        effect = values.mean(axis=others, keepdims=True) if others else values
        for axis in inside:
            effect = effect - effect.mean(axis=axis, keepdims=True)
        freedom = np.prod([values.shape[axis] - 1 for axis in inside])
        repeats = np.prod([values.shape[axis] for axis in others])
        squares[inside] = (effect**2).sum(axis=tuple(axes)) * repeats / freedom
    found = {}
    for inside in sets:
        above = [each for each in sets if set(inside) <= set(each)]
        repeats = np.prod([values.shape[axis] for axis in axes if axis not in inside])
        found[" x ".join(names[axis - 1] for axis in inside)] = (
            sum((-1) ** (len(each) - len(inside)) * squares[each] for each in above) / repeats
        )
    found[TOTAL] = np.sum(list(found.values()), axis=0)
    found[MEAN] = values.mean(axis=tuple(axes))
    return found
