"""Dominoes as a PyTorch dataset, batches against pictures put together by hand, and the probes."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from dominoes.data.dealing import Dealt, deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD, Resident
from dominoes.errors import SourceError, SpecError
from dominoes.spec import PROBES, DominoSpec


def by_hand(dealt: Dealt, row: int) -> np.ndarray:
    """One domino, put together with nothing but indexing."""
    picture = np.zeros((3, 64, 32), dtype=np.uint8)
    for half, source, side in ((slice(0, 32), dealt.top, "top"), (slice(32, 64), dealt.bottom, "bottom")):
        number = dealt.deal.index[side][row]
        if number >= 0:
            for channel in range(3):
                picture[channel, half] = source.pictures[number][channel if source.pictures.shape[1] == 3 else 0]
    return picture


def test_batches_are_the_pictures_put_together_by_hand(small: Dealt) -> None:
    """Every domino of every kind equals top above bottom, blanks 0, one channel repeated; the stored pictures stay as they are."""
    dominoes = Dominoes.of(small)
    wanted = np.stack([by_hand(small, row) for row in range(300)])
    assert np.array_equal(dominoes.data.numpy(), wanted)
    assert np.array_equal(dominoes.compose([5, 3, 5]).numpy(), wanted[[5, 3, 5]])
    assert np.array_equal(dominoes.compose(np.array([299])).numpy(), wanted[[299]])
    assert np.array_equal(np.stack([by_hand(small, row) for row in range(300)]), wanted)


def test_normalisation_is_one_constant_for_both_halves_and_blanks(small: Dealt) -> None:
    """A normalised batch is (pixel/255 − MEAN)/STD everywhere, in either memory order."""
    dominoes = Dominoes.of(small)
    wanted = (dominoes.data.double() / 255 - MEAN) / STD
    assert torch.allclose(dominoes.compose(torch.arange(300), normalize=True).double(), wanted, atol=1e-5)
    resident = Resident(small.deal, dominoes.sources, torch.device("cpu"))
    last = resident.compose(torch.arange(300), channels_last=True)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, resident.compose(torch.arange(300)))


def test_it_is_a_torch_dataset_in_torchvisions_style(small: Dealt) -> None:
    """Transforms get (PIL picture, label), targets and classes are there, a DataLoader takes it."""
    from torchvision.transforms.functional import pil_to_tensor

    dominoes = Dominoes.of(small, transform=lambda picture: picture)
    assert isinstance(dominoes, torch.utils.data.Dataset)
    picture, label = dominoes[7]
    assert picture.size == (32, 64)
    assert label == int(dominoes.targets[7]) == small.deal.label[7]
    assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), by_hand(small, 7))
    assert dominoes.classes[1] == "1/texture 1"
    assert dominoes[-1][1] == int(dominoes.targets[299])
    with pytest.raises(IndexError, match="there is no domino 300; expected a number from 0 to 299"):
        dominoes[300]
    assert [label for _, label in dominoes[dominoes.targets == 3]] == [3] * int((dominoes.targets == 3).sum())
    assert [label for _, label in dominoes[[5, -1]]] == [dominoes[5][1], dominoes[299][1]]
    with pytest.raises(IndexError, match="a mask of 300 dominoes has 300 truths, got 2"):
        dominoes[[True, False]]
    for wrong in ("first", 1.5, [0.5]):
        with pytest.raises(TypeError):
            dominoes[wrong]
    batches = list(torch.utils.data.DataLoader(Dominoes.of(small, pil_to_tensor), batch_size=64))
    assert torch.equal(torch.cat([x for x, _ in batches]), dominoes.data)
    assert torch.equal(torch.cat([y for _, y in batches]), dominoes.targets)
    assert len(pickle.loads(pickle.dumps(Dominoes.of(small)))) == 300
    assert dominoes.kinds[3] in ("top", "bottom", "both", "empty")


def test_probes_are_balanced_fixed_and_of_one_kind_each() -> None:
    """Five kinds, n each, labels balanced, halves right, conflicts of two different classes, the same for the same seed."""
    spec = DominoSpec(prevalence=(0.3, 0.9), top="digits", bottom="textures")
    found = probes(spec, 340, 5)
    assert list(found) == list(PROBES)
    for kind, probe in found.items():
        table = probe.deal
        assert np.bincount(table.label).tolist() == [34] * 10
        for side in ("top", "bottom"):
            shown = kind in (side, "both", "conflict")
            assert ((table.index[side] >= 0) == shown).all()
            if shown and not (kind == "conflict" and side == "bottom"):
                assert (table.shown[side] == table.label).all()
    conflict = found["conflict"].deal
    assert (conflict.shown["bottom"] != conflict.label).all()
    assert np.bincount(conflict.shown["bottom"]).tolist() == [34] * 10
    again = probes(DominoSpec(prevalence=(0.9, 0.1), reliability=(0.5, 1), top="digits", bottom="textures", seed=9), 340, 5)
    for kind in PROBES:
        assert np.array_equal(found[kind].deal.index["top"], again[kind].deal.index["top"])
        assert np.array_equal(found[kind].deal.index["bottom"], again[kind].deal.index["bottom"])
    assert not np.array_equal(probes(spec, 340, 6)["top"].deal.index["top"], found["top"].deal.index["top"])


def test_kinds_that_show_a_side_show_the_same_pictures_of_it() -> None:
    """top, both and conflict share their top pictures, bottom, both and conflict their bottom pictures."""
    found = probes(DominoSpec(prevalence=(1, 1), top="digits", bottom="textures"), 200, 0)
    for side in ("top", "bottom"):
        pictures = [set(found[kind].deal.index[side].tolist()) for kind in (side, "both", "conflict")]
        assert pictures[0] == pictures[1] == pictures[2]


def test_probes_come_from_the_test_split() -> None:
    """No picture of a probe is a training picture."""
    spec = DominoSpec(n="max", prevalence=(1, 1), top="digits", bottom="textures")
    train = {picture.tobytes() for picture in deal_spec(spec).top.pictures}
    test = probes(spec, 100, 0)["top"]
    assert not any(test.sources["top"].pictures[number].tobytes() in train for number in test.deal.index["top"])


def test_a_probe_larger_than_the_test_stock_is_refused() -> None:
    """The largest possible probe is named, and it works."""
    spec = DominoSpec(prevalence=(1, 1), top="digits", bottom="textures")
    with pytest.raises(SpecError, match=r"probe 341: the test splits of digits and textures have .* use --probe 340 at most"):
        probes(spec, 341, 0)


def test_test_pictures_are_not_trained_on() -> None:
    """A dataset of the test split has no probes: they would be what was trained on."""
    with pytest.raises(SpecError, match="split test: the probes are test pictures"):
        probes(DominoSpec(prevalence=(1, 1), top="digits", bottom="textures", split="test"), 10, 0)


def test_splits_with_different_classes_are_refused(tmp_path: Path) -> None:
    """A class that one split of a source does not have cannot be tested."""
    x = np.zeros((9, 32, 32), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(9) % 3, x_test=x, y_test=np.arange(9) % 2)
    with pytest.raises(SourceError, match="has 3 classes in its train and 2 in its test split"):
        probes(DominoSpec(prevalence=(1, 1), top=str(tmp_path / "a.npz"), bottom=str(tmp_path / "a.npz")), 2, 0)


def test_one_source_in_two_spellings_is_one_stock(tmp_path: Path) -> None:
    """a.npz and ./a.npz are the same pictures: none is used on both sides."""
    x = np.random.default_rng(0).integers(0, 255, (40, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(40) % 2)
    dealt = deal_spec(
        DominoSpec(prevalence=(1, 1), top=str(tmp_path / "a.npz"), bottom=str(tmp_path / "." / ".." / tmp_path.name / "a.npz"))
    )
    assert dealt.composition.n == 20
    assert not set(dealt.deal.index["top"]) & set(dealt.deal.index["bottom"])


def test_items_without_a_transform_go_into_a_plain_loader(small: Dealt) -> None:
    """The default collation stacks float pictures from 0 to 1, labels, kinds and classes shown; slices and lists give lists of items."""
    dominoes = Dominoes.of(small, target_transform=lambda label: 9 - label, item_metadata=True)
    pictures, targets, shown = next(iter(torch.utils.data.DataLoader(dominoes, batch_size=300)))
    assert torch.equal((pictures * 255).round().to(torch.uint8), dominoes.data)
    assert torch.equal(9 - targets, dominoes.targets)
    assert shown["kind"] == dominoes.kinds
    for side in ("top", "bottom"):
        assert shown[side].tolist() == small.deal.shown[side].tolist()
    assert [item[1] for item in dominoes[2:5]] == [item[1] for item in dominoes[[2, 3, 4]]] == targets[2:5].tolist()
    assert repr(dominoes).startswith("<Dominoes: 300 of 10 classes, digits over textures (")
