"""The command that trains."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options, output
from dominoes.cli.heartbeat import heartbeat
from dominoes.errors import DominoesError, RunError, SpecError
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, parse

if TYPE_CHECKING:
    from dominoes.data.dealing import Dealt
    from dominoes.runs.engines.protocol import RunReport, WorkerSetting
    from dominoes.runs.execution import Outcome


@click.command()
@click.argument("dataset", required=False, type=options.PATH)
@options.dataset
@options.training()
@click.option(
    "--seeds", default="0", show_default=True, metavar="LIST", help="Seeds of initialisation, order and deal, one run each: 0-4 or 0,3,7."
)
@click.option("--same-deal", is_flag=True, help="Train every seed on the deal of --seed, instead of on one of its own.")
@options.device()
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Runs at once, each in a process of one thread.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="CPU threads; the last digits depend on it.")
@options.deterministic
@options.data
@options.download
@options.trust
@options.accept_changed
@options.callbacks
@options.out("Results folder; finished runs in it are kept and not run again.")
@options.partial("Accept that runs diverge.")
@click.option("--json", "as_json", is_flag=True, help="Print each run as one line of JSON as it ends.")
def train(
    dataset: Path | None,
    seeds: str,
    same_deal: bool,
    device: str,
    workers: int,
    threads: int,
    deterministic: bool,
    data: Path | None,
    download: bool,
    trust: bool,
    accept_changed: bool,
    callbacks: tuple[str, ...],
    out: Path,
    partial: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a network on DATASET for each seed and write its learning curves.

    DATASET is a folder made by build, a YAML file, or absent where flags say it all. A folder is one deal, and so is a spec with a seed
    (--seed, or in the file); else each seed deals anew. Each run goes to OUT/runs/ID, with curves.csv, classes.csv, joint.csv,
    measures.csv, confusion.npz, spec.json, environment.json and, if it is asked for, checkpoints/.
    """
    from dominoes import files
    from dominoes.data import folder
    from dominoes.runs.code import used
    from dominoes.runs.engines.protocol import WorkerSetting

    if workers > 1 and threads > 1:
        raise SpecError(f"--threads {threads} is for runs one after the other, --workers {workers} for runs of one thread each; keep one")
    files.refuse_no_folder(out)
    how = parse(TrainSpec, options.given_fields(given, "train_"))
    numbers = options.seeds(seeds)
    dealt: Dealt | None
    if dataset is not None and dataset.is_dir():
        if options.given_fields(given, "spec_"):
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in options.given_fields(given, "spec_"))
            raise SpecError(f"{dataset} is a dataset folder and has its spec; got {flags} too, leave them out or build another dataset")
        # A folder is one deal, whichever seeds are trained on it.
        dealt = folder.read_dataset(dataset, data=data, download=download, trust=trust)
        specs = [RunSpec(dataset=dealt.spec, train=how, seed=seed) for seed in numbers]
    else:
        wanted = options.spec(dataset, given, trust=trust)
        # A seed that is asked for is kept: it is the deal that is meant.
        same = same_deal or "seed" in wanted.model_fields_set
        looks = [wanted if same else wanted.model_copy(update={"seed": seed}) for seed in numbers]
        specs = [RunSpec(dataset=look, train=how, seed=seed) for look, seed in zip(looks, numbers, strict=True)]
        dealt = None
    diverged = 0
    code = tuple(sorted({(each.ref, each.sha256) for each in used(specs[0])}))
    where = data.resolve() if data else None
    setting = WorkerSetting(out.resolve(), device, where, download, None, deterministic, Path.cwd(), code, callbacks)
    how_many = {"workers": min(workers, len(specs)), "threads": _threads(threads)}
    for outcome, spec in runs(specs, setting, dealt, accept_changed=accept_changed, **how_many):
        place = out / "runs" / spec.id
        click.echo(json.dumps(as_record(spec, outcome, place)) if as_json else summary(spec, outcome, place))
        diverged += outcome.environment["status"] == "diverged"
    output.incomplete(diverged_runs(diverged, len(specs)), accepted=partial)


def diverged_runs(count: int, of: int) -> list[str]:
    """What is said of runs whose loss was not finite any more."""
    return [f"{count} of {of} runs diverged: a loss was not finite, their curves end there; a smaller --lr may help"] if count else []


def _threads(asked: int) -> int:
    """No more threads than there are cores."""
    from dominoes.runs.engines.local import workers_here

    cores = workers_here("cpu")
    if asked > cores:
        click.echo(f"Note: --threads {asked} is more than the {cores} cores that this process may use; {cores} are used", err=True)
    return min(asked, cores)


