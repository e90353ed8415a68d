"""Asking theories: fit, forecast, check. What a theory is handed is a copy of what the task gives, and nothing else."""

from __future__ import annotations

import copy
import multiprocessing
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dominoes.arrays import FloatArray
from dominoes.errors import DominoesError
from dominoes.leaderboard import identities, tasks
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.protocol import ASKED, QUANTILES, Theory
from dominoes.leaderboard.tasks import TASKS, Fold, TaskQuestion

FORECASTS = ("task", "fold", "study", "spec", *ASKED, "mean", *QUANTILES)
# Seconds for a fold in a process of its own; the slowest built-in theory needs a few.
_PATIENCE = 600.0


@dataclass(frozen=True)
class Answers:
    """What one theory answered.

    Attributes:
        table: columns FORECASTS, one row per asked (kind, metric, step).
        failures: task -> the sentence that says why the theory has no score there.
        seconds: task -> CPU seconds of its fits and of its forecasts; a fit that several tasks share counts in each.
    """

    table: pd.DataFrame
    failures: dict[str, str]
    seconds: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Asked:
    """One question with its tables, made once for all theories: each is handed copies."""

    question: TaskQuestion
    dials: dict[str, object]
    given: pd.DataFrame
    asked: pd.DataFrame


# task -> (fold, question, forecast (rows, 3)).
Pieces = dict[str, list[tuple[str, Asked, FloatArray]]]


def prepare_folds(edition: Edition, chosen: Sequence[str] = TASKS) -> list[tuple[Fold, tuple[Asked, ...]]]:
    """All folds of the chosen tasks with the tables of their questions."""
    return [
        (
            fold,
            tuple(
                Asked(each, tasks.dials(edition, each.key), tasks.given_table(edition, each), tasks.asked_table(edition, each))
                for each in fold.questions
            ),
        )
        for fold in tasks.folds(edition, chosen)
    ]


def ask(
    make: Callable[[], Theory],
    edition: Edition,
    chosen: Sequence[str] = TASKS,
    prepared: Sequence[tuple[Fold, tuple[Asked, ...]]] | None = None,
) -> Answers:
    """Forecasts of one theory for all questions of the chosen tasks.

    Every fold has an instance of its own, every question a copy of it: nothing that one question shows is left for another. A task in
    which anything goes wrong (an exception, a broken identity) has no forecasts but a sentence; the other tasks stand.

    Two folds, the last and one that shows something, drawn by the edition's digest, are asked beforehand too, each in a process that has
    seen nothing else, and their questions in the opposite order. A theory that answers them otherwise later keeps what it was shown
    elsewhere (in its class, its module, the environment, a file, or an instance that copies itself as itself) and has no forecasts at
    all. One that also keeps its own answers in a file, to repeat them, is not found out by this; specs that are in no fold, as those of
    `fresh`, it cannot know.
    """
    pieces: Pieces = {task: [] for task in chosen}
    failures: dict[str, str] = {}
    seconds = {task: np.zeros(2) for task in chosen}
    folds = prepare_folds(edition, chosen) if prepared is None else prepared
    showing = [place for place, (_, questions) in enumerate(folds) if any(len(each.given) for each in questions)] or list(range(len(folds)))
    places = sorted({showing[int(edition.digest, 16) % len(showing)], len(folds) - 1}) if folds else []
    alone: dict[int, dict[str, list[FloatArray]]] = {}
    for place in places:
        answers = _alone(make, edition, *folds[place], chosen)
        if isinstance(answers, str):
            # What ends or stops a process of its own would end or stop this one, and the rest of the board with it.
            return Answers(_table([]), dict.fromkeys(chosen, answers), dict.fromkeys(chosen, (0.0, 0.0)))
        alone[place] = answers
    for fold, questions in folds:
        _ask_fold(make, edition, fold, questions, pieces, failures, seconds)
    changed = (_otherwise(folds[place][0], found, pieces, failures) for place, found in alone.items())
    if said := next(filter(None, changed), ""):
        failures |= dict.fromkeys(chosen, said)
    whole = _table([piece for task, found in pieces.items() if task not in failures for piece in found])
    return Answers(whole, failures, {task: (float(both[0]), float(both[1])) for task, both in seconds.items()})


