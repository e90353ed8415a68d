"""Asking: a theory sees what the task gives and no more, and one that goes wrong goes wrong alone."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest
import simulated_curves
from simulated_curves import Truth

from dominoes.leaderboard import asking, board, tasks
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.protocol import ASKED, GIVEN, Theory
from dominoes.leaderboard.theories.naive import CopyNearest

SHARES = (0.1, 0.2, 0.4, 0.6, 0.9)


@pytest.fixture(scope="module")
def edition() -> Edition:
    specs = [simulated_curves.dials(share) for share in SHARES]
    held = simulated_curves.table([simulated_curves.dials(0.3, 0.7)], 4, seed=9)
    return editions.make_edition({"prevalence": simulated_curves.table(specs, 4), "later": held}, "e", held_out=["later"])


class Spy(CopyNearest):
    """Keeps what it is handed."""

    fits: ClassVar[list[tuple[pd.DataFrame, pd.DataFrame]]] = []
    forecasts: ClassVar[list[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]] = []

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
        self.fits.append((curves, specs))
        super().fit(curves, specs)

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        self.forecasts.append((dict(spec), given, asked))
        return super().forecast(spec, given, asked)


def test_a_theory_sees_what_the_task_gives(edition: Edition) -> None:
    """The tables of every question hold no asked curve, no name of a spec, study or run, and the fit has not seen the spec."""
    Spy.fits.clear()
    Spy.forecasts.clear()
    asking.ask(Spy, edition)
    names = {*edition.runs["run"], *edition.runs["spec"], *edition.runs["study"]}
    for spec, given, asked in Spy.forecasts:
        assert tuple(given.columns) == GIVEN
        assert tuple(asked.columns) == ASKED
        assert not {str(value) for value in spec.values()} & names
        assert not set(given["run"]) & names
        shown = set(zip(given["kind"], given["step"], strict=True))
        assert not shown & set(zip(asked["kind"], asked["step"], strict=True))
        assert (asked["step"] > 0).all()
    for fold, (curves, specs) in zip(tasks.folds(edition), Spy.fits, strict=True):
        asked_specs = {question.key[1] for question in fold.questions}
        assert not asked_specs & {*curves["spec"], *specs["spec"]}
        assert not {"study", "held_out"} & {*curves.columns, *specs.columns}
        if fold.name != "transfer":
            assert "later" not in {key[0] for key in fold.fit}


def test_what_each_task_gives(edition: Edition) -> None:
    """Doubles and conflicts: one-sided and empty curves; ahead: the first half of log time; neighbours, beyond, transfer: nothing."""
    found = {question.task: (fold, question) for fold in tasks.folds(edition) for question in fold.questions}
    for task in ("doubles", "conflicts"):
        assert set(tasks.given_table(edition, found[task][1])["kind"]) == {"top", "bottom", "empty"}
    assert set(tasks.asked_table(edition, found["doubles"][1])["kind"]) == {"both"}
    assert set(tasks.asked_table(edition, found["conflicts"][1])["metric"]) == {"agree_top", "agree_bottom", "neither"}
    ahead = found["ahead"][1]
    last, first = tasks.given_table(edition, ahead)["step"].max(), tasks.asked_table(edition, ahead)["step"].min()
    assert last <= np.sqrt(376) < first
    for task in ("neighbours", "beyond", "transfer"):
        assert len(tasks.given_table(edition, found[task][1])) == 0
    fold, _ = found["beyond"]
    assert max(edition.arrays[key].dials["prevalence_top"] for key in fold.fit) <= 0.4
    assert {edition.arrays[question.key].dials["prevalence_top"] for question in fold.questions} == {0.6, 0.9}
    fold, question = found["transfer"]
    assert question.key[0] == "later"
    assert {key[0] for key in fold.fit} == {"prevalence"}


def test_changing_the_tables_changes_nothing(edition: Edition) -> None:
    """A theory that overwrites all that it is handed harms itself alone; the tables share no memory with the edition."""

    class Vandal(CopyNearest):
        def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
            super().fit(curves, specs)
            curves.loc[:, "accuracy"] = 0.0
            specs.loc[:, "prevalence_top"] = 0.0

        def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
            found = super().forecast(spec, given, asked)
            given.loc[:, "accuracy"] = 0.0
            asked.loc[:, "step"] = 0
            return found

    digest = edition.digest
    theories: dict[str, Callable[[], Theory]] = {"vandal": Vandal, "copy": CopyNearest}
    found = board.score_theories(theories, edition, ("doubles", "neighbours")).table
    assert (found["status"] == "").all()
    assert found.loc[found["theory"] == "copy", "skill"].abs().max() < 1e-9
    assert found.loc[found["theory"] == "vandal", "skill"].abs().max() < 1e-9
    again = editions.Edition(edition.name, edition.classes, edition.runs, edition.curves, edition.package)
    assert again.digest == digest


def test_what_one_question_shows_is_not_there_in_another(edition: Edition) -> None:
    """An instance that keeps what forecasts show it finds itself without that in the next: every question has a copy of its own."""

    class Hoarder(CopyNearest):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[pd.DataFrame] = []

        def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
            assert not self.seen
            self.seen.append(given)
            return super().forecast(spec, given, asked)

    assert asking.ask(Hoarder, edition).failures == {}


class CopiesNothing(CopyNearest):
    """Says that a copy of it is itself, and answers doubles from what `ahead` shows of them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: pd.DataFrame | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        found = super().forecast(spec, given, asked)
        if self.seen is not None:
            known = self.seen.groupby("step")["accuracy"].mean()
            mine = (asked["kind"] == "both") & (asked["metric"] == "accuracy") & asked["step"].isin(known.index)
            found.loc[mine, "mean"] = known[asked.loc[mine, "step"]].to_numpy()
        if (given["kind"] == "both").any():
            self.seen = given[given["kind"] == "both"]
        return found


