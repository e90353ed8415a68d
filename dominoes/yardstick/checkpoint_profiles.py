"""Local learning coefficients of the networks that runs keep: tasks, one a checkpoint and localisation, and the table that they fill.

A task's rows lie in its folder under `llc/` of the results folder, marked DONE, once it has ended: a second call does only what is missing.
Tasks are executed by the engines that runs are, and claimed as runs are: calls on one folder share them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dominoes import files
from dominoes.data import dealing, probe_sets
from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.folder import metadata
from dominoes.data.resident import Resident
from dominoes.errors import DeviceError, DominoesError, RegistryError, RunError, SourceError, SpecError
from dominoes.runs import checkpoints, parameters, run_folders, state, sweeping
from dominoes.runs.engines import protocol
from dominoes.runs.engines.protocol import Engine, RunReport, Task, WorkerSetting
from dominoes.runs.state import DONE, RUNS
from dominoes.spec import KINDS, PROBES, SIDES, DominoSpec, RunSpec, recorded
from dominoes.tables import LLC
from dominoes.training.device import device_of
from dominoes.yardstick import curvature, learning_coefficient
from dominoes.yardstick.chains import Landscape
from dominoes.yardstick.learning_coefficient import Estimate, Sampling, ordering
from dominoes.yardstick.restricted_loss import ALL_WEIGHTS, Weights

#: The name, among kinds, of all training dominoes together.
MIX = "mix"
#: Localisations unless asked otherwise: two decades.
GAMMAS = (100.0, 300.0, 1000.0, 3000.0, 10000.0)
# Of the results folder: where the folders of tasks are; and what is in each.
_SHELF, _ROWS = "llc", "rows.json"
#: What is amiss with the place and not with a checkpoint, so that nothing is kept of it: another call may find it put right.
AMISS = (SourceError, RegistryError, DeviceError)


@dataclass(frozen=True)
class ProfileRequest:
    """What is asked of every checkpoint.

    Attributes:
        on: kinds whose loss is observed along the chains.
        restrict: kind of the training dominoes that the chains sample on; None: all training dominoes.
        weights: `all`, or the beginning of the names of the parameters that are varied.
        gammas: localisations, the same for every checkpoint.
        kappas: further ones of each checkpoint's own, γ = nβ λ_max / κ.
        sampling: of the chains.
        data, download, device: as `sources.load_source` and `training.device_of` take them.
        trust: run the code of networks that are named by an unpinned reference.
    """

    on: tuple[str, ...] = ("top", "bottom", "both", "conflict")
    restrict: str | None = None
    weights: str = ALL_WEIGHTS
    gammas: tuple[float, ...] = GAMMAS
    kappas: tuple[float, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    data: Path | None = None
    download: bool = False
    device: str = "cpu"
    trust: bool = False

    def __post_init__(self) -> None:
        for kind in (*self.on, *(() if self.restrict is None else (self.restrict,))):
            if kind not in PROBES:
                raise SpecError(f"{kind!r} is no kind of domino; expected {', '.join(PROBES)}")
        learning_coefficient.check_sampling((*self.gammas, *self.kappas), self.sampling)


@dataclass(frozen=True)
class ProfileTask:
    """One checkpoint at one localisation, γ or κ; `step` None where its run keeps none."""

    folder: Path
    step: int | None
    gamma: float | None
    kappa: float | None
    request: ProfileRequest

    @property
    def id(self) -> str:
        """12 hex digits of all that its numbers depend on."""
        request = self.request
        said: dict[str, Any] = {
            "run": self.folder.name,
            "step": self.step,
            "gamma": self.gamma,
            "kappa": self.kappa,
            "on": request.on,
            "restrict": request.restrict,
        }
        said |= {"weights": request.weights, "sampling": asdict(request.sampling)}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def home(self) -> Path:
        """The results folder, or the run's where that lies in none."""
        return self.folder.parent.parent if self.folder.parent.name == RUNS else self.folder

    @property
    def kept(self) -> Path | None:
        """The file that has its rows; None until it has ended."""
        folder = self.home / _SHELF / self.id
        # Early versions kept a file a task, and claimed nothing.
        early = folder.with_name(f"{self.id}.json")
        return folder / _ROWS if (folder / DONE).exists() else early if early.exists() else None

    def job(self) -> Task:
        """What an engine executes: it can be read where this process's current folder is not."""
        data = self.request.data and self.request.data.resolve()
        said = asdict(replace(self, folder=self.folder.resolve(), request=replace(self.request, data=data)))
        return Task(self.id, json.dumps(said, default=str))

    @classmethod
    def of_job(cls, arguments: str) -> ProfileTask:
        """From a job's arguments."""
        said = json.loads(arguments)
        asked = said["request"]
        asked |= {name: tuple(asked[name]) for name in ("on", "gammas", "kappas")}
        asked |= {"sampling": Sampling(**asked["sampling"]), "data": asked["data"] and Path(asked["data"])}
        return cls(**said | {"folder": Path(said["folder"]), "request": ProfileRequest(**asked)})


