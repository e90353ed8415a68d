"""The board: one row per theory and task, with everything by which it may stand beside other rows."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dominoes import __version__, files
from dominoes.errors import LeaderboardError
from dominoes.leaderboard import contrasts, covariance, score, tasks
from dominoes.leaderboard.asking import Answers, ask, prepare_folds
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.protocol import QUANTILES, Theory
from dominoes.leaderboard.score import COPY, EVALUATOR, ScoredCell, Skill
from dominoes.leaderboard.tasks import TASKS

BOARD = (
    "task", "theory", "skill", "low", "high", "cells", "left_out", "log_density", "rmse", "rmse_loss", "coverage", "fit_seconds",
    "forecast_seconds", "status", "provenance", "evaluator", "edition", "digest", "package",
)  # fmt: skip
CELLS = ("task", "cell", "theory", "value", "copy", "ceiling")
NOTHING_ASKED = "the edition has no spec for this task"
_TEXT = ("task", "theory", "status", "provenance", "evaluator", "edition", "digest", "package")
_NUMBERS = ("skill", "low", "high", "log_density", "rmse", "rmse_loss", "coverage", "fit_seconds", "forecast_seconds")
# What rows of one board must agree in.
_SAME = ("evaluator", "edition", "digest")


@dataclass(frozen=True)
class Board:
    """Scores of several theories on one edition.

    Attributes:
        table: columns BOARD, one row per (task, theory). `skill` with its 95 % interval `low` to `high`, over `cells` (specs, or
            contrasts); `left_out` counts cells with nothing to predict; `log_density` in nats per step, its mean over all cells;
            `rmse` over shares, `rmse_loss` in nats; `coverage` of stated 90 % bands; CPU seconds; `status` empty or why there is no
            score.
        cells: columns CELLS, L of every cell.
        answers: theory -> its forecasts.
    """

    table: pd.DataFrame
    cells: pd.DataFrame
    answers: Mapping[str, Answers]


def score_theories(
    theories: Mapping[str, Callable[[], Theory]],
    edition: Edition,
    chosen: Sequence[str] = TASKS,
    *,
    provenance: Mapping[str, str] | None = None,
    seed: int = 0,
    watch: Callable[[str], None] = lambda name: None,
) -> Board:
    """Ask every theory and score its answers.

    Args:
        theories: name -> what makes an instance. The nearest spec's copy is asked in any case, since skill is counted from it.
        provenance: name -> who answers to it. seed: of the bootstrap. watch: called with each name before it is asked.
    """
    from dominoes.leaderboard.theories.naive import CopyNearest

    prepared = prepare_folds(edition, chosen)
    answers = {}
    for name, make in {COPY: CopyNearest, **theories}.items():
        watch(name)
        answers[name] = ask(make, edition, chosen, prepared)
    return scored(answers, edition, chosen, shown=list(theories), provenance=provenance, seed=seed)


def scored(
    answers: Mapping[str, Answers],
    edition: Edition,
    chosen: Sequence[str] = TASKS,
    *,
    shown: Sequence[str],
    provenance: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Board:
    """The board of answers that were given; `answers` must hold those of COPY, whether or not it is shown."""
    rows, cells = [], []
    evaluators = {task: _evaluator(task, edition) for task in chosen}
    base = {task: evaluators[task](answers[COPY]) for task in chosen if COPY in answers}
    for name in shown:
        for task in chosen:
            found = evaluators[task](answers[name])
            status = answers[name].failures.get(task, "")
            if not status and not found.cells:
                status = NOTHING_ASKED
            known = base.get(task)
            skill = _skill(found, known, seed) if found.cells and known and not status else Skill(math.nan, math.nan, math.nan, 0, 0)
            if not status and not math.isfinite(skill.value):
                judged = any(best is not None for best in found.best.values())
                status = "no cell has a ceiling above copying" if judged else "there is no other spec to copy, or no second run"
            for cell, value in found.cells.items():
                top = found.best[cell]
                copied = known.cells[cell].value if known and cell in known.cells else math.nan
                cells.append((task, cell, name, value.value, copied, math.nan if top is None else top.value))
            seconds = answers[name].seconds.get(task, (math.nan, math.nan))
            rows.append(
                (task, name, skill.value, skill.low, skill.high, skill.cells, skill.left_out, found.log_density, *found.errors, *seconds,
                 status, (provenance or {}).get(name, "built in"), EVALUATOR, edition.name, edition.digest, __version__)
            )  # fmt: skip
    return Board(pd.DataFrame(rows, columns=list(BOARD)), pd.DataFrame(cells, columns=list(CELLS)), answers)


@dataclass(frozen=True)
class _Found:
    """What an evaluator found of one theory in one task: cells, ceilings, and (rmse, rmse of losses, coverage)."""

    cells: Mapping[str, ScoredCell]
    best: Mapping[str, ScoredCell | None]
    errors: tuple[float, float, float]

    @property
    def log_density(self) -> float:
        return float(np.mean([cell.value for cell in self.cells.values()])) if self.cells else math.nan


def _skill(found: _Found, known: _Found, seed: int) -> Skill:
    if set(found.cells) - set(known.cells):
        return Skill(math.nan, math.nan, math.nan, 0, len(found.cells))
    return score.skill(found.cells, known.cells, found.best, seed=seed)


def _evaluator(task: str, edition: Edition) -> Callable[[Answers], _Found]:
    """Targets, covariances and ceilings of one task, made once; the function that scores answers against them."""
    folds = tasks.folds(edition, [task])
    if task == "competition":
        return _of_contrasts(edition, folds)
    pools = covariance.noise(edition)
    targets, best = {}, {}
    for fold in folds:
        for question in fold.questions:
            cell = (fold.name, *question.key)
            found = score.measured_targets(edition.arrays[question.key], question, pools, edition.classes)
            if found.targets and found.parts:
                targets[cell] = found
                # Without another spec there is nothing to copy, and no skill to count from it.
                best[" / ".join(cell)] = score.ceiling(found) if fold.fit else None

    def evaluate(answers: Answers) -> _Found:
        table = answers.table[answers.table["task"] == task]
        cells, squares, losses, hits, banded = {}, [], [], 0, 0
        names = [table[name].to_numpy(object) for name in ("fold", "study", "spec")]
        kinds, metrics = (table[name].to_numpy(object) for name in ("kind", "metric"))
        values = table[["mean", *QUANTILES]].to_numpy(float)
        for rows in score.blocks_of_rows(*names):
            cell = tuple(str(column[rows.start]) for column in names)
            if cell not in targets:
                continue
            curves = score.by_curve(kinds[rows], metrics[rows], values[rows])
            cells[" / ".join(cell)] = score.density(targets[cell], curves)
            errors = score.errors(targets[cell], curves)
            squares.append(errors.shares)
            losses.append(errors.losses)
            hits, banded = hits + errors.hits, banded + errors.banded
        return _Found(cells, best, (_root_mean(squares), _root_mean(losses), hits / banded if banded else math.nan))

    return evaluate


def _of_contrasts(edition: Edition, folds: Sequence[tasks.Fold]) -> Callable[[Answers], _Found]:
    differences = contrasts.measured_contrasts(edition, [contrast for fold in folds for contrast in fold.contrasts])
    best = {name: contrasts.ceiling(each) for name, each in differences.items()}

    def evaluate(answers: Answers) -> _Found:
        table = answers.table[answers.table["task"] == "competition"]
        cells, squares = {}, []
        for fold in folds:
            rows = table[table["fold"] == fold.name]
            for contrast in fold.contrasts if len(rows) else ():
                name = contrasts.cell_name(contrast)
                expected = contrasts.forecast(edition, contrast, rows)
                cells[name] = contrasts.density(differences[name], expected)
                # Of the late accuracy in logits: the onset is on another scale.
                squares.append(float((differences[name].units.mean(axis=0) - expected)[0] ** 2))
        return _Found(cells, best, (_root_mean(squares), math.nan, math.nan))

    return evaluate


def _root_mean(squares: Sequence[float]) -> float:
    finite = [value for value in squares if math.isfinite(value)]
    return math.sqrt(float(np.mean(finite))) if finite else math.nan


def check_board(table: pd.DataFrame, name: str = "the board") -> pd.DataFrame:
    """The table, if its rows may stand on one board. Raises LeaderboardError: columns missing, evaluators or editions mixed."""
    if missing := [column for column in BOARD if column not in table.columns]:
        raise LeaderboardError(f"{name} is no board: the column {', '.join(missing)} is missing")
    for column in _SAME:
        values = sorted(set(table[column].astype(str)))
        if len(values) > 1:
            raise LeaderboardError(
                f"{name} mixes rows of {column} {', '.join(values)}, whose scores cannot be compared; score the entries anew on one edition"
            )
    return table


def join_boards(boards: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of several boards as one; of a theory and task that is there twice the last stands. Raises LeaderboardError as `check_board`."""
    table = check_board(pd.concat(boards, ignore_index=True), "the boards together")
    return table.drop_duplicates(["task", "theory"], keep="last").reset_index(drop=True)


