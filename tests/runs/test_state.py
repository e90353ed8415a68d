"""Run folders on disk: claims that no race can double, whatever the clocks say, and files that tell whether they are whole."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dominoes import files
from dominoes.errors import OutputError, RunError
from dominoes.runs import claims, state
from dominoes.runs.state import State


def plant(folder: Path, name: str = "CLAIM-x", *, host: str = "elsewhere", age: float = 0, **more: object) -> Path:
    """A claim as another process left it, some seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    claim = folder / name
    claim.write_text(json.dumps({"host": host, "pid": 5, "time": 0, **more}), encoding="utf-8")
    os.utime(claim, (time.time() - age, time.time() - age))
    return claim


def test_a_claim_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """Eight threads go for one folder fifty times, with a dead process's claim in it: never are two of them in it at once."""
    inside = 0
    most = entered = 0
    lock = threading.Lock()
    barrier = threading.Barrier(8)

    def contend() -> None:
        nonlocal inside, most, entered
        for round_ in range(50):
            if barrier.wait() == 0:
                plant(tmp_path / str(round_), age=10**6)
            barrier.wait()
            try:
                with claims.claimed(tmp_path / str(round_)):
                    with lock:
                        inside += 1
                        entered += 1
                        most = max(most, inside)
                    time.sleep(0.001)
                    with lock:
                        inside -= 1
            except claims.Busy:
                continue

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered >= 50 * 0.9
    assert not list(tmp_path.glob("*/CLAIM*"))


def test_a_living_process_is_respected_and_a_dead_one_is_not(tmp_path: Path) -> None:
    """On this machine the process itself is asked; a process number that is used again by another process is not taken for it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        folder = tmp_path / "run"
        claim = plant(folder, host=os.uname().nodename, pid=process.pid, start=claims._start(process.pid))
        assert state.state_of(folder) is State.RUNNING
        with pytest.raises(claims.Busy, match=f"run is being run by process {process.pid} of this machine; wait for it"):
            claims.claimed(folder).__enter__()
        plant(folder, host=os.uname().nodename, pid=process.pid, start="1")
        assert state.state_of(folder) is State.UNFINISHED
    finally:
        process.kill()
        plant(folder, host=os.uname().nodename, pid=process.pid, start=None)
        # Dead but not yet buried by its parent: it works no more.
        while claims._start(process.pid) is not None:
            time.sleep(0.01)
        content = json.loads(claim.read_text(encoding="utf-8")) | {"start": "12345"}
        claim.write_text(json.dumps(content), encoding="utf-8")
        assert state.state_of(folder) is State.UNFINISHED
        process.communicate()
    with claims.claimed(folder) as mine:
        assert [path.name for path in folder.iterdir()] == [mine.path.name]


def test_a_claim_of_another_machine_lives_by_its_heartbeat(tmp_path: Path) -> None:
    """Fresh, it is respected; silent for two minutes, it is taken over. A rebooted machine of the same name is another one."""
    folder = tmp_path / "run"
    plant(folder, age=60)
    with pytest.raises(claims.Busy, match="process 5 of elsewhere"):
        claims.claimed(folder).__enter__()
    plant(folder, host=os.uname().nodename, boot="another start", age=60)
    assert state.state_of(folder) is State.RUNNING
    plant(folder, age=claims.STALE_SECONDS + 5)
    assert state.state_of(folder) is State.UNFINISHED
    (folder / "CLAIM-torn").write_text("{", encoding="utf-8")
    assert claims.holder(folder) == "an unknown process"


def test_a_clock_that_was_set_back_blocks_nobody_for_long(tmp_path: Path) -> None:
    """A dead machine's claim from the future is found out by its silence, a living one's is left alone."""
    folder = tmp_path / "run"
    claim = plant(folder, age=-86400)
    assert state.state_of(folder) is State.RUNNING
    watch = claims.Watch(seconds=0.3)
    assert watch.holder(folder) == "process 5 of elsewhere"
    time.sleep(0.2)
    os.utime(claim, (time.time() + 80000, time.time() + 80000))
    assert watch.holder(folder) is not None
    time.sleep(0.2)
    assert watch.holder(folder) is not None
    time.sleep(0.2)
    assert watch.holder(folder) is None
    assert not claim.exists()
    with claims.claimed(folder) as mine:
        os.utime(mine.path, (0, 0))
        time.sleep(0.4)
        # A process of this machine is asked itself; its claim's time does not matter.
        assert watch.holder(folder) is not None


def test_a_process_that_was_taken_for_dead_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that slept through a takeover learns it from its heartbeat, or at the latest before it marks the run DONE."""
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    with claims.claimed(tmp_path / "run") as mine:
        time.sleep(0.2)
        mine.check()
        mine.path.unlink()
        with pytest.raises(RunError, match="run was taken over by another process, which saw no sign of life"):
            mine.check(now=True)
        time.sleep(0.2)
        with pytest.raises(RunError, match="was taken over"):
            mine.check()


def test_a_failure_finds_room_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAILED holds the reason in its first line, then the traceback; where no file can be written the claim's own room is used."""
    with claims.claimed(tmp_path / "a") as mine:
        mine.fail("the\nreason", "trace\n" * 2)
    assert (tmp_path / "a" / "FAILED").read_text(encoding="utf-8") == "the reason\n\ntrace\ntrace\n"

    def full(path: Path, content: object) -> None:
        raise OutputError("no space")

    monkeypatch.setattr(files, "write", full)
    with claims.claimed(tmp_path / "b") as mine:
        mine.fail("the reason", "trace\n" * 10000)
    assert (state.state_of(tmp_path / "b"), state.reason(tmp_path / "b")) == (State.FAILED, "the reason")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["FAILED"]
    (tmp_path / "b" / "FAILED").write_text("", encoding="utf-8")
    assert "holds no reason" in state.reason(tmp_path / "b")


def test_states_are_read_off_the_names_in_a_folder(tmp_path: Path) -> None:
    """Absent, unfinished, failed, done; a claim on top of FAILED means that it is being run again."""
    folder = tmp_path / "run"
    assert state.state_of(folder) is State.ABSENT
    folder.mkdir()
    assert state.state_of(folder) is State.UNFINISHED
    (folder / "FAILED").touch()
    assert state.state_of(folder) is State.FAILED
    plant(folder)
    assert state.state_of(folder) is State.RUNNING
    (folder / "DONE").touch()
    assert state.state_of(folder) is State.DONE
    with pytest.raises(OutputError, match="cannot be read"):
        state.state_of(folder / "DONE")


def test_no_folder_can_be_made_where_none_can_be(tmp_path: Path) -> None:
    """The output is named, not a traceback shown."""
    with pytest.raises(OutputError, match="cannot be made"), claims.claimed(Path("/proc/nowhere")):
        pass
