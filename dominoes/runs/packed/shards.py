"""Shards: the files of several hundred finished runs in a few Parquet files, written whole, read back in pieces. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from dominoes import files
from dominoes.errors import OutputError
from dominoes.runs.packed import columns, manifest, mirror
from dominoes.runs.packed.manifest import Broken, Part
from dominoes.runs.packed.place import HOME, PARTIAL

FORMS = tuple(columns.FORM_KEYS)
#: Runs of a shard: many enough to share what is the same in all, few enough for the memory of whoever writes or reads one.
RUNS_A_SHARD = 500
_MEMBERS = pa.schema(
    [("run", pa.string()), ("spec", pa.string()), ("environment", pa.string()), ("files", pa.map_(pa.string(), pa.binary()))]
)
# Floats that differ from step to step: their bytes are sorted by place before they are compressed.
_SPLIT = ("epoch", "loss", "value")


@dataclass(frozen=True)
class Member:
    """A finished run as it is packed.

    Attributes:
        run: its id.
        environment: text of environment.json.
        contents: bytes of its other files by name (`state.contents`).
    """

    run: str
    environment: str
    contents: Mapping[str, bytes]


def write_shard(members: Sequence[Member], home: Path) -> Part:
    """Write a shard, compare what reads back with what was given to the last byte, and enter it in the manifest.

    Whatever moment the process ends at, the runs are in the manifest with all their files there, or not in it.

    Raises OutputError: the folder cannot be written, or does not give back what was written.
    """
    tables, rest = {}, {member.run: dict(member.contents) for member in members}
    for form in FORMS:
        tables[form] = _folded(members, form, rest)
    rows = [
        {
            "run": each.run,
            "spec": rest[each.run].pop("spec.json").decode(),
            "environment": each.environment,
            "files": [*rest[each.run].items()],
        }
        for each in members
    ]
    tables["runs"] = pa.Table.from_pylist(rows, _MEMBERS)
    return keep_shard(tables, [_row(each) for each in members], home)


def keep_shard(tables: Mapping[str, pa.Table], rows: list[dict[str, Any]], home: Path) -> Part:
    """Write the files of a shard, read them back, and enter it in the manifest with a row for each run. Raises OutputError."""
    token = secrets.token_hex(6)
    written: dict[str, Path] = {}
    try:
        home.mkdir(parents=True, exist_ok=True)
        for what, table in tables.items():
            written[what] = home / f"{PARTIAL}{token}.{what}.parquet"
            _write(table, written[what], what)
            if not parquet.read_table(written[what]).equals(table):
                raise OutputError(f"{written[what]} does not read back as it was written; check the disk, nothing was removed")
        digests = {what: files.sha256(path) for what, path in written.items()}
        stem = hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:12]
        for what, path in written.items():
            path.replace(home / f"{stem}.{what}.parquet")
        files.flush_folder(home)
    except OSError as error:
        raise OutputError(f"{home} cannot be written ({error.strerror}); free the disk, nothing was removed") from error
    finally:
        for path in written.values():
            path.unlink(missing_ok=True)
    names = {what: f"{stem}.{what}.parquet" for what in digests}
    found = {name: {"bytes": (home / name).stat().st_size, "sha256": digests[what]} for what, name in names.items()}
    name, content = manifest.content(stem, rows, found)
    files.write(home / name, content)
    files.flush_folder(home)
    return manifest.read_part(home / name)


def enter_shard(write: Callable[[Path], Part], out: Path) -> Part:
    """A shard that `write` puts into the folder it is given, where the results folder keeps its shards: there, or in the object store that
    it stands for. Raises OutputError."""
    kept = mirror.of(out)
    if kept is None:
        return write(out / HOME)
    part = write(out / mirror.OUTGOING)
    # Files of which the store's manifest has no part yet are nobody's leavings as long as there is a lease.
    with kept.leases.held(f"sending-{secrets.token_hex(6)}"):
        return manifest.read_part(kept.send(part.path, part.files))


def _folded(members: Sequence[Member], form: str, rest: dict[str, dict[str, bytes]]) -> pa.Table:
    """The curves of the members that have such a table; those that do not unfold to the same text keep it as it is, in `rest`."""
    name = f"{form}.csv"
    having = [each for each in members if name in each.contents]
    try:
        found = columns.fold_texts([each.contents[name] for each in having], form) if having else None
        same = {} if found is None else columns.texts(columns.unfold_curves(found, form), form)
    except columns.Unfoldable:
        having = [each for each in having if _folds(each.contents[name], form)]
        found, same = None, {each.run: each.contents[name].decode().removeprefix(columns.header(form)) for each in having}
    good = [each for each in having if same.get(each.run, "") == each.contents[name].decode().removeprefix(columns.header(form))]
    if found is None or len(good) < len(having):
        found = columns.fold_texts([each.contents[name] for each in good], form) if good else _empty(form)
    for each in good:
        del rest[each.run][name]
    return found


def _folds(text: bytes, form: str) -> bool:
    try:
        again = columns.texts(columns.unfold_curves(columns.fold_texts([text], form), form), form)
    except columns.Unfoldable:
        return False
    return columns.header(form) + "".join(again.values()) == text.decode()


def _empty(form: str) -> pa.Table:
    return columns.fold_texts([columns.header(form).encode()], form)


def _write(table: pa.Table, path: Path, what: str) -> None:
    lists = columns.values_of(what) if what in FORMS else []
    split = [f"{name}.list.element" for name in lists if name in _SPLIT]
    words = [*("run", *columns.FORM_KEYS.get(what, ())), *(f"{name}.list.element" for name in lists if name not in _SPLIT)]
    with open(path, "wb") as file:
        how: dict[str, Any] = {"use_byte_stream_split": split, "use_dictionary": words} if lists else {"use_dictionary": False}
        parquet.write_table(table, file, compression="zstd", write_page_checksum=True, **how)
        file.flush()
        os.fsync(file.fileno())


def _row(member: Member) -> dict[str, Any]:
    environment = json.loads(member.environment)
    made = {"digests": {part: value for part, value in environment["digests"].items() if part != "deal"}}
    made |= {"code": environment["code"]} if "code" in environment else {}
    row = {name: environment.get(name) for name in ("status", "steps", "diverged_at", "package", "torch", "device")}
    row |= {"run": member.run, "seed": json.loads(member.contents["spec.json"])["seed"], "wall": environment["seconds"].get("wall")}
    row |= {"n": environment["dominoes"]["n"], "classes": environment["dominoes"].get("classes")}
    return row | {"tables": " ".join(sorted(environment["files"])), "made": json.dumps(made, sort_keys=True)}


class Shard:
    """A shard that is read: each file is compared with its digest once, when it is first needed. All raise Broken."""

    def __init__(self, part: Part):
        self.part = part
        self._tables: dict[str, pa.Table] = {}
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        self._odd: dict[str, dict[str, bytes]] = {}

    def folded(self, what: str) -> pa.Table:
        """The rows of a file: curves of a form, or `runs`."""
        if what not in self._tables:
            path = self.part.file(what)
            try:
                content = self.part.content(what)
            except OSError as error:
                raise Broken(f"{HOME}/{path.name} is missing or cannot be read ({error.strerror})") from error
            if hashlib.sha256(content).hexdigest() != self.part.files[path.name]["sha256"]:
                raise Broken(f"{HOME}/{path.name} is not what was written (its SHA-256 differs)")
            self._tables[what] = parquet.read_table(columns.arrow_source(content))
        return self._tables[what]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {run: row for row, run in enumerate(self.folded("runs")["run"].to_pylist())}

    def spans(self, form: str) -> dict[str, tuple[int, int]]:
        """By run, where its curves begin and how many they are."""
        if form not in self._places:
            starts, lengths, names = columns.spans(self.folded(form)["run"])
            self._places[form] = dict(zip(names, zip(starts, lengths, strict=True), strict=True))
        return self._places[form]

    def member(self, run: str, *, tables: bool = True) -> Member:
        """A run as it was packed; without `tables` only the files that are none."""
        row = self.folded("runs").slice(self._rows[run], 1).to_pylist()[0]
        found: dict[str, bytes] = {"spec.json": row["spec"].encode(), **dict(row["files"])}
        for name in json.loads(row["environment"])["files"] if tables else ():
            form = name.removesuffix(".csv")
            if name not in found and form in FORMS:
                found[name] = self.texts(form, [run])[run].encode()
        return Member(run, row["environment"], found)

    def file(self, run: str, name: str) -> bytes:
        """One file of a run. Raises Broken if it has none of this name."""
        form = name.removesuffix(".csv")
        if form in FORMS and run not in self.odd(form) and name in self.about()[run][2]:
            return self.texts(form, [run])[run].encode()
        found = self.member(run, tables=False).contents
        if name not in found:
            raise Broken(f"{name} is missing")
        return found[name]

    def environment(self, run: str) -> str:
        """Text of a run's environment.json."""
        return str(self.folded("runs")["environment"][self._rows[run]].as_py())

    def specs(self) -> dict[str, str]:
        """Text of spec.json by run."""
        table = self.folded("runs")
        return dict(zip(table["run"].to_pylist(), table["spec"].to_pylist(), strict=True))

    def odd(self, form: str) -> dict[str, bytes]:
        """By run, tables of a form that are kept as they were written."""
        if form not in self._odd:
            name, folded = f"{form}.csv", self.spans(form)
            # The file that has them is the largest, and is not read where no run has a table that was not folded.
            left = [run for run, (_, _, names) in self.about().items() if name in names and run not in folded]
            found = {run: dict(self.folded("runs")["files"][self._rows[run]].as_py()) for run in left}
            self._odd[form] = {run: kept[name] for run, kept in found.items() if name in kept}
        return self._odd[form]

    def rows(self, form: str, runs: Iterable[str] | None = None) -> pa.Table:
        """The long table of some runs (None: all), but for those of `odd`, in the shard's order."""
        folded = self.folded(form)
        if runs is not None:
            chosen = [span for span in map(self.spans(form).get, dict.fromkeys(runs)) if span is not None]
            parts = [folded.slice(start, length) for start, length in sorted(chosen)]
            folded = pa.concat_tables(parts) if parts else folded.slice(0, 0)
        return columns.unfold_curves(folded, form)

    def tables(self, form: str, runs: Sequence[str]) -> dict[str, pa.Table]:
        """The long table of each of some runs, but for those of `odd`."""
        rows = self.rows(form, runs)
        starts, lengths, names = columns.spans(rows["run"])
        cut = zip(names, starts, lengths, strict=True)
        return dict.fromkeys(runs, rows.slice(0, 0)) | {name: rows.slice(start, length) for name, start, length in cut}

    def about(self) -> dict[str, tuple[int, int | None, list[str]]]:
        """By run, its dominoes, its classes, and the names of its files."""
        return self._about

    @cached_property
    def _about(self) -> dict[str, tuple[int, int | None, list[str]]]:
        runs = self.part.runs
        values = (runs[name].to_pylist() for name in ("run", "n", "classes", "tables"))
        return {run: (n, classes, names.split()) for run, n, classes, names in zip(*values, strict=True)}

    def texts(self, form: str, runs: Sequence[str]) -> dict[str, str]:
        """A table of some runs, to the letter as it was written, by run."""
        head = columns.header(form)
        found = dict.fromkeys(runs, head)
        found |= {run: head + lines for run, lines in columns.texts(self.rows(form, runs), form).items()}
        return found | {run: content.decode() for run, content in self.odd(form).items() if run in found}


def shard(part: Part) -> Shard:
    """A shard to read; the last few are kept in memory, as they are on disk but for the compression."""
    if part.path not in _READ:
        while len(_READ) >= _KEPT:
            del _READ[next(iter(_READ))]
        _READ[part.path] = Shard(part)
    return _READ[part.path]


_KEPT = 4
_READ: dict[Path, Shard] = {}
