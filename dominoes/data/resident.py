"""Pictures that hang on a device once and serve every run of the process, and dominoes composed of them by index."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor

from dominoes.data.dealing import Deal
from dominoes.data.locations import SIZE
from dominoes.data.sources import Source
from dominoes.spec import SIDES, Input

# Fixed, the same for both halves and for blanks: never computed from a composition, or prevalence would leak into the input.
MEAN, STD = 0.3, 0.3
# What is subtracted from pixels, and what they are divided by, in units of their range.
SCALES = {Input.STANDARD: (MEAN, STD), Input.UNIT: (0.0, 1.0)}
# Pairs of sources whose pictures stay on a device: the training and the test pictures of two datasets.
_MOST = 4
_hung: OrderedDict[tuple[str, str, torch.device], Tensor] = OrderedDict()


def resident(
    table: Deal, chosen: Mapping[str, Source], device: torch.device, *, swap: bool = False, scale: Input = Input.STANDARD
) -> Resident:
    """Dominoes of a table in the form that the device composes fastest; with `swap` the bottom half is above the top half."""
    return (Hung if device.type == "cuda" else Resident)(table, chosen, device, swap=swap, scale=scale)


def hang(chosen: Mapping[str, Source], device: torch.device) -> Tensor:
    """The pictures of both sides, all top ones first, and a blank one last, M×3×32×32 uint8 on the device; shared by all who ask."""
    top, bottom = (chosen[side] for side in SIDES)
    key = (top.digest, bottom.digest, device)
    if key not in _hung:
        parts = [torch.from_numpy(source.pictures).to(device).expand(-1, 3, -1, -1) for source in (top, bottom)]
        _hung[key] = torch.cat([*parts, torch.zeros_like(parts[0][:1])])
        if device.type == "cuda":
            # Other runs read it on streams of their own.
            torch.cuda.synchronize(device)
    _hung.move_to_end(key)
    while len(_hung) > _MOST:
        _hung.popitem(last=False)
    return _hung[key]


class Resident:
    """The pictures that some dominoes are made of, on one device; composes batches by index without leaving it."""

    def __init__(
        self,
        table: Deal,
        chosen: Mapping[str, Source],
        device: torch.device,
        *,
        swap: bool = False,
        scale: Input = Input.STANDARD,
    ):
        self.device = device
        self._mean, self._std = SCALES[scale]
        # Sides from the upper half of the picture to the lower.
        self._places = SIDES[::-1] if swap else SIDES
        # Copies: what others take over in place (`become`) is never the table itself.
        self.label = torch.tensor(table.label, device=device)
        self.shown = {side: torch.tensor(table.shown[side], device=device) for side in SIDES}
        self._index = {side: torch.from_numpy(table.index[side]).clamp(min=0).to(device) for side in SIDES}
        self._visible = {
            side: torch.from_numpy((table.index[side] >= 0).astype(np.uint8))[:, None, None, None].to(device) for side in SIDES
        }
        pictures = {id(chosen[side].pictures): torch.from_numpy(chosen[side].pictures).to(device) for side in SIDES}
        self._pictures = {side: pictures[id(chosen[side].pictures)] for side in SIDES}

    def compose(self, rows: Tensor, *, normalize: bool = True, channels_last: bool = False) -> Tensor:
        """A batch N×3×64×32, uint8 or normalised float32, in either order of memory."""
        batch = torch.empty((len(rows), 3, 2 * SIZE, SIZE), dtype=torch.uint8, device=self.device)
        for half, side in zip(torch.split(batch, SIZE, dim=2), self._places, strict=True):
            pictures = self._pictures[side].index_select(0, self._index[side].index_select(0, rows))
            half.copy_(pictures.mul_(self._visible[side].index_select(0, rows)))
        # Put in another order last: a plain copy of whole pictures is faster than one that also converts or repeats.
        batch = self._normalized(batch) if normalize else batch
        return batch.contiguous(memory_format=torch.channels_last) if channels_last else batch

    def half(self, rows: Tensor, place: int, *, channels_last: bool = False) -> Tensor:
        """The upper (`place` 0) or lower (1) halves of `compose`, normalised: N×3×32×32."""
        side = self._places[place]
        pictures = self._pictures[side].index_select(0, self._index[side].index_select(0, rows))
        found = self._normalized(pictures.mul_(self._visible[side].index_select(0, rows))).expand(-1, 3, -1, -1)
        return found.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def visible(self, rows: Tensor, place: int) -> Tensor:
        """Which of the upper (`place` 0) or lower (1) halves are not blank: N bool."""
        return self._visible[self._places[place]].view(-1).index_select(0, rows).bool()

    def become(self, other: Self) -> None:
        """Take over another's dominoes, as many and of the same pictures, in place: who knows these tensors finds them there."""
        self.label.copy_(other.label)
        for mine, its in ((self.shown, other.shown), (self._index, other._index), (self._visible, other._visible)):
            for side in SIDES:
                mine[side].copy_(its[side])

    def _normalized(self, pictures: Tensor) -> Tensor:
        return pictures.float().sub_(255 * self._mean).div_(255 * self._std)


