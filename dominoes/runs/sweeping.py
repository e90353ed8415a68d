"""A whole sweep from its description to finished runs: what the command line and Python both do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dominoes import registry
from dominoes.errors import RunError, SpecError
from dominoes.runs import plan, progress
from dominoes.runs.code import used
from dominoes.runs.engines import local, protocol
from dominoes.runs.engines.protocol import Engine, RunReport, WorkerSetting
from dominoes.runs.packed import mirror, packing, ranges
from dominoes.runs.packed.packing import Packed
from dominoes.runs.packed.place import HOME
from dominoes.runs.plan import Plan
from dominoes.runs.state import RUNS, State
from dominoes.runs.sweep_file import Sweep
from dominoes.spec import RunSpec

#: Up to so many runs of a sweep stay folders, unless shards are asked for.
FOLDERS = 10_000


@dataclass(frozen=True)
class Prepared:
    """A sweep that is ready to run.

    Attributes:
        plan: every run, those without a dataset apart.
        setting: where its workers work.
        missing: the runs that are not finished in the results folder.
        notes: what was noticed and put up with, a sentence each.
        packed: whether finished runs go into shards.
    """

    plan: Plan
    setting: WorkerSetting
    missing: tuple[RunSpec, ...]
    notes: tuple[str, ...]
    packed: bool = False

    def launch(
        self,
        engine: Engine,
        *,
        limit: int | None = None,
        keep_going: bool = False,
        waits: Callable[[RunReport], None] = lambda report: None,
    ) -> Iterator[RunReport]:
        """Execute what is missing, at most `limit` runs; a report of each as it ends (`protocol.launch`, `ranges.launch`)."""
        if self.packed:
            todo = ranges.ranges(self.plan.runs, self.missing[:limit])
            return ranges.launch(todo, engine, self.setting.out, keep_going=keep_going, waits=waits)
        return protocol.launch(self.missing[:limit], engine, self.setting.out, keep_going=keep_going, waits=waits)


def prepare_sweep(
    sweep: Sweep,
    setting: WorkerSetting,
    *,
    where: str = "sweep",
    skip_infeasible: bool | None = False,
    accept_changed: bool = False,
    trust: bool = False,
    elsewhere: bool = False,
    collect: bool = False,
    packed: bool | None = None,
) -> Prepared:
    """Plan a sweep, check it against what lies in its results folder, and keep the plan there.

    Args:
        sweep: as `sweep_file.read_sweep_file` gives it.
        setting: where workers work; its `out` is the results folder.
        where: names the sweep in errors.
        skip_infeasible: go on without the runs that have no dataset; None: no, and there is no flag to ask for it.
        accept_changed: keep finished runs that were made of other pictures, with other code, or by another version.
        trust: run code that the sweep names by unpinned references.
        elsewhere: the workers are on other machines, whose devices cannot be tried here.
        collect: and their run folders are brought back, so that datasets need not be composed here.
        packed: put finished runs into shards; None: of a plan of more than FOLDERS runs, and where some are in shards already.

    Raises:
        SpecError: a run has no dataset.
        RegistryError: code that is not trusted, or not there.
        RunError: finished runs were made otherwise; or runs that stay folders are asked for in an object store.
        DeviceError, SourceError: a new sweep cannot start.
    """
    if not trust:
        refuse_untrusted_sweep(sweep, where)
    planned = plan.make_plan(sweep, data=setting.data)
    if packed is None:
        packed = len(planned.runs) > FOLDERS or (setting.out / HOME).is_dir()
    kept = mirror.of(setting.out)
    if kept is not None:
        _refuse_folders(planned, kept.store.url, packed)
    different = {run.spec.named(): run.spec for run in planned.runs}
    code = sorted({(each.ref, each.sha256) for spec in different.values() for each in used(spec)})
    setting = replace(setting, modules=Path.cwd(), code=tuple(code))
    if planned.infeasible and not skip_infeasible:
        raise SpecError(
            f"{where}: {len(planned.infeasible)} of {len(planned.infeasible) + len(planned.runs)} runs have no dataset; change these "
            f"points{'' if skip_infeasible is None else ', or pass --skip-infeasible to go on without them'}:\n  {plan.refusal(planned)}"
        )
    changed_plan = _changed_plan(planned, setting.out)
    if ((changed_plan is not None or _is_new(setting.out)) and not collect) or (setting.device in ("cuda", "mps") and not elsewhere):
        from dominoes.runs.engines import worker  # loads torch, which a sweep that is done need not wait for

        worker.check_runs([each.spec for each in planned.runs], setting)
    notes = [changed_plan] if changed_plan else []
    # What has its size and time still was compared before; `sweep status --deep` and every reader compare the bytes.
    found = progress.survey(planned, setting.out, deep=False)
    changed = progress.changes(planned, found, data=setting.data, download=setting.download)
    if changed and not accept_changed:
        raise RunError(f"{'; '.join(changed)}; pass --accept-changed to keep them and go on, or another --out")
    notes += [f"{sentence}; kept" for sentence in changed]
    plan.save_plan(planned, setting.out, sweep.text.encode(), table=packed)
    if kept is not None:
        kept.send_plan()
        if (setting.out / RUNS).is_dir():
            # What a launch that was killed has finished here.
            packing.pack_folders(setting.out, order=[run.id for run in planned.runs], wait=True)
    notes += [f"run {name} is marked DONE but damaged, it runs again: {problem}" for name, problem in found.damaged.items()]
    missing = tuple(each.spec for each in planned.runs if found.states[each.id] is not State.DONE)
    return Prepared(planned, setting, missing, tuple(notes), packed)


def pack_results(out: Path, *, progress: Callable[[int, int], None] = lambda done, of: None) -> Packed:
    """Put the finished runs of a results folder into shards, in the order of its plan if it has one, and small shards into larger ones
    (`packing.pack_folders`)."""
    planned = plan.load_plan(out) if plan.record(out) else None
    packed = packing.pack_folders(out, order=[run.id for run in planned.runs] if planned else (), merge=True, progress=progress)
    if planned:
        plan.save_plan(planned, Path(out), None, table=True)
        if (kept := mirror.of(out)) is not None:
            kept.send_plan()
    return packed


def _refuse_folders(planned: Plan, url: str, packed: bool) -> None:
    if not packed:
        raise RunError(f"{url} is an object store, which holds shards and no folders of runs; pass --packed, or an --out on this machine")
    keeping = sum(run.spec.train.checkpoints != "none" for run in planned.runs)
    if keeping:
        raise RunError(
            f"{keeping} of {len(planned.runs)} runs keep networks (checkpoints) and stay folders, which {url} does not hold; leave "
            "checkpoints out, or pass an --out on this machine"
        )


def refuse_untrusted_sweep(sweep: Sweep, where: str) -> None:
    """Raise RegistryError if a sweep file names code that somebody else may have written (`registry.refuse_untrusted`)."""
    registry.refuse_untrusted((each for spec in sweep.runs for each in spec.named()), where)


def _is_new(out: Path) -> bool:
    return plan.record(out) is None


def _changed_plan(planned: Plan, out: Path) -> str | None:
    """What differs from the plan that is there, in a sentence."""
    if _is_new(out):
        return None
    try:
        return plan.plan_difference(plan.outline(out), planned)
    except RunError as error:
        # It is written anew; the runs' own folders are what counts.
        return str(error)


def on_a_cluster(setting: WorkerSetting, workers: int | None = None, **options: Any) -> Engine:
    """The engine ray; further options are those of `engines.on_ray.on_ray`."""
    from dominoes.runs.engines.on_ray import on_ray

    return partial(on_ray, setting=setting, workers=workers, **options)


def on_this_machine(setting: WorkerSetting, workers: int | None = None) -> Engine:
    """The local engine with so many worker processes; None: one for each core, or GPU."""
    count = workers or local.workers_here(setting.device)
    return lambda specs: local.local(specs, setting, workers=count)


#: An engine is brought as a callable (setting, workers=...) that gives what takes specs and yields reports (`protocol.Engine`).
ENGINES: dict[str, Callable[..., Engine]] = {"local": on_this_machine, "ray": on_a_cluster}


def engine(name: str, setting: WorkerSetting, workers: int | None, **options: Any) -> Engine:
    """The engine of a name. Raises RegistryError."""
    entry = registry.find("engines", name)
    make = entry.load()
    given = {"workers": workers, **options}
    registry.check_call(make, entry.said, ("setting",), given)
    found: Engine = make(setting, **given)
    return found
