"""Curves with one row each: the same table to the last bit, and read by whoever reads tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_runs

from dominoes import folded, tables
from dominoes.runs import parameters


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two points of two seeds, with what differs between them as further columns."""
    out = tmp_path_factory.mktemp("runs")
    synthetic_runs.write(synthetic_runs.sweep([0.3, 0.6], 2), out)
    return parameters.read_runs(out)


def test_a_folded_table_comes_back(table: pd.DataFrame) -> None:
    """One row a curve, and unfolded the same numbers and types; steps of a run are in order."""
    found = folded.fold(table)
    assert len(found) == table.groupby(["run", "split", "kind"]).ngroups
    assert folded.is_folded(found)
    assert not folded.is_folded(table)
    keys = ["run", "split", "kind", "step"]
    again = folded.unfold(found)
    assert again.groupby("run", sort=False)["step"].apply(lambda steps: steps.is_monotonic_increasing).all()
    pd.testing.assert_frame_equal(again.sort_values(keys, ignore_index=True), table.sort_values(keys, ignore_index=True))
    pd.testing.assert_frame_equal(folded.unfold(folded.fold(again)), again)


def test_curves_may_have_different_steps(table: pd.DataFrame) -> None:
    """A run that ended early keeps its own steps."""
    again = folded.unfold(folded.fold(table))
    short = again[(again["run"] != again["run"].iloc[0]) | (again["step"] < 40)].reset_index(drop=True)
    pd.testing.assert_frame_equal(folded.unfold(folded.fold(short)), short)


def test_every_reader_of_tables_takes_it(table: pd.DataFrame, tmp_path: Path) -> None:
    """A Parquet file of it is read as the long table is."""
    folded.fold(table).to_parquet(tmp_path / "curves.parquet", index=False)
    folded.unfold(folded.fold(table)).to_csv(tmp_path / "curves.csv", index=False)
    found, plain = (tables.read_table(tmp_path / f"curves.{suffix}") for suffix in ("parquet", "csv"))
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)
    assert np.array_equal(found["agree_top"].isna(), plain["agree_top"].isna())
