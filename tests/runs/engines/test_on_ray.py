"""The ray engine on a simulated cluster of two nodes: what dies costs its own unfinished runs, and the results are the local engine's."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_sweeps import ROOT, call, export, run, start, write

from dominoes.data import dealing
from dominoes.errors import RunError
from dominoes.runs import state
from dominoes.runs.engines import on_ray
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.spec import DominoSpec


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, tuple[bytes, bytes]]:
    """A sweep file, and what the local engine exports of it."""
    place = tmp_path_factory.mktemp("calm")
    dealing.deal_spec(DominoSpec(n=10, prevalence=(0.5, 0.5), top="digits", bottom="textures"))
    file = write(place / "sweep.yaml", dataset__n=300, train__epochs=6, train__batch=4, seed=list(range(6)))
    run(file, place / "out", "--workers", 2)
    return file, export(place / "out", place)


@pytest.fixture
def nodes() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address of a running cluster of two nodes of one core, and the process that commands it."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "oracles" / "ray_cluster.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    address = next((line.strip() for line in lines if re.fullmatch(r"[\d.]+:\d+\s*", line)), "")
    assert address, "the simulated cluster did not start"
    yield address, process
    process.stdin.close()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdout.close()


def claims(out: Path) -> dict[str, int]:
    """Run ids that are being worked at, with the process that does."""
    found = {}
    for claim in out.glob("runs/*/CLAIM-*"):
        try:
            found[claim.parent.name] = json.loads(claim.read_text(encoding="utf-8"))["pid"]
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_node_cost_their_own_runs(
    calm: tuple[Path, tuple[bytes, bytes]], nodes: tuple[str, "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """First a worker process, then a whole node dies in mid-sweep: every run ends DONE once, and the export is the local engine's."""
    file, expected = calm
    address, commander = nodes
    out = tmp_path / "out"
    process = start(file, out, "--engine", "ray", "--address", address)
    deadline = time.monotonic() + 240
    while not (at_work := claims(out)) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    assert at_work, process.communicate()
    os.kill(next(iter(at_work.values())), signal.SIGKILL)
    while not list(out.glob("runs/*/DONE")) and time.monotonic() < deadline:
        time.sleep(0.01)
    before = {mark: mark.stat().st_mtime_ns for mark in out.glob("runs/*/DONE")}
    assert 0 < len(before) < 6
    assert commander.stdin is not None
    commander.stdin.write("kill\n")
    commander.stdin.flush()
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    done = re.findall(r"^done (\w+)", printed, re.MULTILINE)
    assert sorted(done) == sorted(set(done))
    assert len(done) == 6
    assert all(mark.stat().st_mtime_ns == stamp for mark, stamp in before.items())
    assert export(out, tmp_path) == expected


@pytest.mark.slow
def test_folders_come_back_from_machines_that_share_nothing(calm: tuple[Path, tuple[bytes, bytes]], tmp_path: Path) -> None:
    """With --collect each run's folder travels as bytes, of packs too; a local cluster of two cores is started and ended with the sweep."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    file, expected = calm
    out = tmp_path / "out"
    printed = run(file, out, "--engine", "ray", "--workers", 2, "--collect", "--pack", 3)
    assert printed.count("\ndone ") == 6
    assert not (out / "datasets").exists()
    assert export(out, tmp_path) == expected
    assert {path.name for path in (out / "runs").rglob("*") if path.is_file()} == {
        "DONE",
        "classes.csv",
        "confusion.npz",
        "joint.csv",
        "measures.csv",
        "curves.csv",
        "environment.json",
        "spec.json",
    }
    assert "6 done" in call("status", out)
    assert {state.environment(mark.parent)["packing"] for mark in out.glob("runs/*/DONE")} == {3}


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(calm: tuple[Path, tuple[bytes, bytes]], tmp_path: Path) -> None:
    """Options of ray want ray; without the package the sentence says how to get it."""
    file, _ = calm
    assert "--address and --collect belong to ray; add --engine ray" in run(file, tmp_path / "a", "--address", "auto", code=2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RunError, match=r"not installed: pip install 'dominoes\[ray\]'"):
        patch.setitem(sys.modules, "ray", None)
        next(on_ray.on_ray(iter(()), setting=WorkerSetting(tmp_path)))