@pytest.mark.parametrize("order", [("ahead", "doubles"), ("doubles", "ahead")])
def test_an_instance_that_copies_itself_as_itself_is_found_out(edition: Edition, order: tuple[str, ...]) -> None:
    """What one question shows, kept for the next of the same fold, is found out in whichever order they are asked."""
    whole = asking.prepare_folds(edition, order)
    mixed = [(fold, tuple(sorted(asked, key=lambda each: order.index(each.question.task)))) for fold, asked in whole]
    found = asking.ask(CopiesNothing, edition, order, mixed)
    assert set(found.failures) == set(order)
    assert all("keeps what it saw of other specs or questions" in said for said in found.failures.values())
    assert asking.ask(CopyNearest, edition, order, mixed).failures == {}


class Keeper(CopyNearest, ABC):
    """Answers from the curves of other folds, where the asked specs stand too; where it keeps them is said by `put` and `get`."""

    @abstractmethod
    def put(self, kept: dict[str, Any]) -> None:
        """Keep what was given."""

    @abstractmethod
    def get(self) -> dict[str, Any]:
        """What was kept."""

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
        super().fit(curves, specs)
        found = {
            str(row["prevalence_top"]): curves[curves["spec"] == row["spec"]].groupby(["kind", "step"]).mean(numeric_only=True)
            for row in specs.to_dict("records")
        }
        self.put(self.get() | found)

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        known = self.get().get(str(spec["prevalence_top"]))
        if known is None:
            return super().forecast(spec, given, asked)
        return asked.assign(mean=[known.loc[(row.kind, row.step), row.metric] for row in asked.itertuples()])


class InItsClass(Keeper):
    kept: ClassVar[dict[str, Any]] = {}

    def put(self, kept: dict[str, Any]) -> None:
        self.kept.update(kept)

    def get(self) -> dict[str, Any]:
        return dict(self.kept)


class InTheEnvironment(Keeper):
    def put(self, kept: dict[str, Any]) -> None:
        os.environ["KEPT"] = pickle.dumps(kept).hex()

    def get(self) -> dict[str, Any]:
        return pickle.loads(bytes.fromhex(os.environ["KEPT"])) if "KEPT" in os.environ else {}


