"""Every reader of finished runs against every kind of damage: a result that is not what was written is named and never used."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_runs
from click.testing import CliRunner, Result

from dominoes import interface
from dominoes.cli.commands import main
from dominoes.data import dealing
from dominoes.data.probe_sets import probes
from dominoes.errors import CurvesError
from dominoes.reporting import results
from dominoes.runs import collected, execution, loggers, parameters, plan, progress, run_folders, state
from dominoes.runs.plan import Plan, Planned
from dominoes.runs.state import Damage, State
from dominoes.spec import RunSpec


def digit(folder: Path, other: Path) -> None:
    """One digit of an accuracy becomes another: a table that looks as good as before."""
    path = folder / "curves.csv"
    head, _, text = path.read_text(encoding="utf-8").rpartition(",0.")
    path.write_text(f"{head},0.{(int(text[0]) + 5) % 10}{text[1:]}", encoding="utf-8")


def digit_by_class(folder: Path, other: Path) -> None:
    """The same in the table by class."""
    path = folder / "classes.csv"
    head, _, text = path.read_text(encoding="utf-8").rpartition(",0.")
    path.write_text(f"{head},0.{(int(text[0]) + 5) % 10}{text[1:]}", encoding="utf-8")


def earlier(folder: Path, other: Path) -> None:
    """A digit changed, and the file's time set back."""
    found = (folder / "curves.csv").stat()
    digit(folder, other)
    os.utime(folder / "curves.csv", ns=(found.st_atime_ns, found.st_mtime_ns))