def _ask_fold(
    make: Callable[[], Theory],
    edition: Edition,
    fold: Fold,
    questions: Sequence[Asked],
    pieces: Pieces,
    failures: dict[str, str],
    seconds: dict[str, np.ndarray],
) -> None:
    asked = {question.task for question in fold.questions}
    curves, specs = tasks.fit_tables(edition, fold)
    begun = time.process_time()
    where = "when it is made without arguments"
    try:
        theory = make()
        where = "in fit"
        theory.fit(curves, specs)
    except (Exception, SystemExit) as error:  # a theory may be anyone's: whatever it raises is its own failure
        failures |= {task: f"{_said(error)} {where}" for task in asked if task not in failures}
        return
    spent = time.process_time() - begun
    for task in asked:
        seconds[task][0] += spent
    for each in questions:
        question = each.question
        if question.task in failures:
            continue
        begun = time.process_time()
        answer = _answer(theory, each, edition.classes)
        seconds[question.task][1] += time.process_time() - begun
        if isinstance(answer, str):
            failures[question.task] = answer
            continue
        pieces[question.task].append((fold.name, each, answer))


def _table(pieces: Sequence[tuple[str, Asked, FloatArray]]) -> pd.DataFrame:
    if not pieces:
        return pd.DataFrame(columns=list(FORECASTS))
    lengths = [len(values) for *_, values in pieces]
    heads = [(each.question.task, fold, *each.question.key) for fold, each, _ in pieces]
    table = pd.DataFrame(heads, columns=list(FORECASTS[:4])).loc[np.repeat(np.arange(len(pieces)), lengths)].reset_index(drop=True)
    asked = pd.concat([each.asked for _, each, _ in pieces], ignore_index=True)
    values = np.concatenate([values for *_, values in pieces])
    return pd.concat([table, asked, pd.DataFrame(values, columns=list(FORECASTS[-3:]))], axis=1)


def _answer(theory: Theory, each: Asked, classes: int) -> FloatArray | str:
    try:
        own = copy.deepcopy(theory)
    except Exception as error:
        return f"every question is put to a copy of the fitted theory, and it cannot be copied ({_said(error)})"
    try:
        forecast = own.forecast(dict(each.dials), each.given.copy(), each.asked.copy())
    except (Exception, SystemExit) as error:  # as in fit
        return f"{_said(error)} in forecast"
    return identities.of_forecast(forecast, each.asked, classes)


def _alone(
    make: Callable[[], Theory], edition: Edition, fold: Fold, questions: Sequence[Asked], chosen: Sequence[str]
) -> dict[str, list[FloatArray]] | str:
    """The answers to one fold, by task, of a theory that has been asked nothing before: in a process of its own, forked from this one.

    Its questions are asked from the last to the first.

    A task in which it fails has none. A sentence where the process ends without an answer, or has none after `_PATIENCE` seconds.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def answer() -> None:
        pieces: Pieces = {task: [] for task in chosen}
        _ask_fold(make, edition, fold, questions[::-1], pieces, {}, {task: np.zeros(2) for task in chosen})
        there.send({task: [values for *_, values in found[::-1]] for task, found in pieces.items()})

    process = context.Process(target=answer)
    with warnings.catch_warnings():
        # Newer Pythons warn where threads are about; the libraries used here know about forks, and the child asks nothing of torch.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    there.close()
    try:
        if not here.poll(_PATIENCE):
            process.kill()
            return f"asked in a process of its own, it gives no answer to one fold within {_PATIENCE:g} seconds"
        found: dict[str, list[FloatArray]] = here.recv()
        return found
    except EOFError:
        return "asked in a process of its own, it ends that process"
    finally:
        process.join()
        here.close()


def _otherwise(fold: Fold, alone: dict[str, list[FloatArray]], pieces: Pieces, failures: dict[str, str]) -> str:
    """What is said of a theory that answers otherwise after other questions than in a process of its own, or empty."""
    for task, found in pieces.items():
        after = [values for name, _, values in found if name == fold.name]
        if task in failures or not after:
            continue
        before = alone[task]
        same = (np.allclose(one, other, rtol=1e-6, atol=1e-8, equal_nan=True) for one, other in zip(before, after, strict=False))
        if len(before) != len(after) or not all(same):
            return (
                f"asked the same in a process of its own, it answers otherwise in {task}: "
                "it keeps what it saw of other specs or questions, or draws at random"
            )
    return ""


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, DominoesError):
        return text
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
