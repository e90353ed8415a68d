"""What a worker process does: run specs (or tasks) in, their folders out, one after the other or several at once.

Started as `python -m dominoes.runs.engines.worker` it reads one JSON object a line: first the setting, then specs, of which it may get
more while it is at work. It answers each spec with a report, and ends at once when its input does, for then nobody waits for its runs any
more.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path

import torch

from dominoes import files, registry
from dominoes.data import dealing, folder, probe_sets
from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import Wanted
from dominoes.errors import DatasetError, OutputError, RunError
from dominoes.runs import claims, execution, state
from dominoes.runs.code import used
from dominoes.runs.engines.protocol import BY_ANOTHER, MOST_TOGETHER, Job, RunReport, Task, WorkerSetting, dataset_folder, failed
from dominoes.runs.writing import Writer
from dominoes.spec import DominoSpec, RunSpec, recorded
from dominoes.training import loop, trial
from dominoes.training.device import Device, broken, device_of
from dominoes.training.loop import Callback, callback
from dominoes.training.stacked import Stacks
from dominoes.training.steps import Recordings
from dominoes.training.turns import CardMemory, Pack


def check_runs(specs: Iterable[RunSpec], setting: WorkerSetting) -> None:
    """Make the probes of every run, and look for the device, so that what no run could do is said before the first one starts.

    Raises SpecError, RegistryError, SourceError, DeviceError.
    """
    device_of(setting.device)
    for look, wanted, how in {(spec.dataset.look, Wanted.of(spec.dataset, spec.train), spec.train) for spec in specs}:
        tests = _probes(look, wanted, setting)
        trial.attempt_step(RunSpec(dataset=look, train=how), tests["both"])
    for name in setting.callbacks:
        callback(name)


def together(setting: WorkerSetting) -> Pack[Job, RunReport]:
    """An empty pack for the runs of a worker."""
    cuda = setting.device in ("auto", "cuda") and torch.cuda.is_available()
    limit = setting.pack or (MOST_TOGETHER if cuda else 1)
    memory = CardMemory(torch.device("cuda")) if cuda and setting.pack is None else None
    recordings = Recordings()
    train = Stacks().turns if setting.pack_mode == "stacked" else partial(loop.train_by_turns, recordings=recordings)
    writer = Writer() if limit > 1 else None

    def start(job: Job, count: Callable[[], int]) -> Generator[None, None, RunReport]:
        return _turns(job, setting, count, train, writer) if isinstance(job, RunSpec) else _task(job, setting)

    return Pack(start, limit, memory, recordings.forget)


def read_job(line: str, setting: WorkerSetting) -> Job:
    """The job of a line of text."""
    return Task.loads(line) if setting.work else recorded(line)


def reports(pack: Pack[Job, RunReport], setting: WorkerSetting) -> Iterator[RunReport]:
    """Give every run of the pack a turn; yield the reports of those that end.

    Where the device broke down all are reported lost, each with the reason; this process can do nothing more for them, and ends.
    """
    for ended in pack.turn():
        if ended.result is not None:
            yield ended.result
            continue
        assert ended.error is not None
        reason = execution.failure(ended.error)
        if not broken(ended.error):
            yield failed(ended.key, setting, reason, ended.trace, ended.seconds)
            continue
        for spec in (ended.key, *pack.keys):
            yield RunReport(spec.id, "lost", reason, ended.trace, ended.seconds)


def attempt(specs: Iterable[Job], setting: WorkerSetting) -> Iterator[RunReport]:
    """Execute runs in one pack; yield a report of each as it ends, whatever goes wrong. After one that is lost all are (`reports`)."""
    pack = together(setting)
    for spec in specs:
        pack.add(spec)
    lost = False
    while len(pack) and not lost:
        for report in reports(pack, setting):
            lost = lost or report.state == "lost"
            yield report


def _turns(
    spec: RunSpec, setting: WorkerSetting, packing: Callable[[], int], train: execution.Train, writer: Writer | None
) -> Generator[None, None, RunReport]:
    """One run by turns; whatever goes wrong is in the report, and in the run's folder if that can be written.

    Raises what is wrong with the device.
    """
    began = time.perf_counter()
    try:
        dealt = _dealt(spec.dataset, setting)
        tests = _probes(spec.dataset.look, Wanted.of(spec.dataset, spec.train), setting)
        callbacks = _brought(spec, setting)
        hardware = Device(device_of(setting.device), spec.train.precision, deterministic=setting.deterministic)
    except Exception as error:
        if execution.of_device(error):
            raise
        return failed(spec, setting, execution.failure(error), traceback.format_exc(), time.perf_counter() - began)
    try:
        outcome = yield from execution.execute_by_turns(
            spec, dealt, tests, setting.out, hardware, packing=packing, train=train, writer=writer, repair=True, callbacks=callbacks
        )
    except claims.Busy as error:
        return RunReport(spec.id, "running", str(error), seconds=time.perf_counter() - began)
    except Exception as error:
        if execution.of_device(error):
            raise
        return RunReport(spec.id, "failed", execution.failure(error), traceback.format_exc(), time.perf_counter() - began)
    result = "diverged" if outcome.environment["status"] == "diverged" else "done"
    return RunReport(spec.id, result, "" if outcome.fresh else BY_ANOTHER, seconds=time.perf_counter() - began)


def _task(task: Job, setting: WorkerSetting) -> Generator[None, None, RunReport]:
    """A task in one turn; whatever goes wrong is in the report, and in the task's folder if that can be written.

    Raises what is wrong with the device.
    """
    assert isinstance(task, Task)
    yield from ()
    began = time.perf_counter()

    def report(result: str, reason: str = "", trace: str = "") -> RunReport:
        return RunReport(task.id, result, reason, trace, time.perf_counter() - began)

    folder = setting.out / setting.shelf / task.id
    if (folder / state.DONE).exists():
        return report("done", BY_ANOTHER)
    try:
        with claims.claimed(folder) as claim:
            if (folder / state.DONE).exists():
                # Another process was at it until just now.
                return report("done", BY_ANOTHER)
            (folder / claims.FAILED).unlink(missing_ok=True)
            try:
                _work(setting)(task.arguments, folder)
                claim.check(now=True)
                files.write(folder / state.DONE, "")
            except Exception as error:
                if execution.of_device(error):
                    raise
                trace = traceback.format_exc()
                claim.fail(execution.failure(error), trace)
                return report("failed", execution.failure(error), trace)
    except claims.Busy as error:
        return report("running", str(error))
    except OutputError as error:
        return report("failed", execution.failure(error), traceback.format_exc())
    return report("done")


def _work(setting: WorkerSetting) -> Callable[[str, Path], None]:
    if setting.modules is not None:
        registry.importable(setting.modules)
    module, _, attribute = setting.work.partition(":")
    found: Callable[[str, Path], None] = getattr(import_module(module), attribute)
    return found


def _brought(spec: RunSpec, setting: WorkerSetting) -> list[Callback]:
    """The callbacks of a run. Raises RunError if the run's code from outside is another here than where the sweep was started."""
    if setting.modules is not None:
        registry.importable(setting.modules)
    known = dict(setting.code)
    for each in used(spec):
        if each.sha256 != known.get(each.ref, each.sha256):
            raise RunError(
                f"the code of {each.ref} is another on this machine (SHA-256 {each.sha256[:12]}, not {known[each.ref][:12]}); bring both "
                "to one version"
            )
    return [callback(name) for name in setting.callbacks]


