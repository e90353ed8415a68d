"""Every transform against what another library, or plain indexing, makes of the same pictures."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dominoes.data import catalogue, sources
from dominoes.data.catalogue import AREAS
from dominoes.data.dealing import deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.sources import Source, load_source
from dominoes.data.transforms import area
from dominoes.dials import Pictures
from dominoes.errors import SpecError
from dominoes.spec import SIDES, DominoSpec, Split

IDENTITIES = (
    "noise=0", "blur=0", "downsample=1", "contrast=1", "gray=0", "occlude=0", "patch_shuffle=32", "pixel_shuffle=0", "prototypes=all"
)  # fmt: skip


def changed(name: str, *texts: str, split: Split = Split.TRAIN) -> Source:
    """A source under transforms."""
    return load_source(name, split, texts)


def inner(pictures: Pictures, side: int) -> Pictures:
    """The pictures without their padding."""
    edge = (32 - side) // 2
    return pictures[:, :, edge : 32 - edge, edge : 32 - edge]


@pytest.mark.parametrize("text", IDENTITIES)
def test_the_identity_setting_changes_no_byte(text: str) -> None:
    """Each dial has a setting at which pixels, labels and digest are the source's own."""
    for name, split in itertools.product(("digits", "textures"), Split):
        plain, found = load_source(name, split), changed(name, text, split=split)
        assert np.array_equal(found.pictures, plain.pictures)
        assert found.digest == plain.digest == sources.pictures_digest(found.pictures, found.labels)
        assert found.transforms == (text,)


def test_an_identity_among_others_changes_nothing_either() -> None:
    """Identities may stand before and after a transform that acts."""
    assert changed("textures", "blur=1").digest == changed("textures", "noise=0", "blur=1", "prototypes=all").digest


ACTIVE = (
    "noise=0.3", "blur=1.5", "downsample=4", "contrast=0.4", "gray=1", "occlude=0.3", "patch_shuffle=4", "pixel_shuffle=1", "prototypes=3"
)  # fmt: skip


@pytest.mark.parametrize("text", ACTIVE)
def test_every_transform_changes_pictures_and_nothing_else(text: str) -> None:
    """Labels, shape and padding stay, the digest is that of the new pixels, the source is as it was, and twice gives the same bytes."""
    for name, split in itertools.product(("digits", "textures"), Split):
        plain = load_source(name, split)
        before = plain.pictures.copy()
        found = changed(name, text, split=split)
        assert (found.pictures.shape, found.pictures.dtype) == (plain.pictures.shape, np.uint8)
        assert np.array_equal(found.labels, plain.labels)
        assert np.array_equal(plain.pictures, before)
        assert (found.digest == plain.digest) == (name == "digits" and text == "gray=1")
        assert found.digest == sources.pictures_digest(found.pictures, found.labels)
        outside = found.pictures.astype(int)
        inner(outside, AREAS[name])[:] = 0  # type: ignore[arg-type]
        assert not outside.any()
    assert changed("textures", text).digest == changed("textures", text).digest


def test_areas_are_those_of_the_pictures() -> None:
    """The table by which dials are checked without data says what the embedded pictures show; a source of zeros has no padding."""
    for name in ("digits", "textures"):
        assert area(load_source(name, Split.TRAIN).pictures) == AREAS[name]
    assert area(np.zeros((2, 1, 32, 32), np.uint8)) == 32
    assert set(AREAS) == set(catalogue.STOCKS)


@pytest.mark.data
def test_areas_of_real_pictures(data: Path) -> None:
    """MNIST is 28 pixels wide and padded, CIFAR-10 is 32."""
    for name in ("mnist", "cifar10"):
        assert area(load_source(name, Split.TRAIN, data=data).pictures) == AREAS[name]


