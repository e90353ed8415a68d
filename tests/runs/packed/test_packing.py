"""Packed results: the same runs, the same exports to the byte, and nothing that is finished is ever lost."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import synthetic_runs
from click.testing import CliRunner
from small_sweeps import ROOT, write

from dominoes.cli.commands import main
from dominoes.errors import OutputError, RunError
from dominoes.runs import checkpoints, claims, collected, execution, parameters, plan, progress, run_folders, state, sweep_file
from dominoes.runs.packed import columns, manifest, packing, shards
from dominoes.runs.packed.place import HOME, MANIFEST
from dominoes.runs.plan import Plan, Planned, Refused
from dominoes.runs.state import Damage, State

FORMS = ("curves", "classes", "joint", "measures")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Twelve finished runs of a plan of thirteen, one diverged; and one that has no dataset."""
    out = tmp_path_factory.mktemp("made")
    specs = synthetic_runs.sweep([0.2, 0.5, 0.8], 4, measurements=20)
    synthetic_runs.write(specs, out, diverged=[specs[3].id])
    kinds = {"top": 300, "bottom": 300, "both": 600, "empty": 300}
    runs = tuple(Planned(spec, 1500, kinds) for spec in [*specs, specs[0].model_copy(update={"seed": 77})])
    found = Plan("made", "", ("seed",), runs, (Refused(specs[0].model_copy(update={"seed": 78}), "too few pictures"),))
    plan.save_plan(found, out, b"name: made\n")
    return found, out


@pytest.fixture
def out(made: tuple[Plan, Path], tmp_path: Path) -> Path:
    """A copy of the folder."""
    return Path(shutil.copytree(made[1], tmp_path / "out"))


def exported(planned: Plan, out: Path, to: Path) -> dict[str, bytes]:
    """The bytes of every table that can be exported, CSV and Parquet."""
    for suffix in ("csv", "parquet"):
        collected.export_table(planned, out, to / suffix / f"curves.{suffix}", classes=True, joint=True, measures=True)
    return {str(path.relative_to(to)): path.read_bytes() for path in sorted(to.rglob("*")) if path.is_file()}


def contents(out: Path) -> dict[str, tuple[object, ...]]:
    """Every finished run as it is read."""
    return {run.id: (run.spec, run.environment, run.contents) for run in run_folders.read_all(run_folders.finished(out)) if run.environment}


def test_packed_results_are_the_same(made: tuple[Plan, Path], out: Path, tmp_path: Path) -> None:
    """Runs, status, survey and exports: packed, partly packed, in whatever order they were packed."""
    planned, folders = made
    runs = [run.id for run in planned.runs[:12]]
    expected = exported(planned, folders, tmp_path / "folders")
    random.Random(0).shuffle(runs)
    for number, some in enumerate((runs[:5], None)):
        packing.pack_folders(out, order=runs, only=some, size=3)
        assert contents(out) == contents(folders)
        assert exported(planned, out, tmp_path / str(number)) == expected
        assert progress.sweep_status(plan.outline(out), out) == progress.sweep_status(planned, folders)
        assert progress.sweep_status(planned, out, deep=True) == progress.sweep_status(planned, folders)
        assert progress.survey(planned, out, deep=True).states == progress.survey(planned, folders, deep=True).states
        assert all(state.state_of(out / "runs" / run) is State.DONE for run in runs)
    assert list((out / "runs").iterdir()) == []
    assert len(list((out / HOME).glob(f"*{MANIFEST}"))) == 5
    assert packing.pack_folders(out).runs == 0


def test_tables_of_packed_runs_are_those_of_folders(made: tuple[Plan, Path], out: Path) -> None:
    """What compare, fit, plot and report read: the same rows in the same order, to the last bit."""
    _, folders = made
    packing.pack_folders(out, size=5)
    for form in ("curves", "classes"):
        pd.testing.assert_frame_equal(
            parameters.read_runs(out, form=form), parameters.read_runs(folders, form=form), check_exact=True, check_like=False
        )
    run = run_folders.finished(out)[0]
    assert not run.exists()
    pd.testing.assert_frame_equal(
        run_folders.read_run(run).table(), run_folders.read_run(folders / "runs" / run.name).table(), check_exact=True
    )


def test_a_sweep_is_packed_from_the_command_line(out: Path, made: tuple[Plan, Path], tmp_path: Path) -> None:
    """`sweep pack`, then status, export, compare, fit, report; the plan becomes a table with the same runs."""
    result = CliRunner().invoke(main, ["sweep", "pack", str(out)])
    assert (result.exit_code, result.output) == (0, f"{out}: 12 runs packed into 1 shard\n")
    assert plan.record(out) == out / "plan.parquet"
    assert plan.load_plan(out) == made[0]
    status = CliRunner().invoke(main, ["sweep", "status", str(out)])
    assert "made: 13 runs: 12 done (1 diverged), 0 running, 0 failed, 1 left, 1 infeasible" in status.output
    for place in (out, made[1]):
        to = tmp_path / f"of {place.name}"
        to.mkdir()
        for command in (
            ["compare", str(place), "--out", str(to / "c.csv")],
            ["fit", str(place), "--family", "last", "--out", str(to / "f.csv")],
        ):
            assert CliRunner().invoke(main, command).exit_code == 0
    assert [(tmp_path / "of out" / name).read_bytes() for name in ("c.csv", "f.csv")] == [
        (tmp_path / f"of {made[1].name}" / name).read_bytes() for name in ("c.csv", "f.csv")
    ]
    page = CliRunner().invoke(main, ["report", str(out), "--out", str(tmp_path / "page.html")])
    assert page.exit_code == 0, page.output


