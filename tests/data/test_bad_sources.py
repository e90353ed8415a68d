"""Files that are broken are named, with what is wrong and where."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from picture_files import pictures, png, write_parquet
from PIL import Image

from dominoes.data import sources
from dominoes.data.sources import load_source
from dominoes.errors import SourceError
from dominoes.spec import Split


def bad_parquet(path: Path, case: str) -> None:
    """Files with one fault each."""
    good = [png(picture) for picture in pictures(4)]
    labels: Any = [0, 1, 0, 1]
    if case == "truncated picture":
        good[2] = good[2][: len(good[2]) // 2]
    elif case == "no picture":
        good[1] = None  # type: ignore[call-overload]
    elif case == "not a picture":
        good[3] = b"hello"
    elif case == "other size":
        good[1] = png(pictures(1, 30)[0])
    elif case == "huge":
        good[1] = png(pictures(1, 500)[0])
    elif case == "alpha":
        good[2] = png(pictures(1, 32, 4)[0])
    elif case == "16 bit":
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((32, 32), np.uint16)).save(buffer, "png")
        good[0] = buffer.getvalue()
    elif case == "negative label":
        labels = [0, 1, -1, 1]
    elif case == "gap in labels":
        labels = [0, 2, 0, 2]
    elif case == "null label":
        labels = pa.array([0, None, 1, 1])
    elif case == "float label":
        labels = [0.0, 1.0, 0.0, 1.0]
    elif case == "empty":
        good, labels = [], pa.array([], pa.int64())
    write_parquet(path, good, labels)
    if case == "truncated file":
        path.write_bytes(path.read_bytes()[:-20])
    if case == "damaged data":
        content = bytearray(path.read_bytes())
        content[200:3000] = bytes(2800)
        path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("truncated picture", r"train.parquet, row 2: the picture cannot be decoded .*damaged, fetch it again"),
        ("no picture", r"train.parquet, row 1: no picture"),
        ("not a picture", r"train.parquet, row 3: the picture cannot be decoded"),
        ("other size", r"row 1: a picture of 30×30 pixels; expected 32×32 or 28×28"),
        ("huge", r"row 1: a picture of 500×500 pixels; expected 32×32 or 28×28"),
        ("alpha", r"row 2: a picture of mode RGBA; expected gray \(L\) or RGB"),
        ("16 bit", r"row 0: a picture of mode I;16"),
        ("negative label", r"picture 2 of the train split has label -1; expected 0 to 1"),
        ("gap in labels", r"class 1 has no train pictures; expected at least one of each of 3 classes"),
        ("null label", r"has no label; expected a whole number in column label"),
        ("float label", r"expected one column struct\(bytes, path\) and one integer column label"),
        ("empty", r"the train split holds no pictures"),
        ("truncated file", r"train.parquet is not a readable Parquet file"),
        ("damaged data", r"train.parquet.*(damaged from row 0|cannot be decoded|not a readable)"),
    ],
)
def test_bad_parquet_is_named_with_file_and_row(tmp_path: Path, case: str, message: str) -> None:
    """Each fault of a file gives one sentence with the file, the row, what was expected."""
    bad_parquet(tmp_path / "train.parquet", case)
    with pytest.raises(SourceError, match=message):
        load_source(str(tmp_path), Split.TRAIN)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": pictures(2), "y_test": np.array([0, 1])}, "holds x_test, y_test; expected x_train and y_train"),
        ({"x_train": pictures(2).astype(float), "y_train": np.array([0, 1])}, "x_train is float64.*expected uint8"),
        ({"x_train": pictures(2), "y_train": np.array([0, 1, 1])}, "2 pictures in x_train and 3 labels"),
        ({"x_train": pictures(2), "y_train": np.eye(2)}, "labels are float64 of shape"),
        ({"x_train": pictures(2, 64), "y_train": np.array([0, 1])}, "row 0: a picture of 64×64 pixels"),
        ({"x_train": pictures(2, 32, 4), "y_train": np.array([0, 1])}, "row 0: a picture with 4 channels"),
        ({"x_train": pictures(2), "y_train": np.array([0, 10**11])}, "2 train pictures for 100000000001 classes"),
        ({"x_train": pictures(2), "y_train": np.array(["a", "b"], dtype=object)}, "not a readable .npz"),
    ],
)
def test_bad_npz_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    """Arrays that are not pictures and labels are refused with their name, type and shape."""
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SourceError, match=message):
        load_source(str(tmp_path / "a.npz"), Split.TRAIN)


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    """A .npy file under another name is refused."""
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, pictures(2))
    with pytest.raises(SourceError, match="not a readable .npz file"):
        load_source(str(tmp_path / "a.npz"), Split.TRAIN)


def test_a_truncated_npz_is_named(tmp_path: Path) -> None:
    """Half a file is refused."""
    path = tmp_path / "a.npz"
    np.savez(path, x_train=pictures(2), y_train=np.array([0, 1]))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"a.npz is not a readable .npz file"):
        load_source(str(path), Split.TRAIN)


@pytest.mark.parametrize("label", [2**64 - 1, 2**63])
def test_a_label_beyond_every_number_is_named_as_it_is(tmp_path: Path, label: int) -> None:
    """An unsigned label that no signed number holds is not turned into a negative one on its way into the message."""
    labels = np.array([0, 1, label, 0], dtype=np.uint64)
    x = np.zeros((4, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    with pytest.raises(SourceError, match=f"label {label} of picture 2 is beyond any number of classes"):
        sources.load_source(str(tmp_path / "a.npz"), Split.TRAIN)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    """An empty file, a bomb, a pipe, a folder and a link to itself among the pictures of a folder; none is waited for, none is unpacked."""

    def bomb(path: Path) -> None:
        Image.new("1", (20_000, 20_000)).save(path)

    cases: dict[str, tuple[Callable[[Path], object], str]] = {
        "empty": (Path.touch, r"the picture cannot be decoded .it is empty, or of no form that is known."),
        "bomb": (bomb, "a picture of over 100 million pixels; expected at most"),
        "pipe": (os.mkfifo, "cannot be read .it is no regular file."),
        "folder": (Path.mkdir, "cannot be read .it is no regular file."),
        "loop": (lambda path: path.symlink_to(path.name), "cannot be read .Too many levels of symbolic links."),
    }
    for case, (make, message) in cases.items():
        for split in ("train", "test"):
            for name in ("a", "b"):
                place = tmp_path / case / split / name
                place.mkdir(parents=True)
                Image.fromarray(pictures(1)[0]).save(place / "1.png")
        make(tmp_path / case / "train" / "a" / "2.png")
        with pytest.raises(SourceError, match=rf"2.png:? .*{message}"):
            load_source(str(tmp_path / case), Split.TRAIN)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    """Of an .npz that would run code, and of a file that numpy takes for such a one; no advice to do so all the same is passed on."""
    np.savez(tmp_path / "a.npz", x_train=pictures(2), y_train=np.array([0, None], dtype=object))
    (tmp_path / "b.npz").write_bytes(b"nothing that is known" * 20)
    for name in ("a.npz", "b.npz"):
        with pytest.raises(SourceError, match="not a readable .npz file .it holds Python objects, which are not loaded, or no arrays."):
            load_source(str(tmp_path / name), Split.TRAIN)


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    """A file whose pictures all have one label is refused where it is read for a dataset, also when it was read before."""
    write_parquet(tmp_path / "one" / "train.parquet", [png(picture) for picture in pictures(4)], [0, 0, 0, 0])
    for _ in range(2):
        with pytest.raises(SourceError, match="one: the train pictures are of one class; expected at least two, with labels from 0 on"):
            load_source(str(tmp_path / "one"), Split.TRAIN)
