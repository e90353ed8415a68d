"""Small shards put into larger ones: the same runs, the same exports to the byte, and nothing lost whenever that is killed."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import object_store
import pytest
import synthetic_runs
from click.testing import CliRunner
from small_sweeps import ROOT

from dominoes.cli.commands import main
from dominoes.runs import claims, collected, plan, progress, run_folders
from dominoes.runs.packed import manifest, mirror, packing, shards, storage
from dominoes.runs.packed.object_leases import FOLDER, ObjectLeases
from dominoes.runs.packed.place import HOME
from dominoes.runs.plan import Plan, Planned
from dominoes.runs.sweeping import pack_results


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Twelve finished runs of one plan in shards of two, which hold runs from all over it."""
    out = tmp_path_factory.mktemp("packed")
    specs = synthetic_runs.sweep([0.2, 0.5, 0.8], 4, measurements=20)
    synthetic_runs.write(specs, out, diverged=[specs[3].id])
    kinds = {"top": 300, "bottom": 300, "both": 600, "empty": 300}
    planned = Plan("made", "", ("seed",), tuple(Planned(spec, 1500, kinds) for spec in specs), ())
    plan.save_plan(planned, out, b"name: made\n")
    order = [spec.id for spec in specs]
    random.Random(2).shuffle(order)
    packing.pack_folders(out, order=order, size=2)
    assert len(manifest.load_manifest(out).parts) == 6
    return planned, out


@pytest.fixture
def out(packed: tuple[Plan, Path], tmp_path: Path) -> Path:
    """A copy of the folder."""
    return Path(shutil.copytree(packed[1], tmp_path / "out"))


def exported(planned: Plan, out: Path, to: Path) -> dict[str, bytes]:
    """The bytes of every table that can be exported, CSV and Parquet."""
    for suffix in ("csv", "parquet"):
        collected.export_table(planned, out, to / suffix / f"curves.{suffix}", classes=True)
    return {str(path.relative_to(to)): path.read_bytes() for path in sorted(to.rglob("*")) if path.is_file()}


def contents(out: Path) -> dict[str, object]:
    """Every finished run as it is read, every byte of it."""
    return {run.folder.name: getattr(run, "contents", run) for run in run_folders.read_all(run_folders.finished(out))}


def test_merged_shards_hold_the_same_runs(packed: tuple[Plan, Path], out: Path, tmp_path: Path) -> None:
    """As few shards as the size allows, exports the same to the byte, every file of every run too; a second time there is nothing to do."""
    planned, before = packed
    expected = exported(planned, out, tmp_path / "before")
    found = packing.pack_folders(out, order=[run.id for run in planned.runs], size=5, merge=True)
    assert (found.runs, found.merged) == (0, 6)
    parts = manifest.load_manifest(out).parts
    assert sorted(part.runs.num_rows for part in parts) == [4, 4, 4]
    assert len(list((out / HOME).glob("*.parquet"))) == 3 * (len(shards.FORMS) + 2)
    assert exported(planned, out, tmp_path / "after") == expected
    assert contents(out) == contents(before)
    assert packing.pack_folders(out, order=[run.id for run in planned.runs], size=5, merge=True).merged == 0
    assert pack_results(out).merged == 3
    assert exported(planned, out, tmp_path / "once more") == expected


def test_the_command_says_what_it_put_together(out: Path) -> None:
    """`sweep pack` merges, and tells."""
    done = CliRunner().invoke(main, ["sweep", "pack", str(out)])
    assert done.exit_code == 0, done.output
    assert "0 runs packed into 0 shards; 6 small shards put into larger ones" in done.output
    assert len(manifest.load_manifest(out).parts) == 1


def test_a_run_in_two_shards_stays_in_one(packed: tuple[Plan, Path], out: Path, tmp_path: Path) -> None:
    """What was merged by a process that died before it removed the small shards is cleared up."""
    planned, before = packed
    expected = exported(planned, out, tmp_path / "before")
    packing.pack_folders(out, size=12, merge=True)
    for path in (before / HOME).glob("*.parquet"):
        shutil.copy(path, out / HOME)
    assert len(manifest.load_manifest(out).parts) == 7
    assert packing.pack_folders(out, size=12, merge=True).merged == 6
    (part,) = manifest.load_manifest(out).parts
    assert part.runs.num_rows == 12
    assert exported(planned, out, tmp_path / "after") == expected


def test_a_damaged_shard_is_left_alone(packed: tuple[Plan, Path], out: Path) -> None:
    """Its runs are not put into a new shard as if they were whole, and the others are merged without it."""
    part = manifest.load_manifest(out).parts[0]
    path = part.file("curves")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert packing.pack_folders(out, size=12, merge=True).merged == 5
    left = manifest.load_manifest(out)
    assert sorted(each.runs.num_rows for each in left.parts) == [2, 10]
    assert part.stem in left.damaged(deep=True)


def test_small_shards_in_a_store_are_put_together(packed: tuple[Plan, Path], tmp_path: Path) -> None:
    """The store has the larger ones alone, and what a killed upload left is gone; while somebody works there nothing is done."""
    planned, before = packed
    with object_store.bucket() as bucket:
        url = f"{bucket}/merged"
        store = storage.opened(url)
        plan.save_plan(planned, (out := mirror.results(url, new=True)), b"name: made\n", table=True)
        kept = mirror.of(out)
        assert kept is not None
        kept.send_plan()
        for path in sorted((before / HOME).glob("*.parquet")):
            store.write(f"{HOME}/{path.name}", path.read_bytes())
        store.write(f"{HOME}/0123456789ab.curves.parquet", b"half an upload")
        out = mirror.results(url)
        expected = exported(planned, out, tmp_path / "before")
        with ObjectLeases(store).held("a range"):
            assert pack_results(out).merged == 0
        assert len(store.names(HOME)) == 6 * (len(shards.FORMS) + 2) + 1
        assert pack_results(mirror.results(url)).merged == 6
        assert len(store.names(HOME)) == len(shards.FORMS) + 2
        assert store.names(FOLDER) == {}
        assert exported(planned, mirror.results(url), tmp_path / "after") == expected


SCRIPT = """
import sys
from pathlib import Path
from dominoes.runs.packed import packing
print("ready", flush=True)
packing.pack_folders(Path(sys.argv[1]), size=4, merge=True, wait=True)
print("packed", flush=True)
"""


@pytest.mark.slow
def test_nothing_finished_is_lost_whenever_merging_is_killed(
    packed: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at 50 random moments of merging: after each every run is finished and is what was written, and in the end there are three."""
    planned, before = packed
    expected = contents(before)
    rng = random.Random(9)
    out = tmp_path / "out"
    interrupted = 0
    for _ in range(50):
        if not out.exists() or len(manifest.load_manifest(out).parts) == 3:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(before, out)
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        interrupted += process.communicate()[0] != "packed\n"
        assert contents(out) == expected
        assert progress.sweep_status(planned, out, deep=True).done == 12
    assert interrupted > 10
    # A claim of which half was written when its process was killed counts as living for a while.
    monkeypatch.setattr(claims, "STALE_SECONDS", 0)
    packing.pack_folders(out, size=4, merge=True)
    assert len(manifest.load_manifest(out).parts) == 3
    assert contents(out) == expected
