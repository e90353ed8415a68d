"""The report: one page that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import base64
import gzip
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from dominoes import __version__, files
from dominoes.data import dealing, sources
from dominoes.data.dominoes import Dominoes
from dominoes.errors import CurvesError, DominoesError, OutputError
from dominoes.report import stills as stills_module
from dominoes.report.chart import COLOURS, DIGITS, Chart, Panel
from dominoes.report.charts import dealt, learning, sweep
from dominoes.report.charts import theory as theory_charts
from dominoes.report.results import COMPARISON, FITS, Results, Run
from dominoes.solver.composition import Composition, solve
from dominoes.spec import DominoSpec, RunSpec, TrainSpec

SUFFIX = ".html"
# Of large results the page shows so much in its tables; their data links hold all.
_MOST_ROWS = 1000
_MOST_PREVIEWS = 3
_STATUS = {"finished": "good", "running": "open", "not run": "open", "unfinished": "open"}


@dataclass(frozen=True)
class Image:
    """A picture of the page: its PNG, and the CSV that says what it shows."""

    name: str
    title: str
    caption: str
    png: bytes
    csv: str


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is read, what is sorted by, how it is shown."""

    text: str
    value: float | str | None = None
    style: str = ""
    mark: str = ""
    href: str = ""
    choice: str = ""
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """A sortable table of the page and the CSV behind it. `columns`: name -> whether it holds numbers."""

    name: str
    title: str
    caption: str
    columns: Mapping[str, bool]
    rows: Sequence[Sequence[Cell]]
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
    notes: tuple[str, ...] = field(default=())


def sections(results: Results, *, data: Path | None = None) -> list[Section]:
    """Everything that the results show, in the order of the page; what is missing is a note of its section.

    Args:
        results: with or without fits and a comparison.
        data: folder with the sources, for the preview.
    """
    results, why = theory_charts.with_bands(results)
    learned, swept = _learning(results), _sweep(results)
    elsewhere = charts_of([learned, swept])
    theory = _theory(results, why, elsewhere)
    runs = Section("runs", "Runs", "Runs", "Every run that is known of, whatever became of it.", tables=(runs_table(results),))
    return [_dealt(results, data), _preview(results, data), learned, theory, swept, _confusion(results), runs]


def charts_of(parts: Iterable[Section]) -> dict[str, Chart]:
    """The charts of some sections by name."""
    return {chart.name: chart for section in parts for chart in section.charts}


def compositions(results: Results, *, data: Path | None = None) -> tuple[dict[str, Composition], list[str]]:
    """The solved dataset of each of the results' datasets, by title, and why others are missing. Each is held against the counts that
    its runs were trained on."""
    found: dict[str, Composition] = {}
    notes = []
    for title, spec in results.datasets().items():
        try:
            solved = solve(spec, sources.stock(spec, data=data))
        except DominoesError as error:
            notes.append(f"{title}: {error}")
            continue
        trained = next(
            (run.environment["dominoes"]["kinds"] for run in results.runs if run.spec and run.spec.dataset == spec and run.environment),
            None,
        )
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
    tables = (_asked(found),) if found else ()
    return Section("dealt", "Dealt", "What was asked and what was dealt", charts=charts, tables=tables, notes=tuple(notes))


def _asked(found: Mapping[str, Composition]) -> Table:
    table = dealt.asked_and_dealt(found)
    pairs = zip(table["requested"], table["realised"], strict=True)
    texts = [str(got) if asked in ("", got) else f"{asked} → {got}" for asked, got in pairs]
    wide = table.assign(text=texts).pivot_table(index="dataset", columns="parameter", values="text", aggfunc="first", sort=False)
    rows = [[Cell(str(title)), *(Cell(str(text)) for text in values)] for title, values in zip(wide.index, wide.to_numpy(), strict=True)]
    columns = {"dataset": False} | {str(name): False for name in wide.columns}
    caption = "One number: dealt as asked, to six digits. An arrow: asked → dealt, as whole numbers allow. Exact counts: no seeds, no band."
    return Table("asked", "Asked and dealt", caption, columns, rows[:_MOST_ROWS], table.to_csv(index=False, lineterminator="\n"))


