"""Langevin chains around trained weights: samples of exp(−nβ L(w) − γ/2 |w − w*|²), and the losses met on the way.

One step of stochastic gradient Langevin dynamics (Welling and Teh 2011; Lau et al. 2023, arXiv 2308.12108, eq. 16) of size ε is
w ← w − ε/2 · P · (nβ ∇L_B(w) + γ (w − w*)) + √(ε P) · η, with L_B the mean loss of a random batch and η standard normal. P is 1, or a
diagonal preconditioner that stays as it is during the walk (`curvature.preconditioner`): then the same distribution is stationary, whereas
one that follows the walk needs a further term (Li et al. 2016, arXiv 1512.07666, eq. 5). With the mean of this step's η and the next one's
in its place (Leimkuhler and Matthews 2013, arXiv 1203.5428) the variance in a direction of curvature h is 1/h at every stable ε, where the
plain step makes it 1 / (h (1 − ε h / 4)). Nothing here knows what the weights are of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dominoes.arrays import FloatArray
from dominoes.spec import stream

# Examples evaluated together when the loss of all of them is wanted.
_EVALUATION_BATCH = 500
# Steps whose random numbers are drawn at once at most, and so many numbers, unless a single step needs more.
_STEPS_TOGETHER, _DRAWN_TOGETHER = 64, 2**14


def _themselves(rows: Tensor) -> tuple[Tensor, ...]:
    return (rows,)


@dataclass(frozen=True)
class Landscape:
    """A loss as a function of weights.

    Attributes:
        losses: (weights, *examples) to the loss of each of these examples in nats; weights are one vector. It is differentiated, and with
            `batched` chains mapped by `torch.func.vmap`: no random numbers, no state, and an example's loss does not depend on the others.
        n: number of examples.
        take: some examples, by whole numbers below n: tensors whose first dimension is theirs. Not mapped, so it may do as it likes.
    """

    losses: Callable[..., Tensor]
    n: int
    take: Callable[[Tensor], tuple[Tensor, ...]] = _themselves

    def of(self, weights: Tensor, rows: Tensor) -> Tensor:
        """The loss of the examples of these rows."""
        return self.losses(weights, *self.take(rows))

    def at(self, weights: Tensor) -> Tensor:
        """The loss of every example, n values."""
        rows = torch.arange(self.n, device=weights.device)
        with torch.no_grad():
            return torch.cat([self.of(weights, part) for part in torch.split(rows, _EVALUATION_BATCH)])


@dataclass(frozen=True)
class Walk:
    """How to walk.

    Attributes:
        nbeta: inverse temperature times number of examples, nβ.
        gamma: localisation γ, the strength of the pull to w*.
        step: ε.
        steps: steps of each chain.
        batch: examples of a step, drawn with replacement; all of them, in their own order, where there are not more.
        every: the observed losses are looked at on each such step.
        seed: of the chains' named random streams.
        name: of the random streams, so that a walk that goes on where another ended has other random numbers.
        batched: walk all chains at once (`torch.func.vmap`): for GPUs; on a CPU one after the other is faster.
        averaged: each normal number is half of two steps' noise, so that the size of the step makes no quadratic's variance wrong.
    """

    nbeta: float
    gamma: float
    step: float
    steps: int
    batch: int = 512
    every: int = 10
    seed: int = 0
    name: str = "walk"
    batched: bool = False
    averaged: bool = False


@dataclass(frozen=True)
class Trace:
    """What was met by C chains.

    Attributes:
        excess: C × steps, the mean over a step's batch of the loss at the weights before the step less the loss at w*: without bias
            for L(w) − L(w*), since the batch is drawn afresh, and much less noisy than the loss itself.
        distance: C × steps, |w − w*|² before the step.
        observed: by name C × (steps/every), the excess of each further landscape, on batches of its own.
        ends: C × d, the weights after the last step.
        broken: for each chain the step at which a number was not finite any more (the rest of its trace is NaN), or None.
    """

    excess: FloatArray
    distance: FloatArray
    observed: Mapping[str, FloatArray]
    ends: Tensor
    broken: tuple[int | None, ...]


def walk(
    landscape: Landscape,
    centre: Tensor,
    how: Walk,
    *,
    starts: Tensor,
    observed: Mapping[str, Landscape] | None = None,
    preconditioner: Tensor | None = None,
) -> Trace:
    """Walk as many chains as there are `starts`.

    Args:
        landscape: whose loss is sampled.
        centre: w*, d weights, to which γ pulls and whose losses are subtracted.
        how: to walk.
        starts: C × d, where each chain starts.
        observed: further losses to look at on the way, by name; they do not influence the walk.
        preconditioner: P, d positive numbers; none for plain Langevin dynamics.

    A chain's random numbers follow from the seed and its own number: they do not depend on how many chains there are.
    """
    observed = dict(observed or {})
    device = centre.device
    noises = [_normals(_generator(device, how, chain, "noise"), centre) for chain in range(len(starts))]
    cpu = torch.device("cpu")
    batches = [_rows(landscape.n, how.batch, _generator(cpu, how, chain, "batch")) for chain in range(len(starts))]
    looks = [
        {name: _rows(other.n, how.batch, _generator(cpu, how, chain, "observed", name)) for name, other in observed.items()}
        for chain in range(len(starts))
    ]
    base = landscape.at(centre)
    bases = {name: each.at(centre) for name, each in observed.items()}
    gradient = _gradient(landscape, how.batched)
    weights = starts.clone()
    shape = (len(starts), how.steps)
    excess, distance = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(2))
    found = {name: torch.full((shape[0], -(-how.steps // how.every)), torch.nan, dtype=torch.float64) for name in observed}
    drift, spread = (
        (how.step / 2, how.step**0.5) if preconditioner is None else (how.step / 2 * preconditioner, (how.step * preconditioner).sqrt())
    )
    ahead = torch.stack([next(each) for each in noises]) if how.averaged else None
    for step in range(how.steps):
        away = weights - centre
        distance[:, step] = torch.linalg.vector_norm(away, dim=1).double().square().cpu()
        rows = torch.stack([next(each) for each in batches]).to(device)
        slopes, losses = gradient(weights, rows)
        excess[:, step] = (losses - base[rows]).double().mean(1).cpu()
        if step % how.every == 0:
            for name, other in observed.items():
                for chain in range(len(weights)):
                    mine = next(looks[chain][name]).to(device)
                    with torch.no_grad():
                        more = other.of(weights[chain], mine) - bases[name][mine]
                    found[name][chain, step // how.every] = more.double().mean().cpu()
        noise = torch.stack([next(each) for each in noises])
        if ahead is not None:
            noise, ahead = ahead.add_(noise).div_(2), noise
        # In place: with millions of weights these are passes over memory, and as long as the gradient itself.
        slopes.mul_(how.nbeta).add_(away, alpha=how.gamma).mul_(drift)
        weights.sub_(slopes).add_(noise.mul_(spread))
    broken = tuple(_first_broken(excess[chain] + distance[chain]) for chain in range(len(starts)))
    for chain, at in enumerate(broken):
        if at is not None:
            for trace, period in ((excess, 1), (distance, 1), *((each, how.every) for each in found.values())):
                trace[chain, -(-at // period) :] = torch.nan
    return Trace(excess.numpy(), distance.numpy(), {name: trace.numpy() for name, trace in found.items()}, weights, broken)


def _generator(device: torch.device, how: Walk, chain: int, *names: str) -> torch.Generator:
    return torch.Generator(device).manual_seed(stream(how.seed, how.name, "chain", str(chain), *names))


def _rows(n: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """The examples of each step."""
    while batch >= n:
        yield torch.arange(n)
    while True:
        yield from torch.randint(n, (_ahead(batch), batch), generator=generator)


def _normals(generator: torch.Generator, like: Tensor) -> Iterator[Tensor]:
    """Standard normal numbers for each step."""
    while True:
        yield from torch.randn((_ahead(len(like)), len(like)), generator=generator, device=like.device, dtype=like.dtype)


def _ahead(size: int) -> int:
    """For how many steps numbers are drawn at once: calls would take longer than the numbers where these are few."""
    return min(max(_DRAWN_TOGETHER // size, 1), _STEPS_TOGETHER)


def _first_broken(trace: Tensor) -> int | None:
    bad = (~trace.isfinite()).nonzero()
    return int(bad[0]) if len(bad) else None


def _gradient(landscape: Landscape, batched: bool) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(C × d weights, C × B rows) to the gradients of the batches' mean losses, C × d, and the examples' losses, C × B."""

    def mean(weights: Tensor, *examples: Tensor) -> tuple[Tensor, Tensor]:
        losses = landscape.losses(weights, *examples)
        return losses.mean(), losses

    def one_by_one(weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        slopes, losses = [], []
        for mine, part in zip(weights, rows, strict=True):
            mine = mine.detach().requires_grad_()
            loss, each = mean(mine, *landscape.take(part))
            slopes += torch.autograd.grad(loss, mine)
            losses.append(each.detach())
        return torch.stack(slopes), torch.stack(losses)

    mapped = torch.func.vmap(torch.func.grad(mean, has_aux=True))

    def together(weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        examples = [each.view(*rows.shape, *each.shape[1:]) for each in landscape.take(rows.flatten())]
        slopes, losses = mapped(weights, *examples)
        return slopes, losses

    return together if batched else one_by_one
