"""What a command writes: never over what it reads, in the form that the name says, and looked at before anything is computed."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dominoes import files, tables
from dominoes.cli import output
from dominoes.cli.commands import main
from dominoes.errors import OutputError

RESULTS = Path(__file__).parents[2] / "results"
ONE = RESULTS / "mnist-over-cifar" / "curves.csv"


def call(*arguments: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """A table of curves of one's own."""
    path = tmp_path / "mine" / "curves.csv"
    path.parent.mkdir()
    path.write_bytes(ONE.read_bytes())
    return path


READERS: dict[str, list[str]] = {
    "fit": ["fit", "CURVES", "--out", "PLACE"],
    "compare": ["compare", "CURVES", "--out", "PLACE"],
    "compare --plot": ["compare", "CURVES", "--out", "-", "--plot", "PLACE"],
    "headlines": ["headlines", "CURVES", "--out", "PLACE"],
    "plot": ["plot", "CURVES", "--out", "PLACE"],
    "report": ["report", "CURVES", "--out", "PLACE"],
    "simplicity": ["simplicity", "--source", "CURVES", "--out", "PLACE"],
}


@pytest.mark.parametrize("name", READERS)
def test_nothing_is_written_over_what_is_read(name: str, curves: Path) -> None:
    """By its own name, through a symbolic link or another hard link, the command says so in one sentence and the file stays."""
    suffix = {"plot": ".png", "compare --plot": ".png", "report": ".html"}.get(name, ".csv")
    source = curves.rename(curves.with_suffix(suffix))
    before = source.read_bytes()
    link, hard = source.with_name(f"link{suffix}"), source.with_name(f"hard{suffix}")
    link.symlink_to(source)
    hard.hardlink_to(source)
    option = "--plot" if name == "compare --plot" else "--out"
    for place in (source, link, hard, source.parent / ".." / "mine" / source.name):
        result = call(*[{"CURVES": str(source), "PLACE": str(place)}.get(part, part) for part in READERS[name]])
        assert result.exit_code == 2
        assert result.stderr == f"Error: {option} {place} is a file that is read, and would be replaced; pass another {option}\n"
        assert source.read_bytes() == before
        assert len([*source.parent.iterdir()]) == 3


@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("classes.csv", ["fit", "CURVES"]),
        ("joint.csv", ["compare", "CURVES"]),
        ("simplicity.csv", ["compare", "CURVES", "--sweep"]),
        ("comparison.csv", ["headlines", "CURVES"]),
        ("contrasts.yaml", ["headlines", "CURVES"]),
        ("other.csv", ["headlines", "CURVES", "--comparison", "PLACE"]),
        ("other.csv", ["compare", "CURVES", "--class-table", "PLACE"]),
        ("other.csv", ["compare", "CURVES", "--joint", "PLACE"]),
    ],
)
def test_tables_beside_the_curves_are_read_too(place: str, arguments: list[str], curves: Path) -> None:
    """What a command takes from beside its input, or by another option, is not replaced either."""
    beside = curves.with_name(place)
    beside.write_text("mine", encoding="utf-8")
    given = [{"CURVES": str(curves), "PLACE": str(beside)}.get(part, part) for part in arguments]
    result = call(*given, "--out", beside)
    assert result.exit_code == 2
    assert f"--out {beside} is a file that is read, and would be replaced; pass another --out" in result.stderr
    assert beside.read_text(encoding="utf-8") == "mine"


