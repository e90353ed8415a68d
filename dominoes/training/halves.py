"""What a network makes of a half is computed once, however many dominoes show that half.

The probes show the same pictures in several kinds of dominoes, and blank halves are all alike. A network whose first layers look at one
half at a time can be asked for each half once and then only join what it has of two halves: the same answers but for the order of sums.
In training the blank halves of a batch, a third of all where prevalences are .65, are one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes.data.dealing import Deal
from dominoes.data.resident import Resident
from dominoes.errors import SpecError
from dominoes.spec import SIDES

# Places of the halves in a picture.
UPPER, LOWER = 0, 1
# Joining is little work a domino, so that many are taken at a time.
_JOINED = 512


class ByHalves(Protocol):
    """What a network (a `torch.nn.Module` in evaluation mode) has whose record says `halves`.

    For N upper halves u and N lower halves l of dominoes x, ``of_halves(of_half(u, 0), of_half(l, 1))`` is ``forward(x)`` but for rounding.
    """

    def of_half(self, pictures: Tensor, place: int) -> tuple[Tensor, ...]:
        """What the first layers make of halves, N×3×32×32, that are the upper (`place` 0) or lower (1) part of a picture: one tensor or
        several, N rows each. Each row follows from its own half alone."""

    def of_halves(self, upper: tuple[Tensor, ...], lower: tuple[Tensor, ...]) -> Tensor:
        """N×classes answers, before the softmax, of what `of_half` gave for N upper and N lower halves."""


#: M distinct halves, M×3×32×32, and for each of N dominoes the number of its own among them.
Distinct = tuple[Tensor, Tensor]


class ByDistinctHalves(Protocol):
    """What a network has, in training mode, whose record says `distinct`."""

    def of_distinct(self, upper: Distinct, lower: Distinct) -> Tensor:
        """N×classes answers, before the softmax: those of ``forward`` to the whole pictures but for rounding, and so are gradients."""


def distinct(resident: Resident, rows: Tensor, place: int, *, channels_last: bool) -> Distinct:
    """The halves of N dominoes on a CPU in one place, the blank ones, which are all alike, once and last."""
    visible = resident.visible(rows, place)
    shown, blank = visible.nonzero().view(-1), (~visible).nonzero().view(-1)[:1]
    numbers = torch.full((len(rows),), len(shown)).index_copy_(0, shown, torch.arange(len(shown)))
    return resident.half(rows.index_select(0, torch.cat([shown, blank])), place, channels_last=channels_last), numbers


@dataclass(frozen=True)
class Halves:
    """The distinct halves of some dominoes.

    Attributes:
        rows: for each place a domino of the table that shows each distinct half, on the device.
        numbers: for each place the number among these of each domino's half, on the device.
    """

    rows: tuple[Tensor, Tensor]
    numbers: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, table: Deal, rows: NDArray[np.int64], device: torch.device, *, swap: bool) -> Halves:
        """Those of some rows of a table; with `swap` the top half is the lower one."""
        found = []
        for side in SIDES[::-1] if swap else SIDES:
            _, first, numbers = np.unique(table.index[side][rows], return_index=True, return_inverse=True)
            found.append((torch.from_numpy(rows[first]).to(device), torch.from_numpy(numbers.ravel()).to(device)))
        (upper, of_upper), (lower, of_lower) = found
        return cls((upper, lower), (of_upper, of_lower))


def answers(network: ByHalves, resident: Resident, halves: Halves, size: int, *, channels_last: bool) -> Tensor:
    """Answers to the dominoes that `halves` was made of, rows × classes; `size` halves are looked at together."""
    known = [_known(network, resident, halves.rows[place], place, size, channels_last) for place in (UPPER, LOWER)]
    found: Tensor | None = None
    count = len(halves.numbers[0])
    for start in range(0, count, _JOINED):
        part = slice(start, min(start + _JOINED, count))
        pair = [tuple(each.index_select(0, halves.numbers[place][part]) for each in known[place]) for place in (UPPER, LOWER)]
        mine = network.of_halves(*pair)
        found = mine.new_empty((count, mine.shape[1])) if found is None else found
        found[part] = mine
    assert found is not None
    return found


def _known(network: ByHalves, resident: Resident, rows: Tensor, place: int, size: int, channels_last: bool) -> tuple[Tensor, ...]:
    kept: tuple[Tensor, ...] = ()
    for start in range(0, len(rows), size):
        mine = network.of_half(resident.half(rows[start : start + size], place, channels_last=channels_last), place)
        # In blocks that are there before the loop goes on: small tensors between large ones that are freed would split the heap.
        kept = kept or tuple(each.new_empty((len(rows), *each.shape[1:])) for each in mine)
        for block, each in zip(kept, mine, strict=True):
            block[start : start + size] = each
    return kept


def check_halves(network: nn.Module, said: str) -> None:
    """Raise SpecError if a network whose record says `halves` cannot be asked so, or answers otherwise than to whole pictures."""
    missing = [name for name in ("of_half", "of_halves") if not callable(getattr(network, name, None))]
    if missing:
        raise SpecError(
            f"{said} says that it knows halves apart but has no method {' and '.join(missing)}; expected of_half(pictures, place) and "
            "of_halves(upper, lower), or halves=False"
        )
    pictures = torch.linspace(-1, 1, 2 * 3 * 64 * 32).view(2, 3, 64, 32).sin()
    with torch.no_grad():
        whole = network.eval()(pictures)
        apart = network.of_halves(network.of_half(pictures[:, :, :32], UPPER), network.of_half(pictures[:, :, 32:], LOWER))  # type: ignore[operator]
    if apart.shape != whole.shape or not torch.allclose(apart, whole, rtol=1e-3, atol=1e-4):
        raise SpecError(f"{said} answers otherwise by halves than to whole pictures; expected the same but for rounding, or halves=False")


def check_distinct(network: nn.Module, said: str) -> None:
    """Raise SpecError if a network whose record says `distinct` cannot be asked so, or learns otherwise than from whole pictures."""
    if not callable(getattr(network, "of_distinct", None)):
        raise SpecError(
            f"{said} says that it takes distinct halves but has no method of_distinct; expected of_distinct(upper, lower), or "
            "distinct=False"
        )
    halves = torch.linspace(-1, 1, 2 * 2 * 3 * 32 * 32).view(2, 2, 3, 32, 32).sin()
    numbers = torch.tensor([0, 1, 1]), torch.tensor([1, 0, 1])
    whole = torch.cat([halves[place].index_select(0, numbers[place]) for place in (UPPER, LOWER)], 2)
    tried = copy.deepcopy(network).train()
    weights = tuple(tried.parameters())
    found = []
    for answers in (tried(whole), tried.of_distinct(*zip(halves, numbers, strict=True))):  # type: ignore[operator]
        found.append([answers, *torch.autograd.grad(answers.square().sum(), weights, allow_unused=True, materialize_grads=True)])
    if any(one.shape != other.shape or not torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in zip(*found, strict=True)):
        raise SpecError(f"{said} learns otherwise from distinct halves than from whole pictures; expected the same, or distinct=False")
