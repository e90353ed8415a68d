"""What a comparison says of its own limits: seeds and deals, groups, windows that are not there, ties, copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from simulated_truths import Truth, curves, simulated, sweep

from dominoes.cli import main
from dominoes.errors import CurvesError
from dominoes.theory.comparison import compare, compare_groups
from dominoes.theory.intervals import CANNOT_TELL, NOT_APPLICABLE, Interval
from dominoes.theory.sweep_comparison import compare_sweep

TRUTH = Truth(n=500, points=40)


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Curves, classes and crossed answers of three seeds."""
    return simulated(TRUTH, 3)


def test_headlines_say_what_intervals_are_over(tables: tuple[pd.DataFrame, ...]) -> None:
    """Level, seeds, and whether deals vary: one deal, one a seed, several that are not one a seed; and that n is not known."""
    doubles = ["learned first", "doubles"]
    for deals, said in (
        ([0, 0, 0], "3 seeds of this deal"),
        ([5, 6, 7], "3 seeds, each with its own deal"),
        ([5, 5, 6], "3 seeds of several deals"),
    ):
        dealt = tables[0].assign(deal_seed=tables[0]["seed"].map(dict(enumerate(deals))))
        found = compare(dealt, tables[1], questions=doubles, level=0.9).headlines()
        assert found[0].endswith(f" [90 %, {said}]")
        assert found[1].endswith(f" [90 %, {said}]")
    unknown = compare(tables[0].assign(n=-5), tables[1], questions=doubles)
    assert unknown.headlines()[1].endswith(" [95 %, 3 seeds of this deal, n unknown: without the luck of the pictures]")
    assert any(
        "not used, nor any other: no deviance, and the error of sampling the probe pictures is not in" in note for note in unknown.notes
    )


def test_the_one_group_that_is_judged_is_named(tables: tuple[pd.DataFrame, ...]) -> None:
    """Where the others have nothing to judge, the headline does not speak for them."""
    never, _ = curves(replace(TRUTH, onset=(1e6, 1e6)), 3)
    both = pd.concat([tables[0].assign(lr=0.1), never.assign(lr=0.2, run=never["run"] + "b")], ignore_index=True)
    learned, doubles, *_ = compare_groups(both, classes_count=10, questions=["learned first", "doubles"]).headlines()
    assert "the top half first in 1, not applicable in 1 of 2 groups" in learned
    assert "(in lr=0.1, 1 of 2 groups)" in doubles


def test_what_is_the_same_is_not_better(tables: tuple[pd.DataFrame, ...]) -> None:
    """Without a wrong answer all rules predict the same, and both halves are learned at once: neither is said to come first."""
    perfect = tables[0].assign(accuracy=np.where(tables[0]["step"] > 0, 1.0, 0.1), agree_top=0.5, agree_bottom=0.5)
    found = compare(perfect, classes_count=10, questions=["learned first", "doubles", "conflicts"])
    scores = found.table[found.table["question"] == "doubles score"]
    assert len(scores)
    assert set(scores["verdict"]) == {NOT_APPLICABLE}
    assert scores["sentence"].str.contains("predict the same").all()
    first = found.table[found.table["question"] == "learned first"].iloc[0]
    assert first["verdict"] == CANNOT_TELL
    assert "both halves are half risen at the same step in every seed" in found.headlines()[0]


def test_copies_are_no_seeds(tables: tuple[pd.DataFrame, ...]) -> None:
    """A run that is there under two seeds makes intervals too short, and is named."""
    one = tables[0][tables[0]["seed"] == 0]
    copied = pd.concat([one, one.assign(seed=1, run="again")], ignore_index=True)
    assert any("runs run0, again have the same losses to the last digit" in note for note in compare(copied, classes_count=10).notes)
    assert not any("same losses" in note for note in compare(*tables[:2]).notes)


def test_two_classes_have_no_answer_of_neither() -> None:
    """The row on conflicts says so, instead of an early window's reason."""
    found = compare(*curves(replace(TRUTH, K=2), 3))
    line = found.headlines()[2]
    assert line.startswith("conflicts      not applicable: conflicts, late: with two classes no answer is neither; a preference that stays")
    assert line.endswith("change of λ [95 %, 3 seeds of this deal]")


def test_a_table_of_classes_that_lacks_one_is_named(tables: tuple[pd.DataFrame, ...]) -> None:
    """Ten classes are taken all the same, so that no verdict moves, and nothing is judged per class."""
    fewer = tables[1][tables[1]["label"] != 3]
    found = compare(tables[0], fewer, questions=["doubles"])
    assert "the table of classes lacks label 3 of 0 to 9: 10 classes are taken, and nothing is judged per class" in found.notes
    alone = compare(tables[0], classes_count=10, questions=["doubles"]).table
    pd.testing.assert_frame_equal(found.table, alone)
    for wrong in ("10", 2.5, True, 10**30):
        with pytest.raises(CurvesError, match="expected a whole number from 2 to 1,000,000"):
            compare(tables[0], classes_count=wrong)  # type: ignore[arg-type]


def test_the_margin_is_close_in_its_own_unit() -> None:
    """Within 2 % of the end of a range of ratios, else of half of the range: 2.36 is not close to 2.40 of 2.20 to 2.40."""
    assert Interval(1.1, 0.9, 1.26).at_margin(0.8, 1.25)
    assert not Interval(2.34, 2.32, 2.36).at_margin(2.2, 2.4)
    assert Interval(2.34, 2.32, 2.399).at_margin(2.2, 2.4)
    assert not Interval(0.62, 0.55, 0.69).at_margin(0.3, 0.7)
    assert Interval(0.1, 0.001, 0.2).at_margin(0.0, np.inf)


