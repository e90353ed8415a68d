"""Training with what a user brought: measured by plain evaluation, reproducible, disturbed by nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD
from dominoes.errors import RunError
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, stream
from dominoes.training.loop import Trained, schedule, train
from dominoes.training.models import chosen, folded, initial

DATASET = DominoSpec(n=300, prevalence=(0.7, 0.6), reliability=(0.8, 0.7), top="digits", bottom="textures", seed=3)


@pytest.fixture(scope="module")
def tests() -> dict[str, Dominoes]:
    """Small probes of the embedded sources."""
    return probes(DATASET, 60, 0)


def trained(small: Dealt, tests: dict[str, Dominoes], seed: int = 0, options: dict[str, Any] | None = None, **fields: Any) -> Trained:
    """One short run."""
    how = TrainSpec(**({"model": "mlp", "epochs": 1, "batch": 32, "measurements": 4, "probe": 60} | fields))
    return train(RunSpec(dataset=small.spec, train=how, seed=seed), Dominoes.of(small), tests, **(options or {}))


def weights(network: nn.Module) -> torch.Tensor:
    """All parameters and buffers in one vector."""
    return torch.cat([value.double().ravel() for value in network.state_dict().values()])


def pictures(dominoes: Dominoes) -> torch.Tensor:
    """As people prepare them."""
    return dominoes.data.float().sub(255 * MEAN).div(255 * STD)


@pytest.mark.parametrize("model", ["brought:PreActivation", "brought:Transformer", "brought:Idle"])
def test_a_network_from_outside_is_measured_by_plain_evaluation(small: Dealt, tests: dict[str, Dominoes], model: str) -> None:
    """Losses and accuracies of the last measurement are those of the network in evaluation mode, asked for all pictures at once."""
    found = trained(small, tests, model=model, lr=0.05, epochs=3)
    network = found.network.eval()
    last = found.curves.query("split == 'test' and step == @found.steps").set_index("kind")
    with torch.no_grad():
        for kind, probe in tests.items():
            answers = network(pictures(probe)).double()
            assert last["loss"][kind] == pytest.approx(nn.functional.cross_entropy(answers, probe.targets).item(), abs=1e-5)
            assert last["accuracy"][kind] == pytest.approx((answers.argmax(1) == probe.targets).double().mean().item(), abs=1 / 59)


def test_folding_a_pre_activation_network_would_be_wrong(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """What the record guards against: its answers differ by far more than rounding once normalisations are folded by their order."""
    network = trained(small, tests, model="brought:PreActivation", lr=0.05, epochs=3).network.eval()
    x = pictures(tests["both"])
    with torch.no_grad():
        assert (folded(network)(x) - network(x)).abs().max() > 0.05
    assert not chosen("brought:PreActivation").folds


@pytest.mark.parametrize("model", ["brought:Transformer", "brought:Noisy", "brought:PreActivation"])
def test_random_layers_draw_from_the_runs_own_stream(small: Dealt, tests: dict[str, Dominoes], model: str) -> None:
    """With dropout too the same run is the same to the bit, whatever the global generator's state, which stays; how often it is measured
    does not matter; and another seed is another run."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = trained(small, tests, model=model)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again, often = (trained(small, tests, model=model, measurements=count) for count in (4, 50))
    assert torch.equal(weights(first.network), weights(again.network))
    pd.testing.assert_frame_equal(first.curves, again.curves, check_exact=True)
    assert torch.equal(weights(first.network), weights(often.network))
    other = trained(small, tests, 1, model=model)
    assert not torch.equal(weights(first.network), weights(other.network))


def test_dropout_is_really_at_work(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """Its share changes what is learned from the same initial weights."""
    some, none = (trained(small, tests, model="brought:Transformer", model_args={"dropout": share}) for share in (0.5, 0.0))
    start = [trained.curves.query("step == 0")["loss"].to_numpy() for trained in (some, none)]
    assert np.array_equal(*start)
    assert not torch.equal(weights(some.network), weights(none.network))


def test_a_record_that_claims_the_fast_ways_gets_them(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """A `Network` by reference may say what is known of a built-in one: its numbers are those of the plain way."""
    fast = trained(small, tests, model="brought:FAST")
    assert chosen("brought:FAST").static
    reference = initial("brought:FAST", 10, 0)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.01, momentum=0.9)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(stream(0, "order")))
    x = pictures(Dominoes.of(small))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for rows in order.split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(reference(x[rows]), torch.from_numpy(small.deal.label)[rows]).backward()
        optimizer.step()
    torch.set_num_threads(before)
    assert torch.equal(weights(fast.network), weights(reference))