def test_noise_has_its_deviation_and_is_the_pictures_own() -> None:
    """Where nothing is clipped its deviation is the one asked for; no two pictures share it, nor train and test; settings scale it."""
    plain = load_source("textures", Split.TRAIN).pictures.astype(float)
    small, large = (changed("textures", f"noise={value}").pictures.astype(float) - plain for value in (0.05, 0.1))
    safe = (plain > 110) & (plain < 145)
    assert small[safe].std() == pytest.approx(0.05 * 255, rel=0.02)
    assert large[safe].std() == pytest.approx(0.1 * 255, rel=0.02)
    assert np.corrcoef(small[safe], large[safe])[0, 1] > 0.99
    assert abs(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1]) < 0.1
    test = changed("textures", "noise=0.1", split=Split.TEST).pictures.astype(float) - load_source("textures", Split.TEST).pictures
    assert abs(np.corrcoef(test[:50].ravel(), large[:50].ravel())[0, 1]) < 0.05
    twice = changed("textures", "noise=0.05", "noise=0.05").pictures.astype(float) - plain
    assert twice[safe].std() == pytest.approx(0.05 * 255 * 2**0.5, rel=0.03)


def test_blur_is_scipys_picture_by_picture() -> None:
    """One channel of one picture at a time, within the area."""
    for name, row in (("digits", 7), ("textures", 11)):
        plain, found = (inner(source.pictures, AREAS[name]) for source in (load_source(name, Split.TRAIN), changed(name, "blur=1.2")))
        for channel in range(plain.shape[1]):
            wanted = ndimage.gaussian_filter(plain[row, channel].astype(float), 1.2, mode="nearest")
            assert np.abs(found[row, channel] - wanted).max() <= 0.51


def test_downsampling_is_pillows_box() -> None:
    """Means over squares, as Pillow's box filter has them (to a rounding), drawn large again."""
    plain, found = load_source("textures", Split.TRAIN).pictures, changed("textures", "downsample=8").pictures
    for row in (0, 500):
        small = Image.fromarray(plain[row].transpose(1, 2, 0)).resize((4, 4), Image.Resampling.BOX)
        wanted = np.asarray(small.resize((32, 32), Image.Resampling.NEAREST)).transpose(2, 0, 1).astype(int)
        assert np.abs(found[row] - wanted).max() <= 1


def test_contrast_keeps_the_mean_and_scales_the_rest() -> None:
    """The mean of a picture stays and its standard deviation is multiplied."""
    plain, found = load_source("textures", Split.TRAIN).pictures[:50], changed("textures", "contrast=0.3").pictures[:50]
    for before, after in zip(plain.astype(float), found.astype(float), strict=True):
        assert after.mean() == pytest.approx(before.mean(), abs=0.2)
        assert after.std() == pytest.approx(0.3 * before.std(), abs=0.5)


def test_gray_is_pillows_luma() -> None:
    """All three channels are Pillow's L, to a rounding."""
    plain, found = load_source("textures", Split.TRAIN).pictures, changed("textures", "gray=1").pictures
    for row in (3, 77):
        wanted = np.asarray(Image.fromarray(plain[row].transpose(1, 2, 0)).convert("L")).astype(int)
        assert np.abs(found[row] - wanted[None]).max() <= 1


def test_the_occluded_square_has_its_size_and_a_larger_one_covers_it() -> None:
    """A square of zeros of the share asked for, the rest untouched, places all over the area; settings are nested."""
    plain = load_source("textures", Split.TRAIN).pictures
    hidden = {}
    for share, width in ((0.25, 16), (0.5, 23)):
        found = changed("textures", f"occlude={share}").pictures
        hidden[share] = (found == 0).all(axis=1)
        for row in range(0, 200, 20):
            rows, columns = (np.flatnonzero(hidden[share][row].sum(axis=axis) >= width) for axis in (1, 0))
            assert (len(rows), len(columns)) == (width, width)
            assert np.ptp(rows) == np.ptp(columns) == width - 1
            kept = ~hidden[share][row]
            assert np.array_equal(found[row][:, kept], plain[row][:, kept])
    assert (hidden[0.5] >= hidden[0.25]).all()
    assert hidden[0.25].any(axis=0).all()


