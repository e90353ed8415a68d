"""The command line. Translates options, calls one function, prints its result; the only module that prints or reads argv.

What a command needs is imported where it runs, so that help and `solve` answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options
from dominoes.cli.report import plot, report
from dominoes.cli.sweep import sweep
from dominoes.cli.theory import compare, fit, simplicity, toy
from dominoes.errors import DominoesError, SpecError
from dominoes.spec import SIDES, DominoSpec, RunSpec, TrainSpec, parse, read_mapping

if TYPE_CHECKING:
    from dominoes.data.dealing import Dealt
    from dominoes.runs.execution import Outcome
    from dominoes.solver.composition import Composition


class _Commands(click.Group):
    """Turns the errors that users can cause into one line and exit code 2, and Ctrl-C into 130."""

    def invoke(self, ctx: click.Context) -> Any:
        # As workers have it (`jobs.ENVIRONMENT`); it is read when CUDA starts, which is later than this.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        try:
            return super().invoke(ctx)
        except DominoesError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {where}{error.strerror or error}; check the path and its permissions", err=True)
            sys.exit(2)
        except MemoryError:
            click.echo("Error: this needs more memory than there is; ask for fewer dominoes", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("Interrupted. What is finished is kept; the same command goes on with the rest.", err=True)
            sys.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="dominoes")
def main() -> None:
    """MNIST-CIFAR dominoes: datasets with exact prevalence and reliability, and what networks learn of them when.

    A domino is a top half (an MNIST digit) above a bottom half (a CIFAR-10 picture), with one label.

    \b
    solve   -> how many dominoes of which kind    build -> a dataset folder
    train   -> learning curves (CSV)              plot  -> a figure of them
    compare -> does the pattern-learning model predict them?
    sweep   -> many such runs from one file       report -> a page about all of it
    """


for command in (toy, fit, compare, simplicity, sweep, plot, report):
    main.add_command(command)


@main.command()
@click.argument("spec", required=False, type=options.PATH)
@options.dataset
@options.data
@click.option("--stock", type=options.PATH, help="YAML or JSON file with the pictures of each class: top: [..], bottom: [..].")
@click.option("--json", "as_json", is_flag=True, help="Print the composition as JSON.")
@click.option("--sankey", type=options.PATH, help="Diagram of where the pictures go to write (.html, .png, .svg, .pdf).")
def solve(spec: Path | None, data: Path | None, stock: Path | None, as_json: bool, sankey: Path | None, **given: Any) -> None:
    """Turn a request (a YAML file SPEC, flags, or both) into exact counts.

    Any three independent ones of the two prevalences, --both, --empty and --ratio fix the rest.
    """
    from dominoes.data import sources
    from dominoes.solver import composition

    request = options.spec(spec, given)
    found = composition.solve(request, _read_stock(stock) if stock else sources.stock(request, data=data))
    if sankey is not None:
        from dominoes.report.html import page

        page.write_flows(found, sankey)
    click.echo(found.dumps() if as_json else _composition_text(found), nl=not as_json)


def _read_stock(path: Path) -> Any:
    from dominoes.solver.stock import Stock

    values = read_mapping(path)
    counts = [values.get(side) for side in SIDES]
    whole = all(isinstance(side, list) and all(type(count) is int for count in side) for side in counts)
    if set(values) != set(SIDES) or not whole:
        raise SpecError(f"{path}: expected two lists of whole numbers, 'top: [...]' and 'bottom: [...]', got {values}")
    return Stock(tuple(values["top"]), tuple(values["bottom"]))


def _composition_text(found: Composition) -> str:
    from tabulate import tabulate

    from dominoes.data.card import parameters

    spec = found.spec
    above, below = SIDES[::-1] if spec.swap else SIDES
    blocks = [
        f"{found.n} dominoes of {found.stock.classes} classes: {spec.described(above)} over {spec.described(below)} ({spec.split.value})"
    ]
    blocks.append(
        tabulate([(kind, count, count / found.n) for kind, count in found.kinds.items()], ("kind", "dominoes", "share"), floatfmt=".6g")
    )
    sides = []
    for side in SIDES:
        right, wrong, used = found.right(side), found.wrong(side), sum(found.used(side))
        sides.append((side, getattr(spec, side), right + wrong, right, wrong, used, sum(found.left(side))))
    blocks.append(tabulate(sides, ("side", "source", "shown", "right", "wrong", "stock used", "stock left")))
    rows = zip(
        range(found.stock.classes),
        found.labels,
        *(column for side in SIDES for column in (found.used(side), found.left(side))),
        strict=True,
    )
    blocks.append(tabulate(rows, ("class", "dominoes", "top used", "top left", "bottom used", "bottom left")))
    blocks.append(parameters(found, "simple"))
    return "\n\n".join(blocks)


@main.command()
@click.argument("spec", required=False, type=options.PATH)
@options.dataset
@options.data
@options.download
@options.out("Dataset folder to make.")
@options.force
def build(spec: Path | None, data: Path | None, download: bool, out: Path, force: bool, **given: Any) -> None:
    """Solve a request, deal pictures to it and write a dataset folder (no pixels)."""
    from dominoes.data import dealing, folder

    dealt = dealing.make(options.spec(spec, given), data=data, download=download)
    folder.save(dealt, out, force=force)
    kinds = ", ".join(f"{count} {kind}" for kind, count in dealt.composition.kinds.items())
    click.echo(f"{out}: {dealt.composition.n} dominoes ({kinds})")


@main.command()
@click.argument("folder", type=options.PATH)
@options.data
def verify(folder: Path, data: Path | None) -> None:
    """Recompute every digest and count of a dataset FOLDER from its sources; exit 1 if anything differs."""
    from dominoes.data.folder import verify as differences

    found = differences(folder, data=data)
    for line in found[:20]:
        click.echo(line)
    if len(found) > 20:
        click.echo(f"... and {len(found) - 20} more")
    if found:
        click.echo(f"{folder}: {len(found)} difference{'s' if len(found) > 1 else ''}")
        sys.exit(1)
    click.echo(f"{folder}: every digest and every count holds")


@main.command()
@click.argument("folder", type=options.PATH)
@options.data
@options.out("Picture to write (.png, .svg or .pdf).")
def preview(folder: Path, data: Path | None, out: Path) -> None:
    """Draw examples of each kind of domino in a dataset FOLDER, right and wrong halves apart."""
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.folder import read
    from dominoes.report import stills

    stills.draw_preview(Dominoes.of(read(folder, data=data)), out)
    click.echo(str(out))


@main.command()
@click.argument("folder", type=options.PATH)
@options.data
@click.option("--to", "form", required=True, type=click.Choice(["npz", "folder", "parquet"]), help="Form of the files.")
@options.out("File or folder to make.")
@options.force
def export(folder: Path, data: Path | None, form: str, out: Path, force: bool) -> None:
    """Write the pixels of a dataset FOLDER for other software."""
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.folder import read
    from dominoes.data.pixels import export as write

    dominoes = Dominoes.of(read(folder, data=data))
    write(dominoes, form, out, force=force)
    click.echo(f"{out}: {len(dominoes)} dominoes")


@main.command()
@click.argument("dataset", required=False, type=options.PATH)
@options.dataset
@options.training
@click.option(
    "--seeds", default="0", show_default=True, metavar="LIST", help="Seeds of initialisation and order, one run each: 0-4 or 0,3,7."
)
@options.device()
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="CPU threads; the last digits depend on it.")
@options.deterministic
@options.data
@options.download
@options.out("Results folder; finished runs in it are kept and not run again.")
def train(
    dataset: Path | None,
    seeds: str,
    device: str,
    threads: int,
    deterministic: bool,
    data: Path | None,
    download: bool,
    out: Path,
    **given: Any,
) -> None:
    """Train a network on DATASET for each seed and write its learning curves.

    DATASET is a folder made by build, a YAML file, or absent where flags say it all. Each run goes to OUT/runs/ID, with curves.csv,
    classes.csv, confusion.npz, spec.json and environment.json.
    """
    from dominoes.data import dealing, folder

    how = parse(TrainSpec, options.fields(given, "train_"))
    numbers = options.seeds(seeds)
    if dataset is not None and dataset.is_dir():
        if options.fields(given, "spec_"):
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in options.fields(given, "spec_"))
            raise SpecError(f"{dataset} is a dataset folder and has its spec; got {flags} too, leave them out or build another dataset")
        dealt = folder.read(dataset, data=data, download=download)
    else:
        dealt = dealing.make(options.spec(dataset, given), data=data, download=download)
    for outcome, spec in _runs(dealt, how, numbers, out, device, threads, deterministic, data, download):
        click.echo(_summary(spec, outcome))


def _runs(
    dealt: Dealt,
    how: TrainSpec,
    seeds: list[int],
    out: Path,
    device: str,
    threads: int,
    deterministic: bool,
    data: Path | None,
    download: bool,
) -> Any:
    """Execute a run a seed with a progress bar; yield each outcome as it comes."""
    from tqdm import tqdm

    from dominoes.data.dominoes import probes
    from dominoes.runs import execution
    from dominoes.training.loop import device_of

    where = device_of(device)
    tests = probes(dealt.spec, how.probe, how.probe_seed, data=data, download=download)
    for seed in seeds:
        spec = RunSpec(dataset=dealt.spec, train=how, seed=seed)
        with tqdm(desc=f"seed {seed}", unit="step", disable=None, leave=False, file=sys.stderr) as bar:

            def step(number: int, steps: int, bar: Any = bar) -> None:
                bar.total = steps
                bar.update(number - bar.n)

            outcome = execution.execute(spec, dealt, tests, out, device=where, threads=threads, deterministic=deterministic, progress=step)
        yield outcome, spec


def _summary(spec: RunSpec, outcome: Outcome) -> str:
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


@main.command()
@options.out("Results folder.")
@click.option("--seeds", default="0-1", show_default=True, metavar="LIST", help="Seeds, one run each.")
def demo(out: Path, seeds: str) -> None:
    """The whole way on pictures that come with the package (digits over textures): solve, build, train, compare, report. Under a minute."""
    import pandas as pd

    from dominoes import files, tables
    from dominoes.data import dealing, folder
    from dominoes.report import results, stills
    from dominoes.report.charts import learning
    from dominoes.report.html import page
    from dominoes.runs import execution
    from dominoes.theory import comparison
    from dominoes.theory.fits import curve

    spec = DominoSpec(prevalence=(0.65, 0.65), top="digits", bottom="textures")
    how = TrainSpec(epochs=8, batch=32, measurements=25, probe=340)
    dealt = dealing.make(spec)
    folder.save(dealt, out / "dataset", force=True)
    outcomes = [outcome for outcome, _ in _runs(dealt, how, options.seeds(seeds), out, "cpu", 1, True, None, False)]
    table = pd.concat([outcome.curves for outcome in outcomes], ignore_index=True)
    tables.write(table, out / "curves.csv")
    fits = curve.fit_table(table, families=("logistic", "logistic-log"), chance=1 / dealt.composition.stock.classes)
    files.write(out / results.FITS, fits.to_csv(index=False, lineterminator="\n"))
    found = comparison.compare(execution.joined(out), execution.joined(out, form="classes"))
    files.write(out / results.COMPARISON, found.table.to_csv(index=False, lineterminator="\n"))
    shown = results.gather([out])
    stills.draw(learning.one_sided(shown), out / "curves.png")
    page.write(shown, out / "report.html")
    click.echo(_demo_text(dealt, table, out))
    counts = found.table["verdict"].value_counts()
    total = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in ("holds", "fails", "cannot tell"))
    click.echo(f"theory    {out / 'comparison.csv'}: {total} (all lines: dominoes compare {out} --out comparison.csv); of the doubles:")
    for line in found.lines()[:4]:
        click.echo(f"          {line}")
    click.echo(f"report    {out / 'report.html'}: all of it on one page, to open in a browser")


def _demo_text(dealt: Dealt, table: Any, out: Path) -> str:
    means = table[table["split"] == "test"].groupby(["kind", "step"])["accuracy"].mean()
    last = table["step"].max()
    half = {side: int((means[side] >= means[side].max() / 2).idxmax()) for side in SIDES}
    kinds = ", ".join(f"{count} {kind}" for kind, count in dealt.composition.kinds.items())
    agree = table[(table["kind"] == "conflict") & (table["step"] == last)][["agree_top", "agree_bottom"]].mean()
    first, second = sorted(SIDES, key=lambda side: half[side])
    ends = ", ".join(f"{means[kind][last]:.2f} ({kind})" for kind in ("top", "bottom", "both"))
    lines = [
        f"dataset   {out / 'dataset'}: {dealt.composition.n} dominoes, digits over textures ({kinds})",
        f"curves    {out / 'curves.csv'}: {table['run'].nunique()} runs, {table['step'].nunique()} measurements up to step {last}",
        f"figure    {out / 'curves.png'}: loss and accuracy on one-sided dominoes",
        f"learned   half of its best test accuracy: the {first} half by step {half[first]}, "
        f"the {second} half by step {half[second]}; at the end {ends}",
        f"conflicts of two classes: the networks answer the top's in {agree.iloc[0]:.0%} of the cases, the bottom's in {agree.iloc[1]:.0%}",
    ]
    return "\n".join(lines)