def tasks(out: Path, request: ProfileRequest, steps: Sequence[int] | None = None) -> list[ProfileTask]:
    """The tasks of all finished runs under `out` (a results folder or a run folder).

    Args:
        out: where the runs are.
        request: of every checkpoint.
        steps: of the checkpoints; None: all that there are.

    Raises RunError if there is no run, or none keeps a network, or none of these steps; SpecError if no network has the weights.
    """
    folders = run_folders.finished(out)
    if not folders:
        raise RunError(f"{out} holds no finished run; expected runs/<id>/DONE in it, as 'dominoes train --out' leaves them")
    kept = {folder: checkpoints.steps_kept(folder) for folder in folders}
    if not any(kept.values()):
        raise RunError(f"no run under {out} keeps a network; train with --checkpoints last, measurements or steps")
    there = {step for each in kept.values() for step in each}
    if steps is not None and not there & {*steps}:
        some = ", ".join(map(str, sorted(there)[:20]))
        raise RunError(f"no run under {out} keeps a network of step {', '.join(map(str, steps))}; expected one of {some}")
    if request.weights != ALL_WEIGHTS:
        names = {name: None for folder in folders if kept[folder] for name in checkpoints.names_kept(folder, kept[folder][0])}
        if not any(name.startswith(request.weights) for name in names):
            raise SpecError(
                f"weights {request.weights!r}: no parameter's name begins so; expected {ALL_WEIGHTS} or one of {', '.join(names)}"
            )
    found = []
    places = [*((gamma, None) for gamma in request.gammas), *((None, kappa) for kappa in request.kappas)]
    for folder in folders:
        wanted: Sequence[int | None] = steps if steps is not None and kept[folder] else kept[folder] or [None]
        found += [ProfileTask(folder, step, *at, request) for step in wanted for at in places]
    return found


def measure(
    wanted: Sequence[ProfileTask],
    *,
    workers: int | None = 1,
    engine: Callable[[WorkerSetting], Engine] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    waits: Callable[[RunReport], None] = lambda report: None,
) -> pd.DataFrame:
    """Do the tasks that are not done yet; the table LLC of all of them, followed by the parameters in which their runs differ, and source
    and transforms of the side that chains are restricted to.

    Tasks that another call is at are waited for, and taken over if that one dies.

    Args:
        wanted: `tasks`.
        workers: processes at once, of one thread each, on this machine; None: one for each core, or GPU. The numbers do not depend on it.
        engine: makes another one, such as `sweeping.on_a_cluster`; `workers` is then not looked at.
        progress: called after each task with (tasks done, tasks in all).
        waits: called with the report of each task that is in other hands.

    A checkpoint that cannot be sampled has rows whose status is `not sampled: ` and why. Raises DeviceError, OutputError, RunError (a
    task failed, for want of the pictures say; no further one is started, those at work end and are kept), Damage.
    """
    missing = [task for task in wanted if task.kept is None]
    done = len(wanted) - len(missing)
    progress(done, len(wanted))
    for home, device in dict.fromkeys((task.home.resolve(), task.request.device) for task in missing):
        device_of(device)
        name = f"{execute_profile.__module__}:{execute_profile.__name__}"
        setting = WorkerSetting(home, device, pack=1, modules=Path.cwd(), work=name, shelf=_SHELF)
        start = sweeping.on_this_machine(setting, workers) if engine is None else engine(setting)
        jobs = [task.job() for task in missing if (task.home.resolve(), task.request.device) == (home, device)]
        failed = []
        for report in protocol.launch(jobs, start, home, shelf=_SHELF, waits=waits):
            failed += [report] if report.state == "failed" else []
            done += report.state == "done"
            progress(done, len(wanted))
        if failed:
            raise RunError(
                f"{home / _SHELF / failed[0].run} failed: {failed[0].reason}; {done} of {len(wanted)} tasks are done and kept: put it "
                "right and run the same command again"
            )
    runs = [run_folders.read_run(folder) for folder in {task.folder for task in wanted}]
    made = {run.folder: parameters.of_spec(run.spec, run.n) for run in runs}
    # What the sampled side shows is what a coefficient is the yardstick of.
    alone = [
        f"{what}_{side}" for side in SIDES for what in ("source", "transform") if any(task.request.restrict == side for task in wanted)
    ]
    names = [name for name in dict.fromkeys([*parameters.differing(list(made.values())), *alone]) if name not in LLC]
    rows = [row | {name: made[task.folder][name] for name in names} for task in wanted for row in _rows(task)]
    return pd.DataFrame(rows, columns=[*LLC, *names]).astype({"step": "Int64", "n": "Int64"})


