"""Things that a user might bring, named in tests as `brought:NAME`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dominoes.dials import DialRange, Pictures
from dominoes.training.models import Network


class PreActivation(nn.Module):
    """A residual network whose normalisations stand before the convolutions (He et al. 2016, arXiv 1603.05027). Registered as here, each
    normalisation follows a convolution whose answer it does not take."""

    def __init__(self, classes: int, width: int = 8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W to N×classes."""
        x = self.stem(x)
        x = x + self.conv1(torch.relu(self.norm1(x)))
        x = x + self.conv2(torch.relu(self.norm2(x)))
        return self.out(x.mean((2, 3)))  # type: ignore[no-any-return]


class Nowhere(nn.Linear):
    """Answers that are no numbers."""

    def __init__(self, classes: int):
        super().__init__(6144, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×64×32 to N×classes."""
        return super().forward(x.flatten(1)) * float("nan")


class Transformer(nn.Module):
    """Patches of 8×8 pixels, one encoder layer with layer normalisation and dropout, their mean."""

    def __init__(self, classes: int, width: int = 16, dropout: float = 0.1):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.place = nn.Parameter(torch.zeros(32, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×64×32 to N×classes."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.place
        return self.out(self.norm(self.layer(tokens)).mean(1))  # type: ignore[no-any-return]


class Noisy(nn.Module):
    """Draws random numbers in evaluation too, as Monte-Carlo dropout does; and has a layer whose size is found by itself."""

    def __init__(self, classes: int, share: float = 0.5):
        super().__init__()
        self.share = share
        self.out = nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W to N×classes."""
        return self.out(nn.functional.dropout(x.flatten(1)[:, ::16], self.share))  # type: ignore[no-any-return]


class Idle(nn.Module):
    """A layer that is never used, and one that is not trained."""

    def __init__(self, classes: int):
        super().__init__()
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Linear(96, 8)
        self.frozen.weight.requires_grad_(False)
        self.out = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W to N×classes."""
        return self.out(torch.relu(self.frozen(x.mean(2).flatten(1))))  # type: ignore[no-any-return]


def wrong(classes: int, how: str = "shape") -> nn.Module:
    """Networks that are none."""
    if how == "module":
        return 3  # type: ignore[return-value]
    return nn.Sequential(nn.Flatten(), nn.Linear(6144, classes + 1) if how == "shape" else nn.Linear(5, classes))


#: Says of itself what is known of the built-in one.
FAST = Network(lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(6144, classes)), static=True)


def heads(network: nn.Module) -> list[dict[str, Any]]:
    """The last layer learns ten times as fast as the rest."""
    last = list(network.children())[-1]
    mine = {id(each) for each in last.parameters()}
    return [{"params": [each for each in network.parameters() if id(each) not in mine]}, {"params": list(last.parameters()), "lr": 0.1}]


def label_only(logits: Tensor, batch: Any) -> Tensor:
    """Cross-entropy, one number a domino, by hand."""
    return -logits.log_softmax(1).gather(1, batch.label[:, None])[:, 0]


def checked(logits: Tensor, batch: Any) -> Tensor:
    """Cross-entropy, after a look at what is told of the dominoes: a kind is which halves are shown."""
    top, bottom = (batch.shown[side] >= 0 for side in ("top", "bottom"))
    kind = torch.where(top & bottom, 2, torch.where(top, 0, torch.where(bottom, 1, 3)))
    assert torch.equal(kind, batch.kind)
    return label_only(logits, batch).mean()


def matrix(logits: Tensor, batch: Any) -> Tensor:
    """No loss."""
    return logits


def lbfgs(parameters: Any, lr: float) -> torch.optim.Optimizer:
    """An optimiser whose step needs a closure."""
    return torch.optim.LBFGS(parameters, lr=lr)


def disturbing(step: int, network: nn.Module, rows: Any) -> None:
    """A callback that spoils all that it can reach."""
    assert not network.training
    assert {row["step"] for row in rows} == {step}
    torch.manual_seed(0)
    torch.rand(7)
    network(torch.randn(2, 3, 64, 32)).sum().backward()
    for each in network.parameters():
        each.data.zero_()
    network.train()
    rows[0]["loss"] = 0.0


def failing(step: int, network: nn.Module, rows: Any) -> None:
    """A callback with a mistake."""
    raise KeyError("missing")


def _cut(pictures: Pictures) -> Pictures:
    """Pictures of another size."""
    return pictures[:, :, :5]


def _half(pictures: Pictures) -> np.ndarray:
    """Numbers that are no bytes."""
    return pictures * 0.5


#: Dials with a fault.
cut = DialRange("a share", 0, 0, 1, lambda value, side, rng: _cut, open_high=True)
half = DialRange("a share", 0, 0, 1, lambda value, side, rng: _half, open_high=True)  # type: ignore[arg-type, return-value]
