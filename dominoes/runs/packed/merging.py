"""Small shards become large ones, and only then go; what a killed upload has left in an object store goes too.

Launches that are killed, and stores that get what is finished every minute, leave shards of few runs. A run may be in two shards for a
while: of these one counts (`Manifest.places`), and whoever merges next removes the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa

from dominoes.runs import claims
from dominoes.runs.packed import manifest, mirror, shards
from dominoes.runs.packed.manifest import Broken, Manifest, Part
from dominoes.runs.packed.mirror import Mirror
from dominoes.runs.packed.place import MANIFEST

_LEASE = "pack"


def merge_shards(out: Path, order: Sequence[str], size: int, claim: claims.Claim) -> int:
    """Put shards together that have room in one; how many went. Whatever moment the process ends at, every run is in a shard that is whole.

    In an object store nothing is done while anybody works there.

    Args:
        out: results folder, whose shards nobody else packs.
        order: ids in the order in which runs are put together.
        size: runs of a shard at most.
        claim: on the shards.

    Raises OutputError. A shard that is damaged stays.
    """
    kept = mirror.of(out)
    with ExitStack() as stack:
        if kept is not None:
            if not stack.enter_context(_alone(kept)):
                return 0
            _remove_orphans(kept)
        gone = _remove_doubles(out, kept)
        place = {run: number for number, run in enumerate(order)}
        for parts in _bins(manifest.load_manifest(out), place, size):
            claim.check(now=True)
            try:
                _merge(parts, place, out)
            except Broken:
                # A file was damaged since it was looked at; `sweep status --deep` names it.
                continue
            for part in parts:
                _remove(part, out, kept)
            gone += len(parts)
    return gone


@contextmanager
def _alone(kept: Mirror) -> Iterator[bool]:
    """Hold the lease on merging; False if anybody else holds any."""
    try:
        with kept.leases.held(_LEASE):
            yield not kept.leases.others(_LEASE)
    except claims.Busy:
        yield False


def _bins(known: Manifest, place: dict[str, int], size: int) -> list[list[Part]]:
    """Shards that together have at most `size` runs, at least two each, in the order of their first runs; none that has a run which counts
    elsewhere."""
    own = [(known.runs_of(part), part) for part in known.parts if part.stem not in known.broken and part.runs.num_rows < size]
    small = [
        (min(place.get(run, len(place)) for run in runs), part.stem, len(runs), part)
        for runs, part in own
        if len(runs) == part.runs.num_rows
    ]
    found: list[list[Part]] = []
    room = 0
    for _, _, count, part in sorted(small, key=lambda each: each[:2]):
        if count > room:
            found.append([])
            room = size
        found[-1].append(part)
        room -= count
    return [parts for parts in found if len(parts) > 1]


def _merge(parts: Sequence[Part], place: dict[str, int], out: Path) -> None:
    """Enter a shard with the runs of some others. Each of their files is compared with its digest as it is read, and the new ones with what
    they were made from."""
    read = {part.stem: shards.Shard(part) for part in parts}
    rows = {str(row["run"]): (part.stem, row) for part in parts for row in part.runs.to_pylist()}
    runs = sorted(rows, key=lambda run: (place.get(run, len(place)), run))
    tables: dict[str, pa.Table] = {}
    for what in (*shards.FORMS, "runs"):
        spans = {stem: each.spans(what) for stem, each in read.items()}
        pieces = [read[stem].folded(what).slice(*spans[stem][run]) for run in runs for stem in rows[run][:1] if run in spans[stem]]
        tables[what] = pa.concat_tables(pieces or [read[parts[0].stem].folded(what).slice(0, 0)]).combine_chunks()
    shards.enter_shard(lambda home: shards.keep_shard(tables, [rows[run][1] for run in runs], home), out)


def _remove_doubles(out: Path, kept: Mirror | None) -> int:
    """Remove shards each of whose runs is in a greater one, which is read to the last byte before."""
    known = manifest.load_manifest(out)
    whole = [part for part in known.parts if part.stem not in known.broken]
    greatest: dict[str, Part] = {}
    # Of shards of equal size the last by name stays, whoever looks.
    for part in sorted(whole, key=lambda part: (part.runs.num_rows, part.stem), reverse=True):
        for run in part.runs["run"].to_pylist():
            greatest.setdefault(run, part)
    gone = 0
    for part in whole:
        others = {greatest[run].stem: greatest[run] for run in part.runs["run"].to_pylist()}
        if part.stem not in others and all(other.damage(deep=True) is None for other in others.values()):
            _remove(part, out, kept)
            gone += 1
    return gone


def _remove(part: Part, out: Path, kept: Mirror | None) -> None:
    """Remove a shard: its part of the manifest first, without which its files count for nothing."""
    if kept is not None:
        kept.remove([part.path.name, *part.files])
    part.path.unlink(missing_ok=True)
    for name in part.files:
        part.path.with_name(name).unlink(missing_ok=True)


def _remove_orphans(kept: Mirror) -> None:
    """Remove files of shards that have no part in the store's manifest. Whoever sends one holds a lease, and nobody else held any after
    these were listed."""
    before = kept.packed_names()
    if kept.leases.others(_LEASE):
        return
    named = {name.partition(".")[0] for name in kept.packed_names() if name.endswith(MANIFEST)}
    kept.remove(name for name in before if not name.endswith(MANIFEST) and name.partition(".")[0] not in named)
