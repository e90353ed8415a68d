"""A run folder as it stands on disk: its state, whose hands it is in, whether its files are whole. Loads neither torch nor pandas.

A run is absent, unfinished, FAILED or DONE. Who works at one has a claim in its folder, a file that no other claim can be taken for:
create mine, then look for others; if one is alive, withdraw. Of two that come at once at least one sees the other, so never do
both stay; and to remove a dead process's claim by its own name never removes a living one's.

A run that is DONE may be packed (`shard_of`): it is read by the path of the folder that it had, which is not there any more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dominoes import files
from dominoes.errors import OutputError, RunError
from dominoes.runs.claims import CLAIM, FAILED, holder
from dominoes.runs.packed.place import HOME

if TYPE_CHECKING:
    from dominoes.runs.packed.manifest import Part
    from dominoes.runs.packed.shards import Shard

RUNS = "runs"
DONE = "DONE"
# How a run may have ended; one that diverged has curves up to where its loss was not finite any more.
STATUSES = ("finished", "diverged")
TABLES = ("curves.csv", "classes.csv")
# Runs of earlier versions lack some or all of these, and are whole without them.
CONFUSION = "confusion.npz"
JOINT_FILE = "joint.csv"
MEASURES_FILE = "measures.csv"
FURTHER = (CONFUSION, JOINT_FILE, MEASURES_FILE)
CHECKPOINTS = "checkpoints"
# Name in environment.json of its own digest.
_SEAL = "sha256"


class State(StrEnum):
    """What a run folder is: see the module."""

    ABSENT = "absent"
    UNFINISHED = "unfinished"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"


def state_of(folder: Path) -> State:
    """State of a run folder; a look at the names in it, no file is opened but the claim of an unfinished one."""
    try:
        names = set(os.listdir(folder))  # noqa: PTH208  (names only: this is done for ten thousand folders)
    except FileNotFoundError:
        return State.DONE if shard_of(folder) else State.ABSENT
    except OSError as error:
        raise OutputError(f"{folder} cannot be read ({error.strerror}); expected a run folder") from error
    # What is left of a folder whose run was packed just now is no unfinished run.
    if DONE in names or shard_of(folder):
        return State.DONE
    if any(name.startswith(CLAIM) for name in names) and holder(folder) is not None:
        return State.RUNNING
    return State.FAILED if FAILED in names else State.UNFINISHED


def shard_of(folder: Path) -> Part | None:
    """The shard that has the run of a folder; None if it is not packed."""
    # The names alone: most folders are of results that are not packed, and what reads shards takes time to load.
    if folder.parent.name != RUNS or not (folder.parent.parent / HOME).is_dir():
        return None
    from dominoes.runs.packed import manifest

    return manifest.load_manifest(folder.parent.parent).places.get(folder.name, (None, 0))[0]


def _shard(folder: Path) -> Shard | None:
    """Where to read a run whose folder is not marked DONE."""
    part = None if (folder / DONE).exists() else shard_of(folder)
    if part is None:
        return None
    from dominoes.runs.packed import shards

    return shards.shard(part)


def reason(folder: Path) -> str:
    """The one-line reason of a FAILED run."""
    try:
        lines = (folder / FAILED).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[0] if lines else f"{folder}/{FAILED} holds no reason"


def file_record(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as environment.json keeps them of a run's tables."""
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}


def sealed(content: Mapping[str, Any]) -> str:
    """Text of environment.json: `content`, and last the SHA-256 of all that stands before it, as no other file knows this one."""
    text = json.dumps({name: value for name, value in content.items() if name != _SEAL}, indent=1).removesuffix("\n}")
    return f'{text},\n "{_SEAL}": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n'


def _unsealed(text: str) -> dict[str, Any]:
    """Content of environment.json without its seal. Raises ValueError where that is broken; runs of earlier versions have none."""
    content: dict[str, Any] = json.loads(text)
    # Without a seal the files come last: what became of the seal's name by damage is not taken for none.
    if isinstance(content, dict) and content and next(reversed(content)) != "files":
        if sealed(content) != text:
            raise ValueError("the seal is broken")
        del content[_SEAL]
    return content


class Damage(RunError):  # noqa: N818  (a finding, not a mishap)
    """A folder marked DONE is not what was written.

    Attributes:
        folder: of the run.
        problem: what is wrong, as part of a sentence.
    """

    def __init__(self, folder: Path, problem: str):
        super().__init__(f"{folder} is marked {DONE} but {problem}; train it again (the same command does), or remove the folder")
        self.folder = folder
        self.problem = problem


