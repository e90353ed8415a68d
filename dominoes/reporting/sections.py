"""The sections of a report, before they are a page or stills."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dominoes.data import dealing, sources
from dominoes.errors import CurvesError, DominoesError
from dominoes.reporting import completion
from dominoes.reporting.chart import Chart
from dominoes.reporting.charts import board as board_charts
from dominoes.reporting.charts import complexity, dealt, learning, preview, sweep
from dominoes.reporting.charts import theory as theory_charts
from dominoes.reporting.charts.board import ShownBoard
from dominoes.reporting.findings import findings
from dominoes.reporting.results import COMPARISON, FITS, MOST_GROUPS, Results, evenly_spread
from dominoes.reporting.tables import Table, asked, runs_table, verdict_table
from dominoes.solver.composition import Composition
from dominoes.solver.solution import solve
from dominoes.spec import DominoSpec
from dominoes.tables import as_csv

_MOST_PREVIEWS = 3


@dataclass(frozen=True)
class Image:
    """A picture of the page: its PNG, and the CSV that says what it shows."""

    name: str
    title: str
    caption: str
    png: bytes
    csv: str


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    short: str
    title: str
    text: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    images: tuple[Image, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[tuple[str, str], ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether there is anything to show but notes."""
        return bool(self.charts or self.tables or self.images or self.findings)


def sections(results: Results, *, data: Path | None = None, board: ShownBoard | None = None) -> list[Section]:
    """Everything that the results show, in the order of the page: findings and curves first. What is missing is a note of its section.

    Args:
        results: with or without fits and a comparison.
        data: folder with the sources, for the preview.
        board: scores of a leaderboard (`charts.board.find_board`), which get a section of their own.
    """
    results, why = completion.with_bands(results)
    found, notes, laws = sweep.judged(results)
    swept = Section("sweep", "Sweep", "Across the sweep", charts=tuple(found), notes=tuple(notes))
    learned = _learning(results, laws)
    theory = _theory(results, why, charts_of([learned, swept]))
    runs = Section("runs", "Runs", "Runs", "Every run that is known of, whatever became of it.", tables=(runs_table(results),))
    parts = [learned, _dealt(results, data), _preview(results, data), theory, swept, _confusion(results)]
    return [*parts, *([] if board is None else [board_section(board)]), runs]


def charts_of(parts: Iterable[Section]) -> dict[str, Chart]:
    """The charts of some sections by name."""
    return {chart.name: chart for section in parts for chart in section.charts}


def compositions(results: Results, *, data: Path | None = None) -> tuple[dict[str, Composition], list[str]]:
    """The solved dataset of each of the results' datasets, by title, and why others are missing. Each is held against the counts that
    its runs were trained on."""
    found: dict[str, Composition] = {}
    notes = []
    datasets = results.datasets()
    shown = evenly_spread(list(datasets), MOST_GROUPS)
    if len(shown) < len(datasets):
        notes.append(f"{len(shown)} of {len(datasets)} datasets are shown, evenly spread over the sweep")
    trained_on = {run.spec.dataset: run.environment["dominoes"]["kinds"] for run in reversed(results.runs) if run.spec and run.environment}
    for title in shown:
        spec = datasets[title]
        try:
            solved = solve(spec, sources.stock(spec, data=data))
        except DominoesError as error:
            notes.append(f"{title}: {error}")
            continue
        trained = trained_on.get(spec)
        if trained is not None and trained != solved.kinds:
            notes.append(f"{title}: its runs were trained on other counts ({trained}) than the solver now gives; it is left out")
        else:
            found[title] = solved
    return found, notes


def _dealt(results: Results, data: Path | None) -> Section:
    found, notes = compositions(results, data=data)
    if not results.datasets():
        notes.append("no run says what its dataset was asked to be (spec.json)")
    charts = (dealt.sankey(found),) if found else ()
    tables = (asked(found),) if found else ()
    return Section("dealt", "Dealt", "What was asked and what was dealt", charts=charts, tables=tables, notes=tuple(notes))


