"""The commands of studies: their headline numbers, how they are kept, and their run again. Like `commands`, it prints and knows click."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options, output, theory
from dominoes.cli.heartbeat import heartbeat
from dominoes.errors import SpecError, counted

if TYPE_CHECKING:
    import pandas as pd

    from dominoes.runs.engines.protocol import RunReport
    from dominoes.runs.plan import Plan


@click.command()
@click.argument("curves", type=options.RESULTS)
@click.option(
    "--comparison", type=options.PATH, help="Table of 'dominoes compare --sweep'.  [default: comparison.csv beside CURVES, if it is there]"
)
@click.option("--by", multiple=True, metavar="COLUMN", help="Columns that tell points apart; repeatable.  [default: all that differ]")
@click.option(
    "--classes",
    type=click.IntRange(min=2),
    help="K; an onset is counted from chance, 1/K.  [default: that of the runs, or the labels of classes.csv beside CURVES; else 10]",
)
@options.out("Table of numbers to write (.csv or .parquet).", table=True)
@options.left_out
def headlines(curves: Path, comparison: Path | None, by: tuple[str, ...], classes: int | None, out: Path, partial: bool) -> None:
    """The numbers that a study is known by, from CURVES: a table of curves, a folder that holds one, or a folder of runs.

    At every point of the sweep: late test accuracy of the top, the bottom and both, shares of conflicts answered with each half's class,
    how much higher late accuracy is on training dominoes, onsets; means with 95 % intervals over seeds. Where deals, seeds and probes are
    crossed, their variance components; contrasts that contrasts.yaml beside CURVES states. Then what the comparison estimated.
    """
    from dominoes import tables
    from dominoes.studies import contrasts, headline_numbers
    from dominoes.theory.verdict_table import read_comparison

    folder = curves if curves.is_dir() else curves.parent
    if curves.is_dir():
        curves = next((curves / name for name in ("curves.csv", "curves.parquet") if (curves / name).is_file()), curves)
    near = folder / "comparison.csv"
    path = comparison or (near if near.is_file() else None)
    forms = ("curves",) if classes or curves.is_dir() else ("curves", "classes")
    output.check_places({"--out": out}, (*theory.files_of(curves, forms), path, folder / contrasts.CONTRASTS_FILE))
    judged = None if path is None else read_comparison(path)
    damaged: dict[str, str] = {}
    read = theory.read_results(curves, damaged, forms)
    table, notes = tables.mended(read.curves)
    known = classes or read.count_of_classes() or read.classes_of
    for note in (
        notes if known else (*notes, "the number of classes is not known (no table of classes): 10 was taken; --classes says another")
    ):
        click.echo(f"Note: {note}", err=True)
    if judged is not None and not len(headline_numbers.of_comparison(judged)):
        click.echo(f"Note: {path} has no estimate across points, so none is taken: 'dominoes compare --sweep' makes such a table", err=True)
    asked = contrasts.read_contrasts(folder)
    found = headline_numbers.headlines(
        table, judged, contrasts=asked, classes=read.classes_by_run(table["run"].unique(), classes), by=by or None
    )
    for note in found.attrs[headline_numbers.NOTES]:
        click.echo(f"Note: {note}", err=True)
    output.write_output(out, found)
    counts = ", ".join(f"{count} of {part}" for part, count in found["part"].value_counts(sort=False).items())
    output.say(out, f"{out}: {counted(len(found), 'number')} ({counts})")
    output.incomplete(output.damaged(damaged), accepted=partial)


@click.command()
@click.argument("folder", type=options.PATH)
@options.out("Folder of the study; other files in it, such as a README, stay.")
@options.partial("Accept that runs which are missing, damaged or not finished are left out.")
def keep(folder: Path, out: Path, partial: bool) -> None:
    """Keep the finished runs of results FOLDER as a study: curves (Parquet, a row a curve), runs, verdicts, headline numbers, a figure.

    What it writes is small enough for a repository, and read by compare, plot, report, headlines and leaderboard.
    """
    from dominoes.runs import plan
    from dominoes.studies import keeping

    found = keeping.keep_study(plan.load_plan(folder), folder, out)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    size = sum(path.stat().st_size for path in found.files)
    click.echo(f"{out}: {counted(found.exported.runs, 'run')}, {', '.join(path.name for path in found.files)} ({size / 1e3:.0f} kB)")
    missing = found.exported.missing - len(found.exported.damaged)
    left = [f"left out: {missing} runs of the sweep are not finished; 'dominoes sweep status {folder}' tells of them"] if missing else []
    output.incomplete(output.damaged(found.exported.damaged) + left, accepted=partial)


@click.command()
@click.argument("name")
@click.option(
    "--scale",
    metavar="SHARE",
    help="Share of a study's cost, such as 1/10; what is cut is said. Of a protocol small or 1.  [default: 1; of a protocol small]",
)
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="Results folder; what is finished in it is not run again.  [default: results/reproduced/NAME]",
)
@click.option("--kept", type=options.PATH, metavar="DIR", help="Folder of the kept study.  [default: the one that comes with the package]")
@click.option(
    "--write-up",
    type=options.PATH,
    metavar="DIR",
    help="Of a protocol: folder with a README.md whose section on it is written anew, and whose NAME/ takes the tables.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Runs at once.  [default: one for each core, or GPU]")
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="local: this machine; ray: a cluster; or another.")
@click.option("--all", "everything", is_flag=True, help="Print every number, not only those that do not agree.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@options.device()
@options.accept_changed
@options.trust
@options.data
@options.download
def reproduce(
    name: str,
    scale: str | None,
    out: Path | None,
    kept: Path | None,
    write_up: Path | None,
    workers: int | None,
    engine: str,
    everything: bool,
    as_json: bool,
    device: str,
    accept_changed: bool,
    trust: bool,
    data: Path | None,
    download: bool,
) -> None:
    """Run a study again and hold its numbers against those that are kept, or a published protocol against what was published.

    NAME is a study or protocol that comes with the package ('dominoes reproduce list' names them), the path of a protocol of one's own,
    or that of a sweep file with --kept. Old and new stand side by side; a number agrees where the interval of the difference lies within
    a stated margin, differs where it lies outside, else one cannot tell. Exit code 1 if a number of a study differs.
    """
    from dominoes.studies import agreement, protocols, reproduction, scaling, shipped
    from dominoes.theory.intervals import NOT_APPLICABLE

    if name == "list":
        click.echo("\n".join((*shipped.shipped_names(shipped.STUDIES), *shipped.shipped_names(shipped.PUBLISHED))))
        return
    where = out or Path("results") / "reproduced" / Path(name).stem
    if protocols.is_named(name):
        setting = {"device": device, "data": None if data is None else data.resolve(), "download": download}
        runs = {"workers": workers, "engine": engine, "accept_changed": accept_changed, "trust": trust}
        _published(name, where, scale or "small", write_up, as_json, setting, runs)
        return
    if write_up is not None:
        raise SpecError("--write-up is of published protocols; a study is kept with 'dominoes sweep keep'")
    with _Progress(quiet=as_json) as shown:
        found = reproduction.reproduce(
            name,
            where,
            scale=scaling.share(scale or "1"),
            kept=kept,
            engine=engine,
            workers=workers,
            device=device,
            data=data,
            download=download,
            trust=trust,
            accept_changed=accept_changed,
            started=shown.start,
            progress=shown.step,
        )
    output.write_output(where / reproduction.AGREEMENT, found.table)
    output.write_output(where / reproduction.HEADLINES, found.headlines)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    if as_json:
        click.echo(found.table.to_json(orient="records", indent=1))
    else:
        shown_rows = found.table if everything else found.table[~found.table["verdict"].isin([agreement.AGREES, agreement.NO_MARGIN])]
        if len(shown_rows):
            click.echo(_side_by_side(shown_rows))
        words = [agreement.AGREES, agreement.DIFFERS, agreement.CANNOT_TELL, agreement.NO_MARGIN]
        words += [NOT_APPLICABLE] if found.count(NOT_APPLICABLE) else []
        counts = ", ".join(f"{found.count(word)} {word}" for word in words)
        rest = "" if everything else "; all lines: --all"
        click.echo(f"{found.name}: {len(found.table)} numbers: {counts} ({where / reproduction.AGREEMENT}{rest})")
    if found.count(agreement.DIFFERS):
        sys.exit(1)


def _published(name: str, out: Path, scale: str, folder: Path | None, as_json: bool, setting: dict[str, Any], runs: dict[str, Any]) -> None:
    """A published protocol: its numbers beside ours."""
    from tabulate import tabulate

    from dominoes.runs.engines.protocol import WorkerSetting
    from dominoes.studies import protocols, published, write_up
    from dominoes.theory.intervals import number

    if scale not in ("small", "1"):
        raise SpecError(f"--scale: a published protocol has two scales, small and 1, got '{scale}'")
    about = protocols.named_protocol(name).about
    which = protocols.FULL if scale == "1" else protocols.SMALL
    with _Progress(quiet=as_json) as shown:
        table, found = published.reproduce_protocol(
            name, out, scale=which, setting=WorkerSetting(out, **setting), started=shown.start, progress=shown.step, **runs
        )
    output.write_output(out / "published.csv", table)
    output.write_output(out / "values.csv", found)
    if folder is not None:
        click.echo(str(write_up.keep_protocol(name, which, out, folder)), err=True)
    if as_json:
        click.echo(table.to_json(orient="records", indent=1))
        return
    rows = []
    for row in table.to_dict("records"):
        ends = dict.fromkeys(number(row[end]) for end in ("published_low", "published_high") if row[end] == row[end])
        ours = _interval(row["estimate"], row["low"], row["high"]) if row["n_seeds"] else ""
        off = _interval(row["difference"], row["difference_low"], row["difference_high"]) if row["difference"] == row["difference"] else ""
        rows.append((row["verdict"], row["number"], " to ".join(ends) or "not published", ours, off))
    click.echo(f"{about.title}\n{about.source}")
    click.echo(tabulate(rows, ("verdict", "number", "published", "ours", "ours - published"), disable_numparse=True))
    notes = [*about.differs, *([f"at the small scale: {about.small_scale}"] if which == protocols.SMALL else [])]
    click.echo("\n".join(f"differs: {note}" for note in notes))


def _side_by_side(table: pd.DataFrame) -> str:
    from tabulate import tabulate

    from dominoes.theory.intervals import number

    rows = []
    for row in table.to_dict("records"):
        ends = [_interval(*(row[f"{head}{tail}"] for tail in ("", "_low", "_high"))) for head in ("old", "new", "difference")]
        margin = (
            ""
            if row["margin"] != row["margin"]
            else f"× {number(row['margin'])}"
            if row["scale"] == "ratio"
            else f"± {number(row['margin'])}"
        )
        rows.append((row["verdict"], row["point"], row["quantity"], *ends, margin, row["reason"]))
    head = ("verdict", "point", "number", "old", "new", "new - old (ratio)", "margin", "reason")
    # Few numbers need a reason: without one there is no column of them.
    shown = len(head) - (not any(row[-1] for row in rows))
    return tabulate([row[:shown] for row in rows], head[:shown], disable_numparse=True)


def _interval(estimate: float, low: float, high: float) -> str:
    from dominoes.theory.intervals import number

    if estimate != estimate:
        return ""
    return number(estimate) if low != low else f"{number(estimate)} ({number(low)} to {number(high)})"


class _Progress:
    """Runs as they end: a bar on a terminal, a line now and then in a log."""

    def __init__(self, *, quiet: bool):
        self._quiet = quiet
        self._ended = self._total = 0
        self._name = ""
        self._bar: Any = None
        self._beat = heartbeat(lambda: f"{self._name}: {self._ended} of {self._total} runs ended" if self._name else "planning")

    def __enter__(self) -> _Progress:
        from tqdm import tqdm

        self._bar = tqdm(unit="run", disable=None, file=sys.stderr)
        self._beat.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        self._beat.__exit__(*reason)
        self._bar.close()

    def start(self, planned: Plan, missing: int) -> None:
        self._name, self._total = planned.name, missing
        self._bar.reset(total=missing)
        if not self._quiet:
            click.echo(f"{planned.name}: {counted(len(planned.runs), 'run')}, {len(planned.runs) - missing} done before")

    def step(self, report: RunReport) -> None:
        self._ended += 1
        self._bar.update(1)
