"""A source's name or path becomes uint8 pictures, labels and a digest.

Pictures are decoded once and kept in a cache, keyed by the digest of the files they came from, from where every process maps the
same memory. A picture is C×32×32 with C = 1 or 3; 28×28 is padded with 0. Nothing here normalises.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dominoes import dials
from dominoes.data import brought, classes, fingerprints, locations, originals, readers, transforms
from dominoes.data.catalogue import CLASS_NAMES, FILES_OF, LABELS, STOCKS
from dominoes.data.locations import Reading, exists
from dominoes.errors import OutputError, SourceError
from dominoes.solver.stock import Stock
from dominoes.spec import SIDES, DominoSpec, Split

# A change of how pictures are decoded or stored must not meet an old cache.
_CACHE_FORMAT = "2"


@dataclass(frozen=True)
class Source:
    """Pictures of one source and split.

    Attributes:
        name: as the spec has it.
        split: train or test.
        pictures: N×C×32×32 uint8, C = 1 or 3; mapped from the cache, copied on write.
        labels: N class numbers from 0; -1 for pictures of classes that are not chosen (`classes`), which are never shown.
        classes: names of the K classes.
        digest: SHA-256 of pixels and labels, as they are after the transforms.
        transforms: what was done to the pictures, in order.
    """

    name: str
    split: Split
    pictures: dials.Pictures
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    digest: str
    transforms: tuple[str, ...] = ()

    @property
    def stock(self) -> tuple[int, ...]:
        """Pictures of each class."""
        return tuple(np.bincount(self.labels[self.chosen], minlength=len(self.classes)).tolist())

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Numbers of the pictures that can be shown: all, where no classes are chosen."""
        return np.flatnonzero(self.labels >= 0)


def pictures_digest(pictures: dials.Pictures, labels: NDArray[np.int64]) -> str:
    """SHA-256 of shape, pixels and labels, in hex; of pictures without a class (label -1) only the label counts."""
    state = hashlib.sha256(repr(pictures.shape).encode())
    for start in range(0, len(pictures), 4096):
        part, shown = pictures[start : start + 4096], labels[start : start + 4096] >= 0
        state.update(np.ascontiguousarray(part if shown.all() else part[shown]).data)
    state.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return state.hexdigest()


def cache_folder() -> Path:
    """Where downloads and decoded pictures are kept: the platform's cache folder for dominoes."""
    from platformdirs import user_cache_path

    return user_cache_path("dominoes", appauthor=False)


def stock(spec: DominoSpec, *, data: Path | None = None) -> Stock:
    """The stock of a spec's two sources: for named ones from a table, for paths from their pictures.

    Raises SourceError, and SpecError where a transform does not suit its source.
    """
    known = []
    for side in SIDES:
        name, wanted = getattr(spec, side), spec.transforms(side)
        train, this = (classes.stock(name, split) for split in (Split.TRAIN, spec.split))
        if train is not None:
            transforms.check_dials(wanted, name, classes.area(name), train)
        known.append(load_source(name, spec.split, wanted, data=data).stock if this is None else this)
    _refuse_overlap(spec, spec.split, data)
    return Stock(known[0], known[1])


def _refuse_overlap(spec: DominoSpec, split: Split, data: Path | None) -> None:
    if not spec.shared and classes.same_files(spec.top, spec.bottom):
        top, bottom = (
            CLASS_NAMES.get(base) or original(base, split, data=data).classes for base in map(classes.base, (spec.top, spec.bottom))
        )
        classes.refuse_overlap((spec.top, spec.bottom), (top, bottom))


def pair(
    spec: DominoSpec, *, split: Split | None = None, data: Path | None = None, download: bool = False, fresh: bool = False
) -> tuple[Source, Source]:
    """The sources of both sides, as the spec transforms them; of another split than the spec's, if one is named. As `load_source`."""
    of = split or spec.split
    top, bottom = (load_source(getattr(spec, side), of, spec.transforms(side), data=data, download=download, fresh=fresh) for side in SIDES)
    _refuse_overlap(spec, of, data)
    return top, bottom