def test_callbacks_disturb_nothing(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """One that spoils all that it is given, and the random state, at each measurement: the same tables, the same weights."""
    import brought

    seen: list[int] = []
    for model in ("mlp", "brought:Transformer"):
        plain = trained(small, tests, model=model)
        options = {"callbacks": [brought.disturbing, lambda step, network, rows: seen.append(step)]}
        found = trained(small, tests, model=model, options=options)
        assert torch.equal(weights(plain.network), weights(found.network))
        pd.testing.assert_frame_equal(plain.curves, found.curves, check_exact=True)
        assert seen == sorted(set(plain.curves["step"]))
        seen.clear()
    with pytest.raises(RunError, match=r"callback failing fails at step 0 \(KeyError: 'missing'\)"):
        trained(small, tests, options={"callbacks": [brought.failing]})


def test_the_input_scale_is_one_constant_for_all(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """With `unit` a network sees pixels from 0 to 1, in training and in measuring, and blanks are 0."""
    seen: list[torch.Tensor] = []
    found = trained(small, tests, input="unit", model="brought:Transformer")
    with torch.no_grad():
        for probe in (tests["top"], tests["empty"]):
            answers = found.network.eval()(probe.data.float().div(255)).double()
            seen.append(nn.functional.cross_entropy(answers, probe.targets))
    last = found.curves.query("split == 'test' and step == @found.steps").set_index("kind")["loss"]
    assert [last["top"], last["empty"]] == pytest.approx([value.item() for value in seen], abs=1e-5)


def test_levels_are_met_once_and_training_stops_there(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """Each level's step is the first looked at whose train loss, each kind by its share, is at most the level; it is measured; after
    the stopping level nothing is trained; and up to there the run is the one without levels."""
    how = {"lr": 0.01, "epochs": 15, "measurements": 8}
    plain = trained(small, tests, **how)
    found = trained(small, tests, **how, measure_at_loss="1.2,1.8", stop_loss=0.9)
    assert [level.loss for level in found.levels] == [1.8, 1.2, 0.9]
    assert found.steps == found.levels[-1].step < plain.steps
    looks = sorted(set(schedule(plain.steps, 8)) | set(schedule(plain.steps, 32)))
    shares = small.composition.kinds
    every = trained(small, tests, **how, measure_at_loss=tuple(np.linspace(0.5, 2.2, 400)))
    table = every.curves.query("split == 'train'").pivot(index="step", columns="kind", values="loss")
    mix = sum(table[kind] * shares[kind] for kind in shares) / sum(shares.values())
    for level in found.levels:
        assert level.step in looks
        assert level.step in set(found.curves["step"])
        assert level.train_loss <= level.loss
        assert mix[level.step] == pytest.approx(level.train_loss)
        assert (mix[mix.index < level.step] > level.loss).all()
        assert looks[looks.index(level.step) - 1] == level.after
    shared = found.curves.merge(plain.curves, on=["step", "split", "kind"])
    assert len(shared) > 50
    assert np.array_equal(shared["loss_x"], shared["loss_y"])


def test_levels_of_one_kind(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """The loss of bottoms alone is met elsewhere than that of the mix."""
    mix, bottom = (trained(small, tests, lr=0.01, epochs=10, measure_at_loss=1.5, level_kind=kind) for kind in ("mix", "bottom"))
    assert mix.levels != bottom.levels
    (level,) = bottom.levels
    row = bottom.curves.query("split == 'train' and kind == 'bottom' and step == @level.step")
    assert row["loss"].item() == pytest.approx(level.train_loss)


def test_checkpoints_are_the_networks_that_were_measured(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """`last`, `measurements` and steps name which; steps that are asked for are measured too."""
    for text, expected in (("last", {10}), ("measurements", set(schedule(10, 4))), ("0,7", {0, 7}), ("none", set())):
        kept: dict[int, torch.Tensor] = {}

        def keep(step: int, network: nn.Module, kept: dict[int, torch.Tensor] = kept) -> None:
            kept[step] = weights(network).clone()

        found = trained(small, tests, checkpoints=text, options={"keep": keep})
        assert set(kept) == expected
        assert expected <= set(found.curves["step"])
        assert 10 not in kept or torch.equal(kept[10], weights(found.network))
    assert not torch.equal(weights(initial("mlp", 10, 1)), weights(initial("mlp", 10, 0)))
