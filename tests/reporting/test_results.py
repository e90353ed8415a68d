"""Results as they lie on disk: every run is known of, whatever became of it, and what is missing is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_runs

from dominoes import tables
from dominoes.errors import CurvesError, RunError
from dominoes.reporting import reading, results, sections
from dominoes.reporting.html import page
from dominoes.reporting.reading import CODED
from dominoes.runs import parameters, plan, run_folders, state, sweep_file
from dominoes.spec import RunSpec


def copied(swept: Path, to: Path) -> list[Path]:
    """A copy of the sweep's folder; its run folders."""
    shutil.copytree(swept, to, dirs_exist_ok=True)
    return run_folders.finished(to)


def test_runs_come_in_the_order_of_what_was_swept(swept: Path) -> None:
    """Groups are ordered by value, runs by group and seed; what follows from the prevalence is no field of its own."""
    found = results.gather([swept])
    assert found.fields == ("prevalence_top",)
    assert found.groups == tuple(f"prevalence_top {value}" for value in (0.1, 0.2, 0.4, 0.8))
    assert [run.seed for run in found.runs] == [0, 1, 2] * 4
    assert [found.group_of(run.id) for run in found.runs[::3]] == list(found.groups)
    assert found.classes_count == 10
    assert all(found.seeds(group) == 3 for group in found.groups)
    assert list(found.datasets()) == [f"prevalence {value} 0.6" for value in (0.1, 0.2, 0.4, 0.8)]
    pd.testing.assert_frame_equal(
        found.curves[found.curves["run"] == found.runs[0].id][list(tables.CURVES)].reset_index(drop=True).astype(dict.fromkeys(CODED, str)),
        tables.read_table(swept / "runs" / found.runs[0].id / "curves.csv"),
        check_dtype=False,
    )


def test_a_run_alone_and_folders_together(swept: Path, tmp_path: Path) -> None:
    """A run's folder is one run; a run that is met twice counts once; runs of two folders are one set."""
    folder = run_folders.finished(swept)[0]
    alone = results.gather([folder])
    assert [each.id for each in alone.runs] == [folder.name]
    assert alone.groups == ("digits over textures, detector",)
    assert len(results.gather([folder, swept]).runs) == 12
    other = synthetic_runs.sweep([0.1], 1, lr=0.5, measurements=20)
    synthetic_runs.write(other, tmp_path)
    both = results.gather([swept, tmp_path])
    assert set(both.fields) == {"prevalence_top", "lr"}
    assert len(both.groups) == 5


def test_every_state_of_a_run_is_shown(swept: Path, tmp_path: Path) -> None:
    """Diverged, failed, damaged, unfinished and absent runs stand beside the finished ones, each with its reason."""
    folders = copied(swept, tmp_path)
    names = [folder.name for folder in folders]
    (folders[0] / "DONE").unlink()
    (folders[0] / "FAILED").write_text("the disk was full\n\ntrace", encoding="utf-8")
    with open(folders[1] / "curves.csv", "a", encoding="utf-8") as file:
        file.write("x\n")
    (folders[2] / "DONE").unlink()
    environment = json.loads((folders[3] / "environment.json").read_text(encoding="utf-8"))
    (folders[3] / "environment.json").write_text(state.sealed(environment | {"status": "diverged", "diverged_at": 7}), encoding="utf-8")
    (folders[4] / "environment.json").write_text("{", encoding="utf-8")
    (folders[5] / "spec.json").write_text("{", encoding="utf-8")
    plan.save_plan(plan.make_plan(sweep_file.expand(two_points())), tmp_path, b"")
    found = {each.id: each for each in results.gather([tmp_path]).runs}
    assert (found[names[0]].status, found[names[0]].reason) == ("failed", "the disk was full")
    assert found[names[1]].status == "damaged"
    assert "bytes" in found[names[1]].reason
    assert found[names[2]].status == "unfinished"
    assert (found[names[3]].status, found[names[3]].reason) == ("diverged", "a loss was not finite at step 7")
    assert found[names[4]].status == found[names[5]].status == "damaged"
    statuses = [each.status for each in found.values()]
    assert (statuses.count("not run"), statuses.count("infeasible")) == (1, 1)
    gathered = results.gather([tmp_path])
    assert set(gathered.curves["run"]) == {names[3], *names[6:]}
    assert any("1 failed" in note and "3 damaged" in note for note in gathered.notes)
    (tmp_path / "plan.json").write_text("{", encoding="utf-8")
    assert any("plan.json is damaged" in note for note in results.gather([tmp_path]).notes)


def two_points() -> dict[str, object]:
    """A sweep of two points, of which one has no dataset."""
    fixed = {"dataset.top": "digits", "dataset.bottom": "textures", "dataset.n": 1900}
    parameters = {name: {"value": value} for name, value in fixed.items()}
    return {"name": "two", "method": "grid", "parameters": {**parameters, "dataset.prevalence": {"values": [[0.3, 0.3], [1, 1]]}}}


