"""The networks: shapes, sizes, and the equality that makes the detector fast."""

import pytest
import torch
from torch import nn

from dominoes.models import MODELS, Detector
from dominoes.spec import Model


@pytest.mark.parametrize(("name", "parameters"), [("detector", 1906954), ("mlp", 1641482), ("resnet8", 175258), ("resnet18", 11173962)])
def test_every_model_answers_for_every_number_of_classes(name: str, parameters: int) -> None:
    """N×3×64×32 becomes N×K, for 2 and 10 classes; the number of parameters is as published or by hand."""
    network = MODELS[Model(name)](10)
    assert sum(weights.numel() for weights in network.parameters()) == parameters
    assert network(torch.zeros(2, 3, 64, 32)).shape == (2, 10)
    assert MODELS[Model(name)](2).eval()(torch.zeros(1, 3, 64, 32)).shape == (1, 2)


def test_every_name_has_a_model() -> None:
    """The table and the names agree."""
    assert set(MODELS) == set(Model)


def test_pooling_before_relu_is_the_same_function() -> None:
    """The detector equals the textbook order (ReLU, then pooling) bit for bit."""
    network = Detector(10)
    x = torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    textbook = nn.functional.max_pool2d(torch.relu(network.conv(x)), 2)
    wanted = network.out(torch.relu(network.hidden(textbook.flatten(1))))
    assert torch.equal(network(x), wanted)