def _preview(results: Results, data: Path | None) -> Section:
    # Loads torch, whose memory comes on top: not before the tables of all runs have been gone through.
    from dominoes.data.dominoes import Dominoes

    images, notes = [], []
    different: dict[tuple[Any, ...], tuple[str, DominoSpec]] = {}
    for title, spec in results.datasets().items():
        # Datasets that differ in counts alone show the same pictures; the one with more unreliable halves shows more of what can be wrong.
        looks = {name: value for name, value in spec.identity().items() if name not in _COUNTS}
        key = (json.dumps(looks, sort_keys=True),)
        if key not in different or min(spec.reliability) < min(different[key][1].reliability):
            different[key] = title, spec
    for number, (title, spec) in enumerate(list(different.values())[:_MOST_PREVIEWS]):
        try:
            dominoes = Dominoes.of(dealing.deal_spec(spec, data=data))
        except DominoesError as error:
            notes.append(f"no preview of {title}: {error}")
            continue
        table = preview.preview_table(dominoes)
        caption = (
            f"{title}: the first dominoes of each kind, right and wrong halves apart, their label above them and how many there are beside "
            f"them; n = {len(dominoes)}; dealt anew from the run's spec; no seeds, no band."
        )
        name = "preview" if not number else f"preview-{number + 1}"
        csv = as_csv(table)
        images.append(Image(name, f"{spec.top} over {spec.bottom}", caption, preview.preview_png(dominoes), csv))
    if len(different) > _MOST_PREVIEWS:
        notes.append(f"{len(different)} datasets show different pictures; the first {_MOST_PREVIEWS} are shown")
    if not different:
        notes.append("no run says what its pictures were (spec.json)")
    return Section("pictures", "Preview", "What a domino looks like", images=tuple(images), notes=tuple(notes))


_COUNTS = ("n", "prevalence", "both", "empty", "ratio", "reliability", "labels", "reuse", "seed", "split")


def board_section(board: ShownBoard) -> Section:
    """A board's skills, and its forecasts beside what was measured."""
    text = "Which theory predicts these curves: 0 is to copy the nearest spec, 1 is what other seeds of the same spec predict."
    charts, notes = board_charts.charts(board)
    return Section("board", "Leaderboard", "Leaderboard of theories", text, tuple(charts), notes=tuple(notes))


def _learning(results: Results, laws: pd.DataFrame | None) -> Section:
    charts, notes = [], []
    if len(results.drawn) < len(results.groups):
        notes.append(
            f"the curves of {len(results.drawn)} of {len(results.groups)} specs are drawn, here and in the other figures of single specs, "
            "evenly spread over the sweep; the figures across the sweep are of all, and so is the runs' own table"
        )
    try:
        charts.append(learning.curves_chart(results))
    except CurvesError as error:
        notes.append(str(error))
    answers = learning.answers_chart(results)
    charts += [chart for chart in (answers, complexity.over_training(results)) if chart is not None]
    why = complexity.why_none(results)
    if why:
        notes.append(why)
    if len(results.curves) and results.fits is None:
        notes.append(f"no {FITS}, so no onset is marked")
    if len(results.curves) and (results.curves.drop_duplicates(["run", "step"])["run"].value_counts() < 3).any():
        notes.append("some runs were measured at fewer than three steps: that is hardly a curve")
    judged = [table for table in (results.judged, laws) if table is not None]
    found = findings(results, pd.concat(judged, ignore_index=True) if judged else None)
    return Section("learning", "Findings", "What was found", charts=tuple(charts), notes=tuple(notes), findings=tuple(found))


def _theory(results: Results, why: str, elsewhere: Mapping[str, Chart]) -> Section:
    notes = []
    if results.fits is None:
        notes.append(f"there are no fits: make them with '{_making('fit', FITS, results)}', or pass --fit")
    if results.comparison is None:
        notes.append(f"there are no verdicts: make them with '{_making('compare', COMPARISON, results)}', or pass --fit")
    if why:
        notes.append(f"nothing is compared over time: {why}")
    made = [
        theory_charts.fits_chart(results),
        theory_charts.doubles_chart(results),
        theory_charts.neither_chart(results),
        *theory_charts.ratio_charts(results),
    ]
    if results.fits is not None and made[0] is None:
        notes.append("the fits are of none of the one-sided test curves")
    charts = tuple(chart for chart in made if chart is not None)
    verdicts = verdict_table(results, {**elsewhere, **{chart.name: chart for chart in charts}})
    text = "The pattern-learning model of Davies, Langosco and Krueger (2023), its rivals, and what the curves say of them."
    tables = () if verdicts is None else (verdicts,)
    return Section("theory", "Theory", "Theory against data", text, charts, tables, notes=tuple(notes))


def _making(name: str, table: str, results: Results) -> str:
    """The command that puts a table of the theory beside the results."""
    return shlex.join(["dominoes", name, results.table, "--out", str(Path(results.beside) / table)])


def _confusion(results: Results) -> Section:
    found = learning.confusion_charts(results)
    notes = () if found else ("no run has kept what its network answered (confusion.npz); runs of this version do",)
    text = "Probes only: test dominoes, the same for every run."
    return Section("confused", "Confusion", "What the final networks confuse", text, tuple(found), notes=notes)
