"""Files of pictures, in the layouts that people have, become uint8 arrays.

Libraries that are slow to import (torchvision, pyarrow, scikit-learn, Pillow) are imported where a file of their kind is read.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dominoes.data.locations import LARGEST, PLAIN, RESAMPLING, SIZE, Reading, resampled
from dominoes.dials import Pictures
from dominoes.errors import SourceError, brief
from dominoes.spec import Split

# Pictures N×C×32×32, labels, and the names of the classes where the files have them.
Decoded = tuple[Pictures, NDArray[np.int64], Sequence[str] | None]

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def reader(path: Path, split: Split, how: Reading = PLAIN) -> tuple[str, list[Path], Callable[[], Decoded]]:
    """A description of the layout of the source at `path`, the files that hold a split, and what reads them.

    The description and the files' content say all that the decoded pictures depend on. Raises SourceError for an unknown layout, and for
    columns where there are none.
    """
    layout, files, read = _layout(path, split, how)
    if (how.image or how.label) and layout not in ("parquet", "arrow"):
        raise SourceError(f"{path} has no columns; expected image= and label= with Parquet or Arrow files only, leave them out")
    return f"{layout} {how.key}".rstrip(), files, read


def _layout(path: Path, split: Split, how: Reading) -> tuple[str, list[Path], Callable[[], Decoded]]:
    if path.suffix == ".npz":
        return "npz", [path], lambda: read_npz(path, split, how)
    if path.is_file() and path.suffix == ".parquet":
        twin = _twin(path, split)
        return "parquet", [twin], lambda: read_parquet([twin], how=how)
    if path.is_dir():
        found = parquet_files(path, split)
        if found:
            return "parquet", found, lambda: read_parquet(found, how=how)
        found = sorted((path / split.value).glob("*.arrow"))
        if found:
            return "arrow", found, lambda: read_parquet(found, how=how)
        if (path / split.value).is_dir():
            classes, samples = _image_folder(path, split)
            layout = f"folder {classes} {[number for _, number in samples]}"
            return layout, [file for file, _ in samples], lambda: _read_image_folder(samples, classes, how)
    raise SourceError(
        f"{path} holds no {split.value} pictures in a known layout; expected {split.value}*.parquet files, "
        f"class folders or .arrow files under {split.value}/, or a .npz with x_{split.value} and y_{split.value}"
    )


def stack(found: Iterator[tuple[str, NDArray[Any]]], count: int, resample: str | None = None) -> Pictures:
    """Stack pictures (height×width or height×width×channels uint8) to N×C×32×32; each comes with a name for messages.

    Those of 28×28 are padded with 0; those of other sizes are resampled, or refused where no way to do so is named.
    """
    # Gray until one has colours: three times as much memory, which of a million pictures is 3 GB.
    stacked = _room((count, 1, SIZE, SIZE))
    for number, (where, picture) in enumerate(found):
        if picture.ndim == 2:
            picture = picture[:, :, None]
        channels = picture.shape[2]
        if channels not in (1, 3):
            raise SourceError(f"{where}: a picture with {channels} channels; expected 1 (gray) or 3 (RGB), convert it first")
        if picture.shape[:2] not in ((28, 28), (SIZE, SIZE)):
            if resample is None:
                raise _other_size(where, picture.shape[0], picture.shape[1])
            picture = resampled(picture, resample).reshape(SIZE, SIZE, channels)
        height, width = picture.shape[:2]
        edge = (SIZE - height) // 2
        if channels == 3 and stacked.shape[1] == 1:
            before, stacked = stacked, _room((count, 3, SIZE, SIZE))
            stacked[:number] = before[:number]
            del before
        stacked[number, :, edge : edge + height, edge : edge + width] = picture.transpose(2, 0, 1)
    return stacked


# Bytes of pictures beyond which they are in a file without a name, and not in memory, until the cache has them.
_IN_MEMORY = 1 << 28


def _room(shape: tuple[int, ...]) -> Pictures:
    """Zeros: in memory, or of very many pictures in a file, which the system can write out where memory is short."""
    size = int(np.prod(shape))
    if size > _IN_MEMORY and hasattr(os, "posix_fallocate"):
        try:
            with tempfile.TemporaryFile() as file:
                # A disk that is full says so here; a write to what is mapped would end the process.
                os.posix_fallocate(file.fileno(), 0, size)
                return np.asarray(np.memmap(file, np.uint8, "r+", shape=shape))
        except OSError:
            return np.zeros(shape, dtype=np.uint8)
    return np.zeros(shape, dtype=np.uint8)


def _other_size(where: str, height: int, width: int) -> SourceError:
    return SourceError(
        f"{where}: a picture of {height}×{width} pixels; expected 32×32 or 28×28; resize it first, or write "
        f"#resample=box behind the source (or {', '.join(RESAMPLING[1:])})"
    )


def _open(content: bytes | Path, where: str, resample: str | None = None) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    largest = 4 * SIZE if resample is None else LARGEST
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            if max(image.size) <= largest:
                image.load()
            mode, size = image.mode, image.size
            form = {"1": "L", "P": "RGB", "L": "L", "RGB": "RGB"}.get(mode)
            if form and max(size) <= largest:
                return np.asarray(image if form == mode else image.convert(form))
    except Image.DecompressionBombError as error:
        raise SourceError(f"{where}: a picture of over 100 million pixels; expected at most {largest} a side, resize it first") from error
    except UnidentifiedImageError as error:
        why = "it is empty, or of no form that is known"
        raise SourceError(f"{where}: the picture cannot be decoded ({why}); the file is damaged, fetch it again") from error
    except Exception as error:  # a broken file can raise anything, from OSError to SyntaxError
        raise SourceError(f"{where}: the picture cannot be decoded ({brief(error)}); the file is damaged, fetch it again") from error
    if max(size) > largest:
        if resample is None:
            raise _other_size(where, size[1], size[0])
        raise SourceError(f"{where}: a picture of {size[1]}×{size[0]} pixels; expected at most {LARGEST} a side, resize it first")
    raise SourceError(f"{where}: a picture of mode {mode}; expected gray (L) or RGB with 8 bits a channel, convert it first")


def labels_of(values: Any, where: str) -> NDArray[np.int64]:
    labels = np.asarray(values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise SourceError(f"{where}: labels are {labels.dtype} of shape {labels.shape}; expected one whole number a picture")
    most = np.iinfo(np.int64).max
    if labels.dtype.kind == "u" and len(labels) and labels.max() > most:
        row = int((labels > most).argmax())
        raise SourceError(f"{where}: label {labels[row]} of picture {row} is beyond any number of classes; expected 0 to K − 1")
    return labels.astype(np.int64)


def parquet_files(folder: Path, split: Split) -> list[Path]:
    """The split's files in a folder of Hugging Face layout (train.parquet, data/train-00000-of-00001.parquet, ...)."""
    for pattern in (f"{split.value}*.parquet", f"*/{split.value}*.parquet", f"{split.value}/*.parquet"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []


def _twin(path: Path, split: Split) -> Path:
    """The file of a split, given that of either: its name with train and test, where they stand as words, exchanged."""
    word = re.compile(r"(?<![A-Za-z])(train|test)(?![A-Za-z])")
    if not word.search(path.name):
        raise SourceError(
            f"{path}: nothing says whether these are train or test pictures; name two files "
            "such as NAME-train.parquet and NAME-test.parquet"
        )
    twin = path.with_name(word.sub(split.value, path.name))
    if not twin.is_file():
        raise SourceError(f"{path} holds no {split.value} pictures; expected {twin.name} beside it")
    return twin


def read_parquet(paths: list[Path], names: Sequence[str] | None = None, how: Reading = PLAIN) -> Decoded:
    """Pictures and labels of Parquet files, or Arrow files of `datasets`, with a column struct(bytes, path) and an integer column."""
    import pyarrow as pa

    opened: list[tuple[Path, _Rows, str, str]] = []
    for path in paths:
        try:
            file = _rows_of(path)
        except (pa.ArrowException, OSError) as error:
            form = "Parquet" if path.suffix == ".parquet" else "Arrow"
            raise SourceError(f"{path} is not a readable {form} file ({brief(error)}); fetch it again") from error
        picture, label = _columns(path, file.schema, how)
        names = names or _names_of(file.schema, label)
        opened.append((path, file, picture, label))
    count = sum(file.count for _, file, _, _ in opened)
    found_labels: list[NDArray[np.int64]] = []

    def rows() -> Iterator[tuple[str, NDArray[Any]]]:
        for path, file, picture, label in opened:
            row = 0
            try:
                for batch in file.batches([picture, label]):
                    if batch.column(label).null_count:
                        raise SourceError(f"{path}: a row from {row} on has no label; expected a whole number in column {label}")
                    found_labels.append(labels_of(batch.column(label).to_numpy(zero_copy_only=False), f"{path}, row {row}"))
                    for content in batch.column(picture).field("bytes"):
                        where = f"{path}, row {row}"
                        if not content.is_valid:
                            raise SourceError(f"{where}: no picture; expected the bytes of one in column {picture}")
                        yield where, _open(content.as_py(), where, how.resample)
                        row += 1
            except (pa.ArrowException, OSError) as error:
                raise SourceError(f"{path} is damaged from row {row} on ({brief(error)}); fetch it again") from error

    pictures_ = stack(rows(), count, how.resample)
    return pictures_, np.concatenate(found_labels) if found_labels else np.zeros(0, np.int64), names


@dataclass(frozen=True)
class _Rows:
    """Rows of one file: their schema, how many there are, and batches of some columns."""

    schema: Any
    count: int
    batches: Callable[[list[str]], Iterator[Any]]


def _rows_of(path: Path) -> _Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        return _Rows(file.schema_arrow, file.metadata.num_rows, lambda columns: file.iter_batches(4096, columns=columns))
    with pa.memory_map(str(path)) as mapped:
        # `datasets` writes streams, other software files.
        try:
            table = pa.ipc.open_stream(mapped).read_all()
        except pa.ArrowInvalid:
            table = pa.ipc.open_file(mapped).read_all()
    return _Rows(table.schema, table.num_rows, lambda columns: iter(table.select(columns).to_batches(4096)))


def _columns(path: Path, schema: Any, how: Reading) -> tuple[str, str]:
    """The columns of pictures and labels."""
    import pyarrow as pa

    pictures = [f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
    labels = [f.name for f in schema if pa.types.is_integer(f.type)]
    for named, fitting, what in ((how.image, pictures, "struct(bytes, path)"), (how.label, labels, "whole numbers")):
        if named is not None and named not in fitting:
            fits = ", ".join(fitting) or "none"
            raise SourceError(f"{path} has no column {named} of {what}; its columns of that kind are: {fits}")
    picture = how.image or (pictures[0] if len(pictures) == 1 else None)
    label = how.label or ("label" if "label" in labels else labels[0] if len(labels) == 1 else None)
    if picture is None or label is None:
        raise SourceError(
            f"{path} has the columns {', '.join(schema.names)}; expected one column struct(bytes, path) and one integer column label, "
            "or their names behind the source: #image=COLUMN,label=COLUMN"
        )
    return picture, label


def _names_of(schema: Any, label: str) -> Sequence[str] | None:
    """Class names that Hugging Face's writer leaves in the schema's metadata: of the labels' column, else the first that has some."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        own = features.get(label)
        if isinstance(own, dict) and own.get("names"):
            return list(own["names"])
        return next((feature["names"] for feature in features.values() if isinstance(feature, dict) and feature.get("names")), None)
    except (ValueError, AttributeError):  # somebody else's metadata; the labels speak for themselves
        return None


def read_npz(path: Path, split: Split, how: Reading = PLAIN) -> Decoded:
    """Pictures and labels of a Keras-style .npz: x_train, y_train, x_test, y_test."""
    keys = f"x_{split.value}", f"y_{split.value}"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise SourceError(f"{path} holds {', '.join(archive.files) or 'nothing'}; expected {' and '.join(keys)}")
            labels = archive[keys[1]]
        with zipfile.ZipFile(path) as archive, archive.open(f"{keys[0]}.npy") as member:
            shape, backward, dtype = _header(member)
            if dtype != np.uint8 or len(shape) not in (3, 4):
                raise SourceError(f"{path}: {keys[0]} is {dtype} of shape {shape}; expected uint8 of N×32×32, N×28×28 or N×32×32×3")
            found = labels_of(labels, f"{path}: {keys[1]}")
            if len(found) != shape[0]:
                raise SourceError(f"{path}: {shape[0]} pictures in {keys[0]} and {len(found)} labels in {keys[1]}; expected as many")
            pictures = _backward(member, shape) if backward else _slices(member, shape)
            rows = ((f"{path}, row {row}", picture) for row, picture in enumerate(pictures))
            return stack(rows, shape[0], how.resample), found, None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # numpy takes what it does not know for pickled, and advises to unpickle it: that would run code.
        why = "it holds Python objects, which are not loaded, or no arrays" if "pickle" in str(error) else brief(error)
        raise SourceError(f"{path} is not a readable .npz file ({why}); expected arrays of whole numbers, fetch it again") from error


# Pictures of an .npz that are read at once.
_SLICE = 4096


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index runs fastest, and type of an array in a file; what follows are its bytes."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(member)
    return found


def _slices(member: IO[bytes], shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    size = int(np.prod(shape[1:]))
    for start in range(0, shape[0], _SLICE):
        count = min(_SLICE, shape[0] - start)
        content = member.read(count * size)
        if len(content) < count * size:
            raise EOFError(f"it ends after {start + len(content) // max(size, 1)} of {shape[0]} pictures")
        yield from np.frombuffer(content, dtype=np.uint8).reshape(count, *shape[1:])


def _backward(member: IO[bytes], shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    """Pictures of an array in Fortran's order, which no slice of the file holds whole."""
    yield from np.frombuffer(member.read(), dtype=np.uint8).reshape(shape[::-1]).T


def _image_folder(root: Path, split: Split) -> tuple[list[str], list[tuple[Path, int]]]:
    """Class names (the sorted folders of both splits) and the split's files with their class, as torchvision's ImageFolder has them."""
    folder = root / split.value
    classes = sorted({entry.name for part in ("train", "test") for entry in (root / part).glob("*") if entry.is_dir()})
    samples = [
        (file, number)
        for number, name in enumerate(classes)
        for file in sorted((folder / name).rglob("*"))
        # What macOS leaves beside files of other file systems has their names after `._`, and is no picture.
        if file.suffix.lower() in _PICTURE_SUFFIXES and not file.name.startswith("._")
    ]
    if not samples:
        raise SourceError(f"{folder} holds no pictures; expected a folder for each class with {', '.join(_PICTURE_SUFFIXES[:3])} files")
    return classes, samples


def _read_image_folder(samples: list[tuple[Path, int]], classes: list[str], how: Reading) -> Decoded:
    opened = ((str(file), _open(file, str(file), how.resample)) for file, _ in samples)
    pictures = stack(opened, len(samples), how.resample)
    return pictures, np.array([number for _, number in samples], dtype=np.int64), classes