def test_a_folder_of_runs_keeps_what_is_read_of_it(swept: Path, tmp_path: Path) -> None:
    """A run's curves and the plan are no place for a table; a new name, and a table made of the runs before, are."""
    run = next(path for path in swept.glob("runs/*/curves.csv"))
    for place, source in ((run, swept), (run, run.parent)):
        with pytest.raises(OutputError, match="is a file that is read, and would be replaced; pass another --out"):
            output.check_places({"--out": place}, [source])
    for name in ("plan.parquet", "packed/a.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        with pytest.raises(OutputError, match="is a file that is read"):
            output.check_places({"--out": tmp_path / name}, [tmp_path])
    (tmp_path / "curves.csv").touch()
    for path in ("curves.csv", "comparison.csv", "runs/a/new.csv"):
        output.check_places({"--out": tmp_path / path}, [tmp_path, None])
    result = call("fit", swept, "--out", run)
    assert result.exit_code == 2
    assert "is a file that is read" in result.stderr


def test_two_results_have_two_places(tmp_path: Path) -> None:
    """A table and a figure of one name would be one file."""
    result = call("toy", "--out", tmp_path / "a.png", "--plot", tmp_path / "a.png")
    assert result.exit_code == 2
    assert result.stderr == f"Error: --out and --plot are the same file, {tmp_path}/a.png; pass two\n"
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("command", [["toy", "--points", "5"], ["compare", str(ONE)]])
def test_a_figure_without_a_place_leaves_no_table(command: list[str], tmp_path: Path) -> None:
    """Another suffix, a folder that is a file or that takes no file: said before anything is written, with the option's name."""
    (tmp_path / "file").touch()
    for plot, said in (
        (tmp_path / "p.jpg", r"p\.jpg: a figure is written as .png, .svg, .pdf, got '.jpg'; pass --plot with one of these"),
        (tmp_path / "file" / "p.png", r"file is a file, a folder was expected; pass another --plot"),
        (Path("/proc/nowhere/p.png"), r"/proc/nowhere/p.png cannot be written \(.*\); nothing was changed, pass another --plot"),
    ):
        result = call(*command, "--out", tmp_path / "t.csv", "--plot", plot)
        assert result.exit_code == 2
        assert re.search(f"^Error: .*{said}", result.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_figure_of_nothing_leaves_no_table(curves: Path, tmp_path: Path) -> None:
    """Curves without doubles and conflicts have no ratios over time; the table is not written either."""
    table = tables.read_table(curves)
    table[table["kind"].isin(["top", "bottom"])].to_csv(curves, index=False)
    result = call("compare", curves, "--out", tmp_path / "t.csv", "--plot", tmp_path / "p.png")
    assert result.exit_code == 2
    assert "the comparison has nothing to draw over time" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_place_is_looked_at_without_being_made(tmp_path: Path) -> None:
    """Folders on the way are made when the file is written, not before."""
    files.refuse_unwritable(tmp_path / "a" / "b" / "c.csv")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("arguments", [["toy", "--points", "5"], ["compare", str(ONE)], ["fit", str(ONE), "--family", "logistic"]])
def test_a_table_is_parquet_by_its_suffix(arguments: list[str], tmp_path: Path) -> None:
    """The same rows and columns as the CSV file of the same command, to the last digit."""
    for name in ("t.csv", "t.parquet"):
        assert call(*arguments, "--out", tmp_path / name).exit_code == 0
    assert tables.as_csv(pd.read_parquet(tmp_path / "t.parquet")) == (tmp_path / "t.csv").read_text(encoding="utf-8")


def test_a_column_of_texts_and_numbers_is_written_as_texts(tmp_path: Path) -> None:
    """A column of Parquet has one type; what is empty stays empty."""
    output.write_output(tmp_path / "t.parquet", pd.DataFrame({"a": pd.Series(["x", 1.5, None], dtype=object), "b": [1, 2, 3]}))
    found = pd.read_parquet(tmp_path / "t.parquet")
    assert found["a"].tolist()[:2] == ["x", "1.5"]
    assert found["a"].isna().tolist() == [False, False, True]
    assert found["b"].tolist() == [1, 2, 3]


def test_a_yardstick_in_parquet_is_read_back(tmp_path: Path) -> None:
    """As the table that it was written from, empty cells too, and `compare` takes it."""
    study = RESULTS / "simplicity-small"
    table = tables.read_simplicity(study / "simplicity.csv")
    output.write_output(tmp_path / "s.parquet", table)
    assert tables.as_csv(tables.read_simplicity(tmp_path / "s.parquet")) == tables.as_csv(table)
    found = []
    for path in (study / "simplicity.csv", tmp_path / "s.parquet"):
        result = call("compare", study / "curves.csv", "--sweep", "--simplicity", path, "--out", "-")
        assert result.exit_code == 0, result.output
        found.append(result.stdout)
    assert found[0] == found[1]


def test_headlines_read_a_comparison_in_parquet(tmp_path: Path) -> None:
    """The numbers are those of the same comparison as CSV."""
    study = RESULTS / "prevalence-small"
    for name in ("c.csv", "c.parquet"):
        assert call("compare", study / "curves.csv", "--sweep", "--out", tmp_path / name).exit_code == 0
        out = tmp_path / f"{name}.csv"
        assert call("headlines", study / "curves.csv", "--comparison", tmp_path / name, "--out", out).exit_code == 0
    assert (tmp_path / "c.csv.csv").read_bytes() == (tmp_path / "c.parquet.csv").read_bytes()
    assert (pd.read_csv(tmp_path / "c.csv.csv")["part"] == "comparison").any()
