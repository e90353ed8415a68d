"""What a worker process does: run specs in, run folders out, one after the other.

Started as `python -m dominoes.worker` it reads one JSON object a line: first the setting, then specs. It answers each spec with a
report, and ends at once when its input does, for then nobody waits for its runs any more.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from dominoes import dataset, deal, folder, run, state
from dominoes.dataset import Dominoes
from dominoes.deal import Dealt
from dominoes.errors import DatasetError
from dominoes.jobs import BY_ANOTHER, Report, Setting, dataset_folder, failed
from dominoes.spec import DominoSpec, RunSpec
from dominoes.training import device_of


def check(specs: Iterable[RunSpec], setting: Setting) -> None:
    """Make the probes of every run, and look for the device, so that what no run could do is said before the first one starts.

    Raises SpecError, SourceError, DeviceError.
    """
    device_of(setting.device)
    for look, how in {(spec.dataset.look, spec.train) for spec in specs}:
        _probes(look, how.probe, how.probe_seed, setting)


def attempt(spec: RunSpec, setting: Setting) -> Report:
    """Execute a run; whatever goes wrong is in the report, and in the run's folder if that can be written."""
    began = time.perf_counter()
    try:
        dealt = _dealt(spec.dataset, setting)
        tests = _probes(spec.dataset.look, spec.train.probe, spec.train.probe_seed, setting)
    except Exception as error:
        return failed(spec, setting.out, run.failure(error), traceback.format_exc(), time.perf_counter() - began)
    try:
        outcome = run.execute(spec, dealt, tests, setting.out, device=device_of(setting.device), repair=True)
    except state.Busy as error:
        return Report(spec.id, "running", str(error), seconds=time.perf_counter() - began)
    except Exception as error:
        return Report(spec.id, "failed", run.failure(error), traceback.format_exc(), time.perf_counter() - began)
    result = "diverged" if outcome.environment["status"] == "diverged" else "done"
    return Report(spec.id, result, "" if outcome.fresh else BY_ANOTHER, seconds=time.perf_counter() - began)


@lru_cache(maxsize=2)
def _dealt(spec: DominoSpec, setting: Setting) -> Dealt:
    try:
        return folder.read(dataset_folder(spec, setting.out), data=setting.data, download=setting.download)
    except DatasetError:
        # Not composed beforehand (no shared file system), or another launch is replacing it: the same spec deals the same rows.
        return deal.make(spec, data=setting.data, download=setting.download)


@lru_cache(maxsize=4)
def _probes(look: DominoSpec, n: int, seed: int, setting: Setting) -> Mapping[str, Dominoes]:
    return dataset.probes(look, n, seed, data=setting.data, download=setting.download)


def serve() -> None:
    """Answer specs from standard input until it ends."""
    # Ctrl-C in a terminal reaches every process; the one that commands the sweep decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever a library prints must not be taken for a reply.
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    setting = Setting.loads(lines.get())
    while True:
        values: dict[str, Any] = json.loads(lines.get())
        report = attempt(RunSpec.model_validate(values), setting)
        replies.write(report.dumps() + "\n")
        replies.flush()


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    serve()
