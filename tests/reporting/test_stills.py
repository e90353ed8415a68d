"""Stills: the chart's numbers are what is drawn, in every format."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.errors import CurvesError, OutputError
from dominoes.reporting import results, stills
from dominoes.reporting.chart import COLOURS, Chart, Line, Panel
from dominoes.reporting.charts import dealt, learning, preview, sweep, theory
from dominoes.theory import pattern_model
from dominoes.theory.verdicts import BANDS


@pytest.fixture(scope="module")
def charts(swept: Path, small: Dealt) -> dict[str, Chart]:
    """One chart of each sort, of the synthetic sweep."""
    found = results.gather([swept])
    alone = results.gather([swept / "runs" / found.runs[0].id])
    made = [learning.one_sided(alone), *learning.confusion(found), theory.doubles(found), dealt.sankey({"x": small.composition})]
    return {chart.name: chart for chart in [*made, *sweep.charts(found)[0]] if chart is not None}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_curves_are_drawn_in_every_format(charts: dict[str, Chart], tmp_path: Path, suffix: str) -> None:
    """A figure is written whole, in colour, in the format that the suffix says; twice the same bytes."""
    path = tmp_path / f"figure{suffix}"
    stills.draw(charts["curves"], path)
    first = path.read_bytes()
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    if suffix == ".png":
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        for kind in ("top", "bottom"):
            colour = [int(COLOURS[kind][place : place + 2], 16) for place in (1, 3, 5)]
            assert (pixels == colour).all(1).sum() > 100
    stills.draw(charts["curves"], path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_the_columns_of_the_table(charts: dict[str, Chart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What matplotlib was given is the table's column at the steps after 0."""
    seen: list[Figure] = []
    monkeypatch.setattr(stills, "_save", lambda figure, path: seen.append(figure))
    stills.draw(charts["curves"], tmp_path / "x.png")
    table = charts["curves"].table
    axes = seen[0].axes
    assert len(axes) == 2
    line = next(line for line in axes[1].lines if line.get_label() == "top only, test")
    mine = table[(table["kind"] == "top") & (table["split"] == "test") & (table["step"] > 0)]
    assert np.array_equal(line.get_xdata(), mine["step"])
    assert np.array_equal(line.get_ydata(), mine["accuracy"])
    stills.draw(charts["confusion"], tmp_path / "x.png", choice="prevalence_top 0.4")
    cells = charts["confusion"].chosen("prevalence_top 0.4").set_index(["top", "bottom"])["answers_bottom"]
    drawn = np.ma.filled(seen[1].axes[1].images[0].get_array(), np.nan)
    assert drawn.shape == (11, 11)
    assert drawn[3, 7] == cells["3", "7"]
    assert drawn[10, 2] == cells["blank", "2"]


def test_every_sort_of_chart_is_drawn(charts: dict[str, Chart], tmp_path: Path) -> None:
    """Lines, points with bars, laws, cells, strips and flows; none of them is blank."""
    for name, chart in charts.items():
        stills.draw(chart, tmp_path / f"{name}.png", choice=chart.choices()[-1])
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 8, name


def test_unknown_formats_are_refused(charts: dict[str, Chart], tmp_path: Path, small: Dealt) -> None:
    """A suffix that no figure has is refused before anything is drawn."""
    for draw in (
        lambda path: stills.draw(charts["curves"], path),
        lambda path: preview.draw_preview(Dominoes.of(small), path),
        lambda path: stills.draw_toy(pattern_model.table(pattern_model.preset("grokking"), np.arange(9.0)), path),
        lambda path: stills.draw_bands(pd.DataFrame(columns=list(BANDS)), 1.25, path),
    ):
        with pytest.raises(OutputError, match=r"a figure is written as .png, .svg, .pdf, got '.jpg'"):
            draw(tmp_path / "x.jpg")
    with pytest.raises(CurvesError, match="nothing to draw over time"):
        stills.draw_bands(pd.DataFrame(columns=list(BANDS)), 1.25, tmp_path / "x.png")
    empty = charts["doubles"].table.iloc[:0]
    with pytest.raises(CurvesError, match="doubles: there is nothing to draw"):
        stills.draw(dataclasses.replace(charts["doubles"], table=empty), tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_an_axis_of_words_shows_the_words_and_gaps_are_joined() -> None:
    """Words are ticks, not their places; a row without a value does not break the line, as on the page."""
    table = pd.DataFrame({"model": ["mlp", "cnn", "resnet"], "y": [1.0, np.nan, 2.0]})
    chart = Chart("c", "c", "", table, (Panel("", "model", "model", "y", (Line("y", "y", "top"),)),))
    axis = stills._parts_figure(chart, table).axes[0]
    FigureCanvasAgg(axis.figure).draw()
    assert [text.get_text() for text in axis.get_xticklabels()] == ["mlp", "cnn", "resnet"]
    assert axis.lines[0].get_ydata().tolist() == [1.0, 2.0]


def test_the_preview_shows_every_kind_right_and_wrong(small: Dealt, tmp_path: Path) -> None:
    """Rows by kind and by which half is wrong partition the dataset, and the picture is not blank."""
    dominoes = Dominoes.of(small)
    groups = preview.preview_groups(dominoes)
    assert list(groups) == [
        "top: right",
        "top: wrong",
        "bottom: right",
        "bottom: wrong",
        "both: right",
        "both: bottom wrong",
        "both: top wrong",
        "both: wrong",
        "empty",
    ]
    assert np.array_equal(np.sort(np.concatenate(list(groups.values()))), np.arange(300))
    row = groups["both: top wrong"][0]
    assert small.deal.shown["top"][row] != small.deal.label[row] == small.deal.shown["bottom"][row]
    preview.draw_preview(dominoes, tmp_path / "p.png")
    assert np.asarray(Image.open(tmp_path / "p.png").convert("L")).std() > 40
    table = preview.preview_table(dominoes)
    assert table.groupby("group", sort=False)["in_group"].first().to_dict() == {name: len(rows) for name, rows in groups.items()}
    assert (table.loc[table["group"] == "top: right", "bottom_index"] == -1).all()
    assert preview.preview_png(dominoes).startswith(b"\x89PNG")


def test_names_are_drawn_as_they_are(charts: dict[str, Chart], tmp_path: Path) -> None:
    """A name with dollars or tags is text, not mathematics or markup."""
    table = charts["doubles"].table.assign(group="$\\frac{<script>$")
    stills.draw(dataclasses.replace(charts["doubles"], title="$x_{", table=table), tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000
