"""The command line. Translates options, calls one function, prints its result; the only module that prints or reads argv.

What a command needs is imported where it runs, so that help and `solve` answer at once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.errors import DominoesError, OutputError, SpecError
from dominoes.report_commands import plot, report
from dominoes.spec import SIDES, DominoSpec, Labels, Model, Optimizer, Precision, RunSpec, Split, TrainSpec, parse, read_mapping
from dominoes.sweep_commands import deterministic_option, sweep
from dominoes.theory_commands import compare, fit, toy

if TYPE_CHECKING:
    from dominoes.composition import Composition
    from dominoes.deal import Dealt
    from dominoes.run import Outcome

Command = Callable[..., None]


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


def _default(form: type[DominoSpec] | type[TrainSpec], field: str) -> str:
    value = form.model_fields[field].default
    return " ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


# Values travel as text: the spec converts and checks them, so that flags and YAML files are refused in the same words.
_DATASET = [
    ("--n", "INT|max", 1, "Dominoes; max is the most that the stock allows."),
    ("--prevalence", "A C", 2, "Shares in which the top, the bottom half is shown; '-' leaves one open."),
    ("--both", "D", 1, "Share that shows both halves.  [default: A*C, the halves independent]"),
    ("--empty", "E", 1, "Share that shows neither half."),
    ("--ratio", "R", 1, "A / C, doubles counted in both."),
    ("--reliability", "P Q", 2, "Of the shown top, bottom halves the share that shows the label's class."),
    ("--labels", "|".join(Labels), 1, "Distribution of labels: alike, or as the stock has them."),
    ("--reuse", "INT", 1, "How often one picture may be used at most."),
    ("--top", "SOURCE", 1, "Source of the top half: a name or a path."),
    ("--bottom", "SOURCE", 1, "Source of the bottom half."),
    ("--split", "|".join(Split), 1, "Split of the sources that is dealt."),
    ("--seed", "INT", 1, "Seed of the deal and the pairing."),
]
_DIALS = [
    ("--top-transform", "What is done to the top's pictures: noise=0.5, blur=1, ...; repeatable, in this order."),
    ("--bottom-transform", "What is done to the bottom's pictures; repeatable."),
]
# Left out, these follow from the others.
_OPEN = ("prevalence", "both", "empty", "ratio")
_TRAINING = [
    ("--model", "|".join(Model), "Network."),
    ("--epochs", "INT", "Passes over the dataset."),
    ("--batch", "INT", "Dominoes a step."),
    ("--optimizer", "|".join(Optimizer), "Optimiser."),
    ("--lr", "X", "Learning rate."),
    ("--momentum", "X", "Momentum of SGD; of Adam, beta 1."),
    ("--weight-decay", "X", "L2 penalty."),
    ("--measurements", "INT", "Points of the geometric grid of steps at which everything is measured, besides step 0."),
    ("--probe", "INT", "Test dominoes of each kind to measure on."),
    ("--probe-seed", "INT", "Seed of the probes; runs that share it are measured on the same dominoes."),
    ("--precision", "|".join(Precision), "What it computes in; tf32 is float32 where the device is not CUDA."),
]


def _dataset_options(command: Command) -> Command:
    command = click.option("--swap/--no-swap", "spec_swap", default=None, help="The halves change places: the top half is below.")(command)
    for flag, text in reversed(_DIALS):
        command = click.option(flag, f"spec_{flag[2:].replace('-', '_')}", metavar="NAME=VALUE", multiple=True, help=text)(command)
    for flag, metavar, count, text in reversed(_DATASET):
        field = flag[2:]
        default = (
            _default(DominoSpec, field) if field in ("n", "reliability", "labels", "reuse", "top", "bottom", "split", "seed") else None
        )
        help_ = f"{text}  [default: {default}]" if default else text
        command = click.option(flag, f"spec_{field}", metavar=metavar, nargs=count, type=str, help=help_)(command)
    return command


def _training_options(command: Command) -> Command:
    for flag, metavar, text in reversed(_TRAINING):
        field = flag[2:].replace("-", "_")
        help_ = f"{text}  [default: {_default(TrainSpec, field)}]"
        command = click.option(flag, f"train_{field}", metavar=metavar, type=str, help=help_)(command)
    return command


_data = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder with the sources.  [default: $DOMINOES_DATA, else the cache folder]"
)
_download = click.option("--download", is_flag=True, help="Let torchvision download a named source that is not there.")
_force = click.option("--force", is_flag=True, help="Replace what an earlier call of this command left at --out.")


def _out(text: str) -> Callable[[Command], Command]:
    return click.option("--out", required=True, type=click.Path(path_type=Path), help=text)


def _fields(options: Mapping[str, Any], head: str) -> dict[str, Any]:
    """The options that were given and belong to one spec."""
    found = {name.removeprefix(head): value for name, value in options.items() if name.startswith(head) and value not in (None, ())}
    if isinstance(found.get("prevalence"), tuple):
        found["prevalence"] = tuple(None if part == "-" else part for part in found["prevalence"])
    return found


def _spec(file: Path | None, options: Mapping[str, Any]) -> DominoSpec:
    """The spec of a YAML file, if there is one, with the flags in its fields' places."""
    given = _fields(options, "spec_")
    if file is None:
        return parse(DominoSpec, given)
    return parse(DominoSpec, read_mapping(file) | given, where=str(file))


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


