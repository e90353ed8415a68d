"""The dataset folder: what was asked, what was decided, which pictures, and digests of it all. No pixels."""

from __future__ import annotations

import csv
import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dominoes import __version__, files, registry
from dominoes.data import card, sources
from dominoes.data.dealing import Deal, Dealt, deal
from dominoes.errors import DatasetError, SpecError
from dominoes.mappings import read_mapping
from dominoes.solver import composition, solution
from dominoes.solver.composition import Composition
from dominoes.solver.ideal_counts import RIGHT, STATES, WRONG
from dominoes.spec import KINDS, SIDES, DominoSpec, dump, parse

FOLDER_FORMAT = 1
METADATA_COLUMNS = ("index", "label", "kind", "top_index", "bottom_index", "top_label", "bottom_label")
MARK = "digests.json"
# Rows that are text at once.
_ROWS = 100_000
_DIGESTED = ("spec.yaml", "composition.json", "metadata.csv", "README.md", "croissant.json")


def metadata(table: Deal) -> str:
    """The rows of a deal as CSV: equal deals are equal bytes."""
    return "".join(metadata_lines(table))


def metadata_lines(table: Deal) -> Iterator[str]:
    """The text of `metadata` in pieces, so that of many dominoes it need not be in memory at once."""
    yield ",".join(METADATA_COLUMNS) + "\n"
    kind, names = table.kind, np.array(KINDS)
    for start in range(0, len(table), _ROWS):
        rows = slice(start, start + _ROWS)
        columns = [np.arange(start, min(start + _ROWS, len(table))), table.label[rows], names[kind[rows]]]
        columns += [table.index[side][rows] for side in SIDES]
        columns += [np.where(table.shown[side][rows] < 0, "", table.shown[side][rows].astype(str)) for side in SIDES]
        yield "\n".join(",".join(row) for row in zip(*(column.astype(str).tolist() for column in columns), strict=True)) + "\n"


def metadata_digest(table: Deal) -> str:
    """SHA-256 of `metadata`."""
    state = hashlib.sha256()
    for text in metadata_lines(table):
        state.update(text.encode())
    return state.hexdigest()


def save_dataset(dealt: Dealt, path: Path, *, force: bool = False) -> None:
    """Write a dataset folder, whole or not at all. Raises OutputError: not empty (unless `force`), not writable, disk full."""
    with files.new_folder(path, force=force, ours=MARK) as folder:
        (folder / "spec.yaml").write_text(dump(dealt.spec), encoding="utf-8")
        (folder / "composition.json").write_text(dealt.composition.dumps(), encoding="utf-8")
        with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
            file.writelines(metadata_lines(dealt.deal))
        digests = {
            "format": FOLDER_FORMAT,
            "dominoes": __version__,
            "sources": {side: _about(dealt.source(side)) for side in SIDES},
        }
        digests |= {name: files.sha256(folder / name) for name in ("spec.yaml", "composition.json", "metadata.csv")}
        (folder / "README.md").write_text(card.readme(dealt, digests), encoding="utf-8")
        (folder / "croissant.json").write_text(card.croissant(dealt, digests), encoding="utf-8")
        digests |= {name: files.sha256(folder / name) for name in ("README.md", "croissant.json")}
        (folder / MARK).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def _about(source: sources.Source) -> dict[str, Any]:
    about = {
        "source": source.name,
        "split": source.split.value,
        "pictures": len(source.labels),
        "classes": list(source.classes),
        "sha256": source.digest,
    }
    if len(source.chosen) < len(source.labels):
        about["chosen"] = len(source.chosen)
    return about | ({"transforms": list(source.transforms)} if source.transforms else {})


def read_dataset(path: Path, *, data: Path | None = None, download: bool = False, trust: bool = False) -> Dealt:
    """Read a dataset folder with its sources, for use.

    Raises DatasetError if anything is not what the folder's digests say, RegistryError if its spec names code by an unpinned reference
    and that is not to be trusted.
    """
    spec, digests = _head(path, trust)
    for name in ("spec.yaml", "composition.json", "metadata.csv"):
        if files.sha256(path / name) != digests[name]:
            raise DatasetError(
                f"{path}/{name} is not what was built (its SHA-256 differs); 'dominoes verify' says where, or build it again"
            )
    top, bottom = sources.pair(spec, data=data, download=download)
    for side, source in zip(SIDES, (top, bottom), strict=True):
        if source.digest != digests["sources"][side]["sha256"]:
            raise DatasetError(
                f"the {source.name} pictures found here are not those {path} was built from; pass the right --data, or build again"
            )
    table = _read_metadata(path)
    return Dealt(spec, _read_composition(path, spec), table, top, bottom)


