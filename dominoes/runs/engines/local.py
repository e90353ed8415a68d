"""Where runs are executed: processes of this machine. (`cluster` has the other engine, ray.)"""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from dominoes.runs.engines.protocol import ENVIRONMENT, MOST_TOGETHER, Job, RunReport, WorkerSetting, composed, failed

# A run that ends its process so often is at fault itself.
_ATTEMPTS = 2
# So long the pipe of a process that has ended is listened to, should a process of its own still hold it.
_LISTENS_SECONDS = 10.0


def workers_here(device: str) -> int:
    """As many workers as this machine has room for: one for each GPU, else one for each CPU core that this process may use."""
    return gpus(device) or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def gpus(device: str) -> int:
    """How many GPUs a sweep on this device uses."""
    if device not in ("auto", "cuda"):
        return 0
    import torch

    return int(torch.cuda.device_count())


class _Process:
    """A worker process and the thread that waits for its replies."""

    def __init__(self, setting: WorkerSetting, gpu: str | None, replies: queue.SimpleQueue[tuple[_Process, str | None]]):
        root = str(Path(__file__).parents[3])
        environment = os.environ | ENVIRONMENT
        # The workers' package is this one, wherever this process was started.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        self.gpu = gpu
        self.jobs: dict[str, Job] = {}
        # Of runs that it said are lost: why.
        self.lost: dict[str, RunReport] = {}
        # Whether it has a run that is to be tried by itself.
        self.alone = False
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "dominoes.runs.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._listener = threading.Thread(target=self._listen, args=(replies,), daemon=True)
        self._listener.start()
        self._send(setting.dumps())

    def _listen(self, replies: queue.SimpleQueue[tuple[_Process, str | None]]) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            replies.put((self, line))
        replies.put((self, None))

    def _send(self, line: str) -> None:
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(line + "\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            # It is dead; its listener says so.
            return

    def start(self, spec: Job, *, alone: bool = False) -> None:
        self.jobs[spec.id] = spec
        self.alone = alone
        self._send(spec.canonical())

    def end(self) -> str:
        """Stop the process and say how it ended."""
        self._popen.kill()
        code = self._popen.wait()
        # It comes to the end of what the process said. A pipe that is closed while it listens is a traceback, and a thread that writes one
        # while the interpreter ends may abort it.
        self._listener.join(timeout=_LISTENS_SECONDS)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def local(specs: Iterator[Job], setting: WorkerSetting, *, workers: int) -> Iterator[RunReport]:
    """Execute runs in processes of one thread each; yield a report of each as it ends.

    A process that dies costs the runs that it was at. Each is tried once more, by itself, so that if a process dies again it is clear at
    which run.

    Args:
        specs: taken one by one, when a worker has room.
        setting: of the workers; they have `setting.pack` runs at a time, or as many as a GPU has memory for.
        workers: number of processes; with several GPUs they take turns in using them.
    """
    source = composed(specs, setting)
    replies: queue.SimpleQueue[tuple[_Process, str | None]] = queue.SimpleQueue()
    count = gpus(setting.device)
    room = setting.pack or (MOST_TOGETHER if count else 1)
    visible = (
        os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if os.environ.get("CUDA_VISIBLE_DEVICES") else list(map(str, range(count)))
    )
    deaths: dict[str, int] = {}
    suspects: deque[Job] = deque()
    processes: list[_Process] = []

    def take(process: _Process) -> bool:
        """Give a process one more run, if there is one for it."""
        if process.alone or len(process.jobs) >= room or (suspects and process.jobs):
            return False
        alone = bool(suspects)
        spec = suspects.popleft() if suspects else next(source, None)
        if spec is not None:
            process.start(spec, alone=alone)
        return spec is not None

    def add(spec: Job, gpu: str | None, *, alone: bool = False) -> None:
        processes.append(_Process(setting, gpu, replies))
        processes[-1].start(spec, alone=alone)

    try:
        for number, spec in enumerate(itertools.islice(source, workers)):
            add(spec, visible[number % count] if count else None)
        # One after the other, so that a few runs are spread over all workers.
        for process in processes * (room - 1):
            take(process)
        while any(process.jobs for process in processes):
            process, line = replies.get()
            if process not in processes:
                continue
            if line is not None:
                report = RunReport.loads(line)
                if report.state == "lost":
                    process.lost[report.run] = report
                    continue
                del process.jobs[report.run]
                process.alone = False
                if report.state == "failed":
                    # Whether another run starts depends on what the caller makes of this.
                    yield report
                while take(process):
                    continue
                if report.state != "failed":
                    yield report
                continue
            how = process.end()
            processes.remove(process)
            for spec in process.jobs.values():
                deaths[spec.id] = deaths.get(spec.id, 0) + 1
                if deaths[spec.id] < _ATTEMPTS:
                    suspects.append(spec)
                    continue
                sentence = f"the worker process ended ({how}) at this run, {_ATTEMPTS} times; signal 9 often means too little memory"
                lost = process.lost.get(spec.id, RunReport(spec.id, "lost", sentence))
                yield failed(spec, setting, lost.reason, lost.trace)
            alone = bool(suspects)
            again = suspects.popleft() if suspects else next(source, None)
            if again is not None:
                add(again, process.gpu, alone=alone)
                while take(processes[-1]):
                    continue
    finally:
        for process in processes:
            process.end()
