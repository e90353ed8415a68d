"""One run spec becomes one run folder: claimed, written whole, marked DONE last. The only module that knows the order of the stages."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from dominoes import __version__, files, tables
from dominoes.data.dealing import Deal, Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.folder import metadata
from dominoes.errors import DominoesError, RunError
from dominoes.runs import checkpoints, claims, run_folders, state
from dominoes.runs.code import changed, used
from dominoes.runs.state import DONE, RUNS
from dominoes.runs.writing import Writer
from dominoes.spec import SIDES, RunSpec
from dominoes.training import loop, trial
from dominoes.training.device import Device, broken, out_of_memory
from dominoes.training.loop import Callback, Trained, finish

#: Makes the turns of training a run: `loop.train_by_turns` and its like.
Train = Callable[..., Generator[None, None, Trained]]
# Written as CSV, the rows of 50,000 dominoes take longer than three steps of training on them.
_rows_known: dict[int, tuple[weakref.ref[Deal], str]] = {}


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
        """Its table of learning curves. Raises Damage if it is not what was written."""
        return run_folders.read_run(self.folder).table()

    def network(self, step: int | None = None, *, trust: bool = True) -> nn.Module:
        """The network at a checkpoint, None: the last one (`checkpoints.network`). The run was just asked for, so its code is trusted."""
        return checkpoints.network(self.folder, step, trust=trust)


def reopened(folder: Path, *, fresh: bool = False) -> Outcome:
    """The outcome of a run that another process finished; `fresh`: just now, for this one. Raises Damage."""
    return Outcome(folder, fresh, state.environment(folder))


def execute(
    spec: RunSpec,
    dealt: Dealt,
    probes: Mapping[str, Dominoes],
    out: Path,
    *,
    device: torch.device | None = None,
    threads: int = 1,
    deterministic: bool = True,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    repair: bool = False,
    accept_changed: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Train one run and keep it in `out`/runs/<id>, unless it is there already.

    What goes wrong in training or writing is kept beside, in the file FAILED: the reason in one line, then the traceback.

    Args:
        spec: of the run.
        dealt: its dataset.
        probes: test sets to measure on, by kind.
        out: results folder.
        device: where to train; CPU if not given.
        threads: CPU threads.
        deterministic: on CUDA, use only algorithms that repeat themselves bit for bit.
        progress: called after each step with (step, last step).
        repair: run a folder again that is marked DONE but whose files are damaged, instead of raising Damage.
        accept_changed: keep a finished run that was made with other code, dominoes or pictures.
        callbacks: called at each measurement (`loop.train`).

    Raises:
        RegistryError, SpecError: something that the spec names cannot be had, or does not do what it must. Nothing was written.
        state.Busy: another process is at this run.
        RunError: the run was finished with other code, pictures or dominoes; state.Damage: its files are not what was written.
        OutputError: the folder cannot be written. The run stays unfinished and the next call runs it again.
        DeviceError: CUDA cannot be deterministic in this process (`device.Device`).
    """
    hardware = Device(device or torch.device("cpu"), spec.train.precision, deterministic=deterministic, threads=threads)
    try:
        return finish(
            execute_by_turns(
                spec, dealt, probes, out, hardware, progress=progress, repair=repair, accept_changed=accept_changed, callbacks=callbacks
            )
        )
    except Exception as error:
        if of_device(error):
            with claims.claimed(Path(out) / RUNS / spec.id) as claim:
                claim.fail(failure(error), traceback.format_exc())
        raise


