"""Kernels of initial networks: against a linear network's closed form, and against training it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dominoes.errors import SpecError
from dominoes.spec import DominoSpec
from dominoes.yardstick import initial_kernel

LOOK = DominoSpec(top="digits", bottom="textures", n=10, prevalence=(1, 1))


def test_the_kernel_of_a_linear_network_is_the_inner_product_of_pictures() -> None:
    """f = W x with a bias: the gradients of one answer are x and 1, whatever the direction, times its length."""
    pictures = torch.randn(6, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 32, 10))
    flat = pictures.flatten(1).double().numpy()
    np.testing.assert_allclose(initial_kernel.kernel(network, pictures, 0), flat @ flat.T + 1, rtol=1e-4, atol=1e-2)


def test_a_network_that_changes_its_pictures_is_asked_about_the_same_ones_in_each_direction() -> None:
    """The pictures stay, and the kernel is that of the doubled pictures, as closed form."""

    class Doubling(nn.Sequential):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return super().forward(pictures.mul_(2))

    pictures = torch.randn(6, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    network = Doubling(nn.Flatten(), nn.Linear(3 * 64 * 32, 10))
    flat = 2 * pictures.flatten(1).double().numpy()
    np.testing.assert_allclose(initial_kernel.kernel(network, pictures, 0), flat @ flat.T + 1, rtol=1e-4, atol=1e-2)


def test_the_learned_share_is_that_of_gradient_descent() -> None:
    """Rates and weights give, at every time, the share of held-out labels that small steps of gradient descent on a linear model reach."""
    rng = np.random.default_rng(0)
    n, features, classes = 12, 40, 3
    x, held = rng.standard_normal((n, features)), rng.standard_normal((n, features)) * 0.3
    held[: n // 2] += x[: n // 2]
    labels = np.eye(classes)[rng.integers(classes, size=n)]
    labels -= labels.mean(axis=1, keepdims=True)
    both = np.concatenate([x, held])
    rates, weights = initial_kernel._spectrum(both @ both.T, labels, labels)
    w, step = np.zeros((features, classes)), 1e-3
    for count in range(1, 4001):
        w += step / n * x.T @ (labels - x @ w)
        if count in (100, 1000, 4000):
            reached = (labels * (held @ w)).sum() / (labels**2).sum()
            assert float(weights @ (1 - np.exp(-rates * step * count))) == pytest.approx(reached, abs=0.01)


@pytest.mark.slow
def test_both_sides_of_a_network_are_measured() -> None:
    """Digits over textures: rates fall, 40 digits teach something of others, the same seed gives the same, and mistakes are sentences."""
    found = initial_kernel.measure(LOOK, "mlp", n=40, seeds=1)
    assert set(found) == {"top", "bottom"}
    assert all((np.diff(each.rates) <= 0).all() for each in found.values())
    assert 0.05 < found["top"].weights.sum() < 1.2
    again = initial_kernel.measure(LOOK, "mlp", n=40, seeds=1)
    np.testing.assert_allclose(found["top"].weights, again["top"].weights)
    with pytest.raises(SpecError, match="expected at least 2 pictures"):
        initial_kernel.measure(LOOK, "mlp", n=1)
    with pytest.raises(SpecError, match="ask for fewer"):
        initial_kernel.measure(LOOK, "mlp", n=100_000)
