"""Dials as text: one way to write each, and one sentence for what is out of range."""

import pytest

from dominoes import dials
from dominoes.data import transforms
from dominoes.errors import SpecError
from dominoes.mappings import read_mapping
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, dump, parse


def test_what_is_equal_is_written_alike() -> None:
    """Numbers are shortened, switches get their 1, order and repetition stay; a text is taken apart at its spaces."""
    spec = DominoSpec(top_transform=("noise=0.50", "gray", "noise=5e-1", "prototypes=all"), bottom_transform="blur=1 pixel_shuffle")
    assert spec.top_transform == ("noise=0.5", "gray=1", "noise=0.5", "prototypes=all")
    assert spec.bottom_transform == ("blur=1", "pixel_shuffle=1")
    for text in ("none", "", None):
        assert DominoSpec(top_transform=text) == DominoSpec()
    assert dials.split(dials.join_transforms(spec.top_transform)) == spec.top_transform
    assert dials.join_transforms(()) == "none"


def test_no_transform_can_be_said_wherever_one_can() -> None:
    """`none` in a list, as a flag makes one, is no transform; a text with several in a list is taken apart like any other."""
    for value in (["none"], [""], []):
        assert DominoSpec.model_validate({"top_transform": value}) == DominoSpec()
    assert DominoSpec.model_validate({"top_transform": ["noise=0.5 blur=1", "gray"]}).top_transform == ("noise=0.5", "blur=1", "gray=1")


def test_what_is_written_is_what_is_meant() -> None:
    """A value is judged as it is written: one that rounds to a bound is that bound; and no zero has a sign."""
    assert dials.written_transform("noise=-0.0") == "noise=0"
    assert dials.read_dial("noise=-0.0").identity
    assert dials.read_dial("blur=1.0000000000004") == dials.read_dial("blur=1")
    with pytest.raises(ValueError, match="from 0 to below 1"):
        dials.read_dial("occlude=0.9999999999999")


def test_a_spec_with_dials_survives_its_file_and_old_ids_stay(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Dials and swap go through YAML; at their default they are no part of a run's id."""
    spec = DominoSpec(prevalence=(0.5, 0.5), top_transform=("blur=1", "noise=0.1"), swap=True)
    (tmp_path / "s.yaml").write_text(dump(spec), encoding="utf-8")
    assert parse(DominoSpec, read_mapping(tmp_path / "s.yaml")) == spec
    assert RunSpec(dataset=DominoSpec(prevalence=(0.5, 0.5)), train=TrainSpec(measurements=60, probe=1000)).id == "db3d3006f74f"
    ids = {DominoSpec(top_transform=("blur=1",)).id, DominoSpec(bottom_transform=("blur=1",)).id, DominoSpec(swap=True).id, DominoSpec().id}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("blur=-1", r"top_transform: expected blur=VALUE with a standard deviation from 0 to 32 pixels, got 'blur=-1'"),
        ("noise=nan", "expected noise=VALUE"),
        ("noise", "expected noise=VALUE"),
        ("noise=11", "from 0 to 10"),
        ("downsample=1.5", "a whole factor from 1 to 16"),
        ("downsample=0", "a whole factor from 1 to 16"),
        ("contrast=0", "at 0 a picture is constant"),
        ("occlude=1", "at 1 it is constant"),
        ("gray=2", "gray=VALUE with 0 or 1"),
        ("patch_shuffle=0", "from 1 to 32 pixels"),
        ("prototypes=0", "from 1, or all, got 'prototypes=0'"),
        ("prototypes=some", "from 1, or all"),
        ("blurr=1", r"there is no transform blurr \(did you mean blur\?\); expected one of noise, blur, .*, got 'blurr=1'"),
        ("xyz=1", "expected one of noise, blur"),
        ({"noise": 0.5}, r"top_transform: expected NAME=VALUE, or a list of such texts, got \{'noise': 0.5\}"),
        (3, "expected NAME=VALUE, or a list of such texts, got 3"),
        ([3], "top_transform: expected a valid string, got 3"),
    ],
)
def test_wrong_dials_are_named_with_their_range(value: object, message: str) -> None:
    """An unknown name, a value out of range, or one at which pictures are constant: refused with what was expected."""
    with pytest.raises(SpecError, match=message):
        parse(DominoSpec, {"top_transform": value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("downsample=3", "downsample=3: the pictures of x have 32 pixels a side; expected a number that divides it, 1, 2, 4, 8, 16"),
        ("patch_shuffle=5", "expected a number that divides it, 1, 2, 4, 8, 16, 32"),
        ("prototypes=8", "prototypes=8: class 1 of x has 7 training pictures; expected at most that many, or all"),
    ],
)
def test_dials_that_do_not_suit_a_source_are_refused(text: str, message: str) -> None:
    """What only the pictures can tell: sizes that do not divide them, more prototypes than there are pictures."""
    with pytest.raises(SpecError, match=message):
        transforms.check_dials((text,), "x", 32, (9, 7))
    transforms.check_dials(("downsample=4", "patch_shuffle=32", "prototypes=7", "prototypes=all"), "x", 28, (9, 7))


def test_nothing_but_one_pixel_is_refused() -> None:
    """A picture as small as the factor would be one pixel."""
    with pytest.raises(SpecError, match="nothing but one pixel would be left of the pictures of x; expected less than 8"):
        transforms.check_dials(("downsample=8",), "x", 8, (9, 7))


def test_prototypes_are_chosen_once() -> None:
    """The number of distinct pictures a class, where a transform limits it; chosen again from the chosen, fewer might be left."""
    assert dials.prototypes(("noise=1", "prototypes=3", "prototypes=all")) == 3
    assert dials.prototypes(("noise=1", "prototypes=all")) is None
    transforms.check_dials(("prototypes=3", "prototypes=all"), "x", 28, (9, 7))
    with pytest.raises(SpecError, match="prototypes=3 noise=1 prototypes=2: prototypes are chosen once; expected one such transform"):
        transforms.check_dials(("prototypes=3", "noise=1", "prototypes=2"), "x", 28, (9, 7))


def test_copies_differ_by_what_follows() -> None:
    """Noise and occlusions are each picture's own; other dials, and what comes before, leave copies alike."""
    assert dials.copies_differ(("prototypes=2", "blur=1", "noise=1"))
    assert dials.copies_differ(("prototypes=2", "occlude=0.1"))
    for alike in (("noise=1", "prototypes=2"), ("prototypes=2", "noise=0", "blur=1"), ("noise=1",)):
        assert not dials.copies_differ(alike)
