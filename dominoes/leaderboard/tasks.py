"""The tasks: what a theory is fitted to, what it is given, and what it is asked.

A fold is one fit; its questions are about specs that the fit has not seen. Questions of several tasks share a fold where they are fitted
to the same specs: doubles, conflicts, neighbours and ahead all leave out one spec of a study.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dominoes.errors import LeaderboardError
from dominoes.leaderboard.edition import FOLLOWING, Edition, SpecRuns
from dominoes.leaderboard.protocol import GIVEN
from dominoes.leaderboard.scale import SCALED_METRICS
from dominoes.spec import SIDES

TASKS = ("doubles", "conflicts", "neighbours", "beyond", "transfer", "competition", "ahead")
# The dials past which `beyond` asks: fitted up to the first number, asked from the second on.
_PREVALENCE, _RELIABILITY = (0.4, 0.6), 0.8
_ONE_SIDED = ("top", "bottom", "empty")

Key = tuple[str, str]
CurveKey = tuple[str, str]
_ALL: tuple[CurveKey, ...] = tuple((kind, metric) for kind, metrics in SCALED_METRICS.items() for metric in metrics)
# What is scored: an empty domino has nothing to predict, its accuracy is asked as an identity.
SCORED = tuple(curve for curve in _ALL if curve[0] != "empty")


@dataclass(frozen=True)
class TaskQuestion:
    """One spec that is asked in one task.

    Attributes:
        key: (study, spec). kinds, until: which kinds are given, up to which step (inf: all; no kinds: nothing is given).
        curves: (kind, metric) asked. after: the steps above this are asked.
    """

    task: str
    key: Key
    kinds: tuple[str, ...]
    until: float
    curves: tuple[CurveKey, ...]
    after: float = 0.0


@dataclass(frozen=True)
class SpecContrast:
    """Two specs that differ in one field: what does it do to one side? The signed differences, high − low, are asked."""

    field: str
    side: str
    low: Key
    high: Key


@dataclass(frozen=True)
class Fold:
    """One fit and what is asked after it."""

    name: str
    fit: tuple[Key, ...]
    questions: tuple[TaskQuestion, ...]
    contrasts: tuple[SpecContrast, ...] = ()


def folds(edition: Edition, tasks: Sequence[str] = TASKS) -> list[Fold]:
    """All folds of an edition, in an order that depends on its content alone. Raises LeaderboardError on an unknown task."""
    if unknown := [task for task in tasks if task not in TASKS]:
        raise LeaderboardError(f"there is no task {', '.join(unknown)}; the tasks are {', '.join(TASKS)}")
    specs = edition.specs
    held = {(str(row.study), str(row.spec)) for row in specs.itertuples() if row.held_out}
    studies: dict[str, list[Key]] = {}
    for key in edition.arrays:
        if key not in held:
            studies.setdefault(key[0], []).append(key)
    found: list[Fold] = []
    for members in studies.values():
        found += _leave_one_out(edition, members, tasks)
        if "beyond" in tasks:
            found += _beyond(edition, members)
        if "competition" in tasks:
            found += _competition(edition, members)
    if "transfer" in tasks and held:
        fit = tuple(key for members in studies.values() for key in members)
        found.append(Fold("transfer", fit, tuple(_question("transfer", edition, key) for key in sorted(held))))
    return [fold for fold in found if fold.questions]


def _leave_one_out(edition: Edition, members: list[Key], tasks: Sequence[str]) -> Iterable[Fold]:
    for key in members:
        fit = tuple(other for other in members if other != key)
        asked = []
        if "neighbours" in tasks and len(fit) >= 2:
            asked.append(_question("neighbours", edition, key))
        asked += [_question(task, edition, key) for task in ("doubles", "conflicts", "ahead") if task in tasks]
        yield Fold(f"{key[0]} without {key[1]}", fit, tuple(question for question in asked if question.curves))


def _question(task: str, edition: Edition, key: Key) -> TaskQuestion:
    runs = edition.arrays[key]
    there = tuple(curve for curve in _ALL if curve in runs.values)
    if task == "doubles":
        return TaskQuestion(task, key, _ONE_SIDED, math.inf, tuple(curve for curve in there if curve[0] == "both"))
    if task == "conflicts":
        whole = all(("conflict", metric) in there for metric in SCALED_METRICS["conflict"])
        return TaskQuestion(task, key, _ONE_SIDED, math.inf, tuple(curve for curve in there if curve[0] == "conflict" and whole))
    if task == "ahead":
        after = runs.steps[runs.steps > 0]
        half = math.sqrt(after[0] * after[-1])
        return TaskQuestion(task, key, tuple(SCALED_METRICS), half, tuple(curve for curve in there if curve in SCORED), half)
    return TaskQuestion(task, key, (), 0.0, there)


def _beyond(edition: Edition, members: list[Key]) -> Iterable[Fold]:
    for side in SIDES:
        for dial in ("prevalence", "reliability"):
            name = f"{dial}_{side}"
            value = {key: float(edition.arrays[key].dials.get(name, math.nan)) for key in members}
            if dial == "prevalence":
                fit = tuple(key for key in members if value[key] <= _PREVALENCE[0] + 1e-9)
                asked = [key for key in members if value[key] >= _PREVALENCE[1] - 1e-9]
            else:
                fit = tuple(key for key in members if value[key] >= _RELIABILITY - 1e-9)
                asked = [key for key in members if value[key] < _RELIABILITY - 1e-9]
            if len({value[key] for key in fit}) >= 2 and asked:
                yield Fold(f"{members[0][0]} beyond {name}", fit, tuple(_question("beyond", edition, key) for key in asked))


def _competition(edition: Edition, members: list[Key]) -> Iterable[Fold]:
    """Contrasts of the extremes of a group of specs that differ in D alone (prevalences fixed), or in one prevalence alone (D fixed)."""
    sides = {"prevalence_top": ("bottom",), "prevalence_bottom": ("top",), "both": SIDES}
    for field, affected in sides.items():
        groups: dict[str, list[Key]] = {}
        for key in members:
            dials = edition.arrays[key].dials
            rest = {name: value for name, value in dials.items() if name not in (field, *FOLLOWING)}
            if field in dials:
                groups.setdefault(str(sorted((name, _text(value)) for name, value in rest.items())), []).append(key)
        for name in sorted(groups):
            group = sorted(groups[name], key=lambda key: (float(edition.arrays[key].dials[field]), key))
            if len(group) < 3:
                continue
            low, high = group[0], group[-1]
            fit = tuple(key for key in members if key not in (low, high))
            contrasts = tuple(SpecContrast(field, side, low, high) for side in affected)
            curves = {(side, "accuracy") for side in affected}
            asked = tuple(TaskQuestion("competition", key, (), 0.0, tuple(sorted(curves))) for key in (low, high))
            if all(curve in edition.arrays[key].values for key in (low, high) for curve in curves):
                yield Fold(f"{members[0][0]} {field} {low[1]} {high[1]}", fit, asked, contrasts)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def fit_tables(edition: Edition, fold: Fold) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Copies of the curves and the specs that a theory is fitted to."""
    # Two studies may share a spec; their runs are the runs of one spec to a theory.
    curves = edition.together(fold.fit)
    if len({spec for _, spec in fold.fit}) < len(fold.fit):
        curves = curves.drop_duplicates(["run", "kind", "step"], ignore_index=True)
    fitted = set(fold.fit)
    names: dict[str, int] = {}
    for place, key in enumerate(zip(edition.specs["study"], edition.specs["spec"], strict=True)):
        if key in fitted:
            names.setdefault(key[1], place)
    specs = edition.specs.drop(columns=["study", "held_out"]).iloc[list(names.values())]
    return curves[["spec", *GIVEN]], specs.reset_index(drop=True).copy()