class Hung(Resident):
    """Dominoes made of hung pictures: two gathers and one pass that puts the halves in place and normalises them.

    The plain `Resident` is its twin: uint8 dominoes are the same, normalised ones agree to one rounding.
    """

    def __init__(
        self,
        table: Deal,
        chosen: Mapping[str, Source],
        device: torch.device,
        *,
        swap: bool = False,
        scale: Input = Input.STANDARD,
    ):
        self.device = device
        mean, self._std = SCALES[scale]
        self.label = torch.tensor(table.label, device=device)
        self._hanging = hang(chosen, device)
        self._blank = blank = len(self._hanging) - 1
        first = {"top": 0, "bottom": len(chosen["top"].pictures)}
        places = [np.where(table.index[side] >= 0, table.index[side] + first[side], blank) for side in (SIDES[::-1] if swap else SIDES)]
        self._rows = torch.from_numpy(np.stack(places, axis=1)).to(device)
        self._zero = torch.tensor(-mean / self._std, device=device)

    def compose(self, rows: Tensor, *, normalize: bool = True, channels_last: bool = False) -> Tensor:
        """A batch N×3×64×32, uint8 or normalised float32, in either order of memory."""
        halves = self._hanging.index_select(0, self._rows.index_select(0, rows).view(-1))
        stacked = halves.view(-1, 2, 3, SIZE, SIZE).transpose(1, 2)
        order = torch.channels_last if channels_last else torch.contiguous_format
        kind = torch.float32 if normalize else torch.uint8
        batch = torch.empty((len(rows), 3, 2 * SIZE, SIZE), dtype=kind, device=self.device, memory_format=order)
        places = batch.view(-1, 3, 2, SIZE, SIZE)
        if normalize:
            torch.add(self._zero, stacked, alpha=1 / (255 * self._std), out=places)
        else:
            places.copy_(stacked)
        return batch

    def half(self, rows: Tensor, place: int, *, channels_last: bool = False) -> Tensor:
        """The upper (`place` 0) or lower (1) halves of `compose`, normalised: N×3×32×32."""
        pictures = self._hanging.index_select(0, self._rows[:, place].index_select(0, rows))
        found = torch.add(self._zero, pictures, alpha=1 / (255 * self._std))
        return found.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def visible(self, rows: Tensor, place: int) -> Tensor:
        """Which of the upper (`place` 0) or lower (1) halves are not blank: N bool."""
        return self._rows[:, place].index_select(0, rows) != self._blank

    def become(self, other: Self) -> None:
        """Take over another's dominoes, as many and of the same pictures, in place: who knows these tensors finds them there."""
        self.label.copy_(other.label)
        self._rows.copy_(other._rows)