def test_shuffles_are_one_permutation_for_all() -> None:
    """Each pixel comes from one place, the same in every picture, channel, split, and source of that size; patches move as wholes."""
    for text, size in (("pixel_shuffle=1", 1), ("patch_shuffle=8", 8)):
        plain, found = load_source("textures", Split.TRAIN).pictures, changed("textures", text).pictures
        count = 32 // size
        blocks = plain.reshape(-1, 3, count, size, count, size).transpose(2, 4, 0, 1, 3, 5).reshape(count * count, -1)
        moved = found.reshape(-1, 3, count, size, count, size).transpose(2, 4, 0, 1, 3, 5).reshape(count * count, -1)
        places = {block.tobytes(): number for number, block in enumerate(blocks)}
        order = [places[block.tobytes()] for block in moved]
        assert sorted(order) == list(range(count * count))
        assert order != list(range(count * count))
        test, test_found = load_source("textures", Split.TEST).pictures, changed("textures", text, split=Split.TEST).pictures
        again = test.reshape(-1, 3, count, size, count, size).transpose(2, 4, 0, 1, 3, 5).reshape(count * count, -1)[order]
        wanted = again.reshape(count, count, -1, 3, size, size).transpose(2, 3, 0, 4, 1, 5).reshape(test.shape)
        assert np.array_equal(test_found, wanted)


def test_every_shuffle_moves_something() -> None:
    """Four patches, whose order could come out as it was, change places too, in each of several shuffles in a row."""
    for name, size in (("textures", 16), ("digits", 12)):
        plain, once, twice = (load_source(name, Split.TRAIN, (f"patch_shuffle={size}",) * times).pictures for times in range(3))
        for before, after in ((plain, once), (once, twice)):
            assert (before != after).any(axis=(1, 2, 3)).all()
            assert np.array_equal(np.sort(before.reshape(len(before), -1)), np.sort(after.reshape(len(after), -1)))


def test_prototypes_are_a_look_up() -> None:
    """Each class shows m of its own training pictures, alike often, in test as in training; more of them keep the fewer."""
    plain = load_source("digits", Split.TRAIN)
    shown = {}
    for m in (1, 4):
        train, test = (changed("digits", f"prototypes={m}", split=split) for split in Split)
        for label in range(10):
            mine = [{picture.tobytes() for picture in source.pictures[source.labels == label]} for source in (train, test)]
            own = {picture.tobytes() for picture in plain.pictures[plain.labels == label]}
            assert mine[0] == mine[1]
            assert mine[0] <= own
            assert len(mine[0]) == m
            shown[m, label] = mine[0]
            _, counts = np.unique(train.pictures[train.labels == label].reshape(-1, 1024), axis=0, return_counts=True)
            assert np.ptp(counts) <= 1
        assert train.stock == plain.stock
    assert all(shown[1, label] <= shown[4, label] for label in range(10))


def test_the_order_of_transforms_counts() -> None:
    """Noise before the choice of prototypes is the same in all copies, and in test; after it every copy has its own."""

    def distinct(*texts: str) -> list[int]:
        return [len(np.unique(changed("digits", *texts, split=split).pictures.reshape(-1, 1024), axis=0)) for split in Split]

    assert distinct("noise=0.2", "prototypes=2") == [20, 20]
    assert distinct("prototypes=2", "noise=0.2") == [len(load_source("digits", split).labels) for split in Split]


def test_pictures_without_contrast_are_refused() -> None:
    """A dial that leaves most pictures constant is refused, and nothing is kept of it."""
    for text in ("contrast=0.001", "occlude=0.999"):
        with pytest.raises(SpecError, match=rf"{text}: \d+ of 2000 pictures of textures would be left without any contrast"):
            changed("textures", text)


def test_a_dial_acts_on_its_side_alone() -> None:
    """Blanks, the other half, deal and labels are those of the same spec without it; probes are transformed alike."""
    base = DominoSpec(n=200, prevalence=(0.6, 0.5), top="digits", bottom="textures")
    dialled = base.model_copy(update={"top_transform": ("noise=0.5",)})
    plain, noisy = deal_spec(base), deal_spec(dialled)
    for side in SIDES:
        assert np.array_equal(plain.deal.index[side], noisy.deal.index[side])
    one, two = (Dominoes.of(dealt).data.numpy() for dealt in (plain, noisy))
    assert np.array_equal(one[:, :, 32:], two[:, :, 32:])
    blank = plain.deal.index["top"] < 0
    assert not two[blank, :, :32].any()
    assert (one[~blank, :, :32] != two[~blank, :, :32]).any(axis=(1, 2, 3)).all()
    tests = [probes(spec, 50, 0)["both"].data.numpy() for spec in (base, dialled)]
    assert np.array_equal(tests[0][:, :, 32:], tests[1][:, :, 32:])
    assert (tests[0][:, :, :32] != tests[1][:, :, :32]).any(axis=(1, 2, 3)).all()


