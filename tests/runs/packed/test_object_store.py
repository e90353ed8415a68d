"""Packed results in an object store: the same runs and exports as in folders, one launch a range, nothing lost whenever it is killed."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import object_store
import pandas as pd
import pytest
import small_sweeps
import synthetic_runs
from click.testing import CliRunner
from small_sweeps import ROOT

import dominoes
from dominoes.cli.commands import main
from dominoes.errors import DominoesError, OutputError, RunError
from dominoes.runs import claims, collected, parameters, plan, progress, run_folders, state
from dominoes.runs.packed import manifest, mirror, packing, ranges, storage
from dominoes.runs.packed.object_leases import FOLDER, ObjectLeases
from dominoes.runs.packed.place import HOME, MANIFEST
from dominoes.runs.plan import Plan, Planned


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of a server that speaks S3."""
    with object_store.bucket() as url:
        yield url


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, bucket: str, tmp_path: Path) -> str:
    """Where nothing is yet, in a store in this process and in one that speaks S3."""
    return f"{bucket if request.param == 's3' else 'memory://bucket'}/{tmp_path.name}"


@pytest.fixture
def s3(bucket: str, tmp_path: Path) -> str:
    """Where nothing is yet, in the store that speaks S3."""
    return f"{bucket}/{tmp_path.name}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Twelve finished runs in folders, one diverged, of a plan of thirteen."""
    out = tmp_path_factory.mktemp("made")
    specs = synthetic_runs.sweep([0.2, 0.5, 0.8], 4, measurements=12)
    synthetic_runs.write(specs, out, diverged=[specs[3].id])
    kinds = {"top": 300, "bottom": 300, "both": 600, "empty": 300}
    runs = tuple(Planned(spec, 1500, kinds) for spec in [*specs, specs[0].model_copy(update={"seed": 77})])
    found = Plan("made", "", ("seed",), runs, ())
    plan.save_plan(found, out, b"name: made\n")
    return found, out


def begun(url: str, made: tuple[Plan, Path]) -> Path:
    """The folder that stands for an address, with all runs finished in it and none of them sent."""
    out = mirror.results(url, new=True)
    plan.save_plan(made[0], out, b"name: made\n", table=True)
    shutil.copytree(made[1] / "runs", out / "runs")
    kept = mirror.of(out)
    assert kept is not None
    kept.send_plan()
    return out


def elsewhere(out: Path) -> None:
    """Forget what this machine has, as if another one asked."""
    shutil.rmtree(out)
    for known in (mirror._mirror, manifest._load, manifest._part):
        known.cache_clear()
    manifest._SEEN.clear()


def exported(planned: Plan, out: Path, to: Path) -> dict[str, bytes]:
    """The bytes of every table that can be exported."""
    for suffix in ("csv", "parquet"):
        collected.export_table(planned, out, to / suffix / f"curves.{suffix}", classes=True, joint=True, measures=True)
    return {str(path.relative_to(to)): path.read_bytes() for path in sorted(to.rglob("*")) if path.is_file()}


def test_addresses_are_told_from_paths() -> None:
    """Also when pathlib has taken a slash of one; a drive is a path."""
    assert storage.address("s3://b/x/") == storage.address(Path("s3://b/x")) == "s3://b/x"
    assert storage.address("C:/x") is storage.address("results/x") is storage.address("/a://b") is None
    assert mirror.results("results/x") == Path("results/x")


def test_a_store_puts_a_name_once(url: str) -> None:
    """`create` succeeds for the first; `write` replaces; what is not there is said to be so."""
    store = storage.opened(url)
    assert store.create("a/one", b"1")
    assert not store.create("a/one", b"2")
    assert store.read("a/one") == b"1"
    store.write("a/one", b"three")
    assert {name: size for name, (size, _) in store.names("a").items()} == {"one": 5}
    assert store.read_several(["a/one", "a/two"]) == {"a/one": b"three"}
    store.remove("a/one")
    store.remove("a/one")
    assert store.names("a") == store.names("nowhere") == {}
    with pytest.raises(FileNotFoundError, match="not in the object store"):
        store.read("a/one")


