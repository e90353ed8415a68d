"""Finished runs read back: the one way from run folders to specs and tables. What is not what was written is named, never used."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes import tables
from dominoes.errors import CurvesError
from dominoes.runs import state
from dominoes.runs.state import DONE, RUNS, Damage
from dominoes.spec import RunSpec, recorded


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
            return tables.parse(self.contents[f"{form}.csv"], form=form, name=str(self.folder / f"{form}.csv"))
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
    """Folders marked DONE under `out` (a results folder, or a single run folder), by name."""
    out = Path(out)
    if (out / DONE).exists():
        return [out]
    return sorted(mark.parent for mark in (out / RUNS).glob(f"*/{DONE}"))


def read(folder: Path) -> FinishedRun:
    """Read one folder marked DONE. Raises Damage."""
    environment = state.environment(folder)
    contents = state.contents(folder, environment, checkpoints=False)
    try:
        spec = recorded(contents.pop("spec.json").decode())
    except ValueError as error:
        raise Damage(folder, "its spec.json is none that this version of the package knows") from error
    return FinishedRun(folder, spec, environment, contents)


def read_all(found: Iterable[Path]) -> Iterator[FinishedRun | Damage]:
    """Read folders marked DONE, one after the other; a damaged one comes as what is wrong with it."""
    for folder in found:
        try:
            yield read(folder)
        except Damage as damage:
            yield damage
