"""Networks for 3×64×32 pictures: plain modules, and one table from name to record.

A network is brought as a callable (classes, **model_args) that gives a module: N×3×64×32 pictures to N×classes answers before the
softmax. Nothing more is taken for granted of it. Who can say more of it brings a `Network` instead.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dominoes import registry
from dominoes.errors import RegistryError, SpecError
from dominoes.spec import stream
from dominoes.training import halves
from dominoes.training.halves import UPPER, Distinct
from dominoes.training.layers import blockwise, conv_pool, is_last, norm


@dataclass(frozen=True)
class Network:
    """A network and the faster ways of computing it that are known to be right. Each is off unless its record says otherwise.

    Attributes:
        build: callable (classes, **model_args) that gives the module.
        channels_last: it computes faster, and as reproducibly, with pictures stored channels last on a CPU.
        folds: each batch normalisation that is registered right after a convolution takes that one's answer, and nothing else does: the
            two may be measured as one (`folded`).
        static: each step is the same work: every weight gets a gradient, nothing is drawn at random, nothing depends on the values. It
            may be recorded as a CUDA graph, and the optimisers' short forms do for it.
        halves: in evaluation mode it says apart what its first layers make of each half (`halves.ByHalves`), so that a half that several
            measured dominoes show is computed once.
        distinct: in training too it answers dominoes whose distinct halves it is given (`halves.ByDistinctHalves`), so that on a CPU the
            blank halves of a batch are computed once.
    """

    build: Callable[..., nn.Module]
    channels_last: bool = False
    folds: bool = False
    static: bool = False
    halves: bool = False
    distinct: bool = False


class Detector(nn.Module):
    """One convolution (32 filters 3×3), max-pooling, 128 hidden units: the smallest network that learns both halves."""

    def __init__(self, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3)
        # A linear layer of all that there is. Kept as a filter of full size its weights follow the order of memory that the network is
        # put into, and no picture needs to be put into another one.
        self.hidden = nn.Conv2d(32, 128, (31, 15))
        self.out = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self._hidden(conv_pool(x, self.conv), slice(None), self.hidden.bias)))  # type: ignore[no-any-return]

    def _hidden(self, x: Tensor, rows: slice, bias: Tensor | None = None) -> Tensor:
        """The share of the hidden layer that some rows of the pooled map have: N×32×rows×15 to N×128."""
        weight = self.hidden.weight[:, :, rows]
        if is_last(self.hidden.weight):
            x, weight = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
        return nn.functional.linear(x.flatten(1), weight.flatten(1), bias)

    def of_half(self, pictures: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """Of a half 15 of the 31 pooled rows see nothing else: their share of the hidden layer; and the two rows at the seam."""
        rows, seam = (slice(0, 15), slice(30, 32)) if place == UPPER else (slice(16, 31), slice(0, 2))
        return self._hidden(conv_pool(pictures, self.conv), rows), pictures[:, :, seam]

    def of_halves(self, upper: tuple[Tensor, ...], lower: tuple[Tensor, ...]) -> Tensor:
        """The pooled row of the seam, which sees two rows of either half, and all that comes after the sum."""
        at_seam = self._hidden(self._at_seam(upper[1], lower[1]), slice(15, 16), self.hidden.bias)
        return self.out(torch.relu(at_seam + upper[0] + lower[0]))  # type: ignore[no-any-return]

    def of_distinct(self, upper: Distinct, lower: Distinct) -> Tensor:
        """The same as `forward` of the whole, each half once: rows of the pooled map that see one half are multiplied for that half."""
        (above, of_above), (below, of_below) = upper, lower
        seam = self._at_seam(above[:, :, 30:].index_select(0, of_above), below[:, :, :2].index_select(0, of_below))
        blocks = [
            (_lines(each), slice(480 * start, 480 * end), numbers)
            for each, start, end, numbers in (
                (seam, 15, 16, None),
                (conv_pool(above, self.conv), 0, 15, of_above),
                (conv_pool(below, self.conv), 16, 31, of_below),
            )
        ]
        return self.out(torch.relu(blockwise(_lines(self.hidden.weight), self.hidden.bias, blocks)))  # type: ignore[no-any-return]

    def _at_seam(self, above: Tensor, below: Tensor) -> Tensor:
        """The pooled row that sees the last two rows of an upper and the first two of a lower half: N×32×1×15."""
        order = torch.channels_last if is_last(self.conv.weight) else torch.contiguous_format
        return conv_pool(torch.cat([above, below], 2).contiguous(memory_format=order), self.conv)


class MLP(nn.Module):
    """Two hidden layers of `width` units each on the flattened picture: no notion of place."""

    def __init__(self, classes: int, width: int = 256):
        super().__init__()
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise SpecError(f"width {width!r}: expected a whole number of units in a layer of the MLP, at least 1")
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 64 * 32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]

    def of_half(self, pictures: Tensor, place: int) -> tuple[Tensor]:
        """Its share of the first layer, without the bias."""
        weight = cast(nn.Linear, self.layers[1]).weight.view(-1, 3, 2, 32 * 32)[:, :, place].flatten(1)
        return (nn.functional.linear(pictures.flatten(1), weight),)

    def of_halves(self, upper: tuple[Tensor, ...], lower: tuple[Tensor, ...]) -> Tensor:
        """The layers after the sum of both shares."""
        x = upper[0] + lower[0] + cast(nn.Linear, self.layers[1]).bias
        return self.layers[2:](x)  # type: ignore[no-any-return]


def _lines(maps: Tensor) -> Tensor:
    """A line for each of N maps, row after row and channels innermost; the same memory where channels are last."""
    return maps.permute(0, 2, 3, 1).flatten(1)


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
    rounding, with less to compute. Only for networks whose record says that it is (`Network.folds`). One without batch normalisation
    comes back as it is, in evaluation mode."""
    network.eval()
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    network = copy.deepcopy(network)
    for module in list(network.modules()):
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