def test_damaged_numbers_never_enter(swept: Path, tmp_path: Path) -> None:
    """A table of the right size with other numbers in it, which its own rules refuse, is damaged; the rest is shown."""
    folder = copied(swept, tmp_path)[0]
    text = (folder / "curves.csv").read_text(encoding="utf-8").splitlines()
    text[1] = text[1].replace(text[1].split(",")[9], "x" * len(text[1].split(",")[9]))
    (folder / "curves.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    found = results.gather([tmp_path])
    assert {each.id: each.status for each in found.runs}[folder.name] == "damaged"
    assert folder.name not in set(found.curves["run"])


def test_a_table_made_elsewhere_is_mended(swept: Path, tmp_path: Path) -> None:
    """Values that are no numbers are left out and said; columns of swept parameters are fields; runs.csv beside it gives the status."""
    table = parameters.read_runs(swept).drop(columns=["both", "empty", "ratio"])
    table.loc[table["kind"] == "both", "loss"] = np.nan
    table.to_csv(tmp_path / "curves.csv", index=False)
    name = table["run"].iloc[0]
    (tmp_path / "runs.csv").write_text(f"run,seed,status,reason\n{name},0,diverged,too fast\nabc,,infeasible,no stock\n", encoding="utf-8")
    for path in (tmp_path, tmp_path / "curves.csv"):
        found = results.gather([path])
        assert found.fields == ("prevalence_top",)
        assert any("no number there" in note for note in found.notes)
        status = {each.id: (each.status, each.reason) for each in found.runs}
        assert status[name] == ("diverged", "too fast")
        assert status["abc"] == ("infeasible", "no stock")
        assert any("10 was taken" in note for note in found.notes)
    (tmp_path / "runs.csv").write_text("nothing\n1\n", encoding="utf-8")
    assert len(results.gather([tmp_path]).runs) == 12


def test_nothing_there_is_said(tmp_path: Path) -> None:
    """A folder whose runs are none is empty results; one without results, a path that is not there, or no table, is an error."""
    with pytest.raises(RunError, match="holds no results; expected runs/ in it"):
        results.gather([tmp_path])
    (tmp_path / "runs" / "0123456789ab").mkdir(parents=True)
    found = results.gather([tmp_path])
    assert any("there is no finished run" in note for note in found.notes)
    assert (len(found.runs), len(found.curves), found.groups, found.datasets()) == (1, 0, (), {})
    with pytest.raises(RunError, match="is not there; expected a folder of results"):
        results.gather([tmp_path / "none"])
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(CurvesError, match="has the columns a, b; expected the columns run,seed"):
        results.gather([tmp_path / "x.csv"])


def test_fits_and_verdicts_lie_beside_the_runs(swept: Path, tmp_path: Path) -> None:
    """They are read if they are tables of the right columns, said to be old if runs are newer, and of known runs only."""
    folders = copied(swept, tmp_path)
    assert results.gather([tmp_path]).fits is None
    head = "run,split,kind,metric,family,onset\n"
    (tmp_path / "fits.csv").write_text(
        f"{head}{folders[0].name},test,top,accuracy,logistic,3\nother,test,top,loss,logistic,3\n", encoding="utf-8"
    )
    (tmp_path / "comparison.csv").write_text("a\n1\n", encoding="utf-8")
    found = results.gather([tmp_path])
    assert found.fits is not None
    assert list(found.fits["run"]) == [folders[0].name]
    assert found.comparison is None
    assert any("comparison.csv: the columns question, verdict, sentence are missing" in note for note in found.notes)
    (folders[1] / "DONE").touch()
    assert any("fits.csv is older than the newest run" in note for note in results.gather([tmp_path]).notes)
    (tmp_path / "fits.csv").write_text("", encoding="utf-8")
    assert any("fits.csv cannot be read" in note for note in results.gather([tmp_path]).notes)


def test_what_the_page_tells_to_run_can_be_run(swept: Path, tmp_path: Path) -> None:
    """A folder of runs, one run and a table: what `fit` reads of each is there, and a run is made again where it was made."""
    run = sorted((swept / "runs").iterdir())[0]
    found = results.gather([run])
    assert (found.out, found.table, found.beside) == (str(swept), str(run / "curves.csv"), str(run))
    found = results.gather([swept])
    assert (found.out, found.table, found.beside) == (str(swept), str(swept), str(swept))
    table = tmp_path / "curves.csv"
    table.write_bytes((run / "curves.csv").read_bytes())
    for path in (table, tmp_path):
        found = results.gather([path])
        assert (found.out, found.table, found.beside) == (str(tmp_path), str(table), str(tmp_path))
    (section,) = [part for part in sections.sections(found) if part.name == "theory"]
    assert any(f"dominoes fit {table} --out {tmp_path / 'fits.csv'}" in note for note in section.notes)


def test_runs_without_confusion_are_counted(swept: Path, tmp_path: Path) -> None:
    """Confusion is read where it is, and its absence is said."""
    assert len(results.gather([swept]).confusion) == 12
    for folder in copied(swept, tmp_path)[:2]:
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        del environment["files"][state.CONFUSION]
        (folder / "environment.json").write_text(state.sealed(environment), encoding="utf-8")
        (folder / state.CONFUSION).unlink()
    found = results.gather([tmp_path])
    assert len(found.confusion) == 10
    assert any("2 of 12 runs have no confusion.npz" in note for note in found.notes)


def test_specs_read_back(swept: Path) -> None:
    """The spec of every run is the one whose id names its folder."""
    for each in results.gather([swept]).runs:
        assert isinstance(each.spec, RunSpec)
        assert each.spec.id == each.id


def test_many_groups_are_drawn_evenly_spread(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what a page draws, groups are taken evenly, the first and the last among them; runs, laws and their table are of all."""
    assert results.evenly_spread(list("abcdefghi"), 4) == ("a", "d", "f", "i")
    assert results.evenly_spread(list("abc"), 4) == ("a", "b", "c")
    monkeypatch.setattr(results, "MOST_GROUPS", 2)
    found = results.gather([swept])
    assert found.drawn == ("prevalence_top 0.1", "prevalence_top 0.8")
    parts = {part.name: part for part in sections.sections(found)}
    curves, *_ = parts["learning"].charts
    assert set(curves.table["group"]) == set(found.drawn)
    assert any("the curves of 2 of 4 specs are drawn" in note for note in parts["learning"].notes)
    swept_chart = next(chart for chart in parts["sweep"].charts if chart.name == "sweep-prevalence_top")
    assert swept_chart.table["prevalence_top"].nunique() == 4
    assert len(parts["runs"].tables[0].rows) == 12


def test_runs_are_parsed_together_and_damage_is_of_one(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs are parsed at once the table is the same; a table that breaks its contract costs its own run alone."""
    whole = results.gather([swept]).curves
    monkeypatch.setattr(reading, "_BLOCK", 5)
    pd.testing.assert_frame_equal(results.gather([swept]).curves, whole)
    folder = copied(swept, tmp_path)[3]
    text = (folder / "curves.csv").read_text(encoding="utf-8").replace("test,top", "test,to,")
    (folder / "curves.csv").write_text(text, encoding="utf-8")
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    environment["files"]["curves.csv"] = state.file_record(folder / "curves.csv")
    (folder / "environment.json").write_text(state.sealed(environment), encoding="utf-8")
    found = results.gather([tmp_path])
    assert list(found.damaged) == [folder.name]
    assert set(found.curves["run"]) == set(whole["run"]) - {folder.name}


def test_tables_grow_where_they_lie() -> None:
    """Rows come back in order, texts as categories of all of them, whole numbers too large for half the room as they are."""
    columns = reading.Columns()
    parts = [
        pd.DataFrame({"run": ["a", "b"], "split": "test", "kind": ["top", "both"], "step": [1, 2], "loss": [0.5, np.nan]}),
        pd.DataFrame({"run": ["b", "c"], "split": "train", "kind": ["top", "top"], "step": [3, 2**40], "loss": [1, 2]}),
    ]
    for part in parts:
        columns.add(part)
    expected = pd.concat(parts, ignore_index=True)
    got = columns.table()
    assert all(isinstance(got[name].dtype, pd.CategoricalDtype) for name in CODED)
    pd.testing.assert_frame_equal(got.astype(dict.fromkeys(CODED, str)), expected, check_dtype=False)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("estimate", "much", "'much', expected a number"), ("verdict", "maybe", "'maybe', expected one of holds")],
)
def test_verdicts_that_were_changed_by_hand_are_left_out(column: str, value: str, said: str, tmp_path: Path) -> None:
    """The page is made without them, and a note names file, column and row."""
    study = Path(__file__).parents[2] / "results" / "mnist-over-cifar"
    (tmp_path / "curves.csv").write_bytes((study / "curves.csv").read_bytes())
    table = pd.read_csv(study / "comparison.csv").astype(object)
    table.loc[4, column] = value
    table.to_csv(tmp_path / "comparison.csv", index=False)
    found = results.gather([tmp_path / "curves.csv"])
    assert found.comparison is None
    assert f"{tmp_path / 'comparison.csv'}: column {column}, row 5: {said}" in "\n".join(found.notes)
    assert all(note.endswith("; it is left out") for note in found.notes if "comparison.csv" in note)
    page.write_page(found, tmp_path / "p.html")
    assert f"column {column}, row 5" in (tmp_path / "p.html").read_text(encoding="utf-8")