def _head(path: Path, trust: bool) -> tuple[DominoSpec, dict[str, Any]]:
    path = Path(path)
    if not path.is_dir():
        raise DatasetError(f"{path} is not a folder; expected a dataset folder made by 'dominoes build'")
    for name in (MARK, "spec.yaml", "composition.json", "metadata.csv"):
        if not (path / name).is_file():
            raise DatasetError(f"{path} is not a dataset folder, {name} is missing; make one with 'dominoes build'")
    try:
        digests = json.loads((path / MARK).read_text(encoding="utf-8"))
        version = digests["format"]
        if type(version) is not int or not 1 <= version <= FOLDER_FORMAT:
            raise DatasetError(
                f"{path} has format {version}, dominoes {__version__} reads up to {FOLDER_FORMAT}; "
                "install a newer dominoes, or build it again"
            )
        missing = [name for name in _DIGESTED if not isinstance(digests[name], str)]
        if missing or not all(digests["sources"][side]["sha256"] for side in SIDES):
            raise KeyError(*missing, "sources")
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}/{MARK} is damaged ({error}); build the dataset again") from error
    spec = parse(DominoSpec, read_mapping(path / "spec.yaml"), where=f"{path}/spec.yaml")
    if not trust:
        registry.refuse_untrusted(spec.named(), f"{path}/spec.yaml")
    return spec, digests


