"""Examples of each kind of domino as a picture and a table."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dominoes import files
from dominoes.data.locations import SIZE
from dominoes.reporting.stills import PER_ROW, known_format, literal

if TYPE_CHECKING:
    from dominoes.data.dominoes import Dominoes


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
    known_format(path)
    with files.replacing(path) as temporary:
        _preview(dominoes).savefig(temporary, dpi=200)


def preview_table(dominoes: Dominoes) -> pd.DataFrame:
    """What `draw_preview` shows: columns group, in_group, index, label, top_index, bottom_index (−1 where blank)."""
    parts = []
    for name, chosen in preview_groups(dominoes).items():
        shown = chosen[:PER_ROW]
        columns = {"group": name, "in_group": len(chosen), "index": shown, "label": dominoes.deal.label[shown]}
        parts.append(pd.DataFrame(columns | {f"{side}_index": dominoes.deal.index[side][shown] for side in ("top", "bottom")}))
    return pd.concat(parts, ignore_index=True)


def preview_png(dominoes: Dominoes) -> bytes:
    """The same grid as the bytes of a PNG file, small enough for a page."""
    buffer = io.BytesIO()
    _preview(dominoes).savefig(buffer, dpi=120, format="png")
    return buffer.getvalue()


def _preview(dominoes: Dominoes) -> Figure:
    groups = preview_groups(dominoes)
    gap, title = 8, 18
    height, width = 2 * SIZE + gap + title, SIZE + gap
    canvas = np.full((height * len(groups), width * PER_ROW, 3), 255, dtype=np.uint8)
    # Each domino so wide that the name of its class can be read above it, on a page and in print.
    cell, margin = 0.84, 1.6
    figure = Figure(figsize=(cell * PER_ROW + margin, cell * height / width * len(groups) + 0.1))
    axis = figure.add_axes((margin / figure.get_figwidth(), 0, 1 - margin / figure.get_figwidth(), 1))
    for number, (name, chosen) in enumerate(groups.items()):
        shown = dominoes.compose(chosen[:PER_ROW]).permute(0, 2, 3, 1).numpy()
        for column, (row, picture) in enumerate(zip(chosen, shown, strict=False)):
            y, x = number * height + title, column * width
            canvas[y : y + 2 * SIZE, x : x + SIZE] = picture
            label = dominoes.classes[int(dominoes.targets[row])]
            axis.text(x + SIZE / 2, y - 2, _shorten(label), ha="center", va="bottom", fontsize=9, linespacing=0.95)
        axis.text(-4, number * height + title + SIZE, f"{name}\n{len(chosen)}", ha="right", va="center", fontsize=11)
    axis.imshow(canvas, interpolation="nearest", aspect="equal")
    axis.set_axis_off()
    return figure


def _shorten(label: str, most: int = 11) -> str:
    """The names of a class on two lines, where the sides name it differently."""
    return literal("\n".join(part if len(part) <= most else part[: most - 1] + "…" for part in label.split("/", 1)))
