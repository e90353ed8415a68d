"""Where commands write: files, standard output, and what is neither."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dominoes.cli import output
from dominoes.cli.commands import main
from dominoes.errors import OutputError
from dominoes.reporting import results
from dominoes.tables import CURVES, read_simplicity


def call(*arguments: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


TABLES: dict[str, list[str]] = {
    "toy": ["toy", "--points", "5"],
    "fit": ["fit", "RESULTS", "--family", "logistic", "--metric", "accuracy"],
    "fit --json": ["fit", "RESULTS", "--family", "logistic", "--metric", "accuracy", "--json"],
    "compare": ["compare", "RESULTS"],
    "simplicity": ["simplicity", "--source", "digits", "--n", "200", "--seeds", "0", "--model", "mlp", "--probe", "100", "--workers", "1"],
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name == "simplicity" else name for name in TABLES])
def test_a_dash_is_standard_output(name: str, swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table, to the letter what a file would hold, and nothing else; sentences go to standard error, and no file is made."""
    monkeypatch.chdir(tmp_path)
    arguments = [str(swept) if part == "RESULTS" else part for part in TABLES[name]]
    streamed = call(*arguments, "--out", "-")
    assert streamed.exit_code == 0, streamed.output
    assert list(tmp_path.iterdir()) == []
    filed = call(*arguments, "--out", "table.csv")
    assert streamed.stdout == Path("table.csv").read_text(encoding="utf-8")
    assert filed.stdout.strip().replace("table.csv", "-").splitlines()[-1] in streamed.stderr
    assert len(pd.read_csv(io.StringIO(streamed.stdout))) > 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["toy", "--out", ""],
        ["fit", "RESULTS", "--out", ""],
        ["plot", "RESULTS", "--out", ""],
        ["train", "--prevalence", "1", "1", "--out", ""],
        ["report", "", "--out", "a.html"],
        ["build", "--prevalence", "1", "1", "--out", ""],
    ],
)
def test_nothing_is_no_path(arguments: list[str], swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty --out, as a shell's unset variable leaves it, is refused by every command, and so is an empty input."""
    monkeypatch.chdir(tmp_path)
    result = call(*[str(swept) if part == "RESULTS" else part for part in arguments])
    assert result.exit_code == 2
    assert "expected a path, got nothing" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_tables_go_to_standard_output(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure, a folder or an input named '-' is a slip; './-' is a file of that name."""
    monkeypatch.chdir(tmp_path)
    for arguments in (["plot", swept, "--out", "-"], ["train", "--prevalence", "1", "1", "--out", "-"], ["fit", "-", "--out", "a.csv"]):
        result = call(*arguments)
        assert result.exit_code == 2
        assert "'-' is standard output, which only a table is written to" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert call("toy", "--points", "5", "--out", "./-").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["-"]


def test_devices_are_refused_by_commands() -> None:
    """Exit code 2, with the way to write to standard output."""
    result = call("toy", "--out", "/dev/stdout")
    assert result.exit_code == 2
    assert "/dev/stdout is an open file of a process; a table goes to standard output with --out -" in result.stderr


def test_an_empty_folder_is_no_results(tmp_path: Path) -> None:
    """`report` and `plot` of a folder with nothing in it exit with 2 and say what they expect; no page is made."""
    (tmp_path / "empty").mkdir()
    for arguments in (
        ["report", tmp_path / "empty", "--out", tmp_path / "a.html"],
        ["plot", tmp_path / "empty", "--out", tmp_path / "a.png"],
    ):
        result = call(*arguments)
        assert result.exit_code == 2
        assert "holds no results; expected runs/ in it" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


BROKEN = 'run,seed,step\n"a,1,2\nb,3\n"c'


@pytest.mark.parametrize("content", [BROKEN, "", "\n\n", "a,b\n1,2,3,4\n5\n", "\x00\x01\x02"])
def test_what_pandas_says_is_one_sentence(content: str, swept: Path, tmp_path: Path) -> None:
    """Whatever a library makes of a broken table, a command says it in one line."""
    (tmp_path / "c.csv").write_text(content, encoding="utf-8")
    for arguments in (
        ["fit", tmp_path / "c.csv", "--out", tmp_path / "o.csv"],
        ["compare", tmp_path / "c.csv", "--out", tmp_path / "o.csv"],
    ):
        result = call(*arguments)
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    (tmp_path / "simplicity.csv").write_text(content, encoding="utf-8")
    with pytest.raises(Exception, match="simplicity.csv") as caught:
        read_simplicity(tmp_path / "simplicity.csv")
    assert "\n" not in str(caught.value)
    pd.read_csv(next(swept.glob("runs/*/curves.csv")), dtype={"run": str})[list(CURVES)].to_csv(tmp_path / "curves.csv", index=False)
    (tmp_path / "fits.csv").write_text(content, encoding="utf-8")
    assert all("\n" not in note for note in results.gather([tmp_path / "curves.csv"]).notes)


def test_a_results_folder_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    """By what stands there, before anything is dealt; a table that would lie in a file, as well."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "s.yaml").write_text("method: grid\nparameters: {dataset.prevalence: {value: [1, 1]}}\n", encoding="utf-8")
    for arguments in (["train", "--prevalence", 1, 1], ["sweep", "run", tmp_path / "s.yaml"], ["toy"]):
        for place in ("file", "file/further"):
            if (arguments[0], place) == ("toy", "file"):
                continue
            result = call(*arguments, "--out", tmp_path / place)
            assert result.exit_code == 2
            assert result.stderr == f"Error: {tmp_path}/file is a file, a folder was expected; pass another --out\n"
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_plot_says_which_values_of_a_table_it_does_not_draw(swept: Path, tmp_path: Path) -> None:
    """A table from elsewhere may have holes: the figure is drawn without them, and each is named."""
    table = results.gather([swept]).curves[[*CURVES]]
    table.loc[table.index[3], "accuracy"] = np.nan
    table.to_csv(tmp_path / "mine.csv", index=False)
    result = call("plot", tmp_path / "mine.csv", "--out", tmp_path / "p.png")
    assert result.exit_code == 0
    assert "Note: mine.csv: curves: column accuracy, row 4: no number there, the value is not used" in result.stderr


def test_a_figure_that_fits_no_page_is_said(swept: Path, tmp_path: Path) -> None:
    """Panels below each other in a narrow column may be longer than the paper; on the screen, without a width, that is no matter."""
    narrow = call("plot", swept, "--width", "4", "--style", "talk", "--out", tmp_path / "p.png")
    assert narrow.exit_code == 0
    assert re.search(r"Note: the figure is \d+ cm tall, and a page has about 24; draw fewer specs, or", narrow.stderr)
    assert "Note: the figure is" not in call("plot", swept, "--out", tmp_path / "p.png").stderr


def test_kinds_that_nobody_knows_are_said(swept: Path, tmp_path: Path) -> None:
    """A table without any of the kinds that are compared is reported with what it has, and not with an error of the program's own."""
    results.gather([swept]).curves[[*CURVES]].assign(kind="left").drop_duplicates(["run", "split", "step"]).to_csv(
        tmp_path / "mine.csv", index=False
    )
    assert call("report", tmp_path / "mine.csv", "--out", tmp_path / "p.html").exit_code == 0


def test_a_figure_that_cannot_be_drawn_leaves_no_table(tmp_path: Path) -> None:
    """Bands of several groups have no figure; that is said before anything is written."""
    table = Path(__file__).parents[2] / "results" / "prevalence-small" / "curves.csv"
    result = call("compare", table, "--out", tmp_path / "c.csv", "--plot", tmp_path / "p.png")
    assert result.exit_code == 2
    assert result.stderr == "Error: --plot draws one group of runs, these are several; pass the curves of one spec\n"
    assert not list(tmp_path.iterdir())


def test_a_closed_standard_output_takes_no_table(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that would go nowhere is refused."""
    with pytest.raises(OutputError, match="--out - is standard output, and that is closed; pass a file"):
        monkeypatch.setattr("sys.stdout", None)
        output.standard_output()


def test_one_domino_is_not_told_in_the_plural() -> None:
    """The first line of a composition."""
    assert call("solve", "--n", 1, "--prevalence", 1, 1).output.startswith("1 domino of 10 classes: ")
