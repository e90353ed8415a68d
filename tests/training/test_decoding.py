"""Decoded accuracy: balanced dominoes, a last layer refitted by hand, and training that it leaves alone."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from dominoes.data.dealing import deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD
from dominoes.errors import SpecError
from dominoes.spec import SIDES, DominoSpec, RunSpec, Split, TrainSpec
from dominoes.training.decoding import Decoder, balanced, last_layer
from dominoes.training.loop import Trained, train
from dominoes.training.models import initial

SPEC = DominoSpec(n=150, prevalence=(1, 1), top="digits[0,1]", bottom="textures[0,9]")


@pytest.fixture(scope="module")
def tests() -> dict[str, Dominoes]:
    """Small probes of two classes."""
    return probes(SPEC, 40, 0)


def trained(tests: dict[str, Dominoes], **how: Any) -> Trained:
    """A short run on fully correlated dominoes."""
    settings = {"epochs": 6, "batch": 32, "measurements": 3, "probe": 40, "lr": 0.02} | how
    return train(RunSpec(dataset=SPEC, train=TrainSpec(**settings)), Dominoes.of(deal_spec(SPEC)), tests)


@pytest.mark.parametrize("split", list(Split))
def test_balanced_dominoes_show_every_pair_of_classes_equally(split: Split, tests: dict[str, Dominoes]) -> None:
    """Each of the K × K pairs of classes as often as any other, up to rounding, both halves of every domino shown."""
    like = Dominoes.of(deal_spec(SPEC)) if split is Split.TRAIN else tests["both"]
    found = balanced(like, split, 60, 0).deal
    assert len(found) == 60
    pairs = np.zeros((2, 2), dtype=int)
    np.add.at(pairs, (found.shown["top"], found.shown["bottom"]), 1)
    assert pairs.tolist() == [[15, 15], [15, 15]]
    assert np.array_equal(found.label, found.shown["bottom"])


def test_the_refitted_layer_is_that_of_plain_scikit_learn(tests: dict[str, Dominoes]) -> None:
    """On the hidden units of the detector, computed here layer by layer, logistic regression gives the accuracies that are told."""
    found = trained(tests, decode="last")
    network = found.network
    values = found.measures[found.measures["measure"] == "decoded accuracy"].set_index("kind")
    worst = found.measures[found.measures["measure"] == "decoded accuracy, worst group"].set_index("kind")
    assert (values["step"] == found.steps).all()
    assert set(values.index) == set(worst.index) == set(SIDES)
    hidden, shown = [], []
    for like, split, most in ((Dominoes.of(deal_spec(SPEC)), Split.TRAIN, 200), (tests["both"], Split.TEST, 40)):
        sample = balanced(like, split, most, 0)
        x = sample.data.float().sub(255 * MEAN).div(255 * STD)
        with torch.no_grad():
            x = torch.max_pool2d(torch.relu(network.conv(x)), 2)  # type: ignore[operator]
            hidden.append(torch.relu(network.hidden(x)).flatten(1).double().numpy())  # type: ignore[operator]
        shown.append(sample.deal.shown)
    mean, scale = hidden[0].mean(axis=0), hidden[0].std(axis=0)
    scale[scale == 0] = 1
    for side in SIDES:
        model = LogisticRegression(max_iter=1000).fit((hidden[0] - mean) / scale, shown[0][side])
        right = model.predict((hidden[1] - mean) / scale) == shown[1][side]
        assert values.value[side] == pytest.approx(right.mean(), abs=0.03)
        groups = [right[(shown[1]["top"] == top) & (shown[1]["bottom"] == bottom)].mean() for top in (0, 1) for bottom in (0, 1)]
        assert worst.value[side] == pytest.approx(min(groups), abs=0.11)


@pytest.mark.parametrize("when", ["last", "measurements"])
def test_decoding_leaves_training_alone(tests: dict[str, Dominoes], when: str) -> None:
    """Curves and weights are the same with and without; `measurements` decodes at each of them, `last` at the last."""
    plain, decoded = trained(tests), trained(tests, decode=when)
    assert plain.curves.drop(columns="run").equals(decoded.curves.drop(columns="run"))
    for one, other in zip(plain.network.parameters(), decoded.network.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = decoded.measures[decoded.measures["measure"] == "decoded accuracy"]
    steps = sorted(set(decoded.curves["step"])) if when == "measurements" else [decoded.steps]
    assert rows["step"].tolist() == [step for step in steps for _ in SIDES]
    assert "decoded accuracy" not in set(plain.measures["measure"])


@pytest.mark.parametrize("name", ["detector", "mlp", "resnet8", "resnet18"])
def test_the_last_layer_gives_the_answers(name: str) -> None:
    """Of every network the answers follow linearly from what its last layer is given."""
    network = initial(name, 7, 0).eval()
    layer, given = last_layer(network, 7), []
    layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        answers = network(torch.zeros(2, 3, 64, 32))
        assert torch.equal(answers, nn.functional.linear(given[0], layer.weight, layer.bias))


def test_what_cannot_be_decoded_is_refused(tests: dict[str, Dominoes]) -> None:
    """A network without a linear last layer, and sources too small for a balanced sample."""
    with pytest.raises(SpecError, match="Sequential has no linear layer with 2 outputs, no last layer to refit; use decode none"):
        last_layer(nn.Sequential(nn.Flatten(), nn.ReLU()), 2)
    with pytest.raises(SpecError, match="decode: the test pictures make 1 balanced dominoes of 2 classes; expected at least 2"):
        balanced(tests["both"], Split.TEST, 1, 0)


def test_one_sided_probes_are_not_decoded(tests: dict[str, Dominoes]) -> None:
    """Where no double is measured, as in the yardstick, there is nothing to decode."""
    spec = RunSpec(dataset=SPEC, train=TrainSpec(epochs=1, measurements=1, probe=40, decode="last"))
    found = train(spec, Dominoes.of(deal_spec(SPEC)), {"top": tests["top"]})
    assert "decoded accuracy" not in set(found.measures["measure"])
    assert isinstance(Decoder(spec.train, Dominoes.of(deal_spec(SPEC)), tests["both"], torch.device("cpu"), channels_last=False), Decoder)
