"""Nothing is dropped without a note, and what cannot be compared at all is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_truths import Truth, curves, simulated

from dominoes.errors import CurvesError
from dominoes.tables import mended, read_unchecked
from dominoes.theory.comparison import compare_groups
from dominoes.theory.run_arrays import arrays, log_time_weights


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return curves(Truth(n=100, points=20), 3)


def test_a_table_that_keeps_its_contract_is_left_alone(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """No notes, the same rows."""
    for table, form in zip(tables, ("curves", "classes"), strict=True):
        found, notes = mended(table, form=form)
        assert notes == ()
        assert len(found) == len(table)


def test_the_cube_holds_every_value(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Every row of both tables is found again at its place."""
    data = arrays(*tables)
    assert data.classes_count == 10
    for row in tables[0].sample(50, random_state=0).itertuples():
        place = data.runs.index(row.run), int(np.flatnonzero(data.steps == row.step)[0]), data.kinds.index(row.kind)
        assert data.cube["accuracy"][place] == row.accuracy
    assert data.class_cube is not None
    for row in tables[1].sample(50, random_state=0).itertuples():
        place = data.runs.index(row.run), int(np.flatnonzero(data.steps == row.step)[0]), data.kinds.index(row.kind)
        assert data.class_cube["loss"][(*place, row.label)] == row.loss


def test_log_time_weights_are_the_trapezoid_rule() -> None:
    """Weights integrate a function of ln t exactly as the trapezoid rule does; step 0 has none."""
    steps = np.array([0.0, 1, 3, 10, 40, 41])
    weights = log_time_weights(steps)
    values = np.sin(np.arange(6.0))
    assert weights[0] == 0
    assert weights @ values == pytest.approx(np.trapezoid(values[1:], np.log(steps[1:])) / np.log(41))
    assert log_time_weights(np.array([0.0, 5.0])) == pytest.approx([0, 1])
    assert log_time_weights(np.array([0.0])) == pytest.approx([0])


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (["step"], "the column step is missing, nothing can be compared without"),
        (["kind"], "the column kind is missing"),
        (["run", "seed"], "the columns run, seed are missing"),
        (["loss", "accuracy"], "the columns accuracy, loss are missing"),
    ],
)
def test_columns_without_which_nothing_is_left_are_asked_for(
    tables: tuple[pd.DataFrame, pd.DataFrame], lost: list[str], message: str
) -> None:
    """The sentence names the column and the columns that are expected."""
    with pytest.raises(CurvesError, match=message):
        mended(tables[0].drop(columns=lost))
    with pytest.raises(CurvesError, match="the column label is missing"):
        mended(tables[1].drop(columns="label"), form="classes")


@pytest.mark.parametrize("lost", ["run", "seed", "epoch", "samples", "split", "n", "loss", "accuracy", "agree_top", "agree_bottom"])
def test_every_other_column_may_be_missing(tables: tuple[pd.DataFrame, pd.DataFrame], lost: str) -> None:
    """One note names the column and what follows from its absence; all rows stay."""
    found, notes = mended(tables[0].drop(columns=lost))
    assert len(notes) == 1
    assert f"the column {lost} is missing: " in notes[0]
    assert len(found) == len(tables[0])
    assert arrays(tables[0].drop(columns=lost), tables[1]).cube["loss"].shape[0] == 3


