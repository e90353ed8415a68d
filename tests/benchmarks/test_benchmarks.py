"""The benchmarks work, and the baseline that speed is measured against computes the same functions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import baseline
from dominoes.training.models import MODELS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["detector", "resnet8"])
@pytest.mark.parametrize("training", [False, True])
def test_the_baseline_computes_the_same_function(name: str, training: bool) -> None:
    """With the same weights, the baseline's network gives the answers of ours, in training and in evaluation mode, to 1e-5."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours, theirs = MODELS[name].build(10), baseline.MODELS[name]()
    state = zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict({key: value.reshape(old.shape) for (key, old), value in state})
    x = torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    ours = ours.to(memory_format=torch.channels_last)
    found = ours.train(training)(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(found, theirs.train(training)(x), atol=1e-5)


def test_the_baseline_trains_and_evaluates_on_schedule() -> None:
    """Its rows are at every so many steps, its losses and accuracies those of the whole set, and it learns what can be learned."""
    rng = torch.Generator().manual_seed(0)
    examples = [(torch.randn(3, 64, 32, generator=rng) + label, label) for label in [0, 1] * 64]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = baseline.run("detector", examples, examples[:32], epochs=4, every=3, first=True)
        network = baseline.MODELS["detector"]()
    assert [row[0] for row in rows] == [0, 3, 6]
    assert rows[-1][2] > 0.9 > rows[0][2]
    pictures, labels = torch.stack([x for x, _ in examples]), torch.tensor([y for _, y in examples])
    loss, accuracy = baseline.evaluate(network, baseline.loaders(examples))
    with torch.no_grad():
        answers = network.eval()(pictures)
    assert loss == pytest.approx(nn.functional.cross_entropy(answers, labels).item(), rel=1e-5)
    assert accuracy == (answers.argmax(1) == labels).float().mean().item()


@pytest.mark.slow
def test_every_row_of_the_training_benchmark_is_measured() -> None:
    """One JSON object with a key a row."""
    command = [sys.executable, "-m", "benchmarks.train", "--quick", "--rounds", "1", "--json"]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert found.pop("about")["sources"] == "digits over textures"
    figures = [f"{figure} {model}" for figure in ("step", "evaluation", "same schedule", "default schedule") for model in baseline.MODELS]
    figures.append("small detector")
    assert set(found) == {*figures, "memory", "start"}
    for row in found.values():
        assert row["range"][0] <= row["median"] <= row["range"][1]
        assert row["median"] > 0


def test_a_row_that_is_not_there_is_named() -> None:
    """A key that begins no row ends the command with the keys there are."""
    command = [sys.executable, "-m", "benchmarks.train", "--quick", "--only", "stepp"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "no row begins with stepp; the rows are step detector" in found.stderr


@pytest.mark.slow
def test_the_benchmark_of_sweeps_tells_every_figure() -> None:
    """One JSON object with a key a row, the median within its range, as many rounds as were asked for, of runs that are whole."""
    command = [sys.executable, "-m", "benchmarks.sweep", "--only", "scan", "--runs", "3", "--rounds", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    # A run that is left out as damaged would be told there.
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.pop("about")["rounds"] == 2
    assert list(found) == ["status", "export"]
    for row in found.values():
        assert row["range"][0] <= row["median"] <= row["range"][1]
        assert len(row["rounds"]) == 2


@pytest.mark.parametrize("module", ["train", "sweep"])
def test_no_rounds_are_refused(module: str) -> None:
    """There is no median of nothing."""
    found = subprocess.run([sys.executable, "-m", f"benchmarks.{module}", "--rounds", "0"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "expected 1 or more, got 0" in found.stderr


@pytest.mark.slow
def test_growth_is_measured() -> None:
    """`benchmarks.scale` makes packed sweeps of the sizes asked for and says what their status and another launch take."""
    for name, sizes, rows in (("status", ("500", "1000"), 3), ("resume", ("500",), 1)):
        command = [sys.executable, "-m", "benchmarks.scale", "--only", name, "--sizes", *sizes]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.count(f"| {name}, packed runs |") == rows
        assert "failed" not in done.stdout
