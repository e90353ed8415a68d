"""Dominoes as PyTorch sees them: composed from resident uint8 pictures, on the device, when asked for."""

from __future__ import annotations

import operator
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
from dominoes.solver.composition import Composition
from dominoes.spec import KINDS, SIDES, DominoSpec


class Dominoes(torch.utils.data.Dataset[Any]):
    """A dataset of dominoes in torchvision's style.

    Item i is (picture, label): a tensor 3×64×32, float32 from 0 to 1 (as torchvision's `ToTensor` makes it, so that a DataLoader stacks
    it), or what `transform` makes of the PIL picture (32 wide, 64 high); and the class from 0 to K − 1, or what `target_transform` makes
    of it. With `item_metadata` a third part says the kind, and the class that each half shows (−1 where it is blank). A slice or list of
    numbers gives a list of items. `compose` gives whole batches and is what training uses.

    Attributes:
        spec: what it was dealt for; None if that is not known.
        composition: its exact counts; None if they are not known.
        deal: the table of rows.
        targets: N labels, int64.
        kinds: name of each domino's kind: top, bottom, both, empty.
        classes: names of the K labels, those of the two sources joined by / where they differ.
        swap: whether the top half is below the bottom half.
        data: all pictures, N×3×64×32 uint8, composed when first asked for (6 kB each).
    """

    def __init__(
        self,
        table: Deal,
        top: Source,
        bottom: Source,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        item_metadata: bool = False,
        swap: bool = False,
    ):
        self.spec: DominoSpec | None = None
        self.composition: Composition | None = None
        self.deal = table
        self.swap = swap
        self.sources = {"top": top, "bottom": bottom}
        self.transform = transform
        self.target_transform = target_transform
        self.item_metadata = item_metadata
        self.targets = torch.from_numpy(table.label)
        self.classes = [a if a == b else f"{a}/{b}" for a, b in zip(top.classes, bottom.classes, strict=True)]
        self._resident: dict[torch.device, Resident] = {}

    @classmethod
    def of(
        cls,
        dealt: Dealt,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        item_metadata: bool = False,
    ) -> Dominoes:
        """The dataset of a spec that was dealt (`dealing.deal_spec`) or read (`folder.read_dataset`)."""
        swap = dealt.spec.swap
        made = cls(dealt.deal, dealt.top, dealt.bottom, transform, target_transform, item_metadata=item_metadata, swap=swap)
        made.spec, made.composition = dealt.spec, dealt.composition
        return made

    def __repr__(self) -> str:
        names = {side: source.name for side, source in self.sources.items()}
        counts = {kind: int((self.deal.kind == number).sum()) for number, kind in enumerate(KINDS)}
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"<Dominoes: {len(self)} of {len(self.classes)} classes, {names['top']} over {names['bottom']} ({told})>"

    def __len__(self) -> int:
        return len(self.deal)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if isinstance(index, list | tuple | np.ndarray | Tensor) and np.ndim(index) == 1:
            numbers = np.asarray(index)
            # A mask: its truths are no numbers 1 and 0.
            return [self[number] for number in (np.flatnonzero(self._mask(numbers)) if numbers.dtype == bool else numbers)]
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no domino {index}; expected a number from 0 to {len(self) - 1} (or from the end, from -1 on)")
        index %= len(self)
        label = int(self.targets[index])
        target = self.target_transform(label) if self.target_transform else label
        if not self.item_metadata:
            return self._picture(index), target
        shown = {side: int(self.deal.shown[side][index]) for side in SIDES}
        return self._picture(index), target, {"kind": KINDS[int(self.deal.kind[index])], **shown}

    def _mask(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if len(chosen) != len(self):
            raise IndexError(f"a mask of {len(self)} dominoes has {len(self)} truths, got {len(chosen)}")
        return chosen

    def _picture(self, index: int) -> Any:
        picture = self.compose(torch.tensor([index]))[0]
        if self.transform is None:
            return picture.float().div(255)
        from PIL import Image

        return self.transform(Image.fromarray(picture.permute(1, 2, 0).numpy()))

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
