"""The commands of the theory: toy curves, fits, the comparison of theory and curves, and the yardstick of simplicity. Like `commands`, it
prints and knows click."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dominoes.cli import options, output
from dominoes.errors import CurvesError, FitError, RunError, counted

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.option("--preset", default="double-descent", show_default=True, metavar="NAME", help="double-descent or grokking.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=X", help="Change a value: ceiling.1=0.5, usage=equal, classes=10. Repeatable."
)
@click.option("--until", default=400.0, show_default=True, help="Last time.")
@click.option("--points", default=401, show_default=True, type=click.IntRange(min=2), help="Points in time, evenly spaced from 0.")
@options.out("Table to write (.csv or .parquet).", table=True)
@click.option("--plot", type=options.PATH, help="Figure of the curves to write (.png, .svg, .pdf).")
def toy(preset: str, settings: tuple[str, ...], until: float, points: int, out: Path, plot: Path | None) -> None:
    """Curves of the pattern-learning model (Davies, Langosco and Krueger 2023) from its parameters."""
    import numpy as np
    import pandas as pd

    from dominoes.theory import pattern_model

    output.check_places({"--out": out, "--plot": plot})
    model = pattern_model.change(pattern_model.preset(preset), dict(_setting(text) for text in settings))
    if not (np.isfinite(until) and until > 0):
        raise FitError(f"--until {until}: expected a time above 0")
    columns = pattern_model.model_table(model, np.linspace(0, until, points))
    if plot is not None:
        from dominoes.reporting import stills

        stills.draw_toy(columns, plot)
    output.write_output(out, pd.DataFrame(columns))
    test, t = columns["test_accuracy"], columns["t"]
    peak = int(test.argmax())
    dip = peak + int(test[peak:].argmin())
    half = f"first at .5 by t = {t[(test >= 0.5).argmax()]:g}" if (test >= 0.5).any() else "never at .5"
    falls = f", then lowest {test[dip]:.3f} at t = {t[dip]:g}" if dip > peak else ""
    output.say(out, f"{out}: test accuracy {half}, highest {test[peak]:.3f} at t = {t[peak]:g}{falls}, at the end {test[-1]:.3f}")
    if plot is not None:
        output.say(out, str(plot))


def _setting(text: str) -> tuple[str, float | str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise FitError(f"--set {text}: expected NAME=VALUE, such as ceiling.1=0.5")
    return name, value


@click.command()
@click.argument("curves", type=options.RESULTS)
@click.option("--family", "families", multiple=True, metavar="NAME", help="Only this family of curves; repeatable.  [default: all]")
@click.option("--metric", "metrics", multiple=True, type=click.Choice(["loss", "accuracy"]), help="Only this metric.  [default: both]")
@click.option(
    "--classes",
    type=click.IntRange(min=2),
    help="K; chance is 1/K, and ln K for the loss.  [default: the labels of the runs' classes.csv, or of the one beside CURVES; else 10]",
)
@options.out("Table of fits to write (.csv or .parquet).", table=True)
@options.left_out
@click.option("--json", "as_json", is_flag=True, help="Print the fits as JSON.")
def fit(
    curves: Path, families: tuple[str, ...], metrics: tuple[str, ...], classes: int | None, out: Path, partial: bool, as_json: bool
) -> None:
    """Fit every learning curve of CURVES (a table, or a folder of runs) with every family, one row each."""
    from dominoes.theory.fits import curve
    from dominoes.theory.fits.table import fit_table

    damaged: dict[str, str] = {}
    forms = ("curves",) if classes or curves.is_dir() else ("curves", "classes")
    output.check_places({"--out": out}, files_of(curves, forms))
    read = read_results(curves, damaged, forms)
    table, named = read.curves, "run" in read.curves.columns
    counts = read.classes_by_run(table["run"].unique() if named else [""], classes)
    chance = {run: 1 / count for run, count in counts.items()} if named else 1 / counts[""]
    found = fit_table(table, families=families or curve.SHAPES, metrics=metrics or curve.METRICS, chance=chance, name=str(curves))
    output.write_output(out, found)
    for told in found.attrs["notes"]:
        click.echo(f"Note: {told}", err=True)
    if as_json:
        output.say(out, found.to_json(orient="records", indent=1))
        output.incomplete(output.damaged(damaged), accepted=partial)
        return
    left = found.attrs["left_out"]
    several = sorted({*counts.values()})
    note = f"; chance is that of each run's classes ({', '.join(map(str, several))})" if len(several) > 1 else ""
    note += f"; columns that vary within a run are left out: {', '.join(left)}" if left else ""
    output.say(
        out, f"{out}: {counted(len(found), 'fit')}, {int((found['status'] == 'not learned').sum())} of curves that are not learned{note}"
    )
    output.incomplete(output.damaged(damaged), accepted=partial)


@click.command()
@click.argument("curves", type=options.RESULTS)
@click.option(
    "--class-table", "by_class", type=options.PATH, help="Table by class (classes.csv).  [default: the runs' own, or the one beside CURVES]"
)
@click.option("--sweep", is_flag=True, help="Compare across the runs' differing parameters: laws, competition, points left out.")
@click.option(
    "--simplicity",
    "yardsticks",
    type=options.PATH,
    multiple=True,
    help="With --sweep: table of 'dominoes simplicity', or of 'llc --restrict'; repeatable.  [default: simplicity.csv beside CURVES, or in "
    "them]",
)
@click.option("--by", multiple=True, metavar="COLUMN", help="Columns that set groups of runs apart.  [default: all that differ]")
@click.option("--level", default=0.95, show_default=True, help="Level of the intervals.")
@click.option(
    "--classes",
    "classes_count",
    type=click.IntRange(min=2),
    help="K; chance is 1/K.  [default: that of the runs, or the labels of the table by class; else 10]",
)
@click.option(
    "--joint",
    "crossed",
    type=options.PATH,
    help="Answers picture by picture (joint.csv).  [default: the runs' own, or the one beside CURVES]",
)
@click.option(
    "--rule", "rules", multiple=True, metavar="NAME", help="Set this rule against the built-in ones too: module:attr; repeatable."
)
@click.option("--question", "questions", multiple=True, metavar="NAME", help="Ask this too: module:attr; repeatable.")
@options.out("Table of verdicts to write (.csv or .parquet).", table=True)
@options.left_out
@click.option("--all", "everything", is_flag=True, help="Print every verdict, not only the five headlines.")
@click.option("--json", "as_json", is_flag=True, help="Print the headlines and verdicts as JSON.")
@click.option(
    "--plot",
    type=options.PATH,
    help="Figure to write (.png, .svg, .pdf): the judged ratios over time, of one group of runs; of a sweep onsets against the yardstick.",
)
def compare(
    curves: Path,
    by_class: Path | None,
    sweep: bool,
    yardsticks: tuple[Path, ...],
    by: tuple[str, ...],
    level: float,
    classes_count: int | None,
    crossed: Path | None,
    rules: tuple[str, ...],
    questions: tuple[str, ...],
    out: Path,
    partial: bool,
    everything: bool,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Ask whether the pattern-learning model predicts CURVES (a folder of runs, or a table), and which rival does.

    Five headlines say what was learned first and when, what becomes of doubles and of conflicts, whether one half suffers for the other,
    and which rule predicts it. With --all, every verdict follows: holds, fails or cannot tell (the interval over seeds lies within the
    margin of agreement, outside it, or reaches across), or not applicable.
    """
    from dominoes import tables
    from dominoes.theory.comparison import QUESTIONS, compare_groups
    from dominoes.theory.sweep_comparison import compare_sweep, of_points
    from dominoes.theory.verdicts import join_comparisons

    damaged: dict[str, str] = {}
    forms = ("curves", *(() if by_class else ("classes",)), *(() if crossed else ("joint",)))
    near = _yardsticks_near(curves, yardsticks) if sweep else ()
    output.check_places({"--out": out, "--plot": plot}, (*files_of(curves, forms), by_class, crossed, *near))
    read = read_results(curves, damaged, forms)
    table, classes = read.curves, tables.read_unchecked(by_class, form="classes") if by_class else read.by_class
    # A table of classes has them as its labels.
    count = classes_count or (read.classes if classes is None else None)
    measured = _yardsticks(near)
    if sweep and (rules or questions):
        raise CurvesError("--rule and --question are of the comparison of each group; leave out --sweep")
    if sweep and plot is not None and measured is None:
        raise CurvesError("--plot of a sweep draws onsets against a yardstick; pass --simplicity with a table of it, or leave out --plot")
    joint = tables.read_table(crossed, form="joint") if crossed else read.joint
    if sweep:
        found = compare_sweep(table, classes, by=by or None, level=level, simplicity=measured, classes_count=count)
        found = join_comparisons([found, *of_points(table, classes, by or None, level, joint=joint, classes_count=count)])
    elif yardsticks:
        raise CurvesError("--simplicity is read with --sweep; pass both, or neither")
    else:
        asked = (*QUESTIONS, *questions)
        found = compare_groups(table, classes, joint=joint, by=by or None, classes_count=count, level=level, questions=asked, rules=rules)
    if plot is not None and measured is None and found.bands["group"].nunique() > 1:
        raise CurvesError("--plot draws one group of runs, these are several; pass the curves of one spec")
    if plot is not None and measured is not None:
        from dominoes.reporting import stills
        from dominoes.reporting.charts import learning
        from dominoes.reporting.charts import sweep as sweep_charts
        from dominoes.theory.questions import simplicity as yardsticks_of

        chart = sweep_charts.onsets_chart(yardsticks_of.onsets(table, classes, measured, by or None), learning.probes_text(table))
        stills.draw_chart(chart, plot)
    elif plot is not None:
        from dominoes.reporting import stills
        from dominoes.theory.verdicts import Margins

        stills.draw_bands(found.bands, Margins().ratio, plot)
    output.write_output(out, found.table)
    rest = [f"{'verdicts':<15}{found.counted()} ({out}; all lines: --all)", *found.noted()]
    lines = found.lines() if everything else [*found.headlines(), *rest]
    output.say(out, json.dumps(found.as_json(), indent=1) if as_json else "\n".join(lines))
    output.incomplete(output.damaged(damaged), accepted=partial)


