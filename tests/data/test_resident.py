"""Pictures that hang on a device: the same dominoes as those of the plain composer, from pictures that all runs share."""

import numpy as np
import pytest
import torch

from dominoes.data import dealing, resident, sources
from dominoes.data.dealing import Dealt
from dominoes.data.resident import Hung, Resident
from dominoes.spec import DominoSpec, Split

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _bare() -> None:
    """No pictures hang before a test."""
    resident._hung.clear()


def chosen(dealt: Dealt) -> dict[str, sources.Source]:
    """Sources by side."""
    return {"top": dealt.top, "bottom": dealt.bottom}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_it_composes_what_the_plain_composer_does(small: Dealt, channels_last: bool, swap: bool) -> None:
    """Gray over colour, all kinds, in any order, place and with repetitions: uint8 to the bit, normalised to one rounding of a number
    near 1."""
    plain, hung = (form(small.deal, chosen(small), CPU, swap=swap) for form in (Resident, Hung))
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, len(small.deal), 500))
    assert torch.equal(
        plain.compose(rows, normalize=False, channels_last=channels_last), hung.compose(rows, normalize=False, channels_last=channels_last)
    )
    found, expected = (each.compose(rows, channels_last=channels_last) for each in (hung, plain))
    assert found.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max()) <= 2.5e-7
    assert torch.equal(plain.label, hung.label)


def test_one_source_on_both_sides() -> None:
    """A half shows the picture of its own index, whichever side it is on."""
    dealt = dealing.deal_spec(DominoSpec(n=40, prevalence=(0.7, 0.6), top="digits", bottom="digits"))
    rows = torch.arange(40)
    plain, hung = Resident(dealt.deal, chosen(dealt), CPU), Hung(dealt.deal, chosen(dealt), CPU)
    assert torch.equal(plain.compose(rows, normalize=False), hung.compose(rows, normalize=False))


def test_pictures_are_there_once_and_not_for_ever(small: Dealt) -> None:
    """Two datasets of the same pictures share them; after four further pairs the oldest leave."""
    first, again = (Hung(small.deal, chosen(small), CPU) for _ in range(2))
    other = dealing.deal_spec(DominoSpec(n=20, prevalence=(0.5, 0.5), top="digits", bottom="textures", seed=9))
    assert first._hanging is again._hanging is Hung(other.deal, chosen(other), CPU)._hanging
    assert len(resident._hung) == 1
    for split in Split:
        for top in ("digits", "textures"):
            for bottom in ("digits", "textures"):
                loaded = [sources.load_source(name, split) for name in (top, bottom)]
                resident.hang(dict(zip(("top", "bottom"), loaded, strict=True)), CPU)
    assert len(resident._hung) == resident._MOST
    assert first._hanging is not resident.hang(chosen(small), CPU)


def test_the_device_decides_on_the_composer(small: Dealt) -> None:
    """A CPU keeps the mapped pictures where they are; they hang on CUDA only."""
    assert type(resident.resident(small.deal, chosen(small), CPU)) is Resident
    assert not resident._hung
