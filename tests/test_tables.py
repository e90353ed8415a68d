"""The tables of curves: contract, refusal, reading and writing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dominoes import tables
from dominoes.errors import CurvesError


def table(steps: list[int] | None = None, runs: int = 2) -> pd.DataFrame:
    """A valid table of two kinds."""
    rows = []
    for run in range(runs):
        for kind in ("top", "both"):
            for step in steps or [0, 1, 10]:
                agree = 0.5, (0.25 if kind == "both" else np.nan)
                rows.append((f"0{run}e5", run, step, step / 7, step * 64, "test", kind, 100, 2.3, 0.1, *agree))
    return pd.DataFrame(rows, columns=list(tables.CURVES))


@given(st.lists(st.tuples(st.floats(0, 1e300), st.floats(0, 1)), min_size=1, max_size=30))
@settings(max_examples=50)
def test_tables_survive_csv_and_parquet_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[float, float]]
) -> None:
    """Any finite losses and accuracies are read back as they were written."""
    found = table(list(range(len(values))), runs=1)
    found["loss"] = [value[0] for value in values] * 2
    found["accuracy"] = [value[1] for value in values] * 2
    for suffix in (".csv", ".parquet"):
        path = tmp_path_factory.getbasetemp() / f"curves{suffix}"
        tables.write_table(found, path)
        pd.testing.assert_frame_equal(tables.read_table(path), tables.check_table(found), check_exact=True)


def test_run_ids_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    """Ids of digits, or with an e among digits, are not read as numbers."""
    found = table()
    found["run"] = found["run"].replace({"00e5": "0012e4567890", "01e5": "123456789012"})
    tables.write_table(found, tmp_path / "c.csv")
    assert set(tables.read_table(tmp_path / "c.csv")["run"]) == {"0012e4567890", "123456789012"}


def test_further_columns_are_kept() -> None:
    """Swept parameters beside the contract's columns are left alone."""
    assert "prevalence_top" in tables.check_table(table().assign(prevalence_top=0.5)).columns


def broken(case: str) -> pd.DataFrame:
    """A table with one fault."""
    found = table()
    if case == "column":
        return found.drop(columns=["loss", "n"])
    if case == "order":
        return table([0, 10, 1])
    if case == "twice":
        return table([0, 1, 1])
    column, row, value = {
        "nan": ("loss", 2, np.nan),
        "inf": ("loss", 3, np.inf),
        "share": ("accuracy", 4, 1.3),
        "agree": ("agree_top", 0, -0.1),
        "negative": ("loss", 5, -1.0),
        "n": ("n", 1, 0),
        "half": ("step", 1, 0.5),
        "text": ("accuracy", 7, "high"),
        "name": ("kind", 2, None),
    }[case]
    found[column] = found[column].astype(object)
    found.loc[row, column] = value
    return found


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("column", "the columns n, loss are missing; expected run,seed,step"),
        ("order", "curve 00e5 test top: step 1 comes after step 10; expected steps that increase"),
        ("twice", "curve 00e5 test top: step 1 appears twice"),
        ("nan", r"column loss, row 3: no value \(NaN\)"),
        ("inf", "column loss, row 4: inf, expected a finite number"),
        ("share", "column accuracy, row 5: 1.3, expected a share from 0 to 1"),
        ("agree", "column agree_top, row 1: -0.1, expected a share"),
        ("negative", "column loss, row 6: -1, expected at least 0"),
        ("n", "column n, row 2: 0, expected at least 1"),
        ("half", "column step, row 2: 0.5, expected a whole number"),
        ("text", "column accuracy, row 8: 'high' is not a number"),
        ("name", "column kind, row 3: empty, expected a name"),
    ],
)
def test_broken_tables_are_refused_with_column_and_row(case: str, message: str, tmp_path: Path) -> None:
    """Each fault is named with its column or curve, its row, its value and what was expected, also when read from a file."""
    with pytest.raises(CurvesError, match=f"the table: {message}"):
        tables.check_table(broken(case))
    broken(case).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(CurvesError, match=f"c.csv: {message}"):
        tables.read_table(tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",", ";"), "c.csv has semicolons between its columns, not commas; expected the columns run,seed"),
        (lambda text: text.replace(",", "\t"), "c.csv has tabs between its columns, not commas"),
        (lambda text: "Wall time,Step,Value\n1,2,3\n", "c.csv has the columns Wall time, Step, Value; expected the columns run,seed"),
        (lambda text: text.partition("\n")[0] + "\n", "c.csv has a header and no rows"),
        (lambda text: text.encode("utf-16"), "c.csv cannot be read as a table .it is no text in UTF-8"),
        (lambda text: text.replace(",0.1,", ",\0\x1b[31m" + "x" * 999 + ",", 1), "column accuracy, row 1: '��.31mx{33}…' is not a number"),
    ],
)
def test_tables_of_other_programs_are_named_for_what_they_are(change: Callable[[str], str | bytes], message: str, tmp_path: Path) -> None:
    """What it has in place of what was expected, in a sentence that a terminal can show."""
    changed = change(tables.as_csv(table()))
    (tmp_path / "c.csv").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    with pytest.raises(CurvesError, match=message):
        tables.read_table(tmp_path / "c.csv")


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")], ids=["BOM", "CRLF"])
def test_tables_that_windows_wrote_are_the_same(change: Callable[[str], str], tmp_path: Path) -> None:
    """A mark of byte order and ends of lines of two characters change nothing."""
    (tmp_path / "c.csv").write_bytes(change(tables.as_csv(table())).encode())
    pd.testing.assert_frame_equal(tables.read_table(tmp_path / "c.csv"), tables.check_table(table()))


