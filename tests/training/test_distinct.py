"""In training the blank halves of a batch are computed once: the same steps as from whole dominoes but for rounding."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dominoes.data.dealing import Dealt, deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import Hung, Resident
from dominoes.errors import SpecError
from dominoes.spec import DominoSpec, Precision, RunSpec, TrainSpec
from dominoes.training import halves, loop, models
from dominoes.training.device import Device
from dominoes.training.halves import LOWER, UPPER, Distinct
from dominoes.training.models import MODELS, Network, chosen, initial
from dominoes.training.optimizers import make_optimizer
from dominoes.training.steps import stepper, takes_halves

CPU = torch.device("cpu")
DISTINCT = [name for name, record in MODELS.items() if record.distinct]


@pytest.mark.parametrize("form", [Resident, Hung])
@pytest.mark.parametrize("swap", [False, True])
def test_each_shown_half_is_there_once_and_one_blank(small: Dealt, form: type[Resident], swap: bool) -> None:
    """Put together again they are the whole dominoes; where none is blank, or all are, there is no half too many."""
    resident = form(small.deal, Dominoes.of(small).sources, CPU, swap=swap)
    all_rows = torch.arange(len(small.deal))
    top, bottom = (torch.from_numpy(small.deal.index[side] >= 0) for side in ("top", "bottom"))
    for rows in (all_rows[:50], all_rows[top & bottom][:20], all_rows[~top & ~bottom][:5]):
        whole = resident.compose(rows)
        for place in (UPPER, LOWER):
            found, numbers = halves.distinct(resident, rows, place, channels_last=True)
            assert torch.equal(found[numbers], whole[:, :, 32 * place : 32 * (place + 1)])
            shown = int((bottom if swap != bool(place) else top)[rows].sum())
            assert len(found) == shown + (shown < len(rows))


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", DISTINCT)
def test_answers_and_gradients_are_those_of_whole_dominoes(small: Dealt, name: str, form: torch.memory_format) -> None:
    """To a few roundings of float32 of what double precision says, with no more error than from whole dominoes."""
    resident = Resident(small.deal, Dominoes.of(small).sources, CPU)
    rows = torch.arange(64)
    network = initial(name, 10, 0).to(memory_format=form)
    last = form == torch.channels_last

    def results(answers: Tensor, of: nn.Module) -> list[Tensor]:
        loss = nn.functional.cross_entropy(answers, resident.label[rows])
        return [answers.detach(), *torch.autograd.grad(loss, list(of.parameters()))]

    pair = [halves.distinct(resident, rows, place, channels_last=last) for place in (UPPER, LOWER)]
    found = results(network.of_distinct(*pair), network)
    whole = results(network(resident.compose(rows, channels_last=last)), network)
    double = initial(name, 10, 0).double()
    exact = results(double(resident.compose(rows).double()), double)
    for one, other, true in zip(found, whole, exact, strict=True):
        errors = [float((each - true).abs().max() / true.abs().max()) for each in (one, other)]
        assert errors[0] <= max(2 * errors[1], 2e-6)


@pytest.mark.parametrize(("swap", "optimizer", "lr"), [(False, "sgd", 0.03), (True, "sgd", 0.03), (False, "adam", 0.003)])
@pytest.mark.parametrize("name", DISTINCT)
def test_a_run_is_that_of_whole_dominoes(
    small: Dealt, name: str, swap: bool, optimizer: str, lr: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 20 steps losses agree to 1e-4 of their size with those of the plain way; a rerun has the same bits."""
    train = TrainSpec(model=name, probe=30, measurements=4, epochs=4, batch=64, lr=lr, optimizer=optimizer)
    spec = RunSpec(dataset=small.spec.model_copy(update={"swap": swap}), train=train)
    dominoes, tests = Dominoes(small.deal, small.top, small.bottom, swap=swap), probes(spec.dataset, 30, 0)
    found, again = (loop.train(spec, dominoes, tests) for _ in range(2))
    monkeypatch.setattr(loop, "takes_halves", lambda *_: False)
    plain = loop.train(spec, dominoes, tests)
    assert found.steps == 20
    assert (found.training["halves"], plain.training["halves"]) == (True, False)
    assert found.curves.equals(again.curves)
    assert all(torch.equal(one, other) for one, other in zip(found.network.parameters(), again.network.parameters(), strict=True))
    learned = found.curves.query("split == 'train'").groupby("step")["loss"].mean()
    assert learned.iloc[-1] < learned.iloc[0]
    torch.testing.assert_close(
        torch.tensor(found.curves["loss"].to_numpy()), torch.tensor(plain.curves["loss"].to_numpy()), rtol=1e-4, atol=0
    )


