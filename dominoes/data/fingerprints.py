"""SHA-256 of large files, remembered as long as nothing about a file has changed, so that not every command reads gigabytes."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
import time
from pathlib import Path

from dominoes import files
from dominoes.errors import OutputError

# Smaller files are read as fast as what is remembered of them.
_LARGE = 1 << 20
# Two changes within a file system's resolution of time look like one.
_SETTLED = 2.0


def cached_sha256(path: Path, cache: Path, *, fresh: bool = False) -> str:
    """SHA-256 of a file's bytes, in hex.

    Args:
        path: of the file.
        cache: folder where digests are remembered, by the file's path, size, times of change and number on its disk.
        fresh: read the file, whatever is remembered.

    Raises OSError if the file cannot be read, or is none (a pipe, a folder).
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for ever
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    settled = time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED
    if found.st_size < _LARGE or not settled:
        return files.sha256(path)
    known = {"size": found.st_size, "mtime": found.st_mtime_ns, "ctime": found.st_ctime_ns, "inode": found.st_ino}
    place = cache / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]}.json"
    if not fresh:
        try:
            remembered = json.loads(place.read_text(encoding="utf-8"))
            if isinstance(remembered, dict) and remembered.items() >= known.items():
                return str(remembered["sha256"])
        except (OSError, ValueError, KeyError):
            pass
    digest = files.sha256(path)
    try:
        files.write(place, json.dumps(known | {"sha256": digest}) + "\n")
    except OutputError:
        # A cache that cannot be written is one that remembers nothing.
        return digest
    return digest
