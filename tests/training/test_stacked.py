"""Runs of one shape as one batched network, against the same runs by themselves."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mixed_runs import DATASET, OTHER, of

from dominoes.data.dealing import deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.runs import state
from dominoes.runs.engines import worker
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.spec import RunSpec
from dominoes.training import stacked
from dominoes.training.device import Device
from dominoes.training.loop import Trained, train
from dominoes.training.stacked import Stacks


def together(specs: list[RunSpec], stacks: Stacks) -> list[Trained]:
    """Take turns as a pack does, letting one more in at each."""
    found: dict[int, Trained] = {}
    waiting = dict(enumerate(specs))
    active: dict[int, Generator[None, None, Trained]] = {}
    while waiting or active:
        if waiting:
            number = min(waiting)
            spec = waiting.pop(number)
            tests = probes(spec.dataset, spec.train.probe, 0)
            active[number] = stacks.turns(spec, Dominoes.of(deal_spec(spec.dataset)), tests, Device(torch.device("cpu")))
        for number in list(active):
            try:
                next(active[number])
            except StopIteration as end:
                found[number] = end.value
                del active[number]
    return [found[number] for number in sorted(found)]


def alone(spec: RunSpec) -> Trained:
    """The run by itself."""
    return train(spec, Dominoes.of(deal_spec(spec.dataset)), probes(spec.dataset, spec.train.probe, 0))


@pytest.mark.parametrize(
    ("model", "how", "off"),
    [
        ("mlp", {"epochs": 10}, 1e-3),
        pytest.param(
            "mlp", {"epochs": 10, "optimizer": "adam", "lr": 0.001, "schedule": "cosine", "warmup": 5}, 1e-3, marks=pytest.mark.slow
        ),
        pytest.param("detector", {"epochs": 10}, 1e-3, marks=pytest.mark.slow),
        # Batch normalisation amplifies rounding at every step, of a run alone in another order of memory too: ten steps.
        pytest.param("resnet8", {"epochs": 2, "lr": 0.003}, 0.01, marks=pytest.mark.slow),
    ],
)
def test_a_stack_learns_what_each_run_learns_alone(model: str, how: dict[str, object], off: float) -> None:
    """Over 50 steps, short batches among them, losses on every kind and weights agree to 1e-3 of their size (with batch normalisation
    over 10 steps to 1e-2: after 50 single weights are 5e-2 apart); rows, steps and samples are the same. Deals and seeds differ, so that
    no two slices may be mixed up."""
    specs = [of(seed, DATASET.model_copy(update={"seed": seed}), model=model, **how) for seed in range(3)]
    for spec, found in zip(specs, together(specs, Stacks()), strict=True):
        expected = alone(spec)
        assert (found.steps, found.stacked, expected.stacked) == (5 * specs[0].train.epochs, 3, 0)
        keys = ["run", "seed", "step", "epoch", "samples", "split", "kind", "n"]
        pd.testing.assert_frame_equal(found.curves[keys], expected.curves[keys])
        np.testing.assert_allclose(found.curves["loss"], expected.curves["loss"], rtol=off, atol=1e-4)
        for name, value in found.network.state_dict().items():
            wanted = expected.network.state_dict()[name]
            assert (value - wanted).abs().max() <= off * max(1.0, float(wanted.abs().max())), name


def test_a_run_that_diverges_leaves_the_stack(tmp_path: Path) -> None:
    """Its neighbours end as they would, since nothing of it is in their numbers."""
    spec = of(0, epochs=4)
    broken = of(1, epochs=4)
    plain = stacked._Stack.measure

    def measure(self: stacked._Stack, member: stacked._Member) -> bool:
        if member is self._there[1] and self.step >= 5:
            with torch.no_grad():
                for values in member.network.parameters():
                    values.fill_(torch.nan)
        return plain(self, member)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacked._Stack, "measure", measure)
        good, bad = together([spec, broken], Stacks())
    assert bad.diverged is not None
    assert bad.steps < good.steps == 20
    np.testing.assert_allclose(good.curves["loss"], alone(spec).curves["loss"], rtol=1e-3, atol=1e-4)


def test_a_sweep_stacks_what_it_can(tmp_path: Path) -> None:
    """Runs of one shape are one network and say so; others, and those that cannot be stacked, are by themselves; checkpoints are kept,
    and all folders are whole."""
    same = [of(seed, checkpoints="last") for seed in range(3)]
    other = [of(3, OTHER), of(4, stop_loss=0.01), of(5, clip=1.0)]
    setting = WorkerSetting(tmp_path, "cpu", pack=6, pack_mode="stacked")
    assert WorkerSetting.loads(setting.dumps()) == setting
    reports = list(worker.attempt([*same, *other], setting))
    assert [report.state for report in reports] == ["done"] * 6, reports
    told = {spec.id: state.environment(tmp_path / "runs" / spec.id) for spec in [*same, *other]}
    assert [told[spec.id].get("stacked", 0) for spec in [*same, *other]] == [3, 3, 3, 1, 0, 0]
    for spec in same:
        assert state.is_whole(tmp_path / "runs" / spec.id)
        assert len(list((tmp_path / "runs" / spec.id / "checkpoints").iterdir())) == 1


def test_where_the_step_of_a_stack_fails_others_go_on_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run whose turn it was fails with the reason, and the others have the numbers that they have by themselves, to the bit."""
    calls: list[int] = []
    plain = stacked._Stack._take

    def take(self: stacked._Stack, rows: list[torch.Tensor]) -> None:
        calls.append(len(rows))
        if len(calls) == 4:
            raise ValueError("bad kernel")
        plain(self, rows)

    monkeypatch.setattr(stacked._Stack, "_take", take)
    specs = [of(seed) for seed in range(3)]
    reports = {report.run: report for report in worker.attempt(specs, WorkerSetting(tmp_path / "a", "cpu", pack=3, pack_mode="stacked"))}
    assert [reports[spec.id].state for spec in specs] == ["failed", "done", "done"]
    assert reports[specs[0].id].reason == "ValueError: bad kernel"
    list(worker.attempt(specs[1:], WorkerSetting(tmp_path / "b", "cpu")))
    for spec in specs[1:]:
        first, second = ((tmp_path / each / "runs" / spec.id / "curves.csv").read_bytes() for each in "ab")
        assert first == second
