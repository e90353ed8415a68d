"""Stills: the chart's numbers are what is drawn, in every format."""

import dataclasses
import re
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
    made = [
        learning.one_sided_chart(alone),
        *learning.confusion_charts(found),
        theory.doubles_chart(found),
        dealt.sankey({"x": small.composition}),
    ]
    return {chart.name: chart for chart in [*made, *sweep.charts(found)[0]] if chart is not None}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_curves_are_drawn_in_every_format(charts: dict[str, Chart], tmp_path: Path, suffix: str) -> None:
    """A figure is written whole, in colour, in the format that the suffix says; twice the same bytes."""
    path = tmp_path / f"figure{suffix}"
    stills.draw_chart(charts["curves"], path)
    first = path.read_bytes()
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    if suffix == ".png":
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        for kind in ("top", "bottom"):
            colour = [int(COLOURS[kind][place : place + 2], 16) for place in (1, 3, 5)]
            assert (pixels == colour).all(1).sum() > 100
    stills.draw_chart(charts["curves"], path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_the_columns_of_the_table(charts: dict[str, Chart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What matplotlib was given is the table's column at the steps after 0."""
    seen: list[Figure] = []
    monkeypatch.setattr(stills, "_save", lambda figure, path: seen.append(figure))
    stills.draw_chart(charts["curves"], tmp_path / "x.png")
    table = charts["curves"].table
    axes = seen[0].axes
    assert len(axes) == 2
    line = next(line for line in axes[1].lines if line.get_label() == "top only, test")
    mine = table[(table["kind"] == "top") & (table["split"] == "test") & (table["step"] > 0)]
    assert np.array_equal(line.get_xdata(), mine["step"])
    assert np.array_equal(line.get_ydata(), mine["accuracy"])
    stills.draw_chart(charts["confusion"], tmp_path / "x.png", choice="prevalence_top 0.4")
    cells = charts["confusion"].chosen("prevalence_top 0.4").set_index(["top", "bottom"])["answers_bottom"]
    drawn = np.ma.filled(seen[1].axes[1].images[0].get_array(), np.nan)
    assert drawn.shape == (11, 11)
    assert drawn[3, 7] == cells["3", "7"]
    assert drawn[10, 2] == cells["blank", "2"]


def test_every_sort_of_chart_is_drawn(charts: dict[str, Chart], tmp_path: Path) -> None:
    """Lines, points with bars, laws, cells, strips and flows; none of them is blank."""
    for name, chart in charts.items():
        stills.draw_chart(chart, tmp_path / f"{name}.png", choice=chart.choices()[-1])
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 8, name


def test_unknown_formats_are_refused(charts: dict[str, Chart], tmp_path: Path, small: Dealt) -> None:
    """A suffix that no figure has is refused before anything is drawn."""
    for draw in (
        lambda path: stills.draw_chart(charts["curves"], path),
        lambda path: preview.draw_preview(Dominoes.of(small), path),
        lambda path: stills.draw_toy(pattern_model.model_table(pattern_model.preset("grokking"), np.arange(9.0)), path),
        lambda path: stills.draw_bands(pd.DataFrame(columns=list(BANDS)), 1.25, path),
    ):
        with pytest.raises(OutputError, match=r"a figure is written as .png, .svg, .pdf, got '.jpg'"):
            draw(tmp_path / "x.jpg")
    with pytest.raises(CurvesError, match="nothing to draw over time"):
        stills.draw_bands(pd.DataFrame(columns=list(BANDS)), 1.25, tmp_path / "x.png")
    empty = charts["doubles"].table.iloc[:0]
    with pytest.raises(CurvesError, match="doubles: there is nothing to draw"):
        stills.draw_chart(dataclasses.replace(charts["doubles"], table=empty), tmp_path / "x.png")
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
    stills.draw_chart(dataclasses.replace(charts["doubles"], title="$x_{", table=table), tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000


def media_box(path: Path) -> tuple[float, float]:
    """Width and height of a PDF's page, in centimetres."""
    found = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", path.read_bytes())
    assert found is not None
    return float(found[1]) / 72 * 2.54, float(found[2]) / 72 * 2.54


@pytest.mark.parametrize(("width", "centimetres"), [("single", 8.5), ("double", 17.4), ("12", 12.0), (30.0, 30.0)])
def test_a_still_for_a_paper_has_its_width_and_embedded_fonts(
    charts: dict[str, Chart], tmp_path: Path, width: str | float, centimetres: float
) -> None:
    """The page is as wide as was asked and as tall as is told, to a tenth of a millimetre; fonts are of Type 42, none of Type 3."""
    for name in ("curves", "doubles", "confusion", "sankey"):
        tall = stills.draw_chart(charts[name], tmp_path / f"{name}.pdf", width=width)
        assert media_box(tmp_path / f"{name}.pdf") == pytest.approx((centimetres, tall), abs=0.01)
        content = (tmp_path / f"{name}.pdf").read_bytes()
        assert b"/Type3" not in content
        assert b"/FontFile2" in content


@pytest.mark.slow
def test_type_is_legible_at_the_width(charts: dict[str, Chart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a column no word is under 6 points, none is cut at the edge, and there is no title; a talk has larger type and a title."""
    seen: list[Figure] = []
    monkeypatch.setattr(stills, "_save", lambda figure, path: seen.append(figure))
    for style, least, titled in (("paper", 5.8, False), ("talk", 10, True)):
        for name in ("curves", "doubles", "preference", "confusion", "answers", "sweep-prevalence_top"):
            if name not in charts:
                continue
            stills.draw_chart(charts[name], tmp_path / "x.pdf", width="single" if style == "paper" else 26, style=style)
            figure = seen[-1]
            FigureCanvasAgg(figure).draw()
            texts = [
                text for axis in figure.axes for text in axis.findobj(match=type(axis.title)) if text.get_text() and text.get_visible()
            ]
            assert min(text.get_fontsize() for text in texts) >= least, name
            assert (figure.get_suptitle() != "") == titled
            right = figure.bbox.x1
            assert all(text.get_window_extent().x1 <= right + 1 for text in texts if text.axes is not None and text.axes.axison), name


@pytest.mark.parametrize("width", ["wide", "3", "61", "nan"])
def test_other_widths_and_styles_are_refused(charts: dict[str, Chart], tmp_path: Path, width: str) -> None:
    """What is no width, or none that a page has, is a sentence; nothing is written."""
    with pytest.raises(OutputError, match=r"expected single, double or centimetres from 4 to 60"):
        stills.draw_chart(charts["curves"], tmp_path / "x.pdf", width=width)
    with pytest.raises(OutputError, match="--style loud: expected screen, paper, talk"):
        stills.draw_chart(charts["curves"], tmp_path / "x.pdf", style="loud")
    assert not list(tmp_path.iterdir())


def test_words_of_points_stand_above_the_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No point can lie on them, and those that are close to each other stand on rows of their own."""
    table = pd.DataFrame({"x": [1.0, 1.02, 3.0], "y": [1.0, 2.0, 3.0], "words": ["blur=2", "noise=0.5", "none"]})
    chart = Chart("c", "c", "", table, (Panel("", "x", "x", "y", (Line("y", "y", "top", text="words"),)),))
    figure = stills._parts_figure(chart, table)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axis,) = figure.axes
    boxes = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == ["blur=2", "noise=0.5", "none"]
    assert all(box.y0 >= axis.bbox.y1 for box in boxes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
