"""Charts and dominoes as stills: PNG, SVG or PDF, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dominoes import files
from dominoes.errors import CurvesError, OutputError
from dominoes.reporting.chart import COLOURS, Chart, Flow, Grid, Line, Panel, rows_where
from dominoes.reporting.style import CENTIMETRES, FONTS, STYLES, Style, known_style, known_width

STILL_FORMATS = (".png", ".svg", ".pdf")
PER_ROW = 10
_STYLES = {"solid": "-", "dot": ":", "dash": "--"}
# Equal charts are equal bytes: no date, no random ids.
_METADATA = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}


def draw_chart(chart: Chart, path: Path, *, choice: Any = None, width: str | float | None = None, style: str = "") -> float:
    """Draw a chart into a file whose suffix is one of STILL_FORMATS; its height in centimetres.

    Args:
        chart: what is drawn.
        path: file to write.
        choice: of `chart.choices()`; None: the first.
        width: `single` or `double` (WIDTHS), or centimetres from 4 to 60; None: as the panels need.
        style: of STYLES; empty: `paper` where there is a width, else `screen`.

    Raises OutputError: another suffix, width or style, or the file cannot be written. CurvesError: the chart has no rows.
    """
    import matplotlib

    known_format(path)
    centimetres, how = known_width(width), known_style(style or ("screen" if width is None else "paper"))
    if not len(chart.table):
        raise CurvesError(f"{chart.name}: there is nothing to draw")
    table = chart.chosen(chart.choices()[0] if choice is None else choice)
    title = (
        chart.title
        if chart.choice == "" or len(chart.choices()) == 1
        else f"{chart.title}: {chart.choices()[0] if choice is None else choice}"
    )
    flow = next((part for part in chart.parts if isinstance(part, Flow)), None)
    # Sizes are taken when things are made, and when they are written.
    with matplotlib.rc_context(how.settings()):
        figure = _flow_figure(flow, table, how, centimetres) if flow else _parts_figure(chart, table, how, centimetres)
        if how.titled:
            figure.suptitle(literal(title), fontsize="large", x=0.01, ha="left")
        _save(figure, path)
        return float(figure.get_figheight()) * CENTIMETRES


def _save(figure: Figure, path: Path) -> None:
    import matplotlib

    with files.replacing(path) as temporary, matplotlib.rc_context(FONTS):
        figure.savefig(temporary, dpi=150, metadata=_METADATA[path.suffix.lower()])


def literal(text: str) -> str:
    """Text in which a dollar is a dollar."""
    return text.replace("$", r"\$")


def _parts_figure(chart: Chart, table: pd.DataFrame, style: Style = STYLES["screen"], width: float | None = None) -> Figure:
    parts = [part for part in chart.parts if not isinstance(part, Flow)]
    grids = any(isinstance(part, Grid) for part in parts)
    across = 1 if chart.stacked else 2 if chart.kind == "learning" or len(parts) == 4 else min(3, len(parts))
    if width is not None:
        across = max(1, min(across, int(width / style.panel[0])))
    down = -(-len(parts) // across)
    if width is None:
        least = (16.3, style.panel[1]) if across == 1 else style.panel
        size = (least[0] * across / CENTIMETRES, 0.9 + (least[1] + (3.0 if grids else 0.0)) * down / CENTIMETRES)
    else:
        tall = style.panel[1] * (1.3 if grids else 1.0)
        size = (width / CENTIMETRES, (style.panel[1] / 5 + tall * down) / CENTIMETRES)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for part, axis in zip(parts, axes, strict=False):
        if isinstance(part, Grid):
            _draw_grid(figure, axis, part, rows_where(table, part.where))
        else:
            _draw_panel(axis, part, table)
    for axis in axes[len(parts) :]:
        axis.set_axis_off()
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if handles:
        # As many columns as the longest name lets stand side by side.
        longest = max(len(label) for label in handles) + 6
        ncols = max(1, min(4, len(handles), int(size[0] * 72 / (longest * style.small * 0.55))))
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=ncols, frameon=False)
    return figure


def _draw_panel(axis: Axes, panel: Panel, table: pd.DataFrame) -> None:
    if panel.band:
        axis.axhspan(*panel.band, color="#BBBBBB", alpha=0.3, linewidth=0)
    words = len(panel.lines) > 0 and not pd.api.types.is_numeric_dtype(table[panel.x])
    if words:
        # In the table's order, those without a value too.
        axis.xaxis.update_units(table[panel.x].astype(str))  # type: ignore[no-untyped-call]
        axis.tick_params(axis="x", rotation=30)
    for line in panel.lines:
        _draw_line(axis, line, panel, rows_where(table, line.where))
        if line.text:
            _draw_words(axis, line, panel, rows_where(table, line.where))
    if np.isfinite(panel.rule):
        axis.axhline(panel.rule, color="#999999", linewidth=0.8, linestyle="--", label=panel.rule_name or None)
    # To set the scale anew, even to what it is, would take the words off an axis of words.
    if panel.x_log:
        axis.set_xscale("log")
    if panel.y_log:
        axis.set_yscale("log", nonpositive="mask")
    if panel.y_range:
        axis.set_ylim(*panel.y_range)
    if panel.x_range:
        axis.set_xlim(*panel.x_range)
    axis.set_ylabel(literal(panel.y_label))
    axis.set_title(literal(panel.title), loc="left")
    _plain_axis(axis, literal(panel.x_label))


def _draw_line(axis: Axes, line: Line, panel: Panel, data: pd.DataFrame) -> None:
    data = data[np.isfinite(data[line.y].to_numpy(float))]
    x = data[line.x or panel.x]
    if panel.x_log:
        data, x = data[x > 0], x[x > 0]
    colour, label = COLOURS[line.colour], literal(line.name)
    points = line.style in ("points", "joined")
    if not len(data):
        return
    if points:
        axis.plot(x, data[line.y], "o-" if line.style == "joined" else "o", color=colour, label=label)
    else:
        axis.plot(x, data[line.y], _STYLES[line.style], color=colour, label=label)
    if not line.low:
        return
    low, high = data[line.low].to_numpy(float), data[line.high].to_numpy(float)
    if points:
        middle = data[line.y].to_numpy(float)
        there = np.isfinite(low) & np.isfinite(high)
        axis.vlines(np.asarray(x)[there], np.minimum(low, middle)[there], high[there], color=colour, linewidth=1)
    else:
        axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _draw_words(axis: Axes, line: Line, panel: Panel, data: pd.DataFrame) -> None:
    """Words of points above the axes, where no point can lie on them, a thin line from each down to its points; those that would overlap
    stand on rows of their own."""
    data = data[np.isfinite(data[line.y].to_numpy(float)) & (data[line.text] != "")].drop_duplicates([panel.x, line.text])
    data = data.sort_values(line.x or panel.x)
    axis.margins(x=0.12)
    axis.autoscale_view()
    low, high = axis.get_xlim()
    ends: list[float] = []
    for x, words in zip(data[line.x or panel.x].astype(float), data[line.text].astype(str), strict=True):
        # In shares of the axis; a letter is about a sixtieth of a panel.
        half, place = len(words) / 120 + 0.01, (x - low) / (high - low)
        row = next((number for number, end in enumerate(ends) if place - half > end), len(ends))
        ends[row:row] = [] if row < len(ends) else [0.0]
        ends[row] = place + half
        axis.axvline(x, color="#BBBBBB", linewidth=0.6, zorder=0)
        axis.annotate(literal(words), (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 3 + 11 * row), textcoords="offset points",
                      ha="center", fontsize="small")  # fmt: skip


def _draw_grid(figure: Figure, axis: Axes, grid: Grid, table: pd.DataFrame) -> None:
    xs, ys = ([*dict.fromkeys(table[name])] for name in (grid.x, grid.y))
    if not grid.text:
        xs, ys = _blank_last(xs), _blank_last(ys)
    cells = np.full((len(ys), len(xs)), np.nan)
    for row in table.to_dict("records"):
        down, along = ys.index(row[grid.y]), xs.index(row[grid.x])
        cells[down, along] = row[grid.value]
        if grid.text:
            axis.text(
                along,
                down,
                literal(str(row[grid.text]).replace("; ", "\n")),
                ha="center",
                va="center",
                fontsize="small",
                color="black",
                linespacing=0.95,
            )
    most = grid.most if np.isfinite(grid.most) else (np.nanmax(cells) if np.isfinite(cells).any() else 1.0)
    least = np.nanmin(cells) if grid.log and np.isfinite(cells).any() else -most if grid.below else 0.0
    scale = LogNorm(least, max(most, least * 1.0001)) if grid.log else Normalize(least, most)
    # Words are read on cells that are not too deep.
    ends = [_paler(COLOURS[name]) if grid.text else COLOURS[name] for name in (grid.below, grid.colour) if name]
    shades = LinearSegmentedColormap.from_list("kind", [ends[0], "#F4F4F4", ends[1]] if grid.below else ["#F4F4F4", ends[0]])
    image = axis.imshow(
        cells,
        cmap=shades,
        norm=scale,
        aspect="auto",
        extent=(-0.5, len(xs) - 0.5, len(ys) - 0.5, -0.5),
        interpolation="nearest",
    )
    for place in range(1, len(xs)):
        axis.axvline(place - 0.5, color="white", linewidth=1)
    for place in range(1, len(ys)):
        axis.axhline(place - 0.5, color="white", linewidth=1)
    axis.set_xticks(range(len(xs)), [literal(str(x)) for x in xs], rotation=45 if len(xs) > 6 and max(len(str(x)) for x in xs) > 2 else 0)
    axis.set_yticks(range(len(ys)), [literal(str(y)) for y in ys])
    axis.set(xlabel=literal(grid.x_label), ylabel=literal(grid.y_label))
    axis.set_title(literal(grid.title), loc="left")
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, shrink=0.8)


def _paler(colour: str) -> str:
    return "#" + "".join(f"{(int(colour[place : place + 2], 16) + 255) // 2:02x}" for place in (1, 3, 5))


def _blank_last(names: list[Any]) -> list[Any]:
    return [*sorted((name for name in names if name != "blank"), key=_by_number), *(name for name in names if name == "blank")]


def _by_number(name: Any) -> tuple[float, str]:
    try:
        return float(name), str(name)
    except ValueError:
        return float("inf"), str(name)


def _flow_figure(flow: Flow, table: pd.DataFrame, style: Style, width: float | None) -> Figure:
    """Ribbons between nodes; a node is as high as what flows through it."""
    links: dict[tuple[str, str], int] = {}
    size: dict[str, int] = {}
    for source, target, count in zip(table["source"], table["target"], table["count"], strict=True):
        links[str(source), str(target)] = links.get((str(source), str(target)), 0) + int(count)
    for name in flow.nodes:
        into, out = (sum(count for ends, count in links.items() if ends[end] == name) for end in (1, 0))
        if max(into, out):
            size[name] = max(into, out)
    columns: dict[int, list[str]] = {}
    for name in flow.nodes:
        if name in size:
            columns.setdefault(flow.nodes[name].column, []).append(name)
    total = max(sum(size[name] for name in names) for names in columns.values())
    unit = 0.72 / total
    place: dict[str, float] = {}
    for names in columns.values():
        gap = (1 - unit * sum(size[name] for name in names)) / (len(names) + 1)
        top = 1 - gap
        for name in names:
            place[name] = top
            top -= unit * size[name] + gap
    inches = 10.0 if width is None else width / CENTIMETRES
    figure = Figure(figsize=(inches, 5.6 if width is None else max(0.56 * inches, 3.0)))
    axis = figure.add_axes((0.02, 0.02, 0.96, 0.88 if style.titled else 0.96))
    # Room on the right for names of the last column, which take as much however narrow the figure is.
    axis.set(xlim=(-0.02, 1.02 + max(0.12, style.small * 0.1 / inches)), ylim=(0, 1))
    axis.set_axis_off()
    thick = 0.018
    left, right = dict(place), dict(place)
    order = sorted(links.items(), key=lambda link: (-place[link[0][0]], -place[link[0][1]]))
    for (source, target), count in order:
        height = unit * count
        start, end = flow.nodes[source].column * 0.49 + thick, flow.nodes[target].column * 0.49
        axis.add_patch(_ribbon(start, left[source], end, right[target], height, COLOURS[flow.nodes[target].colour]))
        left[source] -= height
        right[target] -= height
    for name, count in size.items():
        node = flow.nodes[name]
        x, text = node.column * 0.49, f"{literal(name)}\n{count // node.per:,}{node.unit}"
        axis.add_patch(Rectangle((x, place[name] - unit * count), thick, unit * count, color=COLOURS[node.colour], linewidth=0))
        axis.text(x + thick + 0.006, place[name] - unit * count / 2, text, va="center", fontsize=style.small)
    return figure


def _ribbon(x0: float, y0: float, x1: float, y1: float, height: float, colour: str) -> PathPatch:
    middle = (x0 + x1) / 2
    points = [
        (x0, y0),
        (middle, y0),
        (middle, y1),
        (x1, y1),
        (x1, y1 - height),
        (middle, y1 - height),
        (middle, y0 - height),
        (x0, y0 - height),
    ]
    codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3, Outline.CLOSEPOLY]
    return PathPatch(Outline([*points, points[0]], codes), facecolor=colour, alpha=0.35, linewidth=0)


def draw_toy(columns: Mapping[str, np.ndarray], path: Path) -> None:
    """Accuracy and the usage of each pattern over time, from the columns of `pattern_model.model_table`."""
    known_format(path)
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    left.plot(columns["t"], columns["train_accuracy"], ":", color="#000000", label="train accuracy")
    left.plot(columns["t"], columns["test_accuracy"], "-", color="#000000", label="test accuracy")
    for number, name in enumerate(name for name in columns if name.startswith("u")):
        colour = list(COLOURS.values())[number % 4]
        right.plot(columns["t"], columns[f"p{name[1:]}"], ":", color=colour, label=f"pattern {name[1:]} fires")
        right.plot(columns["t"], columns[name], "-", color=colour, label=f"pattern {name[1:]} is used")
    for axis in (left, right):
        axis.set_ylim(0, 1.02)
        _plain_axis(axis, "time")
        axis.legend(frameon=False, fontsize="small")
    left.set_ylabel("accuracy")
    right.set_ylabel("probability")
    _save(figure, path)


def draw_bands(bands: pd.DataFrame, margin: float, path: Path) -> None:
    """The comparator's two ratios over time: the error on doubles against the product rule, and the preference on conflicts.

    Args:
        bands: of one comparison (`verdicts.BANDS`).
        margin: factor up to which the first ratio counts as agreement.
        path: file to write; the suffix chooses the format.

    Raises CurvesError if the comparison has no bands.
    """
    known_format(path)
    if bands.empty:
        raise CurvesError(
            "the comparison has nothing to draw over time: it needs doubles or conflicts beside the one-sided curves, at several steps"
        )
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, kind, (question, model), label in (
        (left, "both", ("doubles", "product"), "doubles: measured / predicted error"),
        (right, "conflict", ("preference", ""), "conflicts: preference λ for the top"),
    ):
        chosen = (bands["question"] == question) & (bands["model"].fillna("") == model)
        band = bands[chosen & np.isfinite(bands["estimate"])].sort_values("step")
        used = band[band["used"].astype(bool)]
        axis.plot(band["step"], band["estimate"], color=COLOURS[kind], linewidth=0.8)
        axis.plot(used["step"], used["estimate"], "o", markersize=4, color=COLOURS[kind], label="judged steps")
        axis.fill_between(band["step"], band["low"], band["high"], color=COLOURS[kind], alpha=0.15, linewidth=0)
        axis.set_title(label, loc="left", fontsize="medium")
        axis.set_xscale("symlog", linthresh=1, linscale=0.3)
        axis.set_xlim(0, max(1, bands["step"].max()))
        _plain_axis(axis, "training step")
        axis.legend(frameon=False, loc="lower left")
    left.axhspan(1 / margin, margin, color="#BBBBBB", alpha=0.3, linewidth=0)
    left.set_yscale("log")
    left.set_ylim(0.25, 4)
    left.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    left.minorticks_off()
    right.set_ylim(-0.3, 1.3)
    right.set_yticks([0, 0.5, 1], ["0: bottom", "½: equal", "1: top"])
    _save(figure, path)


def _plain_axis(axis: Axes, label: str) -> None:
    axis.set_xlabel(label)
    for side in (axis.xaxis, axis.yaxis):
        if side.get_scale() == "log":
            low, high = sorted(side.get_view_interval())
            decades = np.log10(high / max(low, 1e-12))
            side.set_major_locator(
                LogLocator(subs=(1.0,) if decades > 3 else (1.0, 2.0, 5.0) if decades > 0.7 else (1, 2, 3, 4, 5, 6, 7, 8, 9))
            )
            side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            side.set_minor_formatter(NullFormatter())
    axis.grid(color="#EEEEEE")
    axis.spines[["top", "right"]].set_visible(False)


def known_format(path: Path, option: str = "--out") -> None:
    """Refuse a still with another suffix than STILL_FORMATS; `option` names it. Raises OutputError."""
    if path.suffix.lower() not in STILL_FORMATS:
        raise OutputError(
            f"{path}: a figure is written as {', '.join(STILL_FORMATS)}, got '{path.suffix}'; pass {option} with one of these"
        )