def _yardsticks_near(curves: Path, given: tuple[Path, ...]) -> tuple[Path, ...]:
    """Tables of simplicity: those given, else the one that lies with the curves."""
    near = curves / "simplicity.csv" if curves.is_dir() else curves.with_name("simplicity.csv")
    return given or ((near,) if near.is_file() else ())


def _yardsticks(paths: tuple[Path, ...]) -> pd.DataFrame | None:
    """Measurements of simplicity, of several tables as one."""
    import pandas as pd

    from dominoes.tables import LLC, read_llc, read_simplicity
    from dominoes.theory.questions.simplicity import of_coefficients

    def is_llc(path: Path) -> bool:
        try:
            return set(LLC) <= set(pd.read_csv(path, nrows=0))
        except (OSError, ValueError):
            return False

    coefficients = [read_llc(path) for path in paths if is_llc(path)]
    found = [read_simplicity(path) for path in paths if not is_llc(path)]
    # Together, since several tables may hold localisations of the same settings.
    found += [of_coefficients(pd.concat(coefficients, ignore_index=True))] if coefficients else []
    return pd.concat(found, ignore_index=True) if found else None


def _note_plan(folder: Path, read: Set[str], damaged: Mapping[str, str]) -> None:
    """Say where the runs that were read are not those of the sweep's plan."""
    from dominoes.runs import plan

    if plan.record(folder) is None:
        return
    try:
        planned = {*plan.outline(folder).runs.to_pylist()}
    except RunError as error:
        click.echo(f"Note: {error}", err=True)
        return
    if missing := len(planned - read - {*damaged}):
        click.echo(f"Note: {missing} of {len(planned)} runs of the sweep are not finished; the others are read", err=True)
    if further := len(read - planned):
        click.echo(f"Note: {further} runs are read that are no longer in the sweep file", err=True)