def test_text_and_infinity_are_no_numbers(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Values that are no numbers or not finite become empty and are named; a row without a step cannot be placed and is named too."""
    broken = tables[0].astype({"loss": object, "step": float})
    broken.loc[3, "loss"], broken.loc[5, "loss"], broken.loc[7, "step"] = "high", np.inf, np.nan
    found, notes = mended(broken)
    assert len(found) == len(broken) - 1
    assert any("column loss, row 4: no number" in note for note in notes)
    assert any("column loss, row 6: inf is out of range" in note for note in notes)
    assert any("row 8 left out: no run, split, kind, step or seed" in note for note in notes)


def test_rows_that_contradict_each_other_are_named(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Of two rows for one point the first is used, and it is said that they differ."""
    second = tables[0].iloc[[10]].assign(accuracy=0.5)
    found, notes = mended(pd.concat([tables[0], second], ignore_index=True))
    assert len(found) == len(tables[0])
    assert any("some differ in their values" in note for note in notes)


def test_no_usable_row_is_an_error(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A table of which nothing is left says what was wrong with its rows."""
    with pytest.raises(CurvesError, match="no usable row is left"):
        mended(tables[0].assign(step=np.nan))
    with pytest.raises(CurvesError, match="there are no rows of split test"):
        arrays(tables[0].assign(split="train"))


def test_copies_of_a_seed_count_once(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Two runs with one seed are one observation: the second is left out, by name."""
    copy = tables[0][tables[0]["seed"] == 0].assign(run="again")
    data = arrays(pd.concat([tables[0], copy], ignore_index=True), tables[1])
    assert data.runs == ("run0", "run1", "run2")
    assert any("run again left out: it has the seed of an earlier run" in note for note in data.notes)


def test_a_run_that_broke_off_does_not_shorten_the_others(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A run with few steps is left out by name; one that lacks some costs these steps, and their number is given."""
    last = np.sort(tables[0]["step"].unique())
    broken = (tables[0]["run"] == "run2") & (tables[0]["step"] > last[4])
    found = arrays(tables[0][~broken]).common([("accuracy", "top")])
    assert not isinstance(found, str)
    assert found.n_seeds == 2
    assert any("run run2 left out, it has less than half of the steps" in note for note in found.notes)
    shorter = (tables[0]["run"] == "run2") & (tables[0]["step"] > last[-4])
    found = arrays(tables[0][~shorter]).common([("accuracy", "top")])
    assert not isinstance(found, str)
    assert len(found.steps) == len(last) - 3
    assert any("and 2 more that not every run has are not compared" in note for note in found.notes)


def test_classes_are_those_of_the_steps_that_are_compared(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A step that the curves lack in one run is left out by class too; one that the table of classes lacks leaves nothing by class."""
    curves, classes = tables
    last = np.sort(curves["step"].unique())
    holed = arrays(curves[~((curves["run"] == "run1") & (curves["step"] == last[3]))], classes)
    measured = holed.common([("accuracy", "both")])
    assert not isinstance(measured, str)
    (found,) = holed.by_class([("accuracy", "both")], measured)
    assert found.shape == (measured.n_seeds, len(last) - 1, 10)
    assert found.mean(axis=2) == pytest.approx(measured.values[0])
    less = arrays(curves, classes[~((classes["run"] == "run1") & (classes["step"] == last[3]))])
    whole = less.common([("accuracy", "both")])
    assert not isinstance(whole, str)
    assert less.by_class([("accuracy", "both")], whole) == "the table of classes does not have every run and step of the curves"


def test_crossed_answers_are_those_of_the_curves() -> None:
    """A table whose shares are others than the curves', or that lacks a run, is left out with a note; a rounded one is not."""
    curves, classes, joint = simulated(Truth(n=300, points=20), 3)
    whole = arrays(curves, classes, joint=joint)
    assert set(whole.joint) == {"both", "conflict"}
    assert set(arrays(curves.round(3), classes, joint=joint).joint) == {"both", "conflict"}
    turned = joint.replace({"answer": {"right": "wrong", "wrong": "right"}})
    found = arrays(curves, classes, joint=turned)
    assert set(found.joint) == {"conflict"}
    assert any("the share of both that is answered 'wrong' is another there than in the curves" in note for note in found.notes)
    found = arrays(curves, classes, joint=joint[joint["run"] != "run1"])
    assert not found.joint
    assert "answers picture by picture (both) are missing for run run1: those of the others are not used" in found.notes


def test_reasons_are_given_where_there_is_nothing_in_common(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Each way of having nothing to compare has its own sentence."""
    data = arrays(tables[0])
    measured = data.common([("accuracy", "both")])
    assert not isinstance(measured, str)
    assert data.by_class([("accuracy", "both")], measured) == "there are no rows by class of these runs"
    few = arrays(tables[0][tables[0]["step"] < 2])
    assert "fewer than three steps after 0" in str(few.common([("accuracy", "both")]))
    assert arrays(tables[0].assign(accuracy=np.nan)).common([("accuracy", "both")]) == "no step has all of accuracy of both"


def test_other_kinds_other_runs_and_other_labels_are_named(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Rows of an unknown kind, and a table of classes of other runs, are not used and said not to be."""
    odd = pd.concat([tables[0], tables[0][tables[0]["kind"] == "top"].assign(kind="left")], ignore_index=True)
    assert any("rows of kind left are not used" in note for note in arrays(odd, tables[1]).notes)
    elsewhere = arrays(tables[0], tables[1].assign(run="elsewhere"))
    assert elsewhere.class_cube is None
    assert any("the table of classes has no rows that are known to be of these runs" in note for note in elsewhere.notes)
    with pytest.raises(CurvesError, match="the number of classes is 1; expected a whole number from 2"):
        arrays(tables[0], classes_count=1)


def test_a_table_is_read_as_it_is(tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path) -> None:
    """CSV and Parquet give the same table, broken values included; run ids stay text; what is no table is refused."""
    broken = tables[0].assign(run=tables[0]["run"].replace("run0", "123456789012"))
    broken.loc[0, "accuracy"] = 1.3
    broken.to_csv(tmp_path / "curves.csv", index=False)
    broken.to_parquet(tmp_path / "curves.parquet")
    for name in ("curves.csv", "curves.parquet"):
        found = read_unchecked(tmp_path / name)
        assert found.loc[0, "accuracy"] == 1.3
        assert found.loc[0, "run"] == "123456789012"
    with pytest.raises(CurvesError, match="is not there; expected a table of learning curves"):
        read_unchecked(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(CurvesError, match="cannot be read as a table"):
        read_unchecked(tmp_path / "empty.csv")


def test_seeds_with_names_are_numbered(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Names instead of numbers tell seeds apart just as well, and a note says that they were numbered."""
    found, notes = mended(tables[0].assign(seed="s" + tables[0]["seed"].astype(str)))
    assert list(found["seed"].unique()) == [0, 1, 2]
    assert notes == ("curves: column seed holds names: they are numbered in order of appearance",)


def test_a_table_by_class_is_matched_by_seed_where_a_table_names_no_runs(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The same values by class as with run ids, whichever of the two tables has seeds alone."""
    told = arrays(*tables).class_cube
    assert told is not None
    seeds = tables[0].drop_duplicates("run").set_index("run")["seed"]
    seeded = tables[1].assign(seed=tables[1]["run"].map(seeds))
    for curves_table in (tables[0], tables[0].drop(columns="run")):
        for by_class in (seeded, seeded.drop(columns="run")):
            data = arrays(curves_table, by_class)
            assert data.class_cube is not None
            np.testing.assert_array_equal(data.class_cube["loss"], told["loss"])


def test_the_labels_of_a_table_that_cannot_be_matched_tell_the_number_of_classes() -> None:
    """K is that of the labels, not 10, and one note says that nothing is judged per class; a K that is asked for stays."""
    curves_table, by_class = curves(Truth(K=2, n=100, points=20), 3)
    for table in (curves_table.drop(columns="run"), curves_table.assign(run="other " + curves_table["run"])):
        data = arrays(table, by_class)
        assert (data.classes_count, data.class_cube) == (2, None)
        assert sum("no rows that are known to be of these runs" in note and "2 classes are taken" in note for note in data.notes) == 1
        assert not any("is not known" in note for note in data.notes)
        assert arrays(table, by_class, classes_count=3).classes_count == 3
    twice = by_class.assign(seed=0)
    assert arrays(curves_table.drop(columns="run"), twice).class_cube is None


def test_a_table_by_class_names_its_runs_or_its_seeds(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Without both columns there is one sentence, no traceback."""
    with pytest.raises(CurvesError, match="classes: the columns run, seed are missing, nothing can be compared without"):
        mended(tables[1].drop(columns="run"), form="classes")


def test_groups_without_run_ids_have_the_classes_of_the_table_but_not_each_others_rows() -> None:
    """Two groups share their seeds, so that a seed alone does not say whose a row by class is: K is told, nothing is judged per class."""
    curves_table, by_class = curves(Truth(K=2, n=100, points=20), 3)
    twice = pd.concat([curves_table.assign(lr=lr) for lr in (0.1, 0.2)]).drop(columns="run")
    seeded = by_class.assign(seed=by_class["run"].str.removeprefix("run").astype(int))
    for table in (by_class, seeded, seeded.drop(columns="run")):
        notes = compare_groups(twice, table, questions=("empties",)).notes
        assert sum("2 classes are taken" in note for note in notes) == 2
