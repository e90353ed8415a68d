"""Bad entries: one sentence each, and the rest of the board stands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simulated_curves
from simulated_curves import Truth

from dominoes.leaderboard import board
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.protocol import Theory
from dominoes.leaderboard.theories.naive import CopyNearest


@pytest.fixture(scope="module")
def edition() -> Edition:
    specs = [simulated_curves.dials(share) for share in (0.1, 0.2, 0.4, 0.6, 0.9)]
    return editions.make_edition({"prevalence": simulated_curves.table(specs, 4)}, "e")


class Broken(Truth):
    """The truth, spoilt in one way."""

    def __init__(self, spoil: Callable[[pd.DataFrame], Any]):
        super().__init__()
        self.spoil = spoil

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        return self.spoil(super().forecast(spec, given, asked))  # type: ignore[no-any-return]


def _half(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(mean=table["mean"].where(table["kind"] != "conflict", table["mean"] / 2))


def _raise(table: pd.DataFrame) -> pd.DataFrame:
    raise ZeroDivisionError("nothing to divide by")


BAD: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "nothing": (lambda table: None, "the forecast is of type NoneType, expected a pandas DataFrame"),
    "infinite": (lambda table: table.assign(mean=np.inf), "no finite mean for"),
    "complex": (lambda table: table.assign(mean=table["mean"] + 1j), "something else than numbers"),
    "wrong shape": (
        lambda table: table["mean"].to_numpy(),
        "the forecast is of type ndarray, expected a pandas DataFrame with the columns kind, metric, step, mean",
    ),
    "no mean": (lambda table: table.drop(columns="mean"), "no column mean"),
    "one band": (lambda table: table.assign(q05=0.0), "one of q05 and q95"),
    "NaN": (lambda table: table.assign(mean=np.nan), "no finite mean for"),
    "text": (lambda table: table.assign(mean="much"), "no finite mean for"),
    "objects": (lambda table: table.assign(mean=[np.array(1.0)] * len(table)), "something else than numbers"),
    "share above 1": (lambda table: table.assign(mean=table["mean"] + 1), "expected shares from 0 to 1"),
    "negative loss": (lambda table: table.assign(mean=table["mean"].where(table["metric"] != "loss", -1.0)), "losses of at least 0"),
    "missing steps": (lambda table: table[table["step"] < 10], "no row for accuracy of top at step"),
    "other kinds": (lambda table: table.assign(kind="double", step=range(len(table))), "rows are missing); expected each asked row once"),
    "steps in words": (lambda table: table.assign(step=table["step"].astype(str)), "the forecast has step as "),
    "a column twice": (lambda table: pd.concat([table, table[["mean"]]], axis=1), "has the column mean twice"),
    "rows twice": (lambda table: pd.concat([table, table]), "twice"),
    "band upside down": (lambda table: table.assign(q05=0.9, q95=0.1), "out of order"),
    "band that is no number": (lambda table: table.assign(q05=np.nan, q95=0.9), "whose q05 or q95 is no finite number"),
    "conflict shares": (_half, "add up to 0.5"),
    "empties learned": (lambda table: table.assign(mean=table["mean"].where(table["kind"] != "empty", 0.5)), "expected 1/K"),
    "exception": (_raise, "ZeroDivisionError: nothing to divide by in forecast"),
}


@pytest.mark.parametrize("way", BAD)
def test_a_bad_entry_gets_a_sentence_and_the_board_stands(edition: Edition, way: str) -> None:
    """Whatever a theory gets wrong is said in one sentence in its row; the truth beside it has its skill."""
    spoil, sentence = BAD[way]
    theories: dict[str, Callable[[], Theory]] = {"bad": lambda: Broken(spoil), "truth": Truth}
    found = board.score_theories(theories, edition, ("neighbours",)).table.set_index("theory")
    assert sentence in found.loc["bad", "status"]
    assert np.isnan(found.loc["bad", "skill"])
    assert found.loc["truth", "skill"] == pytest.approx(1, abs=0.15)


def test_an_exception_in_fit_is_a_sentence() -> None:
    """What `fit` raises stands in the row of every task that was fitted."""

    class Unfit(Truth):
        def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
            raise ValueError("singular\nmatrix")

    known = editions.make_edition({"s": simulated_curves.table([simulated_curves.dials(share) for share in (0.1, 0.4, 0.8)], 3)}, "e")
    found = board.score_theories({"unfit": Unfit}, known, ("doubles", "neighbours")).table
    assert set(found["status"]) == {"ValueError: singular matrix in fit"}


def test_a_theory_that_cannot_be_made_or_copied_is_a_sentence(edition: Edition) -> None:
    """A class that wants arguments, and an instance that cannot be copied for a question."""

    class Wants(CopyNearest):
        def __init__(self, more: int):
            super().__init__()

    class Holds(CopyNearest):
        def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
            super().fit(curves, specs)
            self.lock = threading.Lock()

    made: dict[str, Any] = {"wants": Wants, "holds": Holds}
    found = board.score_theories(made, edition, ("neighbours",)).table.set_index("theory")["status"]
    assert found["wants"].endswith("missing 1 required positional argument: 'more' when it is made without arguments")
    assert found["holds"].startswith("every question is put to a copy of the fitted theory, and it cannot be copied (TypeError: cannot")


def test_rows_may_come_in_any_order(edition: Edition) -> None:
    """Forecast rows are put in their places by kind, metric and step; further columns are not looked at."""
    theories: dict[str, Callable[[], Theory]] = {
        "mixed": lambda: Broken(lambda table: table.sample(frac=1, random_state=1).assign(note="x")),
        "truth": Truth,
    }
    found = board.score_theories(theories, edition, ("neighbours",)).table.set_index("theory")
    assert found.loc["mixed", "skill"] == pytest.approx(found.loc["truth", "skill"], abs=1e-9)
