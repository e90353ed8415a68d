"""Augmentation: of the half that was asked for, in training alone, from a stream of its own."""

from typing import Any

import numpy as np
import pytest
import torch

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD
from dominoes.spec import RunSpec, TrainSpec
from dominoes.training.augmentations import augmentation, crop, flip
from dominoes.training.batches import Batches
from dominoes.training.loop import train

BLANK = -MEAN / STD


def asked(small: Dealt, swap: bool = False) -> tuple[torch.Tensor, Any]:
    """All dominoes, normalised, and what an augmentation is told of them."""
    dominoes = Dominoes.of(small)
    pictures = dominoes.compose(np.arange(len(dominoes)), normalize=True)
    return pictures, Batches(small.deal, torch.device("cpu"), swap=swap, blank=BLANK).of(torch.arange(len(dominoes)))


def generator() -> torch.Generator:
    """A new one."""
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("swap", [False, True])
def test_flip_mirrors_about_half_of_one_side(small: Dealt, swap: bool) -> None:
    """Each half is as it was or mirrored; the other side stays; a blank half stays blank."""
    before, batch = asked(small, swap)
    after = flip(before.clone(), batch, generator(), side="bottom")
    mine, other = batch.place["bottom"], batch.place["top"]
    assert mine == (slice(0, 32) if swap else slice(32, 64))
    assert torch.equal(before[:, :, other], after[:, :, other])
    mirrored = (after[:, :, mine] == before[:, :, mine].flip(3)).flatten(1).all(1)
    same = (after[:, :, mine] == before[:, :, mine]).flatten(1).all(1)
    assert (mirrored | same).all()
    assert 100 < (mirrored & ~same).sum() + (mirrored & same).sum() / 2 < 200


def test_crop_moves_by_whole_pixels_and_fills_with_blank(small: Dealt) -> None:
    """Every half is one of the (2·shift + 1)² windows of the padded one, about evenly; both sides by themselves."""
    before, batch = asked(small)
    after = crop(before.clone(), batch, generator(), side="both", shift=1)
    for side in ("top", "bottom"):
        shown = batch.shown[side] >= 0
        old, new = before[:, :, batch.place[side]], after[:, :, batch.place[side]]
        assert (new[~shown] == BLANK).all()
        padded = torch.nn.functional.pad(old, [1] * 4, value=BLANK)
        windows = [padded[:, :, y : y + 32, x : x + 32] for y in range(3) for x in range(3)]
        matches = torch.stack([(new == window).flatten(1).all(1) for window in windows])[:, shown]
        assert matches.any(0).all()
        assert (matches.sum(1) > shown.sum() / 30).all()


def test_augmentation_is_reproducible_and_of_training_alone(small: Dealt) -> None:
    """The same run is the same to the bit, in whatever state the global generator is; step 0 is measured on unchanged pictures; what is
    learned is changed."""
    tests = probes(small.spec, 40, 0)

    def run(seed: int = 0, **fields: Any) -> Any:
        torch.manual_seed(seed)
        how = TrainSpec(model="mlp", epochs=1, batch=32, measurements=2, probe=40, **fields)
        return train(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), tests).curves.set_index("step")["loss"]

    plain, first, again = run(), run(augment=["flip", "crop side=top shift=2"]), run(1, augment=["flip", "crop side=top shift=2"])
    assert first.equals(again)
    assert first[0].tolist() == plain[0].tolist()
    assert first[10].tolist() != plain[10].tolist()


def test_augmentations_follow_one_another(small: Dealt) -> None:
    """In the order of the spec; without any there is none."""
    pictures, batch = asked(small)
    change = augmentation(TrainSpec(augment=["flip share=1", "flip share=1"]), 0, torch.device("cpu"))
    assert change is not None
    assert torch.equal(change(pictures.clone(), batch), pictures)
    assert augmentation(TrainSpec(), 0, torch.device("cpu")) is None
