"""Sources that are read with options: pictures of any size, columns by name, folders of `datasets`, both labels of CIFAR-100."""

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from dominoes.cli.commands import main
from dominoes.data import dealing, sources
from dominoes.data.catalogue import CLASS_NAMES
from dominoes.data.locations import RESAMPLING, Reading, located, resampled
from dominoes.data.sources import load_source
from dominoes.errors import SourceError
from dominoes.spec import DominoSpec, Split

Pixels = NDArray[np.uint8]


def pictures(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Random pictures, N×height×width(×3)."""
    shape = (count, height, width, *((channels,) if channels > 1 else ()))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(picture: Pixels) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def table(columns: dict[str, Any], names: dict[str, list[str]] | None = None) -> pa.Table:
    """A table with columns of pictures (lists of arrays) and of whole numbers, and class names as the hub's writer keeps them."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    made = {
        name: pa.array([{"bytes": png(each), "path": None} for each in values], kind)
        if isinstance(values, np.ndarray)
        else pa.array(values)
        for name, values in columns.items()
    }
    features = {name: {"names": classes, "_type": "ClassLabel"} for name, classes in (names or {}).items()}
    return pa.table(made).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_a_box_is_the_mean_over_whole_blocks() -> None:
    """64×64 pixels become the means of 2×2 blocks, rounded by row and by column; of other shapes the largest centred square is taken."""
    picture = pictures(1, 64, 64)[0]
    means = picture.reshape(32, 2, 32, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(resampled(picture, "box") - means).max() <= 1
    wide = np.zeros((64, 100, 3), np.uint8)
    wide[:, 18:82] = picture
    assert np.array_equal(resampled(wide, "box"), resampled(picture, "box"))
    gray = pictures(1, 96, 96, 1)[0]
    assert np.array_equal(resampled(gray[:, :, None], "box"), resampled(gray, "box"))
    assert resampled(gray, "lanczos").shape == (32, 32)


@pytest.mark.parametrize("layout", ["npz", "parquet", "folder"])
@pytest.mark.parametrize("resample", RESAMPLING)
def test_pictures_of_any_size_are_resampled_on_request(tmp_path: Path, layout: str, resample: str) -> None:
    """In every layout; without the option they are refused with a sentence that names it; 28×28 is padded as ever."""
    x, y = pictures(4, 50, 64), np.array([0, 1, 0, 1])
    source = tmp_path / {"npz": "a.npz", "parquet": "train.parquet", "folder": "pictures"}[layout]
    if layout == "npz":
        np.savez(source, x_train=x, y_train=y, x_test=x, y_test=y)
    elif layout == "parquet":
        pq.write_table(table({"image": x, "label": y.tolist()}), source)
    else:
        for number, picture in enumerate(x):
            (source / "train" / str(y[number])).mkdir(parents=True, exist_ok=True)
            (source / "train" / str(y[number]) / f"{number}.png").write_bytes(png(picture))
    with pytest.raises(SourceError, match="50×64 pixels; expected 32×32 or 28×28; resize it first, or write #resample=box behind"):
        load_source(str(source), Split.TRAIN)
    found = load_source(f"{source}#resample={resample}", Split.TRAIN)
    order = [0, 2, 1, 3] if layout == "folder" else range(4)
    for picture, row in zip(found.pictures, order, strict=True):
        assert np.array_equal(picture, resampled(x[row], resample).transpose(2, 0, 1))
    assert found.stock == (2, 2)


def test_usual_sizes_are_left_alone(tmp_path: Path) -> None:
    """With an option to resample, 32×32 and 28×28 are what they are without; the digest of the pixels is the same."""
    x, y = pictures(2, 28, 28), np.array([0, 1])
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    plain, asked = load_source(str(tmp_path / "a.npz"), Split.TRAIN), load_source(f"{tmp_path}/a.npz#resample=box", Split.TRAIN)
    assert plain.digest == asked.digest
    large = [np.zeros((5000, 8, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)]
    (tmp_path / "b" / "train" / "0").mkdir(parents=True)
    for number, picture in enumerate(large):
        (tmp_path / "b" / "train" / "0" / f"{number}.png").write_bytes(png(picture))
    with pytest.raises(SourceError, match="5000×8 pixels; expected at most 4096 a side"):
        load_source(f"{tmp_path}/b#resample=box", Split.TRAIN)


def test_columns_are_named(tmp_path: Path) -> None:
    """Of two columns of pictures and of labels those that are named are read, with the class names of that label."""
    x, other = pictures(6, 32, 32), pictures(6, 32, 32, seed=1)
    fine, coarse = [0, 1, 2, 0, 1, 2], [0, 0, 1, 0, 0, 1]
    names = {"fine_label": ["ant", "bee", "cow"], "coarse_label": ["insect", "mammal"]}
    for split in Split:
        columns = {"img": x, "other": other, "fine_label": fine, "coarse_label": coarse}
        pq.write_table(table(columns, names), tmp_path / f"{split.value}.parquet")
    with pytest.raises(SourceError, match="or their names behind the source: #image=COLUMN,label=COLUMN"):
        load_source(str(tmp_path), Split.TRAIN)
    found = load_source(f"{tmp_path}#image=img,label=coarse_label", Split.TRAIN)
    assert (found.classes, found.stock) == (("insect", "mammal"), (4, 2))
    assert np.array_equal(found.pictures, x.transpose(0, 3, 1, 2))
    chosen = load_source(f"{tmp_path}/test.parquet#label=fine_label, image=other[cow,ant+bee]", Split.TRAIN)
    assert (chosen.classes, chosen.stock) == (("cow", "ant+bee"), (2, 4))
    assert np.array_equal(chosen.pictures, other.transpose(0, 3, 1, 2))
    with pytest.raises(SourceError, match="has no column image of struct.*its columns of that kind are: img, other"):
        load_source(f"{tmp_path}#image=image", Split.TRAIN)
    with pytest.raises(SourceError, match="has no column img of whole numbers; its columns of that kind are: fine_label, coarse_label"):
        load_source(f"{tmp_path}#label=img", Split.TRAIN)


@pytest.mark.parametrize("stream", [True, False])
def test_folders_of_datasets_are_read(tmp_path: Path, stream: bool) -> None:
    """What `datasets` saves to disk, Arrow files in a folder a split, in one part or several."""
    x = pictures(6, 32, 32)
    for split in Split:
        (tmp_path / split.value).mkdir()
        (tmp_path / split.value / "state.json").write_text("{}")
        for part in range(2):
            rows = slice(3 * part, 3 * part + 3)
            saved = table({"image": x[rows], "label": [0, 1, 0]}, {"label": ["cat", "dog"]})
            with pa.OSFile(str(tmp_path / split.value / f"data-0000{part}-of-00002.arrow"), "wb") as file:
                writer = (pa.ipc.new_stream if stream else pa.ipc.new_file)(file, saved.schema)
                writer.write_table(saved)
                writer.close()
    found = load_source(str(tmp_path), Split.TEST)
    assert (found.classes, found.labels.tolist()) == (("cat", "dog"), [0, 1, 0, 0, 1, 0])
    assert np.array_equal(found.pictures, x.transpose(0, 3, 1, 2))
    (tmp_path / "train" / "data-00001-of-00002.arrow").write_bytes(b"nonsense")
    with pytest.raises(SourceError, match="not a readable Arrow file"):
        load_source(str(tmp_path), Split.TRAIN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#size=64", "'size=64' is no option of a source; expected image=COLUMN, label=COLUMN or resample=box|bilinear|bicubic|lanczos"),
        ("#resample", "'resample' is no option"),
        ("#resample=nearest", "there is no resampling nearest; expected one of box, bilinear"),
        ("#resample=box,resample=box", "resample stands twice"),
        ("#label=y", "has no columns; expected image= and label= with Parquet or Arrow files only"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    """Exit code 2, and nothing else is said."""
    np.savez(tmp_path / "a.npz", x_train=pictures(2, 32, 32), y_train=np.array([0, 1]))
    done = CliRunner().invoke(main, ["solve", "--prevalence", "1", "1", "--top", f"{tmp_path}/a.npz{text}", "--bottom", "digits[0,1]"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_a_path_with_a_number_sign_is_a_path(tmp_path: Path) -> None:
    """What exists is meant as it is."""
    (tmp_path / "a#label=b").mkdir()
    assert located(f"{tmp_path}/a#label=b") == (f"{tmp_path}/a#label=b", Reading())
    assert located("x.parquet#label=b") == ("x.parquet", Reading(label="b"))
    assert located("#label=b") == ("#label=b", Reading())


def test_one_file_read_in_two_ways_is_not_on_both_sides(tmp_path: Path) -> None:
    """A picture would be used on both, beyond `reuse`; read in one way, it is used once in all."""
    for split in Split:
        columns = {"image": pictures(8, 32, 32), "a": [0, 1] * 4, "b": [0, 0, 1, 1] * 2}
        pq.write_table(table(columns), tmp_path / f"{split.value}.parquet")
    with pytest.raises(SourceError, match="show the same pictures, read in two ways; write both sides alike"):
        sources.stock(DominoSpec(prevalence=(1, 1), top=f"{tmp_path}#label=a", bottom=f"{tmp_path}#label=b"))
    with pytest.raises(SourceError, match="cifar100-coarse.* show the same pictures, read in two ways"):
        sources.stock(DominoSpec(prevalence=(1, 1), top="cifar100[0,1]", bottom="cifar100-coarse[2,3]"))
    both = f"{tmp_path}#label=a"
    dealt = dealing.deal_spec(DominoSpec(n=4, prevalence=(1, 1), top=both, bottom=both))
    assert set(dealt.deal.index["top"]).isdisjoint(dealt.deal.index["bottom"])


def test_cifar100_has_a_hundred_classes_or_twenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From torchvision's files and from the hub's, with either label; its names are sorted, as the numbers say."""
    from torchvision.datasets import CIFAR100

    assert [len(CLASS_NAMES[name]) for name in ("cifar100", "cifar100-coarse")] == [100, 20]
    assert all(list(CLASS_NAMES[name]) == sorted(CLASS_NAMES[name]) for name in ("cifar100", "cifar100-coarse"))
    x = pictures(200, 32, 32)
    fine, coarse = [row % 100 for row in range(200)], [row % 20 for row in range(200)]
    base = tmp_path / "raw" / "cifar-100-python"
    base.mkdir(parents=True)
    flat = x.transpose(0, 3, 1, 2).reshape(200, 3072)
    for name in ("train", "test"):
        content = {"data": flat, "fine_labels": fine, "coarse_labels": coarse}
        (base / name).write_bytes(pickle.dumps(content))
    (base / "meta").write_bytes(pickle.dumps({"fine_label_names": list(CLASS_NAMES["cifar100"])}))
    md5 = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in base.iterdir()}
    monkeypatch.setattr(CIFAR100, "train_list", [["train", md5["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {"filename": "meta", "key": "fine_label_names", "md5": md5["meta"]})
    (tmp_path / "hub" / "cifar100").mkdir(parents=True)
    hub = table({"img": x, "fine_label": fine, "coarse_label": coarse}, {"fine_label": list(CLASS_NAMES["cifar100"])})
    pq.write_table(hub, tmp_path / "hub" / "cifar100" / "train.parquet")
    for folder in ("raw", "hub"):
        for name, labels in (("cifar100", fine), ("cifar100-coarse", coarse)):
            found = load_source(name, Split.TRAIN, data=tmp_path / folder)
            assert found.labels.tolist() == labels
            assert np.array_equal(found.pictures, x.transpose(0, 3, 1, 2))
    assert load_source("cifar100[apple,worm]", Split.TRAIN, data=tmp_path / "raw").stock == (2, 2)
