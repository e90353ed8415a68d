"""The networks: shapes, sizes, and the equality that makes the detector fast."""

import pytest
import torch
from torch import nn

from dominoes.training.models import MODELS, Detector, folded


@pytest.mark.parametrize(("name", "parameters"), [("detector", 1906954), ("mlp", 1641482), ("resnet8", 175258), ("resnet18", 11173962)])
def test_every_model_answers_for_every_number_of_classes(name: str, parameters: int) -> None:
    """N×3×64×32 becomes N×K, for 2 and 10 classes; the number of parameters is as published or by hand."""
    network = MODELS[name].build(10)
    assert sum(weights.numel() for weights in network.parameters()) == parameters
    assert network(torch.zeros(2, 3, 64, 32)).shape == (2, 10)
    assert MODELS[name].build(2).eval()(torch.zeros(1, 3, 64, 32)).shape == (1, 2)


def test_pooling_before_relu_is_the_same_function() -> None:
    """The detector equals the textbook order (ReLU, then pooling, then a linear layer) bit for bit, and has its initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Detector(10)
        torch.manual_seed(0)
        conv, hidden, out = nn.Conv2d(3, 32, 3), nn.Linear(32 * 31 * 15, 128), nn.Linear(128, 10)
    x = torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    textbook = nn.functional.max_pool2d(torch.relu(conv(x)), 2)
    assert torch.equal(network(x), out(torch.relu(hidden(textbook.flatten(1)))))


@pytest.mark.parametrize("name", ["detector", "mlp", "resnet8", "resnet18"])
def test_folding_is_the_same_function(name: str) -> None:
    """Folded into convolutions, batch normalisation gives the same answers up to rounding, and the network itself is left as it was.

    The statistics are those of a few training passes; one scale is 0 and one variance is that of a dead channel.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MODELS[name].build(10)
    x = torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 0.5
        norm.weight.data[0], norm.bias.data[1] = 0, 0.3
        norm.running_var[2] = 0
    network(x), network(x)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.inference_mode():
        wanted = network.eval()(x)
        found = folded(network)
        # One rounding a layer, on answers of size 1.
        assert torch.allclose(found(x), wanted, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
    assert found is network or name.startswith("resnet")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
