"""What is read and written in slices is what was read and written at once."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dominoes.data import dealing, pixels, readers
from dominoes.data.dominoes import Dominoes
from dominoes.data.folder import metadata, metadata_lines
from dominoes.errors import SourceError
from dominoes.spec import DominoSpec, Split


@pytest.mark.parametrize("shape", [(5001, 28, 28), (5001, 32, 32, 3), (3, 32, 32, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pictures_of_an_npz_are_read_in_slices(shape: tuple[int, ...], order: str, tmp_path: Path) -> None:
    """More pictures than a slice has, stored and compressed, either order of the indices: padded, channels first."""
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.arange(len(pictures)) % 10
    for number, write in enumerate((np.savez, np.savez_compressed)):
        path = tmp_path / f"{number}.npz"
        write(path, x_train=np.asarray(pictures, order=order), y_train=labels)  # type: ignore[call-overload]
        found, known, _ = readers.read_npz(path, Split.TRAIN)
        wide = pictures if pictures.ndim == 4 else pictures[:, :, :, None]
        edge = (32 - wide.shape[1]) // 2
        expected = np.pad(wide, ((0, 0), (edge, edge), (edge, edge), (0, 0))).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(known, labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_very_many_pictures_are_not_in_memory(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the same, gray and in colour, and Python's memory holds a slice of them; where the disk has no room they are in memory."""
    pictures = np.random.default_rng(0).integers(0, 256, (9000, 32, 32, channels), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=pictures, y_train=np.arange(9000) % 10)
    size = pictures.nbytes
    expected = pictures.transpose(0, 3, 1, 2)
    monkeypatch.setattr(readers, "_IN_MEMORY", size // 4)
    monkeypatch.setattr(readers, "_SLICE", 256)
    tracemalloc.start()
    found, _, _ = readers.read_npz(tmp_path / "a.npz", Split.TRAIN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 4
    np.testing.assert_array_equal(found, expected)

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(readers.os, "posix_fallocate", full)
    np.testing.assert_array_equal(readers.read_npz(tmp_path / "a.npz", Split.TRAIN)[0], expected)


def test_an_npz_that_ends_early_is_refused(tmp_path: Path) -> None:
    """The sentence names the file."""
    np.savez(tmp_path / "a.npz", x_train=np.zeros((3, 32, 32), np.uint8), y_train=np.arange(3))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content.replace(b"(3, 32, 32), ", b"(9, 32, 32), "))
    with pytest.raises(SourceError, match="is not a readable .npz file"):
        readers.read_npz(tmp_path / "a.npz", Split.TRAIN)


def test_rows_as_text_are_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows a piece has."""
    from dominoes.data import folder

    dealt = dealing.deal_spec(DominoSpec(n=500, prevalence=(0.5, 0.4), top="digits", bottom="textures"))
    whole = metadata(dealt.deal)
    monkeypatch.setattr(folder, "_ROWS", 7)
    pieces = list(metadata_lines(dealt.deal))
    assert len(pieces) == 1 + -(-500 // 7)
    assert "".join(pieces) == whole


def test_exported_pictures_never_are_in_memory_at_once(tmp_path: Path) -> None:
    """The file is what numpy reads, picture for picture; writing it takes a part of its size."""
    dominoes = Dominoes.of(dealing.deal_spec(DominoSpec(n=3000, reuse=5, prevalence=(0.5, 0.4), top="digits", bottom="textures")))
    tracemalloc.start()
    pixels.export_pixels(dominoes, "npz", tmp_path / "a.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with np.load(tmp_path / "a.npz") as found:
        assert set(found.files) == {"x", "y", "kind", "top_index", "bottom_index", "top_label", "bottom_label"}
        np.testing.assert_array_equal(found["x"], dominoes.data.permute(0, 2, 3, 1).numpy())
        np.testing.assert_array_equal(found["y"], dominoes.deal.label)
        assert found["kind"].tolist() == dominoes.kinds
    assert peak < 3000 * 64 * 32 * 3
