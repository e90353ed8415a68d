"""The headline numbers of a study as a still: what is known late, what conflicts are answered with, and when each half is learned."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dominoes import files
from dominoes.errors import CurvesError
from dominoes.reporting import stills
from dominoes.reporting.chart import COLOURS
from dominoes.studies.quantities import POINTS

# By panel, the quantities that it shows with name and colour.
_PANELS = {
    "late test accuracy": (("late accuracy top", "top only", "top"), ("late accuracy bottom", "bottom only", "bottom"),
                           ("late accuracy both", "both", "both")),
    "share of conflicts answered with": (("conflicts as top", "the top's class", "top"), ("conflicts as bottom", "the bottom's class",
                                       "bottom")),
    "onset (step, logarithmic)": (("onset top", "top only", "top"), ("onset bottom", "bottom only", "bottom")),
}  # fmt: skip
# Characters a line of a point's name.
_LABEL = 44


def draw_headlines(headlines: pd.DataFrame, path: Path) -> None:
    """Draw the numbers of every point with their intervals; points stand below each other in their order.

    Raises OutputError (suffix, or not writable), CurvesError if there is no point.
    """
    stills.known_format(path)
    table = headlines[headlines["part"] == POINTS]
    points = list(dict.fromkeys(table["point"]))
    if not points:
        raise CurvesError("there is no point to draw; expected headline numbers of a study")
    # A name and its value stay on one line.
    labels = [textwrap.fill(", ".join(part.replace(" ", "\u00a0") for part in point.split(", ")), _LABEL) for point in points]
    lines_each = max(label.count("\n") + 1 for label in labels)
    longest = max(len(line) for label in labels for line in label.split("\n"))
    figure = Figure(figsize=(9 + 0.075 * longest, 1.6 + max(0.34, 0.19 * lines_each) * len(points)), layout="constrained")
    axes = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False).ravel()
    for axis, (title, lines) in zip(axes, _PANELS.items(), strict=True):
        for place, (quantity, name, colour) in enumerate(lines):
            rows = table[table["quantity"] == quantity].drop_duplicates("point").set_index("point").reindex(points)
            estimate = rows["estimate"].to_numpy(float)
            reach = np.abs(rows[["low", "high"]].to_numpy(float).T - estimate)
            at = np.arange(len(points)) + 0.16 * (place - (len(lines) - 1) / 2)
            axis.errorbar(estimate, at, xerr=np.nan_to_num(reach), fmt="o", markersize=4, linewidth=1.2, color=COLOURS[colour], label=name)
        axis.set_xlabel(title)
        axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(lines), frameon=False, fontsize="small", handletextpad=0.2)
        if "onset" in title:
            axis.set_xscale("log")
            low, high = axis.get_xlim()
            # Two seeds may leave an interval of many decades, which has no room for more than their names.
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high < 1000 * low else LogLocator(numticks=4))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter("{x:g}")
        else:
            axis.set_xlim(0, 1)
    axes[0].set_yticks(range(len(points)), [stills.literal(label) for label in labels], fontsize="small")
    axes[0].set_ylim(len(points) - 0.5, -0.5)
    with files.replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "dominoes"}):
        figure.savefig(temporary, dpi=110)
