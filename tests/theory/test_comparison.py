"""Simulated truths are judged rightly; bad input is mended aloud or refused in one sentence."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from simulated_truths import Truth, curves

from dominoes.errors import CurvesError
from dominoes.theory.comparison import compare, compare_groups
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE, VERDICTS
from dominoes.theory.verdicts import BANDS, COMPARISON, Margins


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return curves(Truth())


def verdict_of(table: pd.DataFrame, question: str, model: str, window: str = "") -> str:
    rows = table[(table["question"] == question) & (table["model"] == model) & (table["window"] == window)]
    return str(rows["verdict"].iloc[0])


def test_the_table_has_its_columns_in_the_order_of_the_questions(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Columns are fixed, every verdict is one of four words, every judged sentence holds its numbers, and questions keep their order."""
    found = compare(*tables, group="a")
    assert tuple(found.table.columns) == COMPARISON
    assert tuple(found.bands.columns) == BANDS
    assert set(found.table["verdict"]) <= set(VERDICTS)
    assert (found.table["group"] == "a").all()
    judged_rows = found.table[(found.table["verdict"] != NOT_APPLICABLE) & (found.table["rival"] != "all rivals")]
    assert judged_rows["sentence"].str.contains(r" % interval .* to .*5 seeds of this deal").all()
    order = list(dict.fromkeys(question.split()[0] for question in found.table["question"]))
    assert order == ["learned", "doubles", "conflicts", "preference", "empties", "loss", "held-out", "monotonicity"]
    inside = (judged_rows["low"] <= judged_rows["estimate"]) & (judged_rows["estimate"] <= judged_rows["high"])
    assert inside.all()
    assert all("answers crossed picture by picture" in note for note in found.notes)
    lines = found.lines()
    assert lines[:5] == found.headlines()
    assert lines[5].startswith("holds          [a] the top half is learned before the bottom: onset of the bottom / of the top is ")
    assert len(lines) == 5 + len(found.table) + len(found.notes)
    assert set(found.table["window"]) == {"", "early", "rise", "late"}