def test_packed_runs_in_a_store_are_the_same(url: str, made: tuple[Plan, Path], tmp_path: Path) -> None:
    """Status, survey, tables and exports to the byte, here and on a machine that has nothing of it."""
    planned, folders = made
    out = begun(url, made)
    expected = exported(planned, folders, tmp_path / "folders")
    assert exported(planned, out, tmp_path / "unsent") == expected
    assert packing.pack_folders(out, order=[run.id for run in planned.runs], size=5).shards == 3
    assert list((out / "runs").iterdir()) == []
    assert {path.suffixes[-2] for path in (out / HOME).iterdir()} == {".manifest"}
    elsewhere(out)
    assert mirror.results(url) == out
    assert plan.load_plan(out) == planned
    for deep in (False, True):
        assert progress.sweep_status(plan.outline(out), out, deep=deep) == progress.sweep_status(planned, folders)
        assert progress.survey(planned, out, deep=deep).states == progress.survey(planned, folders, deep=deep).states
    assert exported(planned, out, tmp_path / "again") == expected
    for form in ("curves", "classes"):
        pd.testing.assert_frame_equal(parameters.read_runs(url, form=form), parameters.read_runs(folders, form=form), check_exact=True)
    run = run_folders.finished(out)[0]
    assert state.state_of(run) is state.State.DONE
    assert run_folders.read_run(run).contents == run_folders.read_run(folders / "runs" / run.name).contents


@pytest.mark.slow
def test_commands_take_addresses(s3: str, made: tuple[Plan, Path], tmp_path: Path) -> None:
    """pack, status, export, fit, compare, plot and report say and write what they do of folders."""
    _, folders = made
    begun(s3, made)

    def call(*arguments: object, code: int = 0) -> str:
        done = CliRunner().invoke(main, [*map(str, arguments)])
        assert done.exit_code == code, done.output
        return done.output

    assert call("sweep", "pack", s3) == f"{s3}: 12 runs packed into 1 shard\n"
    assert call("sweep", "status", s3) == call("sweep", "status", folders)
    for place, name in ((s3, "store"), (folders, "folders")):
        to = tmp_path / name
        call("sweep", "export", place, "--out", to / "curves.csv", "--partial")
        call("compare", place, "--out", to / "c.csv")
        call("fit", place, "--family", "last", "--out", to / "f.csv")
        call("plot", place, "--out", to / "p.svg")
        call("report", place, "--out", to / "page.html")
    for name in ("curves.csv", "runs.csv", "c.csv", "f.csv"):
        assert (tmp_path / "store" / name).read_bytes() == (tmp_path / "folders" / name).read_bytes()
    assert "expected a path on this machine" in call("train", "--out", s3, code=2)
    assert "expected a path on this machine" in call("compare", s3, "--out", f"{s3}/c.csv", code=2)
    assert dominoes.status(s3) == dominoes.status(folders)


def test_what_is_damaged_in_a_store_is_named(url: str, made: tuple[Plan, Path]) -> None:
    """A file that is gone, cut, or another: its runs are not done. A part of the manifest that is another is named."""
    planned, _ = made
    out = begun(url, made)
    packing.pack_folders(out, size=6)
    first, second = manifest.load_manifest(out).parts
    store = storage.opened(url)
    name = second.file("classes").name
    content = store.read(f"{HOME}/{name}")
    for bad, deep, said in ((content[:-1], False, "bytes"), (content[:-1] + b"!", True, "SHA-256 differs"), (None, False, "missing")):
        store.remove(f"{HOME}/{name}")
        if bad is not None:
            store.write(f"{HOME}/{name}", bad)
        elsewhere(out)
        found = progress.sweep_status(planned, mirror.results(url), deep=deep)
        assert (found.done, len(found.damaged)) == (6, 6)
        assert all(said in problem for problem in found.damaged.values())
    with pytest.raises(RunError, match="not in the object store|SHA-256 differs"):
        parameters.read_runs(url, form="classes")
    store.write(f"{HOME}/{name}", content)
    store.write(f"{HOME}/{first.path.name}", b"nonsense")
    elsewhere(out)
    assert list(progress.sweep_status(planned, mirror.results(url)).damaged) == [first.path.name]


