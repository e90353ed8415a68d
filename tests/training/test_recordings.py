"""Recorded steps that a run leaves to the next of its shape: fewer recordings, and every run the numbers that it has alone."""

from collections.abc import Callable, Generator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mixed_runs import DATASET, of, tables

from dominoes.data import resident as residents
from dominoes.data.dealing import deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import Hung, Resident
from dominoes.runs.engines import worker
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.spec import RunSpec
from dominoes.training.device import Device
from dominoes.training.loop import Trained, finish, train, train_by_turns
from dominoes.training.steps import Recordings
from dominoes.training.turns import Pack


class Recorder(Device):
    """A device that records as CUDA does, as far as a CPU can: what is repeated is the very call, on the very tensors, of the recording."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.graphs, self.made = True, 0

    def recorded(self, call: Any) -> Any:
        """Count the recordings."""
        self.made += 1
        return lambda: call()


@lru_cache(maxsize=32)
def pieces(spec: RunSpec) -> tuple[RunSpec, Dominoes, Mapping[str, Dominoes]]:
    """What a run is made of."""
    return spec, Dominoes.of(deal_spec(spec.dataset)), probes(spec.dataset, spec.train.probe, 0)


def same(one: Trained, other: Trained) -> bool:
    """Weights, statistics and curves, bit for bit."""
    states = [each.network.state_dict().values() for each in (one, other)]
    pd.testing.assert_frame_equal(one.curves, other.curves, check_exact=True)
    pd.testing.assert_frame_equal(one.joint, other.joint)
    return all(torch.equal(mine, its) for mine, its in zip(*states, strict=True))


def dealt(seed: int, **fields: Any) -> RunSpec:
    """A run of one shape; every seed deals anew."""
    return of(seed, DATASET.model_copy(update={"seed": seed}), **({"batch": 14} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"optimizer": "adam", "lr": 0.003, "weight_decay": 0.01},
        {"model": "detector"},
        pytest.param({"model": "resnet8", "epochs": 1}, marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [Resident, Hung])
def test_the_next_run_replays_what_is_recorded(form: type[Resident], fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs one after the other, of other seeds, deals and prevalences: the first records eight steps, one, and its measurement; the
    others their measurement alone. Each is the run that it is by itself, and what it gave is not touched by those after it."""
    monkeypatch.setattr(residents, "resident", form)
    other = of(2, DATASET.model_copy(update={"prevalence": (0.5, 0.5)}), **({"batch": 14} | fields))
    runs = [pieces(spec) for spec in (dealt(0, **fields), dealt(1, **fields), other)]
    shared, made = Recordings(), []
    found = []
    for run in runs:
        hardware = Recorder()
        found.append(finish(train_by_turns(*run, hardware, recordings=shared)))
        made.append(hardware.made)
    assert made == [3, 1, 1]
    for run, mine in zip(runs, found, strict=True):
        assert same(mine, finish(train_by_turns(*run, Recorder())))
    monkeypatch.undo()
    if form is Resident and "model" not in fields:
        assert all(same(mine, train(*run)) for run, mine in zip(runs, found, strict=True))


def test_runs_at_once_have_recordings_of_their_own() -> None:
    """Two side by side record twice; a third and a fourth find both."""
    runs, shared = [pieces(dealt(seed)) for seed in range(4)], Recordings()
    found: dict[int, Trained] = {}
    hardware = [Recorder() for _ in runs]
    for pair in ((0, 1), (2, 3)):
        work = {number: train_by_turns(*runs[number], hardware[number], recordings=shared) for number in pair}
        while work:
            for number in list(work):
                try:
                    next(work[number])
                except StopIteration as end:
                    found[number] = end.value
                    del work[number]
    assert [each.made for each in hardware] == [3, 3, 1, 1]
    assert all(same(found[number], finish(train_by_turns(*run, Recorder()))) for number, run in enumerate(runs))


def test_another_shape_records_anew_and_frees_the_last() -> None:
    """Another learning rate, number of dominoes or order of halves is another shape; what was recorded before it is gone. (Of 110 dominoes
    no epoch has eight full batches of 14, so that only one step is recorded.)"""
    shared, made = Recordings(), []
    smaller = DATASET.model_copy(update={"n": 110})
    swapped = DATASET.model_copy(update={"swap": True})
    for spec in (dealt(0), dealt(1, lr=0.02), of(2, smaller, batch=14), of(3, swapped, batch=14), dealt(4), dealt(5)):
        hardware = Recorder()
        finish(train_by_turns(*pieces(spec), hardware, recordings=shared))
        made.append(hardware.made)
        assert len(shared._free) == 1
    assert made == [3, 3, 2, 3, 3, 1]


def test_a_run_that_diverged_or_was_closed_leaves_nothing_bad() -> None:
    """After NaN in every weight and momentum the next run is what it is alone; a run closed in the middle leaves nothing."""
    shared = Recordings()
    bad = finish(train_by_turns(*pieces(dealt(0, lr=1e30)), Recorder(), recordings=shared))
    assert bad.diverged is not None
    stage = shared._free[0]
    with torch.no_grad():
        for values in (*stage.network.parameters(), *(each for state in stage.descent.state.values() for each in state.values())):
            values.fill_(torch.nan)
    run = pieces(dealt(1, lr=1e30))
    assert same(finish(train_by_turns(*run, Recorder(), recordings=shared)), finish(train_by_turns(*run, Recorder())))
    work = train_by_turns(*run, Recorder(), recordings=shared)
    next(work)
    work.close()
    assert not shared._free


def test_a_pack_lets_go_of_recordings_where_memory_is_short() -> None:
    """Where a further job would have to wait for memory that ended jobs have left for others, these are told to let go of it first."""
    kept: list[int] = []

    class Card:
        def used(self) -> int:
            return 10 * len(pack._active) + sum(kept)

        def free(self) -> int:
            return 45 - self.used()

    def start(key: int, together: Callable[[], int]) -> Generator[None, None, int]:
        for _ in range(9):
            yield
        kept.append(10)
        return together()

    def ended(spare: Callable[[], None]) -> list[int | None]:
        nonlocal pack
        kept.clear()
        pack = Pack(start, 8, Card(), spare)
        pack._largest = 10
        for key in range(9):
            pack.add(key)
        found = []
        while len(pack):
            found += [each.result for each in pack.turn()]
        return found

    pack: Pack[int, int]
    assert ended(kept.clear) == [3] * 9
    assert set(ended(lambda: None)[3:]) == {1}


def test_a_worker_shares_them(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six runs, two at once: as many recordings as two runs make, and a measurement each of the others; every table has the bytes that it
    has alone."""
    made: list[Recorder] = []

    def device(*_: Any, **__: Any) -> Recorder:
        made.append(Recorder())
        return made[-1]

    monkeypatch.setattr(worker, "Device", device)
    specs = [dealt(seed) for seed in range(6)]
    for spec in specs:
        assert [each.state for each in worker.attempt([spec], WorkerSetting(tmp_path / "alone", "cpu", pack=1))] == ["done"]
    made.clear()
    reports = list(worker.attempt(specs, WorkerSetting(tmp_path / "packed", "cpu", pack=2)))
    assert [each.state for each in reports] == ["done"] * 6
    assert sum(each.made for each in made) == 2 * 3 + 4
    assert tables(tmp_path / "packed") == tables(tmp_path / "alone")
