"""The simplicity transforms: pictures in, pictures out. Pure: the same pictures and dials give the same bytes, whatever the spec's seed.

A picture acts as its *area*: the smallest centred square outside of which every training picture of the source is 0 (28×28 of MNIST, all of
CIFAR-10). What lies outside is padding, means the same as a blank, and stays as it is. What is random comes from streams that are named by
the transform and, where pictures differ in it (noise, place of the occlusion, choice of prototypes), by the digest of the pictures; so a
picture looks the same in every deal, and train and test differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dominoes.data.readers import SIZE, Pictures
from dominoes.dials import Dial, read
from dominoes.errors import SpecError
from dominoes.spec import stream

# A change of what a transform does must not meet an old cache.
VERSION = "2"

# n×C×A×A uint8 -> the same shape.
Change = Callable[[Pictures], Pictures]
_CHUNK = 2048


@dataclass(frozen=True)
class Content:
    """Pictures N×C×32×32 uint8, their N labels, and the digest of both."""

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
        transforms: `NAME=VALUE`, checked against the source (`dials.check`).
        this: the split to transform.
        train: the training split of the same source; its area and, for `prototypes`, its pictures count. May be `this`.
        name: of the source, for messages.

    Raises SpecError: more than half of the pictures would have no contrast left (all pixels equal).
    """
    side = area(train.pictures)
    found = _applied([read(text) for text in transforms], this, train, side)
    lost = int((_flat(found, side) & ~_flat(this.pictures, side)).sum())
    if lost > len(found) / 2:
        raise SpecError(
            f"{' '.join(transforms)}: {lost} of {len(found)} pictures of {name} would be left without any contrast; "
            "expected at most half of them, choose a weaker setting"
        )
    return found


def _applied(dials: Sequence[Dial], this: Content, train: Content, side: int) -> Pictures:
    pictures = this.pictures
    for number, dial in enumerate(dials):
        if dial.identity:
            continue
        which = str(sum(before.name == dial.name for before in dials[:number]))
        if dial.name == "prototypes":
            # The test pictures of a look-up are the very pictures that were learned: nothing else could show whether it was.
            shown = pictures if this is train else _applied(dials[:number], train, train, side)
            pictures = shown[_prototypes(int(dial.value), which, this, train)]
            continue
        own = () if dial.name in ("patch_shuffle", "pixel_shuffle") else (this.digest,)
        change = _CHANGES[dial.name](dial.value, side, _generator(dial.name, which, *own))
        changed = np.array(pictures)
        edge = (SIZE - side) // 2
        for start in range(0, len(changed), _CHUNK):
            inner = changed[start : start + _CHUNK, :, edge : SIZE - edge, edge : SIZE - edge]
            inner[:] = change(inner)
        pictures = changed
    return pictures


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
    for label in np.unique(this.labels):

        def ordered(content: Content, label: int = int(label)) -> NDArray[np.int64]:
            generator = _generator("prototypes", which, content.digest, str(label))
            order: NDArray[np.int64] = generator.permutation(np.flatnonzero(content.labels == label))
            return order

        chosen, places = ordered(train)[:kept], ordered(this)
        found[places] = np.resize(chosen, len(places))
    return found


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


_CHANGES: dict[str, Callable[[float, int, np.random.Generator], Change]] = {
    "noise": _noise,
    "blur": _blur,
    "downsample": _downsample,
    "contrast": _contrast,
    "gray": _gray,
    "occlude": _occlude,
    "patch_shuffle": _patch_shuffle,
    "pixel_shuffle": _pixel_shuffle,
}
