"""The charts of a leaderboard's board: skill by theory and task, and forecasts beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dominoes.errors import DominoesError
from dominoes.leaderboard import board as boards
from dominoes.leaderboard import collecting
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.tasks import TASKS
from dominoes.reporting.chart import HUES, Chart, Grid, Line, Panel
from dominoes.spec import SIDES

BOARD, FORECASTS = "board.csv", "forecasts.parquet"
# Curves that stand for a task.
_SHOWN = {"doubles": (("both", "accuracy"),), "conflicts": (("conflict", "agree_top"), ("conflict", "agree_bottom"))}
_SIDES = tuple((side, "accuracy") for side in SIDES)
_LABELS = {"accuracy": "accuracy", "agree_top": "answers the top's class", "agree_bottom": "answers the bottom's class"}
_MOST_SPECS, _MOST_THEORIES = 12, len(HUES)


@dataclass(frozen=True)
class ShownBoard:
    """A board, and what its forecasts are drawn from where that is at hand.

    Attributes:
        table: columns `leaderboard.board.BOARD`.
        forecasts: theory -> its forecasts; None without.
        edition: the curves that were asked about; None without.
        notes: why there are no forecasts.
    """

    table: pd.DataFrame
    forecasts: Mapping[str, pd.DataFrame] | None
    edition: Edition | None
    notes: tuple[str, ...] = ()


def find_board(
    paths: Sequence[Path], *, board: Path | None = None, forecasts: Path | None = None, edition: str | None = None
) -> ShownBoard | None:
    """The board that is given, else the `board.csv` that lies in one of the folders; None if there is none.

    Args:
        paths: results that are reported.
        board: of `dominoes leaderboard run --out`.
        forecasts: of its `--forecasts`; None: `forecasts.parquet` beside the board, if it is there.
        edition: as of `--edition`; None: the board's own, if its folder lies beside the board or the package has it.

    Raises LeaderboardError: what is given is not what it should be.
    """
    beside = [path / BOARD for path in paths if (path / BOARD).is_file()]
    path = board or (beside[0] if beside else None)
    if path is None:
        return None
    table = boards.read_board(path)
    kept = forecasts or path.with_name(FORECASTS)
    if forecasts is None and not kept.is_file():
        return ShownBoard(
            table, None, None, (f"no forecasts are drawn: there is no {FORECASTS} beside the board ('leaderboard run --forecasts')",)
        )
    answers = boards.read_forecasts(kept)
    name, digest = (str(table[column].iloc[0]) for column in ("edition", "digest"))
    beside_it = path.parent / name
    try:
        found = collecting.find_edition(edition or (str(beside_it) if beside_it.is_dir() else name))
    except DominoesError:
        if edition is not None:
            raise
        return ShownBoard(table, answers, None, (f"no forecasts are drawn: there is no edition {name} here; pass --edition DIR",))
    if found.digest != digest:
        return ShownBoard(
            table, answers, None, (f"no forecasts are drawn: edition {found.name} has digest {found.digest}, the board's has {digest}",)
        )
    return ShownBoard(table, answers, found)


def charts(board: ShownBoard) -> tuple[list[Chart], list[str]]:
    """The heat map, and a figure of forecasts for each task that has some; and notes."""
    found = [skills_chart(board.table)]
    for task in TASKS if board.forecasts is not None and board.edition is not None else ():
        chart = measured_chart(board, task)
        if chart is not None:
            found.append(chart)
    return found, list(board.notes)


def skills_chart(table: pd.DataFrame) -> Chart:
    """Skill by theory (rows, best first) and task (columns), with its interval in the cell."""
    order = _by_skill(table)
    tasks = [task for task in TASKS if (table["task"] == task).any()]
    rows = {(row["theory"], row["task"]): row for row in table.to_dict("records")}
    cells = [_cell(rows[theory, task]) for theory in order for task in tasks if (theory, task) in rows]
    first = table.iloc[0]
    without = [task for task in tasks if not np.isfinite(table.loc[table["task"] == task, "skill"]).any()]
    none = f" No skill can be told in {', '.join(without)}: the data link says why." if without else ""
    caption = (
        "Skill and its 95 % interval over specs, then over seeds and deals: 0 copies the nearest spec, 1 is the noise ceiling, below 0 is "
        f"worse than copying. Edition {first['edition']} ({first['digest']}), evaluator {first['evaluator']}. Colours end at ±1.{none}"
    )
    grid = Grid("", "task", "theory", "task", "theory", "shown", "top", 1.0, text="words", below="bottom")
    columns = ["theory", "task", "skill", "low", "high", "cells", "left_out", "rmse", "coverage", "status", "shown", "words"]
    return Chart("board-skill", "Skill by theory and task", caption, pd.DataFrame(cells, columns=columns), (grid,))


def _cell(row: Mapping[Any, Any]) -> dict[str, Any]:
    skill = float(row["skill"])
    words = f"{skill:.2f}; {row['low']:.2f} to {row['high']:.2f}" if math.isfinite(skill) else "–"
    return {str(name): value for name, value in row.items()} | {"shown": float(np.clip(skill, -1, 1)), "words": words}


def _by_skill(table: pd.DataFrame) -> list[str]:
    means = table.groupby("theory", sort=False)["skill"].mean()
    return [str(name) for name in means.sort_values(ascending=False, na_position="last", kind="stable").index]


def measured_chart(board: ShownBoard, task: str) -> Chart | None:
    """Measured curves (dots: mean over runs, bars: lowest to highest) and the forecasts of the theories with most skill, spec by spec; None
    where none was asked."""
    assert board.forecasts is not None
    assert board.edition is not None
    asked = {name: table[table["task"] == task] for name, table in board.forecasts.items()}
    keys = sorted({key for table in asked.values() for key in zip(table["study"].astype(str), table["spec"].astype(str), strict=True)})
    if not keys:
        return None
    shown = [keys[place] for place in np.unique(np.linspace(0, len(keys) - 1, min(_MOST_SPECS, len(keys))).astype(int))]
    # By their skill over all tasks, so that a theory has one colour in all figures.
    ranked = [name for name in _by_skill(board.table) if name in asked][:_MOST_THEORIES]
    names = [name for name in ranked if len(asked[name])]
    curves = _SHOWN.get(task, _SIDES)
    table = pd.DataFrame(list(_rows(board.edition, {name: asked[name] for name in names}, shown, curves)))
    if not len(table):
        return None
    panels = []
    for kind, metric in curves:
        where = {"curve": f"{kind}, {metric}"}
        lines = [Line("measured", "measured", "empty", "low", "high", "points", where)]
        lines += [Line(f"of {name}", name, HUES[ranked.index(name)], where=where) for name in names]
        panels.append(Panel(f"{kind}", "step", "training step", _LABELS[metric], tuple(lines), x_log=True, y_range=(0.0, 1.02)))
    left = f" Of {len(asked)} theories those with most skill;" if len(asked) > len(ranked) else ""
    specs = f"{len(shown)} of {len(keys)} specs" if len(shown) < len(keys) else f"{len(keys)} specs"
    caption = f"Dots: mean over runs of a spec, bars: lowest to highest run; lines: means of the forecasts.{left} {specs}."
    return Chart(f"forecasts-{task}", f"Forecasts of {task}", caption, table, tuple(panels), choice="spec")


def _rows(
    edition: Edition, asked: Mapping[str, pd.DataFrame], shown: Sequence[tuple[str, str]], curves: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    for study, spec in shown:
        runs = edition.arrays[study, spec]
        for kind, metric in curves:
            head = {"spec": f"{study} {spec}", "curve": f"{kind}, {metric}"}
            found: dict[float, dict[str, Any]] = {}
            values = runs.values.get((kind, metric))
            for place, step in enumerate(runs.steps if values is not None else ()):
                at = values[:, place] if values is not None else np.empty(0)
                found[float(step)] = {"measured": at.mean(), "low": at.min(), "high": at.max(), "seeds": len(at)}
            for name, table in asked.items():
                mine = table[(table["study"] == study) & (table["spec"] == spec) & (table["kind"] == kind) & (table["metric"] == metric)]
                # Where several folds ask for a curve, the first one's forecast stands for them.
                mine = mine[mine["fold"] == mine["fold"].iloc[0]] if len(mine) else mine
                for step, mean in zip(mine["step"], mine["mean"], strict=True):
                    found.setdefault(float(step), {})[f"of {name}"] = float(mean)
            columns = ["measured", "low", "high", "seeds", *(f"of {name}" for name in asked)]
            for step in sorted(found):
                yield head | {"step": int(step)} | {name: found[step].get(name, math.nan) for name in columns}