def load_source(
    name: str, split: Split, transformed: tuple[str, ...] = (), *, data: Path | None = None, download: bool = False, fresh: bool = False
) -> Source:
    """Pictures, labels and digest of a source, and what transforms make of it.

    Args:
        name: as `original` takes it.
        split: which of the source's splits.
        transformed: `NAME=VALUE` each, in the spec's words; the result is kept in the cache like decoded pictures.
        data, download, fresh: as `original` takes them.

    Raises SourceError, and SpecError where a transform does not suit the source.
    """
    this = original(name, split, data=data, download=download, fresh=fresh)
    if len(this.classes) < 2:
        raise SourceError(f"{name}: the {split.value} pictures are of one class; expected at least two, with labels from 0 on")
    if not transformed:
        return this
    train = this if split is Split.TRAIN else original(name, Split.TRAIN, data=data, download=download, fresh=fresh)
    if all(dials.read_dial(text).identity for text in transformed):
        return replace(this, transforms=transformed)

    def changed() -> readers.Decoded:
        transforms.check_dials(transformed, name, transforms.area(train.pictures), train.stock)
        of_this, of_train = (transforms.Content(source.pictures, source.labels, source.digest) for source in (this, train))
        pictures = transforms.apply(transformed, of_train if this is train else of_this, of_train, name)
        return pictures, this.labels, this.classes

    codes = "".join(f" {sha256}" for text in transformed if (sha256 := dials.read_dial(text).sha256))
    key = f"transforms {transforms.VERSION} {this.digest} {train.digest} {dials.join_transforms(transformed)}{codes}"
    return replace(_cached(name, split, key, changed, checked=True), transforms=transformed)


def original(name: str, split: Split, *, data: Path | None = None, download: bool = False, fresh: bool = False) -> Source:
    """Pictures, labels and digest of a source, as they are.

    Args:
        name: `mnist`, `fashion-mnist`, `kmnist`, `svhn`, `cifar10`, `cifar100`, `cifar100-coarse`, `digits`, `textures`; or the path of a
            folder or file in Hugging Face Parquet layout, of a folder that `datasets` saved, of a Keras-style .npz, or of an ImageFolder
            (train/CLASS/*.png, test/CLASS/*.png), and behind it, after a #, how it is read (`locations`); or an installed entry point's, or
            `module:attr` (`brought`); and behind that in brackets, if
            not all classes are wanted, the chosen ones (`classes`).
        split: which of the source's splits.
        data: folder to look in for named sources, before DOMINOES_DATA and the cache folder.
        download: let torchvision download (and checksum) a named source that is in none of these.
        fresh: read every byte of the files, also of those whose digest is remembered (`fingerprints`).

    Raises SourceError: no such source, no data, unreadable or unusable pictures. It names the file and the row.
    """
    base = classes.base(name)
    if base != name:
        whole = original(base, split, data=data, download=download, fresh=fresh)
        known = CLASS_NAMES.get(base, whole.classes)
        labels, names = classes.merged(classes.groups(name, known), whole.labels, known)
        return replace(whole, name=name, labels=labels, classes=names, digest=pictures_digest(whole.pictures, labels))
    if name == "digits":
        return _cached(name, split, f"digits {version('scikit-learn')}", lambda: originals.digits(split))
    if name == "textures":
        return _cached(name, split, "textures", lambda: originals.textures(split))
    if brought.is_brought_source(name):
        return _brought(name, split)
    if name in STOCKS:
        found, read = _named(name, split, data, download)
        layout = name
    elif exists((located := locations.located(name))[0]):
        layout, found, read = readers.reader(Path(located[0]), split, located[1])
    else:
        near = get_close_matches(name, STOCKS, n=1)
        hint = f"did you mean {near[0]}?" if near else "pass a name, or the path of an existing file or folder (from the current folder)"
        raise SourceError(f"there is no source {name}; the names are {', '.join(STOCKS)}; {hint}")
    try:
        remembered = cache_folder() / "digests"
        # The folder of a file can be its label, so its name belongs to what the pictures are decoded from.
        key = "\n".join(
            [layout, *(f"{file.parent.name}/{file.name} {fingerprints.cached_sha256(file, remembered, fresh=fresh)}" for file in found)]
        )
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read ({error.strerror}); let it be read, or pass another source") from error
    return _cached(name, split, key, read)


@lru_cache(maxsize=4)
def _brought(name: str, split: Split) -> Source:
    pictures, labels, names = brought.load_brought(name, split)
    return Source(name, split, pictures, labels, _class_names(name, split, labels, names), pictures_digest(pictures, labels))


