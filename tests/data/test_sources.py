"""Every source: real pictures, the cache, files in torchvision's and other people's layouts."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from picture_files import pictures, png, write_parquet
from PIL import Image

from dominoes.data import sources
from dominoes.data.catalogue import STOCKS
from dominoes.data.sources import load_source
from dominoes.errors import OutputError, SourceError
from dominoes.spec import DominoSpec, Split


def test_a_picture_moved_to_another_class_is_seen(tmp_path: Path) -> None:
    """In an image folder the folder is the label: a moved file is another dataset, whatever the cache holds."""
    for split in Split:
        for label in ("a", "b"):
            (tmp_path / split.value / label).mkdir(parents=True)
            for number, picture in enumerate(pictures(3, seed=ord(label))):
                (tmp_path / split.value / label / f"{label}{number}.png").write_bytes(png(picture))
    assert load_source(str(tmp_path), Split.TRAIN).stock == (3, 3)
    (tmp_path / "train" / "a" / "a1.png").rename(tmp_path / "train" / "b" / "a1.png")
    assert load_source(str(tmp_path), Split.TRAIN).stock == (2, 4)


def test_a_file_of_no_known_split_is_no_test_set(tmp_path: Path) -> None:
    """A lone Parquet file is not silently used for training and for testing; train and test are found as words."""
    for name in ("mine.parquet", "latest-train.parquet", "latest-test.parquet"):
        write_parquet(tmp_path / name, [png(picture) for picture in pictures(2)], [0, 1])
    for split in Split:
        with pytest.raises(SourceError, match="nothing says whether these are train or test pictures; name two files"):
            load_source(str(tmp_path / "mine.parquet"), split)
        assert load_source(str(tmp_path / "latest-train.parquet"), split).stock == (1, 1)


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_all_real_pictures_are_read(name: str, data: Path) -> None:
    """All 130,000 pictures decode; the counts a class are those of the stock table."""
    for split in Split:
        source = load_source(name, split, data=data)
        assert source.stock == STOCKS[name][split]
        assert source.pictures.shape == (len(source.labels), 1 if name == "mnist" else 3, 32, 32)
    assert source.digest == sources.pictures_digest(source.pictures, source.labels)


@pytest.mark.data
def test_a_real_picture_is_the_one_in_the_file(data: Path) -> None:
    """MNIST is padded by two black pixels all round, CIFAR-10 is as decoded; both in the files' order."""
    for name, column, edge in (("mnist", "image", 2), ("cifar10", "img", 0)):
        table = pq.read_table(data / name / "test.parquet")
        source = load_source(name, Split.TEST, data=data)
        for row in (0, 4321, 9999):
            wanted = np.asarray(Image.open(io.BytesIO(table[column][row]["bytes"].as_py())))
            wanted = wanted[None] if wanted.ndim == 2 else wanted.transpose(2, 0, 1)
            found = source.pictures[row]
            inside = found[:, edge : 32 - edge, edge : 32 - edge]
            assert np.array_equal(inside, wanted)
            assert found.sum() == inside.sum()
            assert source.labels[row] == table["label"][row].as_py()


@pytest.mark.parametrize("name", ["digits", "textures"])
def test_embedded_sources_have_the_stock_of_the_table(name: str) -> None:
    """The pictures that come with the package match the table, need no network, and train and test differ."""
    train, test = (load_source(name, split) for split in Split)
    assert (train.stock, test.stock) == (STOCKS[name][Split.TRAIN], STOCKS[name][Split.TEST])
    assert train.digest != test.digest
    assert len(train.classes) == 10


def test_no_digit_is_in_both_splits() -> None:
    """The 1,797 digits are divided, none is in both parts (but for twins in the original)."""
    seen = [{picture.tobytes() for picture in load_source("digits", split).pictures} for split in Split]
    assert len(seen[0] & seen[1]) == 0
    assert sum(len(load_source("digits", split).labels) for split in Split) == 1797