def execute_by_turns(
    spec: RunSpec,
    dealt: Dealt,
    probes: Mapping[str, Dominoes],
    out: Path,
    hardware: Device,
    *,
    packing: Callable[[], int] = lambda: 1,
    train: Train | None = None,
    writer: Writer | None = None,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    repair: bool = False,
    accept_changed: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Generator[None, None, Outcome]:
    """What `execute` does, by turns (`loop.train_by_turns`), so that several runs can be at work in one process.

    An error of the device (`of_device`) leaves the run unfinished instead of FAILED: whether it is the run's own fault is known to whoever
    knows what else was on the device. So does closing the generator.

    Args:
        packing: says, at the end, how many runs were on the device at once at most.
        train: what makes the turns of training: `loop.train_by_turns` if not given, or a stack's.
        writer: writes what the run leaves behind, with turns for others meanwhile; if not given that is done at once.
    """
    folder = Path(out) / RUNS / spec.id
    digests = _digests(dealt, probes)
    if state.is_whole(folder, strict=not repair):
        return _finished(spec, folder, digests, accept_changed)
    trial.check_run(spec, Dominoes.of(dealt))
    with claims.claimed(folder) as claim:
        if state.is_whole(folder, strict=not repair):
            # Another process was at it until just now.
            return _finished(spec, folder, digests, accept_changed)
        (folder / DONE).unlink(missing_ok=True)
        (folder / claims.FAILED).unlink(missing_ok=True)
        _forget_parts(folder)
        try:
            environment = yield from _run(
                spec, dealt, probes, folder, claim, digests, hardware, packing, train or loop.train_by_turns, progress, callbacks, writer
            )
        except Exception as error:
            if not of_device(error):
                claim.fail(failure(error), traceback.format_exc())
            raise
    return Outcome(folder, True, environment)


def failure(error: Exception) -> str:
    """The reason of a failure in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DominoesError) else f"{type(error).__name__}: {text}" if text else type(error).__name__


def of_device(error: BaseException) -> bool:
    """Whether an error is one of the device that all runs on it share: its memory is full, or it answers nothing any more."""
    return out_of_memory(error) or broken(error)


def _forget_parts(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in folder.glob(".partial-*"):
        part.unlink(missing_ok=True)
    shutil.rmtree(folder / state.CHECKPOINTS, ignore_errors=True)


def _run(
    spec: RunSpec,
    dealt: Dealt,
    probes: Mapping[str, Dominoes],
    folder: Path,
    claim: claims.Claim,
    digests: Mapping[str, str],
    hardware: Device,
    packing: Callable[[], int],
    train: Train,
    progress: Callable[[int, int], None],
    callbacks: Sequence[Callback],
    writer: Writer | None,
) -> Generator[None, None, dict[str, Any]]:
    """Train and write a claimed folder, DONE last; return the content of environment.json."""
    files.write(folder / "spec.json", json.dumps(spec.identity(), indent=1, sort_keys=True) + "\n")
    wall, cpu = time.perf_counter(), time.process_time()

    def step_done(step: int, steps: int) -> None:
        claim.check()
        progress(step, steps)

    def keep(step: int, network: nn.Module) -> None:
        checkpoints.write_checkpoint(network, folder, step)

    code = [each.plain() for each in used(spec)]
    trained = yield from train(spec, Dominoes.of(dealt), probes, hardware, progress=step_done, keep=keep, callbacks=callbacks)
    if trained.diverged == 0:
        raise RunError(f"before training a loss of {spec.train.model} is not finite, so there is no curve; expected finite answers")
    environment = _environment(trained, dealt, digests, hardware) | {"packing": packing()} | ({"code": code} if code else {})

    def write() -> dict[str, Any]:
        tables.write_table(trained.curves, folder / "curves.csv")
        tables.write_table(trained.classes, folder / "classes.csv", form="classes")
        tables.write_table(trained.joint, folder / state.JOINT_FILE, form="joint")
        tables.write_table(trained.measures, folder / state.MEASURES_FILE, form="measures")
        kept = [checkpoints.checkpoint_name(step) for step in checkpoints.steps_kept(folder)]
        with files.replacing(folder / state.CONFUSION) as temporary:
            np.savez_compressed(temporary, counts=trained.confusion)
        environment["files"] = {name: state.file_record(folder / name) for name in (*state.TABLES, *state.FURTHER, *kept)}
        environment["seconds"] |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        files.write(folder / "environment.json", state.sealed(environment))
        claim.check(now=True)
        files.write(folder / DONE, "")
        return environment

    return write() if writer is None else (yield from writer.done(write))


def _digests(dealt: Dealt, probes: Mapping[str, Dominoes]) -> dict[str, str]:
    tests = next(iter(probes.values())).sources
    found = {side: dealt.source(side).digest for side in SIDES} | {f"test {side}": tests[side].digest for side in SIDES}
    return found | {"deal": _of_rows(dealt.deal)}


def _of_rows(table: Deal) -> str:
    """SHA-256 of the rows of a deal as CSV, made once for all runs on it."""
    known = _rows_known.get(id(table))
    if known is None or known[0]() is not table:
        known = weakref.ref(table), hashlib.sha256(metadata(table).encode()).hexdigest()
        _rows_known[id(table)] = known
        weakref.finalize(table, _rows_known.pop, id(table), None)
    return known[1]


def _finished(spec: RunSpec, folder: Path, digests: Mapping[str, str], accept_changed: bool) -> Outcome:
    environment = state.environment(folder)
    if accept_changed:
        return Outcome(folder, False, environment)
    if sentence := changed(spec, environment.get("code", [])):
        raise RunError(f"{folder} was finished with other code: {sentence}; pass --accept-changed to keep it, or another --out")
    for part, now in digests.items():
        if environment["digests"].get(part) != now:
            what = "another deal of dominoes" if part == "deal" else f"other pictures of the {part} half"
            raise RunError(f"{folder} was finished with {what} (SHA-256 differs); pass the same --data, or another --out")
    return Outcome(folder, False, environment)


def _environment(trained: Trained, dealt: Dealt, digests: Mapping[str, str], hardware: Device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(hardware.device) if hardware.cuda else platform.processor() or platform.machine()
    return {
        "package": __version__,
        "dominoes": {"n": dealt.composition.n, "kinds": dealt.composition.kinds, "classes": dealt.composition.stock.classes},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": sys.platform,
        "device": hardware.device.type,
        "device_name": name,
        "threads": hardware.threads,
        "precision": hardware.precision.value,
        "deterministic": hardware.deterministic,
        **({"stacked": trained.stacked} if trained.stacked else {}),
        "steps": trained.steps,
        "training": dict(trained.training),
        "measuring": dict(trained.measuring),
        **({"levels": [asdict(level) for level in trained.levels]} if trained.levels else {}),
        "status": "finished" if trained.diverged is None else "diverged",
        "diverged_at": trained.diverged,
        "digests": dict(digests),
        "seconds": dict(trained.seconds),
    }
