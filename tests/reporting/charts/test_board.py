"""The board in the report: skill as a heat map, forecasts beside what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dominoes.cli import commands
from dominoes.errors import LeaderboardError
from dominoes.leaderboard import board as boards
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.theories import catalogue
from dominoes.reporting import results, sections, stills
from dominoes.reporting.charts import board

ROOT = Path(__file__).parents[3]
STUDY = ROOT / "results" / "prevalence-small"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a board of two theories on its own curves, their forecasts, and the edition."""
    folder = tmp_path_factory.mktemp("scored")
    curves = pd.read_csv(STUDY / "curves.csv", dtype={"run": str})
    curves.to_csv(folder / "curves.csv", index=False)
    made = editions.make_edition({"prevalence-small": curves}, "frozen")
    editions.write_edition(made, folder / "frozen")
    theories = [catalogue.find_theory(name) for name in ("copy-nearest", "gaussian-evidence")]
    found = boards.score_theories({each.name: each.make for each in theories}, made, ("doubles", "conflicts", "neighbours"))
    boards.write_board(found.table, folder / "board.csv")
    boards.write_forecasts(found, folder / "forecasts.parquet")
    return folder


def test_skills_are_the_boards_own(scored: Path) -> None:
    """A cell for each theory and task with the board's skill and interval in words; colours end at ±1; best theory first."""
    table = boards.read_board(scored / "board.csv")
    chart = board.skills_chart(table)
    rows = {(row.theory, row.task): row for row in chart.table.itertuples()}
    assert len(rows) == len(table)
    for row in table.itertuples():
        cell = rows[row.theory, row.task]
        assert np.isnan(cell.shown) == np.isnan(row.skill)
        if np.isfinite(row.skill):
            assert cell.shown == np.clip(row.skill, -1, 1)
            assert cell.words == f"{row.skill:.2f}; {row.low:.2f} to {row.high:.2f}"
    means = table.groupby("theory")["skill"].mean()
    order = [means[name] for name in dict.fromkeys(chart.table["theory"]) if np.isfinite(means[name])]
    assert order == sorted(order, reverse=True)


def test_dots_are_the_means_of_the_runs(scored: Path) -> None:
    """Measured values are means, lowest and highest runs of the edition's curves; lines are the forecasts' means."""
    found = board.find_board([scored])
    assert found is not None
    assert found.edition is not None
    assert found.forecasts is not None
    chart = board.measured_chart(found, "doubles")
    assert chart is not None
    spec = chart.choices()[0]
    table = chart.chosen(spec)
    key = next(key for key in found.edition.arrays if " ".join(key) == spec)
    runs = found.edition.arrays[key]
    values = runs.values["both", "accuracy"]
    measured = table.dropna(subset=["measured"])
    assert np.allclose(measured["measured"], values.mean(0))
    assert np.allclose(measured["low"], values.min(0))
    name, asked = next((name, each) for name, each in found.forecasts.items() if f"of {name}" in table.columns)
    mine = asked[(asked["task"] == "doubles") & (asked["spec"] == key[1]) & (asked["kind"] == "both") & (asked["metric"] == "accuracy")]
    expected = mine.drop_duplicates("step").set_index("step")["mean"]
    got = table.dropna(subset=[f"of {name}"]).set_index("step")[f"of {name}"]
    assert np.allclose(got, expected[got.index])


@pytest.mark.slow
def test_a_board_among_the_results_is_a_section(scored: Path, tmp_path: Path) -> None:
    """It is found by its name, drawn as stills too, and the page of results without one has no such section."""
    done = CliRunner().invoke(commands.main, ["report", str(scored), "--out", str(tmp_path / "r.html")], catch_exceptions=False)
    assert done.exit_code == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'id="board-skill"' in text
    assert 'id="forecasts-doubles"' in text
    parts = {part.name: part for part in sections.sections(results.gather([scored]), board=board.find_board([scored]))}
    for chart in parts["board"].charts:
        stills.draw_chart(chart, tmp_path / f"{chart.name}.png")
    assert "board" not in {part.name for part in sections.sections(results.gather([scored]))}
    assert board.find_board([STUDY]) is None


def test_what_is_lacking_is_said(scored: Path, tmp_path: Path) -> None:
    """A board without forecasts, without its edition, or with another edition is a heat map and a note; what is given must be there."""
    alone = tmp_path / "board.csv"
    alone.write_bytes((scored / "board.csv").read_bytes())
    found = board.find_board([tmp_path])
    assert found is not None
    assert "there is no forecasts.parquet beside the board" in found.notes[0]
    (tmp_path / "forecasts.parquet").write_bytes((scored / "forecasts.parquet").read_bytes())
    found = board.find_board([tmp_path])
    assert found is not None
    assert "there is no edition frozen here; pass --edition DIR" in found.notes[0]
    other = editions.make_edition({"other": pd.read_csv(STUDY / "curves.csv", dtype={"run": str}).query("seed < 2")}, "other")
    editions.write_edition(other, tmp_path / "other")
    found = board.find_board([tmp_path], edition=str(tmp_path / "other"))
    assert found is not None
    assert "has digest" in found.notes[0]
    charts, notes = board.charts(found)
    assert [chart.name for chart in charts] == ["board-skill"]
    assert notes == list(found.notes)
    with pytest.raises(LeaderboardError, match="is no edition"):
        board.find_board([tmp_path], edition=str(tmp_path / "gone"))
    with pytest.raises(LeaderboardError, match="cannot be read as a board"):
        board.find_board([], board=tmp_path / "gone.csv")
