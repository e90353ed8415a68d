"""A run folder as it stands on disk: its state, whose hands it is in, whether its files are whole. Loads neither torch nor pandas.

A run is absent, unfinished, FAILED or DONE. Who works at one has a claim in its folder, a file that no other claim can be taken for:
create mine, then look for others; if one is alive, withdraw. Of two that come at once at least one sees the other, so never do
both stay; and to remove a dead process's claim by its own name never removes a living one's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from dominoes import files
from dominoes.errors import OutputError, RunError
from dominoes.runs.claims import CLAIM, FAILED, holder

RUNS = "runs"
DONE = "DONE"
TABLES = ("curves.csv", "classes.csv")
# Runs of earlier versions lack some or all of these, and are whole without them.
CONFUSION = "confusion.npz"
JOINT = "joint.csv"
MEASURES = "measures.csv"
FURTHER = (CONFUSION, JOINT, MEASURES)
CHECKPOINTS = "checkpoints"


class State(StrEnum):
    """What a run folder is: see the module."""

    ABSENT = "absent"
    UNFINISHED = "unfinished"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"


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
    if any(name.startswith(CLAIM) for name in names) and holder(folder) is not None:
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
        for table in content["files"]:
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