def _read_composition(path: Path, spec: DominoSpec) -> Composition:
    try:
        values = json.loads((path / "composition.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path}/composition.json is damaged ({error}); build the dataset again") from error
    return composition.from_json(values, spec)


def _read_metadata(path: Path) -> Deal:
    file = path / "metadata.csv"
    # As numbers as soon as they are read: of ten million rows the text is a gigabyte, and its pieces are more.
    numbers, kinds = array("q"), array("b")
    try:
        with open(file, encoding="utf-8", newline="") as text:
            rows = csv.reader(text)
            if tuple(next(rows, ())) != METADATA_COLUMNS:
                raise DatasetError(f"{file} has other columns than {','.join(METADATA_COLUMNS)}; build the dataset again")
            for line, row in enumerate(rows, 2):
                try:
                    if len(row) != len(METADATA_COLUMNS):
                        raise ValueError(f"{len(row)} values instead of {len(METADATA_COLUMNS)}")
                    index, label, kind, top, bottom, top_label, bottom_label = row
                    values = [int(value) for value in (index, label, top, bottom, top_label or -1, bottom_label or -1)]
                    kinds.append(KINDS.index(kind))
                except ValueError as error:
                    if isinstance(error, UnicodeDecodeError):
                        raise
                    raise DatasetError(f"{file}, line {line}: {error}; expected {','.join(METADATA_COLUMNS)}") from error
                numbers.extend(values)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is no text in UTF-8 ({error.reason}); build the dataset again") from error
    except OverflowError as error:
        raise DatasetError(f"{file} holds a number beyond 64 bits; build the dataset again") from error
    table = np.frombuffer(numbers, dtype=np.int64).reshape(len(kinds), 6) if kinds else np.zeros((0, 6), dtype=np.int64)
    found = Deal(table[:, 1], {"top": table[:, 2], "bottom": table[:, 3]}, {"top": table[:, 4], "bottom": table[:, 5]})
    for wrong in np.flatnonzero(table[:, 0] != np.arange(len(table))):
        raise DatasetError(f"{file}, line {wrong + 2}: index {table[wrong, 0]}, expected {wrong}; a row is missing, doubled or moved")
    for wrong in np.flatnonzero(found.kind != np.array(kinds, dtype=np.int64)):
        raise DatasetError(f"{file}, line {wrong + 2}: kind {KINDS[kinds[wrong]]}, but {KINDS[found.kind[wrong]]} is shown")
    return found


def verify_dataset(path: Path, *, data: Path | None = None, trust: bool = False) -> list[str]:
    """Recompute every digest and every count of a dataset folder from its sources; return what differs, a sentence each.

    Raises DatasetError or SourceError where there is nothing to compare (no folder, no sources, another format).
    """
    path = Path(path)
    spec, digests = _head(path, trust)
    top, bottom = sources.pair(spec, data=data, fresh=True)
    found = []
    for side, source in zip(SIDES, (top, bottom), strict=True):
        now = _about(source) | {"sha256": sources.pictures_digest(source.pictures, source.labels)}
        if now["sha256"] != digests["sources"][side]["sha256"]:
            found.append(f"{side}: the pictures or labels of {source.name} ({source.split.value}) are not those the dataset was built from")
        elif now != digests["sources"][side]:
            found.append(f"{side}: digests.json describes {source.name} otherwise than it is")
    for name in _DIGESTED:
        if not (path / name).is_file():
            found.append(f"{name}: it is missing")
        elif files.sha256(path / name) != digests[name]:
            found.append(f"{name}: its SHA-256 differs from the one in digests.json")
    try:
        decided = _read_composition(path, spec)
        found += [f"composition.json: {problem}" for problem in solution.broken_rules(decided)]
        if json.loads(json.dumps(decided.to_json())) != json.loads((path / "composition.json").read_text(encoding="utf-8")):
            found.append("composition.json: its sums do not follow from its states")
        table = _read_metadata(path)
    except (DatasetError, composition.CompositionError) as error:
        return [*found, str(error)]
    except SpecError as error:
        return [*found, f"spec.yaml: {error}"]
    found += list(_count_problems(table, decided))
    for side, source in zip(SIDES, (top, bottom), strict=True):
        found += list(_picture_problems(table, side, source))
    if not any(problem.startswith(("top:", "bottom:", "composition.json:")) for problem in found):
        found += list(_row_problems(table, deal(decided, top, bottom)))
    return found


def _count_problems(table: Deal, decided: Composition) -> Iterator[str]:
    classes = decided.stock.classes
    if len(table) != decided.n:
        yield f"metadata.csv: {len(table)} rows, composition.json has n = {decided.n}"
    for name, values in (("label", table.label), *((f"{side}_label", table.shown[side]) for side in SIDES)):
        for wrong in np.flatnonzero((values >= classes) | (values < (0 if name == "label" else -1))):
            yield f"metadata.csv, row {wrong}: {name} {values[wrong]}, expected 0 to {classes - 1}"
            return
    parts = {side: np.where(table.shown[side] < 0, 0, np.where(table.shown[side] == table.label, 1, 2)) for side in SIDES}
    states = np.zeros((classes, 9), dtype=np.int64)
    np.add.at(states, (table.label, 3 * parts["top"] + parts["bottom"]), 1)
    for label, state in np.argwhere(states != decided.states):
        yield f"label {label}, {STATES[state]}: {states[label, state]} rows, composition.json has {decided.states[label, state]}"
    for side in SIDES:
        counts = np.zeros((classes, classes), dtype=np.int64)
        rows = np.isin(3 * parts["top"] + parts["bottom"], RIGHT[side] + WRONG[side])
        np.add.at(counts, (table.label[rows], table.shown[side][rows]), 1)
        for label, shown in np.argwhere(counts != decided.shown[side]):
            asked = decided.shown[side][label, shown]
            yield f"label {label}, {side} showing {shown}: {counts[label, shown]} rows, composition.json has {asked}"


def _picture_problems(table: Deal, side: str, source: sources.Source) -> Iterator[str]:
    index, shown = table.index[side], table.shown[side]
    for row in np.flatnonzero((index < -1) | (index >= len(source.labels))):
        yield f"metadata.csv, row {row}: {side}_index {index[row]}, {source.name} has pictures 0 to {len(source.labels) - 1}"
        return
    real = np.where(index < 0, -1, source.labels[index])
    for row in np.flatnonzero(real != shown):
        yield f"metadata.csv, row {row}: {side}_label {shown[row]}, but picture {index[row]} of {source.name} shows {real[row]}"


def _row_problems(table: Deal, dealt: Deal) -> Iterator[str]:
    if len(table) != len(dealt):
        return
    columns = {"label": (table.label, dealt.label)}
    columns |= {f"{side}_index": (table.index[side], dealt.index[side]) for side in SIDES}
    for name, (mine, theirs) in columns.items():
        for row in np.flatnonzero(mine != theirs):
            yield f"metadata.csv, row {row}: {name} {mine[row]}, the deal of this spec and seed has {theirs[row]}"
