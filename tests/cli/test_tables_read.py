"""Tables that people hand to commands: what was met, what was expected, and whose fault it is."""

import io
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dominoes.cli.commands import main

RESULTS = Path(__file__).parents[2] / "results"
SMALL = RESULTS / "prevalence-small"
ONE = RESULTS / "mnist-over-cifar" / "curves.csv"


def call(*arguments: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def test_headlines_refuse_what_is_no_comparison(tmp_path: Path) -> None:
    """Curves, a table that lacks a column, one that is cut off, one that is there twice: one sentence, exit code 2, no file."""
    kept = pd.read_csv(SMALL / "comparison.csv")
    kept.drop(columns="low").to_csv(tmp_path / "less.csv", index=False)
    pd.concat([kept, kept]).to_csv(tmp_path / "twice.csv", index=False)
    (tmp_path / "cut.csv").write_text((SMALL / "comparison.csv").read_text(encoding="utf-8")[:300], encoding="utf-8")
    for path, said in (
        (SMALL / "curves.csv", "are missing; expected a table made by 'dominoes compare'"),
        (tmp_path / "less.csv", "the column low is missing; expected a table made by 'dominoes compare'"),
        (tmp_path / "twice.csv", "the same row as an earlier one; expected each once"),
        (tmp_path / "cut.csv", "cannot be read as a table"),
    ):
        result = call("headlines", SMALL / "curves.csv", "--comparison", path, "--out", tmp_path / "h.csv")
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: {path}")
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "h.csv").exists()


def test_headlines_say_where_a_comparison_gives_nothing(tmp_path: Path) -> None:
    """One of single points, made without --sweep, has no estimate across them; one of the sweep gives its numbers without a word."""
    assert call("compare", SMALL / "curves.csv", "--out", tmp_path / "points.csv").exit_code == 0
    told = "points.csv has no estimate across points, so none is taken: 'dominoes compare --sweep' makes such a table"
    result = call("headlines", SMALL / "curves.csv", "--comparison", tmp_path / "points.csv", "--out", tmp_path / "h.csv")
    assert result.exit_code == 0
    assert told in result.stderr
    assert "estimate across points" not in call("headlines", SMALL / "curves.csv", "--out", tmp_path / "h.csv").stderr


def test_compiled_code_of_a_library_is_no_code_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An error that pandas's compiled reader raises is not said to be of code from outside; it is this package's to mend."""

    def fails(_: str) -> None:
        pd.read_csv(io.StringIO('a,b\n"1'))

    # The function that calls it counts as this package's, so that only the library's own frames are left.
    monkeypatch.setattr("dominoes.theory.pattern_model.preset", fails)
    monkeypatch.setattr("dominoes.cli.commands._LIBRARIES", (*sys.modules["dominoes.cli.commands"]._LIBRARIES, str(Path(__file__).parent)))
    result = CliRunner().invoke(main, ["toy", "--out", str(tmp_path / "t.csv")])
    assert isinstance(result.exception, pd.errors.ParserError)
    assert "code from outside" not in result.output


@pytest.mark.parametrize(
    ("option", "name", "expected"),
    [("--joint", "none.csv", "a table of crossed answers"), ("--class-table", "none.csv", "a table of curves by class")],
)
def test_a_table_that_is_not_there_is_called_by_what_it_holds(option: str, name: str, expected: str, tmp_path: Path) -> None:
    """Curves are expected of CURVES alone; columns that are expected are those of the table that was asked for."""
    result = call("compare", ONE, option, tmp_path / name, "--out", tmp_path / "c.csv")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path / name} is not there; expected {expected} (.csv, .parquet)\n"
    (tmp_path / name).write_text("a,b\n1,2\n", encoding="utf-8")
    own = {"--joint": "run,step,probe,top_alone,bottom_alone,answer,n", "--class-table": "run,step,kind,label,n,loss,accuracy"}
    assert f"has the columns a, b; expected the columns {own[option]}" in call("compare", ONE, option, tmp_path / name, "--out", "-").stderr
    (tmp_path / name).write_text(f"{own[option]}\n", encoding="utf-8")
    assert f"no rows; expected some of {expected[11:]}" in call("compare", ONE, option, tmp_path / name, "--out", "-").stderr


def test_fit_takes_seeds_for_runs_as_compare_does(tmp_path: Path) -> None:
    """One of `run` and `seed` is enough: the fits are those of the whole table, and a note says how runs are called."""
    whole = pd.read_csv(ONE, dtype={"run": str})
    fits = {}
    for name, table in (("whole", whole), ("norun", whole.drop(columns="run")), ("noseed", whole.drop(columns="seed"))):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        result = call("fit", tmp_path / f"{name}.csv", "--family", "logistic", "--out", tmp_path / f"{name}.fits.csv")
        assert result.exit_code == 0, result.output
        fits[name] = pd.read_csv(tmp_path / f"{name}.fits.csv"), result.stderr
    for name, told in (("norun", "runs are called by their seeds"), ("noseed", "every run is taken as one seed")):
        columns = ["split", "kind", "metric", "ceiling", "onset", "speed"]
        pd.testing.assert_frame_equal(fits[name][0][columns], fits["whole"][0][columns])
        assert f"is missing: {told}" in fits[name][1]
    assert fits["norun"][0]["run"].tolist() == [f"seed {seed}" for seed in fits["whole"][0]["seed"]]


def test_a_seed_at_several_points_is_several_runs(tmp_path: Path) -> None:
    """Without `run`, what was swept tells the curves of one seed apart."""
    whole = pd.read_csv(ONE, dtype={"run": str})
    swept = pd.concat([whole.assign(lr=0.1), whole.assign(lr=0.2)], ignore_index=True).drop(columns="run")
    swept.to_csv(tmp_path / "c.csv", index=False)
    result = call("fit", tmp_path / "c.csv", "--family", "logistic", "--metric", "accuracy", "--out", tmp_path / "f.csv")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "f.csv")
    assert found["run"].nunique() == 2 * whole["run"].nunique()
    assert set(found["run"]) == {f"seed {seed}, lr {lr}" for seed in whole["seed"].unique() for lr in (0.1, 0.2)}