for command in (toy, fit, compare, sweep, plot, report):
    main.add_command(command)


@main.command()
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@_dataset_options
@_data
@click.option(
    "--stock", type=click.Path(path_type=Path), help="YAML or JSON file with the pictures of each class: top: [..], bottom: [..]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the composition as JSON.")
@click.option("--sankey", type=click.Path(path_type=Path), help="Diagram of where the pictures go to write (.html, .png, .svg, .pdf).")
def solve(spec: Path | None, data: Path | None, stock: Path | None, as_json: bool, sankey: Path | None, **options: Any) -> None:
    """Turn a request (a YAML file SPEC, flags, or both) into exact counts.

    Any three independent ones of the two prevalences, --both, --empty and --ratio fix the rest.
    """
    from dominoes import composition, sources

    request = _spec(spec, options)
    found = composition.solve(request, _read_stock(stock) if stock else sources.stock(request, data=data))
    if sankey is not None:
        from dominoes import report

        report.write_flows(found, sankey)
    click.echo(found.dumps() if as_json else _composition_text(found), nl=not as_json)


def _read_stock(path: Path) -> Any:
    from dominoes.stock import Stock

    values = read_mapping(path)
    counts = [values.get(side) for side in SIDES]
    whole = all(isinstance(side, list) and all(type(count) is int for count in side) for side in counts)
    if set(values) != set(SIDES) or not whole:
        raise SpecError(f"{path}: expected two lists of whole numbers, 'top: [...]' and 'bottom: [...]', got {values}")
    return Stock(tuple(values["top"]), tuple(values["bottom"]))


def _composition_text(found: Composition) -> str:
    from tabulate import tabulate

    from dominoes.card import parameters

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
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@_dataset_options
@_data
@_download
@_out("Dataset folder to make.")
@_force
def build(spec: Path | None, data: Path | None, download: bool, out: Path, force: bool, **options: Any) -> None:
    """Solve a request, deal pictures to it and write a dataset folder (no pixels)."""
    from dominoes import deal, folder

    dealt = deal.make(_spec(spec, options), data=data, download=download)
    folder.save(dealt, out, force=force)
    kinds = ", ".join(f"{count} {kind}" for kind, count in dealt.composition.kinds.items())
    click.echo(f"{out}: {dealt.composition.n} dominoes ({kinds})")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_data
