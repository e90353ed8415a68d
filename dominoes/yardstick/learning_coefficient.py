"""The local learning coefficient of trained weights: λ̂ = nβ (E[L(w)] − L(w*)) with nβ = n / ln n, as a profile over the localisation γ.

Lau et al. 2023 (arXiv 2308.12108, definition 1); restricted to some of the examples: Wang et al. 2024 (arXiv 2410.02984). With millions of
weights most directions are flat and the distance that chains go is √(d/γ), the localisation's own, so λ̂ is a function of γ; only
what holds at every γ says something of the weights. Estimates whose chains have not converged are kept, with the reasons, and stand for
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from dominoes.arrays import FloatArray
from dominoes.errors import SpecError
from dominoes.yardstick import curvature
from dominoes.yardstick.chains import Landscape, Trace, Walk, walk
from dominoes.yardstick.convergence import Convergence, Limits, assess

#: Plain Langevin dynamics; preconditioned; with the averaged noise of Leimkuhler and Matthews.
SAMPLERS = ("sgld", "rmsprop", "lm")
# Of a chain's steps: burn-in; those that the estimate is the mean of; those with a quarter of the step, of which a third is left out.
_BURN_IN, _KEPT, _FINE, _FINE_LEFT_OUT = 0.2, 0.4, 0.4, 1 / 3
_QUARTER = 1 / 4
#: How often λ_max is looked for at each γ: at w*, in the middle of the burn-in and after it.
SEARCHES = 3
#: Walks at each γ, of all chains: two of burn-in, the draws, and those with a quarter of the step.
WALKS = 4


@dataclass(frozen=True)
class Sampling:
    """How an estimate is sampled.

    Attributes:
        sampler: sgld; rmsprop for its preconditioned form; or lm, which averages the noise of consecutive steps and so has no error of
            the step's size in a quadratic.
        chains: C, at least 2.
        draws: steps of each chain: a fifth burn-in, two fifths that the estimate is the mean of, two fifths with a quarter of the step.
        batch: examples of a step.
        share: c of the rule ε = c / (nβ λ_max + γ); below 4 or a chain is unstable, and the stiffest direction's share of λ̂ is
            1 / (1 − c/4) times too large, but for lm.
        every: observed losses are looked at on each such step.
        seed: of all random streams.
        batched: walk the chains at once, for GPUs.
    """

    sampler: str = "sgld"
    chains: int = 4
    draws: int = 1500
    batch: int = 512
    share: float = 0.8
    every: int = 5
    seed: int = 0
    batched: bool = False


@dataclass(frozen=True)
class Estimate:
    """λ̂ of one loss at one localisation.

    Attributes:
        kind: whose loss it is: the name of the landscape that was sampled or observed.
        n: examples that L(w*) is the mean of.
        nbeta, gamma, step: nβ, γ and ε of the walk.
        curvature: λ_max of the sampled loss (with a preconditioner of √P H √P): at w* or after burn-in, whichever is larger.
        loss: L(w*), in nats, over all n examples.
        excess: E[L(w)] − L(w*), what was found of its mean, and whether it converged.
        distance: root mean square |w − w*| of the draws.
    """

    kind: str
    n: int
    nbeta: float
    gamma: float
    step: float
    curvature: float
    loss: float
    excess: Convergence
    distance: float

    @property
    def value(self) -> float:
        """λ̂, converged or not."""
        return self.nbeta * self.excess.mean

    @property
    def se(self) -> float:
        """Monte Carlo standard error of λ̂."""
        return self.nbeta * self.excess.se

    @property
    def status(self) -> str:
        """`converged`, or `not converged` and why."""
        return "converged" if self.excess.converged else "not converged: " + "; ".join(self.excess.reasons)


def inverse_temperature(n: int) -> float:
    """nβ = n / ln n, at which the mean loss estimates the free energy's log coefficient (Watanabe 2013). Raises SpecError below n = 3."""
    if n < 3:
        raise SpecError(f"{n} examples: nβ = n / ln n needs at least 3; sample a kind that the training set has more of")
    return n / math.log(n)