def test_bands_follow_the_ratio_and_the_preference_over_time(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The ratio e_both / (K/(K−1) e_top e_bottom) is there at every step, λ where both patterns fire often enough."""
    bands = compare(*tables).bands
    ratio = bands[(bands["question"] == "doubles") & (bands["model"] == "product")]
    accuracy = tables[0].pivot_table(index="step", columns=["kind", "seed"], values="accuracy")
    product = 10 / 9 * (1 - accuracy["top"]) * (1 - accuracy["bottom"])
    by_hand = (1 - accuracy["both"]).mean(axis=1) / product.mean(axis=1)
    middle = ratio["step"].between(1, 300).to_numpy()
    np.testing.assert_allclose(ratio["estimate"].to_numpy()[middle], by_hand.to_numpy()[middle], rtol=1e-9)
    preference = bands[bands["question"] == "preference"]
    assert preference["step"].min() > 10
    assert ((preference["low"] <= 0.5) & (preference["high"] >= 0.5)).mean() > 0.8


def test_the_same_input_gives_the_same_output(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Nothing is drawn at random, so that no verdict hangs on a draw."""
    pd.testing.assert_frame_equal(compare(*tables).table, compare(*tables).table)


def test_the_order_of_runs_does_not_matter(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Runs in another order give the same estimates and verdicts."""
    order = sorted(tables[0]["run"].unique(), reverse=True)
    turned = pd.concat([tables[0][tables[0]["run"] == run] for run in order], ignore_index=True)
    first, second = compare(*tables), compare(turned, tables[1])
    np.testing.assert_allclose(first.table["estimate"], second.table["estimate"], rtol=1e-9)
    assert list(first.table["verdict"]) == list(second.table["verdict"])


def test_a_single_seed_has_estimates_and_no_intervals(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """One seed: the numbers are given, nothing is decided, and a note and every judged sentence say why."""
    one = tables[0][tables[0]["seed"] == 0]
    found = compare(one, tables[1][tables[1]["run"] == "run0"])
    assert set(found.table["verdict"]) == {CANNOT_TELL, NOT_APPLICABLE}
    assert found.table["low"].isna().all()
    open_rows = found.table[(found.table["verdict"] == CANNOT_TELL) & (found.table["rival"] != "all rivals")]
    assert open_rows.loc[open_rows["question"] == "doubles", "estimate"].notna().all()
    assert any("single seed" in note for note in found.notes)
    assert open_rows["sentence"].str.contains("one seed").all()


@pytest.mark.parametrize(
    ("kind", "unanswered", "answered"),
    [
        ("top", {"doubles", "conflicts", "loss"}, {"empties", "monotonicity", "loss reading"}),
        ("both", {"doubles", "loss"}, {"conflicts", "preference", "empties"}),
        ("conflict", {"conflicts"}, {"doubles", "loss", "empties"}),
        ("empty", {"empties"}, {"doubles", "conflicts", "loss"}),
    ],
)
def test_absent_kinds_leave_the_other_questions(
    tables: tuple[pd.DataFrame, pd.DataFrame], kind: str, unanswered: set[str], answered: set[str]
) -> None:
    """A kind without rows: its questions say so in one row, all others are answered."""
    found = compare(tables[0][tables[0]["kind"] != kind], tables[1][tables[1]["kind"] != kind]).table
    silent = found[found["sentence"].str.contains(f"no rows of kind {kind}")]
    assert unanswered <= set(silent["question"])
    assert (silent["verdict"] == NOT_APPLICABLE).all()
    assert answered <= set(found.loc[found["verdict"].isin([HOLDS, FAILS]), "question"])


def test_without_classes_nothing_is_judged_per_class_and_k_is_a_guess(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Without the table of classes the averages are judged, and notes say what that cannot see."""
    found = compare(tables[0])
    assert not found.table["model"].str.contains("per class").any()
    assert any("10 was taken" in note for note in found.notes)
    assert any("nothing is judged per class" in note for note in found.notes)
    assert not any("10 was taken" in note for note in compare(tables[0], classes_count=10).notes)


@pytest.mark.parametrize(
    ("column", "lost", "said"),
    [
        ("loss", {"loss", "loss reading"}, "questions about loss are not answered"),
        ("agree_top", {"conflicts"}, "conflicts are not judged"),
        ("accuracy", {"doubles", "conflicts", "loss"}, "questions about accuracy are not answered"),
    ],
)
def test_a_missing_column_costs_its_questions_only(
    tables: tuple[pd.DataFrame, pd.DataFrame], column: str, lost: set[str], said: str
) -> None:
    """A column that is not there: a note names it, the questions that need it stay open, the others are answered."""
    found = compare(tables[0].drop(columns=column), tables[1])
    assert any(said in note and column in note for note in found.notes)
    decided = set(found.table.loc[found.table["verdict"].isin([HOLDS, FAILS]), "question"])
    assert not lost & decided
    assert decided


def test_without_n_there_is_no_deviance_and_rmse_decides(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Without the number of pictures the rules are compared by RMSE, and a note says what the intervals lack."""
    found = compare(tables[0].drop(columns="n"), tables[1])
    assert found.table["deviance"].isna().all()
    assert set(found.table.loc[found.table["question"] == "doubles score", "quantity"]) == {"RMSE, rival − model"}
    assert any("error of sampling the probe pictures is not in the intervals" in note for note in found.notes)
    assert verdict_of(found.table, "doubles", "product", "rise") == HOLDS


def test_values_that_cannot_be_are_not_used_and_named(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """An accuracy of 1.3 and a NaN cost their steps, are named by row, and change no verdict."""
    broken = tables[0].copy()
    broken.loc[40, "accuracy"], broken.loc[30, "loss"] = 1.3, np.nan
    found = compare(broken, tables[1])
    assert any("column accuracy, row 41: 1.3 is out of range" in note for note in found.notes)
    assert any("column loss, row 31: no number there" in note for note in found.notes)
    assert any("that not every run has is not compared" in note for note in found.notes)
    assert list(found.table.loc[found.table["question"] == "preference", "verdict"]) == list(
        compare(*tables).table.query("question == 'preference'")["verdict"]
    )


def test_unordered_and_repeated_steps_are_put_right_and_named(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Rows in any order, some of them twice, give the same verdicts as the table that was meant."""
    mixed = pd.concat([tables[0].sample(frac=1, random_state=0), tables[0].iloc[:3]], ignore_index=True)
    found, meant = compare(mixed, tables[1]), compare(*tables)
    assert any("steps are not in increasing order" in note for note in found.notes)
    assert any("3 rows" in note and "same run, split, kind, step" in note for note in found.notes)
    np.testing.assert_allclose(found.table["estimate"], meant.table["estimate"], rtol=1e-9)
    assert list(found.table["verdict"]) == list(meant.table["verdict"])


def test_steps_without_zero_are_enough(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Step 0 has no length in log time: without it the averages are the same, and a note says that it is missing."""
    averaged = ["doubles", "conflicts", "empties", "loss"]
    found = compare(tables[0][tables[0]["step"] > 0], tables[1][tables[1]["step"] > 0], questions=averaged)
    assert any("step 0 (before training) is missing" in note for note in found.notes)
    pd.testing.assert_frame_equal(found.table, compare(*tables, questions=averaged).table)
    assert (compare(tables[0][tables[0]["step"] > 0]).table["verdict"] != CANNOT_TELL).sum() > 30


def test_patterns_that_are_never_known_together_give_no_cheap_agreement() -> None:
    """At chance every rule predicts chance; agreement there is not counted as `holds`."""
    found = compare(*curves(Truth(onset=(1e6, 1e6)))).table
    for question in ("doubles", "conflicts", "loss"):
        row = found[found["question"] == question].iloc[0]
        assert row["verdict"] == NOT_APPLICABLE
        assert "hardly known together" in row["sentence"]
    assert "not learned in every seed" in found.loc[found["question"] == "learned first", "sentence"].iloc[0]


def test_more_than_all_answers_is_noted(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Shares of answers to conflicts that add up to more than 1 are said to be impossible."""
    broken = tables[0].copy()
    conflict = broken["kind"] == "conflict"
    broken.loc[conflict, "agree_bottom"] = np.minimum(1.0, broken.loc[conflict, "agree_bottom"] + 0.5)
    assert any("add up to more than 1" in note for note in compare(broken, tables[1], questions=["conflicts"]).notes)


def test_a_table_of_classes_of_other_steps_is_not_mixed_in(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Classes that were measured at other steps are not compared with the curves, and a note says so."""
    found = compare(tables[0], tables[1][tables[1]["step"] % 2 == 0], questions=["doubles"])
    assert not found.table["model"].str.contains("per class").any()
    assert any("does not have every run and step of the curves" in note for note in found.notes)


def test_two_classes_have_no_third_answer() -> None:
    """With K = 2 there is no answer that is neither class: conflicts are judged by preference alone."""
    found = compare(*curves(Truth(K=2), 3)).table
    assert (found.loc[found["question"] == "conflicts", "verdict"] == NOT_APPLICABLE).all()
    assert {"equal", "top preferred", "bottom preferred", "constant"} <= set(found.loc[found["question"] == "preference", "model"])
    assert verdict_of(found, "loss reading", "sure or uniform") == HOLDS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, "level is 1; expected a number between 0 and 1"),
        ({"level": "a"}, "level is 'a'; expected a number between 0 and 1"),
        ({"level": None}, "level is None; expected a number between 0 and 1"),
        ({"questions": "doubles"}, r"questions is the text 'doubles'; expected a list of names, such as \['doubles'\]"),
        ({"rules": "x"}, r"rules is the text 'x'; expected a list of names, such as \['x'\]"),
        ({"questions": ["halves"]}, "question halves is not known; expected some of learned first, doubles"),
        ({"classes_count": 7}, "classes_count is 7, but the table of classes has 10 labels"),
    ],
)
def test_options_out_of_range_are_refused(tables: tuple[pd.DataFrame, pd.DataFrame], change: dict[str, object], message: str) -> None:
    """Each option is refused with what was given and what was expected."""
    for judge in (compare, compare_groups):
        with pytest.raises(CurvesError, match=f"^{message}"):
            judge(*tables, **change)


def test_margins_out_of_range_are_refused() -> None:
    """A margin that no number can be within is refused."""
    with pytest.raises(CurvesError, match=r"margin ratio is 0\.9; expected a factor above 1"):
        Margins(ratio=0.9)
    with pytest.raises(CurvesError, match="margin loss is 0; expected a number above 0"):
        Margins(loss=0)


def test_runs_of_different_specs_are_refused(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Runs that differ by more than the seed would pass their differences off as the spread of seeds."""
    mixed = tables[0].assign(lr=np.where(tables[0]["seed"] < 2, 0.1, 0.2))
    with pytest.raises(CurvesError, match="the runs differ in lr; expected runs of one spec"):
        compare(mixed)
    assert len(compare(mixed.assign(lr=0.1), questions=["empties"]).table) == 2


def test_wider_margins_and_levels_do_what_they_say(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A margin is the range that a verdict is about, a level sets the width of the interval."""
    narrow = compare(*tables, questions=["doubles"], margins=Margins(ratio=1.01))
    assert verdict_of(narrow.table, "doubles", "product", "rise") == CANNOT_TELL
    wide, usual = (compare(*tables, questions=["empties"], level=level).table for level in (0.99, 0.95))
    widths = [(each["high"] - each["low"]).iloc[0] for each in (wide, usual)]
    assert widths[0] > widths[1]
    assert math.isclose(wide["level"].iloc[0], 0.99)


def test_groups_are_compared_each_alone(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Runs of two specs: two groups, named by what differs, each with the rows of `compare`; a broken group is a note."""
    other = tables[0].assign(run=tables[0]["run"] + "b", lr=0.5)
    classes = pd.concat([tables[1], tables[1].assign(run=tables[1]["run"] + "b")], ignore_index=True)
    mixed = pd.concat([tables[0].assign(lr=0.25), other], ignore_index=True)
    found = compare_groups(mixed, classes, questions=["doubles", "empties"])
    alone = compare(*tables, questions=["doubles", "empties"], group="lr=0.25")
    pd.testing.assert_frame_equal(found.table[found.table["group"] == "lr=0.25"], alone.table)
    assert list(found.table["group"].unique()) == ["lr=0.25", "lr=0.5"]
    broken = compare_groups(mixed.assign(split=np.where(mixed["lr"] > 0.3, "train", "test")), classes, questions=["empties"], by=["lr"])
    assert set(broken.table["group"]) == {"lr=0.25"}
    assert any("[lr=0.5] not compared: curves: there are no rows of split test" in note for note in broken.notes)
    pd.testing.assert_frame_equal(compare_groups(*tables, questions=["empties"]).table, compare(*tables, questions=["empties"]).table)


def test_groups_that_cannot_be_made_are_refused(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A column that is not there, and no group that can be compared."""
    with pytest.raises(CurvesError, match="the column lr is not in the curves; expected columns that set the groups apart"):
        compare_groups(tables[0], by=["lr"])
    with pytest.raises(CurvesError, match=r"by is the text 'lr'; expected a list of names, such as \['lr'\]"):
        compare_groups(tables[0], by="lr")
    with pytest.raises(CurvesError, match=r"no group of runs can be compared; \[lr=a\] not compared: "):
        compare_groups(tables[0].assign(lr="a", split="train"), by=["lr"])
    with pytest.raises(CurvesError, match="there are no rows of split test"):
        compare_groups(tables[0].assign(split="train"))


def test_the_comparison_is_json(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Strict JSON, with null for open ends and intervals that are not there."""
    found = compare(tables[0][tables[0]["seed"] == 0], tables[1])
    text = json.dumps(found.as_json(), allow_nan=False)
    read = json.loads(text)
    assert len(read["verdicts"]) == len(found.table)
    assert read["verdicts"][0]["low"] is None
    assert read["notes"] == list(found.notes)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_curves_that_never_move_are_judged_without_a_warning(tables: tuple[pd.DataFrame, pd.DataFrame], value: float) -> None:
    """Accuracies of exactly 0, chance or 1 divide by nothing and give no agreement about doubles."""
    shares = {"accuracy": value, "agree_top": value, "agree_bottom": 0.0}
    found = compare(tables[0].assign(**shares), tables[1].assign(accuracy=value), questions=["doubles", "conflicts", "loss"]).table
    ratios = found[found["question"].isin(["doubles", "conflicts"])]
    assert not ratios["verdict"].isin([HOLDS, FAILS]).any()
    assert not (found.loc[found["question"] == "loss reading", "verdict"] == HOLDS).any()


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 10**30},
        {"samples": str(10**30)},
        {"n": 10**30},
        {"n": 1e308},
        {"loss": 1e308},
        {"seed": 10**30},
        {"step": 10**30},
    ],
)
def test_numbers_that_nothing_can_be_made_of_are_named(tables: tuple[pd.DataFrame, pd.DataFrame], change: dict[str, object]) -> None:
    """Huge numbers are left out with a note, or, where nothing is left, refused in one sentence: no overflow, no warning."""
    broken = tables[0].assign(**change)
    try:
        notes = compare(broken, tables[1]).notes
    except CurvesError as error:
        notes = (str(error),)
    assert any("is out of range, the value is not used" in note for note in notes)


def test_seeds_with_deals_of_their_own_say_so(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The column deal_seed tells whether an interval over seeds is one over deals; where it is missing or constant it is not."""
    anew = compare(tables[0].assign(deal_seed=tables[0]["seed"]), tables[1], questions=["doubles"]).table
    assert anew.loc[anew["verdict"] != NOT_APPLICABLE, "sentence"].str.contains("5 seeds, each with its own deal").all()
    same = compare(tables[0].assign(deal_seed=3), tables[1], questions=["doubles"]).table
    assert same.loc[same["verdict"] != NOT_APPLICABLE, "sentence"].str.contains("5 seeds of this deal").all()


def test_no_conflict_probe_is_not_applicable(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """What was never measured is not an open question."""
    found = compare(tables[0][tables[0]["kind"] != "conflict"], tables[1], questions=["conflicts"]).table
    assert list(found["verdict"]) == [NOT_APPLICABLE]