def verify(folder: Path, data: Path | None) -> None:
    """Recompute every digest and count of a dataset FOLDER from its sources; exit 1 if anything differs."""
    from dominoes.folder import verify as differences

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
@click.argument("folder", type=click.Path(path_type=Path))
@_data
@_out("Picture to write (.png, .svg or .pdf).")
def preview(folder: Path, data: Path | None, out: Path) -> None:
    """Draw examples of each kind of domino in a dataset FOLDER, right and wrong halves apart."""
    from dominoes import figures
    from dominoes.dataset import Dominoes
    from dominoes.folder import read

    figures.draw_preview(Dominoes.of(read(folder, data=data)), out)
    click.echo(str(out))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_data
@click.option("--to", "form", required=True, type=click.Choice(["npz", "folder", "parquet"]), help="Form of the files.")
@_out("File or folder to make.")
@_force
def export(folder: Path, data: Path | None, form: str, out: Path, force: bool) -> None:
    """Write the pixels of a dataset FOLDER for other software."""
    from dominoes.dataset import Dominoes
    from dominoes.export import export as write
    from dominoes.folder import read

    dominoes = Dominoes.of(read(folder, data=data))
    write(dominoes, form, out, force=force)
    click.echo(f"{out}: {len(dominoes)} dominoes")


