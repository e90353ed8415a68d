"""A network, an optimiser, a schedule, a loss, an augmentation and a callback."""

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """The mean colour of four strips of the picture, a layer of `width` units with dropout, the classes."""

    def __init__(self, classes: int, width: int = 16, dropout: float = 0.0):
        super().__init__()
        self.hidden = nn.Linear(12, width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        strips = x.unflatten(2, (4, -1)).mean((3, 4)).flatten(1)
        return self.out(self.dropout(torch.relu(self.hidden(strips))))


class SignDescent(torch.optim.Optimizer):
    """Steps of one size in the direction of each gradient's sign."""

    def __init__(self, params, lr=0.001, shrink=0.0):
        super().__init__(params, {"lr": lr, "shrink": shrink})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for each in group["params"]:
                if each.grad is not None:
                    each.mul_(1 - group["shrink"]).add_(each.grad.sign(), alpha=-group["lr"])


def halving(step: int, steps: int, times: int = 4) -> float:
    """Half the rate after each of `times` equal parts of training."""
    return 0.5 ** (times * step // steps)


def brier(logits: Tensor, batch, weight: float = 1.0) -> Tensor:
    """Squared distance between the softmax and the label, one number a domino."""
    wanted = nn.functional.one_hot(batch.label, logits.shape[1])
    return weight * (logits.softmax(1) - wanted).square().sum(1)


def dim(pictures: Tensor, batch, generator: torch.Generator, by: float = 0.5) -> Tensor:
    """Each domino is darkened towards blank by a random share of at most `by`."""
    share = by * torch.rand((len(pictures), 1, 1, 1), generator=generator, device=pictures.device)
    return pictures + share * (batch.blank - pictures)


seen = []


def norms(step: int, network: nn.Module, rows) -> None:
    """Keep the size of the weights at each measurement."""
    seen.append((step, sum(float(each.detach().square().sum()) for each in network.parameters())))


def last_faster(network: nn.Module):
    """The last layer learns ten times as fast."""
    *rest, weight, bias = network.parameters()
    return [{"params": rest}, {"params": [weight, bias], "lr": 0.01}]
