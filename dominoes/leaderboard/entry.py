"""Entries: a theory's forecasts, frozen with the evaluator and the edition that they were made for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dominoes import __version__, files
from dominoes.errors import LeaderboardError
from dominoes.leaderboard import board, identities
from dominoes.leaderboard.asking import FORECASTS, Answers, Asked, ask, prepare_folds
from dominoes.leaderboard.board import Board
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.protocol import ASKED, QUANTILES
from dominoes.leaderboard.score import COPY, EVALUATOR
from dominoes.leaderboard.tasks import TASKS, Fold
from dominoes.leaderboard.theories import catalogue
from dominoes.leaderboard.theories.naive import CopyNearest

RECORD, TABLE = "entry.json", "forecasts.parquet"
ENTRY_FORMAT = 1
_TEXT = ("theory", "provenance", "source", "evaluator", "edition", "digest", "package")


@dataclass(frozen=True)
class Entry:
    """A frozen entry.

    Attributes:
        theory: built-in name or `module:attr`. provenance: who answers to it. source: digest of the file that defined it.
        evaluator, edition, digest, package: versions it was frozen with. tasks: those it was asked in.
        answers: its forecasts.
    """

    theory: str
    provenance: str
    source: str
    evaluator: str
    edition: str
    digest: str
    package: str
    tasks: tuple[str, ...]
    answers: Answers


def freeze(name: str, edition: Edition, out: Path, chosen: Sequence[str] = TASKS, *, force: bool = False) -> Entry:
    """Ask a theory on an edition and keep its forecasts as a folder. Raises LeaderboardError if no task went well, OutputError."""
    theory = catalogue.find_theory(name)
    answers = ask(theory.make, edition, chosen)
    if answers.failures and len(answers.table) == 0:
        raise LeaderboardError(f"theory {name} has nothing to freeze: {next(iter(answers.failures.values()))}")
    entry = Entry(name, theory.provenance, theory.source, EVALUATOR, edition.name, edition.digest, __version__, tuple(chosen), answers)
    with files.new_folder(out, force=force, ours=RECORD) as folder:
        answers.table.to_parquet(folder / TABLE, index=False, compression="zstd")
        record = {"format": ENTRY_FORMAT} | {key: value for key, value in vars(entry).items() if key != "answers"}
        record |= {"failures": answers.failures, "seconds": answers.seconds, "files": {TABLE: files.sha256(folder / TABLE)}}
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return entry


def read_entry(folder: Path) -> Entry:
    """Read an entry and check its file. Raises LeaderboardError that names what is wrong."""
    folder = Path(folder)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] != ENTRY_FORMAT:
            raise LeaderboardError(f"{folder} has format {record['format']}, expected {ENTRY_FORMAT}; update dominoes")
        if files.sha256(folder / TABLE) != record["files"][TABLE]:
            raise LeaderboardError(f"{folder / TABLE} is not the file that was frozen; freeze the theory again")
        table = pd.read_parquet(folder / TABLE)
        answers = Answers(table, record["failures"], {task: (both[0], both[1]) for task, both in record["seconds"].items()})
        theory, provenance, source, evaluator, edition, digest, package = (str(record[name]) for name in _TEXT)
        return Entry(theory, provenance, source, evaluator, edition, digest, package, tuple(record["tasks"]), answers)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise LeaderboardError(f"{folder} is no entry ({error}); expected {RECORD} and {TABLE} of 'dominoes leaderboard freeze'") from error


def score(entries: Mapping[str, Entry], edition: Edition, *, seed: int = 0) -> Board:
    """The board of frozen entries, by the forecasts that were frozen; their code is not run.

    Raises LeaderboardError: an entry was frozen with another evaluator or for other curves.
    """
    chosen = [task for task in TASKS if any(task in entry.tasks for entry in entries.values())]
    prepared = prepare_folds(edition, chosen)
    answers = {COPY: ask(CopyNearest, edition, chosen, prepared)}
    for name, entry in entries.items():
        for what, got, expected in (("evaluator", entry.evaluator, EVALUATOR), ("edition", entry.digest, edition.digest)):
            if got != expected:
                raise LeaderboardError(f"{name} was frozen for {what} {got}, this is {expected}; freeze the theory again")
        answers[name] = _checked(entry.answers, prepared, edition.classes, entry.tasks)
    provenance = {name: entry.provenance for name, entry in entries.items()}
    found = board.scored(answers, edition, chosen, shown=list(entries), provenance=provenance, seed=seed)
    asked = [row.task in entries[str(row.theory)].tasks for row in found.table.itertuples()]
    return Board(found.table[asked].reset_index(drop=True), found.cells, found.answers)


def _checked(answers: Answers, prepared: Sequence[tuple[Fold, tuple[Asked, ...]]], classes: int, chosen: Sequence[str]) -> Answers:
    """Frozen answers with every identity checked anew, in the order in which the questions are asked."""
    failures = dict(answers.failures)
    parts = dict(iter(answers.table.groupby(list(FORECASTS[:4]), sort=False))) if len(answers.table) else {}
    kept = []
    for fold, questions in prepared:
        for each in questions:
            task = each.question.task
            if task in failures or task not in chosen:
                continue
            rows = parts.get((task, fold.name, *each.question.key))
            missing = "the entry has no forecast for a spec that is asked"
            values = missing if rows is None else identities.of_forecast(_stated(rows), each.asked, classes)
            if isinstance(values, str):
                failures[task] = values
                continue
            head = dict(zip(FORECASTS[:4], (task, fold.name, *each.question.key), strict=True))
            kept.append(each.asked.assign(**head, **dict(zip(("mean", *QUANTILES), values.T, strict=True)))[list(FORECASTS)])
    table = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(FORECASTS))
    return Answers(table[~table["task"].isin(list(failures))], failures, answers.seconds)


def _stated(rows: pd.DataFrame) -> pd.DataFrame:
    """Frozen rows as a theory gave them: without bands where none were stated."""
    columns = [*ASKED, "mean"] if rows[QUANTILES[0]].isna().all() else [*ASKED, "mean", *QUANTILES]
    return rows[columns].reset_index(drop=True)
