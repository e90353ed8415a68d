"""Asking theories: fit, forecast, check. What a theory is handed is a copy of what the task gives, and nothing else."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dominoes.leaderboard import identities, tasks
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.protocol import ASKED, BANDS, Theory
from dominoes.leaderboard.tasks import TASKS, Fold, Question

FORECASTS = ("task", "fold", "study", "spec", *ASKED, "mean", *BANDS)


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


def ask(make: Callable[[], Theory], edition: Edition, chosen: Sequence[str] = TASKS) -> Answers:
    """Forecasts of one theory for all questions of the chosen tasks.

    Every fold has an instance of its own, every question a copy of it: nothing that one question shows is left for another. A task in
    which anything goes wrong (an exception, a broken identity) has no forecasts but a sentence; the other tasks stand. The first fold is
    asked again at the end: a theory whose answers have changed keeps what it was shown elsewhere, and has no forecasts at all.
    """
    pieces: dict[str, list[pd.DataFrame]] = {task: [] for task in chosen}
    failures: dict[str, str] = {}
    seconds = {task: np.zeros(2) for task in chosen}
    folds = tasks.folds(edition, chosen)
    for fold in folds:
        _ask_fold(make, edition, fold, pieces, failures, seconds)
    if len(folds) > 1 and (changed := _replayed(make, edition, folds[0], pieces, failures)):
        failures |= dict.fromkeys(chosen, changed)
    tables = [table for task, found in pieces.items() if task not in failures for table in found]
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(FORECASTS))
    return Answers(whole, failures, {task: (float(both[0]), float(both[1])) for task, both in seconds.items()})


def _ask_fold(
    make: Callable[[], Theory],
    edition: Edition,
    fold: Fold,
    pieces: dict[str, list[pd.DataFrame]],
    failures: dict[str, str],
    seconds: dict[str, np.ndarray],
) -> None:
    asked = {question.task for question in fold.questions}
    curves, specs = tasks.fit_tables(edition, fold)
    begun = time.process_time()
    try:
        theory = make()
        theory.fit(curves, specs)
    except Exception as error:  # a theory may be anyone's: whatever it raises is its own failure
        failures |= {task: f"{_said(error)} in fit" for task in asked if task not in failures}
        return
    spent = time.process_time() - begun
    for task in asked:
        seconds[task][0] += spent
    for question in fold.questions:
        if question.task in failures:
            continue
        begun = time.process_time()
        answer = _answer(theory, edition, question)
        seconds[question.task][1] += time.process_time() - begun
        if isinstance(answer, str):
            failures[question.task] = answer
            continue
        study, spec = question.key
        for place, (name, value) in enumerate({"task": question.task, "fold": fold.name, "study": study, "spec": spec}.items()):
            answer.insert(place, name, value)
        pieces[question.task].append(answer)


def _answer(theory: Theory, edition: Edition, question: Question) -> pd.DataFrame | str:
    asked = tasks.asked_table(edition, question)
    try:
        forecast = copy.deepcopy(theory).forecast(tasks.dials(edition, question.key), tasks.given_table(edition, question), asked.copy())
    except Exception as error:
        return f"{_said(error)} in forecast"
    return identities.of_forecast(forecast, asked, edition.classes)


def _replayed(
    make: Callable[[], Theory], edition: Edition, fold: Fold, pieces: dict[str, list[pd.DataFrame]], failures: dict[str, str]
) -> str:
    again: dict[str, list[pd.DataFrame]] = {task: [] for task in pieces}
    late: dict[str, str] = {}
    _ask_fold(make, edition, fold, again, late, {task: np.zeros(2) for task in pieces})
    for task, found in again.items():
        if task in failures or not (found or task in late):
            continue
        before = pd.concat([table for table in pieces[task] if (table["fold"] == fold.name).all()])
        values = ["mean", *BANDS]
        if task in late or not np.allclose(before[values], pd.concat(found)[values], rtol=1e-6, atol=1e-8, equal_nan=True):
            return f"asked the same again at the end, the theory answers otherwise in {task}: it keeps what it was shown for other specs, or draws at random"
    return ""


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
