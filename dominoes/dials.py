"""The dials of simplicity: for each its name, its range and what it does to pixels, in one record; and how they are written.

In which order they are applied, and what a source must have for them, is in `data.transforms`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dominoes import registry
from dominoes.errors import SpecError

# Pictures n×C×A×A, uint8.
Pictures = NDArray[np.uint8]
# Pictures -> changed pictures of the same shape.
Change = Callable[[Pictures], Pictures]


@dataclass(frozen=True)
class DialRange:
    """A dial: the values that it takes, from `low` to `high`, and what it does to pictures.

    Attributes:
        words: the range, for messages.
        identity: the value at which every picture stays as it is.
        low, high, whole: the range; whether values are whole numbers.
        change: (value, side of the area in pixels, random generator) -> Change. None: pictures are chosen, not changed (prototypes).
        open_low, open_high: bounds at which nothing would be left of a picture are not in the range.
        same_everywhere: what is random in it is the same for every picture of every source and split.
    """

    words: str
    identity: float
    low: float
    high: float
    change: Callable[[float, int, np.random.Generator], Change] | None
    whole: bool = False
    open_low: bool = False
    open_high: bool = False
    same_everywhere: bool = False


def _rounded(values: NDArray[np.floating]) -> Pictures:
    pixels: Pictures = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _noise(deviation: float, side: int, rng: np.random.Generator) -> Change:
    """Gaussian noise on every pixel and channel, clipped to the range of a pixel; at another deviation the same noise, scaled."""
    scale = np.float32(255 * deviation)
    return lambda inner: _rounded(inner + scale * rng.standard_normal(inner.shape, dtype=np.float32))


def _blur(deviation: float, side: int, rng: np.random.Generator) -> Change:
    """Gaussian blur; beyond the edge of the area its border is repeated, so that no brightness is lost."""
    from scipy.ndimage import gaussian_filter

    return lambda inner: _rounded(gaussian_filter(inner.astype(np.float32), deviation, mode="nearest", axes=(2, 3)))


def _downsample(factor: float, side: int, rng: np.random.Generator) -> Change:
    """Means over squares of factor × factor pixels, in the size that was."""
    step, count = int(factor), side // int(factor)

    def change(inner: Pictures) -> Pictures:
        means = inner.reshape(*inner.shape[:2], count, step, count, step).mean(axis=(3, 5), dtype=np.float32)
        return _rounded(means).repeat(step, axis=2).repeat(step, axis=3)

    return change


def _contrast(share: float, side: int, rng: np.random.Generator) -> Change:
    """Each pixel at this share of its distance from the picture's mean: the brightness stays, and so does that a half is shown."""

    def change(inner: Pictures) -> Pictures:
        mean = inner.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
        return _rounded(mean + np.float32(share) * (inner - mean))

    return change


def _gray(on: float, side: int, rng: np.random.Generator) -> Change:
    """Luma (ITU-R BT.601) in all three channels; pictures of one channel have no colour."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)

    def change(inner: Pictures) -> Pictures:
        if inner.shape[1] == 1:
            return inner
        return np.broadcast_to(_rounded(np.einsum("nchw,c->nhw", inner, weights))[:, None], inner.shape)

    return change


def _occlude(share: float, side: int, rng: np.random.Generator) -> Change:
    """A square of 0 over this share of the area, at a place of the picture's own; a larger one covers the smaller."""
    width = min(round(side * share**0.5), side)
    line = np.arange(side)

    def change(inner: Pictures) -> Pictures:
        start = np.floor(rng.random((len(inner), 2)) * (side - width + 1)).astype(int)
        rows, columns = ((line >= first[:, None]) & (line < first[:, None] + width) for first in start.T)
        return np.where((rows[:, :, None] & columns[:, None, :])[:, None], np.uint8(0), inner)

    return change


def _patch_shuffle(size: float, side: int, rng: np.random.Generator) -> Change:
    """Squares of size × size pixels change places, the same way in every picture of every source and split."""
    step = min(int(size), side)
    count = side // step
    order = rng.permutation(count * count)
    # Of four patches one order in 24 is the one that was.
    while count > 1 and (order == np.arange(count * count)).all():
        order = rng.permutation(count * count)

    def change(inner: Pictures) -> Pictures:
        patches = inner.reshape(*inner.shape[:2], count, step, count, step).swapaxes(3, 4)
        moved = patches.reshape(*inner.shape[:2], count * count, step, step)[:, :, order]
        return moved.reshape(patches.shape).swapaxes(3, 4).reshape(inner.shape)

    return change


def _pixel_shuffle(on: float, side: int, rng: np.random.Generator) -> Change:
    """All pixels change places, the same way in every picture of every source and split."""
    return _patch_shuffle(1, side, rng)


