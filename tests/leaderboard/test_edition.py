"""Editions: what is frozen comes back, and what is broken is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_curves

from dominoes.errors import DominoesError, LeaderboardError
from dominoes.folded import CLASSES_COUNT
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard import tasks

SPECS = [simulated_curves.dials(share) for share in (0.1, 0.4, 0.8)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return simulated_curves.table(SPECS, 3)


def test_an_edition_comes_back_from_disk(table: pd.DataFrame, tmp_path: Path) -> None:
    """Written and read: the same digest, runs, curves; one row a curve, small files, and a manifest that says what is in it."""
    others = [simulated_curves.dials(share) for share in (0.2, 0.5, 0.7)]
    made = editions.make_edition({"s": table, "t": simulated_curves.table(others, 2, seed=5)}, "2026.11", held_out=["t"])
    editions.write_edition(made, tmp_path / "e")
    back = editions.read_edition(tmp_path / "e")
    assert (back.name, back.digest, back.classes, back.package) == (made.name, made.digest, made.classes, made.package)
    pd.testing.assert_frame_equal(back.specs, made.specs, check_dtype=False)
    assert len(back.curves) == 15 * 5
    assert set(back.specs.loc[back.specs["held_out"], "study"]) == {"t"}
    for key, runs in made.arrays.items():
        for curve, values in runs.values.items():
            np.testing.assert_array_equal(back.arrays[key].values[curve], values)
    assert sum(path.stat().st_size for path in (tmp_path / "e").iterdir()) < 120 * 75 * 10


def test_seeds_and_deals_are_no_dials(table: pd.DataFrame) -> None:
    """Runs that differ in seed and deal are of one spec; batch and epochs are read off the curves where no column has them."""
    made = editions.make_edition({"s": table}, "e")
    assert len(made.specs) == len(SPECS)
    assert made.specs["batch"].tolist() == [64] * 3
    assert made.specs["epochs"].tolist() == [4] * 3
    assert not {"deal_seed", "seed", "run"} & set(made.dials)
    runs = next(iter(made.arrays.values()))
    assert len(set(runs.deals)) == 3
    alone = editions.make_edition({"s": table.drop(columns="deal_seed")}, "e")
    assert {len(set(each.deals)) for each in alone.arrays.values()} == {1}


def test_columns_that_only_some_studies_have_are_filled_with_the_defaults(table: pd.DataFrame) -> None:
    """A study that swept the top's dial beside one that did not: there it is none."""
    dialled = simulated_curves.table([simulated_curves.dials(0.5, transform_top="blur=2")], 2, seed=3)
    made = editions.make_edition({"s": table, "dial": dialled}, "e")
    assert made.specs.groupby("study")["transform_top"].unique().map(list).to_dict() == {"dial": ["blur=2"], "s": ["none"]}


def test_a_run_that_broke_off_is_left_out(table: pd.DataFrame) -> None:
    """It would take its missing steps from all runs of its spec; a note says so."""
    short = table[~((table["run"] == table["run"].iloc[0]) & (table["step"] > 50))]
    made = editions.make_edition({"s": short}, "e")
    assert len(made.runs) == 8
    assert made.notes == (
        f"s: run {table['run'].iloc[0]} left out, it broke off at step {short[short['run'] == table['run'].iloc[0]]['step'].max()}",
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda table: table.assign(accuracy=table["accuracy"].where(table["kind"] != "empty", 0.9)),
            r"accuracy on empty dominoes is 0\.900 at step 0, expected 1/K = 0\.1, since an empty domino can only be guessed; nothing says "
            r"the number of classes K, and 10 was taken: pass --classes if it is another",
        ),
        (
            lambda table: table.assign(accuracy=table["accuracy"].where(table["kind"] != "empty", 0.01)),
            r"empty dominoes is 0\.010 at step 0,",
        ),
        (lambda table: table.assign(agree_bottom=table["agree_bottom"].where(table["kind"] != "conflict", 0.9)), "add up to"),
        (lambda table: table.assign(accuracy=table["accuracy"] + 1), "expected a share from 0 to 1"),
        (lambda table: table.assign(loss=-table["loss"]), "not a finite number of at least 0"),
        (lambda table: table.assign(split="train"), "no rows of split test"),
        (lambda table: table.drop(columns="loss"), "column loss is missing"),
        (lambda table: table.assign(loss=1e308), r"s: column loss, row 1: 1e\+308, expected at most 1e\+09 nats; the run broke off"),
    ],
)
def test_broken_curves_are_refused(table: pd.DataFrame, change: object, sentence: str) -> None:
    """Curves that break an identity come from a broken evaluator; no edition is made of them."""
    assert callable(change)
    with pytest.raises(DominoesError, match=sentence):
        editions.make_edition({"s": change(table)}, "e")


