"""The command of the yardstick of simplicity."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dominoes.cli import options, output
from dominoes.cli.heartbeat import heartbeat
from dominoes.errors import OutputError, SpecError
from dominoes.spec import SIDES, DominoSpec, TrainSpec, parse


@click.command()
@click.option("--source", metavar="SPEC", help="Source to measure: a name or a path.")
@click.option("--transform", "transforms", multiple=True, metavar="NAME=VALUE", help="What is done to its pictures; repeatable, in order.")
@click.option("--side", type=click.Choice(SIDES), help="Half on which it is shown; the other is blank.  [default: top]")
@click.option(
    "--sweep-file",
    type=options.PATH,
    help="Instead: every look of a side that differs between this sweep's runs, and its training.",
)
@options.training(epochs="1, or the sweep's", measurements="60, or the sweep's", probe="1000, or the sweep's")
@click.option("--n", type=click.IntRange(min=1), help="Training pictures to use at most, drawn by seed.  [default: all]")
@click.option(
    "--seeds", default="0-4", show_default=True, metavar="LIST", help="Seeds of the labels' order, of initialisation and training."
)
@click.option("--level", default=0.95, show_default=True, help="Level of the intervals over seeds.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at once.  [default: one for each core, or GPU]")
@options.device("cpu")
@options.data
@options.download
@options.out("Table to write (.csv or .parquet).", table=True)
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
    **given: Any,
) -> None:
    """Measure how simple one half alone is to a network: the yardstick beside the dials.

    Code length of the labels in nats, samples until half and 90 % of the ceiling are reached, the ceiling, and the share of it that
    a linear model reaches; with intervals over seeds. One epoch, unless --epochs or the sweep says otherwise.
    """
    from tqdm import tqdm

    from dominoes.runs.engines import local
    from dominoes.yardstick import measurement as yardstick

    if (source is None) == (sweep_file is None) or (sweep_file is not None and (transforms or side)):
        raise SpecError("expected --source SPEC (with --transform and --side), or --sweep-file FILE alone; pass one of them")
    if out.is_dir():
        raise OutputError(f"--out {out} is a folder; expected the name of a table to write (.csv)")
    output.check_places({"--out": out}, (sweep_file, Path(str(source).partition("#")[0])))
    chosen = options.given_fields(given, "train_")
    if sweep_file is not None:
        from dominoes.runs.sweep_file import read_sweep_file

        looks, how = yardstick.looks(read_sweep_file(sweep_file).runs)
        how = parse(TrainSpec, how.model_dump() | chosen)
    else:
        looks = [(str(source), parse(DominoSpec, {"top_transform": transforms}, where="--transform").top_transform, side or SIDES[0])]
        how = parse(TrainSpec, {"epochs": yardstick.EPOCHS, "measurements": yardstick.MEASUREMENTS} | chosen)
    settings = [yardstick.YardstickTask(*look, how, n, data, download, device) for look in looks]
    counted = [0, 0]
    with (
        heartbeat(lambda: f"{counted[0]} of {counted[1] or 'all'} tasks are done"),
        tqdm(unit="task", disable=None, leave=False, file=sys.stderr) as bar,
    ):

        def step(done: int, of: int) -> None:
            counted[:] = done, of
            bar.total = of
            bar.update(done - bar.n)

        table = yardstick.measure(settings, options.seeds(seeds), workers=workers or local.workers_here(device), level=level, progress=step)
    output.write_output(out, table)
    output.say(out, table.to_json(orient="records", indent=1) if as_json else "\n".join([*yardstick.sentences(table), str(out)]))
