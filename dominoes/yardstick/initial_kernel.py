"""How soon a network would learn each side alone if it kept the kernel that it begins with: measured before any training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes.data import sources
from dominoes.data.dealing import Deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.sources import Source
from dominoes.errors import SpecError
from dominoes.spec import SIDES, DominoSpec, Split, stream
from dominoes.training import models

# Directions of the answers that the kernel is averaged over.
_DIRECTIONS = 2
# Smaller eigenvalues, in units of the largest, are rounding: what they carry is not learned in any time.
_LEAST = 1e-4


@dataclass(frozen=True)
class InitialKernel:
    """One side's kernel at initialisation: eigenvalues per picture, and what share of held-out labels is learned along each.

    Attributes:
        rates: (J,) λ_j / n in 1/step at learning rate 1, decreasing. weights: (J,) shares of held-out labels; they may be negative
            where a direction misleads, and add up to what is learned in the end.
    """

    rates: NDArray[np.float64]
    weights: NDArray[np.float64]


def measure(
    dataset: DominoSpec,
    model: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    n: int = 64,
    seeds: int = 2,
    data: Path | None = None,
    download: bool = False,
) -> dict[str, InitialKernel]:
    """Kernels of both sides of an untrained network.

    Gradient flow on ½ |f − y|² per picture with the kernel K of the initial network (Jacot, Gabriel and Hongler 2018, arXiv
    1806.07572) predicts of held-out pictures f(t) = K_st K_tt⁻¹ (I − e^(−K_tt t / n)) y. With K_tt = Σ λ_j u_j u_jᵀ and labels y
    centred over classes, the share of held-out labels that is learned is Σ_j w_j (1 − e^(−λ_j t / n)), with
    w_j = (y_sᵀ K_st u_j)(u_jᵀ y) / (λ_j |y_s|²). The kernel is that of one answer, the mean over random directions of the answers.

    Args:
        dataset: whose sources, transforms and places are meant; its counts do not matter.
        model, arguments: the network.
        n: pictures of the training split, and as many of the test split, of each side. seeds: initial networks, whose spectra are put
            together.
        data, download: as `sources.load_source` takes them.

    Raises SpecError: fewer pictures than n. SourceError, RegistryError.
    """
    if n < 2 or seeds < 1:
        raise SpecError(f"kernel of {n} pictures and {seeds} seeds: expected at least 2 pictures and one seed")
    fit, held = (sources.pair(dataset, split=split, data=data, download=download) for split in (Split.TRAIN, Split.TEST))
    found = {}
    for place, side in enumerate(SIDES):
        parts = []
        for seed in range(seeds):
            dominoes = [_alone(each[place], side, n, seed, dataset.swap) for each in (fit, held)]
            network = models.initial(model, len(fit[place].classes), seed, arguments).eval()
            pictures = torch.cat([each.compose(list(range(n)), normalize=True) for each in dominoes])
            labels = [torch.nn.functional.one_hot(each.targets, len(fit[place].classes)).double().numpy() for each in dominoes]
            parts.append(_spectrum(kernel(network, pictures, seed), *(each - each.mean(axis=1, keepdims=True) for each in labels)))
        rates, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.argsort(-rates, kind="stable")
        found[side] = InitialKernel(rates[order], weights[order] / seeds)
    return found


def _alone(source: Source, side: str, n: int, seed: int, swap: bool) -> Dominoes:
    if n > len(source.chosen):
        raise SpecError(f"kernel of {n} pictures: {source.name} has {len(source.chosen)}; ask for fewer")
    rows = np.random.default_rng(stream(seed, "kernel")).permutation(source.chosen)[:n]
    blank = np.full(n, -1, dtype=np.int64)
    label = source.labels[rows]
    table = Deal(
        label, {other: rows if other == side else blank for other in SIDES}, {other: label if other == side else blank for other in SIDES}
    )
    return Dominoes(table, source, source, swap=swap)


def kernel(network: nn.Module, pictures: Tensor, seed: int) -> NDArray[np.float64]:
    """(N, N) inner products of the gradients of one answer by the weights, the mean over random directions of the answers.

    Gradients of one direction lie in memory at once: N × (number of weights) × 4 bytes.
    """
    weights = [each for each in network.parameters() if each.requires_grad]
    total = torch.zeros(len(pictures), len(pictures), dtype=torch.float64)
    generator = torch.Generator().manual_seed(stream(seed, "kernel directions"))
    for _ in range(_DIRECTIONS):
        direction: Tensor | None = None
        rows = torch.empty(len(pictures), sum(each.numel() for each in weights))
        for number in range(len(pictures)):
            # A copy: a network may change what it is given, and each direction asks about the same pictures.
            answer = network(pictures[number : number + 1].clone())[0]
            if direction is None:
                direction = torch.randn(len(answer), generator=generator)
                direction /= direction.norm()
            parts = torch.autograd.grad(answer @ direction, weights, allow_unused=True)
            rows[number] = torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for g, w in zip(parts, weights, strict=True)])
        total += (rows @ rows.T).double()
    return np.asarray((total / _DIRECTIONS).numpy())


def _spectrum(
    whole: NDArray[np.float64], fit: NDArray[np.float64], held: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates and weights from the kernel of the fitted pictures followed by the held-out ones, and their centred labels (n, K)."""
    n = len(fit)
    values, vectors = np.linalg.eigh(whole[:n, :n])
    kept = values > _LEAST * values.max()
    values, vectors = values[kept], vectors[:, kept]
    across = held.T @ whole[n:, :n] @ vectors
    weights = (across * (fit.T @ vectors)).sum(axis=0) / (values * (held**2).sum())
    return values / n, weights