def test_a_column_that_varies_within_runs_is_not_swept() -> None:
    """It says something of a row, and would make a group of every row; where several curves bear one name it tells these apart."""
    found = table().assign(width=[8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9], seconds=range(12))
    assert tables.of_rows(found, ["width", "seconds"]) == ["seconds"]
    assert tables.swept(found) == ["width"]
    again = pd.concat([table(runs=1).assign(width=8), table(runs=1).assign(width=9)])
    assert tables.swept(again) == ["width"]


@pytest.mark.parametrize(
    ("name", "content", "message"), [("a.csv", "", "cannot be read as a table"), ("a.parquet", "x", "cannot be read as a table")]
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    """A file that is no table is refused with its name; so is one that is not there."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CurvesError, match=f"{name} {message}"):
        tables.read_table(tmp_path / name)
    with pytest.raises(CurvesError, match="nowhere.csv is not there"):
        tables.read_table(tmp_path / "nowhere.csv")


def joint(**changed: list[object]) -> pd.DataFrame:
    """A valid table of crossed answers: ten doubles and ten conflicts at two steps."""
    columns = {
        "run": ["1e5"] * 6,
        "step": [0, 0, 3, 3, 0, 3],
        "probe": ["both"] * 4 + ["conflict"] * 2,
        "top_alone": [0, 1, 0, 1, 1, 1],
        "bottom_alone": [1, 1, 1, 1, 0, 0],
        "answer": ["right", "wrong", "right", "wrong", "neither", "neither"],
        "n": [4, 6, 5, 5, 10, 10],
    }
    return pd.DataFrame(columns | changed)


def test_crossed_answers_have_rules_of_their_own(tmp_path: Path) -> None:
    """They survive CSV; what is no share of a whole probe, no answer of it or no yes or no is named."""
    tables.write_table(joint(), tmp_path / "joint.csv", form="joint")
    pd.testing.assert_frame_equal(tables.read_table(tmp_path / "joint.csv", form="joint"), tables.check_table(joint(), form="joint"))
    for changed, message in (
        ({"top_alone": [0, 2, 0, 1, 1, 1]}, "column top_alone, row 2: 2, expected 0 or 1"),
        ({"answer": ["right", "wrong", "right", "top", "neither", "neither"]}, "row 4: probe both answered top, expected one of"),
        ({"n": [4, 6, 5, 6, 10, 10]}, "run 1e5, probe both: the counts of its steps add up to different sizes"),
        ({"n": [4, 6, 5, 0, 10, 10]}, "column n, row 4: 0, expected at least 1"),
        ({"step": [0, 0, 0, 3, 0, 3]}, "step 0 appears twice"),
    ):
        with pytest.raises(CurvesError, match=message):
            tables.check_table(joint(**changed), form="joint")


def test_further_measures_may_be_negative_but_not_empty() -> None:
    """A margin below 0 is a number like any other; no value is none."""
    found = pd.DataFrame({"run": ["a", "a"], "step": [0, 1], "kind": ["top"] * 2, "measure": ["margin mean"] * 2, "value": [-2.5, 1e9]})
    assert tables.table_problems(found, form="measures") == []
    assert "no value" in tables.table_problems(found.assign(value=[np.nan, 1]), form="measures")[0]
