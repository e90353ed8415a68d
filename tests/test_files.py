"""Files and folders that appear whole or not at all."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dominoes import files
from dominoes.errors import OutputError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """If writing stops half-way, the old content stands and no temporary file is left."""
    path = tmp_path / "a.txt"
    files.write(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), files.replacing(path) as temporary:
        temporary.write_text("ne", encoding="utf-8")
        raise RuntimeError("half-way")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_state(tmp_path: Path) -> None:
    """When no more bytes can be written, file and folder stay as they were, and the error says so."""
    files.write(tmp_path / "a.txt", "old")
    with files.new_folder(tmp_path / "folder") as folder:
        (folder / "mark").write_text("old", encoding="utf-8")
    script = """
import resource, signal, sys
from pathlib import Path
from dominoes import files
from dominoes.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
root = Path(sys.argv[1])
try:
    files.write(root / "a.txt", "x" * 5000)
except OutputError as error:
    print(error)
try:
    with files.new_folder(root / "folder", force=True, ours="mark") as folder:
        (folder / "mark").write_text("y" * 5000)
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.count("cannot be written (File too large); nothing was changed") == 2
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old"
    assert (tmp_path / "folder" / "mark").read_text(encoding="utf-8") == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_folders_are_replaced_only_on_demand_and_only_if_ours(tmp_path: Path) -> None:
    """A folder with content is refused; force replaces one of our kind whole, and never one of another kind."""
    path = tmp_path / "out"
    path.mkdir()
    with files.new_folder(path) as folder:
        (folder / "mark").write_text("1", encoding="utf-8")
    with pytest.raises(OutputError, match="out is not empty; pass another --out, or --force"), files.new_folder(path):
        pass
    with files.new_folder(path, force=True, ours="mark") as folder:
        (folder / "mark").write_text("2", encoding="utf-8")
    assert (path / "mark").read_text(encoding="utf-8") == "2"
    with pytest.raises(OutputError, match="holds files of another kind .*--force does not replace it"):
        with files.new_folder(path, force=True, ours="digests.json"):
            pass
    assert (path / "mark").read_text(encoding="utf-8") == "2"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A folder cannot take the place of a file."""
    (tmp_path / "f").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="f is a file, a folder was expected"), files.new_folder(tmp_path / "f"):
        pass


def test_an_unwritable_place_is_named() -> None:
    """Where the system does not let us write, the error has the path and the reason."""
    with pytest.raises(OutputError, match=r"/proc/nowhere/a.txt cannot be written"):
        files.write(Path("/proc/nowhere/a.txt"), "x")
    with pytest.raises(OutputError, match=r"/proc/nowhere cannot be written"), files.new_folder(Path("/proc/nowhere")):
        pass


def test_results_can_be_read_by_others(tmp_path: Path) -> None:
    """Temporary files are private; what takes their place has the usual permissions."""
    files.write(tmp_path / "a", "x")
    with files.new_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("", encoding="utf-8")
    assert (tmp_path / "a").stat().st_mode & 0o044 == 0o044
    assert (tmp_path / "b").stat().st_mode & 0o055 == 0o055


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    """What a symbolic link leads to is replaced, over several links and where it is not there yet; the links are as they were."""
    target, link, second, dangling = (tmp_path / name for name in ("real/a.txt", "link.txt", "second.txt", "dangling.txt"))
    files.write(target, "old")
    link.symlink_to("real/a.txt")
    second.symlink_to(link)
    dangling.symlink_to("real/b.txt")
    for path, read in ((link, target), (second, target), (dangling, tmp_path / "real" / "b.txt")):
        files.write(path, f"new by {path.name}")
        assert path.is_symlink()
        assert not read.is_symlink()
        assert read.read_text(encoding="utf-8") == f"new by {path.name}"
    (tmp_path / "folder").symlink_to("real")
    files.write(tmp_path / "folder" / "c.txt", "c")
    assert (tmp_path / "real" / "c.txt").read_text(encoding="utf-8") == "c"
    round_ = tmp_path / "round.txt"
    round_.symlink_to(round_)
    with pytest.raises(OutputError, match=r"round.txt (is a link that leads back to itself|cannot be written)"):
        files.write(round_, "x")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """Devices, pipes, sockets, folders, and what a process has open: nothing is put in their place, also as root, and links stay."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "out").symlink_to("/dev/stdout")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        cases = {"pipe": "a pipe", "folder": "a folder", "null": "a device", "socket": "a socket", "out": "an open file of a process"}
        for name, kind in cases.items():
            before = (tmp_path / name).lstat()
            with pytest.raises(OutputError, match=f"{name} is {kind}"):
                files.write(tmp_path / name, "x")
            assert (tmp_path / name).lstat().st_ino == before.st_ino
    for path in ("/dev/null", "/dev/stdout", "/dev/fd/1"):
        before = os.lstat(path)
        with pytest.raises(OutputError, match=f"{path} is "):
            files.write(Path(path), "x")
        assert os.lstat(path).st_ino == before.st_ino
    for name in ("pipe", "null"):
        with pytest.raises(OutputError, match="a folder was expected"), files.new_folder(tmp_path / name, force=True):
            raise AssertionError("never here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "null", "out", "pipe", "socket"]
