"""A run folder as it stands on disk: its state, whose hands it is in, whether its files are whole. Loads neither torch nor pandas.

A run is absent, unfinished, FAILED or DONE. Who works at one has a claim in its folder, a file that no other claim can be taken for:
create mine, then look for others; if one is alive, withdraw. Of two that come at once at least one sees the other, so never do
both stay; and to remove a dead process's claim by its own name never removes a living one's.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from dominoes import files
from dominoes.dials import joined
from dominoes.errors import OutputError, RunError
from dominoes.solver.shares import resolve
from dominoes.spec import SIDES, RunSpec

RUNS = "runs"
DONE = "DONE"
FAILED = "FAILED"
TABLES = ("curves.csv", "classes.csv")
# Runs of earlier versions have none, and are whole without it.
CONFUSION = "confusion.npz"
_CLAIM = "CLAIM"
# Without a sign of life for so long, a claim of another machine's process is taken over.
STALE_SECONDS = 120.0
_BEAT_SECONDS = STALE_SECONDS / 10
# A claim takes this room on the disk, so that on a full disk there is a place for the reason of the failure.
_CLAIM_BYTES = 4096
_TRIES = 3


class State(StrEnum):
    """What a run folder is: see the module."""

    ABSENT = "absent"
    UNFINISHED = "unfinished"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"


class Busy(RunError):  # noqa: N818  (a state, not a mishap)
    """Another process is at this run."""


def parameters(spec: RunSpec, count: int | None) -> dict[str, Any]:
    """What a run is made with, as flat columns that meet no column of its curves.

    The shares are the resolved ones, whichever fields were given: prevalence_top, prevalence_bottom, both, empty, ratio. `dominoes`
    is `count`, the number of dominoes that it is trained on. Raises SpecError if the shares cannot be resolved.
    """
    shares = resolve(spec.dataset)
    ratio = float("nan") if shares.ratio is None else float(shares.ratio)
    found: dict[str, Any] = {"dominoes": count}
    found |= {f"prevalence_{side}": float(share) for side, share in zip(SIDES, (shares.top, shares.bottom), strict=True)}
    found |= {"both": float(shares.both), "empty": float(shares.empty), "ratio": ratio}
    found |= {f"reliability_{side}": share for side, share in zip(SIDES, spec.dataset.reliability, strict=True)}
    found |= {f"source_{side}": getattr(spec.dataset, side) for side in SIDES}
    found |= {f"transform_{side}": joined(spec.dataset.transforms(side)) for side in SIDES} | {"swap": int(spec.dataset.swap)}
    found |= {"labels": spec.dataset.labels.value, "reuse": spec.dataset.reuse, "deal_seed": spec.dataset.seed}
    return found | spec.train.model_dump(mode="json")


def differing(made: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the parameters (of `parameters`) in which runs differ; beside a side's transforms its source, which they are of."""
    names = [name for name in made[0] if len({str(each[name]) for each in made}) > 1]
    of_transforms = {f"source_{side}" for side in SIDES if f"transform_{side}" in names}
    return [name for name in made[0] if name in names or name in of_transforms]


def of(folder: Path) -> State:
    """State of a run folder; a look at the names in it, no file is opened but the claim of an unfinished one."""
    try:
        names = set(os.listdir(folder))  # noqa: PTH208  (names only: this is done for ten thousand folders)
    except FileNotFoundError:
        return State.ABSENT
    except OSError as error:
        raise OutputError(f"{folder} cannot be read ({error.strerror}); expected a run folder") from error
    if DONE in names:
        return State.DONE
    if any(name.startswith(_CLAIM) for name in names) and holder(folder) is not None:
        return State.RUNNING
    return State.FAILED if FAILED in names else State.UNFINISHED


def reason(folder: Path) -> str:
    """The one-line reason of a FAILED run."""
    try:
        lines = (folder / FAILED).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[0] if lines else f"{folder}/{FAILED} holds no reason"


def digest(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as environment.json keeps them of a run's tables."""
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}


def environment(folder: Path) -> dict[str, Any]:
    """Content of a finished run's environment.json. Raises RunError if it is damaged."""
    try:
        content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        known = all(isinstance(content[key], dict) for key in ("digests", "files", "seconds", "dominoes")) and content["status"]
        if not known or not all({"bytes", "sha256"} <= content["files"][table].keys() for table in TABLES):
            raise KeyError("files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder} is marked {DONE} but its environment.json is damaged; remove the folder to run it again") from error
    return dict(content)


def damage(folder: Path, *, deep: bool, content: Mapping[str, Any] | None = None) -> str | None:
    """What is wrong with a folder marked DONE, in a sentence; None if nothing is.

    Args:
        folder: of a finished run.
        deep: read every byte of its tables and spec, where otherwise their sizes must do.
        content: its `environment`, if that was read already.
    """
    try:
        content = content or environment(folder)
        for table in [name for name in (*TABLES, CONFUSION) if name in content["files"]]:
            known, size = content["files"][table], (folder / table).stat().st_size
            if size != known["bytes"]:
                return f"{table} has {size} bytes, {known['bytes']} were written"
            if deep and files.sha256(folder / table) != known["sha256"]:
                return f"{table} is not what was written (its SHA-256 differs)"
        if deep:
            spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
            canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"))
            if hashlib.sha256(canonical.encode()).hexdigest()[:12] != folder.name:
                return "spec.json is another run's"
    except RunError:
        return "environment.json is damaged"
    except (OSError, ValueError) as error:
        return f"a file is missing or damaged ({error.strerror if isinstance(error, OSError) else 'spec.json'})"
    return None


