"""One run spec becomes one run folder: claimed, written whole, marked DONE last. The only module that knows the order of the stages."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dominoes import __version__, curves, files
from dominoes.dataset import Dominoes
from dominoes.deal import Dealt
from dominoes.errors import OutputError, RunError
from dominoes.folder import metadata
from dominoes.shares import resolve
from dominoes.spec import SIDES, RunSpec
from dominoes.training import Trained, train

RUNS = "runs"
DONE = "DONE"
_CLAIM = "CLAIM"
# Without a sign of life for so long, a claim of another machine's process is taken over.
_STALE_SECONDS = 120.0
_NO_RUN = "{} holds no finished run; expected runs/<id>/DONE in it, as 'dominoes train --out' leaves them"


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        folder: where its files are.
        fresh: False if it was finished before and nothing was done.
        environment: content of environment.json.
    """

    folder: Path
    fresh: bool
    environment: Mapping[str, Any]

    @property
    def curves(self) -> pd.DataFrame:
        """Its table of learning curves."""
        return curves.read(self.folder / "curves.csv")


def execute(
    spec: RunSpec,
    dealt: Dealt,
    probes: Mapping[str, Dominoes],
    out: Path,
    *,
    device: torch.device | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Outcome:
    """Train one run and keep it in `out`/runs/<id>, unless it is there already.

    Raises:
        RunError: another process is at this run, or it was finished on other pictures or dominoes.
        OutputError: the folder cannot be written. The run stays unfinished and the next call runs it again.
    """
    folder = Path(out) / RUNS / spec.id
    digests = {side: dealt.source(side).digest for side in SIDES} | {"deal": _digest(dealt)}
    if (folder / DONE).exists():
        return _finished(folder, digests)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}); pass another --out") from error
    with _claimed(folder) as alive:
        if (folder / DONE).exists():
            return _finished(folder, digests)
        files.write(folder / "spec.json", json.dumps(spec.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
        wall, cpu = time.perf_counter(), time.process_time()

        def step_done(step: int, steps: int) -> None:
            alive()
            progress(step, steps)

        trained = train(spec, Dominoes.of(dealt), probes, device=device, threads=threads, progress=step_done)
        environment = _environment(trained, dealt, digests, device or torch.device("cpu"), threads)
        environment["seconds"] |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        curves.write(trained.curves, folder / "curves.csv")
        curves.write(trained.classes, folder / "classes.csv", form="classes")
        files.write(folder / "environment.json", json.dumps(environment, indent=1) + "\n")
        files.write(folder / DONE, "")
    return Outcome(folder, True, environment)


def finished(out: Path) -> list[Path]:
    """Folders of the finished runs under `out` (a results folder, or a single run folder), by name."""
    out = Path(out)
    if (out / DONE).exists():
        return [out]
    return sorted(mark.parent for mark in (out / RUNS).glob(f"*/{DONE}"))


def parameters(folder: Path) -> dict[str, Any]:
    """What a finished run was made with, as flat columns that meet no column of its curves.

    The shares are the resolved ones, whichever fields were given: prevalence_top, prevalence_bottom, both, empty, ratio. `dominoes`
    is the number of dominoes that it was trained on. Raises RunError if the run's files cannot be read.
    """
    try:
        spec = RunSpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
        count = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["dominoes"]["n"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}/spec.json or environment.json is damaged; remove the folder to run it again") from error
    shares = resolve(spec.dataset)
    ratio = float("nan") if shares.ratio is None else float(shares.ratio)
    found: dict[str, Any] = {"dominoes": count}
    found |= {f"prevalence_{side}": float(share) for side, share in zip(SIDES, (shares.top, shares.bottom), strict=True)}
    found |= {"both": float(shares.both), "empty": float(shares.empty), "ratio": ratio}
    found |= {f"reliability_{side}": share for side, share in zip(SIDES, spec.dataset.reliability, strict=True)}
    found |= {f"source_{side}": getattr(spec.dataset, side) for side in SIDES}
    found |= {"labels": spec.dataset.labels.value, "reuse": spec.dataset.reuse, "deal_seed": spec.dataset.seed}
    return found | spec.train.model_dump(mode="json")


def joined(out: Path, *, form: str = "curves") -> pd.DataFrame:
    """The curves (or classes) of all finished runs under `out`, with those of their parameters in which the runs differ as further
    columns. Raises RunError if there is none."""
    found = finished(out)
    if not found:
        raise RunError(_NO_RUN.format(out))
    made = [parameters(folder) for folder in found]
    differing = [name for name in made[0] if len({str(each[name]) for each in made}) > 1]
    tables = [curves.read(folder / f"{form}.csv", form=form) for folder in found]
    return pd.concat(
        [table.assign(**{name: each[name] for name in differing}) for table, each in zip(tables, made, strict=True)], ignore_index=True
    )


def classes(out: Path) -> int | None:
    """K of the finished runs under `out`, None where they differ in it."""
    found = {json.loads((folder / "environment.json").read_text(encoding="utf-8"))["dominoes"]["classes"] for folder in finished(out)}
    return found.pop() if len(found) == 1 else None


def groups(out: Path) -> dict[str, pd.DataFrame]:
    """Curves of the finished runs under `out`, a table for each spec (its seeds together), by a title that tells them apart.

    Raises RunError if there is no finished run.
    """
    table = joined(out)
    differing = [column for column in table.columns if column not in curves.CURVES]
    if differing:
        parts = table.groupby(differing, sort=False, dropna=False)
        return {", ".join(f"{name} {_plain(value)}" for name, value in zip(differing, key, strict=True)): rows for key, rows in parts}
    made = parameters(finished(out)[0])
    return {f"{made['source_top']} over {made['source_bottom']}, {made['model']}": table}


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _digest(dealt: Dealt) -> str:
    return hashlib.sha256(metadata(dealt.deal).encode()).hexdigest()


def _finished(folder: Path, digests: Mapping[str, str]) -> Outcome:
    try:
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        known = environment["digests"]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{folder} is marked {DONE} but its environment.json is damaged; remove the folder to run it again") from error
    for part, now in digests.items():
        if known.get(part) != now:
            what = "another deal of dominoes" if part == "deal" else f"other pictures of the {part} half"
            raise RunError(f"{folder} was finished with {what} (SHA-256 differs); pass the same --data, or another --out")
    return Outcome(folder, False, environment)


@contextmanager
def _claimed(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the folder's claim, a file made by atomic create; yield what shows, at most every few seconds, that we live."""
    claim = folder / _CLAIM
    mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()})
    for _ in range(2):
        try:
            with open(claim, "x", encoding="utf-8") as file:
                file.write(mine)
            break
        except FileExistsError as error:
            holder = _holder(claim)
            if holder:
                raise RunError(f"{folder.name} is being run by {holder}; wait for it, or stop it and run again") from error
            claim.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written ({error.strerror}); pass another --out") from error
    else:
        raise RunError(f"{folder.name} was claimed by another process a moment ago; wait for it")
    last = time.monotonic()

    def alive() -> None:
        nonlocal last
        if time.monotonic() - last > _STALE_SECONDS / 10:
            last = time.monotonic()
            os.utime(claim)

    try:
        yield alive
    finally:
        claim.unlink(missing_ok=True)


def _holder(claim: Path) -> str | None:
    """Who holds a claim; None if the holder is dead."""
    try:
        content = json.loads(claim.read_text(encoding="utf-8"))
        host, pid = content["host"], int(content["pid"])
        age = time.time() - claim.stat().st_mtime
    except (OSError, ValueError, KeyError):
        return None
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return f"process {pid} of this machine" if pid != os.getpid() else None
    return f"process {pid} of {host}" if age < _STALE_SECONDS else None


def _environment(trained: Trained, dealt: Dealt, digests: Mapping[str, str], device: torch.device, threads: int) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "package": __version__,
        "dominoes": {"n": dealt.composition.n, "kinds": dealt.composition.kinds, "classes": dealt.composition.stock.classes},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": sys.platform,
        "device": device.type,
        "device_name": name,
        "threads": threads,
        "packing": 1,
        "steps": trained.steps,
        "status": "finished" if trained.diverged is None else "diverged",
        "diverged_at": trained.diverged,
        "digests": dict(digests),
        "seconds": dict(trained.seconds),
    }
