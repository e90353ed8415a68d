"""Layers that work by parts against their plain twins."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dominoes.training.layers import blockwise, conv_pool, norm

LAST = torch.channels_last


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, channels last."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).contiguous(memory_format=LAST)


def off(found: Tensor, exact: Tensor) -> float:
    """Largest error as a share of the largest value."""
    return float((found.double() - exact).abs().max() / exact.abs().max())


def pooled(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The plain twin of `conv_pool`, in the textbook's order."""
    return nn.functional.max_pool2d(torch.relu(conv(x)), 2)


@pytest.mark.parametrize("count", [1, 16, 37, 64])
def test_convolution_and_pooling_by_parts(count: int) -> None:
    """Values are those of the plain layers bit for bit, with gradients and without; gradients are as exact as theirs."""
    conv = nn.Conv2d(3, 32, 3)
    conv.weight.data, conv.bias.data = random(32, 3, 3, 3, seed=1), random(32, 1, 1, 1, seed=2).ravel()
    x = random(count, 3, 64, 32)
    x[:, :, 32:] = -1  # a blank half, where all four are equal
    towards = random(count, 32, 31, 15, seed=3)

    def results(layer: Callable[[Tensor, nn.Conv2d], Tensor], kind: torch.dtype) -> list[Tensor]:
        module = conv.to(kind)
        module.zero_grad()
        values = layer(x.to(kind), module)
        (values * towards.to(kind)).sum().backward()
        return [values.detach(), module.weight.grad.clone(), module.bias.grad.clone()]

    mine, plain, exact = results(conv_pool, torch.float32), results(pooled, torch.float32), results(pooled, torch.float64)
    conv.float()
    assert torch.equal(mine[0], plain[0])
    for one, other, true in zip(mine[1:], plain[1:], exact[1:], strict=True):
        assert off(one, true) <= max(2 * off(other, true), 1e-6)
    with torch.inference_mode():
        assert torch.equal(conv_pool(x, conv), mine[0])


def test_what_only_a_gradient_needs_is_not_made_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of four won, eight bytes a value, is kept for the whole batch in training only."""
    conv, x = nn.Conv2d(3, 32, 3), random(64, 3, 64, 32)
    plain, made = torch.empty_like, []

    def empty(values: Tensor, **options: Any) -> Tensor:
        made.append(len(values))
        return plain(values, **options)

    monkeypatch.setattr(torch, "empty_like", empty)
    conv_pool(x, conv)
    with torch.inference_mode():
        conv_pool(x, conv)
    assert made == [64, 0]


def test_a_linear_layer_of_blocks() -> None:
    """Values and all gradients are those of the layer on the features put together, in double precision; rows that nobody has, too."""
    weight, bias, towards = (
        random(7, 20, 1, 1).view(7, 20).clone(),
        random(7, 1, 1, 1, seed=1).ravel(),
        random(9, 7, 1, 1, seed=2).view(9, 7),
    )
    own, shared, other = (random(count, wide, 1, 1, seed=count).view(count, wide) for count, wide in ((9, 4), (3, 10), (5, 6)))
    of_shared, of_other = torch.tensor([0, 1, 2, 1, 1, 0, 2, 2, 1]), torch.tensor([4, 4, 0, 1, 1, 1, 2, 0, 4])
    leaves = [each.double().requires_grad_() for each in (weight, bias, own, shared, other)]
    w, b, x, y, z = leaves

    def gradients(values: Tensor) -> list[Tensor]:
        return [values.detach(), *torch.autograd.grad((values * towards.double()).sum(), leaves)]

    found = gradients(blockwise(w, b, [(x, slice(10, 14), None), (y, slice(0, 10), of_shared), (z, slice(14, 20), of_other)]))
    whole = torch.cat([y[of_shared], x, z[of_other]], 1)
    for one, true in zip(found, gradients(nn.functional.linear(whole, w, b)), strict=True):
        torch.testing.assert_close(one, true, rtol=1e-12, atol=1e-12)
    assert not found[-1][3].any()


def test_a_mean_over_all_batches_is_pytorchs() -> None:
    """Without a momentum the running statistics are means over all batches so far: the plain layer is called."""
    mine, plain = (nn.BatchNorm2d(4, momentum=None) for _ in range(2))
    for seed in range(3):
        x = random(5, 4, 6, 7, seed=seed)
        assert torch.equal(norm(x, mine, relu=False), plain(x))
    assert all(torch.equal(one, other) for one, other in zip(mine.buffers(), plain.buffers(), strict=True))


def test_pictures_that_need_a_gradient_get_it() -> None:
    """The way by parts has none for its input, so such pictures take the plain one."""
    conv = nn.Conv2d(3, 4, 3).to(memory_format=LAST)
    x = random(2, 3, 8, 8).requires_grad_()
    conv_pool(x, conv).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("count", "shift"), [(64, 0.0), (7, 3.0), (1, 0.5)])
def test_normalisation_by_parts(residual: bool, relu: bool, count: int, shift: float) -> None:
    """Values, running statistics and all gradients are those of nn.BatchNorm2d in double precision to 2e-6."""
    x, other, towards = random(count, 16, 64, 32) + shift, random(count, 16, 64, 32, seed=1), random(count, 16, 64, 32, seed=2)
    # None so near to zero that rounding decides whether ReLU lets it through.
    with torch.no_grad():
        plain = nn.BatchNorm2d(16).double()(x.double()) + other.double() * residual
        towards[plain.abs() < 1e-5] = 0

    def results(layer: Callable[..., Tensor], kind: torch.dtype) -> list[Tensor]:
        module = nn.BatchNorm2d(16).to(kind)
        mine, added = (each.detach().to(kind).requires_grad_() for each in (x, other))
        values = layer(mine, module, added if residual else None, relu=relu)
        values.backward(towards.to(kind))
        found = [values, module.running_mean, module.running_var, mine.grad, module.weight.grad, module.bias.grad]
        return [each.detach() for each in ([*found, added.grad] if residual else found)]

    def usual(mine: Tensor, module: nn.Module, added: Tensor | None, *, relu: bool) -> Tensor:
        values = module(mine) if added is None else module(mine) + added
        return torch.relu(values) if relu else values

    for one, true in zip(results(norm, torch.float32), results(usual, torch.float64), strict=True):
        assert off(one, true) < 2e-6


def test_normalisation_elsewhere_is_pytorchs() -> None:
    """Channels first, or in evaluation mode, the plain layers are called: bit for bit the same."""
    x = random(8, 16, 10, 6)
    module = nn.BatchNorm2d(16)
    module(x)
    for order, training in ((torch.contiguous_format, True), (LAST, False)):
        module.train(training)
        mine = x.contiguous(memory_format=order)
        state = {name: value.clone() for name, value in module.state_dict().items()}
        wanted = torch.relu(module(mine) + mine)
        module.load_state_dict(state)
        assert torch.equal(norm(mine, module, mine), wanted)
