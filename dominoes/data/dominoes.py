"""Dominoes as PyTorch sees them: composed from resident uint8 pictures, on the device, when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dominoes.data import sources
from dominoes.data.dealing import Deal, Dealt, deal
from dominoes.data.readers import SIZE
from dominoes.data.sources import Source
from dominoes.errors import SourceError, SpecError
from dominoes.solver.composition import solve
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import KINDS, PROBES, SIDES, DominoSpec, Split

# Fixed, the same for both halves and for blanks: never computed from a composition, or prevalence would leak into the input.
MEAN, STD = 0.3, 0.3

_PREVALENCE = {"top": (1.0, 0.0), "bottom": (0.0, 1.0), "both": (1.0, 1.0), "conflict": (1.0, 1.0), "empty": (0.0, 0.0)}


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


class Resident:
    """The pictures that some dominoes are made of, on one device; composes batches by index without leaving it."""

    def __init__(self, table: Deal, chosen: Mapping[str, Source], device: torch.device, *, swap: bool = False):
        self.device = device
        # Sides from the upper half of the picture to the lower.
        self._places = SIDES[::-1] if swap else SIDES
        self.label = torch.from_numpy(table.label).to(device)
        self.shown = {side: torch.from_numpy(table.shown[side]).to(device) for side in SIDES}
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
        if normalize:
            batch = batch.float().sub_(255 * MEAN).div_(255 * STD)
        # Put in another order last: a plain copy of whole pictures is faster than one that also converts or repeats.
        return batch.contiguous(memory_format=torch.channels_last) if channels_last else batch


def probes(spec: DominoSpec, n: int, seed: int, *, data: Path | None = None, download: bool = False) -> dict[str, Dominoes]:
    """The fixed test sets, one of each kind in `spec.PROBES`, n dominoes each, balanced labels, every shown half right.

    In `conflict` both halves are shown, of two different classes, and the label is the top's class. The pictures come from the
    test split and depend on the sources, n and the seed alone; kinds that show one side show the same pictures of it.

    Raises SpecError if the test stock is too small for n or is what `spec` trains on, SourceError if a source's splits differ in classes.
    """
    if spec.split is Split.TEST:
        raise SpecError("split test: the probes are test pictures, and what is trained on must not be; train on split train")
    top, bottom = sources.pair(spec, split=Split.TEST, data=data, download=download)
    for name, test in ((spec.top, top), (spec.bottom, bottom)):
        known = sources.original(name, Split.TRAIN, data=data, download=download)
        if len(known.classes) != len(test.classes):
            raise SourceError(
                f"{name} has {len(known.classes)} classes in its train and {len(test.classes)} in its test split; expected the same"
            )
    stock = Stock(top.stock, bottom.stock, shared=spec.shared)
    requests = {
        kind: spec.look.model_copy(
            update={
                "n": n,
                "prevalence": _PREVALENCE[kind],
                "reliability": (1.0, 0.0 if kind == "conflict" else 1.0),
                "split": Split.TEST,
                "seed": seed,
            }
        )
        for kind in PROBES
        if kind != "conflict" or stock.classes > 1
    }
    most = min(limit for request in requests.values() if (limit := capacity(request, stock)) is not None)
    if n > most:
        raise SpecError(
            f"probe {n}: the test splits of {spec.top} and {spec.bottom} have pictures for {most} dominoes of each kind; "
            f"use --probe {most} at most"
        )
    return {kind: Dominoes(deal(solve(request, stock), top, bottom), top, bottom, swap=spec.swap) for kind, request in requests.items()}