def runs(
    specs: list[RunSpec],
    setting: WorkerSetting,
    dealt: Dealt | None = None,
    *,
    workers: int = 1,
    threads: int = 1,
    accept_changed: bool = False,
) -> Iterator[tuple[Outcome, RunSpec]]:
    """Execute runs with signs of progress; yield the outcome of each with its spec as it ends.

    Each is dealt what its spec says, unless all have one dataset that is `dealt` already. Runs that another launch is at come last, and
    are waited for. One worker is this process.
    """
    from tqdm import tqdm

    from dominoes.data import dealing
    from dominoes.data.probe_sets import for_training
    from dominoes.runs import claims, execution, state
    from dominoes.runs.engines import local, protocol
    from dominoes.runs.engines.here import here
    from dominoes.runs.state import RUNS
    from dominoes.training.device import device_of, out_of_memory
    from dominoes.training.loop import callback

    where = device_of(setting.device)
    known = {spec.id: spec for spec in specs}
    fresh: dict[str, Outcome] = {}
    callbacks = [callback(name) for name in setting.callbacks]
    doing = {"": "the dataset is made ready"}
    ended = 0
    # Of the last deal alone: seeds that share one come one after the other.
    deals = {} if dealt is None else {dealt.spec: dealt}

    def deal_of(spec: DominoSpec) -> Dealt:
        if spec not in deals:
            deals.clear()
            deals[spec] = dealing.deal_spec(spec, data=setting.data, download=setting.download)
        return deals[spec]

    def step(name: str, number: int, steps: int, bar: Any) -> None:
        doing[""] = f"{name}: step {number} of {steps}"
        bar.total = steps
        bar.update(number - bar.n)

    def execute(spec: RunSpec) -> Outcome:
        dealt = deal_of(spec.dataset)
        tests = for_training(dealt.spec, spec.train, data=setting.data, download=setting.download)
        name = f"seed {spec.seed}"
        with tqdm(desc=name, unit="step", disable=None, leave=False, file=sys.stderr) as bar:
            try:
                # What brought code prints does not mix with the lines about runs.
                with redirect_stdout(sys.stderr):
                    fresh[spec.id] = execution.execute(
                        spec,
                        dealt,
                        tests,
                        setting.out,
                        device=where,
                        threads=threads,
                        deterministic=setting.deterministic,
                        progress=lambda number, steps: step(name, number, steps, bar),
                        repair=True,
                        accept_changed=accept_changed,
                        callbacks=callbacks,
                    )
            except (DominoesError, OSError, MemoryError):
                raise
            except Exception as error:
                kept = setting.out / RUNS / spec.id / claims.FAILED
                if not kept.is_file() or out_of_memory(error):
                    raise
                raise RunError(f"run {spec.id} failed: {execution.failure(error)}; the traceback is in {kept}") from error
        return fresh[spec.id]

    def waits(report: RunReport) -> None:
        doing[""] = f"waiting for run {report.run}"
        click.echo(f"Note: {report.reason.partition(';')[0]}; it is waited for, and taken over if that one dies", err=True)

    # Workers do not know which changes are accepted, so they are not asked about finished runs then.
    kept = [spec for spec in specs if workers > 1 and accept_changed and state.is_whole(setting.out / RUNS / spec.id)]
    if workers > 1:
        if dealt is not None:
            protocol.keep_dataset(dealt, setting)
        doing[""] = f"{workers} at work"

    def engine(todo: Iterator[RunSpec]) -> Iterator[RunReport]:
        return here(todo, execute) if workers == 1 else local.local(todo, setting, workers=workers)

    with heartbeat(lambda: f"{ended} of {len(specs)} runs ended, {doing['']}"):
        for spec in kept:
            ended += 1
            yield execution.reopened(setting.out / RUNS / spec.id), spec
        for report in protocol.launch([spec for spec in specs if spec not in kept], engine, setting.out, waits=waits):
            if report.state == "failed":
                raise RunError(f"run {report.run} failed: {report.reason}")
            ended += 1
            found = fresh.get(report.run) or execution.reopened(setting.out / RUNS / report.run, fresh=not report.reason)
            yield found, known[report.run]


def as_record(spec: RunSpec, outcome: Outcome, folder: Path) -> dict[str, Any]:
    """What is said of a run, for programs: id, seed, folder, status, seconds, last step, and each kind's accuracy and loss there."""
    table = outcome.curves
    last = table[(table["split"] == "test") & (table["step"] == table["step"].max())].set_index("kind")
    kinds = {str(kind): {"accuracy": float(last.accuracy[kind]), "loss": float(last.loss[kind])} for kind in last.index}
    environment = outcome.environment
    found = {"run": spec.id, "seed": spec.seed, "folder": str(folder)} | {name: environment[name] for name in ("status", "diverged_at")}
    return found | {"fresh": outcome.fresh, "seconds": environment["seconds"]["wall"], "step": int(table["step"].max()), "test": kinds}


def summary(spec: RunSpec, outcome: Outcome, folder: Path) -> str:
    """What is said of a run, in one line."""
    found = as_record(spec, outcome, folder)
    values = ", ".join(f"{kind} {of['accuracy']:.3f} (loss {of['loss']:.3f})" for kind, of in found["test"].items() if kind != "empty")
    state = f"{found['seconds']:.0f} s" if found["fresh"] else "done before"
    at = ""
    if found["status"] == "diverged":
        state += f", DIVERGED at step {found['diverged_at']}"
        at = f" at step {found['step']}"
    return f"run {spec.id} seed {spec.seed}: test accuracy{at} {values} [{state}] {folder}"
