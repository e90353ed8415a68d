"""What is packed: a short row for each run, in a file beside each shard; small enough to be asked about a million runs. Loads no torch.

A shard is files of one stem in OUT/packed, its part of the manifest the last that is written: without that part the files count for
nothing. The part's name holds a digest of its own bytes, and it holds those of the others.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from dominoes import files
from dominoes.runs.packed import mirror
from dominoes.runs.packed.columns import arrow_source
from dominoes.runs.packed.place import HOME, MANIFEST

FORMAT = 1

_TEXT = pa.dictionary(pa.int32(), pa.string())
#: Columns of a part. `made` is JSON of the digests of the pictures and of the code; `tables` names the tables that a run has.
SCHEMA = pa.schema(
    [
        *(("run", pa.string()), ("seed", pa.int64()), ("status", _TEXT), ("steps", pa.int64()), ("diverged_at", pa.int64())),
        *(("n", pa.int64()), ("classes", pa.int32()), ("wall", pa.float64()), ("package", _TEXT), ("torch", _TEXT), ("device", _TEXT)),
        *(("tables", _TEXT), ("made", _TEXT)),
    ]
)


_SAID = ("status", "steps", "diverged_at", "package", "torch", "device")


class Broken(ValueError):  # noqa: N818  (a finding, not a mishap)
    """A file of packed results is not what was written."""


@dataclass(frozen=True)
class Part:
    """A shard by its part of the manifest.

    Attributes:
        path: of the part.
        stem: of the names of its files.
        files: by name, size and SHA-256 of each of them.
        runs: a row of SCHEMA for each of its runs.
    """

    path: Path
    stem: str
    files: Mapping[str, Mapping[str, Any]]
    runs: pa.Table

    def file(self, what: str) -> Path:
        """One of its files: `curves`, ..., `runs`."""
        return self.path.with_name(f"{self.stem}.{what}.parquet")

    def content(self, what: str) -> bytes:
        """The bytes of one of its files, wherever it is kept; whoever reads them compares them with the digest. Raises OSError."""
        path = self.file(what)
        kept = mirror.of(path.parent.parent)
        return path.read_bytes() if kept is None else kept.read(path.name, self.files[path.name]["sha256"])

    def damage(self, *, deep: bool) -> str | None:
        """What is wrong with its files, as part of a sentence; None if nothing is. `deep` reads every byte, where else size and time of
        change must do."""
        kept = mirror.of(self.path.parent.parent)
        if kept is not None:
            return kept.damage(self.files, deep=deep)
        try:
            marked = self.path.stat().st_mtime_ns
            for name, known in self.files.items():
                path = self.path.with_name(name)
                found = path.stat()
                if found.st_size != known["bytes"]:
                    return f"{HOME}/{name} has {found.st_size} bytes, {known['bytes']} were written"
                # The files are renamed into place before the part is written: what has changed since, has changed later.
                if (deep or max(found.st_mtime_ns, found.st_ctime_ns) > marked) and files.sha256(path) != known["sha256"]:
                    return f"{HOME}/{name} is not what was written (its SHA-256 differs)"
        except OSError as error:
            return f"a file of {HOME}/{self.stem} is missing or cannot be read ({error.strerror})"
        return None


@dataclass(frozen=True)
class Manifest:
    """All parts of a results folder.

    Attributes:
        out: the results folder.
        parts: in the order of their names; of a run that several have the first counts whose files are whole.
        problems: by name of a part that is not what was written, what is wrong.
    """

    out: Path
    parts: tuple[Part, ...]
    problems: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def broken(self) -> dict[str, str]:
        """By stem, what is wrong with the shards whose files have another size or were changed, as it was when that was first asked."""
        return self.damaged(deep=False)

    @cached_property
    def places(self) -> dict[str, tuple[Part, int]]:
        """By run, the shard that has it, and its row there."""
        found: dict[str, tuple[Part, int]] = {}
        for part in sorted(self.parts, key=lambda part: part.stem not in self.broken):
            # What comes later stays: those that are whole, and of them the first.
            found |= {run: (part, row) for row, run in enumerate(part.runs["run"].to_pylist())}
        return found

    def runs_of(self, part: Part) -> list[str]:
        """The runs for which this part counts."""
        return [run for run in part.runs["run"].to_pylist() if self.places[run][0] is part]

    def damaged(self, *, deep: bool) -> dict[str, str]:
        """By stem, what is wrong with shards (`Part.damage`)."""
        found = {part.stem: part.damage(deep=deep) for part in self.parts}
        return {stem: problem for stem, problem in found.items() if problem}

    def table(self, columns: tuple[str, ...], *, without: Mapping[str, str] | None = None) -> pa.Table:
        """Rows of all parts but some stems', each run once."""
        parts = [part.runs.select(list(columns)) for part in self.parts if part.stem not in (without or {})]
        found = pa.concat_tables(parts) if parts else SCHEMA.empty_table().select(list(columns))
        ids = found["run"].combine_chunks()
        if pc.count_distinct(ids).as_py() == len(ids):
            return found
        first = np.unique(ids.to_numpy(zero_copy_only=False), return_index=True)[1]
        return found.take(np.sort(first))

    def records(self) -> Iterator[tuple[str, Part, dict[str, Any]]]:
        """(run, shard, what its environment.json says that a survey needs) of each run."""
        # Of very many runs most say the same: each text is kept once.
        made: dict[str, dict[str, Any]] = {}
        having: dict[str, dict[str, Any]] = {}
        sizes: dict[tuple[int, int | None], dict[str, Any]] = {}
        said: dict[object, object] = {}
        for part in self.parts:
            columns = {name: part.runs[name].to_pylist() for name in SCHEMA.names}
            for row, run in enumerate(columns["run"]):
                if self.places[run][0] is not part:
                    continue
                text, names = columns["made"][row], columns["tables"][row]
                if text not in made:
                    made[text] = json.loads(text)
                if names not in having:
                    having[names] = dict.fromkeys(names.split())
                n, classes = columns["n"][row], columns["classes"][row]
                yield (
                    run,
                    part,
                    {
                        **{name: said.setdefault(columns[name][row], columns[name][row]) for name in _SAID},
                        "seconds": {"wall": columns["wall"][row]},
                        "files": having[names],
                        "dominoes": sizes.setdefault((n, classes), {"n": n, "classes": classes}),
                        **made[text],
                    },
                )


