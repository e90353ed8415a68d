"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dominoes.errors import OutputError

# Of two threads that read the process's mask at once one would take the other's for it, and leave it so.
_mask_read = threading.Lock()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name, flush it to disk, then rename it: the old content or the new, never a part.

    Raises OutputError (disk full, no permission, no such folder); the old file then stands as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def flush_folder(path: Path) -> None:
    """Make the names in a folder last: what was renamed into it is there after a power cut too."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there replaces `path` when the block ends well.

    The temporary name keeps the suffix, because writers such as matplotlib choose the format by it. Where `path` is a symbolic link, the
    file that it leads to is replaced and the link stays. Raises OutputError also where something stands there that is no regular file.
    """
    path = _target(Path(path))
    refuse_no_folder(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool = False, ours: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well, and vanishes when it does not.

    Args:
        path: where the folder shall stand. It may be absent or empty; anything else is refused unless `force`.
        force: replace what stands there. The old folder is moved aside first and removed last.
        ours: name of a file by which a folder of this kind is known. `force` replaces no folder without it,
            so that a slip of the finger does not remove a home folder.

    Raises OutputError.
    """
    path = Path(path)
    try:
        path = path.resolve() if path.is_symlink() else path
        refuse_no_folder(path)
        occupied = path.is_dir() and any(path.iterdir())
    except OSError as error:
        raise _unwritable(path, error) from error
    if occupied and not force:
        raise OutputError(f"{path} is not empty; pass another --out, or --force to replace it")
    if occupied and ours is not None and not (path / ours).exists():
        raise OutputError(f"{path} holds files of another kind (no {ours} in it), --force does not replace it; pass another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".partial-{path.name}-", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        temporary.chmod(0o777 & ~_umask())
        _swap(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_no_folder(path: Path) -> None:
    """Raises OutputError where no folder can be made at `path`, because something that is none stands there or on the way to it."""
    try:
        blocking = next((part for part in (path, *path.parents) if part.exists() and not part.is_dir()), None)
    except OSError as error:
        raise _unwritable(path, error) from error
    if blocking is not None:
        raise OutputError(f"{blocking} is {_kind(blocking)}, a folder was expected; pass another --out")


def refuse_unwritable(path: Path) -> None:
    """Raises OutputError where no file can be written at `path`; nothing is made there."""
    path = _target(Path(path))
    refuse_no_folder(path.parent)
    try:
        with tempfile.TemporaryFile(dir=next(part for part in path.absolute().parents if part.exists())):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


# A process's open files, to which /dev/stdout and its like are links.
_OPEN_FILE = re.compile(r"/proc/[^/]+(/task/[^/]+)?/fd/")


def _target(path: Path) -> Path:
    """What is replaced when `path` is written. Raises OutputError unless that is a regular file, or nothing yet."""
    asked, seen = path, 0
    try:
        while path.is_symlink():
            if seen > 40:  # as many as Linux follows
                raise OutputError(f"{asked} is a link that leads back to itself; pass another --out")
            # Link by link, so that those to a process's open files are seen for what they are.
            folder = path.parent.resolve()
            if _OPEN_FILE.match(f"{folder}/"):
                raise OutputError(f"{asked} is an open file of a process; a table goes to standard output with --out -")
            path, seen = folder / path.readlink(), seen + 1
        if path.exists() and not path.is_file():
            raise OutputError(f"{asked} is {_kind(path)}, a file was expected; pass another --out")
    except OSError as error:
        raise _unwritable(asked, error) from error
    return path


def _kind(path: Path) -> str:
    mode = path.stat().st_mode
    for is_kind, name in ((stat.S_ISREG, "a file"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket")):
        if is_kind(mode):
            return name
    return "a device"


def _swap(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`; if that fails, the old folder is put back."""
    old = new.with_name(new.name + "-old")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except BaseException:  # an interrupt too must not leave the place empty
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(file: Path) -> None:
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


def _umask() -> int:
    # The process's mask can only be read by setting it; temporary files are made private, results are not.
    with _mask_read:
        mask = os.umask(0o022)
        os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{path} cannot be written ({reason}); nothing was changed, pass another --out or free the disk")