def test_losses_say_which_way_they_go() -> None:
    """More is learned where the loss falls: the row is of ln K − loss, and its words are of the loss."""
    made = sweep(TRUTH, [(0.5, 0.5)] * 3, both=[0.1, 0.25, 0.4], exponent=0, lost=0.3, seeds=3)
    table = compare_sweep(made, classes_count=10, questions=["no competition"]).table
    row = table[(table["side"] == "bottom") & (table["model"] == "loss") & (table["window"] == "late")].iloc[0]
    assert row["quantity"].startswith("change of ln K − loss from the smallest to the largest")
    late = made[(made["kind"] == "bottom") & (made["step"] > 2000)].groupby("both")["loss"].mean()
    assert late.iloc[-1] > late.iloc[0]
    assert row["estimate"] < 0
    assert "the loss rises by" in row["sentence"]


def test_curves_that_end_early_are_named() -> None:
    """What is late up to the end of the shortest curve may not be late."""
    made = sweep(TRUTH, [(0.5, 0.5)] * 3, both=[0.1, 0.25, 0.4], exponent=0, seeds=3)
    short = made[(made["both"] != 0.4) | (made["step"] < 400)]
    assert any("curves of the bottom end between" in note for note in compare_sweep(short, classes_count=10).notes)
    assert not any("end between" in note for note in compare_sweep(made, classes_count=10).notes)


@pytest.mark.parametrize(("both", "word"), [([0.1, 0.2, 0.3], "growing"), ([0.3, 0.2, 0.1], "falling"), ([0.1, 0.3, 0.2], "changing")])
def test_how_a_confounded_design_moves_is_named(both: list[float], word: str) -> None:
    """Whether co-occurrence grows with the other side's prevalence, falls, or neither."""
    made = sweep(TRUTH, [(0.3, 0.5), (0.5, 0.5), (0.7, 0.5)], both=both, exponent=0, seeds=2)
    rivals = compare_sweep(made, classes_count=10, questions=["no competition"]).table["rival"]
    assert f"prevalence_top with {word} co-occurrence (confounded)" in set(rivals)


def test_seeds_are_names_and_follow_no_law() -> None:
    """A sweep of deals and probe seeds is asked no power law against them, without a warning of NumPy's."""
    made = sweep(TRUTH, [(0.5, 0.5)] * 4, seeds=3).drop(columns=["prevalence_top", "prevalence_bottom"])
    point = made["run"].str.split("-").str[1].astype(int)
    with np.errstate(all="raise"):
        found = compare_sweep(made.assign(deal_seed=point, probe_seed=0), classes_count=10)
    assert not found.table["rival"].eq("deal_seed").any()
    assert any("no swept column holds numbers that are no seeds" in sentence for sentence in found.table["sentence"])
    said = found.table["sentence"]
    assert not said.str.contains("of this deal").any()


def test_shares_that_are_none_are_not_used() -> None:
    """A co-occurrence above 1 or in words is named, and the design is told without it."""
    made = sweep(TRUTH, [(0.3, 0.5), (0.7, 0.5)], both=[0.1, 0.4], exponent=0, seeds=2)
    found = compare_sweep(made.assign(both=made["both"].replace(0.4, 4.5e29)), by=["prevalence_top"], classes_count=10)
    assert "column both is not used, as it is no share from 0 to 1 at every point" in found.notes


def test_points_of_a_sweep_are_judged_with_crossed_answers(tmp_path: Path) -> None:
    """`compare --sweep` takes a point's doubles as `compare` takes them alone: the luck of pairing off, whether joint.csv is passed or lies
    beside the curves."""
    parts = [simulated(replace(TRUTH, points=16), 4, number) for number in (0, 1)]
    named = [[table.assign(run=table["run"] + f"-{point}") for table in part] for point, part in enumerate(parts)]
    made = [pd.concat(tables) for tables in zip(*named, strict=True)]
    made[0]["lr"] = np.where(made[0]["run"].str.endswith("0"), 0.1, 0.2)
    (tmp_path / "beside").mkdir()
    for folder, joint in ((tmp_path, "crossed.csv"), (tmp_path / "beside", "joint.csv")):
        for table, name in zip(made, ("curves.csv", "classes.csv", joint), strict=True):
            table.to_csv(folder / name, index=False)

    def doubles(*arguments: str) -> pd.DataFrame:
        done = CliRunner().invoke(main, ["compare", *arguments, "--out", str(tmp_path / "o.csv")], catch_exceptions=False)
        assert done.exit_code == 0
        found = pd.read_csv(tmp_path / "o.csv")
        return found[found["question"] == "doubles"][["estimate", "low", "high"]].reset_index(drop=True)

    alone = doubles(str(tmp_path / "beside" / "curves.csv"))
    pd.testing.assert_frame_equal(doubles(str(tmp_path / "beside" / "curves.csv"), "--sweep"), alone)
    pd.testing.assert_frame_equal(doubles(str(tmp_path / "curves.csv"), "--sweep", "--joint", str(tmp_path / "crossed.csv")), alone)
    assert not doubles(str(tmp_path / "curves.csv"), "--sweep").equals(alone)


def test_what_crossed_answers_would_settle_is_said(tables: tuple[pd.DataFrame, ...]) -> None:
    """Where the pictures make most of an interval and answers are not crossed, a note says what would take their luck off."""
    few = replace(TRUTH, n=150, agreement=1.0, seed_spread=0.0)
    made = simulated(few, 5)
    assert any("for how the test pictures happen to be paired: answers crossed" in note for note in compare(*made[:2]).notes)
    assert not any("answers crossed" in note for note in compare(*made[:2], joint=made[2]).notes)
