"""The named sources themselves: torchvision's files, scikit-learn's digits, procedural textures."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from dominoes.data.catalogue import CLASS_NAMES, TORCHVISION
from dominoes.data.locations import SIZE
from dominoes.data.readers import Decoded, labels_of, stack
from dominoes.errors import SourceError, brief
from dominoes.spec import Split


def torchvision_files(name: str, split: Split, root: Path) -> list[Path]:
    """The files of a split in torchvision's layout, empty if any is missing. A .gz beside a missing file counts as the file."""
    found = []
    for part in TORCHVISION[name][1][split]:
        file = root / part
        if not file.is_file():
            file = file.with_name(file.name + ".gz")
        if not file.is_file():
            return []
        found.append(file)
    return found


def read_torchvision(name: str, split: Split, root: Path) -> Decoded:
    """Pictures and labels of torchvision's own files, checked as torchvision checks them."""
    dataset = _torchvision(name, split, root, download=False)
    labels = _coarse(root, split) if name == "cifar100-coarse" else dataset.labels if name == "svhn" else dataset.targets
    pictures = np.asarray(dataset.data)
    if name == "svhn":
        pictures = pictures.transpose(0, 2, 3, 1)
    return stack(((f"{name}, row {row}", picture) for row, picture in enumerate(pictures)), len(pictures)), labels_of(labels, name), None


def _coarse(root: Path, split: Split) -> Any:
    """The twenty labels of CIFAR-100, which torchvision does not hand on, of a file whose sum it has checked."""
    with open(root / "cifar-100-python" / split.value, "rb") as file:
        return pickle.load(file, encoding="latin1")["coarse_labels"]


def download_original(name: str, split: Split, root: Path) -> None:
    """Let torchvision download a split to `root` and check its sums. Raises SourceError."""
    _torchvision(name, split, root, download=True)


def _torchvision(name: str, split: Split, root: Path, *, download: bool) -> Any:
    from torchvision import datasets

    dataset = getattr(datasets, TORCHVISION[name][0])
    part = {"split": split.value} if name == "svhn" else {"train": split is Split.TRAIN}
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
        return dataset(str(root), **part, download=download)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        what = "downloaded to" if download else "read from"
        raise SourceError(f"{name} cannot be {what} {root} ({brief(error)}); remove its files there and use --download") from error


def digits(split: Split) -> Decoded:
    """scikit-learn's 1,797 handwritten digits, 8×8, each pixel made 3×3 and centred; every fifth of a class is a test picture."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    labels = bundle.target.astype(np.int64)
    number = np.zeros_like(labels)
    for label in range(10):
        members = labels == label
        number[members] = np.arange(members.sum())
    chosen = (number % 5 == 4) == (split is Split.TEST)
    small = np.rint(bundle.images[chosen] * (255 / 16)).astype(np.uint8)
    pictures = np.zeros((len(small), 1, SIZE, SIZE), dtype=np.uint8)
    pictures[:, 0, 4:28, 4:28] = small.repeat(3, axis=1).repeat(3, axis=2)
    return pictures, labels[chosen], None


def textures(split: Split) -> Decoded:
    """Procedural colour textures: ten classes of gratings, five angles × two pitches, in random colours, phases and noise.

    The colour says nothing about the class. 200 training and 50 test pictures a class, from fixed seeds.
    """
    each = 200 if split is Split.TRAIN else 50
    rng = np.random.default_rng([2006, 7710, list(Split).index(split)])
    labels = np.repeat(np.arange(10), each)
    count = len(labels)
    angle = np.deg2rad(36.0 * (labels % 5) + rng.uniform(-8, 8, count))
    pitch = np.where(labels < 5, 9.0, 4.5) * rng.uniform(0.9, 1.1, count)
    y, x = np.mgrid[:SIZE, :SIZE]
    along = x[None] * np.cos(angle)[:, None, None] + y[None] * np.sin(angle)[:, None, None]
    wave = np.sin(2 * np.pi * along / pitch[:, None, None] + rng.uniform(0, 2 * np.pi, count)[:, None, None])
    first, second = rng.uniform(0, 255, (2, count, 3, 1, 1))
    colour = (first + second) / 2 + (first - second) / 2 * wave[:, None]
    noisy = colour + rng.normal(0, 40, colour.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), labels.astype(np.int64), CLASS_NAMES["textures"]