def environment(folder: Path) -> dict[str, Any]:
    """Content of a finished run's environment.json. Raises Damage."""
    try:
        shard = _shard(folder)
        text = shard.environment(folder.name) if shard else (folder / "environment.json").read_bytes().decode()
        content = _unsealed(text)
        known = all(isinstance(content[key], dict) for key in ("digests", "files", "seconds", "dominoes")) and content["status"] in STATUSES
        if not known or not all({"bytes", "sha256"} <= content["files"][table].keys() for table in TABLES):
            raise KeyError("files")
        made = content["dominoes"]
        if type(made["n"]) is not int or made["n"] != sum(made.get("kinds", {"all": made["n"]}).values()):
            raise ValueError("n is not the sum of the kinds")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damage(folder, "its environment.json is missing or damaged") from error
    return dict(content)


def damage(folder: Path, *, deep: bool, content: Mapping[str, Any] | None = None) -> str | None:
    """What is wrong with a folder marked DONE, in a sentence; None if nothing is.

    Args:
        folder: of a finished run.
        deep: read every byte of its files, where otherwise their sizes must do, unless one was changed after the run was marked.
        content: its `environment`, if that was read already.
    """
    try:
        part = None if (folder / DONE).exists() else shard_of(folder)
        if part is not None:
            return part.damage(deep=deep)
        content = content or environment(folder)
        if deep or _changed_since(folder, content):
            contents(folder, content)
    except Damage as error:
        return error.problem
    return None


def is_whole(folder: Path, *, strict: bool = False) -> bool:
    """Whether a run is finished and every byte is what was written. Raises Damage where it is finished but damaged, if `strict`."""
    if not (folder / DONE).exists() and shard_of(folder) is None:
        return False
    problem = damage(folder, deep=True)
    if problem and strict:
        raise Damage(folder, problem)
    return problem is None


def _changed_since(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a file of a finished run has another size, or was put there or changed when DONE was or later; a look at names, nothing is
    read. The time of change (ctime) is what no program sets at will; where a folder was copied it says little, and the bytes are read."""
    try:
        marked = (folder / DONE).stat().st_mtime_ns
        for name in (*content["files"], "spec.json"):
            found = (folder / name).stat()
            size = content["files"].get(name, {}).get("bytes", found.st_size)
            if found.st_size != size or max(found.st_mtime_ns, found.st_ctime_ns) >= marked:
                return True
    except OSError:
        return True
    return False


def file(folder: Path, name: str) -> bytes:
    """A file of a finished run, in its folder or packed; that it is what was written is for `damage` to say. Raises Damage."""
    try:
        shard = _shard(folder)
        return (folder / name).read_bytes() if shard is None else shard.file(folder.name, name)
    except OSError as error:
        raise Damage(folder, f"{name} is missing or cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise Damage(folder, str(error)) from error


def contents(folder: Path, content: Mapping[str, Any], *, checkpoints: bool = True) -> dict[str, bytes]:
    """The files of a finished run by name, spec.json too and checkpoints not, each compared with what `content` (its environment) says
    was written; of checkpoints only the size if so asked, as who reads curves need not read weights. Raises Damage."""
    found: dict[str, bytes] = {}
    shard = _shard(folder)
    if shard is not None:
        try:
            return dict(shard.member(folder.name).contents)
        except ValueError as error:
            raise Damage(folder, str(error)) from error
    for name, known in {**content["files"], "spec.json": None}.items():
        path = folder / name
        is_checkpoint = name.startswith(f"{CHECKPOINTS}/")
        try:
            size = path.stat().st_size
            read = b"" if is_checkpoint else path.read_bytes()
            digest = files.sha256(path) if is_checkpoint and checkpoints else hashlib.sha256(read).hexdigest()
        except OSError as error:
            raise Damage(folder, f"{name} is missing or cannot be read ({error.strerror})") from error
        if known is not None and size != known["bytes"]:
            raise Damage(folder, f"{name} has {size} bytes, {known['bytes']} were written")
        if known is not None and digest != known["sha256"] and (checkpoints or not is_checkpoint):
            raise Damage(folder, f"{name} is not what was written (its SHA-256 differs)")
        if not is_checkpoint:
            found[name] = read
    try:
        canonical = json.dumps(json.loads(found["spec.json"]), sort_keys=True, separators=(",", ":"))
    except ValueError as error:
        raise Damage(folder, "spec.json is damaged") from error
    run = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    measured = found[TABLES[0]].split(b"\n", 2)[1].split(b",", 1)[0].decode(errors="replace")
    if run != measured or (folder.resolve().parent.name == RUNS and run != folder.resolve().name):
        raise Damage(folder, "spec.json is another run's")
    return found
