"""Gradient descent: the numbers of PyTorch's optimisers, without what these load."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from dominoes.spec import TrainSpec
from dominoes.training.optimizers import Descent


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_steps_are_those_of_pytorch(optimizer: str, momentum: float, weight_decay: float) -> None:
    """Ten steps on random gradients leave the same parameters as torch.optim, bit for bit."""
    how = TrainSpec(optimizer=optimizer, momentum=momentum, weight_decay=weight_decay, lr=0.01)
    rng = torch.Generator().manual_seed(0)
    mine = [nn.Parameter(torch.randn(shape, generator=rng)) for shape in ((7,), (33, 65), (32, 3, 3, 3))]
    theirs = [nn.Parameter(each.detach().clone()) for each in mine]
    plain = (
        torch.optim.SGD(theirs, lr=0.01, momentum=momentum, weight_decay=weight_decay)
        if optimizer == "sgd"
        else torch.optim.Adam(theirs, lr=0.01, betas=(momentum, 0.999), weight_decay=weight_decay)
    )
    descent = Descent(mine, how)
    for _ in range(10):
        descent.zero_grad()
        assert all(each.grad is None for each in mine)
        for one, other in zip(mine, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=rng)
            other.grad = one.grad.clone()
        descent.step()
        plain.step()
    assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("shape", [(7,), (5, 13), (32, 3, 3, 3)])
def test_one_update_of_a_stack_is_each_runs_own(optimizer: str, shape: tuple[int, ...]) -> None:
    """The weights of seven runs in one tensor, changed at once, are after ten steps those that seven optimisers give, bit for bit,
    wherever in the tensor they lie: each number has its own arithmetic."""
    how = TrainSpec(optimizer=optimizer, momentum=0.9, weight_decay=0.01, lr=0.013)
    rng = torch.Generator().manual_seed(0)
    stack = nn.Parameter(torch.randn((7, *shape), generator=rng))
    single = [nn.Parameter(each.clone()) for each in stack.detach()]
    together, apart = Descent([stack], how), [Descent([each], how) for each in single]
    for step in range(10):
        gradient = torch.randn(stack.shape, generator=rng)
        for descent in (together, *apart):
            descent.factor = 1 / (1 + step)
        stack.grad = gradient
        for each, mine in zip(single, gradient, strict=True):
            each.grad = mine.clone()
        for descent in (together, *apart):
            descent.step()
    assert all(torch.equal(mine, each) for mine, each in zip(stack, single, strict=True))


def test_training_does_not_load_the_compiler() -> None:
    """A step on the CPU leaves torch._dynamo, a second of start-up and 140 MB, unloaded."""
    code = (
        "import sys, torch; from dominoes.training.optimizers import Descent; from dominoes.spec import TrainSpec\n"
        "for name in ('sgd', 'adam'):\n"
        "    weight = torch.nn.Parameter(torch.ones(3)); descent = Descent([weight], TrainSpec(optimizer=name))\n"
        "    weight.sum().backward(); descent.step(); descent.zero_grad()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
