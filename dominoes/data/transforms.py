"""The simplicity transforms: pictures in, pictures out. Pure: the same pictures and dials give the same bytes, whatever the spec's seed.

A picture acts as its *area*: the smallest centred square outside of which every training picture of the source is 0 (28×28 of MNIST, all of
CIFAR-10). What lies outside is padding, means the same as a blank, and stays as it is. What is random comes from streams that are named by
the transform and, where pictures differ in it (noise, place of the occlusion, choice of prototypes), by the digest of the pictures; so a
picture looks the same in every deal, and train and test differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dominoes.data.locations import SIZE
from dominoes.dials import Dial, Pictures, join_transforms, read_dial
from dominoes.errors import SpecError
from dominoes.spec import stream

# A change of what a transform does must not meet an old cache.
VERSION = "2"

_CHUNK = 2048


@dataclass(frozen=True)
class Content:
    """Pictures N×C×32×32 uint8, their N labels (-1: of no class, never shown), and the digest of both."""

    pictures: Pictures
    labels: NDArray[np.int64]
    digest: str


def area(pictures: Pictures) -> int:
    """Side of the smallest centred square that holds every pixel that is not 0 in any of the pictures; 32 if there is none."""
    highest = pictures.max(axis=(0, 1))
    used = np.flatnonzero(highest.any(axis=0) | highest.any(axis=1))
    return SIZE - 2 * int(min(used[0], SIZE - 1 - used[-1])) if len(used) else SIZE


def apply(transforms: Sequence[str], this: Content, train: Content, name: str) -> Pictures:
    """The pictures of one split under transforms, one after the other.

    Args:
        transforms: `NAME=VALUE`, checked against the source (`transforms.check_dials`).
        this: the split to transform.
        train: the training split of the same source; its area and, for `prototypes`, its pictures count. May be `this`.
        name: of the source, for messages.

    Raises SpecError: more than half of the pictures would have no contrast left (all pixels equal).
    """
    side = area(train.pictures)
    found = _applied([read_dial(text) for text in transforms], this, train, side)
    lost = int((_flat(found, side) & ~_flat(this.pictures, side))[this.labels >= 0].sum())
    shown = int((this.labels >= 0).sum())
    if lost > shown / 2:
        raise SpecError(
            f"{' '.join(transforms)}: {lost} of {shown} pictures of {name} would be left without any contrast; "
            "expected at most half of them, choose a weaker setting"
        )
    return found


def _applied(dials: Sequence[Dial], this: Content, train: Content, side: int) -> Pictures:
    pictures = this.pictures
    for number, dial in enumerate(dials):
        if dial.identity:
            continue
        which = str(sum(before.name == dial.name for before in dials[:number]))
        if dial.range.change is None:
            # The test pictures of a look-up are the very pictures that were learned: nothing else could show whether it was.
            shown = pictures if this is train else _applied(dials[:number], train, train, side)
            pictures = shown[_prototypes(int(dial.value), which, this, train)]
            continue
        own = () if dial.range.same_everywhere else (this.digest,)
        change = dial.range.change(dial.value, side, _generator(dial.name, which, *own))
        changed = np.array(pictures)
        edge = (SIZE - side) // 2
        for start in range(0, len(changed), _CHUNK):
            inner = changed[start : start + _CHUNK, :, edge : SIZE - edge, edge : SIZE - edge]
            inner[:] = _like(change(inner), inner, dial)
        pictures = changed
    return pictures


def _like(changed: object, before: Pictures, dial: Dial) -> Pictures:
    """What a dial made of pictures. Raises SpecError unless it is as many pictures of that size, in bytes."""
    if isinstance(changed, np.ndarray) and changed.shape == before.shape and changed.dtype == np.uint8:
        return changed
    got = f"{changed.dtype} of shape {changed.shape}" if isinstance(changed, np.ndarray) else type(changed).__name__
    raise SpecError(f"dial {dial} makes {got} of pictures; expected uint8 of shape {before.shape}, as it was given")


def _generator(*names: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(stream(0, "transform", *names)))


def _flat(pictures: Pictures, side: int) -> NDArray[np.bool_]:
    edge = (SIZE - side) // 2
    inner = pictures[:, :, edge : SIZE - edge, edge : SIZE - edge]
    return np.asarray(inner.min(axis=(1, 2, 3)) == inner.max(axis=(1, 2, 3)))


def _prototypes(kept: int, which: str, this: Content, train: Content) -> NDArray[np.int64]:
    """For each picture of this split the training picture in its place: `kept` ones of its class, each as often as the others.

    The same ones are the first of more, so that a ladder of settings keeps what it had.
    """
    found = np.zeros(len(this.labels), dtype=np.int64)
    for label in np.unique(this.labels[this.labels >= 0]):

        def ordered(content: Content, label: int = int(label)) -> NDArray[np.int64]:
            generator = _generator("prototypes", which, content.digest, str(label))
            order: NDArray[np.int64] = generator.permutation(np.flatnonzero(content.labels == label))
            return order

        chosen, places = ordered(train)[:kept], ordered(this)
        found[places] = np.resize(chosen, len(places))
    return found


def check_dials(transforms: Sequence[str], source: str, area: int, counts: Sequence[int]) -> None:
    """What only the pictures can tell: whether dials suit a source.

    Args:
        transforms: of one side, in the spec's words.
        source: its name, for messages.
        area: side of the pictures without padding, in pixels.
        counts: training pictures of each class, of which prototypes are chosen.

    Raises SpecError.
    """
    if sum(dial.name == "prototypes" and not dial.identity for dial in map(read_dial, transforms)) > 1:
        raise SpecError(f"{join_transforms(transforms)}: prototypes are chosen once; expected one such transform, with the smaller number")
    for text in transforms:
        dial = read_dial(text)
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
