"""What a sweep will cost, from a few timed steps of each kind of run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from dominoes.data import dealing, measuring
from dominoes.data.dealing import Deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import for_training
from dominoes.runs import checkpoints
from dominoes.runs.plan import Plan, Planned
from dominoes.spec import SIDES, RunSpec, TrainSpec
from dominoes.training.device import device_of
from dominoes.training.loop import Trained, schedule, train

# Steps that are timed; as many before them warm up.
_STEPS = 12
# What is asked of the runs that are timed; runs that differ in nothing else take as long a step.
_ONE: dict[str, Any] = {
    **{"epochs": 1, "measurements": 1, "checkpoints": "none", "stop_loss": None, "measure_at_loss": (), "level_kind": "mix"},
    **{name: TrainSpec.model_fields[name].default for name in ("lr", "momentum", "weight_decay", "probe_seed")},
}


@dataclass(frozen=True)
class Cost:
    """Of a whole sweep: seconds of one worker, and bytes on disk."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class _Rates:
    step: float
    measurement: float
    bytes: float
    network: int


def estimate_cost(plan: Plan, *, device: str = "auto", data: Path | None = None, download: bool = False) -> Cost:
    """Time a few steps and one measurement for every combination of network, batch, probe and sources, and add up.

    Runs are reckoned one at a time: what a GPU gains by several at once (`packing`) is left out.

    Nothing is written. On a CPU the time that this process waits for others is left out; sharing a core with them still costs some.
    """
    rates: dict[tuple[object, ...], _Rates] = {}
    seconds = total = 0.0
    for run in plan.runs:
        how = run.spec.train
        one = how.model_copy(update=_ONE | {"probe_train": measuring.train_sample(how, run.n)})
        key = (one, measuring.probe_size(how, run.spec.dataset.n), run.spec.dataset.top, run.spec.dataset.bottom)
        if key not in rates:
            rates[key] = _rates(run, one, device, data, download)
        steps = ceil(run.n / how.batch) * how.epochs
        grid = set(schedule(steps, measuring.grid_points(how, run.n)))
        measured = len(grid | how.checkpoint_steps) + len(how.measure_at_loss)
        kept = {"none": 0, "last": 1, "measurements": measured}.get(how.checkpoints, len(how.checkpoint_steps))
        seconds += rates[key].step * steps + rates[key].measurement * measured
        total += rates[key].bytes * measured + rates[key].network * kept + 3000
    return Cost(seconds, int(total))


def _rates(run: Planned, how: TrainSpec, device: str, data: Path | None, download: bool) -> _Rates:
    spec = run.spec
    dealt = dealing.deal_spec(spec.dataset, data=data, download=download)
    tests = for_training(spec.dataset, spec.train, data=data, download=download)
    few = replace(dealt, deal=_first(dealt.deal, _STEPS * spec.train.batch))
    hardware = device_of(device)

    def timed() -> tuple[Trained, float]:
        """A run, and the share of its time in which it was not kept waiting by other processes."""
        wall, busy = perf_counter(), process_time()
        trained = train(RunSpec(dataset=spec.dataset, train=how), Dominoes.of(few), tests, device=hardware)
        return trained, min((process_time() - busy) / (perf_counter() - wall), 1.0) if hardware.type == "cpu" else 1.0

    timed()
    trained, share = timed()
    measured = len(schedule(trained.steps, 1))
    text = sum(len(table.to_csv(index=False)) for table in (trained.curves, trained.classes, trained.joint, trained.measures))
    return _Rates(
        share * trained.seconds["training"] / trained.steps,
        share * trained.seconds["measuring"] / measured,
        text / measured,
        checkpoints.size(trained.network),
    )


def _first(table: Deal, count: int) -> Deal:
    return Deal(
        table.label[:count], {side: table.index[side][:count] for side in SIDES}, {side: table.shown[side][:count] for side in SIDES}
    )
