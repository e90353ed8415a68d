"""torchvision's files: read where they lie, downloaded on request, held to their sums."""

import gzip
import hashlib
import pickle
import shutil
import struct
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import Pixels, pictures

from dominoes.data.sources import load_source
from dominoes.errors import SourceError
from dominoes.spec import Split


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