def with_classes(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """A table that says its number of classes."""
    found = table.copy()
    found.attrs[CLASSES_COUNT] = count
    return found


def test_the_number_of_classes_is_what_the_tables_say(table: pd.DataFrame) -> None:
    """Studies that differ in it, or another than was given, are refused; of one that says it no option is named."""
    guessed = table["accuracy"].where(table["kind"] != "empty", 0.5)
    two = with_classes(table.assign(accuracy=guessed), 2)
    assert editions.make_edition({"s": two}, "e").classes == 2
    assert editions.make_edition({"s": table}, "e").classes == 10
    assert editions.make_edition({"s": table.assign(accuracy=guessed)}, "e", classes=2).classes == 2
    with pytest.raises(LeaderboardError, match="s has 2 classes, and 10 were asked for; leave out --classes"):
        editions.make_edition({"s": two}, "e", classes=10)
    with pytest.raises(LeaderboardError, match=r"the studies differ in their number of classes \(s 2, t 10\); expected one number"):
        editions.make_edition({"s": two, "t": with_classes(table, 10)}, "e")
    with pytest.raises(LeaderboardError, match="expected 1/K = 0.25, since an empty domino can only be guessed"):
        editions.make_edition({"s": with_classes(table, 4)}, "e")
    with pytest.raises(LeaderboardError, match=r"can only be guessed( \(and \d+ more\))?$"):
        editions.make_edition({"s": with_classes(table, 4)}, "e")


def test_what_cannot_be_told_of_the_classes_is_a_note(table: pd.DataFrame) -> None:
    """Without empty dominoes nothing would show that ten were taken wrongly."""
    made = editions.make_edition({"s": table[table["kind"] != "empty"]}, "e")
    assert made.notes == ("nothing says the number of classes, and there are no empty dominoes to tell it from: 10 was taken",)
    assert not editions.make_edition({"s": with_classes(table[table["kind"] != "empty"], 10)}, "e").notes


def test_a_run_that_two_studies_share_is_kept_once(table: pd.DataFrame) -> None:
    """It stands in both studies, with one set of curves, and is fitted to once; other curves under its name are refused."""
    edition = editions.make_edition({"s": table, "t": table}, "e")
    alone = editions.make_edition({"s": table}, "e")
    assert len(edition.curves) == len(alone.curves)
    assert len(edition.runs) == 2 * len(alone.runs)
    fit = tuple(edition.arrays)
    curves, specs = tasks.fit_tables(edition, tasks.Fold("all", fit, ()))
    assert len(curves) == len(tasks.fit_tables(alone, tasks.Fold("all", tuple(alone.arrays), ()))[0])
    assert len(specs) == len(alone.specs)
    with pytest.raises(LeaderboardError, match="is there twice with different curves"):
        editions.make_edition({"s": table, "t": table.assign(loss=table["loss"] + 0.5)}, "e")


def test_a_spec_that_is_held_out_is_in_no_other_study(table: pd.DataFrame) -> None:
    """Held out in one and fitted to in the other, it would be its own answer."""
    with pytest.raises(LeaderboardError, match="is held out in one of s, t and not in the others"):
        editions.make_edition({"s": table, "t": table}, "e", held_out=["t"])
    with pytest.raises(LeaderboardError, match="held-out study x is not among"):
        editions.make_edition({"s": table}, "e", held_out=["x"])


def test_a_changed_edition_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    """Other bytes, another format, or no edition at all."""
    made = editions.make_edition({"s": table}, "e")
    editions.write_edition(made, tmp_path / "e")
    changed = made.runs.assign(lr=1.0)
    changed.to_parquet(tmp_path / "e" / "runs.parquet", index=False)
    with pytest.raises(LeaderboardError, match="is not the file that was frozen"):
        editions.read_edition(tmp_path / "e")
    with pytest.raises(LeaderboardError, match="is no edition"):
        editions.read_edition(tmp_path)
    manifest = tmp_path / "e" / "edition.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(LeaderboardError, match="format 99, expected 1"):
        editions.read_edition(tmp_path / "e")
