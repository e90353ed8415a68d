"""The engine for more than one machine: ray. The package `ray` is loaded only when a sweep runs on it."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from dominoes import files
from dominoes.errors import DominoesError, RunError
from dominoes.runs import claims, state
from dominoes.runs.engines.protocol import ENVIRONMENT, MOST_TOGETHER, Job, RunReport, WorkerSetting, composed, failed

# How often ray starts a run again whose process or machine died.
_RETRIES = 3
_WAIT_SECONDS = 2.0
Folder = dict[str, bytes]


def on_ray(
    specs: Iterator[Job], *, setting: WorkerSetting, workers: int | None = None, address: str | None = None, collect: bool = False
) -> Iterator[RunReport]:
    """Execute runs as ray tasks, one CPU core or one GPU each, on a GPU several runs a task; yield a report of each as it ends.

    Runs whose process or machine dies are started again by ray. They find their own folders, so a shared file system is expected unless
    `collect`.

    Args:
        specs: taken when there is room for one more.
        setting: of the workers.
        workers: most runs at once; None: as many as the cluster has room for.
        address: of a running cluster; None: start one of this machine, with `workers` cores.
        collect: runs happen in temporary folders of their machines and come back as bytes.

    Raises RunError if ray is not installed or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise RunError("--engine ray needs ray, which is not installed: pip install 'dominoes[ray]'") from error
    _join(ray, workers, address, setting.modules)
    try:
        yield from _execute(ray, specs if collect else composed(specs, setting), setting, workers, collect)
    finally:
        ray.shutdown()


def _join(ray: Any, workers: int | None, address: str | None, modules: Path | None) -> None:
    root = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"), str(modules or ""))))
    options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
    if not address:
        # An address in the environment would win over the wish for a cluster of one's own.
        options["address"] = "local"
    try:
        ray.init(runtime_env={"env_vars": ENVIRONMENT | {"PYTHONPATH": path}}, log_to_driver=False, logging_level="error", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RunError(f"the ray cluster at {address or 'this machine'} cannot be used ({' '.join(str(error).split())[:200]})") from error


def _execute(ray: Any, specs: Iterator[Job], setting: WorkerSetting, workers: int | None, collect: bool) -> Iterator[RunReport]:
    graphics = setting.device in ("auto", "cuda") and ray.cluster_resources().get("GPU", 0) > 0
    unit = "GPU" if graphics else "CPU"
    where = replace(setting, device=setting.device if setting.device != "auto" else "cuda" if graphics else "cpu")
    most = setting.pack or (MOST_TOGETHER if graphics else 1)
    # max_calls=0: a process serves many runs, also on GPUs, and imports torch once.
    remote = ray.remote(num_cpus=0 if graphics else 1, num_gpus=int(graphics), max_retries=_RETRIES, max_calls=0, num_returns="streaming")
    task = remote(_task)
    at_work: dict[Any, dict[str, Job]] = {}
    # Runs of packs that ray gave up: each by itself, so that the one at fault is found.
    suspects: deque[Job] = deque()
    with ExitStack() as everything:
        held: dict[str, tuple[ExitStack, claims.Claim]] = {}
        while True:
            room = min(workers or 10**9, max(1, int(ray.cluster_resources().get(unit, 0)))) - len(at_work)
            packs = [[suspects.popleft()] for _ in range(min(room, len(suspects)))]
            fresh: list[list[Job]] = [[] for _ in range(room - len(packs))]
            # One after the other, so that a few runs are spread over all places.
            for pack in fresh * most:
                if (spec := next(specs, None)) is None:
                    break
                if collect:
                    try:
                        hold = everything.enter_context(ExitStack())
                        held[spec.id] = hold, hold.enter_context(claims.claimed(setting.out / state.RUNS / spec.id))
                    except claims.Busy as error:
                        yield RunReport(spec.id, "running", str(error))
                        continue
                pack.append(spec)
            for pack in packs + fresh:
                if pack:
                    at_work[task.remote([spec.canonical() for spec in pack], where.dumps(), collect)] = {spec.id: spec for spec in pack}
            if not at_work:
                return
            ready, _ = ray.wait(list(at_work), num_returns=1, timeout=_WAIT_SECONDS)
            for stream in ready:
                left = at_work[stream]
                report, content = _next(ray, stream)
                if report is None or (report.state == "lost" and len(left) > 1):
                    # What a pack that ray began again did not tell, or one that it gave up.
                    suspects.extend(at_work.pop(stream).values())
                    continue
                given_up = report.state == "lost"
                if given_up:
                    report = replace(report, run=next(iter(left), ""), state="failed")
                # A pack that ray began again may tell of a run twice.
                if (spec := left.pop(report.run, None)) is None:
                    continue
                if collect:
                    hold, claim = held.pop(spec.id)
                    report = _install(claim, report, content)
                    hold.close()
                elif given_up:
                    report = failed(spec, setting, report.reason, report.trace)
                yield report


def _task(specs: list[str], setting: str, collect: bool) -> Iterator[tuple[str, Folder]]:
    """What a ray process does with some runs: of each the report, and the folder's files if they are to be brought back."""
    from dominoes.runs.engines import worker

    where = WorkerSetting.loads(setting)
    runs = [worker.read_job(spec, where) for spec in specs]
    with tempfile.TemporaryDirectory(prefix="dominoes-") as folder:
        for report in worker.attempt(runs, replace(where, out=Path(folder)) if collect else where):
            if report.state == "lost":
                # A process whose device broke down is of no use to ray; it begins the pack again in another.
                os._exit(1)
            run = Path(folder) / state.RUNS / report.run
            yield report.dumps(), {file.relative_to(run).as_posix(): file.read_bytes() for file in run.rglob("*") if file.is_file()}


def _next(ray: Any, stream: Any) -> tuple[RunReport | None, Folder]:
    """The next report of a pack; none if all were given; lost, of no run, if ray gave the pack up."""
    try:
        line, content = ray.get(next(stream))
        return RunReport.loads(line), content
    except StopIteration:
        return None, {}
    except ray.exceptions.RayError as error:
        reason = f"ray gave the run up after {_RETRIES} retries: {' '.join(str(error).split())[:300]}"
        return RunReport("", "lost", reason, traceback.format_exc()), {}


def _install(claim: claims.Claim, report: RunReport, content: Folder) -> RunReport:
    """Write a run folder that came back as bytes, DONE last."""
    folder = claim.path.parent
    try:
        if report.state == "failed":
            claim.fail(report.reason, report.trace)
            return report
        for mark in (state.DONE, claims.FAILED):
            (folder / mark).unlink(missing_ok=True)
        for name in sorted(content, key=lambda name: (name == state.DONE, name)):
            files.write(folder / name, content[name])
    except DominoesError as error:
        claim.fail(str(error), traceback.format_exc())
        return replace(report, state="failed", reason=str(error))
    return report