def execute_profile(arguments: str, folder: Path) -> None:
    """What an engine calls (`WorkerSetting.work`): sample, and keep the rows."""
    task = ProfileTask.of_job(arguments)
    try:
        rows = [_row(task, found, estimate) for found, estimate in _estimates(task)]
    except AMISS:
        raise
    except DominoesError as error:
        kinds = (task.request.restrict or MIX, *(kind for kind in task.request.on if kind != task.request.restrict))
        rows = [_head(task) | {"kind": kind, "status": f"not sampled: {error}"} for kind in kinds]
    files.write(folder / _ROWS, json.dumps(rows, indent=1) + "\n")


def sentences(table: pd.DataFrame) -> list[str]:
    """How many rows stand, and what the profiles of the halves say of each other, a line for each checkpoint that was asked about both."""
    stands = table["status"] == "converged"
    found = [f"{int(stands.sum())} of {len(table)} estimates have converged"]
    for status, rows in table[table["status"].str.startswith("not sampled")].groupby("status", sort=False):
        found.append(f"{len(rows)} {status}")
    for (run, step), rows in table[table["kind"].isin(SIDES)].groupby(["run", "step"], sort=False):
        if rows["kind"].nunique() < len(SIDES):
            continue
        profiles = [_profile(rows[rows["kind"] == side]) for side in SIDES]
        found.append(f"{run}, step {step}: {ordering(profiles[0], profiles[1], SIDES)}")
    return found


def _rows(task: ProfileTask) -> list[dict[str, Any]]:
    """What was kept of a task that has ended. Raises RunError."""
    kept = task.kept
    try:
        assert kept is not None
        rows: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{kept} cannot be read; expected the rows of a task that has ended: remove it and run the same command again"
        ) from error
    return rows


def _profile(rows: pd.DataFrame) -> dict[float, float]:
    stands = rows[rows["status"] == "converged"]
    return dict(zip(stands["gamma"], stands["estimate"], strict=True))


def _estimates(task: ProfileTask) -> Iterator[tuple[str, Estimate]]:
    """Each estimate with the split that its dominoes are of."""
    weights, sampled, name, observed, splits = prepared(task)
    how, gamma = task.request.sampling, task.gamma
    if gamma is None:
        assert task.kappa is not None
        top = curvature.largest(sampled, weights.vector, seed=how.seed)
        gamma = curvature.localisation(learning_coefficient.inverse_temperature(sampled.n), top.value, task.kappa)
    for estimate in learning_coefficient.profile((name, sampled), weights.vector, [gamma], how, observed=observed):
        yield splits[estimate.kind], estimate