class InAFile(Keeper):
    path: ClassVar[Path]

    def put(self, kept: dict[str, Any]) -> None:
        self.path.write_bytes(pickle.dumps(kept))

    def get(self) -> dict[str, Any]:
        return pickle.loads(self.path.read_bytes()) if self.path.exists() else {}


class AndItsAnswers(InItsClass):
    """Repeats what it answered before."""

    answers: ClassVar[dict[str, pd.DataFrame]] = {}

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        return self.answers.setdefault(f"{dict(spec)}{len(self.curves)}{len(asked)}", super().forecast(spec, given, asked))


@pytest.mark.parametrize("cheat", [InItsClass, InTheEnvironment, InAFile, AndItsAnswers])
def test_memory_beyond_the_instance_is_found_out(
    edition: Edition, cheat: type[Keeper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A theory that keeps the curves of other folds, wherever, is refused as a whole, also if it repeats its own answers."""
    monkeypatch.setenv("KEPT", pickle.dumps({}).hex())
    InAFile.path = tmp_path / "kept"
    InItsClass.kept.clear()
    found = board.score_theories({"cheat": cheat}, edition, ("neighbours",)).table.iloc[0]
    assert np.isnan(found["skill"])
    assert "keeps what it saw of other specs" in found["status"]


def test_answers_kept_in_files_are_the_limit(edition: Edition, tmp_path: Path) -> None:
    """Curves and own answers in files: `neighbours` does not find it out, but specs that are in no fold are not in its files."""

    class Best(InAFile):
        def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
            name = hashlib.sha256(f"{dict(spec)}{len(self.curves)}{len(asked)}".encode()).hexdigest()
            if not (tmp_path / name).exists():
                (tmp_path / name).write_bytes(pickle.dumps(super().forecast(spec, given, asked)))
            return pickle.loads((tmp_path / name).read_bytes())

    InAFile.path = tmp_path / "kept"
    found = board.score_theories({"cheat": Best}, edition, ("neighbours", "transfer")).table.set_index("task")
    assert found.loc["neighbours", "status"] == ""
    assert found.loc["neighbours", "skill"] > 0.2
    copied = board.score_theories({"copy": CopyNearest}, edition, ("transfer",)).table.iloc[0]
    assert found.loc["transfer", "log_density"] == pytest.approx(copied["log_density"])


def test_a_theory_that_ends_its_process_is_refused(edition: Edition) -> None:
    """One sentence, and the board goes on."""

    class Ends(CopyNearest):
        def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
            if os.getpid() != mother:
                os._exit(1)
            super().fit(curves, specs)

    mother = os.getpid()
    found = board.score_theories({"ends": Ends}, edition, ("neighbours",)).table.iloc[0]
    assert found["status"] == "asked in a process of its own, it ends that process"


def test_a_theory_that_leaves_is_refused(edition: Edition) -> None:
    """`sys.exit` in a forecast, and a process that is ended in every fold, are sentences in the theory's own rows."""

    class Leaves(CopyNearest):
        def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
            sys.exit("that is all")

    class AlwaysEnds(CopyNearest):
        def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
            os._exit(1)

    theories: dict[str, Callable[[], Theory]] = {"leaves": Leaves, "ends": AlwaysEnds, "truth": Truth}
    found = board.score_theories(theories, edition, ("neighbours",)).table.set_index("theory")
    assert found.loc["leaves", "status"] == "SystemExit: that is all in forecast"
    assert found.loc["ends", "status"] == "asked in a process of its own, it ends that process"
    assert found.loc["truth", "status"] == ""


def test_a_theory_that_sleeps_is_refused(edition: Edition, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no answer in time, in a process of its own, is not asked further, and leaves no process behind."""

    class Sleeps(CopyNearest):
        def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
            time.sleep(3600)

    monkeypatch.setattr(asking, "_PATIENCE", 0.5)
    found = asking.ask(Sleeps, edition, ("doubles", "neighbours"))
    assert set(found.failures) == {"doubles", "neighbours"}
    assert set(found.failures.values()) == {"asked in a process of its own, it gives no answer to one fold within 0.5 seconds"}
    assert len(found.table) == 0
    assert multiprocessing.active_children() == []
