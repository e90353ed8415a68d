"""Run folders read for looking at: their tables joined before they are parsed and checked, in blocks, so that ten thousand runs are one
table of a few columns of codes and numbers, and not ten thousand tables."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes import tables
from dominoes.errors import CurvesError, SpecError
from dominoes.runs import state
from dominoes.runs.state import RUNS, Damage, State
from dominoes.spec import RunSpec, parse, recorded

DAMAGED = "damaged"
# Columns that repeat few texts over many rows; as codes they take a tenth of the memory and group ten times as fast.
CODED = ("run", "split", "kind")
_BLOCK = 200
_HALF = 2**31
# What is kept of environment.json.
_TOLD = (
    "package", "python", "torch", "numpy", "platform", "device", "device_name", "threads", "packing", "status", "diverged_at", "seconds",
    "digests", "dominoes",
)  # fmt: skip


@dataclass(frozen=True)
class ReportedRun:
    """A run as it was found.

    Attributes:
        id, seed: of it; the seed is None where nothing tells it.
        status: finished, diverged, failed, running, unfinished, damaged, not run or infeasible.
        reason: of a status that is not a good one.
        folder: its folder, None if it stands in a table only.
        spec: None where that is not known.
        environment: content of environment.json that is shown, and the names of its `files`; empty if there is none.
    """

    id: str
    seed: int | None
    status: str
    reason: str = ""
    folder: Path | None = None
    spec: RunSpec | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


class Confusion(Mapping[str, NDArray[np.int64]]):
    """By run id, counts (K + 1) × (K + 1) × K of answers by what was shown; read when they are asked for."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def __len__(self) -> int:
        return len(self._folders)

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __contains__(self, run: object) -> bool:
        return run in self._folders

    def __getitem__(self, run: str) -> NDArray[np.int64]:
        folder = self._folders[run]
        try:
            with np.load(io.BytesIO(state.file(folder, state.CONFUSION))) as content:
                return np.asarray(content["counts"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise Damage(folder, f"{state.CONFUSION} cannot be read") from error


class Columns:
    """Tables of the same columns put one below the other into arrays that grow where they lie, so that all of it is there twice at no time.
    CODED columns become categories, whole numbers take half as much where they can."""

    def __init__(self) -> None:
        self.length = 0
        self._arrays: dict[str, NDArray[Any]] = {}
        self._names: dict[str, dict[str, int]] = {name: {} for name in CODED}

    def add(self, table: pd.DataFrame) -> None:
        """Append the rows of a table."""
        end = self.length + len(table)
        for name in map(str, table.columns):
            if name in CODED:
                codes, texts = pd.factorize(table[name])
                known = self._names[name]
                values = np.array([known.setdefault(str(text), len(known)) for text in texts], dtype=np.int32)[codes]
            else:
                values = table[name].to_numpy()
                if values.dtype.kind == "i" and len(values) and values.min() > -_HALF and values.max() < _HALF:
                    values = values.astype(np.int32)
            array = self._arrays.setdefault(name, np.empty(0, dtype=values.dtype))
            if array.dtype != values.dtype:
                # A number that one table lacks is a number of floats in all.
                array = self._arrays[name] = array.astype(np.result_type(array, values))
            if end > len(array):
                # What is not written to takes no memory yet. Nothing else holds the array.
                array.resize(max(end, len(array) * 3 // 2), refcheck=False)
            array[self.length : end] = values
        self.length = end

    def table(self) -> pd.DataFrame:
        """All of it."""
        columns: dict[str, Any] = {}
        for name, array in self._arrays.items():
            array.resize(self.length, refcheck=False)
            columns[name] = pd.Categorical.from_codes(array, categories=list(self._names[name])) if name in CODED else array  # type: ignore[call-overload]
        return pd.DataFrame(columns, copy=False)


def of_folders(folders: Sequence[Path]) -> tuple[list[ReportedRun], pd.DataFrame | None]:
    """Runs of folders in any state, in the folders' order, and the curves of those that are finished and whole (None if none is).

    `run`, `split` and `kind` of the curves are categories. A run's files are compared with their digests where sizes or times say that
    they may have been changed (`state.damage`); a table that breaks the contract is a damaged run too.
    """
    runs: list[ReportedRun] = []
    columns = Columns()
    waiting: dict[int, bytes] = {}

    def parsed() -> None:
        if not waiting:
            return
        try:
            columns.add(tables.parse_table(_one(list(waiting.values()))))
        except CurvesError:
            # One of them breaks its contract; alone, each is named.
            for place, content in waiting.items():
                folder = folders[place]
                try:
                    columns.add(tables.parse_table(content, name=str(folder / "curves.csv")))
                except CurvesError as error:
                    runs[place] = _damaged(folder, f"its table is none ({error})")
        waiting.clear()

    for place, folder in enumerate(folders):
        run, content = _read(folder)
        runs.append(run)
        if content is not None:
            waiting[place] = content
        if len(waiting) == _BLOCK:
            parsed()
    parsed()
    return runs, columns.table() if columns.length else None


def classes(folders: Sequence[Path]) -> pd.DataFrame | None:
    """The tables by class of finished runs, joined; None without any. Raises CurvesError if one breaks the contract."""
    contents = [state.file(folder, "classes.csv") for folder in folders if state.state_of(folder) is State.DONE]
    return tables.parse_table(_one(contents), form="classes", name="classes.csv of the runs") if contents else None


def _read(folder: Path) -> tuple[ReportedRun, bytes | None]:
    """A run folder in any state; with the curves of a finished one that is whole, as they were written."""
    which = state.state_of(folder)
    if which is not State.DONE:
        spec = _spec(folder)
        reason = state.reason(folder) if which is State.FAILED else "" if spec else "spec.json is missing or damaged"
        return ReportedRun(folder.name if spec is None else spec.id, spec.seed if spec else None, which.value, reason, folder, spec), None
    try:
        environment = state.environment(folder)
        problem = state.damage(folder, deep=False, content=environment)
        if problem is not None:
            return _damaged(folder, problem), None
        spec = recorded(state.file(folder, "spec.json").decode())
        content = state.file(folder, "curves.csv")
    except Damage as damage:
        return _damaged(folder, damage.problem), None
    except ValueError:
        return _damaged(folder, "its spec.json is none that this version of the package knows"), None
    # Of ten thousand runs all that they tell of themselves would be as much as their curves.
    environment = {name: environment[name] for name in _TOLD if name in environment} | {"files": dict.fromkeys(environment["files"])}
    status = str(environment["status"])
    reason = f"a loss was not finite at step {environment.get('diverged_at')}" if status == "diverged" else ""
    return ReportedRun(spec.id, spec.seed, status, reason, folder, spec, environment), content


def _damaged(folder: Path, problem: str) -> ReportedRun:
    spec = _spec(folder)
    return ReportedRun(folder.name if spec is None else spec.id, spec.seed if spec else None, DAMAGED, problem, folder, spec)


def _spec(folder: Path) -> RunSpec | None:
    """What a run that is not finished, or damaged, was to be made from; None where that cannot be read, or is another run's."""
    try:
        spec = parse(RunSpec, json.loads((folder / "spec.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, SpecError):
        return None
    return spec if folder.resolve().name == spec.id or folder.resolve().parent.name != RUNS else None


def _one(contents: Sequence[bytes]) -> bytes:
    """Tables of one head as one table. Raises CurvesError where heads differ."""
    heads = {content.partition(b"\n")[0] for content in contents}
    if len(heads) > 1 or not all(content.endswith(b"\n") for content in contents):
        raise CurvesError("the tables have different columns")
    return b"".join([*heads, b"\n", *(content.partition(b"\n")[2] for content in contents)])
