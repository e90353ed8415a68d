"""Every source: real pictures, the cache, files in torchvision's and other people's layouts."""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from dominoes.data import sources
from dominoes.data.catalogue import STOCKS
from dominoes.data.sources import load_source
from dominoes.errors import OutputError, SourceError
from dominoes.spec import DominoSpec, Split

Pixels = NDArray[np.uint8]


def pictures(count: int, size: int = 32, channels: int = 3, seed: int = 0) -> Pixels:
    """Random pictures, N×size×size(×channels)."""
    shape = (count, size, size, channels) if channels > 1 else (count, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


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


def png(picture: Pixels) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def write_parquet(path: Path, images: list[Any], labels: Any, *, image: str = "image", label: str = "label") -> None:
    """A file in Hugging Face layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [None if content is None else {"bytes": content, "path": None} for content in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({image: pa.array(rows, kind), label: labels}), path)


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


def idx(array: Pixels) -> bytes:
    """An array in the IDX format of MNIST's files."""
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
@pytest.mark.parametrize("nested", [False, True])
def test_torchvision_idx_files_are_read(tmp_path: Path, name: str, nested: bool) -> None:
    """torchvision's raw folder of the MNIST family, under the data folder itself or under the source's name."""
    root = tmp_path / name if nested else tmp_path
    raw = root / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name] / "raw"
    raw.mkdir(parents=True)
    x, y = pictures(20, 28, 1), (np.arange(20) % 10).astype(np.uint8)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(x))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(y))
    source = load_source(name, Split.TEST, data=tmp_path)
    assert np.array_equal(source.pictures[:, 0, 2:30, 2:30], x)
    assert source.labels.tolist() == y.tolist()
    with pytest.raises(SourceError, match="no train pictures of cifar10"):
        load_source("cifar10", Split.TRAIN, data=tmp_path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served on this machine."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


def fake_cifar(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Pixels:
    """A tar file in CIFAR-10's format with 20 pictures a batch, and torchvision told its address and sums."""
    from torchvision.datasets import CIFAR10

    x = pictures(120).transpose(0, 3, 1, 2).reshape(120, 3072)
    base = folder / "cifar-10-batches-py"
    base.mkdir()
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for number, name in enumerate(names):
        with open(base / name, "wb") as file:
            pickle.dump({"data": x[20 * number : 20 * number + 20], "labels": [row % 10 for row in range(20)]}, file)
    with open(base / "batches.meta", "wb") as file:
        pickle.dump({"label_names": [str(number) for number in range(10)]}, file)
    archive = folder / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(base, "cifar-10-batches-py")
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in [*base.iterdir(), archive]}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[names[5], md5[names[5]]]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "url", address + archive.name)
    monkeypatch.setattr(CIFAR10, "filename", "cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5["cifar.tar.gz"])
    return x.reshape(120, 3, 32, 32)


def test_torchvision_cifar_is_downloaded_and_read(tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--download lets torchvision fetch, check and unpack CIFAR-10 into the data folder, from where it is read ever after."""
    x = fake_cifar(*server, monkeypatch)
    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(SourceError, match="no train pictures of cifar10.*add --download"):
        load_source("cifar10", Split.TRAIN, data=data)
    source = load_source("cifar10", Split.TRAIN, data=data, download=True)
    assert np.array_equal(source.pictures, x[:100])
    shutil.rmtree(server[0])
    assert np.array_equal(load_source("cifar10", Split.TEST, data=data).pictures, x[100:])


def test_a_download_with_a_wrong_sum_is_refused(tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not have the known checksum is not used."""
    from torchvision.datasets import CIFAR10

    fake_cifar(*server, monkeypatch)
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(SourceError, match="cifar10 cannot be downloaded to"):
        load_source("cifar10", Split.TRAIN, data=tmp_path, download=True)


def test_torchvision_mnist_is_downloaded(tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST's four gzip files come through torchvision's mirrors and checksums."""
    from torchvision.datasets import MNIST

    x, y = pictures(20, 28, 1), (np.arange(20) % 10).astype(np.uint8)
    resources = []
    for part in ("train", "t10k"):
        for name, content in ((f"{part}-images-idx3-ubyte.gz", idx(x)), (f"{part}-labels-idx1-ubyte.gz", idx(y))):
            (server[0] / name).write_bytes(gzip.compress(content))
            resources.append((name, hashlib.md5((server[0] / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(MNIST, "mirrors", [server[1]])
    monkeypatch.setattr(MNIST, "resources", resources)
    source = load_source("mnist", Split.TRAIN, data=tmp_path, download=True)
    assert np.array_equal(source.pictures[:, 0, 2:30, 2:30], x)


def test_torchvision_svhn_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SVHN's .mat files, whose class 10 is the digit 0."""
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    x, y = pictures(20), np.arange(20) % 10 + 1
    savemat(tmp_path / "train_32x32.mat", {"X": x.transpose(1, 2, 3, 0), "y": y[:, None]})
    md5 = hashlib.md5((tmp_path / "train_32x32.mat").read_bytes()).hexdigest()
    monkeypatch.setattr(SVHN, "split_list", {"train": ["", "train_32x32.mat", md5]})
    source = load_source("svhn", Split.TRAIN, data=tmp_path)
    assert np.array_equal(source.pictures, x.transpose(0, 3, 1, 2))
    assert source.labels.tolist() == (y % 10).tolist()


def test_torchvision_files_with_wrong_sums_are_refused(tmp_path: Path) -> None:
    """Batches that are not CIFAR-10's are refused, with what to do."""
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    for number in range(1, 6):
        (base / f"data_batch_{number}").write_bytes(b"x")
    with pytest.raises(SourceError, match="cifar10 cannot be read from .*remove its files there and use --download"):
        load_source("cifar10", Split.TRAIN, data=tmp_path)


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


@pytest.mark.parametrize("label", [2**64 - 1, 2**63])
def test_a_label_beyond_every_number_is_named_as_it_is(tmp_path: Path, label: int) -> None:
    """An unsigned label that no signed number holds is not turned into a negative one on its way into the message."""
    labels = np.array([0, 1, label, 0], dtype=np.uint64)
    x = np.zeros((4, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    with pytest.raises(SourceError, match=f"label {label} of picture 2 is beyond any number of classes"):
        sources.load_source(str(tmp_path / "a.npz"), Split.TRAIN)
