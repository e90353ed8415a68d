"""Specs become finished run folders, one or a sweep, on any engine; all that lies in a results folder."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.runs.engines.protocol import Engine, RunReport, WorkerSetting, launch
    from dominoes.runs.execution import Outcome, execute
    from dominoes.runs.parameters import read_runs
    from dominoes.runs.plan import Plan
    from dominoes.runs.sweeping import prepare_sweep

__all__ = ["Engine", "Outcome", "Plan", "RunReport", "WorkerSetting", "execute", "launch", "prepare_sweep", "read_runs"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Engine": "runs.engines.protocol",
        "Outcome": "runs.execution",
        "Plan": "runs.plan",
        "RunReport": "runs.engines.protocol",
        "WorkerSetting": "runs.engines.protocol",
        "execute": "runs.execution",
        "launch": "runs.engines.protocol",
        "prepare_sweep": "runs.sweeping",
        "read_runs": "runs.parameters",
    },
)
