"""The command of the local learning coefficient."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dominoes.cli import options, output
from dominoes.errors import OutputError, SpecError


@click.command()
@click.argument("folder", type=options.PATH, metavar="RUN|FOLDER")
@click.option("--steps", metavar="LIST", help="Steps of the checkpoints, such as 0,100,4300.  [default: all that are kept]")
@click.option(
    "--on", default="top,bottom,both,conflict", show_default=True, metavar="KINDS", help="Kinds whose loss is observed along the chains."
)
@click.option("--restrict", metavar="KIND", help="Sample on the training dominoes of this kind alone.  [default: on all of them]")
@click.option(
    "--weights", default="all", show_default=True, metavar="all|PREFIX", help="Parameters that are varied, by the beginning of their names."
)
@click.option(
    "--gamma",
    "gammas",
    type=float,
    multiple=True,
    metavar="X",
    help="Localisation; repeatable.  [default without --kappa: 100, 300, 1000, 3000, 10000]",
)
@click.option(
    "--kappa",
    "kappas",
    type=float,
    multiple=True,
    metavar="X",
    help="Localisation of each checkpoint's own, nβ λ_max / X; repeatable.",
)
@click.option(
    "--sampler",
    default="sgld",
    show_default=True,
    type=click.Choice(["sgld", "rmsprop", "lm"]),
    help="Langevin dynamics: plain, preconditioned, or with noise averaged over two steps, which bears larger steps.",
)
@click.option("--chains", default=4, show_default=True, help="Chains of each checkpoint and localisation.")
@click.option("--draws", default=1500, show_default=True, help="Steps of a chain, burn-in and those with a quarter of the step included.")
@click.option("--batch", default=512, show_default=True, help="Dominoes of a step.")
@click.option("--every", default=5, show_default=True, metavar="STEPS", help="Steps between looks at the losses of --on.")
@click.option("--share", default=0.8, show_default=True, help="c of the step size ε = c / (nβ λ_max + γ).")
@click.option("--seed", default=0, show_default=True, help="Seed of the chains.")
@click.option("--plan", is_flag=True, help="Say what it would cost and stop.")
@click.option("--workers", type=click.IntRange(min=1), help="Tasks at once.  [default: one for each core, or GPU]")
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="local: this machine; ray: a cluster; or another.")
@click.option("--address", metavar="HOST:PORT", help="Of ray: the cluster to join; auto: this machine's.  [default: a new one]")
@click.option("--trust", is_flag=True, help="Run the code of networks that a spec names by an unpinned reference.")
@options.device("cpu")
@options.data
@options.download
@click.option("--out", type=options.PATH, help="Table to write (.csv); needed unless --plan is given.")
def llc(
    folder: Path,
    steps: str | None,
    on: str,
    restrict: str | None,
    weights: str,
    gammas: tuple[float, ...],
    kappas: tuple[float, ...],
    sampler: str,
    chains: int,
    draws: int,
    batch: int,
    every: int,
    share: float,
    seed: int,
    plan: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    trust: bool,
    device: str,
    data: Path | None,
    download: bool,
    out: Path | None,
) -> None:
    """Estimate how complex the pattern is that a kept network has learned: its local learning coefficient on each kind of domino.

    A profile over the localisation γ, for each checkpoint of a run or of all runs of a folder. What has not converged says so, and why,
    and has no estimate. Finished tasks are kept in the results folder; the same command goes on with the rest.
    """
    from tqdm import tqdm

    from dominoes import files
    from dominoes.runs import sweeping
    from dominoes.runs.engines.protocol import Engine, RunReport, WorkerSetting
    from dominoes.training.device import device_of
    from dominoes.yardstick import checkpoint_profiles as profiles
    from dominoes.yardstick import profile_cost
    from dominoes.yardstick.learning_coefficient import Sampling

    if not plan and out is None:
        raise SpecError("--out is missing; expected the name of a table to write (.csv), or --plan")
    if out is not None and out.suffix != ".csv":
        raise OutputError(f"--out {out} has another suffix; expected the name of a table to write, ending in .csv")
    if out is not None and out.is_dir():
        raise OutputError(f"--out {out} is a folder; expected the name of a table to write (.csv)")
    output.check_places({"--out": out}, (folder,))
    if engine != "ray" and address:
        raise SpecError("--address belongs to ray; add --engine ray, or leave it out")
    batched = device_of(device).type == "cuda"
    how = Sampling(sampler, chains, draws, batch, share, every, seed, batched)
    kinds = tuple(dict.fromkeys(part.strip() for part in on.split(",") if part.strip()))
    gammas = tuple(dict.fromkeys(gammas)) or (() if kappas else profiles.GAMMAS)
    request = profiles.ProfileRequest(kinds, restrict, weights, gammas, tuple(dict.fromkeys(kappas)), how, data, download, device, trust)
    wanted = profiles.tasks(folder, request, None if steps is None else options.seeds(steps, flag="--steps"))
    if plan or out is None:
        click.echo(profile_cost.cost(wanted))
        return

    def start(setting: WorkerSetting) -> Engine:
        return sweeping.engine(engine, setting, workers, **{"address": address} if address else {})

    with tqdm(total=len(wanted), unit="task", disable=None, leave=False, file=sys.stderr) as bar:

        def step(done: int, of: int) -> None:
            bar.update(done - bar.n)

        def waits(report: RunReport) -> None:
            click.echo(f"Note: {report.reason.partition(';')[0]}; it is waited for, and taken over if that one dies", err=True)

        table = profiles.measure(wanted, engine=start, progress=step, waits=waits)
    files.write(out, table.to_csv(index=False, lineterminator="\n"))
    click.echo("\n".join([*profiles.sentences(table), str(out)]))
