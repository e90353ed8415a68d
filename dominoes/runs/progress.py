"""What stands in a sweep's results folder: how far it is, what is damaged, what was made by another package or on other pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dominoes import __version__
from dominoes.data import sources
from dominoes.errors import OutputError
from dominoes.runs import claims, state
from dominoes.runs.code import changed
from dominoes.runs.packed import manifest
from dominoes.runs.plan import Outline, Plan
from dominoes.runs.state import RUNS, Damage, State
from dominoes.spec import SIDES, RunSpec, Split


@dataclass(frozen=True)
class Survey:
    """The runs of a plan as they stand on disk.

    Attributes:
        states: of each run, by id. A damaged one counts as unfinished.
        environments: content of environment.json of each that is done.
        damaged: by id, what is wrong with a folder that is marked DONE.
    """

    states: Mapping[str, State]
    environments: Mapping[str, Mapping[str, Any]]
    damaged: Mapping[str, str]

    def count(self, which: State) -> int:
        """How many are in this state."""
        return sum(found is which for found in self.states.values())


def survey(plan: Plan, out: Path, *, deep: bool) -> Survey:
    """Look at every run of a plan; `deep` reads every byte of those that are done, else only of those whose files have another size or
    were changed since. Of packed runs the environment has what the manifest holds of it."""
    states: dict[str, State] = {}
    environments: dict[str, Mapping[str, Any]] = {}
    damaged: dict[str, str] = {}
    planned = [run.id for run in plan.runs]
    known = manifest.load_manifest(out)
    broken = known.damaged(deep=deep)
    packed = {run: (part.stem, content) for run, part, content in known.records()}
    there = None if not packed else {folder.name for folder in _folders(out)}
    for name in planned:
        stem, content = packed.get(name, ("", None))
        if content is not None and stem not in broken:
            states[name], environments[name] = State.DONE, content
            continue
        if there is not None and name not in there:
            # Of most runs of a large sweep there is no folder, so the system need not be asked for each.
            states[name] = State.ABSENT if content is None else State.UNFINISHED
        else:
            _look(name, Path(out) / RUNS / name, deep, states, environments, damaged)
        if content is not None and states[name] is not State.DONE:
            damaged.setdefault(name, broken[stem])
            states[name] = states[name] if states[name] in (State.RUNNING, State.FAILED) else State.UNFINISHED
    return Survey(states, environments, damaged)


def _look(
    name: str,
    folder: Path,
    deep: bool,
    states: dict[str, State],
    environments: dict[str, Mapping[str, Any]],
    damaged: dict[str, str],
) -> None:
    """Look at a run's folder."""
    states[name] = state.state_of(folder)
    if states[name] is not State.DONE:
        return
    if not (folder / state.DONE).exists():
        # It is in a shard, which is looked at before.
        states[name] = State.UNFINISHED
        return
    try:
        content = state.environment(folder)
        problem = state.damage(folder, deep=deep, content=content)
    except Damage as error:
        problem = error.problem
    if problem:
        damaged[name], states[name] = problem, State.UNFINISHED
    else:
        environments[name] = content


@dataclass(frozen=True)
class Status:
    """How far a sweep is.

    Attributes:
        runs: in the plan. done, running, failed, left: they sum to `runs`.
        diverged: of the done ones, those that stopped early as their loss was not finite.
        reasons: by id, why runs failed.
        damaged: by id, of folders marked DONE; they count as left.
        infeasible: points that were left out.
        others: finished runs in the folder that the sweep file does not name.
        per_hour: runs that end in an hour at the present number of workers; None if no run is done or at work.
        seconds_left: until the last run ends; None likewise.
    """

    runs: int
    done: int
    running: int
    failed: int
    left: int
    diverged: int
    reasons: Mapping[str, str]
    damaged: Mapping[str, str]
    infeasible: int
    others: int
    per_hour: float | None
    seconds_left: float | None


