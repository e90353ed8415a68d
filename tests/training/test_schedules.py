"""Learning-rate schedules, against their formulas and against PyTorch's schedulers."""

import math

import numpy as np
import pytest
import torch

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.spec import RunSpec, TrainSpec, stream
from dominoes.training.loop import train
from dominoes.training.models import MODELS
from dominoes.training.schedules import factors


def rates(count: int, **fields: object) -> list[float]:
    """The factors of all steps."""
    factor = factors(TrainSpec(**fields), count)  # type: ignore[arg-type]
    return [factor(step) for step in range(count)]


def test_cosine_is_pytorchs() -> None:
    """As `CosineAnnealingLR` gives it, down to a floor."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=0.1)
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(50, schedule="cosine", schedule_args={"floor": 0.1}) == pytest.approx(expected)


def test_triangular_goes_up_and_down_in_straight_lines() -> None:
    """0 at the start, 1 at the peak, towards 0 at the end; as np.interp."""
    for peak in (0.2, 0.5):
        expected = np.interp(np.arange(40), [0, 40 * peak, 40], [0, 1, 0])
        assert rates(40, schedule="triangular", schedule_args={"peak": peak}) == pytest.approx(expected)


def test_steps_fall_at_shares() -> None:
    """A tenth after half, a hundredth after three quarters; or as asked."""
    assert rates(8, schedule="steps") == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    assert rates(4, schedule="steps", schedule_args={"at": [0.25], "factor": 0.5}) == pytest.approx([1, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "triangular", "steps"])
def test_every_schedule_warms_up(schedule: str) -> None:
    """Linear in the first steps, never 0, then the schedule of the steps that are left."""
    found = rates(30, schedule=schedule, warmup=10)
    assert found[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert found[10:] == pytest.approx(rates(20, schedule=schedule))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_rate_is_the_schedules_at_each_step(small: Dealt, optimizer: str) -> None:
    """Training equals a plain loop with PyTorch's optimiser and scheduler, bit for bit, whichever form the optimiser has."""
    how = TrainSpec(
        model="mlp", epochs=1, batch=32, measurements=2, probe=40, optimizer=optimizer, lr=0.01, schedule="cosine", warmup=3, clip=0.5
    )
    found = train(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), probes(small.spec, 40, 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(0, "init"))
        network = MODELS["mlp"].build(10)
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    more = {"momentum": 0.9} if optimizer == "sgd" else {"weight_decay": 0.0}
    chosen = make(network.parameters(), lr=0.01, **more)

    def factor(step: int) -> float:
        return (step + 1) / 4 if step < 3 else (1 + math.cos(math.pi * (step - 3) / 7)) / 2

    order = torch.randperm(300, generator=torch.Generator().manual_seed(stream(0, "order")))
    pictures = Dominoes.of(small).data.float().sub(255 * 0.3).div(255 * 0.3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for step, rows in enumerate(order.split(32)):
        chosen.param_groups[0]["lr"] = 0.01 * factor(step)
        chosen.zero_grad()
        torch.nn.functional.cross_entropy(network(pictures[rows]), torch.from_numpy(small.deal.label)[rows]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        chosen.step()
    torch.set_num_threads(before)
    for mine, plain in zip(found.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, plain)