def truncated(folder: Path, other: Path) -> None:
    """The file ends in the middle of a row."""
    os.truncate(folder / "curves.csv", (folder / "curves.csv").stat().st_size // 2)


def empty(folder: Path, other: Path) -> None:
    """Nothing is left of a file."""
    os.truncate(folder / "curves.csv", 0)


def missing(folder: Path, other: Path) -> None:
    """A table is gone."""
    (folder / "classes.csv").unlink()


def no_confusion(folder: Path, other: Path) -> None:
    """What environment.json says there is, is gone."""
    (folder / "confusion.npz").unlink()


def flipped(folder: Path, other: Path) -> None:
    """One bit of a binary file."""
    content = bytearray((folder / "confusion.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "confusion.npz").write_bytes(content)


def another_spec(folder: Path, other: Path) -> None:
    """The spec of another run."""
    shutil.copy(other / "spec.json", folder / "spec.json")


def another_table(folder: Path, other: Path) -> None:
    """The curves of another run, which are whole in themselves."""
    shutil.copy(other / "curves.csv", folder / "curves.csv")


def no_spec(folder: Path, other: Path) -> None:
    """The spec is gone."""
    (folder / "spec.json").unlink()


def empty_spec(folder: Path, other: Path) -> None:
    """Nothing is left of the spec."""
    os.truncate(folder / "spec.json", 0)


def no_environment(folder: Path, other: Path) -> None:
    """What says how it was is gone."""
    (folder / "environment.json").unlink()


def torn_environment(folder: Path, other: Path) -> None:
    """Half of what says how it was."""
    os.truncate(folder / "environment.json", (folder / "environment.json").stat().st_size // 2)


def another_n(folder: Path, other: Path) -> None:
    """A digit of the number of dominoes."""
    content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    content["dominoes"]["n"] += 100
    (folder / "environment.json").write_text(json.dumps(content), encoding="utf-8")


def another_time(folder: Path, other: Path) -> None:
    """A digit of the seconds, which no other file knows."""
    path = folder / "environment.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"wall": ', '"wall": 1'), encoding="utf-8")


def laid_out(folder: Path, other: Path) -> None:
    """The same values in the same order, in one line."""
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")


def status_word(folder: Path, other: Path) -> None:
    """A letter of how it ended."""
    path = folder / "environment.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"finished"', '"finishec"'), encoding="utf-8")


DAMAGES = (
    digit, digit_by_class, earlier, truncated, empty, missing, no_confusion, flipped, another_spec, another_table, no_spec, empty_spec,
    no_environment, torn_environment, another_n, another_time, laid_out, status_word,
)  # fmt: skip
SPECS = synthetic_runs.sweep([0.3, 0.8], 2, measurements=12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs of a plan, finished."""
    out = tmp_path_factory.mktemp("whole")
    synthetic_runs.write(SPECS, out)
    kinds = {"top": 1, "bottom": 1, "both": 1, "empty": 1}
    swept = ("dataset.prevalence", "seed")
    plan.save_plan(Plan("four", "", swept, tuple(Planned(spec, 1500, kinds) for spec in SPECS), ()), out, b"")
    return out


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__)
def damaged(request: pytest.FixtureRequest, whole: Path, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the results in which one run is damaged, and its id; every file but the damaged one is as old as it was."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    name = SPECS[0].id
    # A copy that was put there file by file, and marked after: the times say no more than on the machine that made it.
    os.utime(out / "runs" / name / "DONE")
    request.param(out / "runs" / name, out / "runs" / SPECS[2].id)
    return out, name


def call(*arguments: object) -> Result:
    """A command; what it left."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def ids(table: pd.DataFrame) -> set[str]:
    """The runs of a table."""
    return set(table["run"])


REST = {spec.id for spec in SPECS[1:]}


def test_the_readers_of_python_refuse_or_leave_out(damaged: tuple[Path, str]) -> None:
    """A single folder is refused, by any face; many come without the damaged one, which is named, if the caller asks for that."""
    out, name = damaged
    folder = out / "runs" / name
    with pytest.raises(Damage, match=f"{name} is marked DONE but "):
        run_folders.read_run(folder)
    with pytest.raises(Damage):
        parameters.read_runs(out)
    with pytest.raises(Damage):
        interface.compare(out)
    with pytest.raises(Damage):
        _ = execution.Outcome(folder, False, {}).curves
    with pytest.raises(Damage):
        loggers._series(SPECS[0], out)
    for form in ("curves", "classes"):
        found: list[Damage] = []
        assert ids(parameters.read_runs(out, form=form, damaged=found.append)) == REST
        assert [each.folder for each in found] == [folder]
        assert str(found[0]).endswith("train it again (the same command does), or remove the folder")


def test_a_survey_does_not_count_it_as_done(damaged: tuple[Path, str]) -> None:
    """By a look at the folder alone, as `sweep status` does, and by every byte, as `sweep run` does."""
    out, name = damaged
    planned = plan.load_plan(out)
    for deep in (False, True):
        found = progress.survey(planned, out, deep=deep)
        assert set(found.damaged) == {name}
        assert found.states[name] is State.UNFINISHED
        assert set(found.environments) == REST
    assert f"damaged {name}: " in call("sweep", "status", out).output


def test_a_report_shows_it_as_damaged(damaged: tuple[Path, str]) -> None:
    """It stands in the table of runs with what is wrong, and in no curve."""
    out, name = damaged
    found = results.gather([out])
    assert set(found.damaged) == {name}
    assert ids(found.curves) == REST
    assert found.classes is not None
    assert ids(found.classes) == REST
    assert set(found.confusion) == REST
    alone = results.gather([out / "runs" / name])
    assert len(alone.curves) == 0


def test_an_export_leaves_it_out(damaged: tuple[Path, str], tmp_path: Path) -> None:
    """Tables hold the others; runs.csv and the command name it, and the exit code is 3 unless --partial is given."""
    out, name = damaged
    found = collected.export_table(plan.load_plan(out), out, tmp_path / "c.csv", classes=True)
    assert set(found.damaged) == {name}
    assert ids(pd.read_csv(tmp_path / "c.csv", dtype={"run": str})) == REST
    assert ids(pd.read_csv(tmp_path / "classes.csv", dtype={"run": str})) == REST
    status = pd.read_csv(tmp_path / "runs.csv", dtype=str).set_index("run")["status"]
    assert status[name] == "damaged"


def test_it_is_trained_again(damaged: tuple[Path, str]) -> None:
    """`execute` refuses it, and with `repair`, as every command has it, makes what was there before it was damaged."""
    out, name = damaged
    spec = RunSpec.model_validate(SPECS[0])
    dealt, tests = dealing.deal_spec(spec.dataset), probes(spec.dataset, 20, 0)
    with pytest.raises(Damage):
        execution.execute(spec, dealt, tests, out)
    synthetic_runs.write([spec], out, repair=True)
    assert state.damage(out / "runs" / name, deep=True) is None
    assert ids(parameters.read_runs(out)) == REST | {name}


READERS: dict[str, Callable[[Path, Path], list[object]]] = {
    "fit": lambda out, to: ["fit", out, "--family", "logistic", "--metric", "accuracy", "--out", to / "f.csv"],
    "compare": lambda out, to: ["compare", out, "--out", to / "v.csv"],
    "plot": lambda out, to: ["plot", out, "--out", to / "p.png"],
    "report": lambda out, to: ["report", out, "--out", to / "r.html"],
    "export": lambda out, to: ["sweep", "export", out, "--out", to / "e.csv"],
    "export -": lambda out, to: ["sweep", "export", out, "--out", "-"],
}


@pytest.mark.parametrize("reader", READERS)
def test_commands_name_it_and_exit_with_3(reader: str, whole: Path, tmp_path: Path) -> None:
    """Each command that reads runs does its work on the others, names the damaged one and exits with 3, with --partial with 0; where no
    run is damaged it exits with 0 and says nothing of the kind."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    arguments = READERS[reader](out, tmp_path)
    assert "left out" not in (done := call(*arguments)).stderr
    assert done.exit_code == 0
    digit(out / "runs" / SPECS[0].id, whole)
    for partial, code in (([], 3), (["--partial"], 0)):
        done = call(*arguments, *partial)
        assert f"left out, damaged: run {SPECS[0].id}: curves.csv is not what was written (its SHA-256 differs)" in done.stderr
        assert done.exit_code == code
        assert ("--partial accepts that" in done.stderr) == (not partial)


def test_where_all_are_damaged_there_is_nothing_to_read(whole: Path, tmp_path: Path) -> None:
    """Exit code 2 and one sentence, of commands that need curves."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    for folder in run_folders.finished(out):
        truncated(folder, whole)
    for arguments in (["fit", out, "--out", tmp_path / "f.csv"], ["compare", out, "--out", tmp_path / "v.csv"]):
        done = call(*arguments)
        assert done.exit_code == 2
        assert "holds no finished run that is whole (4 are damaged); train them again" in done.stderr
    assert call("plot", out, "--out", tmp_path / "p.png").exit_code == 2


def test_what_no_look_can_see_a_deep_one_does(whole: Path, tmp_path: Path) -> None:
    """A disk that gives other bytes back changes no time: a survey that reads the bytes sees it, and so does every reader of them."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    folder = out / "runs" / SPECS[0].id
    digit(folder, whole)
    marked = folder.stat().st_mtime_ns + 10**12
    os.utime(folder / "DONE", ns=(marked, marked))
    planned = plan.load_plan(out)
    assert not progress.survey(planned, out, deep=False).damaged
    assert set(progress.survey(planned, out, deep=True).damaged) == {SPECS[0].id}
    assert "1 left" in call("sweep", "status", out, "--deep").output
    with pytest.raises(Damage):
        parameters.read_runs(out)


def test_a_folder_under_another_name_is_whole(whole: Path, tmp_path: Path) -> None:
    """A single run may be copied anywhere; under runs/ its folder has its id for a name."""
    shutil.copytree(whole / "runs" / SPECS[0].id, tmp_path / "mine")
    assert run_folders.read_run(tmp_path / "mine").id == SPECS[0].id
    shutil.copytree(whole / "runs" / SPECS[0].id, tmp_path / "runs" / "0123456789ab")
    assert state.damage(tmp_path / "runs" / "0123456789ab", deep=True) == "spec.json is another run's"


def test_tables_that_break_their_contract_are_damage(whole: Path, tmp_path: Path) -> None:
    """Files with digests that fit, but which no run writes, are refused with the run's name."""
    folder = tmp_path / "mine"
    shutil.copytree(whole / "runs" / SPECS[0].id, folder)
    np.savez(folder / "confusion.npz", other=np.zeros(3))
    (folder / "curves.csv").write_text(f"run,seed\n{SPECS[0].id},0\n", encoding="utf-8")
    content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    content["files"] |= {name: state.file_record(folder / name) for name in ("curves.csv", "confusion.npz")}
    (folder / "environment.json").write_text(state.sealed(content), encoding="utf-8")
    run = run_folders.read_run(folder)
    with pytest.raises(Damage, match="its table is none"):
        run.table()
    with pytest.raises(Damage, match=r"confusion.npz cannot be read"):
        _ = run.confusion
    assert results.gather([folder]).damaged
    with pytest.raises(CurvesError):
        interface.compare([])


@pytest.mark.slow
def test_every_byte_of_environment_json_counts(whole: Path, tmp_path: Path) -> None:
    """It ends with the SHA-256 of what stands before; any bit that is turned, any byte that is gone, anywhere in it, is found."""
    folder = tmp_path / "mine"
    shutil.copytree(whole / "runs" / SPECS[0].id, folder)
    path = folder / "environment.json"
    content = path.read_bytes()
    head, _, seal = content.rpartition(b',\n "sha256": "')
    assert seal == hashlib.sha256(head).hexdigest().encode() + b'"\n}\n'
    for place in range(len(content)):
        for damaged in (bytes([content[place] ^ 1 << place % 8]), b""):
            path.write_bytes(content[:place] + damaged + content[place + 1 :])
            with pytest.raises(Damage, match="its environment.json is missing or damaged"):
                state.environment(folder)
    path.write_bytes(content)
    assert "sha256" not in state.environment(folder)


def test_runs_of_earlier_versions_have_no_seal_and_are_whole(whole: Path, tmp_path: Path) -> None:
    """Without the digest of its own, and with its files last, environment.json is read as it always was."""
    folder = tmp_path / "mine"
    shutil.copytree(whole / "runs" / SPECS[0].id, folder)
    path = folder / "environment.json"
    content = state.environment(folder)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    assert state.damage(folder, deep=True) is None
    assert run_folders.read_run(folder).environment == content
