"""The data of each figure, and its drawing."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dominoes import files
from dominoes.dataset import Dominoes
from dominoes.decoding import SIZE
from dominoes.errors import CurvesError, OutputError

# Okabe and Ito's palette: the same colour for a kind everywhere, distinct for colour-blind readers and in print.
COLOURS = {"top": "#0072B2", "bottom": "#D55E00", "both": "#009E73", "conflict": "#CC79A7", "empty": "#7F7F7F"}
_FORMATS = (".png", ".svg", ".pdf")
_PER_ROW = 10


def one_sided(table: pd.DataFrame) -> pd.DataFrame:
    """The one-sided curves over seeds: columns split, kind, metric, step, mean, low, high, seeds; low and high are the extreme seeds.

    Args:
        table: curves (`curves.CURVES`) of runs that differ in nothing but the seed.

    Raises CurvesError if there is no one-sided curve.
    """
    sides = table[table["kind"].isin(["top", "bottom"])]
    if sides.empty:
        raise CurvesError("there are no one-sided curves (kinds top and bottom) to draw; measure runs with 'dominoes train'")
    long = sides.melt(["split", "kind", "step", "run"], ["loss", "accuracy"], "metric")
    groups = long.groupby(["split", "kind", "metric", "step"], sort=True)["value"]
    return groups.agg(mean="mean", low="min", high="max", seeds="size").reset_index()


def draw_one_sided(tables: Mapping[str, pd.DataFrame], path: Path, *, classes: int | None) -> None:
    """Loss and accuracy on one-sided dominoes over steps, a row of two panels for each table, as PNG, SVG or PDF.

    Args:
        tables: by title, curves of runs that differ in nothing but the seed.
        path: file to write; the suffix chooses the format.
        classes: K, for the lines of chance; None draws none.
    """
    _known_format(path)
    figure = Figure(figsize=(10, 0.6 + 3.4 * len(tables)), layout="constrained")
    grid = figure.subplots(len(tables), 2, squeeze=False)
    for (title, table), axes in zip(tables.items(), grid, strict=True):
        data = one_sided(table)
        chances = (log(classes), 1 / classes) if classes else (None, None)
        for metric, chance, axis in zip(("loss", "accuracy"), chances, axes, strict=True):
            _draw_metric(axis, data[data["metric"] == metric], chance)
            axis.set_ylabel("cross-entropy (nats)" if metric == "loss" else "accuracy")
        axes[0].set_ylim(bottom=0)
        axes[1].set_ylim(0, 1.02)
        seeds = data["seeds"].max()
        band = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
        axes[0].set_title(title, loc="left", fontsize="medium")
        axes[1].set_title(band, loc="right", fontsize="small", color="#555555")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _draw_metric(axis: Axes, data: pd.DataFrame, chance: float | None) -> None:
    for (kind, split), curve in data.sort_values("kind", ascending=False).groupby(["kind", "split"], sort=False):
        style = "-" if split == "test" else ":"
        axis.plot(curve["step"], curve["mean"], style, color=COLOURS[str(kind)], label=f"{kind} only, {split}")
        axis.fill_between(curve["step"], curve["low"], curve["high"], color=COLOURS[str(kind)], alpha=0.15, linewidth=0)
    if chance is not None:
        axis.axhline(chance, color="#999999", linewidth=0.8, linestyle="--", label="chance")
    # Linear up to step 1, so that step 0 is on the axis.
    axis.set_xscale("symlog", linthresh=1, linscale=0.3)
    axis.set_xlim(left=0)
    _plain_axis(axis, "training step")


def draw_toy(columns: Mapping[str, np.ndarray], path: Path) -> None:
    """Accuracy and the usage of each pattern over time, from the columns of `patterns.table`."""
    _known_format(path)
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
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_bands(bands: pd.DataFrame, margin: float, path: Path) -> None:
    """The comparator's two ratios over time: the error on doubles against the product rule, and the preference on conflicts.

    Args:
        bands: of one comparison (`verdicts.BANDS`).
        margin: factor up to which the first ratio counts as agreement.
        path: file to write; the suffix chooses the format.

    Raises CurvesError if the comparison has no bands.
    """
    _known_format(path)
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
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_onsets(table: pd.DataFrame, path: Path) -> None:
    """Onsets against the yardstick: of the side that is dialled, each setting named, and of the other side beside it.

    A dot a seed; lines join the geometric means of settings at which every seed has an onset.

    Args:
        table: as `explanation.onsets` gives it.
        path: file to write; the suffix chooses the format.
    """
    _known_format(path)
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axis = figure.subplots()
    (dialled, *_), time = table["dialled"].unique(), table["time"].iloc[0]
    table = table[table["dialled"] == dialled]
    for side, rows in table.groupby("side"):
        colour = COLOURS[str(side)]
        axis.plot(rows["length"], rows["onset"], "o", markersize=3, color=colour, alpha=0.5)
        logs = rows.assign(onset=np.log(rows["onset"]))
        known = logs[~logs["length"].isin(logs.loc[logs["onset"].isna(), "length"])]
        means = known.groupby(["length", "setting"], as_index=False)["onset"].mean()
        means["onset"] = np.exp(means["onset"])
        axis.plot(
            means["length"], means["onset"], "-", color=colour, linewidth=0.8, label=f"{side} half{' (dialled)' if side == dialled else ''}"
        )
        for point in means.itertuples() if side == dialled else ():
            axis.annotate(str(point.setting), (point.length, point.onset), xytext=(4, -10), textcoords="offset points", fontsize="small")
    axis.set_yscale("log")
    axis.set_ylabel(f"onset on dominoes, {time}")
    axis.margins(x=0.2)
    _plain_axis(axis, f"code length of the {dialled} half alone, nats per label")
    axis.legend(frameon=False)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _plain_axis(axis: Axes, label: str) -> None:
    axis.set_xlabel(label)
    axis.grid(color="#EEEEEE")
    axis.spines[["top", "right"]].set_visible(False)


def preview_groups(dominoes: Dominoes) -> dict[str, np.ndarray]:
    """Rows of the dataset by kind, right and wrong halves apart; only those that occur."""
    deal = dominoes.deal
    right = {side: deal.shown[side] == deal.label for side in ("top", "bottom")}
    found: dict[str, np.ndarray] = {}
    for kind in ("top", "bottom"):
        rows = deal.of_kind(kind)
        found[f"{kind}: right"], found[f"{kind}: wrong"] = rows[right[kind][rows]], rows[~right[kind][rows]]
    rows = deal.of_kind("both")
    for name, top, bottom in (("right", 1, 1), ("bottom wrong", 1, 0), ("top wrong", 0, 1), ("wrong", 0, 0)):
        found[f"both: {name}"] = rows[(right["top"][rows] == top) & (right["bottom"][rows] == bottom)]
    found["empty"] = deal.of_kind("empty")
    return {name: rows for name, rows in found.items() if len(rows)}


def draw_preview(dominoes: Dominoes, path: Path) -> None:
    """A grid of the first dominoes of each group of `preview_groups`, each with its label above it."""
    _known_format(path)
    groups = preview_groups(dominoes)
    gap, title = 6, 12
    height, width = 2 * SIZE + gap + title, SIZE + gap
    canvas = np.full((height * len(groups), width * _PER_ROW, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(0.52 * _PER_ROW + 1.6, 0.98 * len(groups) + 0.1))
    axis = figure.add_axes((1.5 / figure.get_figwidth(), 0, 1 - 1.5 / figure.get_figwidth(), 1))
    for number, (name, rows) in enumerate(groups.items()):
        shown = dominoes.compose(rows[:_PER_ROW]).permute(0, 2, 3, 1).numpy()
        for column, (row, picture) in enumerate(zip(rows, shown, strict=False)):
            y, x = number * height + title, column * width
            canvas[y : y + 2 * SIZE, x : x + SIZE] = picture
            label = dominoes.classes[int(dominoes.targets[row])]
            axis.text(x + SIZE / 2, y - 3, _shorten(label), ha="center", va="bottom", fontsize=6)
        axis.text(-4, number * height + title + SIZE, f"{name}\n{len(rows)}", ha="right", va="center", fontsize=8)
    axis.imshow(canvas, interpolation="nearest", aspect="equal")
    axis.set_axis_off()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=200)


def _shorten(label: str, most: int = 12) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _known_format(path: Path) -> None:
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"{path}: a figure is written as {', '.join(_FORMATS)}, got '{path.suffix}'; pass --out with one of these")
