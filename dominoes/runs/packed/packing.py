"""Finished run folders become shards, and only then go."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from dominoes.errors import OutputError, RunError
from dominoes.runs import claims, state
from dominoes.runs.packed import manifest, merging, mirror, shards
from dominoes.runs.packed.place import HOME, MANIFEST, PARTIAL
from dominoes.runs.packed.shards import RUNS_A_SHARD, Member
from dominoes.runs.state import DONE, RUNS, Damage

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        runs: that were folders and are in shards now.
        shards: that were written.
        networks: finished runs that stay folders, because they keep networks.
        damaged: by id, what is wrong with folders marked DONE; they stay.
        merged: small shards that went into larger ones.
    """

    runs: int
    shards: int
    networks: int
    damaged: Mapping[str, str]
    merged: int = 0


def pack_folders(
    out: Path,
    *,
    order: Iterable[str] = (),
    only: Collection[str] | None = None,
    size: int = RUNS_A_SHARD,
    wait: bool = False,
    merge: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Packed:
    """Put the finished run folders of a results folder into shards. A folder goes when its run is in the manifest, read back and compared.

    Args:
        out: results folder.
        order: ids in the order in which runs are put together, as an export has them; others follow by name.
        only: ids of the runs to pack; None: all, and what processes that died have left is cleared up first.
        size: runs of a shard at most.
        wait: for another process that packs here.
        merge: put shards together that have room in one, too (`merging.merge_shards`).
        progress: called after each shard with (runs packed, runs to pack).

    Raises RunError if there is no such folder or another process packs it, OutputError if it cannot be written. What was not packed stays
    as it was.
    """
    out = Path(out)
    if not (out / RUNS).is_dir() and not (out / HOME).is_dir():
        raise RunError(f"{out} holds no results; expected runs/ in it, as 'dominoes sweep run' leaves it")
    while True:
        try:
            with claims.claimed(out / HOME) as claim:
                packed = _pack(out, [*order], only, size, progress, claim)
                merged = merging.merge_shards(out, [*order], size, claim) if merge else 0
                return dataclasses.replace(packed, merged=merged)
        except claims.Busy as error:
            if not wait:
                raise RunError(f"{out} is being packed by another process ({error}); wait for it") from error
            time.sleep(_POLL_SECONDS)


def _pack(
    out: Path, order: list[str], only: Collection[str] | None, size: int, progress: Callable[[int, int], None], claim: claims.Claim
) -> Packed:
    kept = mirror.of(out)
    if kept is not None:
        shutil.rmtree(out / mirror.OUTGOING, ignore_errors=True)
    if only is None:
        _tidy(out)
    place = {run: number for number, run in enumerate(order)}
    there = sorted(_finished(out, only), key=lambda name: (place.get(name, len(place)), name))
    keeping = {name for name in there if (out / RUNS / name / state.CHECKPOINTS).is_dir()}
    folders = [out / RUNS / name for name in there if name not in keeping]
    damaged: dict[str, str] = {}
    members = _members(folders, damaged)
    done = count = 0
    while chunk := list(islice(members, size)):
        claim.check(now=True)
        part = shards.enter_shard(partial(shards.write_shard, chunk), out)
        for member in chunk:
            remove(out / RUNS / member.run, part)
        done, count = done + len(chunk), count + 1
        progress(done, len(folders))
    return Packed(done, count, len(keeping), damaged)


def _finished(out: Path, only: Collection[str] | None) -> list[str]:
    if only is not None:
        return [name for name in only if (out / RUNS / name / DONE).exists()]
    try:
        with os.scandir(out / RUNS) as entries:
            return [entry.name for entry in entries if entry.is_dir() and (Path(entry.path) / DONE).exists()]
    except FileNotFoundError:
        return []


def _members(folders: Iterable[Path], damaged: dict[str, str]) -> Iterator[Member]:
    for folder in folders:
        try:
            environment = state.environment(folder)
            contents = state.contents(folder, environment)
            yield Member(folder.name, (folder / "environment.json").read_text(encoding="utf-8"), contents)
        except Damage as damage:
            damaged[folder.name] = damage.problem


def remove(folder: Path, part: manifest.Part) -> None:
    """Remove the folder of a run that is in a shard; it stays if another process is at it, until the next time."""
    if folder.name not in part.runs["run"].to_pylist():
        raise OutputError(f"{folder} is in no shard, it is not removed")
    try:
        with claims.claimed(folder):
            # Without its mark it is no finished run any more, should the process end before the rest is gone.
            (folder / DONE).unlink(missing_ok=True)
            shutil.rmtree(folder)
    except claims.Busy:
        return
    except OSError as error:
        raise OutputError(f"{folder} cannot be removed ({error.strerror}); its run is packed already, pack again") from error


def _tidy(out: Path) -> None:
    """Remove what processes that died have left: half-written files, shards that no part of the manifest names, folders of packed runs."""
    known = manifest.load_manifest(out)
    named = {name for part in known.parts for name in part.files}
    for path in (out / HOME).iterdir():
        left = path.name.startswith(PARTIAL) or (path.suffix == ".parquet" and path.name not in named and not path.name.endswith(MANIFEST))
        # Of a part that is damaged the files are all that there is.
        if left and not any(problem.startswith(path.name.partition(".")[0]) for problem in known.problems):
            path.unlink()
    by_part: dict[str, set[str]] = {}
    try:
        names = set(os.listdir(out / RUNS))  # noqa: PTH208  (names only: there may be a hundred thousand)
    except FileNotFoundError:
        names = set()
    for name in names & known.places.keys():
        by_part.setdefault(known.places[name][0].stem, set()).add(name)
    for part in known.parts:
        left_over = by_part.get(part.stem, set())
        if left_over and part.damage(deep=True) is None:
            for name in left_over:
                remove(out / RUNS / name, part)
    _supersede(out, known)


def _supersede(out: Path, known: manifest.Manifest) -> None:
    """Remove damaged shards all whose runs were trained again."""
    broken = known.damaged(deep=False)
    for part in known.parts:
        if part.stem not in broken:
            continue
        elsewhere = (known.places[run][0] is not part or (out / RUNS / run / DONE).exists() for run in part.runs["run"].to_pylist())
        if all(elsewhere):
            if (kept := mirror.of(out)) is not None:
                kept.remove([part.path.name, *part.files])
            part.path.unlink()
            for name in part.files:
                part.path.with_name(name).unlink(missing_ok=True)