def _preview(results: Results, data: Path | None) -> Section:
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
            dominoes = Dominoes.of(dealing.make(spec, data=data))
        except DominoesError as error:
            notes.append(f"no preview of {title}: {error}")
            continue
        table = stills_module.preview_table(dominoes)
        caption = (
            f"{title}: the first dominoes of each kind, right and wrong halves apart, their label above them and how many there are beside "
            f"them; n = {len(dominoes)}; dealt anew from the run's spec; no seeds, no band."
        )
        name = "preview" if not number else f"preview-{number + 1}"
        csv = table.to_csv(index=False, lineterminator="\n")
        images.append(Image(name, f"{spec.top} over {spec.bottom}", caption, stills_module.preview_png(dominoes), csv))
    if len(different) > _MOST_PREVIEWS:
        notes.append(f"{len(different)} datasets show different pictures; the first {_MOST_PREVIEWS} are shown")
    if not different:
        notes.append("no run says what its pictures were (spec.json)")
    return Section("pictures", "Preview", "What a domino looks like", images=tuple(images), notes=tuple(notes))


_PAIRS = ("prevalence", "reliability")
_COUNTS = ("n", "prevalence", "both", "empty", "ratio", "reliability", "labels", "reuse", "seed", "split")


def _learning(results: Results) -> Section:
    charts, notes = [], []
    try:
        charts.append(learning.curves(results))
    except CurvesError as error:
        notes.append(str(error))
    answers = learning.answers(results)
    if answers is not None:
        charts.append(answers)
    if len(results.curves) and results.fits is None:
        notes.append(f"no {FITS}, so no onset is marked")
    if len(results.curves) and (results.curves.groupby("run")["step"].nunique() < 3).any():
        notes.append("some runs were measured at fewer than three steps: that is hardly a curve")
    return Section("learning", "Learning", "What was learned when", charts=tuple(charts), notes=tuple(notes))


def _theory(results: Results, why: str, elsewhere: Mapping[str, Chart]) -> Section:
    notes = []
    if results.fits is None:
        notes.append(f"there are no fits: make them with '{_making('fit', FITS, results)}', or pass --fit")
    if results.comparison is None:
        notes.append(f"there are no verdicts: make them with '{_making('compare', COMPARISON, results)}', or pass --fit")
    if why:
        notes.append(f"nothing is compared over time: {why}")
    made = [theory_charts.fits(results), theory_charts.doubles(results), theory_charts.neither(results), *theory_charts.ratios(results)]
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


def _sweep(results: Results) -> Section:
    charts, notes = sweep.charts(results)
    return Section("sweep", "Sweep", "Across the sweep", charts=tuple(charts), notes=tuple(notes))


def _confusion(results: Results) -> Section:
    found = learning.confusion(results)
    notes = () if found else ("no run has kept what its network answered (confusion.npz); runs of this version do",)
    text = "Probes only: test dominoes, the same for every run."
    return Section("confused", "Confusion", "What the final networks confuse", text, tuple(found), notes=notes)


def verdict_table(results: Results, charts: Mapping[str, Chart]) -> Table | None:
    """The comparator's verdicts, each with a link to the figure that shows it; None without a comparison."""
    table = theory_charts.verdicts(results)
    if table is None:
        return None
    rows = []
    for row in table.itertuples():
        name = str(row.figure)
        target = name if name in charts else next((each for each in charts if name and each.startswith(f"{name}-")), "")
        link = Cell("see", href=target, choice=str(row.group)) if target else Cell("")
        mark = {"holds": "good", "fails": "bad"}.get(str(row.verdict), "open")
        rows.append(
            [
                Cell(str(row.verdict), mark=mark),
                Cell(str(row.sentence), style="sentence"),
                Cell(str(row.question)),
                Cell(str(row.group)),
                link,
            ]
        )
    counts = table["verdict"].value_counts()
    told = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in ("holds", "fails", "cannot tell"))
    caption = f"{told}. Each compares an interval over seeds (95 % unless its sentence says otherwise) with a margin stated beforehand."
    columns = {"verdict": False, "sentence": False, "question": False, "group": False, "figure": False}
    csv = pd.DataFrame(results.comparison).to_csv(index=False, lineterminator="\n")
    return Table("verdicts", "Verdicts", caption, columns, rows[:_MOST_ROWS], csv)