def write_board(table: pd.DataFrame, path: Path) -> None:
    """Write a board whole or not at all, as .csv, .parquet or .json. Raises LeaderboardError on another suffix, OutputError."""
    path, table = Path(path), check_board(table)
    if path.suffix == ".csv":
        files.write(path, table.to_csv(index=False, lineterminator="\n"))
    elif path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        files.write(path, buffer.getvalue())
    elif path.suffix == ".json":
        files.write(path, as_json(table) + "\n")
    else:
        raise LeaderboardError(f"{path}: a board is written as .csv, .parquet or .json; pass such an --out")


def as_json(table: pd.DataFrame) -> str:
    """A board as a JSON list of its rows; null where there is no number."""
    rows = [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    return json.dumps(rows, indent=1, allow_nan=False)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_board(path: Path) -> pd.DataFrame:
    """Read a board and check it. Raises LeaderboardError that names the file."""
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix == ".json":
            table = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
        else:
            table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=True)
    except (OSError, ValueError) as error:
        raise LeaderboardError(f"{path} cannot be read as a board ({error}); expected one of 'dominoes leaderboard run'") from error
    table = check_board(table, str(path))
    text = {name: table[name].fillna("").astype(str) for name in _TEXT}
    return table.assign(**text, **{name: table[name].astype(float) for name in _NUMBERS})


