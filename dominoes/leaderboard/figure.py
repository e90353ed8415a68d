"""Figures of a board: skill by theory and task, and measured against forecast curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dominoes import files
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.tasks import TASKS
from dominoes.spec import SIDES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Curves that stand for a task in its figure.
_SHOWN = {
    "doubles": (("both", "accuracy"),),
    "conflicts": (("conflict", "agree_top"), ("conflict", "agree_bottom")),
    "competition": tuple((side, "accuracy") for side in SIDES),
}
_SIDES = tuple((side, "accuracy") for side in SIDES)
_MOST_SPECS = 8
# Colours are ten; more theories than that have other dashes.
_STYLES = ("-", "--", ":")


def heat_map(table: pd.DataFrame, path: Path) -> None:
    """Skill by theory (rows, best first) and task (columns), with intervals, as .png, .svg or .pdf. Raises OutputError.

    Colours run from −1 (worse than copying) over 0 (as good as copying) to 1 (the noise ceiling); what lies beyond has the end's colour.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    present = [task for task in TASKS if (table["task"] == task).any()]
    order = table.groupby("theory", sort=False)["skill"].mean().sort_values(ascending=False, na_position="last", kind="stable").index
    values = np.full((len(order), len(present)), np.nan)
    # Title and colour bar need their room however few cells there are.
    size = max(2.2 + 1.35 * len(present), 6.5), max(1.1 + 0.42 * len(order), 3.6)
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    try:
        rows = {(row["theory"], row["task"]): row for row in table.to_dict("records")}
        for down, theory in enumerate(order):
            for along, task in enumerate(present):
                row = rows.get((theory, task))
                if row is None:
                    continue
                values[down, along] = skill = float(row["skill"])
                text = "–" if not math.isfinite(skill) else f"{skill:.2f}\n{row['low']:.2f} to {row['high']:.2f}"
                ax.text(along, down, text, ha="center", va="center", fontsize=7, color="black")
        image = ax.imshow(
            np.clip(values, -1, 1), cmap="RdYlBu", vmin=-1.7, vmax=1.7, aspect="auto"
        )  # pale ends, so that numbers can be read
        ax.set_xticks(range(len(present)), present)
        ax.set_yticks(range(len(order)), list(order))
        first = table.iloc[0]
        ax.set_title(f"Skill (95 % interval), edition {first['edition']}, evaluator {first['evaluator']}", fontsize=9)
        fig.colorbar(image, ax=ax, label="0: copies the nearest spec, 1: noise ceiling", shrink=0.8)
        with files.replacing(Path(path)) as temporary:
            fig.savefig(temporary, dpi=150)
    finally:
        plt.close(fig)


def forecasts(edition: Edition, answers: dict[str, pd.DataFrame], task: str, path: Path) -> None:
    """Measured (dots, mean over runs) and forecast curves (lines, one a theory) of up to eight specs of one task. Raises OutputError.

    Args:
        answers: theory -> its forecasts (`asking.FORECASTS`).
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    curves = _SHOWN.get(task, _SIDES)
    keys = sorted({(str(row.study), str(row.spec)) for table in answers.values() for row in table[table["task"] == task].itertuples()})
    chosen = [keys[place] for place in np.unique(np.linspace(0, len(keys) - 1, min(_MOST_SPECS, len(keys))).astype(int))] if keys else []
    down, across = len(curves), max(len(chosen), 1)
    size = (1 + 2.3 * across, 0.8 + 2.2 * down)
    fig, axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained", sharex=True, sharey="row")
    try:
        for along, key in enumerate(chosen):
            for down, curve in enumerate(curves):
                _panel(axes[down, along], edition, key, curve, {name: table[table["task"] == task] for name, table in answers.items()})
                axes[down, along].set_title(f"{key[0]} {key[1]}" if down == 0 else "", fontsize=7)
                axes[down, 0].set_ylabel(f"{curve[0]}: {curve[1]}")
        for ax in axes[-1]:
            ax.set_xlabel("step")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
        with files.replacing(Path(path)) as temporary:
            fig.savefig(temporary, dpi=150)
    finally:
        plt.close(fig)


def _panel(ax: Axes, edition: Edition, key: tuple[str, str], curve: tuple[str, str], answers: dict[str, pd.DataFrame]) -> None:
    runs = edition.arrays[key]
    after = runs.steps > 0
    if curve in runs.values:
        ax.plot(runs.steps[after], runs.values[curve].mean(axis=0)[after], "k.", markersize=3, label="measured")
    for number, (name, table) in enumerate(answers.items()):
        rows = table[(table["study"] == key[0]) & (table["spec"] == key[1]) & (table["kind"] == curve[0]) & (table["metric"] == curve[1])]
        first = rows[rows["fold"] == rows["fold"].iloc[0]].sort_values("step") if len(rows) else rows
        ax.plot(
            first["step"], first["mean"], linewidth=1, color=f"C{number % 10}", linestyle=_STYLES[number // 10 % len(_STYLES)], label=name
        )
    ax.set_xscale("log")