def given_table(edition: Edition, question: TaskQuestion) -> pd.DataFrame:
    """A copy of what a question shows of the runs that it asks about; runs are numbered, so that no name leads back to a spec."""
    table = edition.tables[question.key]
    shown = table[table["kind"].isin(question.kinds) & (table["step"] <= question.until)]
    numbers = {run: str(number) for number, run in enumerate(edition.arrays[question.key].runs)}
    return shown.assign(run=shown["run"].map(numbers))[list(GIVEN)].reset_index(drop=True).copy() if len(shown) else _nothing()


def asked_table(edition: Edition, question: TaskQuestion) -> pd.DataFrame:
    """The rows that a question asks: columns ASKED."""
    steps = asked_steps(edition.arrays[question.key], question)
    kinds, metrics = (np.repeat([curve[place] for curve in question.curves], len(steps)) for place in range(2))
    return pd.DataFrame({"kind": kinds, "metric": metrics, "step": np.tile(steps, len(question.curves))})


def asked_steps(runs: SpecRuns, question: TaskQuestion) -> list[int]:
    """Steps that are asked, increasing."""
    return [int(step) for step in runs.steps if step > max(question.after, 0)]


def dials(edition: Edition, key: Key) -> dict[str, object]:
    """The dials of a spec as a theory is given them: no name of spec or study."""
    return {name: value for name, value in edition.arrays[key].dials.items() if name not in ("study", "spec", "held_out")}


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=str if name in ("run", "kind") else float) for name in GIVEN})
