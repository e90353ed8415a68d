"""The commands of datasets: solve, build, verify, preview, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options, output
from dominoes.errors import SpecError, counted
from dominoes.mappings import read_mapping
from dominoes.spec import SIDES

if TYPE_CHECKING:
    from dominoes.solver.composition import Composition


@click.command()
@click.argument("spec", required=False, type=options.PATH)
@options.dataset
@options.data
@click.option("--stock", type=options.PATH, help="YAML or JSON file with the pictures of each class: top: [..], bottom: [..].")
@click.option("--json", "as_json", is_flag=True, help="Print the composition as JSON.")
@click.option("--sankey", type=options.PATH, help="Diagram of where the pictures go to write (.html, .png, .svg, .pdf).")
@options.trust
def solve(spec: Path | None, data: Path | None, stock: Path | None, as_json: bool, sankey: Path | None, trust: bool, **given: Any) -> None:
    """Turn a request (a YAML file SPEC, flags, or both) into exact counts.

    Any three independent ones of the two prevalences, --both, --empty and --ratio fix the rest.
    """
    from dominoes.data import sources
    from dominoes.solver import solution

    output.check_places({"--sankey": sankey}, (spec, stock))
    request = options.spec(spec, given, trust=trust)
    found = solution.solve(request, _read_stock(stock) if stock else sources.stock(request, data=data))
    if sankey is not None:
        from dominoes.reporting.html import page

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
        f"{counted(found.n, 'domino', 'dominoes')} of {counted(found.stock.classes, 'class', 'classes')}: "
        f"{spec.described(above)} over {spec.described(below)} ({spec.split.value})"
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


@click.command()
@click.argument("spec", required=False, type=options.PATH)
@options.dataset
@options.data
@options.download
@options.out("Dataset folder to make.")
@options.force
@options.trust
def build(spec: Path | None, data: Path | None, download: bool, out: Path, force: bool, trust: bool, **given: Any) -> None:
    """Solve a request, deal pictures to it and write a dataset folder (no pixels)."""
    from dominoes.data import dealing, folder, instances

    dealt = dealing.deal_spec(options.spec(spec, given, trust=trust), data=data, download=download)
    if given["spec_instance"] is not None:
        instances.refuse_other_rows(dealt.spec, folder.metadata(dealt.deal))
    folder.save_dataset(dealt, out, force=force)
    kinds = ", ".join(f"{count} {kind}" for kind, count in dealt.composition.kinds.items())
    click.echo(f"{out}: {dealt.composition.n} dominoes ({kinds})")


@click.command()
@click.argument("folder", type=options.PATH)
@options.data
@options.trust
def verify(folder: Path, data: Path | None, trust: bool) -> None:
    """Recompute every digest and count of a dataset FOLDER from its sources; exit 1 if anything differs."""
    from dominoes.data.folder import verify_dataset as differences

    found = differences(folder, data=data, trust=trust)
    for line in found[:20]:
        click.echo(line)
    if len(found) > 20:
        click.echo(f"... and {len(found) - 20} more")
    if found:
        click.echo(f"{folder}: {len(found)} difference{'s' if len(found) > 1 else ''}")
        sys.exit(1)
    click.echo(f"{folder}: every digest and every count holds")


@click.command()
@click.argument("folder", type=options.PATH)
@options.data
@options.out("Picture to write (.png, .svg or .pdf).")
@options.trust
def preview(folder: Path, data: Path | None, out: Path, trust: bool) -> None:
    """Draw examples of each kind of domino in a dataset FOLDER, right and wrong halves apart."""
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.folder import read_dataset
    from dominoes.reporting.charts import preview

    preview.draw_preview(Dominoes.of(read_dataset(folder, data=data, trust=trust)), out)
    click.echo(str(out))


@click.command()
@click.argument("folder", type=options.PATH)
@options.data
@click.option("--to", "form", required=True, type=click.Choice(["npz", "folder", "parquet"]), help="Form of the files.")
@options.out("File or folder to make.")
@options.force
@options.trust
def export(folder: Path, data: Path | None, form: str, out: Path, force: bool, trust: bool) -> None:
    """Write the pixels of a dataset FOLDER for other software."""
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.folder import read_dataset
    from dominoes.data.pixels import export_pixels as write

    dominoes = Dominoes.of(read_dataset(folder, data=data, trust=trust))
    write(dominoes, form, out, force=force)
    click.echo(f"{out}: {len(dominoes)} dominoes")