def sweep_status(plan: Plan | Outline, out: Path, *, deep: bool = False) -> Status:
    """How far a sweep is; nothing is written. `deep` as in `survey`."""
    outline = Outline.of(plan) if isinstance(plan, Plan) else plan
    known = manifest.load_manifest(out)
    broken = known.damaged(deep=deep)
    # Whole columns at a time: a packed sweep may have a million runs.
    packed = known.table(("run", "status", "wall"), without=broken)
    whole = packed.filter(pc.is_in(packed["run"], outline.runs))
    folders = {folder.name: folder for folder in _folders(out)}
    names = pa.array(list(folders), pa.string())
    planned = pc.is_in(names, outline.runs)
    states: dict[str, State] = {}
    environments: dict[str, Mapping[str, Any]] = {}
    damaged: dict[str, str] = {}
    for name in names.filter(pc.and_(planned, pc.invert(pc.is_in(names, whole["run"])))).to_pylist():
        _look(name, folders[name], deep, states, environments, damaged)
    for part in known.parts:
        if part.stem in broken:
            lost = part.runs.filter(pc.and_(pc.is_in(part.runs["run"], outline.runs), pc.invert(pc.is_in(part.runs["run"], whole["run"]))))
            damaged |= {run: broken[part.stem] for run in lost["run"].to_pylist() if run not in environments}
    running, failed = (sum(found is which for found in states.values()) for which in (State.RUNNING, State.FAILED))
    done = whole.num_rows + len(environments)
    left = len(outline.runs) - done - running - failed
    seconds = (pc.sum(whole["wall"]).as_py() or 0.0) + sum(float(content["seconds"]["wall"]) for content in environments.values())
    mean = seconds / done if done else 0.0
    # Runs at work are half done on average.
    togo = mean * (left + failed + running / 2) / running if running and done else None
    elsewhere = names.filter(pc.invert(pc.or_(planned, pc.is_in(names, packed["run"])))).to_pylist()
    return Status(
        runs=len(outline.runs),
        done=done,
        running=running,
        failed=failed,
        left=left,
        diverged=(pc.sum(pc.equal(whole["status"].cast("string"), "diverged")).as_py() or 0)
        + sum(content["status"] == "diverged" for content in environments.values()),
        reasons={name: state.reason(folders[name]) for name, which in states.items() if which is State.FAILED},
        damaged=damaged | dict(known.problems),
        infeasible=outline.infeasible,
        others=packed.num_rows - whole.num_rows + sum((folders[name] / state.DONE).exists() for name in elsewhere),
        per_hour=3600 * running / mean if running and mean else None,
        seconds_left=togo if mean else None,
    )


def _folders(out: Path) -> list[Path]:
    try:
        with os.scandir(Path(out) / RUNS) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []


def changes(plan: Plan, found: Survey, *, data: Path | None = None, download: bool = False) -> list[str]:
    """What finished runs were made with that is different now, a sentence each: the package, PyTorch, code from outside, the pictures."""
    specs = {run.id: run.spec for run in plan.runs}
    now = {"package": __version__, "torch": _public(version("torch"))}
    known: dict[tuple[str, Split, tuple[str, ...]], str] = {}
    counts: dict[str, int] = {}
    # Of a hundred thousand runs most name the same things, and were made with the same code.
    code: dict[tuple[object, str], str] = {}
    names: dict[tuple[int, int], object] = {}
    digests: dict[int, dict[str, str]] = {}
    for name, content in found.environments.items():
        spec = specs[name]
        key = id(spec.dataset), id(spec.train)
        if key not in names:
            names[key] = spec.named()
        if id(spec.dataset) not in digests:
            digests[id(spec.dataset)] = _digests(spec, known, data, download)
        for field, title in (("package", "dominoes"), ("torch", "PyTorch")):
            made = _public(str(content.get(field)))
            if made != now[field]:
                sentence = f"made by {title} {made} (this is {now[field]})"
                counts[sentence] = counts.get(sentence, 0) + 1
        recorded = content.get("code", [])
        named = (names[key], repr(recorded))
        if named not in code:
            code[named] = changed(spec, recorded)
        if code[named]:
            sentence = f"made with other code: {code[named]}"
            counts[sentence] = counts.get(sentence, 0) + 1
        for part, digest in digests[id(spec.dataset)].items():
            if content["digests"].get(part) != digest:
                sentence = f"made from other pictures of the {part} half"
                counts[sentence] = counts.get(sentence, 0) + 1
    return [f"{count} finished runs were {sentence}" for sentence, count in counts.items()]


def _public(number: str) -> str:
    """A version without the name of its build: a CPU's and a GPU's PyTorch of one version are not a change."""
    return number.partition("+")[0]


def _digests(spec: RunSpec, known: dict[tuple[str, Split, tuple[str, ...]], str], data: Path | None, download: bool) -> dict[str, str]:
    found = {}
    for side in SIDES:
        for part, split in ((side, spec.dataset.split), (f"test {side}", Split.TEST)):
            key = (getattr(spec.dataset, side), split, spec.dataset.transforms(side))
            if key not in known:
                known[key] = sources.load_source(*key, data=data, download=download).digest
            found[part] = known[key]
    return found


def unfinished(out: Path) -> list[Path]:
    """Run folders that are neither done nor failed nor in anybody's hands."""
    return [folder for folder in _folders(out) if state.state_of(folder) is State.UNFINISHED]


def remove(folder: Path) -> bool:
    """Remove an unfinished run folder; False if it was finished, or another process has taken it, in the meantime."""
    try:
        with claims.claimed(folder):
            if (folder / state.DONE).exists():
                return False
            shutil.rmtree(folder)
    except claims.Busy:
        return False
    except OSError as error:
        raise OutputError(f"{folder} cannot be removed ({error.strerror}); check who may write there") from error
    return True
