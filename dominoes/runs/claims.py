"""Who is at a run: claims that others see and that go stale, and what a failed run leaves."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dominoes import files
from dominoes.errors import OutputError, RunError

FAILED = "FAILED"
CLAIM = "CLAIM"
# Without a sign of life for so long, a claim of another machine's process is taken over.
STALE_SECONDS = 120.0
BEAT_SECONDS = STALE_SECONDS / 10
# A claim takes this room on the disk, so that on a full disk there is a place for the reason of the failure.
_CLAIM_BYTES = 4096
_TRIES = 3


class Busy(RunError):  # noqa: N818  (a state, not a mishap)
    """Another process is at this run."""


class Claim:
    """A claim that is held: a heartbeat shows other machines that its process lives."""

    def __init__(self, path: Path):
        self.path = path
        self._released = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
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
        """Give the folder back. The heartbeat has ended then: a thread that is still at work when the interpreter ends may abort it."""
        self._released.set()
        self._thread.join(timeout=1.0)
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
        mine = folder / f"{CLAIM}-{secrets.token_hex(6)}"
        try:
            # Again: who gave the folder back may have removed it just now.
            folder.mkdir(exist_ok=True)
            _announce(mine)
            rival = holder(folder, besides=mine, remove=True)
        except FileNotFoundError:
            rival = "another process"
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
    content = myself() | {"time": time.time()}
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
    for claim in sorted(folder.glob(f"{CLAIM}*")):
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
    if not of_here(content):
        return f"process {pid} of {host}" if age < STALE_SECONDS else None
    return None if has_ended(content) else f"process {pid} of this machine"


def myself() -> dict[str, Any]:
    """What a claim says of this process."""
    return {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "start": _start(os.getpid())}


def of_here(content: Mapping[str, Any]) -> bool:
    """Whether a claim is of a process of this machine, since it was started and in this container."""
    return content.get("host") == socket.gethostname() and content.get("boot", _boot()) == _boot()


def has_ended(content: Mapping[str, Any]) -> bool:
    """Whether the process of a claim, one `of_here`, is no more."""
    pid = int(content["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # Process numbers are used again; the time at which a process started tells whether it is the same one.
    return content.get("start") not in (None, _start(pid))


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
    return of_here(content)
