"""Pixels in files: what is written reads back as the same arrays."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dominoes.data import folder
from dominoes.data.dealing import Dealt, deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.pixels import export_pixels
from dominoes.errors import OutputError
from dominoes.spec import DominoSpec


def test_npz_reads_back(small: Dealt, tmp_path: Path) -> None:
    """x holds the pictures N×64×32×3, y the labels, kind and halves their columns."""
    dominoes = Dominoes.of(small)
    export_pixels(dominoes, "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["x"].transpose(0, 3, 1, 2), dominoes.data.numpy())
        assert np.array_equal(archive["y"], small.deal.label)
        assert archive["kind"].tolist() == dominoes.kinds
        assert np.array_equal(archive["bottom_index"], small.deal.index["bottom"])
        assert np.array_equal(archive["top_label"], small.deal.shown["top"])


def test_the_folder_is_an_image_folder(small: Dealt, tmp_path: Path) -> None:
    """torchvision's ImageFolder reads it: classes by folder, every picture as composed."""
    from torchvision.datasets import ImageFolder

    dominoes = Dominoes.of(small)
    export_pixels(dominoes, "folder", tmp_path / "pictures")
    found = ImageFolder(str(tmp_path / "pictures"))
    assert len(found) == 300
    for path, label in found.samples:
        row = int(Path(path).stem)
        assert found.classes[label] == str(small.deal.label[row])
        assert np.array_equal(np.asarray(Image.open(path)).transpose(2, 0, 1), dominoes.data[row].numpy())
    assert len(pd.read_csv(tmp_path / "pictures" / "metadata.csv")) == 300


def test_parquet_is_in_hugging_face_layout(small: Dealt, tmp_path: Path) -> None:
    """image is struct(bytes, path) with PNGs, label an integer, and the schema names features and classes."""
    import io
    import json

    import pyarrow.parquet as pq

    dominoes = Dominoes.of(small)
    export_pixels(dominoes, "parquet", tmp_path / "train.parquet")
    table = pq.read_table(tmp_path / "train.parquet")
    assert table["label"].to_pylist() == small.deal.label.tolist()
    for row in (0, 150, 299):
        picture = np.asarray(Image.open(io.BytesIO(table["image"][row]["bytes"].as_py())))
        assert np.array_equal(picture.transpose(2, 0, 1), dominoes.data[row].numpy())
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"]["names"] == dominoes.classes
    assert list(features) == table.column_names


def test_labels_of_many_classes_keep_their_order(tmp_path: Path) -> None:
    """With twelve classes, and with classes that have no domino, ImageFolder numbers the labels by their names' order."""
    from torchvision.datasets import ImageFolder

    x, y = np.zeros((24, 32, 32), np.uint8), np.arange(24) % 12
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    source = str(tmp_path / "a.npz")
    for n in (24, 5):
        dominoes = Dominoes.of(deal_spec(DominoSpec(n=n, prevalence=(1, 0), top=source, bottom=source)))
        export_pixels(dominoes, "folder", tmp_path / f"out{n}")
        found = ImageFolder(str(tmp_path / f"out{n}"))
        assert sorted(int(found.classes[label]) for _, label in found.samples) == sorted(dominoes.deal.label.tolist())
        assert n < 24 or all(label == dominoes.deal.label[int(Path(path).stem)] for path, label in found.samples)


def test_an_export_does_not_replace_a_dataset(small: Dealt, tmp_path: Path) -> None:
    """Force replaces what an export left, never the dataset folder itself."""
    folder.save_dataset(small, tmp_path / "set")
    with pytest.raises(OutputError, match="holds files of another kind"):
        export_pixels(Dominoes.of(small), "folder", tmp_path / "set", force=True)
    assert folder.verify_dataset(tmp_path / "set") == []


@pytest.mark.parametrize("form", ["npz", "parquet", "folder"])
def test_nothing_is_overwritten_unasked(small: Dealt, tmp_path: Path, form: str) -> None:
    """What is there already is kept, unless force is said."""
    dominoes = Dominoes.of(small)
    path = tmp_path / "out"
    export_pixels(dominoes, form, path)
    with pytest.raises(OutputError, match="is (there already|not empty); pass another --out, or --force to replace it"):
        export_pixels(dominoes, form, path)
    export_pixels(dominoes, form, path, force=True)


def test_a_file_does_not_replace_a_folder(small: Dealt, tmp_path: Path) -> None:
    """A folder in the place of the file is refused, with force too."""
    (tmp_path / "d").mkdir()
    with pytest.raises(OutputError, match="is there already; pass another --out"):
        export_pixels(Dominoes.of(small), "npz", tmp_path / "d", force=True)