def _named(name: str, split: Split, data: Path | None, download: bool) -> tuple[list[Path], Callable[[], readers.Decoded]]:
    roots = _roots(data)
    for root in roots:
        parquet = readers.parquet_files(root / FILES_OF.get(name, name), split)
        if parquet:
            return parquet, lambda files=parquet: readers.read_parquet(files, CLASS_NAMES[name], Reading(label=LABELS.get(name)))
        for place in (root, root / FILES_OF.get(name, name)):
            raw = originals.torchvision_files(name, split, place)
            if raw:
                return raw, lambda place=place: originals.read_torchvision(name, split, place)
    if download:
        originals.download_original(name, split, roots[0])
        return _named(name, split, data, False)
    looked = ", ".join(str(root) for root in roots)
    raise SourceError(
        f"no {split.value} pictures of {name} in {looked}; pass --data DIR (or set DOMINOES_DATA) with {name}/{split.value}.parquet or "
        "torchvision's files in it, or add --download to fetch them"
    )


def _roots(data: Path | None) -> list[Path]:
    roots = [Path(data)] if data is not None else []
    if data is not None and not Path(data).is_dir():
        raise SourceError(f"{data} is not a folder; pass --data a folder that holds the sources")
    if os.environ.get("DOMINOES_DATA"):
        roots.append(Path(os.environ["DOMINOES_DATA"]))
    return [*roots, cache_folder() / "data"]


def _cached(name: str, split: Split, key: str, read: Callable[[], readers.Decoded], *, checked: bool = False) -> Source:
    """Open the cache's entry for these files, made first if it is missing; the labels of new ones are looked at unless they were before."""
    code = hashlib.sha256(f"{_CACHE_FORMAT} {split.value} {key}".encode()).hexdigest()[:24]
    folder = cache_folder() / "decoded" / code
    if not folder.is_dir():
        pictures, labels, names = read()
        _fill(folder, name, split, pictures, labels, tuple(names or ()) if checked else _class_names(name, split, labels, names))
    try:
        pictures = np.load(folder / "pictures.npy", mmap_mode="c")
        labels = np.load(folder / "labels.npy")
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return Source(name, split, pictures, labels, tuple(about["classes"]), about["digest"])
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise SourceError(f"the cache of {name} in {folder} is damaged ({error}); remove this folder and run again") from error


def _fill(folder: Path, name: str, split: Split, pictures: dials.Pictures, labels: NDArray[np.int64], names: tuple[str, ...]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError as error:
        raise _no_cache(folder, error) from error
    try:
        np.save(temporary / "pictures.npy", pictures)
        np.save(temporary / "labels.npy", labels)
        about = {"source": name, "split": split.value, "classes": list(names), "digest": pictures_digest(pictures, labels)}
        (temporary / "about.json").write_text(json.dumps(about), encoding="utf-8")
        try:
            temporary.rename(folder)
        except OSError:
            # Another process was first; its entry has the same content.
            if not folder.is_dir():
                raise
    except OSError as error:
        raise _no_cache(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _no_cache(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or error
    return OutputError(
        f"the cache folder {folder.parent} cannot be written ({reason}); free the disk, or set XDG_CACHE_HOME to a folder that can"
    )


def _class_names(name: str, split: Split, labels: NDArray[np.int64], names: Sequence[str] | None) -> tuple[str, ...]:
    if not len(labels):
        raise SourceError(f"{name}: the {split.value} split holds no pictures; expected at least one of each class")
    classes = len(names) if names else int(labels.max()) + 1
    if not names and classes > len(labels):
        raise SourceError(f"{name}: {len(labels)} {split.value} pictures for {classes} classes; expected at least one of each class")
    for wrong in np.flatnonzero((labels < 0) | (labels >= classes)):
        raise SourceError(f"{name}: picture {wrong} of the {split.value} split has label {labels[wrong]}; expected 0 to {classes - 1}")
    counts = np.bincount(labels, minlength=classes)
    for empty in map(int, np.flatnonzero(counts == 0)):
        called = f"class {names[empty]}" if names else f"class {empty}"
        raise SourceError(f"{name}: {called} has no {split.value} pictures; expected at least one of each of {classes} classes")
    return tuple(names) if names else tuple(map(str, range(classes)))
