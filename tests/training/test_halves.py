"""A half that several dominoes show is computed once: the same curves as from whole dominoes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dominoes.data import resident as residents
from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import Hung, Resident
from dominoes.errors import SpecError
from dominoes.spec import SIDES, RunSpec, TrainSpec
from dominoes.training import models
from dominoes.training.halves import LOWER, UPPER, Halves
from dominoes.training.models import MODELS, chosen, initial
from dominoes.training.scorer import Scorer

CPU = torch.device("cpu")
HALVING = [name for name, record in MODELS.items() if record.halves]


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", HALVING)
def test_halves_joined_are_the_whole(name: str, form: torch.memory_format) -> None:
    """What a network makes of two halves, joined, is its answer to the picture, to a few roundings of float32."""
    network = initial(name, 10, 0).to(memory_format=form).eval()
    x = torch.randn(20, 3, 64, 32, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=form)
    upper, lower = (half.contiguous(memory_format=form) for half in x.split(32, dim=2))
    with torch.inference_mode():
        found = network.of_halves(network.of_half(upper, UPPER), network.of_half(lower, LOWER))
        exact = network.double()(x.double())
    assert (found - exact).abs().max() < 2e-6 * exact.abs().max()


def test_each_picture_is_looked_at_once(small: Dealt) -> None:
    """Probes of five kinds show each test picture in three or more dominoes; of each place its distinct pictures and one blank are left."""
    tests = probes(small.spec, 60, 0)
    tables = [tests[kind].deal for kind in ("top", "both", "conflict")]
    index = {side: np.concatenate([table.index[side] for table in tables]) for side in SIDES}
    table = replace(tables[0], label=np.concatenate([each.label for each in tables]), index=index, shown=index)
    for swap in (False, True):
        found = Halves.of(table, np.arange(180), CPU, swap=swap)
        upper, lower = ("bottom", "top") if swap else ("top", "bottom")
        for place, side in ((UPPER, upper), (LOWER, lower)):
            assert len(found.rows[place]) == len(set(index[side].tolist())) == (60 if side == "top" else 61)
            assert (index[side][found.rows[place].numpy()][found.numbers[place].numpy()] == index[side]).all()


@pytest.mark.parametrize("form", [Resident, Hung])
@pytest.mark.parametrize("swap", [False, True])
def test_a_half_is_that_of_the_whole_picture(small: Dealt, form: type[Resident], swap: bool) -> None:
    """Halves are composed as in whole dominoes, blank ones too, in either place."""
    resident = form(small.deal, Dominoes.of(small).sources, CPU, swap=swap)
    rows = torch.arange(50)
    whole = resident.compose(rows)
    for place in (UPPER, LOWER):
        found = resident.half(rows, place, channels_last=True)
        assert torch.equal(found, whole[:, :, 32 * place : 32 * (place + 1)])
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("name", HALVING)
def test_curves_are_those_of_whole_dominoes(small: Dealt, name: str, swap: bool) -> None:
    """Losses agree to 1e-5 of their size, accuracies and joint answers are the same, for a network that has learned something."""
    spec = RunSpec(
        dataset=small.spec.model_copy(update={"swap": swap}), train=TrainSpec(model=name, probe=60, measurements=3, epochs=4, lr=0.03)
    )
    dominoes = Dominoes(small.deal, small.top, small.bottom, swap=swap)
    tests = probes(spec.dataset, 60, 0)
    network = models.initial(name, 10, 0)
    resident = residents.resident(dominoes.deal, dominoes.sources, CPU, swap=swap)
    by_halves, whole = (
        Scorer(spec, resident, dominoes.deal, tests, record) for record in (chosen(name), replace(chosen(name), halves=False))
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.9)
    rows = torch.arange(64)
    for step in range(3):
        for _ in range(10 * step):
            loss = nn.functional.cross_entropy(network(resident.compose(rows)), resident.label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for scorer in (by_halves, whole):
            assert scorer.measure(network, step, 0.0, 0)
    found, expected = by_halves.tables()[0], whole.tables()[0]
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
    assert expected["loss"].iloc[-1] != expected["loss"].iloc[0]
    assert found.drop(columns="loss").equals(expected.drop(columns="loss"))
    assert by_halves.joint().equals(whole.joint())


class Halving(nn.Module):
    """A network from outside that knows halves apart; one that is wrong answers by halves to other pictures."""

    def __init__(self, classes: int, wrong: bool = False):
        super().__init__()
        self.upper, self.lower, self.wrong = nn.Linear(3072, classes), nn.Linear(3072, classes), wrong

    def forward(self, x: Tensor) -> Tensor:
        upper, lower = x.split(32, dim=2)
        return self.of_halves(self.of_half(upper.neg() if self.wrong else upper, UPPER), self.of_half(lower, LOWER))

    def of_half(self, pictures: Tensor, place: int) -> tuple[Tensor]:
        return ((self.lower if place else self.upper)(pictures.flatten(1)),)

    def of_halves(self, upper: tuple[Tensor, ...], lower: tuple[Tensor, ...]) -> Tensor:
        return upper[0] + lower[0]


HALVES = models.Network(Halving, halves=True)
WITHOUT = models.Network(lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(6144, classes)), halves=True)


def test_a_network_from_outside_may_know_halves_apart(small: Dealt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record says so; then it is asked by halves, and its curves are those of whole dominoes."""
    tests = probes(small.spec, 30, 0)
    spec = RunSpec(dataset=small.spec, train=TrainSpec(model=f"{__name__}:HALVES", probe=30))
    network = initial(spec.train.model, 10, 0)
    asked: list[int] = []
    monkeypatch.setattr(Halving, "forward", lambda self, x: asked.append(len(x)))
    resident = residents.resident(small.deal, Dominoes.of(small).sources, CPU)
    assert Scorer(spec, resident, small.deal, tests, chosen(spec.train.model)).measure(network, 0, 0.0, 0)
    assert not asked


def test_a_record_that_promises_halves_and_has_none_is_refused() -> None:
    """A missing method, and halves that are not the whole, are said in a sentence."""
    with pytest.raises(
        SpecError, match=r"WITHOUT says that it knows halves apart but has no method of_half and of_halves; expected of_half"
    ):
        initial(f"{__name__}:WITHOUT", 10, 0)
    with pytest.raises(SpecError, match=r"answers otherwise by halves than to whole pictures; expected the same but for rounding"):
        initial(f"{__name__}:HALVES", 10, 0, {"wrong": True})