def runs_table(results: Results) -> Table:
    """Every run: parameters, final values, time, status, and how to make it again."""
    table = results.curves
    last = table[(table["split"] == "test") & (table["step"] == table.groupby("run")["step"].transform("max"))]
    final = {(str(run), str(kind)): value for run, kind, value in zip(last["run"], last["kind"], last["accuracy"], strict=True)}
    kinds = [kind for kind in ("top", "bottom", "both", "conflict") if (last["kind"] == kind).any()]
    values = table.drop_duplicates("run").set_index("run")
    steps = table.groupby("run")["step"].max()
    columns = {"run": False, "status": False, "seed": True}
    columns |= {name: bool(pd.api.types.is_numeric_dtype(table[name])) for name in results.fields}
    columns |= {f"accuracy {kind}": True for kind in kinds} | {"steps": True, "seconds": True, "device": False, "why": False}
    shown, lines = [], []
    for run in results.runs:
        known = run.id in values.index
        fields = [values.loc[run.id, name] if known else None for name in results.fields]
        numbers = [final.get((run.id, kind)) for kind in kinds]
        seconds = run.environment.get("seconds", {}).get("wall")
        device = str(run.environment.get("device_name") or run.environment.get("device") or "")
        plain = [run.seed, *fields, *numbers, int(steps[run.id]) if known else None, seconds]
        details = _details(run, results)
        row = [Cell(run.id, run.id, details=details), Cell(run.status, mark=_STATUS.get(run.status, "bad"))]
        row += [_number(value) for value in plain]
        row += [Cell(device), Cell(run.reason, style="reason")]
        shown.append(row)
        lines.append([run.id, run.status, *plain, device, run.reason, command(run.spec, results.out) if run.spec else ""])
    csv = pd.DataFrame(lines, columns=[*columns, "again"]).to_csv(index=False, lineterminator="\n")
    counts: dict[str, int] = {}
    for run in results.runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none"
    caption = (
        f"{len(results.runs)} run{_s(len(results.runs))}: {told}. Open one for versions, device, digests and the command to make it again. "
        f"Accuracies are the last measured, {learning.probes_text(results.curves)}; one run a row, so no band."
    )
    return Table("runs-table", "All runs", caption, columns, shown[:_MOST_ROWS], csv)


def _number(value: Any) -> Cell:
    if value is None or value != value:
        return Cell("", "", "number")
    if isinstance(value, str):
        return Cell(value)
    return Cell(f"{float(value):.4g}" if isinstance(value, float) else str(value), float(value), "number")


def _details(run: Run, results: Results) -> tuple[tuple[str, str], ...]:
    """Versions, device, digests and the command that makes the run again."""
    about = run.environment
    names = ("package", "python", "torch", "numpy", "platform", "device", "device_name", "threads", "packing", "status", "diverged_at")
    found = [(name.replace("_", " "), str(about[name])) for name in names if about.get(name) is not None]
    found += [(f"seconds {name}", f"{value:.1f}") for name, value in about.get("seconds", {}).items()]
    found += [(f"SHA-256 {name}", str(value)) for name, value in about.get("digests", {}).items()]
    if run.spec is not None:
        found.append(("again", command(run.spec, results.out)))
    return tuple(found)


def command(spec: RunSpec, out: str) -> str:
    """The command line that makes a run again, with every field that is not at its default: a pair after one flag, a longer list as
    the flag repeated, a switch as the flag alone."""
    words = ["dominoes", "train"]
    for form, fields in ((DominoSpec, spec.dataset), (TrainSpec, spec.train)):
        for name, value in fields.model_dump(mode="json").items():
            default = form.model_fields[name].default
            if value == (list(default) if isinstance(default, tuple) else default):
                continue
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(flag)
            elif isinstance(value, list) and name not in _PAIRS:
                words += [word for part in value for word in (flag, str(part))]
            else:
                words += [flag, *("-" if part is None else str(part) for part in (value if isinstance(value, list) else [value]))]
    return shlex.join([*words, "--seeds", str(spec.seed), "--out", out])


def write(results: Results, path: Path, *, data: Path | None = None) -> list[Section]:
    """Write the page; returns what is on it. Raises OutputError: another suffix than .html, or the file cannot be written."""
    known_suffix(path)
    parts = sections(results, data=data)
    files.write(path, page(results.name, parts, facts=_facts(results), notes=results.notes))
    return parts


def write_flows(found: Composition, path: Path) -> None:
    """Write the Sankey diagram of one composition, as a page (.html) or as a still."""
    chart = dealt.sankey({f"{found.spec.top} over {found.spec.bottom}": found})
    if path.suffix.lower() == SUFFIX:
        files.write(path, page(chart.title, [Section("dealt", "Dealt", "What was asked and what was dealt", charts=(chart,))]))
    elif path.suffix.lower() in stills_module.FORMATS:
        stills_module.draw(chart, path)
    else:
        raise OutputError(
            f"{path}: a diagram is written as {SUFFIX}, {', '.join(stills_module.FORMATS)}, got '{path.suffix}'; pass one of these"
        )


