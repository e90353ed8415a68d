"""A plan of very many runs as a Parquet file: a row a run, specs that differ by seeds alone kept once. Loads no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from dominoes import files
from dominoes.spec import KINDS, DominoSpec, RunSpec, parse

FORMAT = 1
#: Name of the file in the results folder.
NAME = "plan.parquet"
_WORD = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        *(("run", pa.string()), ("base", _WORD), ("deal_seed", pa.int64()), ("seed", pa.int64())),
        *((name, pa.int64()) for name in ("n", *KINDS)),
        ("reason", _WORD),
    ]
)


@dataclass(frozen=True)
class PlanRow:
    """A run of a plan: its id and spec; the dominoes of its dataset by kind, or the reason why it has none."""

    run: str
    spec: RunSpec
    kinds: dict[str, int] | None
    n: int
    reason: str


def write_plan(path: Path, head: dict[str, Any], rows: Sequence[PlanRow]) -> None:
    """Write a plan, unless the file has the same one already. Raises OutputError."""
    bases: dict[RunSpec, str] = {}
    # By dataset and training, which runs of a sweep share as objects.
    texts: dict[tuple[int, int], str] = {}
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    for row in rows:
        key = id(row.spec.dataset), id(row.spec.train)
        if key not in texts:
            base = _base(row.spec)
            if base not in bases:
                bases[base] = base.model_dump_json()
            texts[key] = bases[base]
        kinds = row.kinds or {}
        values = (
            row.run,
            texts[key],
            row.spec.dataset.seed,
            row.spec.seed,
            row.n if row.kinds else None,
            *(kinds.get(kind) for kind in KINDS),
            row.reason,
        )
        for name, value in zip(_SCHEMA.names, values, strict=True):
            columns[name].append(value)
    table = pa.table(columns, _SCHEMA)
    said = json.dumps(head | {"format": FORMAT, "digest": _digest(table, head)})
    if path.is_file() and parquet.read_schema(path).metadata.get(b"dominoes", b"").decode() == said:
        return
    with files.replacing(path) as temporary:
        parquet.write_table(table.replace_schema_metadata({"dominoes": said}), temporary, compression="zstd")


def _base(spec: RunSpec) -> RunSpec:
    return spec.model_copy(update={"seed": 0, "dataset": spec.dataset.model_copy(update={"seed": 0})})


def _digest(table: pa.Table, head: dict[str, Any]) -> str:
    state = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name in ("run", "n", *KINDS, "reason"):
        state.update("\n".join(map(str, table[name].to_pylist())).encode())
    return state.hexdigest()


def head(path: Path) -> dict[str, Any]:
    """What a plan says of all its runs. Raises ValueError, KeyError, OSError."""
    said: dict[str, Any] = json.loads(parquet.read_schema(path).metadata[b"dominoes"])
    return said


def ids(path: Path) -> tuple[pa.Array, int]:
    """The ids of the runs that can be executed, in order, and the number of those that cannot; no spec is read."""
    table = parquet.read_table(path, columns=["run", "n"])
    runs = table.filter(table["n"].is_valid())["run"].combine_chunks()
    return runs, table.num_rows - len(runs)


def plan_rows(path: Path) -> Iterator[PlanRow]:
    """The runs of a plan, in order; those that are alike share datasets, training and counts. Raises ValueError, SpecError, OSError."""
    bases: dict[str, RunSpec] = {}
    deals: dict[tuple[str, int], DominoSpec] = {}
    known: dict[tuple[int, ...], dict[str, int]] = {}
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=10_000):
        columns = {name: batch[name].to_pylist() for name in _SCHEMA.names}
        for run, base, deal_seed, seed, n, *counts, reason in zip(*columns.values(), strict=True):
            if base not in bases:
                bases[base] = parse(RunSpec, json.loads(base), record=True)
            if (base, deal_seed) not in deals:
                deals[base, deal_seed] = bases[base].dataset.model_copy(update={"seed": deal_seed})
            spec = bases[base].model_copy(update={"seed": seed, "dataset": deals[base, deal_seed]})
            kinds = None if n is None else known.setdefault(tuple(counts), dict(zip(KINDS, counts, strict=True)))
            yield PlanRow(run, spec, kinds, n or 0, reason or "")
