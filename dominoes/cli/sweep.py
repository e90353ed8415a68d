"""The commands of sweeps: plan, run, status, export, pack, clean. Like `commands`, it prints and knows click."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options, output
from dominoes.cli.heartbeat import heartbeat
from dominoes.cli.train import diverged_runs
from dominoes.errors import OutputError, SpecError, counted

if TYPE_CHECKING:
    from dominoes.runs.engines.protocol import RunReport
    from dominoes.runs.plan import Plan
    from dominoes.spec import RunSpec


@click.group()
def sweep() -> None:
    """Many runs from one sweep file: plan, run, status, export, pack, clean.

    The results folder holds all there is to know: runs/ID, a folder for each run, is absent, unfinished, FAILED or DONE. A second
    'run' executes what is missing and nothing else.
    """


@sweep.command("plan")
@click.argument("file", type=options.PATH)
@click.option("--workers", type=click.IntRange(min=1), help="Processes to reckon with.  [default: one for each core, or GPU]")
@click.option("--no-timing", is_flag=True, help="Do not time a few steps to estimate the cost.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs and the cost as JSON.")
@options.device()
@options.data
@options.download
@options.trust
def plan_(
    file: Path,
    workers: int | None,
    no_timing: bool,
    as_json: bool,
    device: str,
    data: Path | None,
    download: bool,
    trust: bool,
) -> None:
    """Print the runs of a sweep FILE, their compositions, and what they will cost; nothing is written."""
    from tabulate import tabulate

    from dominoes.runs import plan
    from dominoes.spec import KINDS

    planned = _planned(file, data, trust)
    timed = _cost(planned, workers, device, data, download) if planned.runs and not no_timing else {}
    if no_timing:
        _attempt(planned, data)
    if as_json:
        runs = [{"run": run.spec.id, **planned.values(run.spec), "n": run.n, "kinds": run.kinds} for run in planned.runs]
        refused = [{"run": run.spec.id, **planned.values(run.spec), "reason": run.reason} for run in planned.infeasible]
        click.echo(json.dumps({"name": planned.name, "runs": runs, "infeasible": refused, "cost": timed}, indent=1, default=str))
        return
    names = list(planned.swept)
    rows = []
    for run in planned.runs:
        values = [plan.plain_value(value) for value in planned.values(run.spec).values()]
        rows.append((run.spec.id, *values, run.n, *(run.kinds[kind] for kind in KINDS)))
    head = ("run", *map(_short, names), "dominoes", *KINDS)
    click.echo(tabulate(rows, head, disable_numparse=True))
    click.echo(
        f"\n{planned.name}: {counted(len(planned.runs), 'run')}, {counted(len({run.spec.dataset for run in planned.runs}), 'dataset')}"
    )
    if planned.infeasible:
        click.echo(f"infeasible: {len(planned.infeasible)} runs\n  {plan.refusal(planned)}")
    if timed:
        seconds, count = timed["worker_seconds"], timed["workers"]
        click.echo(f"cost: about {_time(seconds / count)} with {count:.0f} workers ({_time(seconds)} of one worker)")
        click.echo(f"disk: about {timed['bytes'] / 1e6:.1f} MB")


def _attempt(planned: Plan, data: Path | None) -> None:
    """Make one step of each training that something could be wrong with, as timing would, where the pictures are there."""
    from dominoes.errors import SourceError
    from dominoes.runs.engines import worker
    from dominoes.runs.engines.protocol import WorkerSetting
    from dominoes.training import trial

    different = {run.spec.train: run.spec for run in planned.runs if not trial.is_usual(run.spec.train)}
    try:
        worker.check_runs(different.values(), WorkerSetting(Path(), "cpu", data))
    except SourceError as error:
        click.echo(f"Note: no step of training was tried: {error}", err=True)


def _cost(planned: Plan, workers: int | None, device: str, data: Path | None, download: bool) -> dict[str, float]:
    """What the runs of a plan will take, of one worker; and how many workers there would be."""
    from dominoes.runs import cost
    from dominoes.runs.engines.local import workers_here

    found = cost.estimate_cost(planned, device=device, data=data, download=download)
    return {"worker_seconds": found.seconds, "workers": min(workers or workers_here(device), len(planned.runs)), "bytes": found.bytes}


@sweep.command("run")
@click.argument("file", type=options.PATH)
@click.option(
    "--out",
    required=True,
    type=options.NEW_RESULTS,
    help="Results folder, or with --packed an object store (s3://, gs://, ...); finished runs in it are kept and not run again.",
)
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="local: this machine; ray: a cluster; or another.")
@click.option("--workers", type=click.IntRange(min=1), help="Runs at once.  [default: one for each core, or GPU]")
@click.option(
    "--pack",
    default="auto",
    show_default=True,
    metavar="auto|N",
    help="Runs that a worker trains at once; auto: on CUDA as many as find memory, 32 at most, elsewhere 1.",
)
@click.option(
    "--pack-mode",
    type=click.Choice(["streams", "stacked"]),
    default="streams",
    show_default=True,
    help="streams: each run its own network and numbers; stacked: runs of one shape as one network, other last digits.",
)
@options.deterministic
@options.device()
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Execute at most N runs of those that are missing.")
@click.option("--keep-going", is_flag=True, help="Start further runs after one has failed.")
@click.option("--skip-infeasible", is_flag=True, help="Go on without points that have no dataset; they stand in runs.csv.")
@click.option(
    "--packed/--folders",
    default=None,
    help="Put finished runs into shards, or leave a folder each.  [default: shards if there are more than 10,000 runs, or shards already]",
)
@options.accept_changed
@options.callbacks
@options.trust
@options.partial("Accept that runs diverge.")
@click.option(
    "--log", "loggers", multiple=True, metavar="NAME", help="Show finished runs elsewhere too: tensorboard, wandb or another; repeatable."
)
@click.option("--address", metavar="HOST:PORT", help="Of ray: the cluster to join; auto: this machine's.  [default: a new one]")
@click.option("--collect", is_flag=True, help="Of ray: bring run folders back from machines that do not share OUT.")
@options.data
@options.download
def run(
    file: Path,
    out: Path,
    engine: str,
    workers: int | None,
    pack: str,
    pack_mode: str,
    deterministic: bool,
    device: str,
    limit: int | None,
    keep_going: bool,
    skip_infeasible: bool,
    packed: bool | None,
    accept_changed: bool,
    callbacks: tuple[str, ...],
    trust: bool,
    partial: bool,
    loggers: tuple[str, ...],
    address: str | None,
    collect: bool,
    data: Path | None,
    download: bool,
) -> None:
    """Execute the runs of a sweep FILE that are missing in OUT."""
    from tqdm import tqdm

    from dominoes import files
    from dominoes.runs import sweep_file, sweeping
    from dominoes.runs.engines.protocol import WorkerSetting

    if engine != "ray" and (address or collect):
        raise SpecError("--address and --collect belong to ray; add --engine ray, or leave them out")
    files.refuse_no_folder(out)
    described = sweep_file.read_sweep_file(file)
    for note in described.notes:
        click.echo(f"Note: {note}", err=True)
    where = data.resolve() if data else None
    setting = WorkerSetting(out.resolve(), device, where, download, _pack(pack), deterministic, callbacks=callbacks, pack_mode=pack_mode)
    ready = sweeping.prepare_sweep(
        described,
        setting,
        where=str(file),
        skip_infeasible=skip_infeasible,
        accept_changed=accept_changed,
        trust=trust,
        elsewhere=engine != "local",
        collect=collect,
        packed=packed,
    )
    for note in ready.notes:
        click.echo(f"Note: {note}", err=True)
    planned, missing = ready.plan, ready.missing[:limit]
    skipped = f", {len(planned.infeasible)} infeasible" if planned.infeasible else ""
    click.echo(f"{planned.name}: {counted(len(planned.runs), 'run')}, {len(planned.runs) - len(ready.missing)} done before{skipped}")
    log = _logs(loggers, out, planned)
    if not missing:
        return
    start = sweeping.engine(engine, ready.setting, workers, **({"address": address, "collect": collect} if engine == "ray" else {}))
    failed = diverged = ended = 0
    specs = {spec.id: spec for spec in missing}
    with (
        heartbeat(lambda: f"{planned.name}: {ended} of {len(missing)} runs ended"),
        tqdm(total=len(missing), unit="run", disable=None, file=sys.stderr) as bar,
    ):
        for report in ready.launch(start, limit=limit, keep_going=keep_going, waits=_waits):
            bar.update(1)
            ended += 1
            failed += report.state == "failed"
            diverged += report.state == "diverged"
            with bar.external_write_mode(file=sys.stdout):
                click.echo(_line(planned, specs[report.run], report))
            if report.state in ("done", "diverged"):
                for each in log:
                    each(specs[report.run])
    if failed:
        rest = "" if keep_going else "; no further run was started (--keep-going starts them)"
        click.echo(
            f"{counted(failed, 'run')} failed{rest}; the reasons are in {out}/runs/ID/FAILED, the same command runs them again", err=True
        )
        sys.exit(1)
    output.incomplete(diverged_runs(diverged, len(missing)), accepted=partial)


def _waits(report: RunReport) -> None:
    click.echo(f"Note: {report.reason.partition(';')[0]}; it is waited for, and taken over if that one dies", err=True)


def _pack(text: str) -> int | None:
    """None for auto."""
    from dominoes.runs.engines.protocol import MOST_TOGETHER

    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST_TOGETHER:
        raise SpecError(f"--pack: expected auto or a whole number from 1 to {MOST_TOGETHER}, got '{text}'")
    return int(text)


def _planned(file: Path, data: Path | None, trust: bool) -> Plan:
    from dominoes.runs import plan, sweep_file, sweeping

    described = sweep_file.read_sweep_file(file)
    for note in described.notes:
        click.echo(f"Note: {note}", err=True)
    if not trust:
        sweeping.refuse_untrusted_sweep(described, str(file))
    return plan.make_plan(described, data=data)


def _logs(names: tuple[str, ...], out: Path, planned: Plan) -> list[Any]:
    if not names:
        return []
    from dominoes.runs.loggers import logger

    return [logger(name, out, planned.name) for name in names]


def _short(name: str) -> str:
    """The name of a swept field without its part of the spec, which only the two seeds need."""
    return name if name == "dataset.seed" else name.removeprefix("dataset.").removeprefix("train.")


def _line(planned: Plan, spec: RunSpec, report: RunReport) -> str:
    from dominoes.runs.plan import plain_value

    values = ", ".join(f"{_short(name)} {plain_value(value)}" for name, value in planned.values(spec).items())
    head = f"{report.state} {report.run} [{report.seconds:.0f} s]"
    return f"{head}{' ' if values else ''}{values}{f': {report.reason}' if report.reason else ''}"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@sweep.command()
@click.argument("folder", type=options.RESULTS)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.option("--deep", is_flag=True, help="Compare every byte with what was written, also of files that have their size and time still.")
def status(folder: Path, as_json: bool, deep: bool) -> None:
    """How far the sweep in results FOLDER is; writes nothing."""
    from dataclasses import asdict

    from dominoes.runs import plan, progress

    planned = plan.outline(folder)
    found = progress.sweep_status(planned, folder, deep=deep)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
        return
    diverged = f" ({found.diverged} diverged)" if found.diverged else ""
    counts = [f"{found.done} done{diverged}", f"{found.running} running", f"{found.failed} failed", f"{found.left} left"]
    counts += [f"{found.infeasible} infeasible"] * bool(found.infeasible)
    counts += [f"{found.others} finished ones of another sweep file"] * bool(found.others)
    click.echo(f"{planned.name}: {counted(found.runs, 'run')}: {', '.join(counts)}")
    if found.per_hour is not None and found.seconds_left is not None:
        click.echo(f"{found.per_hour:.3g} runs an hour, {_time(found.seconds_left)} to go")
    for name, reason in found.reasons.items():
        click.echo(f"failed {name}: {reason}")
    for name, problem in found.damaged.items():
        click.echo(f"damaged {name}: {problem}; 'dominoes sweep run' runs it again")


@sweep.command("export")
@click.argument("folder", type=options.RESULTS)
@options.out("Table of curves to write (.csv or .parquet); runs.csv comes beside it.", table=True)
@click.option("--with-classes", "classes", is_flag=True, help="Write the curves by class too, beside the others.")
@click.option(
    "--with-joint", "joint", is_flag=True, help="Write the crossed answers too: each double and conflict with its halves shown alone."
)
@click.option("--with-measures", "measures", is_flag=True, help="Write the further measures too: margins, AUC, decoded accuracy.")
@options.partial("Accept that runs which are missing, damaged or not finished are left out.")
def export(folder: Path, out: Path, classes: bool, joint: bool, measures: bool, partial: bool) -> None:
    """Write the finished runs of results FOLDER as one table, with what was swept as further columns."""
    from dominoes.runs import collected, plan

    output.check_places({"--out": out}, (folder,))
    if output.is_stream(out):
        if classes or joint or measures:
            raise OutputError("standard output takes one table; leave out the --with- options, or pass --out FILE")
        found = collected.copy(plan.load_plan(folder), folder, output.standard_output())
        output.standard_output().flush()
    else:
        found = collected.export_table(plan.load_plan(folder), folder, out, classes=classes, joint=joint, measures=measures)
    for form, count in found.without.items():
        click.echo(f"{count} of {found.runs} runs have no {form}.csv: made by an earlier version, their rows are not in it", err=True)
    output.say(out, f"{', '.join(map(str, found.files)) or 'standard output'}: {counted(found.runs, 'run')}")
    missing = found.missing - len(found.damaged)
    left = [f"left out: {missing} runs of the sweep are not finished; 'dominoes sweep status {folder}' tells of them"] if missing else []
    output.incomplete(output.damaged(found.damaged) + left, accepted=partial)


@sweep.command()
@click.argument("folder", type=options.RESULTS)
def pack(folder: Path) -> None:
    """Put the finished runs of results FOLDER into shards.

    A shard has 500 runs in a few Parquet files. It is read back and compared to the last byte before the folders of its runs go; every
    command reads packed runs as it reads folders, and exports the same bytes. Runs that keep networks stay folders. Small shards, as
    launches that were stopped leave them, are put together.
    """
    from tqdm import tqdm

    from dominoes.runs import sweeping

    with tqdm(unit="run", disable=None, file=sys.stderr) as bar:

        def show(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        found = sweeping.pack_results(folder, progress=show)
    networks = f"; {found.networks} that keep networks stay folders" if found.networks else ""
    from dominoes.runs.packed import mirror

    merged = f"; {found.merged} small shards put into larger ones" if found.merged else ""
    click.echo(f"{mirror.known_as(folder)}: {counted(found.runs, 'run')} packed into {counted(found.shards, 'shard')}{merged}{networks}")
    output.incomplete(output.damaged(found.damaged), accepted=False)


@sweep.command()
@click.argument("folder", type=options.RESULTS)
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(folder: Path, yes: bool) -> None:
    """Remove unfinished runs of results FOLDER, that nobody is at; finished and failed ones stay."""
    from dominoes.runs import progress

    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder; expected a sweep's results folder")
    found = progress.unfinished(folder)
    if not found:
        click.echo(f"{folder}: nothing is unfinished")
        return
    if not yes:
        click.confirm(f"Remove {len(found)} unfinished runs of {folder}?", abort=True)
    click.echo(f"{folder}: {sum(progress.remove(each) for each in found)} unfinished runs removed")
