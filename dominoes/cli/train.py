"""The commands that train: train, simplicity."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options
from dominoes.errors import SpecError
from dominoes.spec import RunSpec, TrainSpec, parse

if TYPE_CHECKING:
    from dominoes.data.dealing import Dealt
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
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="CPU threads; the last digits depend on it.")
@options.deterministic
@options.data
@options.download
@options.trust
@options.accept_changed
@options.callbacks
@options.out("Results folder; finished runs in it are kept and not run again.")
def train(
    dataset: Path | None,
    seeds: str,
    same_deal: bool,
    device: str,
    threads: int,
    deterministic: bool,
    data: Path | None,
    download: bool,
    trust: bool,
    accept_changed: bool,
    callbacks: tuple[str, ...],
    out: Path,
    **given: Any,
) -> None:
    """Train a network on DATASET for each seed and write its learning curves.

    DATASET is a folder made by build, a YAML file, or absent where flags say it all. A folder is one deal, and so is a spec with a seed
    (--seed, or in the file); else each seed deals anew. Each run goes to OUT/runs/ID, with curves.csv, classes.csv, joint.csv,
    measures.csv, confusion.npz, spec.json, environment.json and, if it is asked for, checkpoints/.
    """
    from dominoes.data import dealing, folder

    how = parse(TrainSpec, options.fields(given, "train_"))
    numbers = options.seeds(seeds)
    if dataset is not None and dataset.is_dir():
        if options.fields(given, "spec_"):
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in options.fields(given, "spec_"))
            raise SpecError(f"{dataset} is a dataset folder and has its spec; got {flags} too, leave them out or build another dataset")
        dealt = folder.read(dataset, data=data, download=download)
        deals = ((dealt, seed) for seed in numbers)
    else:
        wanted = options.spec(dataset, given, trust=trust)
        # A seed that is asked for is kept: it is the deal that is meant.
        same = same_deal or "seed" in wanted.model_fields_set
        one = dealing.make(wanted, data=data, download=download) if same else None
        deals = ((one or dealing.make(wanted.model_copy(update={"seed": seed}), data=data, download=download), seed) for seed in numbers)
    more = {"accept_changed": accept_changed, "callbacks": _callbacks(callbacks)}
    for outcome, spec in runs(deals, how, out, device, threads, deterministic, data, download, **more):
        click.echo(summary(spec, outcome))


def _callbacks(names: tuple[str, ...]) -> list[Any]:
    if not names:
        return []
    from dominoes.training.loop import callback

    return [callback(name) for name in names]


def runs(
    deals: Iterable[tuple[Dealt, int]],
    how: TrainSpec,
    out: Path,
    device: str,
    threads: int,
    deterministic: bool,
    data: Path | None,
    download: bool,
    **more: Any,
) -> Any:
    """Execute a run for each deal and seed with a progress bar; yield each outcome as it comes. `more` is for `execution.execute`."""
    from tqdm import tqdm

    from dominoes.data.probe_sets import for_training
    from dominoes.runs import execution
    from dominoes.training.device import device_of

    where = device_of(device)
    tests = None
    for dealt, seed in deals:
        # The same for all deals: probes follow from the look of a dataset alone.
        tests = tests or for_training(dealt.spec, how, data=data, download=download)
        spec = RunSpec(dataset=dealt.spec, train=how, seed=seed)
        with tqdm(desc=f"seed {seed}", unit="step", disable=None, leave=False, file=sys.stderr) as bar:

            def step(number: int, steps: int, bar: Any = bar) -> None:
                bar.total = steps
                bar.update(number - bar.n)

            options: Any = {"device": where, "threads": threads, "deterministic": deterministic, "progress": step}
            outcome = execution.execute(spec, dealt, tests, out, **options, **more)
        yield outcome, spec


def summary(spec: RunSpec, outcome: Outcome) -> str:
    table = outcome.curves
    last = table[(table["split"] == "test") & (table["step"] == table["step"].max())].set_index("kind")
    values = ", ".join(f"{kind} {last.accuracy[kind]:.3f} (loss {last.loss[kind]:.3f})" for kind in last.index if kind != "empty")
    environment = outcome.environment
    state = "done before" if not outcome.fresh else f"{environment['seconds']['wall']:.0f} s"
    at = ""
    if environment["status"] == "diverged":
        state += f", DIVERGED at step {environment['diverged_at']}"
        at = f" at step {table['step'].max()}"
    return f"run {spec.id} seed {spec.seed}: test accuracy{at} {values} [{state}] {outcome.folder}"
