"""Where runs are executed: this process, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dominoes.runs import claims
from dominoes.runs.engines.protocol import BY_ANOTHER, RunReport
from dominoes.runs.execution import Outcome
from dominoes.spec import RunSpec


def here(specs: Iterator[RunSpec], execute: Callable[[RunSpec], Outcome]) -> Iterator[RunReport]:
    """Execute runs in this process; yield a report of each as it ends. What `execute` raises passes through, but for Busy."""
    for spec in specs:
        began = time.perf_counter()
        try:
            outcome = execute(spec)
        except claims.Busy as error:
            yield RunReport(spec.id, "running", str(error), seconds=time.perf_counter() - began)
            continue
        result = "diverged" if outcome.environment["status"] == "diverged" else "done"
        yield RunReport(spec.id, result, "" if outcome.fresh else BY_ANOTHER, seconds=time.perf_counter() - began)