@dataclass(frozen=True)
class ResultTables:
    """What is read of CURVES: curves, by class, crossed answers, and the number of classes where runs or a kept study say it: one of all,
    or by run where they differ."""

    curves: pd.DataFrame
    by_class: pd.DataFrame | None
    joint: pd.DataFrame | None
    classes: int | None
    classes_of: Mapping[str, int] = field(default_factory=dict)

    def count_of_classes(self) -> int | None:
        """K, from the runs or from the labels by class; None where neither says it."""
        from dominoes.labels import count_classes

        labels = 0 if self.by_class is None or "label" not in self.by_class else count_classes(self.by_class["label"])[0]
        return self.classes or (labels if labels > 1 else None)

    def classes_by_run(self, runs: Iterable[object], given: int | None = None) -> dict[str, int]:
        """K of every run: that given, else its own, else that of all labels, else 10."""
        from dominoes.labels import classes_of_runs

        one = given or self.classes
        own = {} if one else {**classes_of_runs(self.by_class), **self.classes_of}
        rest = one or self.count_of_classes() or 10
        return {run: own.get(run, rest) for run in map(str, runs)}


def files_of(path: Path, forms: tuple[str, ...]) -> list[Path]:
    """What `read_results` reads: a folder, or a table and those beside it."""
    return [path, *(path.with_name(f"{form}.csv") for form in forms if form != "curves" and not path.is_dir())]


def read_results(path: Path, damaged: dict[str, str], forms: tuple[str, ...] = ("curves", "classes", "joint")) -> ResultTables:
    """Tables as they are: joined runs of a folder, or a table that may have faults, which the comparison names, with those beside it.

    What is wrong with a run of the folder that is left out is put into `damaged`, by its id. Of a sweep's folder a note says which runs of
    its plan are not there, and which of those read are not in it.
    """
    from dominoes import tables
    from dominoes.folded import CLASSES_COUNT

    if path.is_dir():
        from dominoes.runs.parameters import read_tables

        found = read_tables(path, forms, damaged=lambda error: damaged.update({error.folder.name: error.problem}))
        _note_plan(path, {*found.table("curves")["run"].unique()}, damaged)
        return ResultTables(found.table("curves"), found.tables.get("classes"), found.tables.get("joint"), found.classes, found.classes_of)
    beside, joint = path.with_name("classes.csv"), path.with_name("joint.csv")
    by_class = tables.read_unchecked(beside, form="classes") if beside.is_file() and "classes" in forms else None
    crossed = tables.read_table(joint, form="joint") if joint.is_file() and "joint" in forms else None
    curves = tables.read_unchecked(path)
    return ResultTables(curves, by_class, crossed, curves.attrs.get(CLASSES_COUNT))