def profile(
    sampled: tuple[str, Landscape],
    weights: Tensor,
    gammas: Sequence[float],
    how: Sampling | None = None,
    *,
    observed: Mapping[str, Landscape] | None = None,
    step: float | None = None,
    limits: Limits | None = None,
) -> list[Estimate]:
    """λ̂ at each γ, of the sampled loss and then of each observed one.

    Args:
        sampled: name and landscape whose posterior is walked; its n gives nβ, also for the observed, whose draws are the same.
        weights: w*, d numbers.
        gammas: localisations, each above 0.
        how: to sample.
        observed: further landscapes by name, for which no further chain is walked.
        step: ε, where the rule of `curvature` shall not choose it.
        limits: what is asked of the chains.

    Raises SpecError: n below 3, a γ or ε not above 0, an unknown sampler, or fewer than 30 draws.
    """
    how = how or Sampling()
    name, landscape = sampled
    observed = dict(observed or {})
    check_sampling(gammas, how, step)
    nbeta = inverse_temperature(landscape.n)
    scale = curvature.preconditioner(landscape, weights, how.batch, seed=how.seed) if how.sampler == "rmsprop" else None
    top = curvature.largest(landscape, weights, seed=how.seed, preconditioner=scale)
    losses = {kind: float(each.at(weights).double().mean()) for kind, each in ({name: landscape} | observed).items()}
    estimates = []
    for gamma in gammas:
        coarse, fine, size, stiffest = _walks(landscape, weights, nbeta, gamma, how, observed, scale, top.value, step)
        distances = [coarse.distance, _late(fine.distance)]
        pairs = {name: (coarse.excess, fine.excess)} | {kind: (coarse.observed[kind], fine.observed[kind]) for kind in observed}
        for kind, (trace, last) in pairs.items():
            found = assess(trace, _late(last), distances, broken=fine.broken, limits=limits)
            n = ({name: landscape} | observed)[kind].n
            away = float(coarse.distance.mean()) ** 0.5
            estimates.append(Estimate(kind, n, nbeta, gamma, size, stiffest, losses[kind], found, away))
    return estimates


def _walks(
    landscape: Landscape,
    centre: Tensor,
    nbeta: float,
    gamma: float,
    how: Sampling,
    observed: Mapping[str, Landscape],
    scale: Tensor | None,
    stiffest: float,
    step: float | None,
) -> tuple[Trace, Trace, float, float]:
    """Burn-in, the draws, and as many with a quarter of the step; with ε, and λ_max there.

    The loss is often stiffer where the chains live than at w*, above all at a degenerate minimum, where λ_max says nothing of its
    surroundings. So λ_max is measured again where the first chain has come to in half of the burn-in, which has a quarter of the step so
    that it does not climb where it would be long in coming back from, and once more after it.
    """

    def size() -> float:
        return curvature.step_size(nbeta, stiffest, gamma, how.share) if step is None else step

    def on(starts: Tensor, part: str, share: float, epsilon: float, watch: Mapping[str, Landscape]) -> Trace:
        steps = max(round(how.draws * share), 1)
        walked = Walk(
            nbeta, gamma, epsilon, steps, how.batch, how.every, how.seed, f"gamma {gamma:g} {part}", how.batched, how.sampler == "lm"
        )
        return walk(landscape, centre, walked, starts=starts, observed=watch, preconditioner=scale)

    at = centre.expand(how.chains, -1)
    for part, share in (("start", _QUARTER), ("burn-in", 1.0)):
        at = on(at, part, _BURN_IN / 2, size() * share, {}).ends
        if step is None and at[0].isfinite().all():
            stiffest = max(stiffest, curvature.largest(landscape, at[0], seed=how.seed, preconditioner=scale).value)
    coarse = on(at, "draws", _KEPT, size(), observed)
    fine = on(coarse.ends, "quarter", _FINE, size() * _QUARTER, observed)
    return coarse, fine, size(), stiffest


def check_sampling(gammas: Sequence[float], how: Sampling, step: float | None = None) -> None:
    """Raise SpecError if chains cannot be walked so (`profile`)."""
    if how.sampler not in SAMPLERS:
        raise SpecError(f"sampler {how.sampler!r}: expected one of {', '.join(SAMPLERS)}")
    wrong = [value for value in (*gammas, *(() if step is None else (step,)), how.share) if not 0 < value < math.inf]
    if wrong or not gammas:
        raise SpecError(f"gamma, step and share: expected numbers above 0, got {wrong[0] if wrong else 'no gamma'}")
    if how.draws < 30 or min(how.chains, how.batch, how.every) < 1:
        raise SpecError(
            f"draws {how.draws}, chains {how.chains}, batch {how.batch}, every {how.every}: expected at least 30 draws, one chain, one "
            "example, and a look every step or more seldom"
        )


def _late(trace: FloatArray) -> FloatArray:
    """Of the draws with a quarter of the step, those that count."""
    return trace[:, round(trace.shape[1] * _FINE_LEFT_OUT) :]


def ordering(first: Mapping[float, float], second: Mapping[float, float], names: tuple[str, str]) -> str:
    """What two profiles, each from γ to a converged λ̂, say of each other: a sentence over the localisations that both have."""
    both = sorted(first.keys() & second.keys())
    if not both:
        return f"{names[0]} and {names[1]} cannot be compared: at no γ have both converged"
    ratios = [first[gamma] / second[gamma] for gamma in both]
    where = f"at every γ ({both[0]:g} to {both[-1]:g}, {len(both)} values)" if len(both) > 1 else f"at γ {both[0]:g} alone"
    if min(ratios) > 1:
        return f"{names[0]} above {names[1]} {where}, by {min(ratios):.2g} to {max(ratios):.2g} times"
    if max(ratios) < 1:
        return f"{names[1]} above {names[0]} {where}, by {1 / max(ratios):.2g} to {1 / min(ratios):.2g} times"
    return f"{names[0]} and {names[1]} have no order that holds {where}: ratio {min(ratios):.2g} to {max(ratios):.2g}"