def write_forecasts(found: Board, path: Path) -> None:
    """The forecasts of all theories of a board as one Parquet file, with the column `theory`. Raises OutputError."""
    buffer = io.BytesIO()
    tables = [each.table.assign(theory=name) for name, each in found.answers.items() if len(each.table)]
    pd.concat(tables, ignore_index=True).to_parquet(buffer, index=False, compression="zstd")
    files.write(path, buffer.getvalue())


def read_forecasts(path: Path) -> dict[str, pd.DataFrame]:
    """theory -> its forecasts, as `write_forecasts` left them. Raises LeaderboardError."""
    try:
        table = pd.read_parquet(path)
        return {str(name): rows for name, rows in table.groupby("theory", sort=False)}
    except (OSError, ValueError, KeyError) as error:
        raise LeaderboardError(f"{path} holds no forecasts ({error}); expected those of 'dominoes leaderboard run --forecasts'") from error


def shown(table: pd.DataFrame) -> str:
    """The board for a person: theories in rows, the best first, skill with its interval in the columns of the tasks."""
    from tabulate import tabulate

    present = [task for task in TASKS if (table["task"] == task).any()]
    order = table.groupby("theory", sort=False)["skill"].mean().sort_values(ascending=False, na_position="last", kind="stable").index
    rows = []
    for theory in order:
        of_theory = table[table["theory"] == theory].set_index("task")
        rows.append([theory, *(_cell(of_theory.loc[task]) if task in of_theory.index else "" for task in present)])
    text = tabulate(rows, ["theory", *present], disable_numparse=True)
    # What several tasks say of a theory is said once; that the edition has nothing to ask in a task shows in the table.
    said: dict[tuple[str, str], list[str]] = {}
    for row in table.to_dict("records"):
        if row["status"] and row["status"] != NOTHING_ASKED:
            said.setdefault((row["theory"], row["status"]), []).append(row["task"])
    first = table.iloc[0]
    foot = f"edition {first['edition']} ({first['digest']}), evaluator {first['evaluator']}"
    foot += "; skill: 0 copies the nearest spec, 1 is the noise ceiling"
    return "\n".join([text, "", foot, *(f"{theory} ({', '.join(tasks)}): {status}" for (theory, status), tasks in said.items())])


def _cell(row: pd.Series) -> str:
    if not math.isfinite(row["skill"]):
        return f"rmse {row['rmse']:.3f}" if math.isfinite(row["rmse"]) else "-"
    part = f", {row['cells']:.0f} of {row['cells'] + row['left_out']:.0f}" if row["left_out"] else ""
    return f"{row['skill']:.2f} ({row['low']:.2f} to {row['high']:.2f}{part})"