@main.command()
@click.argument("dataset", required=False, type=click.Path(path_type=Path))
@_dataset_options
@_training_options
@click.option(
    "--seeds", default="0", show_default=True, metavar="LIST", help="Seeds of initialisation and order, one run each: 0-4 or 0,3,7."
)
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="CPU threads; the last digits depend on it.")
@deterministic_option
@_data
@_download
@_out("Results folder; finished runs in it are kept and not run again.")
def train(
    dataset: Path | None,
    seeds: str,
    device: str,
    threads: int,
    deterministic: bool,
    data: Path | None,
    download: bool,
    out: Path,
    **options: Any,
) -> None:
    """Train a network on DATASET for each seed and write its learning curves.

    DATASET is a folder made by build, a YAML file, or absent where flags say it all. Each run goes to OUT/runs/ID, with curves.csv,
    classes.csv, confusion.npz, spec.json and environment.json.
    """
    from dominoes import deal, folder

    how = parse(TrainSpec, _fields(options, "train_"))
    numbers = _seeds(seeds)
    if dataset is not None and dataset.is_dir():
        if _fields(options, "spec_"):
            given = ", ".join(f"--{name.replace('_', '-')}" for name in _fields(options, "spec_"))
            raise SpecError(f"{dataset} is a dataset folder and has its spec; got {given} too, leave them out or build another dataset")
        dealt = folder.read(dataset, data=data, download=download)
    else:
        dealt = deal.make(_spec(dataset, options), data=data, download=download)
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

    from dominoes import run
    from dominoes.dataset import probes
    from dominoes.training import device_of

    where = device_of(device)
    tests = probes(dealt.spec, how.probe, how.probe_seed, data=data, download=download)
    for seed in seeds:
        spec = RunSpec(dataset=dealt.spec, train=how, seed=seed)
        with tqdm(desc=f"seed {seed}", unit="step", disable=None, leave=False, file=sys.stderr) as bar:

            def step(number: int, steps: int, bar: Any = bar) -> None:
                bar.total = steps
                bar.update(number - bar.n)

            outcome = run.execute(spec, dealt, tests, out, device=where, threads=threads, deterministic=deterministic, progress=step)
        yield outcome, spec


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d{1,15})(?:-(\d{1,15}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + 10_000:
            raise SpecError(f"--seeds: expected whole numbers such as 0-4 or 0,3,7, at most 10,000 in a range, got '{text}'")
        found += range(first, last + 1)
    if len(set(found)) < len(found):
        raise SpecError(f"--seeds: expected different numbers, got '{text}'")
    return found


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
@click.option("--source", metavar="SPEC", help="Source to measure: a name or a path.")
@click.option("--transform", "transforms", multiple=True, metavar="NAME=VALUE", help="What is done to its pictures; repeatable, in order.")
@click.option("--side", type=click.Choice(SIDES), help="Half on which it is shown; the other is blank.  [default: top]")
@click.option(
    "--sweep",
    "sweep_file",
    type=click.Path(path_type=Path),
    help="Instead: every look of a side that differs between this sweep's runs, and its training.",
)
@_training_options
@click.option("--n", type=click.IntRange(min=1), help="Training pictures to use at most, drawn by seed.  [default: all]")
@click.option(
    "--seeds", default="0-4", show_default=True, metavar="LIST", help="Seeds of the labels' order, of initialisation and training."
)
@click.option("--level", default=0.95, show_default=True, help="Level of the intervals over seeds.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at once.  [default: one for each core, or GPU]")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train.")
@_data
@_download
@_out("Table to write (.csv).")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def simplicity(
    source: str | None,
    transforms: tuple[str, ...],
    side: str | None,
    sweep_file: Path | None,
    n: int | None,
    seeds: str,
    level: float,
    workers: int | None,
    device: str,
    data: Path | None,
    download: bool,
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how simple one half alone is to a network: the yardstick beside the dials.

    Code length of the labels in nats, samples until half and 90 % of the ceiling are reached, the ceiling, and the share of it that
    a linear model reaches; with intervals over seeds. One epoch, unless --epochs or the sweep says otherwise.
    """
    from tqdm import tqdm

    from dominoes import engines, files
    from dominoes import simplicity as yardstick

    if (source is None) == (sweep_file is None) or (sweep_file is not None and (transforms or side)):
        raise SpecError("expected --source SPEC (with --transform and --side), or --sweep FILE alone; pass one of them")
    if out.is_dir():
        raise OutputError(f"--out {out} is a folder; expected the name of a table to write (.csv)")
    given = _fields(options, "train_")
    if sweep_file is not None:
        from dominoes.sweep import read

        looks, how = yardstick.looks(read(sweep_file).runs)
        how = parse(TrainSpec, how.model_dump() | given)
    else:
        looks = [(str(source), parse(DominoSpec, {"top_transform": transforms}, where="--transform").top_transform, side or SIDES[0])]
        how = parse(TrainSpec, {"epochs": yardstick.EPOCHS} | given)
    settings = [yardstick.Setting(*look, how, n, data, download, device) for look in looks]
    with tqdm(unit="task", disable=None, leave=False, file=sys.stderr) as bar:

        def step(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        table = yardstick.measure(settings, _seeds(seeds), workers=workers or engines.workers_here(device), level=level, progress=step)
    text = table.to_csv(index=False, lineterminator="\n")
    files.write(out, text)
    click.echo(table.to_json(orient="records", indent=1) if as_json else "\n".join([*yardstick.sentences(table), str(out)]))


@main.command()
@_out("Results folder.")
@click.option("--seeds", default="0-1", show_default=True, metavar="LIST", help="Seeds, one run each.")
def demo(out: Path, seeds: str) -> None:
    """The whole way on pictures that come with the package (digits over textures): solve, build, train, compare, report. Under a minute."""
    import pandas as pd

    from dominoes import comparison, curves, deal, figures, files, fitting, folder, learning, report, results, run

    spec = DominoSpec(prevalence=(0.65, 0.65), top="digits", bottom="textures")
    how = TrainSpec(epochs=8, batch=32, measurements=25, probe=340)
    dealt = deal.make(spec)
    folder.save(dealt, out / "dataset", force=True)
    outcomes = [outcome for outcome, _ in _runs(dealt, how, _seeds(seeds), out, "cpu", 1, True, None, False)]
    table = pd.concat([outcome.curves for outcome in outcomes], ignore_index=True)
    curves.write(table, out / "curves.csv")
    fits = fitting.fit_table(table, families=("logistic", "logistic-log"), chance=1 / dealt.composition.stock.classes)
    files.write(out / results.FITS, fits.to_csv(index=False, lineterminator="\n"))
    found = comparison.compare(run.joined(out), run.joined(out, form="classes"))
    files.write(out / results.COMPARISON, found.table.to_csv(index=False, lineterminator="\n"))
    shown = results.gather([out])
    figures.draw(learning.one_sided(shown), out / "curves.png")
    report.write(shown, out / "report.html")
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
