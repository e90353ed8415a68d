"""Layers that take a batch a few pictures at a time, so that what passes between their steps stays in the processor's cache.

They are for float32 pictures stored channels last on a CPU; for all others each function here is its plain twin, the same layers one
after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

# Values of a layer at a time: 2 MB, which stay in a processor's cache until the next step has read them.
_PART = 2**19
# The same before pooling: the halves of a batch of 64 in one part, 26 whole pictures.
_WIDE = 3 * 2**19
# Features of some pictures, M×c; which c columns of the weights are theirs; for each of N pictures its row among them (None: N rows, each
# picture's own).
Block = tuple[Tensor, slice, Tensor | None]
_POOL: tuple[list[int], ...] = ([2, 2], [2, 2], [0, 0], [1, 1])


_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_layers() -> Iterator[None]:
    """Inside, every function here is its plain twin, which `torch.func.vmap` can carry through."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def is_last(values: Tensor) -> bool:
    """Whether channels come last in memory; not asked where layers are plain, since a batched tensor cannot tell."""
    return not _plain.get() and values.is_contiguous(memory_format=torch.channels_last)


def conv_pool(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """ReLU of 2×2 max-pooling of a 3×3 convolution without padding: N×C×H×W to N×F×(H−2)/2×(W−2)/2.

    The same values as the plain layers, bit for bit; gradients differ by rounding, since sums over a batch add up those of its parts.
    """
    if _by_parts(x) and not x.requires_grad:
        found: Tensor = _ConvPool.apply(x, conv.weight, conv.bias, torch.is_grad_enabled())
        return found
    return torch.relu(nn.functional.max_pool2d(conv(x), 2))


def blockwise(weight: Tensor, bias: Tensor | None, blocks: Sequence[Block]) -> Tensor:
    """A linear layer of N pictures whose features come in blocks, of which several pictures may share a row: N×O.

    The same as `nn.functional.linear` of the features put together but for the order of sums; what pictures share is multiplied once, and
    the gradient of the weights is written once, block after block.

    Args:
        weight: O×C, all blocks together make up the C columns.
        bias: O.
        blocks: of the features.
    """
    values, columns, numbers = zip(*blocks, strict=True)
    found: Tensor = _Blockwise.apply(weight, columns, numbers, *values)
    return found if bias is None else found + bias


def norm(x: Tensor, module: nn.Module, residual: Tensor | None = None, *, relu: bool = True) -> Tensor:
    """Batch normalisation, then if given plus `residual`, then ReLU; x is overwritten where `module` is not a normalisation.

    PyTorch's own normalisation adds up a whole batch in one float32 sum where channels come last on a CPU: its mean is wrong in the fifth
    digit. Here sums are made of 2,000 to 4,000 numbers, and these added: the sixth digit and better, as with channels first.
    """
    if isinstance(module, nn.BatchNorm2d) and module.training and module.momentum is not None and _by_parts(x):
        found: Tensor = _Norm.apply(x, residual, module.weight, module.bias, module, relu)
        return found
    x = module(x)
    x = x if residual is None else x.add_(residual)
    return x.relu_() if relu else x


def _by_parts(x: Tensor) -> bool:
    usual = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return usual and is_last(x)


class _Norm(torch.autograd.Function):
    """Batch normalisation in training, plus a residual, then ReLU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, module: nn.BatchNorm2d, relu: bool) -> Tensor:
        wide = _wide(x)
        # Of each column; columns that are of one channel are then taken together.
        means, variances = (each.view(-1, x.shape[1]) for each in torch.ops.aten.batch_norm_update_stats(wide, None, None, 0.0))
        mean = means.mean(0)
        variance = (variances + (means - mean).square_()).mean(0)
        count = x.numel() // x.shape[1]
        assert module.momentum is not None
        if module.running_mean is not None and module.running_var is not None and module.num_batches_tracked is not None:
            module.running_mean.lerp_(mean, module.momentum)
            module.running_var.lerp_(variance * (count / max(count - 1, 1)), module.momentum)
            module.num_batches_tracked.add_(1)
        out, empty = torch.empty_like(x), x.new_empty(0)
        for rows in _parts(len(x), x[0].numel()):
            settings = (weight, bias, mean, variance, False, 0.0, module.eps)
            torch.ops.aten.native_batch_norm.out(x[rows], *settings, out=out[rows], save_mean=empty, save_invstd=empty)
            if residual is not None:
                out[rows].add_(residual[rows])
            if relu:
                out[rows].relu_()
        ctx.save_for_backward(x, weight, mean, (variance + module.eps).rsqrt_(), out)
        ctx.relu, ctx.added = relu, residual is not None
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, out = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        repeats = x.shape[3]
        means, scales = mean.repeat(repeats), scale.repeat(repeats)
        to_x = torch.empty_like(x)
        # Of the sum before ReLU; where no residual needs it, it becomes the gradient of x where it lies.
        to_sum = gradient if not ctx.relu else torch.empty_like(x) if ctx.added else to_x
        to_weight, to_bias = torch.zeros_like(means), torch.zeros_like(means)
        for rows in _parts(len(x), x[0].numel()):
            if ctx.relu:
                torch.ops.aten.threshold_backward.grad_input(gradient[rows], out[rows], 0, grad_input=to_sum[rows])
            settings = (None, None, None, means, scales, True, 0.0, [False, True, True])
            _, more_weight, more_bias = torch.ops.aten.native_batch_norm_backward(_wide(to_sum[rows]), _wide(x[rows]), *settings)
            to_weight += more_weight
            to_bias += more_bias
        to_weight, to_bias = (each.view(repeats, -1).sum(0) for each in (to_weight, to_bias))
        # What remains is a·gradient + b·x + c with three numbers a channel.
        count = x.numel() // x.shape[1]
        a = weight * scale
        b = -a * scale * to_weight / count
        c = -a * to_bias / count - b * mean
        a, b, c = (each.repeat(repeats) for each in (a, b, c))
        for rows in _parts(len(x), x[0].numel()):
            mine = _lines(to_x[rows])
            torch.addcmul(c, _lines(to_sum[rows]), a, out=mine)
            mine.addcmul_(_lines(x[rows]), b)
        return to_x, to_sum if ctx.added else None, to_weight, to_bias, None, None


def _lines(x: Tensor) -> Tensor:
    """N×C×H×W, channels last, as a matrix of N·H lines with W·C columns: the same memory."""
    return x.permute(0, 2, 3, 1).view(len(x) * x.shape[2], -1)


def _wide(x: Tensor) -> Tensor:
    """The same as a single picture with a channel for each column."""
    lines = _lines(x)
    return lines.view(1, len(lines), 1, -1).permute(0, 3, 1, 2)


class _ConvPool(torch.autograd.Function):
    """ReLU of 2×2 max-pooling of a convolution, for channels-last pictures that need no gradient, on a CPU, a few at a time.

    The map between the layers is four times as large as what comes out. Kept for the gradient is only which of four won, and it is made
    again in a buffer that is used over and over. Sums over a batch add up parts, so gradients differ from PyTorch's by rounding.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, learning: bool) -> Tensor:
        height, width = (x.shape[2] - 2) // 2, (x.shape[3] - 2) // 2
        out = torch.empty((len(x), len(weight), height, width), memory_format=torch.channels_last)
        parts = _wide_parts(len(x), 4 * out[0].numel())
        winners = torch.empty_like(out if learning else out[:0], dtype=torch.int64)
        for rows in parts:
            wide = nn.functional.conv2d(x[rows], weight, bias)
            if learning:
                torch.ops.aten.max_pool2d_with_indices.out(wide, *_POOL, False, out=out[rows], indices=winners[rows])
            else:
                # Which of four is the largest is nobody's business here, and to note it takes twice as long as to find it.
                _largest_of_four(wide, out[rows])
            out[rows].relu_()
        ctx.save_for_backward(x, weight, out, winners)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        x, weight, out, winners = ctx.saved_tensors
        parts = _wide_parts(len(x), 4 * out[0].numel())
        shape = (max(part.stop - part.start for part in parts), len(weight), x.shape[2] - 2, x.shape[3] - 2)
        wide = torch.empty(shape, memory_format=torch.channels_last)
        to_weight, to_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        for rows in parts:
            narrow = torch.ops.aten.threshold_backward(gradients[0][rows], out[rows], 0)
            mine = wide[: len(narrow)]
            # Of the layer's input it only looks at the shape.
            torch.ops.aten.max_pool2d_with_indices_backward.grad_input(narrow, mine, *_POOL, False, winners[rows], grad_input=mine)
            sizes = ([len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
            _, more_weight, more_bias = torch.ops.aten.convolution_backward(mine, x[rows], weight, *sizes, [False, True, True])
            to_weight += more_weight
            to_bias += more_bias
        return None, to_weight, to_bias, None


class _Blockwise(torch.autograd.Function):
    """A linear layer of blocks of columns."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, columns: Sequence[slice], numbers: Sequence[Tensor | None], *values: Tensor) -> Tensor:
        found: Tensor | None = None
        for mine, block, of in zip(values, columns, numbers, strict=True):
            share = mine @ weight[:, block].t()
            share = share if of is None else share.index_select(0, of)
            found = share if found is None else found.add_(share)
        ctx.save_for_backward(weight, *values)
        ctx.columns, ctx.numbers = columns, numbers
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *values = ctx.saved_tensors
        gradient = gradients[0]
        to_weight = torch.empty_like(weight)
        to_values: list[Tensor | None] = []
        for number, (mine, block, of) in enumerate(zip(values, ctx.columns, ctx.numbers, strict=True)):
            # Pictures that share a row add up what they have for it.
            share = gradient if of is None else gradient.new_zeros(len(mine), gradient.shape[1]).index_add_(0, of, gradient)
            torch.mm(share.t(), mine, out=to_weight[:, block])
            to_values.append(share @ weight[:, block] if ctx.needs_input_grad[3 + number] else None)
        return to_weight, None, None, *to_values


def _largest_of_four(x: Tensor, out: Tensor) -> None:
    """2×2 max-pooling, N×C×H×W to N×C×H/2×W/2, channels last both."""
    lines = x.permute(0, 2, 3, 1)[:, : 2 * out.shape[2], : 2 * out.shape[3]]
    higher = torch.maximum(lines[:, ::2], lines[:, 1::2])
    torch.maximum(higher[:, :, ::2], higher[:, :, 1::2], out=out.permute(0, 2, 3, 1))


def _parts(count: int, values: int) -> list[slice]:
    """A batch of pictures with so many values each, by parts."""
    step = max(_PART // values, 1)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _wide_parts(count: int, values: int) -> list[slice]:
    """The same for the map before pooling, by parts that are about equal."""
    parts = -(-count // max(_WIDE // values, 1))
    ends = [count * number // parts for number in range(parts + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]