def test_the_cache_is_used_and_follows_the_files(tmp_path: Path, cache: Path) -> None:
    """A second load decodes nothing; changed pixels give another entry and another digest."""
    path = tmp_path / "a.npz"
    x, y = pictures(4), np.array([0, 1, 0, 1])
    np.savez(path, x_train=x, y_train=y)
    first = load_source(str(path), Split.TRAIN)
    before = sorted((cache / "decoded").iterdir())
    again = load_source(str(path), Split.TRAIN)
    assert sorted((cache / "decoded").iterdir()) == before
    assert isinstance(again.pictures, np.memmap)
    assert again.digest == first.digest
    x[2, 5, 5, 1] ^= 1
    np.savez(path, x_train=x, y_train=y)
    assert load_source(str(path), Split.TRAIN).digest != first.digest


def test_two_processes_fill_the_cache_at_once(tmp_path: Path) -> None:
    """Processes that start together on an empty cache all read the same pictures, and one entry is left."""
    np.savez(tmp_path / "a.npz", x_train=pictures(3000), y_train=np.arange(3000) % 10)
    script = "import sys; from dominoes.data.sources import load_source; from dominoes.spec import Split\n"
    script += "print(load_source(sys.argv[1], Split.TRAIN).digest)"
    command = [sys.executable, "-c", script, str(tmp_path / "a.npz")]
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) for _ in range(4)]
    digests = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(digests) == 1
    assert len(list((tmp_path / "cache" / "dominoes" / "decoded").iterdir())) == 1


def test_a_damaged_or_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache entry that cannot be read, and a cache folder that cannot be written, are named with what to do."""
    path = tmp_path / "a.npz"
    np.savez(path, x_train=pictures(2), y_train=np.array([0, 1]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load_source(str(path), Split.TRAIN)
    (entry,) = (tmp_path / "cache" / "dominoes" / "decoded").iterdir()
    (entry / "pictures.npy").write_bytes(b"")
    with pytest.raises(SourceError, match="is damaged.*remove this folder and run again"):
        load_source(str(path), Split.TRAIN)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(OutputError, match="cannot be written.*set XDG_CACHE_HOME"):
        load_source(str(path), Split.TRAIN)


@pytest.mark.parametrize(("shape", "column"), [((32, 3), False), ((28, 1), False), ((32, 1), True)])
def test_keras_npz_is_read(tmp_path: Path, shape: tuple[int, int], column: bool) -> None:
    """x_train, y_train, x_test, y_test of a .npz, colour or gray, labels flat or as a column."""
    size, channels = shape
    x, y = pictures(6, size, channels), np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y[:, None] if column else y, x_test=x[:3], y_test=y[:3])
    source = load_source(str(tmp_path / "a.npz"), Split.TRAIN)
    edge = (32 - size) // 2
    inside = source.pictures[:, :, edge : 32 - edge, edge : 32 - edge]
    assert np.array_equal(inside, x[:, None] if channels == 1 else x.transpose(0, 3, 1, 2))
    assert source.labels.tolist() == y.tolist()
    assert load_source(str(tmp_path / "a.npz"), Split.TEST).stock == (1, 1, 1)


@pytest.mark.parametrize("layout", ["{}.parquet", "data/{}-00000-of-00001.parquet", "plain_text/{}-00000-of-00002.parquet"])
def test_hugging_face_folders_are_read(tmp_path: Path, layout: str) -> None:
    """Parquet files of the hub's layouts, PNG and JPEG, under any name of the picture column."""
    x = pictures(4)
    buffer = io.BytesIO()
    Image.fromarray(x[3]).save(buffer, "jpeg")
    for split in Split:
        write_parquet(
            tmp_path / layout.format(split.value), [*(png(picture) for picture in x[:3]), buffer.getvalue()], [0, 1, 1, 0], image="img"
        )
    source = load_source(str(tmp_path), Split.TEST)
    assert np.array_equal(source.pictures[:3], x[:3].transpose(0, 3, 1, 2))
    assert source.labels.tolist() == [0, 1, 1, 0]