def test_a_plan_that_is_there_is_not_written_again(made: tuple[Plan, Path], tmp_path: Path) -> None:
    """Neither as JSON nor as a table; a changed one is, and what stands in both is the same."""
    planned, _ = made
    for table in (False, True):
        plan.save_plan(planned, tmp_path, b"x", table=table)
        path = plan.record(tmp_path)
        assert path is not None
        before = path.stat().st_mtime_ns, path.stat().st_ino
        plan.save_plan(planned, tmp_path, b"x", table=table)
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
        assert plan.load_plan(tmp_path) == planned
        assert plan.outline(tmp_path).runs.to_pylist() == [run.spec.id for run in planned.runs]
        assert plan.outline(tmp_path).infeasible == 1
    plan.save_plan(Plan("made", "", ("seed",), planned.runs[:3], ()), tmp_path, b"x")
    assert len(plan.load_plan(tmp_path).runs) == 3
    (tmp_path / "plan.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match="damaged; run the sweep again"):
        plan.outline(tmp_path)


def test_tables_that_others_wrote_are_kept_as_they_are(out: Path, made: tuple[Plan, Path]) -> None:
    """Digits that no writer of this package would write, or rows in another order: the text itself is in the shard."""
    names = sorted(path.name for path in (out / "runs").iterdir())
    for name, change in zip(names, ((",0.5,", ",0.50,"), ("test", "TEST\tone"), ("\n", "\r\n")), strict=False):
        path = out / "runs" / name / "curves.csv"
        path.write_bytes(path.read_bytes().replace(*(part.encode() for part in change)))
        environment = json.loads((out / "runs" / name / "environment.json").read_text(encoding="utf-8"))
        environment["files"]["curves.csv"] = state.file_record(path)
        (out / "runs" / name / "environment.json").write_text(state.sealed(environment), encoding="utf-8")
    before = {run.id: run.contents for run in map(run_folders.read_run, run_folders.finished(out))}
    packing.pack_folders(out)
    assert {run.id: run.contents for run in map(run_folders.read_run, run_folders.finished(out))} == before
    assert list(run_folders.texts(run_folders.finished(out), "curves")) == [
        before[folder.name]["curves.csv"].decode() for folder in run_folders.finished(out)
    ]


def test_runs_that_keep_networks_stay_folders(tmp_path: Path) -> None:
    """Weights are not curves; the run and its network are read as before."""
    from dominoes.data import dealing
    from dominoes.data.probe_sets import probes

    found = plan.make_plan(sweep_file.read_sweep_file(write(tmp_path / "s.yaml", train__checkpoints="last")))
    spec = found.runs[0].spec
    execution.execute(spec, dealing.deal_spec(spec.dataset), probes(spec.dataset, spec.train.probe, 0), tmp_path)
    assert packing.pack_folders(tmp_path) == packing.Packed(0, 0, 1, {})
    assert checkpoints.network(tmp_path / "runs" / spec.id) is not None


def test_damaged_folders_and_shards_are_named_and_run_again(out: Path, made: tuple[Plan, Path]) -> None:
    """A damaged folder is not packed; runs of a damaged shard are left out by name, and count as left until they are finished again."""
    planned, folders = made
    victim = out / "runs" / planned.runs[0].id / "curves.csv"
    victim.write_bytes(victim.read_bytes().replace(b"0.1", b"0.2", 1))
    found = packing.pack_folders(out, size=4, order=[run.id for run in planned.runs])
    assert (found.runs, list(found.damaged)) == (11, [planned.runs[0].id])
    known = manifest.load_manifest(out)
    shard = known.places[planned.runs[1].id][0]
    content = bytearray(shard.file("curves").read_bytes())
    content[len(content) // 2] ^= 1
    shard.file("curves").write_bytes(content)
    lost = set(shard.runs["run"].to_pylist())
    for deep in (False, True):
        status = progress.sweep_status(planned, out, deep=deep)
        assert set(status.damaged) == {*lost, planned.runs[0].id}
        assert (status.done, status.left) == (12 - 1 - len(lost), 2 + len(lost))
        assert {name for name, which in progress.survey(planned, out, deep=deep).states.items() if which is State.UNFINISHED} == set(
            status.damaged
        )
    shards._READ.clear()
    with pytest.raises(Damage, match="its SHA-256 differs"):
        run_folders.read_run(out / "runs" / planned.runs[1].id)
    with pytest.raises(Damage, match="its SHA-256 differs"):
        state.is_whole(out / "runs" / planned.runs[1].id, strict=True)
    named: list[str] = []
    assert parameters.read_runs(out, damaged=lambda error: named.append(error.folder.name))["run"].nunique() == 12 - 1 - len(lost)
    assert {*named} == {*lost, planned.runs[0].id}
    synthetic_runs.write([run.spec for run in planned.runs[:12]], out, diverged=[planned.runs[3].id], repair=True)
    assert progress.sweep_status(planned, out).done == 12
    packing.pack_folders(out)
    assert shard.path.exists() is False
    assert contents(out).keys() == contents(folders).keys()


def test_a_damaged_part_of_the_manifest_is_named(out: Path, made: tuple[Plan, Path]) -> None:
    """Its runs are not known any more; the shard's files stay."""
    packing.pack_folders(out, size=6)
    path = manifest.load_manifest(out).parts[0].path
    path.write_bytes(path.read_bytes()[:-1])
    (path.parent / "x").touch()
    manifest._part.cache_clear()
    manifest._load.cache_clear()
    status = progress.sweep_status(made[0], out)
    assert (status.done, status.damaged) == (6, {path.name: "it is not what was written (its SHA-256 differs)"})
    packing.pack_folders(out)
    assert len(list((out / HOME).glob("*.curves.parquet"))) == 2


def test_one_process_packs_at_a_time(out: Path, tmp_path: Path) -> None:
    """The other is told who does; where there are no results there is nothing to pack."""
    with claims.claimed(out / HOME), pytest.raises(RunError, match="is being packed by another process"):
        packing.pack_folders(out)
    with pytest.raises(RunError, match="holds no results"):
        packing.pack_folders(tmp_path / "nothing")
    part = (
        packing.pack_folders(out, size=1, only=[sorted(path.name for path in (out / "runs").iterdir())[0]])
        and manifest.load_manifest(out).parts[0]
    )
    with pytest.raises(OutputError, match="is in no shard, it is not removed"):
        packing.remove(next((out / "runs").iterdir()), part)


def test_folding_gives_back_every_number_to_the_letter() -> None:
    """Floats of every size and sign, whole ones, empty ones; against Python's own writing of each."""
    rng = random.Random(1)
    values = [0.0, 1.0, -1.0, 1e-5, 1e-4, 9.9e-5, 1e15, 1e16, 123456789.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
    values += [rng.choice((-1, 1)) * rng.random() * 10.0 ** rng.randint(-20, 20) for _ in range(3000)]
    lines = [f"abc,{step},top,margin mean,{value!r}" for step, value in enumerate(values)]
    text = columns.header("measures") + "\n".join(lines) + "\n"
    folded = columns.fold_texts([text.encode()], "measures")
    assert folded.num_rows == 1
    assert columns.header("measures") + columns.texts(columns.unfold_curves(folded, "measures"), "measures")["abc"] == text


def test_what_arrow_reads_is_its_own() -> None:
    """Its threads outlive what they read; they hold no object of Python's, which they could not let go of while the interpreter ends."""
    content = columns.header("measures").encode() + b"abc,1,top,margin mean,0.5\n" * 10
    held = sys.getrefcount(content)
    source = columns.arrow_source(content)
    assert sys.getrefcount(content) == held
    assert not source.closed
    assert source.read_buffer().to_pybytes() == content


SCRIPT = """
import sys
from pathlib import Path
from dominoes.runs.packed import packing
print("ready", flush=True)
packing.pack_folders(Path(sys.argv[1]), size=2)
print("packed", flush=True)
"""


@pytest.mark.slow
def test_nothing_finished_is_lost_whenever_packing_is_killed(
    made: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at 50 random moments of packing: after each every run is finished and is what was written, and in the end all is packed."""
    planned, folders = made
    expected = contents(folders)
    rng = random.Random(5)
    out = Path(shutil.copytree(folders, tmp_path / "out"))
    interrupted = 0
    for _ in range(50):
        if not any((out / "runs").iterdir()):
            shutil.rmtree(out)
            shutil.copytree(folders, out)
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.25)
        process.send_signal(signal.SIGKILL)
        interrupted += process.communicate()[0] != "packed\n"
        assert contents(out) == expected
        assert progress.sweep_status(planned, out).done == 12
    assert interrupted > 10
    # A claim of which half was written when its process was killed counts as living for a while.
    monkeypatch.setattr(claims, "STALE_SECONDS", 0)
    packing.pack_folders(out)
    assert list((out / "runs").iterdir()) == []
    assert {path.name.partition(".")[0] for path in (out / HOME).iterdir()} == {part.stem for part in manifest.load_manifest(out).parts}
    assert exported(planned, out, tmp_path / "a") == exported(planned, folders, tmp_path / "b")
