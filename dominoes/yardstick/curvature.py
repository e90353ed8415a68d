"""How far a Langevin chain may step: the largest curvature of a loss, and step size and localisation that follow from it.

The localised, tempered posterior has curvature nβ h + γ in a direction in which the loss has curvature h. A step ε is stable below
4 / (nβ λ_max + γ), and the walk forgets where it started, in directions in which the loss is flat, in 2 / (ε γ) steps. So ε is the share c
of the first bound, γ = nβ λ_max / κ, and 2 (κ + 1) / c steps are one time of relaxation: in these units checkpoints and networks of
different curvature are walked alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dominoes.errors import SpecError
from dominoes.spec import stream
from dominoes.yardstick.chains import Landscape

# Examples that the curvature is measured on at most, and those differentiated together.
_EXAMPLES, _TOGETHER = 2000, 500
_ITERATIONS, _TOLERANCE = 100, 1e-2
# Batches that the preconditioner's mean square gradient is taken over, and its floor, as a share of the gradients' root mean square.
_BATCHES, _FLOOR = 50, 0.1


@dataclass(frozen=True)
class Curvature:
    """The largest eigenvalue of a Hessian, how many products it took, and whether it stood still by then."""

    value: float
    iterations: int
    converged: bool


def largest(landscape: Landscape, weights: Tensor, *, seed: int = 0, preconditioner: Tensor | None = None) -> Curvature:
    """λ_max of the Hessian of the mean loss at these weights, d numbers, by power iteration on Hessian-vector products.

    With a preconditioner P of √P H √P. On the first 2,000 of an order of the examples by the seed's stream `curvature`. Power iteration
    finds the eigenvalue of largest size; if that is negative, it is subtracted and the search repeated, so that the largest is found.
    """
    generator = torch.Generator().manual_seed(stream(seed, "curvature"))
    rows = torch.randperm(landscape.n, generator=generator)[:_EXAMPLES].to(weights.device)
    start = torch.randn(weights.shape, generator=generator, dtype=weights.dtype).to(weights.device)
    scale = torch.ones_like(weights) if preconditioner is None else preconditioner.sqrt()

    def product(vector: Tensor) -> Tensor:
        total = torch.zeros_like(weights)
        for part in torch.split(rows, _TOGETHER):
            at = weights.detach().requires_grad_()
            (slope,) = torch.autograd.grad(landscape.of(at, part).sum(), at, create_graph=True)
            # A loss that is linear in some weights has no second derivative there.
            if slope.requires_grad:
                (more,) = torch.autograd.grad(slope @ (scale * vector), at, allow_unused=True)
                total += 0 if more is None else more
        return scale * total / len(rows)

    first = _power(product, start, 0.0)
    if first.value >= 0 or not first.converged:
        return first
    lowest = first.value
    second = _power(lambda vector: product(vector) - lowest * vector, start, lowest)
    return Curvature(second.value, first.iterations + second.iterations, second.converged)


def _power(product: Callable[[Tensor], Tensor], vector: Tensor, shift: float) -> Curvature:
    value = math.inf
    for iteration in range(1, _ITERATIONS + 1):
        vector = vector / vector.norm()
        image = product(vector)
        before, value = value, float(vector @ image)
        if (abs(value - before) <= _TOLERANCE * abs(value) and iteration > 2) or not image.any():
            return Curvature(value + shift, iteration, True)
        vector = image
    return Curvature(value + shift, _ITERATIONS, False)


def step_size(nbeta: float, largest_curvature: float, gamma: float, share: float) -> float:
    """ε = c / (nβ λ_max + γ). A saddle's negative λ_max counts as none."""
    return share / (nbeta * max(largest_curvature, 0.0) + gamma)


def localisation(nbeta: float, largest_curvature: float, kappa: float) -> float:
    """γ = nβ λ_max / κ: the loss holds the stiffest direction κ times as fast as γ does. Raises SpecError if λ_max is not above 0."""
    if largest_curvature <= 0:
        raise SpecError(f"the largest curvature of the loss is {largest_curvature:g}, so κ gives no localisation; pass --gamma instead")
    return nbeta * largest_curvature / kappa


def preconditioner(landscape: Landscape, weights: Tensor, batch: int, *, seed: int = 0) -> Tensor:
    """The diagonal of RMSProp at these weights, d numbers from 0 to 1: inverse root mean square gradients of batches, over the largest.

    Gradients below a tenth of their root mean square over all weights count as that, or dead units would be walked without bound.
    """
    generator = torch.Generator().manual_seed(stream(seed, "preconditioner"))
    square = torch.zeros_like(weights)
    for _ in range(_BATCHES):
        rows = torch.randint(landscape.n, (min(batch, landscape.n),), generator=generator).to(weights.device)
        at = weights.detach().requires_grad_()
        (slope,) = torch.autograd.grad(landscape.of(at, rows).mean(), at)
        square += slope.square() / _BATCHES
    floor = _FLOOR * square.mean().sqrt()
    # Where no gradient is anywhere, all weights are alike.
    return torch.ones_like(weights) if floor == 0 else floor / torch.maximum(square.sqrt(), floor)
