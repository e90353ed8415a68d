"""Digests of large files are remembered while nothing about the file has changed, and verified ones are always read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dominoes import files
from dominoes.data import fingerprints, folder
from dominoes.data.dealing import deal_spec
from dominoes.spec import DominoSpec


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look reads nothing; another byte, another time, another file, or `fresh` does; small files are always read."""
    monkeypatch.setattr(fingerprints, "_SETTLED", -1.0)
    read: list[Path] = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or real(path))
    path, cache = tmp_path / "pictures.npz", tmp_path / "cache"
    path.write_bytes(np.random.default_rng(0).bytes(2_000_000))
    digest = fingerprints.cached_sha256(path, cache)
    assert (fingerprints.cached_sha256(path, cache), len(read)) == (digest, 1)
    assert (fingerprints.cached_sha256(path, cache, fresh=True), len(read)) == (digest, 2)
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = fingerprints.cached_sha256(path, cache)
    assert changed != digest
    next(cache.iterdir()).write_text(json.dumps([]), encoding="utf-8")
    assert fingerprints.cached_sha256(path, cache) == changed
    small = tmp_path / "small"
    small.write_bytes(b"x")
    assert [fingerprints.cached_sha256(small, cache) for _ in range(2)] == [real(small)] * 2
    assert len(list(cache.iterdir())) == 1
    blocked = tmp_path / "file"
    blocked.touch()
    assert fingerprints.cached_sha256(path, blocked / "cache") == changed


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    """Two changes within the resolution of a clock look like one."""
    path = tmp_path / "pictures.npz"
    path.write_bytes(bytes(2_000_000))
    fingerprints.cached_sha256(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_verify_reads_a_source_whose_digest_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Building twice reads the file once; to verify reads it each time, and finds it as it was."""
    monkeypatch.setattr(fingerprints, "_SETTLED", -1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "own.npz"
    np.savez(path, x_train=pictures, y_train=np.arange(400) % 4)
    read: list[Path] = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda file: read.append(file) or real(file))
    spec = DominoSpec(n=40, prevalence=(1, 0.5), top=str(path), bottom=str(path))
    for _ in range(2):
        dealt = deal_spec(spec)
    assert read.count(path) == 1
    folder.save_dataset(dealt, tmp_path / "set")
    for _ in range(2):
        before = read.count(path)
        assert folder.verify_dataset(tmp_path / "set") == []
        assert read.count(path) > before