class Claim:
    """A claim that is held: a heartbeat shows other machines that its process lives."""

    def __init__(self, path: Path):
        self.path = path
        self._released = threading.Event()
        self._lost = False
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._released.wait(_BEAT_SECONDS):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                self._lost = not self._released.is_set()
                return
            except OSError:
                continue

    def check(self, *, now: bool = False) -> None:
        """Raise RunError if others took this claim for a dead process's. `now` looks at the disk, not at what the last beat saw."""
        if self._lost or (now and not self.path.exists()):
            raise RunError(f"{self.path.parent.name} was taken over by another process, which saw no sign of life; leave it to that one")

    def fail(self, sentence: str, trace: str) -> None:
        """Mark the folder FAILED with a one-line reason and the traceback. On a full disk the claim's own room takes what fits."""
        text = f"{' '.join(sentence.split())}\n\n{trace}"
        try:
            files.write(self.path.with_name(FAILED), text)
        except OutputError:
            with open(self.path, "r+b") as file:
                file.write(text.encode()[: _CLAIM_BYTES - 1].ljust(_CLAIM_BYTES - 1) + b"\n")
            self.path.replace(self.path.with_name(FAILED))

    def release(self) -> None:
        """Give the folder back."""
        self._released.set()
        self.path.unlink(missing_ok=True)


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Make the folder if need be and hold its claim.

    Raises Busy if another living process holds it, OutputError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}); pass another --out") from error
    for attempt in range(_TRIES):
        mine = folder / f"{_CLAIM}-{secrets.token_hex(6)}"
        try:
            _announce(mine)
            rival = holder(folder, besides=mine, remove=True)
        except OSError as error:
            mine.unlink(missing_ok=True)
            raise OutputError(f"{folder} cannot be written ({error.strerror}); pass another --out, or free the disk") from error
        if rival is None:
            break
        mine.unlink(missing_ok=True)
        if attempt + 1 < _TRIES:
            # The other may withdraw just now because it saw this one; next time they come apart.
            time.sleep(0.001 * secrets.randbelow(30))
    else:
        raise Busy(f"{folder.name} is being run by {rival}; wait for it, or stop it and run again")
    held = Claim(mine)
    try:
        yield held
    finally:
        held.release()


def _announce(path: Path) -> None:
    content = {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "start": _start(os.getpid()), "time": time.time()}
    with open(path, "x", encoding="utf-8") as file:
        file.write(json.dumps(content).ljust(_CLAIM_BYTES - 1) + "\n")


def holder(
    folder: Path, *, besides: Path | None = None, remove: bool = False, stale: Callable[[Path], bool] = lambda claim: False
) -> str | None:
    """Who works at a run, in words; None if nobody living does.

    Args:
        folder: of the run.
        besides: a claim to leave out; its time is the file system's now, whatever this machine's clock says.
        remove: remove the claims of the dead.
        stale: says of a claim that it has shown no life for too long, where times do not tell.
    """
    now = besides.stat().st_mtime if besides else time.time()
    living = None
    for claim in sorted(folder.glob(f"{_CLAIM}*")):
        if claim == besides:
            continue
        found = None if stale(claim) else _living(claim, now)
        living = living or found
        if found is None and remove:
            claim.unlink(missing_ok=True)
    return living


def _living(claim: Path, now: float) -> str | None:
    try:
        age = now - claim.stat().st_mtime
        content = json.loads(claim.read_text(encoding="utf-8"))
        host, pid = str(content["host"]), int(content["pid"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        # A claim that is being written at this moment, or was when the power went.
        return "an unknown process" if age < STALE_SECONDS else None
    if host != socket.gethostname() or content.get("boot", _boot()) != _boot():
        return f"process {pid} of {host}" if age < STALE_SECONDS else None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    # Process numbers are used again; the time at which a process started tells whether it is the same one.
    same = content.get("start") in (None, _start(pid))
    return f"process {pid} of this machine" if same else None


def _boot() -> str:
    """Which start of which machine this is, and which container of it: process numbers mean nothing outside."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (a name that is no path)
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()} {space}"
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When a process started, in ticks of the machine; None if that cannot be told, or it is dead and only not yet buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19] if fields[0] not in "ZX" else None


class Watch:
    """Tells by this process's own steady clock which claims of other machines show no life, where the times of files cannot be trusted
    (a clock was set back, and a dead process's claim seems to come from the future)."""

    def __init__(self, seconds: float = STALE_SECONDS):
        self._seconds = seconds
        self._seen: dict[Path, tuple[int, float]] = {}

    def stale(self, claim: Path) -> bool:
        """Whether the claim's heartbeat has stood still since long."""
        try:
            beat = claim.stat().st_mtime_ns
        except OSError:
            return True
        known, since = self._seen.setdefault(claim, (beat, time.monotonic()))
        if known != beat:
            self._seen[claim] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > self._seconds and not _is_here(claim)

    def holder(self, folder: Path) -> str | None:
        """Who works at a run; claims without life are removed."""
        return holder(folder, remove=True, stale=self.stale)


def _is_here(claim: Path) -> bool:
    try:
        content: Mapping[str, Any] = json.loads(claim.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return content.get("host") == socket.gethostname() and content.get("boot", _boot()) == _boot()
