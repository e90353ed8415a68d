"""Where runs are executed: processes of this machine. (`cluster` has the other engine, ray.)"""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dominoes import state
from dominoes.jobs import BY_ANOTHER, ENVIRONMENT, Report, Setting, composed, failed
from dominoes.spec import RunSpec

Engine = Callable[[Iterator[RunSpec]], Iterator[Report]]

# A run that ends its process so often is at fault itself.
_ATTEMPTS = 2
_POLL_SECONDS = 0.5


def launch(runs: Iterable[RunSpec], engine: Engine, out: Path, *, keep_going: bool = False) -> Iterator[Report]:
    """Execute runs; yield a report of each as it ends.

    Runs that another launch is at are waited for, and taken over if that one dies.

    Args:
        runs: to execute, in this order.
        engine: takes specs when it can start one, gives reports as they come.
        out: results folder.
        keep_going: after a failure start further runs; else those at work end and no new one starts.
    """
    stopped = False
    elsewhere: list[RunSpec] = []
    todo = list(runs)
    watch = state.Watch()

    def feed(specs: list[RunSpec]) -> Iterator[RunSpec]:
        for spec in specs:
            if stopped:
                return
            yield spec

    while todo:
        known = {spec.id: spec for spec in todo}
        for report in engine(feed(todo)):
            if report.state == "running":
                elsewhere.append(known[report.run])
                continue
            stopped = stopped or (report.state == "failed" and not keep_going)
            yield report
        todo = []
        while elsewhere and not todo and not stopped:
            for spec in elsewhere:
                place = out / state.RUNS / spec.id
                if (place / state.DONE).exists():
                    yield Report(spec.id, "done", BY_ANOTHER)
                elif watch.holder(place) is None:
                    todo.append(spec)
                else:
                    continue
                elsewhere.remove(spec)
                break
            else:
                time.sleep(_POLL_SECONDS)


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

    def __init__(self, setting: Setting, gpu: str | None, replies: queue.SimpleQueue[tuple[_Process, str | None]]):
        root = str(Path(__file__).parents[1])
        environment = os.environ | ENVIRONMENT
        # The workers' package is this one, wherever this process was started.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        self.gpu = gpu
        self.job: RunSpec | None = None
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "dominoes.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        threading.Thread(target=self._listen, args=(replies,), daemon=True).start()
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

    def start(self, spec: RunSpec) -> None:
        self.job = spec
        self._send(spec.canonical())

    def end(self) -> str:
        """Stop the process and say how it ended."""
        self._popen.kill()
        code = self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def local(specs: Iterator[RunSpec], setting: Setting, *, workers: int) -> Iterator[Report]:
    """Execute runs in processes of one thread each; yield a report of each as it ends.

    A process that dies costs the run that it was at, which is tried once more in a new one.

    Args:
        specs: taken one by one, when a worker is free.
        setting: of the workers.
        workers: number of processes; with several GPUs they take turns in using them.
    """
    source = composed(specs, setting)
    replies: queue.SimpleQueue[tuple[_Process, str | None]] = queue.SimpleQueue()
    count = gpus(setting.device)
    visible = (
        os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if os.environ.get("CUDA_VISIBLE_DEVICES") else list(map(str, range(count)))
    )
    deaths: dict[str, int] = {}
    processes: list[_Process] = []
    try:
        for number, spec in enumerate(itertools.islice(source, workers)):
            process = _Process(setting, visible[number % count] if count else None, replies)
            processes.append(process)
            process.start(spec)
        while any(process.job for process in processes):
            process, line = replies.get()
            job = process.job
            if job is None:
                continue
            if line is not None:
                process.job = None
                report = Report.loads(line)
                if report.state == "failed":
                    # Whether another run starts depends on what the caller makes of this.
                    yield report
                following = next(source, None)
                if following is not None:
                    process.start(following)
                if report.state != "failed":
                    yield report
                continue
            how = process.end()
            processes.remove(process)
            deaths[job.id] = deaths.get(job.id, 0) + 1
            again: RunSpec | None = job
            if deaths[job.id] >= _ATTEMPTS:
                sentence = f"the worker process ended ({how}) at this run, {_ATTEMPTS} times; signal 9 often means too little memory"
                yield failed(job, setting.out, sentence, "")
                again = next(source, None)
            if again is not None:
                processes.append(_Process(setting, process.gpu, replies))
                processes[-1].start(again)
    finally:
        for process in processes:
            process.end()