# The value `all` of prototypes, as a number.
_ALL = math.inf
_NOISE = "a standard deviation from 0 to 10, in units of the range of a pixel"
_CONTRAST = "a share of the contrast above 0 (at 0 a picture is constant), at most 1"
_OCCLUDE = "a share of the picture from 0 to below 1 (at 1 it is constant)"
_PATCH = "a patch's whole side from 1 to 32 pixels"
DIALS = {
    "noise": DialRange(_NOISE, 0, 0, 10, _noise),
    "blur": DialRange("a standard deviation from 0 to 32 pixels", 0, 0, 32, _blur),
    "downsample": DialRange("a whole factor from 1 to 16", 1, 1, 16, _downsample, whole=True),
    "contrast": DialRange(_CONTRAST, 1, 0, 1, _contrast, open_low=True),
    "gray": DialRange("0 or 1", 0, 0, 1, _gray, whole=True),
    "occlude": DialRange(_OCCLUDE, 0, 0, 1, _occlude, open_high=True),
    "patch_shuffle": DialRange(_PATCH, 32, 1, 32, _patch_shuffle, whole=True, same_everywhere=True),
    "pixel_shuffle": DialRange("0 or 1", 0, 0, 1, _pixel_shuffle, whole=True, same_everywhere=True),
    "prototypes": DialRange("a whole number of pictures a class from 1, or all", _ALL, 1, 1_000_000, None, whole=True),
}
DIAL_NAMES = tuple(DIALS)
_SWITCHES = ("gray", "pixel_shuffle")


@dataclass(frozen=True)
class Dial:
    """One transform and its value; `all` prototypes are infinitely many."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}={'all' if self.value == _ALL else f'{self.value:.12g}'}"

    @property
    def range(self) -> DialRange:
        """Its record. Raises RegistryError, or SpecError if what was brought is none, or does not take the value."""
        if self.name in DIALS:
            return DIALS[self.name]
        found = registry.find("dials", self.name).load()
        if not isinstance(found, DialRange):
            raise SpecError(f"dial {self.name} is {type(found).__name__}; expected a dominoes.dials.DialRange")
        if not _suits(found, self.value):
            raise SpecError(f"{self}: expected {self.name}=VALUE with {found.words}")
        return found

    @property
    def sha256(self) -> str:
        """Of the code of a dial from outside, empty for a built-in one: what it makes is kept under that."""
        owner = None if self.name in DIALS else registry.find("dials", self.name).provenance()
        return owner.sha256 if owner else ""

    @property
    def identity(self) -> bool:
        """Whether it leaves every picture as it is."""
        return self.value == self.range.identity


def read_dial(text: str) -> Dial:
    """`NAME=VALUE` as a dial; `gray` and `pixel_shuffle` alone mean 1.

    Raises ValueError that says what was expected, for the spec to add what it got.
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    known = DIALS.get(name)
    if known is None and not is_brought_dial(name):
        near = difflib.get_close_matches(name, DIAL_NAMES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"there is no transform {name}{hint}; expected one of {', '.join(DIAL_NAMES)}, or module:attr of your own")
    if not equals and name in _SWITCHES:
        value = "1"
    try:
        # As it is written, so that what is read again is the same; and no zero with a sign.
        number = _ALL if (name, value.strip()) == ("prototypes", "all") else float(f"{float(value):.12g}") + 0.0
    except ValueError:
        number = math.nan
    # A dial from outside is not loaded to read its name: whether it takes the value is said when it is used.
    if math.isnan(number) or (known is not None and not _suits(known, number)):
        raise ValueError(f"expected {name}=VALUE with {known.words if known else 'a number'}")
    return Dial(name, number)


def is_brought_dial(name: str) -> bool:
    """Whether a dial is from outside: a reference, or an installed entry point's. Nothing is loaded."""
    return registry.is_reference(name) or name in {entry.name for entry in registry.installed("dials")}


def _suits(known: DialRange, number: float) -> bool:
    inside = known.low <= number <= known.high or number == known.identity
    edge = (known.open_low and number == known.low) or (known.open_high and number == known.high)
    return inside and not edge and not (known.whole and number != _ALL and not number.is_integer())


def written_transform(text: str) -> str:
    """A transform in the one way that it is written: what is equal reads alike. Raises ValueError (see `read_dial`)."""
    return str(read_dial(text))


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


def join_transforms(transforms: Sequence[str]) -> str:
    """Transforms as one text; `split` takes it apart again."""
    return " ".join(transforms) or "none"


def prototypes(transforms: Sequence[str]) -> int | None:
    """Distinct pictures that each class keeps; None where no transform limits them."""
    return next((int(dial.value) for dial in map(read_dial, transforms) if dial.name == "prototypes" and not dial.identity), None)


def copies_differ(transforms: Sequence[str]) -> bool:
    """Whether copies of one prototype are told apart by what comes after: noise, or places of the occlusion."""
    names = [dial.name for dial in map(read_dial, transforms) if not dial.identity]
    return "prototypes" in names and not {"noise", "occlude"}.isdisjoint(names[names.index("prototypes") :])
