"""The report: one page that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from dominoes import __version__, files
from dominoes.errors import OutputError
from dominoes.reporting import stills
from dominoes.reporting.chart import COLOURS, DIGITS, Chart, Panel
from dominoes.reporting.charts import dealt
from dominoes.reporting.charts.board import ShownBoard
from dominoes.reporting.findings import made_with
from dominoes.reporting.results import Results
from dominoes.reporting.sections import Section, charts_of, sections
from dominoes.reporting.tables import MOST_ROWS
from dominoes.solver.composition import Composition

SUFFIX = ".html"


def write_page(results: Results, path: Path, *, data: Path | None = None, board: ShownBoard | None = None) -> list[Section]:
    """Write the page; returns what is on it. Arguments as of `sections`. Raises OutputError: another suffix than .html, or the file cannot
    be written."""
    known_suffix(path)
    parts = sections(results, data=data, board=board)
    files.write(path, page(results.name, parts, facts=made_with(results), notes=results.notes))
    return parts


def write_flows(found: Composition, path: Path) -> None:
    """Write the Sankey diagram of one composition, as a page (.html) or as a still."""
    chart = dealt.sankey({f"{found.spec.top} over {found.spec.bottom}": found})
    if path.suffix.lower() == SUFFIX:
        files.write(path, page(chart.title, [Section("dealt", "Dealt", "What was asked and what was dealt", charts=(chart,))]))
    elif path.suffix.lower() in stills.STILL_FORMATS:
        stills.draw_chart(chart, path)
    else:
        raise OutputError(
            f"{path}: a diagram is written as {SUFFIX}, {', '.join(stills.STILL_FORMATS)}, got '{path.suffix}'; pass one of these"
        )


def known_suffix(path: Path) -> None:
    """Refuse a page that is not called .html, before anything is read. Raises OutputError."""
    if path.suffix.lower() != SUFFIX:
        raise OutputError(f"{path}: the report is written as {SUFFIX}, got '{path.suffix}'; pass --out with that suffix")


def write_stills(parts: Iterable[Section], folder: Path, suffix: str) -> list[Path]:
    """Write every chart as stills, one for each choice, and every preview as PNG; returns the files. Raises OutputError."""
    parts = list(parts)
    written = []
    for chart in charts_of(parts).values():
        choices = chart.choices()
        for number, choice in enumerate(choices, 1):
            path = folder / f"{chart.name}{f'-{number}' if len(choices) > 1 else ''}.{suffix}"
            stills.draw_chart(chart, path, choice=choice)
            written.append(path)
    for section in parts:
        for image in section.images:
            written.append(folder / f"{image.name}.png")
            files.write(written[-1], image.png)
    return written


def page(title: str, parts: Sequence[Section], *, facts: Sequence[tuple[str, str]] = (), notes: Sequence[str] = ()) -> str:
    """The page as text. Equal results are equal bytes: it holds no date. Sections of which nothing is known are one line at its end."""
    from jinja2 import Environment
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    def kept(name: str) -> Markup:
        return Markup((resources.files("dominoes.reporting.html") / name).read_text(encoding="utf-8"))

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(str(kept("page.html")))
    return template.render(
        title=title,
        facts=facts,
        notes=notes,
        sections=[_rendered(section) for section in parts if section.is_known],
        unknown=[(section.title, "; ".join(section.notes) or "nothing is known") for section in parts if not section.is_known],
        version=__version__,
        digits=DIGITS,
        colours=COLOURS,
        css=kept("page.css"),
        js=kept("page.js"),
        plotly=compressed_text(get_plotlyjs()),
    )


def compressed_text(text: str) -> str:
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
            "block": compressed_text(json.dumps({"plan": chart.plan(), "csv": chart.csv()})),
        }
        for chart, wide in zip(section.charts, _wide(section.charts), strict=True)
    ]
    images = [
        {
            "id": image.name,
            "title": image.title,
            "caption": image.caption,
            "png": base64.b64encode(image.png).decode(),
            "csv": compressed_text(image.csv),
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
            "csv": compressed_text(table.csv),
            "folds": table.folds,
            "note": f"The first {MOST_ROWS} rows; the data link holds all." if len(table.rows) == MOST_ROWS else "",
        }
        for table in section.tables
    ]
    chart_notes = [note for chart in section.charts for note in chart.notes]
    about = {"id": section.name, "short": section.short, "title": section.title, "text": section.text}
    return about | {
        "findings": section.findings,
        "charts": charts,
        "images": images,
        "tables": tables,
        "notes": [*section.notes, *chart_notes],
    }


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
