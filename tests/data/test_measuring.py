"""How much of a run is measured where its spec leaves that open."""

from pathlib import Path

import pytest

from dominoes.data import measuring
from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import for_training
from dominoes.errors import SpecError
from dominoes.interface import train
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, parse
from dominoes.training import loop


@pytest.mark.parametrize("n", [1000, 2000, 5000, 20_000, 50_000, 76_000])
@pytest.mark.parametrize("epochs", [1, 5, 20])
def test_what_is_measured_stays_in_proportion(n: int, epochs: int) -> None:
    """Never more than 3.65 whole dominoes are measured for each that is trained on, from 5,000 of these on, whatever n and epochs; and
    sizes stay in their ranges."""
    how = TrainSpec(epochs=epochs)
    probe, sample, points = measuring.probe_size(how, n), measuring.train_sample(how, n), measuring.grid_points(how, n)
    assert 200 <= probe <= 1000
    assert sample == probe // 4
    assert 20 <= points <= 60
    steps = -(-n // how.batch) * epochs
    measured = len(loop.schedule(steps, points)) * (4 * probe + 3 * sample)
    assert measured <= 3.65 * max(n * epochs, 5000) * 1.05


def test_numbers_mean_what_they_did() -> None:
    """A spec that says how often to measure has the probes and the train sample of before, and so its id; what is given counts."""
    assert TrainSpec(measurements=40).probe == 1000
    assert parse(TrainSpec, {"measurements": "40"}).probe == 1000
    assert TrainSpec(measurements=40, probe=30).probe == 30
    assert TrainSpec(measurements=40, probe="auto").probe == "auto-1"
    assert TrainSpec(measurements="auto").identity()["probe"] == "auto-1"
    assert TrainSpec(probe=300).measurements == "auto-1"
    for how, sample in (({"measurements": 40}, 1000), ({"probe": 300}, 300), ({"probe_train": 7}, 7), ({}, 250)):
        assert measuring.train_sample(TrainSpec(**how), 50_000) == sample
    assert measuring.grid_points(TrainSpec(measurements=7), 50_000) == 7
    assert "probe_train" not in TrainSpec().identity()
    assert TrainSpec(probe_train=7).identity()["probe_train"] == 7


@pytest.mark.parametrize("field", ["measurements", "probe"])
@pytest.mark.parametrize("value", ["often", 0, 1.5, True, 2_000_000])
def test_other_words_are_refused(field: str, value: object) -> None:
    """What is neither a number in range nor auto is refused with the range."""
    with pytest.raises(SpecError, match=f"{field}: expected a whole number from 1 to 1000000, or auto, got"):
        TrainSpec(**{field: value})


def test_probes_make_do_with_the_stock_only_if_they_may() -> None:
    """Where the size is left open, probes are as large as the test pictures allow; one that is asked for is refused with the most."""
    spec = DominoSpec(n="max", prevalence=(0.6, 0.5), top="digits", bottom="textures")
    found = for_training(spec, TrainSpec())
    most = len(found["both"])
    assert 200 < most < 1000
    assert {len(each) for each in found.values()} == {most}
    with pytest.raises(SpecError, match=f"use --probe {most} at most"):
        for_training(spec, TrainSpec(probe=most + 1))


def test_a_run_says_how_it_was_measured(small: Dealt, tmp_path: Path) -> None:
    """Sizes of the train sample and of the probes are those of the rule, and the version of the numbers is told."""
    how = TrainSpec(model="mlp", epochs=1, batch=64, probe_train=11)
    tests = for_training(small.spec, how)
    trained = loop.train(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), tests)
    assert trained.measuring == {"version": 2, "points": 20, "train_sample": 11, "halves": True}
    assert trained.curves.query("split == 'train'")["n"].max() == 11
    assert trained.curves.query("split == 'test'")["n"].max() == 200
    assert sorted(set(trained.curves["step"])) == loop.schedule(trained.steps, 20)


def test_python_takes_the_same_words() -> None:
    """`dominoes.train` measures as the command does."""
    run = train(
        {"n": 100, "prevalence": [0.6, 0.5], "top": "digits", "bottom": "textures"}, model="mlp", epochs=1, measurements="auto", probe=40
    )
    assert run.spec.train.measurements == "auto-1"
    assert run.curves.query("split == 'test'")["n"].max() == 40