def test_a_single_parquet_file_finds_its_twin(tmp_path: Path) -> None:
    """The file of one split leads to that of the other beside it, and a missing one is named."""
    write_parquet(tmp_path / "train.parquet", [png(picture) for picture in pictures(2)], [0, 1])
    assert load_source(str(tmp_path / "train.parquet"), Split.TRAIN).stock == (1, 1)
    with pytest.raises(SourceError, match=r"expected test.parquet beside it"):
        load_source(str(tmp_path / "train.parquet"), Split.TEST)


def test_image_folders_are_read(tmp_path: Path) -> None:
    """train/CLASS/*.png and test/CLASS/*.png, classes in the order of their names, as torchvision has them."""
    x = pictures(6)
    for split in Split:
        for number, name in enumerate(["zebra", "ape", "cow", "ape", "zebra", "cow"]):
            folder = tmp_path / split.value / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.png").write_bytes(png(x[number]))
    source = load_source(str(tmp_path), Split.TRAIN)
    assert source.classes == ("ape", "cow", "zebra")
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(source.pictures, x[[1, 3, 2, 5, 0, 4]].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "there is no source mnits; the names are mnist, .*did you mean mnist?"),
        ("zzz", "pass a name, or the path of an existing file"),
        ("{tmp}", "holds no train pictures in a known layout; expected train"),
        ("mnist", "no train pictures of mnist in {tmp}.*pass --data DIR .*add --download to fetch them"),
    ],
)
def test_missing_sources_say_what_to_pass(tmp_path: Path, name: str, message: str) -> None:
    """Unknown names get the nearest one, missing data the folders looked in and the ways to get it."""
    with pytest.raises(SourceError, match=message.replace("{tmp}", str(tmp_path))):
        load_source(name.replace("{tmp}", str(tmp_path)), Split.TRAIN, data=tmp_path)


def test_a_data_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """--data must be a folder."""
    with pytest.raises(SourceError, match="nowhere is not a folder; pass --data"):
        load_source("mnist", Split.TRAIN, data=tmp_path / "nowhere")


def test_a_class_without_pictures_in_a_folder_is_named(tmp_path: Path) -> None:
    """An ImageFolder with an empty class is refused by the class's name."""
    for split in Split:
        for name in ("a", "b"):
            (tmp_path / split.value / name).mkdir(parents=True)
        (tmp_path / split.value / "a" / "1.png").write_bytes(png(pictures(1)[0]))
    with pytest.raises(SourceError, match="class b has no train pictures"):
        load_source(str(tmp_path), Split.TRAIN)
    shutil.rmtree(tmp_path / "train" / "a")
    with pytest.raises(SourceError, match="holds no pictures; expected a folder for each class"):
        load_source(str(tmp_path), Split.TRAIN)


def test_the_stock_of_a_path_is_counted(tmp_path: Path) -> None:
    """Named sources have a table, a path's pictures are counted."""
    np.savez(tmp_path / "a.npz", x_train=pictures(5), y_train=np.array([0, 1, 1, 0, 1]))
    path = str(tmp_path / "a.npz")
    assert sources.stock(DominoSpec(top=path, bottom=path)).top == (2, 3)
    assert sources.stock(DominoSpec(top="mnist", bottom="svhn", split="test")).bottom == STOCKS["svhn"][Split.TEST]


def test_what_macos_leaves_beside_pictures_is_no_picture(tmp_path: Path) -> None:
    """Files such as `._3.png`, which hold no pixels, are not read and not counted, in any folder of a class."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for number in range(2):
                (place / f"{number}.png").write_bytes(png(np.full((32, 32), 40 * number, dtype=np.uint8)))
                (place / f"._{number}.png").write_bytes(b"\0\5\26\7 no picture")
    found = sources.load_source(str(tmp_path), Split.TRAIN)
    assert len(found.labels) == 4
    assert found.classes == ("cat", "dog")