def prepared(task: ProfileTask) -> tuple[Weights, Landscape, str, dict[str, Landscape], dict[str, str]]:
    """Weights, what is sampled, its name, what is observed, and the split of each. Raises AMISS, and another DominoesError if the
    checkpoint cannot be sampled."""
    request = task.request
    content = state.environment(task.folder)
    if content["status"] != "finished":
        raise RunError(f"the run diverged at step {content['diverged_at']}")
    device = device_of(request.device)
    network = checkpoints.network(task.folder, task.step, trust=request.trust).to(device)
    spec = recorded((task.folder / "spec.json").read_text(encoding="utf-8"))
    dealt = _dealt(spec.dataset, request.data, request.download)
    now = {side: dealt.source(side).digest for side in SIDES} | {"deal": hashlib.sha256(metadata(dealt.deal).encode()).hexdigest()}
    if any(content["digests"].get(part) != value for part, value in now.items()):
        raise SourceError(f"{task.folder} was trained on other pictures or dominoes than are found here; pass the same --data")
    probes = _probes(spec, request.data, request.download)
    weights = Weights(network, request.weights)
    train = Resident(dealt.deal, {"top": dealt.top, "bottom": dealt.bottom}, device, swap=spec.dataset.swap, scale=spec.train.input)
    rows = {kind: torch.from_numpy(dealt.deal.of_kind(kind)).to(device) for kind in KINDS}

    def landscape(kind: str) -> tuple[str, Landscape]:
        if kind in rows and len(rows[kind]):
            return "train", weights.loss(train, rows[kind])
        if kind not in probes:
            raise SpecError(f"there are no dominoes of kind {kind}, neither in training nor among the probes")
        probe = probes[kind]
        resident = Resident(probe.deal, probe.sources, device, swap=probe.swap, scale=spec.train.input)
        return "test", weights.loss(resident, torch.arange(len(probe), device=device))

    splits = {}
    observed = {}
    for kind in request.on:
        if kind != request.restrict:
            splits[kind], observed[kind] = landscape(kind)
    if request.restrict is None:
        name, sampled = MIX, weights.loss(train, torch.arange(len(dealt.deal), device=device))
    else:
        name = request.restrict
        if name not in rows or not len(rows[name]):
            raise SpecError(f"the training set has no dominoes of kind {name} to sample on")
        sampled = weights.loss(train, rows[name])
    return weights, sampled, name, observed, splits | {name: "train"}


@lru_cache(maxsize=2)
def _dealt(spec: DominoSpec, data: Path | None, download: bool) -> Dealt:
    return dealing.deal_spec(spec, data=data, download=download)


@lru_cache(maxsize=2)
def _probes(spec: RunSpec, data: Path | None, download: bool) -> dict[str, Dominoes]:
    usual = spec.train.model_copy(update={"probe_permuted": False, "probe_pairings": 1})
    return probe_sets.for_training(spec.dataset, usual, data=data, download=download)


def _head(task: ProfileTask) -> dict[str, Any]:
    """What is known of a row before anything is sampled."""
    how = task.request.sampling
    spec = recorded((task.folder / "spec.json").read_text(encoding="utf-8"))
    head: dict[str, Any] = dict.fromkeys(LLC) | {"run": spec.id, "seed": spec.seed, "step": task.step, "weights": task.request.weights}
    head |= {"sampled": task.request.restrict or MIX, "gamma": task.gamma}
    return head | {"sampler": how.sampler, "chains": how.chains, "draws": how.draws, "batch": how.batch}


def _row(task: ProfileTask, split: str, found: Estimate) -> dict[str, Any]:
    """A row; what has not converged bears what it was judged by, and no estimate."""
    excess = found.excess
    row = {"kind": found.kind, "split": split, "n": found.n, "n_beta": found.nbeta, "lambda_max": found.curvature, "epsilon": found.step}
    row |= {"gamma": found.gamma}
    row |= {"loss": found.loss, "rhat": excess.rhat, "ess": excess.ess, "drift": excess.drift, "spreading": excess.spreading}
    row |= {"quarter": excess.quarter, "distance": found.distance, "status": found.status}
    if excess.converged:
        row |= {"excess": excess.mean, "estimate": found.value, "se": found.se}
    numbers = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
    return _head(task) | numbers
