"""Finished runs read back: the one way from run folders to specs and tables. What is not what was written is named, never used."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dominoes import tables
from dominoes.errors import CurvesError
from dominoes.runs import state
from dominoes.runs.packed import columns, manifest, shards
from dominoes.runs.packed.shards import Shard
from dominoes.runs.state import DONE, RUNS, Damage
from dominoes.spec import RunSpec, recorded

# Runs whose tables are made at once: few enough for the memory.
_AT_ONCE = 100


@dataclass(frozen=True)
class FinishedRun:
    """A finished run whose every byte (but those of checkpoints) was compared with what was written.

    Attributes:
        folder: of the run.
        spec: what it was made from.
        environment: content of environment.json.
        contents: bytes of its files by name: curves.csv, classes.csv and, but for runs of early versions, confusion.npz.
    """

    folder: Path
    spec: RunSpec
    environment: Mapping[str, Any]
    contents: Mapping[str, bytes]

    @property
    def id(self) -> str:
        """The run's id."""
        return self.spec.id

    @property
    def n(self) -> int:
        """Dominoes that it was trained on."""
        return int(self.environment["dominoes"]["n"])

    def text(self, form: str = "curves") -> str:
        """A table as it was written: `curves` or `classes`."""
        return self.contents[f"{form}.csv"].decode()

    def table(self, form: str = "curves") -> pd.DataFrame:
        """A table: `curves` or `classes`. Raises Damage if it breaks its contract."""
        try:
            return tables.parse_table(self.contents[f"{form}.csv"], form=form, name=str(self.folder / f"{form}.csv"))
        except CurvesError as error:
            raise Damage(self.folder, f"its table is none ({error})") from error

    @property
    def confusion(self) -> NDArray[np.int64] | None:
        """Answers by what was shown, (K + 1) × (K + 1) × K counts; None of a run of an early version. Raises Damage."""
        if state.CONFUSION not in self.contents:
            return None
        try:
            with np.load(io.BytesIO(self.contents[state.CONFUSION])) as content:
                return np.asarray(content["counts"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise Damage(self.folder, f"{state.CONFUSION} cannot be read") from error


def finished(out: Path) -> list[Path]:
    """Finished runs under `out` (a results folder, or a single run folder): folders marked DONE by name, then those that are packed, shard
    by shard, by the paths that their folders had."""
    out = Path(out)
    if (out / DONE).exists() or (out.parent.name == RUNS and state.shard_of(out)):
        return [out]
    found = sorted(mark.parent for mark in (out / RUNS).glob(f"*/{DONE}"))
    known = manifest.load_manifest(out)
    if known.parts:
        names = {folder.name for folder in found}
        found += [out / RUNS / run for part in known.parts for run in known.runs_of(part) if run not in names]
    return found


def everything(out: Path) -> list[Path]:
    """Runs under `out`, whatever became of them: all folders by name, and `finished` packed ones."""
    out = Path(out)
    if (out / DONE).exists() or (out / "spec.json").exists():
        return [out]
    folders = sorted(each for each in (out / RUNS).glob("*") if each.is_dir()) if (out / RUNS).is_dir() else []
    names = {folder.name for folder in folders}
    return folders + [folder for folder in finished(out) if folder.name not in names]


def read_run(folder: Path) -> FinishedRun:
    """Read one finished run, by the path of its folder. Raises Damage."""
    try:
        return _read(folder)
    except Damage:
        if (folder / DONE).exists() or state.shard_of(folder) is None:
            raise
        # It was packed while it was read.
        return _read(folder)


def _read(folder: Path) -> FinishedRun:
    environment = state.environment(folder)
    contents = state.contents(folder, environment, checkpoints=False)
    try:
        spec = recorded(contents.pop("spec.json").decode())
    except ValueError as error:
        raise Damage(folder, "its spec.json is none that this version of the package knows") from error
    return FinishedRun(folder, spec, environment, contents)


def read_all(found: Iterable[Path]) -> Iterator[FinishedRun | Damage]:
    """Read finished runs, one after the other; a damaged one comes as what is wrong with it."""
    for folder in found:
        try:
            yield read_run(folder)
        except Damage as damage:
            yield damage


def together(found: Iterable[Path]) -> Iterator[tuple[Shard | None, list[Path]]]:
    """Finished runs by where they are: those of one shard that follow each other together with it, folders each alone with None."""
    known: dict[Path, manifest.Manifest] = {}

    def part(folder: Path) -> manifest.Part | None:
        if folder.parent.name != RUNS or (folder / DONE).exists():
            return None
        out = folder.parent.parent
        if out not in known:
            known[out] = manifest.load_manifest(out)
        return known[out].places.get(folder.name, (None, 0))[0]

    pairs = ((part(folder), folder) for folder in found)
    for where, group in groupby(pairs, key=lambda pair: pair[0] and pair[0].stem):
        some = list(group)
        first = some[0][0]
        if where is None or first is None:
            yield from ((None, [folder]) for _, folder in some)
        else:
            yield shards.shard(first), [folder for _, folder in some]


def texts(found: Iterable[Path], form: str) -> Iterator[str]:
    """A table of each run as it was written, in this order. Raises Damage."""
    for shard, folders in together(found):
        if shard is None:
            yield read_run(folders[0]).text(form)
            continue
        for start in range(0, len(folders), _AT_ONCE):
            some = [folder.name for folder in folders[start : start + _AT_ONCE]]
            try:
                made = shard.texts(form, some)
            except ValueError as error:
                raise Damage(folders[start], str(error)) from error
            yield from (made[name] for name in some)


@dataclass(frozen=True)
class Rows:
    """What is joined of a finished run.

    Attributes:
        folder: of the run.
        spec: what it was made from.
        n: dominoes that it was trained on.
        classes: K, None if nothing says.
        tables: by form, exact to the last bit; those that it has of the ones that were asked for.
    """

    folder: Path
    spec: RunSpec
    n: int
    classes: int | None
    tables: Mapping[str, pa.Table]


def run_rows(found: Iterable[Path], forms: Sequence[str]) -> Iterator[Rows | Damage]:
    """Some tables of finished runs, in this order; a damaged run comes as what is wrong with it."""
    for shard, folders in together(found):
        if shard is None:
            yield _rows_of_folder(folders[0], forms)
        else:
            yield from _rows_of_shard(shard, folders, forms)


def _rows_of_folder(folder: Path, forms: Sequence[str]) -> Rows | Damage:
    try:
        run = read_run(folder)
        made = {form: _parsed(run, form) for form in forms if f"{form}.csv" in run.contents}
    except Damage as damage:
        return damage
    return Rows(folder, run.spec, run.n, run.environment["dominoes"].get("classes"), made)


def _parsed(run: FinishedRun, form: str) -> pa.Table:
    try:
        return columns.parsed([run.contents[f"{form}.csv"]], form)
    except columns.Unfoldable:
        # Written by another hand, and a table all the same.
        schema = pa.schema([(name, columns.TYPES[name]) for name in tables.COLUMNS[form]])
        return pa.Table.from_pandas(run.table(form)[schema.names], schema, preserve_index=False)


def _rows_of_shard(shard: Shard, folders: list[Path], forms: Sequence[str]) -> Iterator[Rows | Damage]:
    try:
        names = [folder.name for folder in folders]
        about, specs = shard.about(), shard.specs()
        odd = {run for form in forms for run in shard.odd(form)}
        made = {form: shard.tables(form, names) for form in forms}
    except ValueError as error:
        yield from (Damage(folder, str(error)) for folder in folders)
        return
    for folder in folders:
        if folder.name in odd:
            yield _rows_of_folder(folder, forms)
            continue
        n, classes, having = about[folder.name]
        kept = {form: made[form][folder.name] for form in forms if f"{form}.csv" in having}
        yield Rows(folder, recorded(specs[folder.name]), n, classes, kept)
