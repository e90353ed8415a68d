"""What is known of every measured domino, and that one tensor a measurement brings it from the device."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import Resident
from dominoes.spec import RunSpec, TrainSpec
from dominoes.training.device import Device
from dominoes.training.loop import finish, train_by_turns
from dominoes.training.models import chosen, initial
from dominoes.training.scorer import Scorer, logits


@pytest.fixture(scope="module")
def tests(small: Dealt) -> dict[str, Dominoes]:
    """Probes of 30 dominoes."""
    return probes(small.spec, 30, 0)


def test_every_domino_is_judged_by_its_own_answers(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """Loss, answer and margin of each probe's dominoes are those of NumPy and SciPy on the answers to each by itself; the rows of the
    curves are their means."""
    spec = RunSpec(dataset=small.spec, train=TrainSpec(model="resnet8", probe=30))
    network = initial("resnet8", 10, 0)
    scorer = Scorer(
        spec, Resident(small.deal, Dominoes.of(small).sources, torch.device("cpu")), small.deal, tests, chosen(spec.train.model)
    )
    judged = scorer.judge(network)
    assert judged.dtype == torch.float64
    count = int(judged.shape[1]) - sum(map(len, tests.values()))
    assert torch.equal(judged[:, :count], scorer.judge(network, train_only=True))
    assert scorer.score(judged, 0, 0.0, 0)
    table = scorer.tables()[0].query("split == 'test'").set_index("kind")
    for kind, probe in tests.items():
        answers = logits(network, probe, spec.train)
        label = probe.deal.label
        others = np.where(np.arange(10) == label[:, None], -np.inf, answers)
        own = np.take_along_axis(answers, label[:, None], 1)[:, 0]
        expected = -np.take_along_axis(log_softmax(answers, axis=1), label[:, None], 1)[:, 0], answers.argmax(1), own - others.max(axis=1)
        for found, true in zip(judged[:, count : count + len(probe)].numpy(), expected, strict=True):
            # Answers in other batches differ by a rounding.
            np.testing.assert_allclose(found, true, rtol=1e-4, atol=1e-5)
        assert table.loc[kind, "loss"] == judged[0, count : count + len(probe)].numpy().mean()
        assert table.loc[kind, "accuracy"] == np.mean(expected[1] == label)
        count += len(probe)


def test_a_loss_that_is_not_finite_ends_in_no_row(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """Neither NaN nor infinite answers leave rows, or a warning."""
    spec = RunSpec(dataset=small.spec, train=TrainSpec(model="mlp", probe=30))
    scorer = Scorer(spec, Resident(small.deal, Dominoes.of(small).sources, torch.device("cpu")), small.deal, tests, chosen("mlp"))
    for bad in (torch.nan, torch.inf):
        network = initial("mlp", 10, 0)
        with torch.no_grad():
            network.layers[5].bias.fill_(bad)
        assert not scorer.measure(network, 0, 0.0, 0)
    assert len(scorer.tables()[0]) == len(scorer.measures()) == 0


@pytest.mark.parametrize("fields", [{}, {"stop_loss": 1.0}])
def test_one_transfer_a_measurement(small: Dealt, tests: dict[str, Dominoes], fields: dict[str, float]) -> None:
    """Of 24 bytes a domino. Where a level of the train loss is looked for, each look is one, and a level that is met one more."""

    transfers: list[int] = []

    class Counting(Device):
        def download(self, values: Tensor) -> Tensor:
            transfers.append(values.numel())
            return super().download(values)

    how = TrainSpec(model="mlp", probe=30, measurements=4, epochs=2, **fields)  # type: ignore[arg-type]
    hardware = Counting(torch.device("cpu"))
    found = finish(train_by_turns(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), tests, hardware))
    measured = found.curves["step"].nunique()
    assert transfers.count(max(transfers)) == measured
    assert len(transfers) == measured if not fields else len(transfers) > measured
