"""Networks for 3×64×32 pictures: plain modules, and one table from name to constructor.

A constructor takes the number of classes. A class attribute `channels_last = True` says that the network computes faster, and as
reproducibly, with pictures stored channels last on a CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dominoes.spec import Model
from dominoes.training.layers import conv_pool, norm


class Detector(nn.Module):
    """One convolution (32 filters 3×3), max-pooling, 128 hidden units: the smallest network that learns both halves."""

    channels_last = True

    def __init__(self, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3)
        # A linear layer of all that there is. Kept as a filter of full size its weights follow the order of memory that the network is
        # put into, and no picture needs to be put into another one.
        self.hidden = nn.Conv2d(32, 128, (31, 15))
        self.out = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.hidden.weight
        last = weight.is_contiguous(memory_format=torch.channels_last)
        x = conv_pool(x, self.conv)
        if last:
            x, weight = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
        return self.out(torch.relu(nn.functional.linear(x.flatten(1), weight.flatten(1), self.hidden.bias)))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Two hidden layers of 256 units on the flattened picture: no notion of place."""

    def __init__(self, classes: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 64 * 32, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class _Shortcut(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        conv, after = self
        return norm(conv(x), after, relu=False)


class _Block(nn.Module):
    """Basic residual block of He et al. 2015 (arXiv 1512.03385), with a 1×1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = _Shortcut(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return norm(self.conv2(norm(self.conv1(x), self.norm1)), self.norm2, self.shortcut(x))


class _Mean(nn.Module):
    """Mean over the picture; unlike adaptive pooling its gradient on CUDA is deterministic."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class ResNet8(nn.Module):
    """Small residual network: 16, 32, 64 channels, two blocks each, batch normalisation."""

    channels_last = True

    def __init__(self, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(
            _Block(16, 16, 1), _Block(16, 16, 1), _Block(16, 32, 2), _Block(32, 32, 1), _Block(32, 64, 2), _Block(64, 64, 1), _Mean()
        )
        self.out = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks(norm(self.conv(x), self.norm)).flatten(1))  # type: ignore[no-any-return]


def folded(network: nn.Module) -> nn.Module:
    """The network for evaluation only, with each batch normalisation folded into the convolution before it: the same function but for
    rounding, with less to compute. A network without batch normalisation comes back as it is, in evaluation mode."""
    network.eval()
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        # All networks here register a normalisation right after the convolution whose answer it takes.
        for (name, first), (after, second) in pairwise(list(module.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(first, second))
                setattr(module, after, nn.Identity())
    return network


def resnet18(classes: int) -> nn.Module:
    """torchvision's ResNet-18 with the stem that is usual for 32-pixel pictures (3×3, no pooling) and a deterministic mean."""
    from torchvision.models import resnet18 as published

    network: nn.Module = published(num_classes=classes)
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    network.avgpool = _Mean()
    return network


MODELS: dict[Model, Callable[[int], nn.Module]] = {
    Model.DETECTOR: Detector,
    Model.MLP: MLP,
    Model.RESNET8: ResNet8,
    Model.RESNET18: resnet18,
}