def load_manifest(out: Path) -> Manifest:
    """The manifest of a results folder; without parts where nothing is packed. Parts never change, so each is read once."""
    home = (Path(out) / HOME).absolute()
    names = _names(home)
    return _load(home, names) if names else Manifest(Path(out), ())


# By folder, the time of its last change and the parts that it had then.
_SEEN: dict[Path, tuple[int, tuple[str, ...]]] = {}
# A change within the resolution of a file system's clock does not show in its time.
_SETTLED = 2.0


def _names(home: Path) -> tuple[str, ...]:
    try:
        changed = home.stat().st_mtime_ns
        if home in _SEEN and _SEEN[home][0] == changed:
            return _SEEN[home][1]
        names = tuple(sorted(name for name in os.listdir(home) if name.endswith(MANIFEST)))  # noqa: PTH208  (names only)
    except OSError:
        return ()
    if time.time() - changed / 1e9 > _SETTLED:
        _SEEN[home] = changed, names
    return names


@lru_cache(maxsize=4)
def _load(home: Path, names: tuple[str, ...]) -> Manifest:
    parts, problems = [], {}
    for name in names:
        try:
            parts.append(_part(home / name))
        except Broken as error:
            problems[name] = str(error)
    return Manifest(home.parent, tuple(parts), problems)


def read_part(path: Path) -> Part:
    """A part, checked against the digest in its name. Raises Broken."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Broken(f"it cannot be read ({error.strerror})") from error
    stem, _, check = path.name.removesuffix(MANIFEST).partition(".")
    if _short(content) != check:
        raise Broken("it is not what was written (its SHA-256 differs)")
    table = parquet.read_table(arrow_source(content))
    said = json.loads(table.schema.metadata[b"dominoes"])
    if said["format"] != FORMAT:
        raise Broken(f"it has format {said['format']}, this version of the package reads {FORMAT}")
    return Part(path, stem, said["files"], table.replace_schema_metadata(None))


# A part never changes, and of a million runs there are two thousand.
_part = lru_cache(maxsize=10_000)(read_part)


def content(stem: str, rows: list[dict[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> tuple[str, bytes]:
    """Name and bytes of a part."""
    said = json.dumps({"format": FORMAT, "files": found})
    table = pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata({"dominoes": said})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return f"{stem}.{_short(buffer.getvalue())}{MANIFEST}", buffer.getvalue()


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
