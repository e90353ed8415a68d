"""The dials of simplicity: their names, their ranges and how they are written. What they do to pixels is in `transforms`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dominoes.errors import SpecError


@dataclass(frozen=True)
class _Range:
    """Values that a dial takes, from `low` to `high`; `words` say so. At `identity` a picture stays as it is."""

    words: str
    identity: float
    low: float
    high: float
    whole: bool = False
    # Bounds at which nothing would be left of a picture.
    open_low: bool = False
    open_high: bool = False


# The value `all` of prototypes, as a number.
_ALL = math.inf
_RANGES = {
    "noise": _Range("a standard deviation from 0 to 10, in units of the range of a pixel", 0, 0, 10),
    "blur": _Range("a standard deviation from 0 to 32 pixels", 0, 0, 32),
    "downsample": _Range("a whole factor from 1 to 16", 1, 1, 16, whole=True),
    "contrast": _Range("a share of the contrast above 0 (at 0 a picture is constant), at most 1", 1, 0, 1, open_low=True),
    "gray": _Range("0 or 1", 0, 0, 1, whole=True),
    "occlude": _Range("a share of the picture from 0 to below 1 (at 1 it is constant)", 0, 0, 1, open_high=True),
    "patch_shuffle": _Range("a patch's whole side from 1 to 32 pixels", 32, 1, 32, whole=True),
    "pixel_shuffle": _Range("0 or 1", 0, 0, 1, whole=True),
    "prototypes": _Range("a whole number of pictures a class from 1, or all", _ALL, 1, 1_000_000, whole=True),
}
NAMES = tuple(_RANGES)
_SWITCHES = ("gray", "pixel_shuffle")


@dataclass(frozen=True)
class Dial:
    """One transform and its value; `all` prototypes are infinitely many."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}={'all' if self.value == _ALL else f'{self.value:.12g}'}"

    @property
    def identity(self) -> bool:
        """Whether it leaves every picture as it is."""
        return self.value == _RANGES[self.name].identity


def read(text: str) -> Dial:
    """`NAME=VALUE` as a dial; `gray` and `pixel_shuffle` alone mean 1.

    Raises ValueError that says what was expected, for the spec to add what it got.
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    if name not in _RANGES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"there is no transform {name}{hint}; expected one of {', '.join(NAMES)}")
    known = _RANGES[name]
    if not equals and name in _SWITCHES:
        value = "1"
    try:
        # As it is written, so that what is read again is the same; and no zero with a sign.
        number = _ALL if (name, value.strip()) == ("prototypes", "all") else float(f"{float(value):.12g}") + 0.0
    except ValueError:
        number = math.nan
    inside = known.low <= number <= known.high or number == known.identity
    edge = (known.open_low and number == known.low) or (known.open_high and number == known.high)
    if not inside or edge or (known.whole and number != _ALL and not number.is_integer()):
        raise ValueError(f"expected {name}=VALUE with {known.words}")
    return Dial(name, number)


def written(text: str) -> str:
    """A transform in the one way that it is written: what is equal reads alike. Raises ValueError (see `read`)."""
    return str(read(text))


def split(value: object) -> object:
    """One text or a list of texts, apart at spaces; `none` and nothing are no transforms. Raises ValueError for what is no text."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part for part in value.split() if part != "none")
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        return tuple(part for text in value for part in text.split() if part != "none")
    if not isinstance(value, list | tuple):
        raise ValueError("expected NAME=VALUE, or a list of such texts")
    return value


def joined(transforms: Sequence[str]) -> str:
    """Transforms as one text; `split` takes it apart again."""
    return " ".join(transforms) or "none"


def check(transforms: Sequence[str], source: str, area: int, counts: Sequence[int]) -> None:
    """What only the pictures can tell: whether dials suit a source.

    Args:
        transforms: of one side, in the spec's words.
        source: its name, for messages.
        area: side of the pictures without padding, in pixels.
        counts: training pictures of each class, of which prototypes are chosen.

    Raises SpecError.
    """
    if sum(dial.name == "prototypes" and not dial.identity for dial in map(read, transforms)) > 1:
        raise SpecError(f"{joined(transforms)}: prototypes are chosen once; expected one such transform, with the smaller number")
    for text in transforms:
        dial = read(text)
        whole_patch = dial.name == "patch_shuffle" and dial.value >= area
        if dial.name in ("downsample", "patch_shuffle") and not whole_patch and area % int(dial.value):
            fitting = ", ".join(str(number) for number in range(1, 17 if dial.name == "downsample" else 33) if not area % number)
            raise SpecError(f"{text}: the pictures of {source} have {area} pixels a side; expected a number that divides it, {fitting}")
        if dial.name == "downsample" and dial.value >= area:
            raise SpecError(f"{text}: nothing but one pixel would be left of the pictures of {source}; expected less than {area}")
        if dial.name == "prototypes" and not dial.identity and dial.value > min(counts):
            smallest = min(range(len(counts)), key=lambda label: counts[label])
            raise SpecError(
                f"{text}: class {smallest} of {source} has {counts[smallest]} training pictures; expected at most that many, or all"
            )


def prototypes(transforms: Sequence[str]) -> int | None:
    """Distinct pictures that each class keeps; None where no transform limits them."""
    return next((int(dial.value) for dial in map(read, transforms) if dial.name == "prototypes" and not dial.identity), None)


def copies_differ(transforms: Sequence[str]) -> bool:
    """Whether copies of one prototype are told apart by what comes after: noise, or places of the occlusion."""
    names = [dial.name for dial in map(read, transforms) if not dial.identity]
    return "prototypes" in names and not {"noise", "occlude"}.isdisjoint(names[names.index("prototypes") :])