def test_damaged_shards_go_when_their_runs_are_there_again(url: str, made: tuple[Plan, Path]) -> None:
    """As in a folder: packing again removes their objects."""
    out = begun(url, made)
    packing.pack_folders(out, size=12)
    (part,) = manifest.load_manifest(out).parts
    store = storage.opened(url)
    store.write(f"{HOME}/{part.file('curves').name}", b"nonsense")
    elsewhere(out)
    shutil.copytree(made[1] / "runs", mirror.results(url) / "runs")
    assert packing.pack_folders(out, size=5).runs == 12
    packing.pack_folders(out)
    assert (
        {name.partition(".")[0] for name in store.names(HOME)} == {each.stem for each in manifest.load_manifest(out).parts} != {part.stem}
    )
    assert progress.sweep_status(made[0], mirror.results(url), deep=True).done == 12


def test_a_lease_is_held_by_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that come while another shows life none gets it; who is dead on this machine is passed over at once, others when still."""
    store = storage.opened(url)
    one, other = ObjectLeases(store), ObjectLeases(store)
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with one.held("range"):
        before = store.read(f"{FOLDER}/range.000001")
        with pytest.raises(claims.Busy, match=r"process \d+ of "), other.held("range"):
            pass
        with other.held("another"):
            time.sleep(0.2)
        assert store.read(f"{FOLDER}/range.000001") != before
    assert store.names(FOLDER) == {}

    gone = {**claims.myself(), "token": "a", "beat": "b"}
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    store.create(f"{FOLDER}/range.000004", json.dumps(gone | {"pid": dead.pid, "start": "1"}).encode())
    with one.held("range"):
        assert set(store.names(FOLDER)) == {"range.000004", "range.000005"}
    assert store.names(FOLDER) == {}

    store.create(f"{FOLDER}/range.000001", json.dumps(gone | {"host": "far"}).encode())
    with pytest.raises(claims.Busy, match="of far"), one.held("range"):
        pass
    monkeypatch.setattr(claims, "STALE_SECONDS", 0.05)
    time.sleep(0.1)
    store.write(f"{FOLDER}/range.000001", json.dumps(gone | {"host": "far", "beat": "c"}).encode())
    with pytest.raises(claims.Busy, match="of far"), one.held("range"):
        pass
    time.sleep(0.1)
    with one.held("range"), pytest.raises(claims.Busy, match="of "), other.held("range"):
        pass
    assert store.names(FOLDER) == {}


def test_who_was_passed_over_takes_nothing_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch that was still for too long leaves the lease of the next one alone."""
    store = storage.opened(url)
    one, other = ObjectLeases(store), ObjectLeases(store)
    held = one.held("range")
    held.__enter__()
    # It stood still: no sign of life reached the store, and another launch passed it over, ended, and a third one came.
    store.remove(f"{FOLDER}/range.000001")
    with other.held("range"):
        held.__exit__(None, None, None)
        assert set(store.names(FOLDER)) == {"range.000001"}


@pytest.mark.slow
def test_only_shards_can_be_in_a_store(s3: str, tmp_path: Path) -> None:
    """Folders of runs, and runs that keep networks, are refused before anything is written."""
    file = small_sweeps.write(tmp_path / "s.yaml", seed=[0, 1])
    for options in ((), ("--folders",)):
        assert f"{s3} is an object store, which holds shards" in small_sweeps.run(file, s3, *options, code=2)  # type: ignore[arg-type]
    keeping = small_sweeps.write(tmp_path / "k.yaml", seed=[0], train__checkpoints="last")
    assert "1 of 1 runs keep networks" in small_sweeps.run(keeping, s3, "--packed", code=2)  # type: ignore[arg-type]
    assert storage.opened(s3).names("") == {}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nope://bucket/x", "cannot be opened"),
        ("abfs://bucket/x", "needs a package that is not there .*; install it"),
        ("file:///tmp/x", "is on this machine; pass its path"),
        ("s3://bucket", "expected a bucket and a folder in it"),
        ("simplecache::s3://bucket/x", "expected a bucket"),
        ("s3://absent/x", "holds no results"),
        ("memory://bucket/nothing", "holds no results; expected plan.parquet and packed/ there"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, said: str, bucket: str) -> None:
    """One sentence each."""
    with pytest.raises(DominoesError, match=said):
        mirror.results(url)