def known_suffix(path: Path) -> None:
    """Refuse a page that is not called .html, before anything is read. Raises OutputError."""
    if path.suffix.lower() != SUFFIX:
        raise OutputError(f"{path}: the report is written as {SUFFIX}, got '{path.suffix}'; pass --out with that suffix")


def stills(parts: Iterable[Section], folder: Path, suffix: str) -> list[Path]:
    """Write every chart as stills, one for each choice, and every preview as PNG; returns the files. Raises OutputError."""
    parts = list(parts)
    written = []
    for chart in charts_of(parts).values():
        choices = chart.choices()
        for number, choice in enumerate(choices, 1):
            path = folder / f"{chart.name}{f'-{number}' if len(choices) > 1 else ''}.{suffix}"
            stills_module.draw(chart, path, choice=choice)
            written.append(path)
    for section in parts:
        for image in section.images:
            written.append(folder / f"{image.name}.png")
            files.write(written[-1], image.png)
    return written


def page(title: str, parts: Sequence[Section], *, facts: Sequence[tuple[str, str]] = (), notes: Sequence[str] = ()) -> str:
    """The page as text. Equal results are equal bytes: it holds no date."""
    from jinja2 import Environment
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    def kept(name: str) -> Markup:
        return Markup((resources.files("dominoes.report.html") / name).read_text(encoding="utf-8"))

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(str(kept("page.html")))
    return template.render(
        title=title,
        facts=facts,
        notes=notes,
        sections=[_rendered(section) for section in parts],
        version=__version__,
        digits=DIGITS,
        colours=COLOURS,
        css=kept("page.css"),
        js=kept("page.js"),
        plotly=packed(get_plotlyjs()),
    )


def packed(text: str) -> str:
    """Text as the page keeps it: gzip, then base64. It is a third as long, and nothing in it can end a script."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _rendered(section: Section) -> dict[str, Any]:
    """A section as the template wants it."""
    charts = [
        {
            "id": chart.name,
            "title": chart.title,
            "caption": chart.caption,
            "wide": wide,
            "block": packed(json.dumps({"plan": chart.plan(), "csv": chart.csv()})),
        }
        for chart, wide in zip(section.charts, _wide(section.charts), strict=True)
    ]
    images = [
        {
            "id": image.name,
            "title": image.title,
            "caption": image.caption,
            "png": base64.b64encode(image.png).decode(),
            "csv": packed(image.csv),
        }
        for image in section.images
    ]
    tables = [
        {
            "id": table.name,
            "title": table.title,
            "caption": table.caption,
            "columns": [{"name": name, "number": number} for name, number in table.columns.items()],
            "rows": table.rows,
            "csv": packed(table.csv),
            "note": f"The first {_MOST_ROWS} rows; the data link holds all." if len(table.rows) == _MOST_ROWS else "",
        }
        for table in section.tables
    ]
    chart_notes = [note for chart in section.charts for note in chart.notes]
    about = {"id": section.name, "short": section.short, "title": section.title, "text": section.text}
    return about | {"charts": charts, "images": images, "tables": tables, "notes": [*section.notes, *chart_notes]}


def _wide(charts: Sequence[Chart]) -> list[bool]:
    """Which charts take the width of the page: those of several panels or cells, and a small one that has no neighbour."""
    found = [len(chart.parts) > 1 or not isinstance(chart.parts[0], Panel) for chart in charts]
    alone = False
    for place, wide in enumerate(found):
        if not wide:
            alone = not alone
        if alone and (wide or place + 1 == len(found)):
            found[place - wide] = True
            alone = False
    return found


def _facts(results: Results) -> list[tuple[str, str]]:
    """The line under the title."""
    shown = results.curves["run"].nunique()
    seeds = [results.seeds(group) for group in results.groups]
    many = f"{min(seeds)}" if seeds and min(seeds) == max(seeds) else f"{min(seeds)}–{max(seeds)}" if seeds else "0"
    steps = results.curves["step"].max() if shown else math.nan
    groups = len(results.groups)
    found = [(f"run{_s(shown)} with curves", str(shown)), (f"spec{_s(groups)}", str(groups)), ("seeds a spec", many)]
    if results.fields:
        found.append(("swept", ", ".join(results.fields)))
    return found + ([("last step", f"{steps:g}")] if shown else [])


def _s(count: int) -> str:
    return "" if count == 1 else "s"
