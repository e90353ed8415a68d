"""What a loss and an augmentation are told of the dominoes of a step, besides their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dominoes.data.dealing import Deal
from dominoes.data.locations import SIZE
from dominoes.spec import SIDES


@dataclass(frozen=True)
class Batch:
    """N dominoes; all tensors are on the device of their pictures.

    Attributes:
        index: N numbers of the dominoes in the dataset, int64.
        label: N labels, int64.
        kind: N numbers of the kind, in the order top, bottom, both, empty (`spec.KINDS`), int64.
        shown: for each side N classes shown, −1 where it is blank, int64.
        place: for each side the rows of the picture that it takes.
        blank: value of a blank pixel, as the network gets it.
    """

    index: Tensor
    label: Tensor
    kind: Tensor
    shown: Mapping[str, Tensor]
    place: Mapping[str, slice]
    blank: float


class Batches:
    """Makes a `Batch` of the dominoes of some rows of a table."""

    def __init__(self, table: Deal, device: torch.device, *, swap: bool, blank: float):
        self._label = torch.from_numpy(table.label).to(device)
        self._kind = torch.from_numpy(table.kind).to(device=device, dtype=torch.int64)
        self._shown = {side: torch.from_numpy(table.shown[side]).to(device) for side in SIDES}
        self._place = {side: slice(SIZE * number, SIZE * (number + 1)) for number, side in enumerate(SIDES[::-1] if swap else SIDES)}
        self._blank = blank

    def of(self, rows: Tensor) -> Batch:
        """The dominoes of N rows, given by their numbers on the device."""
        shown = {side: values.index_select(0, rows) for side, values in self._shown.items()}
        return Batch(rows, self._label.index_select(0, rows), self._kind.index_select(0, rows), shown, self._place, self._blank)
