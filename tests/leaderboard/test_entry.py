"""Entries, boards and the command line: freeze, score, refuse; and fresh specs through the sweep engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simulated_curves
from click.testing import CliRunner
from simulated_curves import Truth

from dominoes.cli.commands import main
from dominoes.errors import LeaderboardError
from dominoes.leaderboard import board, entry, fresh, score
from dominoes.leaderboard import edition as editions

SHARES = (0.1, 0.2, 0.4, 0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen edition of four specs."""
    place = tmp_path_factory.mktemp("editions") / "dev"
    table = simulated_curves.table([simulated_curves.dials(share) for share in SHARES], 4)
    editions.write_edition(editions.make_edition({"prevalence": table}, "dev"), place)
    return place


def _call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["leaderboard", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_an_entry_scores_as_its_theory_does(folder: Path, tmp_path: Path) -> None:
    """Frozen forecasts, scored without their code, get the very numbers that the theory gets when it is run."""
    edition = editions.read_edition(folder)
    entry.freeze("gaussian-evidence", edition, tmp_path / "entry")
    found = entry.score({"gaussian-evidence": entry.read_entry(tmp_path / "entry")}, edition).table
    from dominoes.leaderboard.theories.rules import GaussianEvidence

    direct = board.score_theories({"gaussian-evidence": GaussianEvidence}, edition).table
    columns = ["task", "skill", "low", "high", "cells", "rmse", "log_density", "status", "evaluator", "digest"]
    pd.testing.assert_frame_equal(found[columns], direct[columns])
    record = json.loads((tmp_path / "entry" / "entry.json").read_text())
    assert record["evaluator"] == score.EVALUATOR
    assert record["digest"] == edition.digest
    assert len(record["source"]) == 64


def test_entries_that_do_not_fit_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another evaluator, other curves, a changed file, nothing there: one sentence each."""
    edition = editions.read_edition(folder)
    entry.freeze("mean-of-specs", edition, tmp_path / "entry", ("doubles",))
    frozen = {"mean": entry.read_entry(tmp_path / "entry")}
    other = editions.make_edition({"s": simulated_curves.table([simulated_curves.dials(share) for share in SHARES], 2, seed=4)}, "other")
    with pytest.raises(LeaderboardError, match=r"was frozen for edition [0-9a-f]{16}, this is"):
        entry.score(frozen, other)
    monkeypatch.setattr(entry, "EVALUATOR", "2")
    with pytest.raises(LeaderboardError, match="was frozen for evaluator 1, this is 2; freeze the theory again"):
        entry.score(frozen, edition)
    table = pd.read_parquet(tmp_path / "entry" / "forecasts.parquet")
    table.assign(mean=0.5).to_parquet(tmp_path / "entry" / "forecasts.parquet", index=False)
    with pytest.raises(LeaderboardError, match="is not the file that was frozen"):
        entry.read_entry(tmp_path / "entry")
    with pytest.raises(LeaderboardError, match="is no entry"):
        entry.read_entry(tmp_path)


def test_identities_are_checked_again_when_an_entry_comes_in(folder: Path, tmp_path: Path) -> None:
    """Forecasts that were changed together with their digest still meet the identities."""
    edition = editions.read_edition(folder)
    made = entry.freeze("mean-of-specs", edition, tmp_path / "entry", ("doubles", "conflicts"))
    made.answers.table.loc[made.answers.table["metric"] == "neither", "mean"] += 0.2
    found = entry.score({"mean": made}, edition).table.set_index("task")
    assert "expected" in found.loc["conflicts", "status"]
    assert np.isnan(found.loc["conflicts", "skill"])
    assert np.isfinite(found.loc["doubles", "skill"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_a_board_comes_back_from_disk_and_mixtures_do_not(folder: Path, tmp_path: Path, suffix: str) -> None:
    """Every suffix gives the table back; rows of two evaluators or two editions are no board."""
    from dominoes.leaderboard.theories.naive import LastValue

    table = board.score_theories({"last value": LastValue}, editions.read_edition(folder), ("doubles", "transfer")).table
    board.write_board(table, tmp_path / f"board{suffix}")
    back = board.read_board(tmp_path / f"board{suffix}")
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    with pytest.raises(LeaderboardError, match=r"mixes rows of evaluator 0, 1, whose scores cannot be compared"):
        board.join_boards([table, table.assign(theory="other", evaluator="0")])
    with pytest.raises(LeaderboardError, match="mixes rows of digest"):
        board.write_board(pd.concat([table, table.assign(digest="x")]), tmp_path / "mixed.csv")
    assert len(board.join_boards([table, table])) == len(table)
    with pytest.raises(LeaderboardError, match="expected one of 'dominoes leaderboard run'"):
        board.read_board(tmp_path / "nothing.csv")
    with pytest.raises(LeaderboardError, match="written as .csv, .parquet or .json"):
        board.write_board(table, tmp_path / "board.txt")


@pytest.mark.slow
def test_the_commands_walk_from_results_to_a_board(tmp_path: Path) -> None:
    """edition, run with a theory of one's own, freeze, score, show with figures; a second study is held out."""
    from dominoes import tables

    for name, shares, seed in (("study", SHARES, 0), ("later", (0.3,), 1)):
        (tmp_path / name).mkdir()
        tables.write_table(
            simulated_curves.table([simulated_curves.dials(share) for share in shares], 3, seed=seed), tmp_path / name / "curves.csv"
        )
    code, text = _call("edition", tmp_path / "study", tmp_path / "later", "--held-out", "later", "--out", tmp_path / "e")
    assert (code, "5 specs, 15 runs" in text) == (0, True), text
    run = ("run", "--edition", tmp_path / "e", "--theory", "simulated_curves:Truth", "--theory", "mean-of-specs")
    code, text = _call(*run, "--forecasts", tmp_path / "forecasts.parquet", "--out", tmp_path / "board.csv")
    assert code == 0, text
    assert "simulated_curves:Truth" in text
    table = board.read_board(tmp_path / "board.csv").set_index(["theory", "task"])
    assert table.loc[("simulated_curves:Truth", "transfer"), "skill"] == pytest.approx(1, abs=0.2)
    code, text = _call("freeze", "simulated_curves:Truth", "--edition", tmp_path / "e", "--task", "transfer", "--out", tmp_path / "entry")
    assert (code, "24 steps" not in text) == (0, True), text
    code, text = _call("score", tmp_path / "entry", "--edition", tmp_path / "e", "--out", tmp_path / "scored.json")
    assert code == 0, text
    code, text = _call("show", tmp_path / "scored.json", "--json")
    assert (code, json.loads(text)) == (0, json.loads((tmp_path / "scored.json").read_text(encoding="utf-8"))), text
    shown = ("show", tmp_path / "board.csv", "--plot", tmp_path / "map.png", "--edition", tmp_path / "e")
    code, text = _call(*shown, "--curves", tmp_path / "figures", "--forecasts", tmp_path / "forecasts.parquet")
    assert code == 0, text
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {
        "doubles",
        "conflicts",
        "neighbours",
        "beyond",
        "transfer",
        "ahead",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--theory", "nobody", "--out", "b.csv"), "there is no theory 'nobody'"),
        (("run", "--edition", "nowhere", "--out", "b.csv"), "nowhere is no edition"),
        (("show", "nothing.csv"), "cannot be read as a board"),
        (("score", "nothing", "--out", "b.csv"), "nothing is no entry"),
        (("edition", "a/curves.csv", "b/a", "--out", "e"), "two of the studies are called alike"),
        (("freeze", "nobody", "--edition", "E", "--out", "entry"), "there is no theory 'nobody'"),
    ],
)
def test_mistakes_get_a_sentence(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one sentence, nothing written."""
    monkeypatch.chdir(tmp_path)
    code, text = _call(*[str(folder) if each == "E" else each for each in arguments])
    assert code == 2
    assert sentence in text
    assert list(tmp_path.iterdir()) == []


class Talks(Truth):
    """Prints what it does."""

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        sys.stdout.write("forecasting\n")
        return super().forecast(spec, given, asked)


def test_what_theories_print_is_no_part_of_the_board(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is the board alone, which `--json` lets a program read; what a theory prints goes to standard error."""
    monkeypatch.setattr(simulated_curves, "Talks", Talks, raising=False)
    chosen = ("--theory", "simulated_curves:Talks", "--edition", folder, "--task", "doubles")
    result = CliRunner().invoke(main, ["leaderboard", "run", *map(str, chosen), "--out", str(tmp_path / "b.json"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert "forecasting" in result.stderr


def test_fresh_specs_are_a_latin_hypercube_that_can_be_dealt() -> None:
    """The same seed draws the same; every range is covered evenly; doubles lie where the prevalences leave room; seeds deal anew."""
    drawn = fresh.specs(3, 16)
    assert drawn == fresh.specs(3, 16)
    assert drawn != fresh.specs(4, 16)
    tops = np.sort([spec.prevalence[0] for spec, _ in drawn])
    cells = np.floor((tops - fresh.PREVALENCE[0]) / (fresh.PREVALENCE[1] - fresh.PREVALENCE[0]) * 16 - 1e-9)
    assert len(set(np.clip(cells, 0, 15))) >= 15
    for spec, train in drawn:
        top, bottom = spec.prevalence
        assert max(0, top + bottom - 1) - 1e-9 <= spec.both <= min(top, bottom) + 1e-9
        assert fresh.RATE[0] <= train.lr <= fresh.RATE[1]
        assert all(fresh.RELIABILITY[0] <= each <= 1 for each in spec.reliability)
    runs = fresh.fresh_sweep(3, 2, 3).runs
    assert len({run.id for run in runs}) == 6
    assert [(run.seed, run.dataset.seed) for run in runs] == [(0, 0), (1, 1), (2, 2)] * 2


@pytest.mark.slow
def test_fresh_runs_are_made_by_the_sweep_engine_and_scored(folder: Path, tmp_path: Path) -> None:
    """Two specs of embedded pictures, two runs each, one epoch; an entry is scored on them, one whose code has changed is refused."""
    for name in ("mean-of-specs", "simulated_curves:Truth"):
        code, text = _call("freeze", name, "--edition", folder, "--task", "neighbours", "--out", tmp_path / name.split(":")[0])
        assert code == 0, text
    small = ("--specs", 2, "--seeds", 2, "--n", 60, "--epochs", 1, "--probe", 20, "--top", "digits", "--bottom", "textures")
    out = tmp_path / "fresh"
    arguments = (
        "fresh",
        tmp_path / "mean-of-specs",
        "--seed",
        5,
        *small,
        "--edition",
        folder,
        "--workers",
        1,
        "--device",
        "cpu",
        "--out",
        out,
    )
    code, text = _call(*arguments)
    assert code == 0, text
    table = board.read_board(out / "board.csv")
    assert table["task"].tolist() == ["transfer"]
    assert "fresh-5" in table["edition"].iloc[0]
    assert np.isfinite(table["rmse"].iloc[0])
    assert len(list((out / "runs").glob("*/DONE"))) == 4
    record = tmp_path / "simulated_curves" / "entry.json"
    record.write_text(record.read_text().replace(json.loads(record.read_text())["source"], "0" * 64))
    code, text = _call("fresh", tmp_path / "simulated_curves", "--seed", 5, *small, "--edition", folder, "--out", tmp_path / "other")
    assert code == 2
    assert "the code of simulated_curves:Truth has changed since it was frozen" in text
    assert "torch" in sys.modules or not (tmp_path / "other").exists()


def test_a_theory_of_an_installed_package_stands_on_the_board(installed: Path, folder: Path, tmp_path: Path) -> None:
    """It answers to the name of its entry point, and its row says which distribution and version it is of."""
    code, text = _call("run", "--edition", folder, "--theory", "top-alone", "--task", "doubles", "--out", tmp_path / "board.csv")
    assert code == 0, text
    row = board.read_board(tmp_path / "board.csv").iloc[0]
    assert np.isfinite(row["skill"])
    assert row["provenance"] == "top-alone, dominoes-plugin 0.3"
