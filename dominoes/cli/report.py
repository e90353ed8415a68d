"""The commands that show results: report and plot. Like `commands`, it prints and knows click."""

from __future__ import annotations

from pathlib import Path

import click

from dominoes.cli import options, output
from dominoes.errors import OutputError


@click.command()
@click.argument("paths", metavar="RESULTS...", nargs=-1, required=True, type=options.RESULTS)
@click.option("--out", type=options.PATH, help="Page to write (.html).")
@click.option("--fit", is_flag=True, help="Fit and compare here, where the results hold no fits.csv or comparison.csv.")
@click.option("--figures", "folder", type=options.PATH, metavar="DIR", help="Folder for every figure as a still, from the same numbers.")
@click.option("--format", "form", default="svg", show_default=True, type=click.Choice(["svg", "pdf", "png"]), help="Format of the stills.")
@click.option("--board", type=options.PATH, help="Board of a leaderboard to show.  [default: board.csv among RESULTS, if there]")
@click.option("--forecasts", type=options.PATH, help="Forecasts of the board.  [default: forecasts.parquet beside it, if there]")
@click.option("--edition", metavar="NAME|DIR", help="Edition that the board is of.  [default: by its name, beside it or of the package]")
@options.left_out
@click.option(
    "--data", type=options.PATH, help="Folder with the sources, for the preview.  [default: $DOMINOES_DATA, else the cache folder]"
)
def report(
    paths: tuple[Path, ...],
    out: Path | None,
    fit: bool,
    folder: Path | None,
    form: str,
    board: Path | None,
    forecasts: Path | None,
    edition: str | None,
    partial: bool,
    data: Path | None,
) -> None:
    """One page about RESULTS: a run's folder, folders of runs, a sweep's folder, or a table of curves.

    It is one file that needs no network: findings and curves first, then counts, pictures, theory, laws across the sweep, confusion, the
    leaderboard and all runs. Results may be unfinished or incomplete: the page says what is missing and shows the rest.
    """
    from dominoes.reporting import completion, results, sections
    from dominoes.reporting.charts import board as boards
    from dominoes.reporting.html import page

    if out is None and folder is None:
        raise OutputError("there is nothing to write; pass --out PAGE.html, or --figures DIR, or both")
    if out is not None:
        page.known_suffix(out)
    output.check_places({"--out": out}, (*(each for path in paths for each in _files_of(path)), board, forecasts))
    scores = boards.find_board(paths, board=board, forecasts=forecasts, edition=edition)
    found = results.gather(paths)
    found = completion.complete(found) if fit else found
    parts = page.write_page(found, out, data=data, board=scores) if out is not None else sections.sections(found, data=data, board=scores)
    if out is not None:
        count = found.curves["run"].nunique()
        click.echo(f"{out}: {len(sections.charts_of(parts))} figures of {count} run{'' if count == 1 else 's'} ({_size(out)})")
    if folder is not None:
        written = page.write_stills(parts, folder, form)
        click.echo(f"{folder}: {len(written)} files")
    output.incomplete(output.damaged(found.damaged), accepted=partial)


def _files_of(path: Path) -> list[Path]:
    """What a page is made of: results, and the tables in them or beside them."""
    names = ("curves.csv", "curves.parquet", "classes.csv", "runs.csv", "fits.csv", "comparison.csv", "simplicity.csv", "llc.csv")
    folder = path if path.is_dir() else path.parent
    return [path, *(folder / name for name in (*names, "board.csv", "forecasts.parquet"))]


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


@click.command()
@click.argument("results", type=options.RESULTS)
@click.option(
    "--figure",
    "name",
    metavar="NAME",
    help="Another figure: of the report by its name, installed, or module:attr.  [default: the one-sided curves]",
)
@click.option("--width", metavar="single|double|CM", help="Width of a paper's column (8.5 cm), of its page (17.4 cm), or centimetres.")
@click.option(
    "--style",
    type=click.Choice(["screen", "paper", "talk"]),
    help="Size of type and lines.  [default: paper with --width, else screen]",
)
@options.data
@options.left_out
@click.option("--out", required=True, type=options.PATH, help="Figure to write (.png, .svg or .pdf).")
def plot(results: Path, name: str | None, width: str | None, style: str | None, data: Path | None, partial: bool, out: Path) -> None:
    """Draw the one-sided learning curves of RESULTS, or another figure of its report; seeds of one spec make a band.

    In the style of a paper type is 7 to 8 points at the width that is given, the title is left to the caption, and fonts are embedded
    (Type 42).
    """
    from functools import partial as with_these

    from dominoes.reporting import brought, completion, sections, stills
    from dominoes.reporting import style as styles
    from dominoes.reporting.charts import board as boards
    from dominoes.reporting.charts import learning
    from dominoes.reporting.results import gather

    stills.known_format(out)
    styles.known_width(width)
    output.check_places({"--out": out}, _files_of(results))
    draw = with_these(stills.draw_chart, width=width, style=style or "")
    found = gather([results])
    if name is None:
        tall = draw(learning.one_sided_chart(found), out)
    elif brought.is_brought_figure(name):
        tall = draw(brought.chart(name, found), out)
    else:
        charts = sections.charts_of(sections.sections(completion.complete(found), data=data, board=boards.find_board([results])))
        if name not in charts:
            raise OutputError(f"--figure {name}: these results have no such figure; they have {', '.join(charts) or 'none'}")
        tall = draw(charts[name], out)
    if width is not None and tall > styles.PAGE:
        more = "draw fewer specs, or a figure of the whole sweep (--figure), or take a greater --width"
        click.echo(f"Note: the figure is {tall:.0f} cm tall, and a page has about {styles.PAGE:.0f}; {more}", err=True)
    # Values of a table that are not drawn; of a page they stand in it.
    for note in found.notes:
        if note.startswith(f"{Path(found.table).name}: "):
            click.echo(f"Note: {note}", err=True)
    click.echo(str(out))
    output.incomplete(output.damaged(found.damaged), accepted=partial)