def test_steps_take_halves_where_it_is_worth_it(small: Dealt) -> None:
    """By the network's record, on a CPU, in float32, for plain cross-entropy, where a fifth of the halves or more is blank."""
    record, hardware = chosen("detector"), Device(CPU)
    assert takes_halves(record, TrainSpec(), small.deal, hardware)
    assert not takes_halves(chosen("mlp"), TrainSpec(), small.deal, hardware)
    assert not takes_halves(record, TrainSpec(loss_args={"label_smoothing": 0.1}), small.deal, hardware)
    assert not takes_halves(record, TrainSpec(), small.deal, Device(CPU, Precision.BFLOAT16))
    full = deal_spec(DominoSpec(n=60, prevalence=(0.9, 0.8), top="digits", bottom="textures"))
    assert not takes_halves(record, TrainSpec(), full.deal, hardware)


def test_a_recorded_graph_gets_whole_dominoes(small: Dealt) -> None:
    """What is no CPU, or records its steps, is told of batches of one shape."""
    for change in ({"device": torch.device("meta")}, {"graphs": True}):
        hardware = Device(CPU)
        vars(hardware).update(change)
        assert not takes_halves(chosen("detector"), TrainSpec(), small.deal, hardware)


def test_a_step_by_halves_makes_no_whole_pictures(small: Dealt, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are neither composed nor answered."""
    spec = RunSpec(dataset=small.spec, train=TrainSpec())
    network, hardware = initial("detector", 10, 0), Device(CPU)
    resident = Resident(small.deal, Dominoes.of(small).sources, CPU)
    descent = make_optimizer(network, spec.train, hardware, static=True)
    take = stepper(network, descent, resident, hardware, spec, None, channels_last=False, by_halves=True)

    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("a whole picture was asked for")

    monkeypatch.setattr(resident, "compose", refuse)
    monkeypatch.setattr(models.Detector, "forward", refuse)
    before = [each.detach().clone() for each in network.parameters()]
    take(torch.arange(16))
    assert all(not torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))


class Apart(nn.Module):
    """A network from outside that takes distinct halves; one that is wrong takes others than it should."""

    def __init__(self, classes: int, wrong: bool = False):
        super().__init__()
        self.upper, self.lower, self.wrong = nn.Linear(3072, classes), nn.Linear(3072, classes), wrong

    def forward(self, x: Tensor) -> Tensor:
        upper, lower = x.split(32, dim=2)
        return self.upper(upper.flatten(1)) + self.lower(lower.flatten(1))

    def of_distinct(self, upper: Distinct, lower: Distinct) -> Tensor:
        (above, of_above), (below, of_below) = upper, lower
        found = self.lower(below.flatten(1))[of_below]
        return found + self.upper(above.flatten(1))[of_above * 0 if self.wrong else of_above]


APART = Network(Apart, static=True, distinct=True)
WITHOUT = Network(lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(6144, classes)), distinct=True)


def test_a_network_from_outside_may_take_distinct_halves(small: Dealt) -> None:
    """Its run is that of the same network without."""
    tests = probes(small.spec, 30, 0)
    spec = RunSpec(dataset=small.spec, train=TrainSpec(model=f"{__name__}:APART", probe=30, measurements=2))
    found = loop.train(spec, Dominoes.of(small), tests)
    assert found.training["halves"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "chosen", lambda name: replace(chosen(name), distinct=False))
        plain = loop.train(spec, Dominoes.of(small), tests)
    assert not plain.training["halves"]
    torch.testing.assert_close(
        torch.tensor(found.curves["loss"].to_numpy()), torch.tensor(plain.curves["loss"].to_numpy()), rtol=1e-4, atol=0
    )


def test_a_record_that_promises_distinct_halves_and_has_none_is_refused() -> None:
    """A missing method, and another network than that of whole pictures, are said in a sentence."""
    with pytest.raises(SpecError, match=r"WITHOUT says that it takes distinct halves but has no method of_distinct; expected of_distinct"):
        initial(f"{__name__}:WITHOUT", 10, 0)
    with pytest.raises(SpecError, match=r"learns otherwise from distinct halves than from whole pictures; expected the same, or distinct="):
        initial(f"{__name__}:APART", 10, 0, {"wrong": True})