MODELS: dict[str, Network] = {
    "detector": Network(Detector, channels_last=True, static=True, halves=True, distinct=True),
    "mlp": Network(MLP, static=True, halves=True),
    "resnet8": Network(ResNet8, channels_last=True, folds=True, static=True),
    "resnet18": Network(resnet18, folds=True, static=True),
}


def chosen(model: str) -> Network:
    """The record of a network by its name. Raises RegistryError."""
    found = registry.find("models", model).load()
    return found if isinstance(found, Network) else Network(found)


def initial(model: str, classes: int, seed: int, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A new network on the CPU whose weights follow from the seed; the global random state is put back.

    Raises RegistryError, or SpecError if what was brought cannot be made with these arguments, or gives no N×classes answers.
    """
    entry = registry.find("models", model)
    network, arguments = chosen(model), arguments or {}
    registry.check_call(network.build, entry.said, ("classes",), arguments)
    with torch.random.fork_rng(devices=[]):
        # The CPU's generator alone: `torch.manual_seed` would set those of every device, and nobody put them back.
        torch.default_generator.manual_seed(stream(seed, "init"))
        if entry.origin == registry.BUILT_IN and not arguments:
            return network.build(classes)
        return _tried(network, entry.said, classes, arguments)


def _tried(network: Network, said: str, classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """A network from outside, or one with arguments, after a look at what it answers to two blank pictures. Layers whose size was open
    have one after that."""
    given = "".join(f", {name}={value!r}" for name, value in arguments.items())
    try:
        made: Any = network.build(classes, **arguments)
        if not isinstance(made, nn.Module):
            raise RegistryError(f"{said} makes {type(made).__name__} of ({classes}{given}); expected a torch.nn.Module")
        with torch.no_grad():
            answers: Any = made.eval()(torch.zeros(2, 3, 64, 32))
    except (RegistryError, SpecError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise SpecError(f"{said} with ({classes}{given}) cannot answer for 3×64×32 pictures ({type(error).__name__}: {reason})") from error
    if not isinstance(answers, Tensor) or answers.shape != (2, classes):
        got = f"a tensor of shape {tuple(answers.shape)}" if isinstance(answers, Tensor) else type(answers).__name__
        raise SpecError(
            f"{said} with ({classes}{given}) answers {got} to 2 pictures; expected one of shape (2, {classes}), before the softmax"
        )
    if network.halves:
        halves.check_halves(made, said)
    if network.distinct:
        halves.check_distinct(made, said)
    return made.train()
