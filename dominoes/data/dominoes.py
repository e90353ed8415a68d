"""Dominoes as PyTorch sees them: composed from resident uint8 pictures, on the device, when asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dominoes.data.dealing import Deal, Dealt
from dominoes.data.resident import Resident
from dominoes.data.sources import Source
from dominoes.spec import KINDS


class Dominoes(torch.utils.data.Dataset[tuple[Any, int]]):
    """A dataset of dominoes in torchvision's style.

    Item i is (picture, label): a PIL picture 32 wide and 64 high, or what `transform` makes of it, and the class from 0 to K − 1.
    `compose` gives whole batches and is what training uses.

    Attributes:
        deal: the table of rows.
        targets: N labels, int64.
        kinds: name of each domino's kind: top, bottom, both, empty.
        classes: names of the K labels, those of the two sources joined by / where they differ.
        swap: whether the top half is below the bottom half.
        data: all pictures, N×3×64×32 uint8, composed when first asked for (6 kB each).
    """

    def __init__(self, table: Deal, top: Source, bottom: Source, transform: Callable[[Any], Any] | None = None, *, swap: bool = False):
        self.deal = table
        self.swap = swap
        self.sources = {"top": top, "bottom": bottom}
        self.transform = transform
        self.targets = torch.from_numpy(table.label)
        self.classes = [a if a == b else f"{a}/{b}" for a, b in zip(top.classes, bottom.classes, strict=True)]
        self._resident: dict[torch.device, Resident] = {}

    @classmethod
    def of(cls, dealt: Dealt, transform: Callable[[Any], Any] | None = None) -> Dominoes:
        """The dataset of a spec that was dealt (`deal.make`) or read (`folder.read`)."""
        return cls(dealt.deal, dealt.top, dealt.bottom, transform, swap=dealt.spec.swap)

    def __len__(self) -> int:
        return len(self.deal)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        if not -len(self) <= index < len(self):
            raise IndexError(f"domino {index} of {len(self)}")
        picture = self.compose(torch.tensor([index % len(self)]))[0]
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        return (self.transform(image) if self.transform else image), int(self.targets[index])

    @property
    def kinds(self) -> list[str]:
        """Kind of each domino."""
        return [KINDS[number] for number in self.deal.kind]

    @cached_property
    def data(self) -> Tensor:
        """All dominoes, N×3×64×32 uint8, on the CPU."""
        return self.compose(torch.arange(len(self)))

    def compose(
        self, indices: Tensor | NDArray[np.int64] | list[int], device: torch.device | str = "cpu", *, normalize: bool = False
    ) -> Tensor:
        """Dominoes by number, as a batch on `device`.

        Args:
            indices: N whole numbers.
            device: where the pictures are kept (uint8, moved once) and the batch is made.
            normalize: give float32, (pixel/255 − MEAN)/STD, instead of uint8.

        Returns N×3×64×32. A blank half is 0 before normalisation.
        """
        where = torch.device(device)
        if where not in self._resident:
            self._resident[where] = Resident(self.deal, self.sources, where, swap=self.swap)
        return self._resident[where].compose(torch.as_tensor(indices, device=where), normalize=normalize)
