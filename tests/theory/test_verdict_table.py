"""A table of verdicts that somebody has changed: what is wrong with it is said, by file, column and row."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dominoes.errors import CurvesError
from dominoes.theory.verdict_table import read_comparison

STUDIES = Path(__file__).parents[2] / "results"
KEPT = sorted(STUDIES.rglob("comparison.csv"))
TABLE = STUDIES / "prevalence-small" / "comparison.csv"


@pytest.mark.parametrize("path", KEPT, ids=[path.parent.name for path in KEPT])
def test_every_kept_table_is_read(path: Path) -> None:
    """What `compare` wrote is as pandas alone reads it; rows of which nothing was estimated may tell of the same twice."""
    found = read_comparison(path)
    plain = pd.read_csv(path)
    for name in ("estimate", "low", "high", "n_seeds", "at_most"):
        pd.testing.assert_series_equal(found[name].astype(float), plain[name].astype(float))


def _with(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype(object)
        table.loc[row, column] = value
        return table

    return change


FIRST = int(pd.read_csv(TABLE)["low"].first_valid_index() or 0)
ROW = FIRST + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with("estimate", FIRST, "much"), f"column estimate, row {ROW}: 'much', expected a number"),
        (_with("verdict", FIRST, "maybe"), f"column verdict, row {ROW}: 'maybe', expected one of holds, fails, cannot tell, not applic"),
        (_with("verdict", FIRST, None), f"column verdict, row {ROW}: empty, expected one of holds"),
        (_with("question", FIRST, None), f"column question, row {ROW}: empty, expected its name"),
        (_with("low", FIRST, 1e9), f"column low, row {ROW}: '1000000000.0', expected at most what 'high' is"),
        (_with("n_seeds", FIRST, None), f"column n_seeds, row {ROW}: empty, expected a number beside 'low'"),
        (_with("n_seeds", FIRST, float("inf")), f"column n_seeds, row {ROW}: 'inf', expected a finite number"),
        (lambda t: pd.concat([t, t]), "column question, row .*: '.*', the same row as an earlier one; expected each once"),
        (lambda t: t.drop(columns="low"), "the column low is missing; expected a table made by 'dominoes compare', group,question"),
        (lambda t: t.iloc[:0], "there are no rows; expected a table made by 'dominoes compare'"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[pd.DataFrame], pd.DataFrame], said: str, tmp_path: Path) -> None:
    """One sentence with the file, the column and the row."""
    path = tmp_path / "mine.csv"
    change(pd.read_csv(TABLE)).to_csv(path, index=False)
    with pytest.raises(CurvesError, match=f"^{re.escape(str(path))}: {said}"):
        read_comparison(path)


def test_what_is_no_table_is_said(tmp_path: Path) -> None:
    """A file that is cut off, that is not there, that is not text, in the words of what was met."""
    path = tmp_path / "mine.csv"
    path.write_text('question,verdict\n"learned', encoding="utf-8")
    with pytest.raises(CurvesError, match=r"mine.csv cannot be read as a table \(.*EOF inside string.*\); expected a table made by"):
        read_comparison(path)
    path.write_bytes(b"question,verdict\n\xff\xfe,holds\n")
    with pytest.raises(CurvesError, match=r"mine.csv cannot be read as a table \(it is no text in UTF-8\)"):
        read_comparison(path)
    with pytest.raises(CurvesError, match=r"none.csv is not there; expected a table made by 'dominoes compare'"):
        read_comparison(tmp_path / "none.csv")
    with pytest.raises(CurvesError, match="is no file; expected a table made by"):
        read_comparison(tmp_path)
    (tmp_path / "mine.parquet").write_bytes(b"no")
    with pytest.raises(CurvesError, match="mine.parquet cannot be read as a table"):
        read_comparison(tmp_path / "mine.parquet")


def test_a_reader_says_which_columns_it_needs(tmp_path: Path) -> None:
    """The others may be missing, but for those that an interval is told with."""
    path = tmp_path / "mine.csv"
    few = ["question", "verdict", "sentence"]
    pd.read_csv(TABLE)[few].to_csv(path, index=False)
    assert list(read_comparison(path, needed=few).columns) == few
    pd.read_csv(TABLE)[[*few, "estimate", "low"]].to_csv(path, index=False)
    with pytest.raises(CurvesError, match="the columns high, n_seeds, level are missing"):
        read_comparison(path, needed=few)