def test_a_store_that_refuses_is_named(bucket: str, made: tuple[Plan, Path]) -> None:
    """A bucket that is not there: nothing goes from the folder."""
    out = mirror.results("s3://absent/x", new=True)
    shutil.copytree(made[1] / "runs", out / "runs")
    with pytest.raises(OutputError, match="s3://absent/x cannot be read or written .*check the address"):
        packing.pack_folders(out)
    assert len(run_folders.finished(out)) == 12


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(OutputError, match=r"pip install 'dominoes\[gcs\]'"):
        storage.ObjectStore("gs://bucket/x")


def test_finished_runs_are_sent_as_time_goes_by(url: str, made: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A range that takes long is not kept on one machine until its end."""
    from dominoes.runs.engines.protocol import RunReport
    from dominoes.spec import RunSpec

    planned, folders = made
    out = mirror.results(url, new=True)
    monkeypatch.setattr(ranges, "SEND_SECONDS", 0.0)
    seen: list[int] = []

    def engine(specs: Iterator[RunSpec]) -> Iterator[RunReport]:
        for spec in specs:
            seen.append(sum(name.endswith(MANIFEST) for name in storage.opened(url).names(HOME)))
            shutil.copytree(folders / "runs" / spec.id, out / "runs" / spec.id)
            yield RunReport(spec.id, "done")

    todo = ranges.ranges(planned.runs[:12], [run.spec for run in planned.runs[:3]])
    assert len(list(ranges.launch(todo, engine, out))) == 3
    assert seen == [0, 1, 2]
    assert len(manifest.load_manifest(mirror.results(url))) == 3
    assert storage.opened(url).names(FOLDER) == {}


SCRIPT = """
import sys
from dominoes.runs.packed import mirror, packing
out = mirror.results(sys.argv[1], new=True)
print("ready", flush=True)
packing.pack_folders(out, size=3, wait=True)
print("packed", flush=True)
"""


@pytest.mark.slow
def test_nothing_finished_is_lost_whenever_sending_is_killed(s3: str, made: tuple[Plan, Path], tmp_path: Path) -> None:
    """SIGKILL at 12 random moments of sending: after each every run is finished, here as there, and in the end all are in the store."""
    planned, folders = made
    rng = random.Random(7)
    out = begun(s3, made)
    expected = exported(planned, folders, tmp_path / "folders")
    interrupted = 0
    for number in range(12):
        if not any((out / "runs").iterdir()):
            s3 = f"{s3}-{number}"
            out = begun(s3, made)
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, s3], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        interrupted += process.communicate()[0] != "packed\n"
        assert progress.sweep_status(planned, mirror.results(s3), deep=True).done == 12
        assert not any(isinstance(each, state.Damage) for each in run_folders.read_all(run_folders.finished(out)))
    assert interrupted > 3
    packing.pack_folders(out, wait=True)
    elsewhere(out)
    assert exported(planned, mirror.results(s3), tmp_path / "store") == expected


@pytest.mark.slow
def test_a_sweep_into_a_store_survives_being_killed(s3: str, cache: Path, tmp_path: Path) -> None:
    """Killed launches, then two at once: every run ends finished once, and exports are those of folders."""
    import os

    file = small_sweeps.write(tmp_path / "s.yaml", seed=[0, 1, 2, 3, 4, 5])
    rng = random.Random(11)
    for _ in range(2):
        process = small_sweeps.start(file, s3, "--packed", "--workers", 1)  # type: ignore[arg-type]
        time.sleep(8 + 8 * rng.random())
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    both = [small_sweeps.start(file, s3, "--packed", "--workers", 1) for _ in range(2)]  # type: ignore[arg-type]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    elsewhere(mirror.results(s3))
    assert small_sweeps.call("status", s3).startswith("tiny: 6 runs: 6 done, 0 running, 0 failed, 0 left")
    assert storage.opened(s3).names(FOLDER) == {}
    small_sweeps.run(file, tmp_path / "folders", "--folders", "--workers", 1)
    assert small_sweeps.export(s3, tmp_path / "a") == small_sweeps.export(tmp_path / "folders", tmp_path / "b")  # type: ignore[arg-type]