def test_swap_turns_the_picture_and_nothing_else() -> None:
    """Deal, labels and sides' names stay; the two halves of every domino and probe change places."""
    base = DominoSpec(n=200, prevalence=(0.6, 0.5), reliability=(0.8, 1), top="digits", bottom="textures")
    plain, swapped = deal_spec(base), deal_spec(base.model_copy(update={"swap": True}))
    for side in SIDES:
        assert np.array_equal(plain.deal.index[side], swapped.deal.index[side])
    one, two = Dominoes.of(plain), Dominoes.of(swapped)
    turned = np.concatenate([one.data[:, :, 32:].numpy(), one.data[:, :, :32].numpy()], axis=2)
    assert np.array_equal(two.data.numpy(), turned)
    assert one.targets.tolist() == two.targets.tolist()
    assert np.array_equal(np.asarray(two[5][0])[:, :32], np.asarray(one[5][0])[:, 32:])
    for kind, probe in probes(base, 30, 0).items():
        other = probes(base.model_copy(update={"swap": True}), 30, 0)[kind]
        assert np.array_equal(other.data[:, :, :32].numpy(), probe.data[:, :, 32:].numpy())
        assert probe.kinds == other.kinds


def test_one_source_with_two_dials_shares_its_stock() -> None:
    """Both sides on one source, transformed differently: no picture is used twice, and each half shows its own version."""
    spec = DominoSpec(
        n=400, prevalence=(0.5, 0.5), top="digits", bottom="digits", top_transform=("blur=1",), bottom_transform=("noise=0.3",)
    )
    dealt = deal_spec(spec)
    used = np.concatenate([dealt.deal.index[side][dealt.deal.index[side] >= 0] for side in SIDES])
    assert len(set(used.tolist())) == len(used)
    row = int(dealt.deal.of_kind("both")[0])
    picture = Dominoes.of(dealt).data[row, 0].numpy()
    for half, side, text in ((slice(0, 32), "top", "blur=1"), (slice(32, 64), "bottom", "noise=0.3")):
        assert np.array_equal(picture[half], changed("digits", text).pictures[dealt.deal.index[side][row], 0])


@pytest.mark.data
def test_pictures_above_and_digits_below(data: Path) -> None:
    """CIFAR-10 on top and MNIST below is a dataset like any other, with dials on either."""
    spec = DominoSpec(n=60, prevalence=(0.5, 0.5), top="cifar10", bottom="mnist", bottom_transform=("downsample=7",))
    dealt = deal_spec(spec, data=data)
    found = Dominoes.of(dealt).data[dealt.deal.of_kind("both")].numpy()
    assert (found[:, 0, :32] != found[:, 1, :32]).any()
    below = inner(found[:, :, 32:], 28)
    assert np.array_equal(below, below[..., ::7, ::7].repeat(7, axis=2).repeat(7, axis=3))
    assert not probes(spec, 20, 0, data=data)["top"].data[:, :, 32:].any()


@pytest.mark.parametrize(
    ("name", "said"),
    [("cut", r"makes uint8 of shape \(\d+, 1, 5, \d+\) of pictures"), ("half", r"makes float64 of shape \(\d+, 1, \d+, \d+\) of pictures")],
)
def test_a_dial_of_ones_own_gives_pictures_as_it_was_given_them(name: str, said: str) -> None:
    """Another size, or numbers that are no bytes, are one sentence."""
    with pytest.raises(SpecError, match=f"dial brought:{name}=0.5 {said}; expected uint8 of shape .*, as it was given"):
        changed("digits", f"brought:{name}=0.5")