# As many as a pack may hold.
@lru_cache(maxsize=MOST_TOGETHER)
def _dealt(spec: DominoSpec, setting: WorkerSetting) -> Dealt:
    try:
        return folder.read_dataset(dataset_folder(spec, setting.out), data=setting.data, download=setting.download, trust=True)
    except DatasetError:
        # Not composed beforehand (no shared file system), or another launch is replacing it: the same spec deals the same rows.
        return dealing.deal_spec(spec, data=setting.data, download=setting.download)


@lru_cache(maxsize=4)
def _probes(look: DominoSpec, wanted: Wanted, setting: WorkerSetting) -> Mapping[str, Dominoes]:
    """Trainings that differ in other things share them."""
    return probe_sets.probes(look, **asdict(wanted), data=setting.data, download=setting.download)


def serve() -> None:
    """Answer specs from standard input until it ends."""
    # Ctrl-C in a terminal reaches every process; the one that commands the sweep decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever a library prints must not be taken for a reply.
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    setting = WorkerSetting.loads(lines.get())
    pack = together(setting)
    lost = False
    while not lost:
        # It waits for work only where there is none.
        while not len(pack) or not lines.empty():
            pack.add(read_job(lines.get(), setting))
        for report in reports(pack, setting):
            replies.write(report.dumps() + "\n")
            replies.flush()
            lost = lost or report.state == "lost"
    # At once: to clear up on a device that answers nothing can take for ever.
    os._exit(1)


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    serve()
