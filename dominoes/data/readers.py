"""Files of pictures, in the layouts that people have, become uint8 arrays.

Libraries that are slow to import (torchvision, pyarrow, scikit-learn, Pillow) are imported where a file of their kind is read.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dominoes.dials import Pictures
from dominoes.errors import SourceError, brief
from dominoes.spec import Split

# Pictures N×C×32×32, labels, and the names of the classes where the files have them.
Decoded = tuple[Pictures, NDArray[np.int64], Sequence[str] | None]

SIZE = 32
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def reader(path: Path, split: Split) -> tuple[str, list[Path], Callable[[], Decoded]]:
    """A description of the layout of the source at `path`, the files that hold a split, and what reads them.

    The description and the files' content say all that the decoded pictures depend on. Raises SourceError for an unknown layout.
    """
    if path.suffix == ".npz":
        return "npz", [path], lambda: read_npz(path, split)
    if path.is_file() and path.suffix == ".parquet":
        twin = _twin(path, split)
        return "parquet", [twin], lambda: read_parquet([twin])
    if path.is_dir():
        found = parquet_files(path, split)
        if found:
            return "parquet", found, lambda: read_parquet(found)
        if (path / split.value).is_dir():
            classes, samples = _image_folder(path, split)
            layout = f"folder {classes} {[number for _, number in samples]}"
            return layout, [file for file, _ in samples], lambda: _read_image_folder(samples, classes)
    raise SourceError(
        f"{path} holds no {split.value} pictures in a known layout; expected {split.value}*.parquet files, "
        f"class folders under {split.value}/, or a .npz with x_{split.value} and y_{split.value}"
    )


def stack(found: Iterator[tuple[str, NDArray[Any]]], count: int) -> Pictures:
    """Stack pictures (height×width or height×width×channels uint8) to N×C×32×32; each comes with a name for messages."""
    stacked = np.zeros((count, 3, SIZE, SIZE), dtype=np.uint8)
    gray = True
    for number, (where, picture) in enumerate(found):
        if picture.ndim == 2:
            picture = picture[:, :, None]
        height, width, channels = picture.shape
        if channels not in (1, 3):
            raise SourceError(f"{where}: a picture with {channels} channels; expected 1 (gray) or 3 (RGB), convert it first")
        if (height, width) not in ((28, 28), (SIZE, SIZE)):
            raise SourceError(f"{where}: a picture of {height}×{width} pixels; expected 32×32 or 28×28, resize it first")
        edge = (SIZE - height) // 2
        stacked[number, :, edge : edge + height, edge : edge + width] = picture.transpose(2, 0, 1)
        gray = gray and channels == 1
    return np.ascontiguousarray(stacked[:, :1]) if gray else stacked


def _open(content: bytes | Path, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            if max(image.size) <= 4 * SIZE:
                image.load()
            mode, size = image.mode, image.size
            form = {"1": "L", "P": "RGB", "L": "L", "RGB": "RGB"}.get(mode)
            if form and max(size) <= 4 * SIZE:
                return np.asarray(image if form == mode else image.convert(form))
    except Exception as error:  # a broken file can raise anything, from OSError to SyntaxError
        raise SourceError(f"{where}: the picture cannot be decoded ({brief(error)}); the file is damaged, fetch it again") from error
    if max(size) > 4 * SIZE:
        raise SourceError(f"{where}: a picture of {size[1]}×{size[0]} pixels; expected 32×32 or 28×28, resize it first")
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


def read_parquet(paths: list[Path], names: Sequence[str] | None = None) -> Decoded:
    """Pictures and labels of Parquet files with a column struct(bytes, path) and an integer column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened: list[tuple[Path, Any, str, str]] = []
    for path in paths:
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path} is not a readable Parquet file ({brief(error)}); fetch it again") from error
        schema = file.schema_arrow
        pictures = [f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
        labels = [f.name for f in schema if pa.types.is_integer(f.type)]
        label = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
        if len(pictures) != 1 or label is None:
            raise SourceError(
                f"{path} has the columns {', '.join(schema.names)}; expected one column struct(bytes, path) and one integer column label"
            )
        names = names or _names_of(schema)
        opened.append((path, file, pictures[0], label))
    count = sum(file.metadata.num_rows for _, file, _, _ in opened)
    found_labels: list[NDArray[np.int64]] = []

    def rows() -> Iterator[tuple[str, NDArray[Any]]]:
        for path, file, picture, label in opened:
            row = 0
            try:
                for batch in file.iter_batches(4096, columns=[picture, label]):
                    if batch.column(label).null_count:
                        raise SourceError(f"{path}: a row from {row} on has no label; expected a whole number in column {label}")
                    found_labels.append(labels_of(batch.column(label).to_numpy(zero_copy_only=False), f"{path}, row {row}"))
                    for content in batch.column(picture).field("bytes"):
                        where = f"{path}, row {row}"
                        if not content.is_valid:
                            raise SourceError(f"{where}: no picture; expected the bytes of one in column {picture}")
                        yield where, _open(content.as_py(), where)
                        row += 1
            except (pa.ArrowException, OSError) as error:
                raise SourceError(f"{path} is damaged from row {row} on ({brief(error)}); fetch it again") from error

    pictures_ = stack(rows(), count)
    return pictures_, np.concatenate(found_labels) if found_labels else np.zeros(0, np.int64), names


def _names_of(schema: Any) -> Sequence[str] | None:
    """Class names that Hugging Face's writer leaves in the schema's metadata."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        return next((feature["names"] for feature in features.values() if isinstance(feature, dict) and feature.get("names")), None)
    except (ValueError, AttributeError):  # somebody else's metadata; the labels speak for themselves
        return None


def read_npz(path: Path, split: Split) -> Decoded:
    """Pictures and labels of a Keras-style .npz: x_train, y_train, x_test, y_test."""
    keys = f"x_{split.value}", f"y_{split.value}"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise SourceError(f"{path} holds {', '.join(archive.files) or 'nothing'}; expected {' and '.join(keys)}")
            pictures, labels = archive[keys[0]], archive[keys[1]]
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} is not a readable .npz file ({brief(error)}); fetch it again") from error
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
        raise SourceError(
            f"{path}: {keys[0]} is {pictures.dtype} of shape {pictures.shape}; expected uint8 of N×32×32, N×28×28 or N×32×32×3"
        )
    found = labels_of(labels, f"{path}: {keys[1]}")
    if len(found) != len(pictures):
        raise SourceError(f"{path}: {len(pictures)} pictures in {keys[0]} and {len(found)} labels in {keys[1]}; expected as many")
    return stack(((f"{path}, row {row}", picture) for row, picture in enumerate(pictures)), len(pictures)), found, None


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


def _read_image_folder(samples: list[tuple[Path, int]], classes: list[str]) -> Decoded:
    pictures = stack(((str(file), _open(file, str(file))) for file, _ in samples), len(samples))
    return pictures, np.array([number for _, number in samples], dtype=np.int64), classes
