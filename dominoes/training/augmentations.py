"""Augmentation: dominoes that are changed at random each time they are trained on, on the device. Nothing that is measured is changed.

An augmentation is a callable (pictures, batch, generator, **arguments): N×3×64×32 normalised pictures, of which it may use the memory, a
`Batch`, and a generator on the device, from which all that is random must come. It gives pictures of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from dominoes import registry
from dominoes.arguments import called
from dominoes.errors import RunError, SpecError
from dominoes.spec import SIDES, TrainSpec, stream
from dominoes.training.batches import Batch

Augmentation = Callable[..., Tensor]


def flip(pictures: Tensor, batch: Batch, generator: torch.Generator, side: str = "bottom", share: float = 0.5) -> Tensor:
    """Left and right change places in a random share of the halves of one side, or of `both` sides, each by itself."""
    for half in _halves(pictures, batch, side):
        chosen = torch.rand((len(pictures), 1, 1, 1), generator=generator, device=pictures.device) < share
        half.copy_(torch.where(chosen, half.flip(3), half))
    return pictures


def crop(pictures: Tensor, batch: Batch, generator: torch.Generator, side: str = "bottom", shift: int = 4) -> Tensor:
    """The halves of one side, or of `both`, are moved by −shift to shift pixels in both directions; what comes in is blank."""
    for half in _halves(pictures, batch, side):
        height, width = half.shape[2:]
        padded = nn.functional.pad(half, [shift] * 4, value=batch.blank)
        move = torch.randint(2 * shift + 1, (2, len(half), 1), generator=generator, device=half.device)
        rows, columns = (torch.arange(size, device=half.device) + by for size, by in zip((height, width), move, strict=True))
        which = torch.arange(len(half), device=half.device)[:, None, None]
        # Indices apart from the slice between them: the channels come last.
        half.copy_(padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2))
    return pictures


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip, "crop": crop}


def _halves(pictures: Tensor, batch: Batch, side: str) -> list[Tensor]:
    if side not in (*SIDES, "both"):
        raise SpecError(f"augmentation side={side}: expected top, bottom or both")
    return [pictures[:, :, batch.place[each]] for each in (SIDES if side == "both" else (side,))]


def augmentation(how: TrainSpec, seed: int, device: torch.device) -> Callable[[Tensor, Batch], Tensor] | None:
    """All augmentations of a run, one after the other, with their random numbers from the stream `augment`; None if there are none.

    Raises RegistryError.
    """
    generator = torch.Generator(device).manual_seed(stream(seed, "augment"))
    chosen: Sequence[Callable[[Tensor, Batch, torch.Generator], Tensor]] = [_one(text) for text in how.augment]

    def change(pictures: Tensor, batch: Batch) -> Tensor:
        shape = pictures.shape
        for text, each in zip(how.augment, chosen, strict=True):
            pictures = each(pictures, batch, generator)
            if pictures.shape != shape:
                raise RunError(f"augmentation {text} makes {tuple(pictures.shape)} of {tuple(shape)}; expected pictures of the same shape")
        return pictures

    return change if chosen else None


def _one(text: str) -> Callable[[Tensor, Batch, torch.Generator], Tensor]:
    name, arguments = called(text)
    entry = registry.find("augmentations", name)
    function = entry.load()
    registry.check_call(function, entry.said, ("pictures", "batch", "generator"), arguments)
    return partial(function, **arguments)
