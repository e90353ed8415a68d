"""Results that are kept in an object store: a folder of this machine in which they stand, so that everything reads them as it reads others.

The folder lies in the cache folder. The store has the plan, the shards and the leases; the folder has copies of what was read of these,
good for ever because a shard's names are digests, and the runs at work. A run goes from the folder when the store has given back its shard.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dominoes import files
from dominoes.errors import OutputError, RunError
from dominoes.runs.packed import storage
from dominoes.runs.packed.object_leases import ObjectLeases
from dominoes.runs.packed.place import HOME, MANIFEST
from dominoes.runs.packed.storage import ObjectStore

#: In the folder: which address it stands for, and what was seen there last.
_ORIGIN = "origin.json"
#: In the folder: shards that are on their way to the store.
OUTGOING = "outgoing"
# Of the store's files those that stand beside the shards.
_BESIDE = ("plan.parquet", "sweep.yaml")
_EXPECTED = "expected plan.parquet and packed/ there, as 'dominoes sweep run FILE --packed --out {}' leaves them"


class Mirror:
    """The folder that stands for an address.

    Attributes:
        out: the folder.
        store: what it stands for.
        leases: of the store, on ranges of runs.
    """

    def __init__(self, out: Path, store: ObjectStore):
        self.out = out
        self.store = store
        self.leases = ObjectLeases(store)
        self._listed: dict[str, tuple[int, str]] | None = None
        self._whole: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def renew(self, *, new: bool = True) -> bool:
        """Fetch what the store has of the plan and of the manifest; whether it has any of both, or none is needed as this is `new`.

        Raises OutputError.
        """
        home = self.out / HOME
        # In this order: what this machine enters, between the one look and the other, is in the store already.
        before = {path.name for path in home.glob("*.parquet")} if home.is_dir() else set()
        listed = self.store.names(HOME)
        self._listed = listed
        for name in before - listed.keys():
            (home / name).unlink(missing_ok=True)
        missing = [f"{HOME}/{name}" for name in listed if name.endswith(MANIFEST) and name not in before]
        for start in range(0, len(missing), 256):
            for name, content in self.store.read_several(missing[start : start + 256]).items():
                files.write(self.out / name, content)
        there = {name: about for name, about in self.store.names("").items() if name in _BESIDE}
        if not new and not there and not any(name.endswith(MANIFEST) for name in listed):
            return False
        self._renew_beside(there)
        return True

    def _renew_beside(self, there: Mapping[str, tuple[int, str]]) -> None:
        said = self._said()
        for name, (_, mark) in there.items():
            known = said["files"].get(name, {})
            if mark and known.get("mark") == mark and (self.out / name).is_file():
                continue
            content = self.store.read(name)
            files.write(self.out / name, content)
            said["files"][name] = {"mark": mark, "sha256": hashlib.sha256(content).hexdigest()}
        said["files"] = {name: known for name, known in said["files"].items() if name in there}
        self._say(said)

    def send_plan(self) -> None:
        """Give the store the plan that stands in the folder, if it is another. Raises OutputError."""
        said = self._said()
        for name in _BESIDE:
            path = self.out / name
            if not path.is_file() or said["files"].get(name, {}).get("sha256") == files.sha256(path):
                continue
            content = path.read_bytes()
            self.store.write(name, content)
            said["files"][name] = {"mark": "", "sha256": hashlib.sha256(content).hexdigest()}
        self._say(said)

    def send(self, part: Path, known: Mapping[str, Mapping[str, Any]]) -> Path:
        """Give a shard to the store: its files, which are read back and compared, then its part of the manifest.

        Args:
            part: in the folder OUTGOING.
            known: by name, size and digest of the other files, which go from the folder.

        Returns where the part is in the folder now. Raises OutputError; without the part the store has nothing of it.
        """
        for name in (*known, part.name):
            content = part.with_name(name).read_bytes()
            self.store.write(f"{HOME}/{name}", content)
            if self.store.read(f"{HOME}/{name}") != content:
                raise OutputError(f"{self.store.url}/{HOME}/{name} does not read back as it was written; nothing was removed")
        place = self.out / HOME / part.name
        place.parent.mkdir(parents=True, exist_ok=True)
        part.replace(place)
        for name in known:
            part.with_name(name).unlink()
        with self._lock:
            if self._listed is not None:
                self._listed |= {name: (int(about["bytes"]), "") for name, about in known.items()}
        return place

    def read(self, name: str, sha256: str) -> bytes:
        """A file of a shard: the copy in the folder, else fetched and kept. Raises OSError."""
        path = self.out / HOME / name
        if path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
        content = self.store.read(f"{HOME}/{name}")
        if hashlib.sha256(content).hexdigest() == sha256:
            files.write(path, content)
        return content

    def damage(self, known: Mapping[str, Mapping[str, Any]], *, deep: bool) -> str | None:
        """What is wrong with the files of a shard in the store, as part of a sentence. Raises OutputError: it cannot be asked."""
        if self._listed is None:
            self._listed = self.store.names(HOME)
        for name, about in known.items():
            if name not in self._listed:
                return f"{HOME}/{name} is missing in {self.store.url}"
            size, mark = self._listed[name]
            if size != about["bytes"]:
                return f"{HOME}/{name} has {size} bytes, {about['bytes']} were written"
            if not deep or (mark and (name, mark) in self._whole):
                continue
            try:
                content = self.store.read(f"{HOME}/{name}")
            except FileNotFoundError:
                return f"{HOME}/{name} is missing in {self.store.url}"
            if hashlib.sha256(content).hexdigest() != about["sha256"]:
                return f"{HOME}/{name} is not what was written (its SHA-256 differs)"
            self._whole.add((name, mark))
        return None

    def packed_names(self) -> list[str]:
        """What the store has among its packed results just now. Raises OutputError."""
        return list(self.store.names(HOME))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects of packed results, one after the other. Raises OutputError."""
        for name in names:
            self.store.remove(f"{HOME}/{name}")

    def _said(self) -> dict[str, Any]:
        try:
            found = json.loads((self.out / _ORIGIN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        return {"url": self.store.url, "files": dict(found.get("files", {}))}

    def _say(self, said: Mapping[str, Any]) -> None:
        files.write(self.out / _ORIGIN, json.dumps(said) + "\n")


def results(where: str | Path, *, new: bool = False) -> Path:
    """A results folder by its path, or by the address of an object store: then the folder that stands for it, brought up to date.

    Args:
        where: path or address.
        new: it may be an address where nothing is yet.

    Raises OutputError: the store cannot be reached. RunError: it has no results there.
    """
    url = storage.address(where)
    if url is None:
        return Path(where)
    found = _mirror(_folder(url), url)
    if not found.renew(new=new):
        raise RunError(f"{url} holds no results; {_EXPECTED.format(url)}")
    return found.out


def of(out: Path) -> Mirror | None:
    """What a results folder stands for; None of one that is just a folder."""
    try:
        url = json.loads((Path(out) / _ORIGIN).read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _mirror(Path(out), url)


def known_as(path: Path) -> str:
    """A path as the reader knows it: below an address if it is in a folder that stands for one."""
    for out in (path, *path.parents):
        if (out / _ORIGIN).is_file() and (found := of(out)) is not None:
            return "/".join([found.store.url, *path.relative_to(out).parts])
    return str(path)


def _folder(url: str) -> Path:
    from dominoes.data.sources import cache_folder

    kind, _, rest = url.partition("://")
    return cache_folder() / "remote" / kind / re.sub(r"[^\w./-]", "_", rest)


@lru_cache(maxsize=8)
def _mirror(out: Path, url: str) -> Mirror:
    return Mirror(out, storage.opened(url))
