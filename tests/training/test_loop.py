"""Training and measuring: against a plain loop, bit for bit where promised, and on real pictures."""

import copy
import time
from contextlib import nullcontext
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dominoes import tables
from dominoes.data import resident
from dominoes.data.dealing import Dealt, deal_spec
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD, Hung
from dominoes.errors import DeviceError
from dominoes.spec import DominoSpec, Precision, RunSpec, TrainSpec, stream
from dominoes.training import loop
from dominoes.training.device import Device, device_of
from dominoes.training.loop import Trained, finish, schedule, train, train_by_turns
from dominoes.training.models import MODELS, initial

DATASET = DominoSpec(n=300, prevalence=(0.7, 0.6), reliability=(0.8, 0.7), top="digits", bottom="textures", seed=3)


@pytest.fixture(scope="module")
def tests() -> dict[str, Dominoes]:
    """Small probes of the embedded sources."""
    return probes(DATASET, 60, 0)


def trained(small: Dealt, tests: dict[str, Dominoes], seed: int = 0, **fields: Any) -> Trained:
    """One short run."""
    how = TrainSpec(**({"epochs": 2, "batch": 32, "measurements": 5, "probe": 60} | fields))
    return train(RunSpec(dataset=small.spec, train=how, seed=seed), Dominoes.of(small), tests)


def weights(network: nn.Module) -> torch.Tensor:
    """All parameters and buffers in one vector."""
    return torch.cat([value.double().ravel() for value in network.state_dict().values()])


def test_the_schedule_is_a_geometric_grid() -> None:
    """100 points up to step 4,300 have 82 different values; 0 and the last step are always there."""
    assert len(schedule(4300, 100)) == 83
    for steps, points in ((1, 60), (2, 60), (10, 3), (1000, 1), (7, 50)):
        found = schedule(steps, points)
        assert found[0] == 0
        assert found == sorted(set(found))
        assert found[-1] == steps
    assert schedule(1000, 2) == [0, 1, 1000]
    assert schedule(1000, 1) == [0, 1000]
    assert schedule(50, 10**6) == list(range(51))


def normalised(dominoes: Dominoes) -> torch.Tensor:
    """All pictures as people prepare them first."""
    return dominoes.data.float().sub(255 * MEAN).div(255 * STD)


@pytest.mark.parametrize("model", ["detector", "mlp", pytest.param("resnet8", marks=pytest.mark.slow)])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_equals_a_plain_loop(
    small: Dealt, tests: dict[str, Dominoes], model: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop that people write first, float pictures and shuffled batches, gives the same weights bit for bit, if it has its
    pictures and weights in the same order of memory; and the same losses up to rounding. Blank halves are computed as often as there
    (what one computation of them changes is in test_distinct.py)."""
    monkeypatch.setattr(loop, "takes_halves", lambda *_: False)
    found = trained(small, tests, model=model, optimizer=optimizer, lr=0.003, weight_decay=0.01, epochs=1)
    order = torch.contiguous_format if model == "mlp" else torch.channels_last
    pictures = normalised(Dominoes.of(small)).contiguous(memory_format=order)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(0, "init"))
        network = MODELS[model].build(10).to(memory_format=order)
    settings = {"lr": 0.003, "weight_decay": 0.01}
    chosen = (
        torch.optim.SGD(network.parameters(), momentum=0.9, **settings)
        if optimizer == "sgd"
        else torch.optim.Adam(network.parameters(), **settings)
    )
    shuffled = torch.randperm(300, generator=torch.Generator().manual_seed(stream(0, "order")))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for start in range(0, 300, 32):
        rows = shuffled[start : start + 32]
        chosen.zero_grad()
        nn.functional.cross_entropy(network(pictures[rows]), torch.from_numpy(small.deal.label)[rows]).backward()
        chosen.step()
    network.eval()
    with torch.no_grad():
        top = tests["top"]
        answers = network(normalised(top))
        loss = nn.functional.cross_entropy(answers.double(), top.targets).item()
        accuracy = (answers.argmax(1) == top.targets).double().mean().item()
    torch.set_num_threads(before)
    last = found.curves.query("split == 'test' and kind == 'top'").iloc[-1]
    assert torch.equal(weights(network), weights(found.network))
    assert (last["loss"], last["accuracy"]) == (pytest.approx(loss, rel=1e-5), accuracy)


@pytest.mark.parametrize("model", ["detector", pytest.param("resnet8", marks=pytest.mark.slow)])
def test_the_order_of_memory_matters_in_the_last_digits_only(small: Dealt, model: str) -> None:
    """Losses of five steps with pictures and weights channels last are those of the usual order, by plain layers: the first to 1e-6,
    then, as rounding grows, to 1e-3."""
    losses: list[list[float]] = []
    for order in (torch.contiguous_format, torch.channels_last):
        network = initial(model, 10, 0).to(memory_format=order)
        pictures = normalised(Dominoes.of(small))[:64].contiguous(memory_format=order)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        losses.append([])
        for _ in range(5):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(pictures), torch.from_numpy(small.deal.label)[:64])
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("model", ["detector", "mlp", pytest.param("resnet8", marks=pytest.mark.slow)])
def test_the_same_run_is_bit_identical(small: Dealt, tests: dict[str, Dominoes], model: str) -> None:
    """Same spec and seed, same bytes of curves and same weights; another seed, other ones."""
    first, again, other = (trained(small, tests, seed, model=model, epochs=1, measurements=2) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first.curves, again.curves, check_exact=True)
    assert torch.equal(weights(first.network), weights(again.network))
    assert not torch.equal(weights(first.network), weights(other.network))


def test_confusion_is_what_the_last_network_answers(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """Counts by what both halves show and what is answered, asked anew one domino at a time; the last accuracies follow from them."""
    found = trained(small, tests)
    counts = np.zeros((11, 11, 10), dtype=np.int64)
    network = found.network.eval()
    with torch.inference_mode():
        for probe in tests.values():
            answers = network(probe.data.float().sub(255 * MEAN).div(255 * STD)).argmax(1)
            for row, answer in enumerate(answers.tolist()):
                counts[probe.deal.shown["top"][row], probe.deal.shown["bottom"][row], answer] += 1
    assert np.abs(found.confusion - counts).sum() <= 4  # an answer may hang on the last digit
    assert found.confusion.sum() == sum(len(probe) for probe in tests.values())
    last = found.curves.query("split == 'test'").groupby("kind").last()["accuracy"]
    diagonal = np.arange(10)
    assert found.confusion[diagonal, diagonal, diagonal].sum() / len(tests["both"]) == pytest.approx(last["both"])
    assert found.confusion[diagonal, 10, diagonal].sum() / len(tests["top"]) == pytest.approx(last["top"])
    assert found.confusion[10, diagonal, diagonal].sum() / len(tests["bottom"]) == pytest.approx(last["bottom"])


@pytest.mark.parametrize("model", ["detector", pytest.param("resnet8", marks=pytest.mark.slow)])
def test_measuring_changes_nothing(small: Dealt, tests: dict[str, Dominoes], model: str) -> None:
    """A run measured 5 times and one measured 50 times, on probes of another size, end with identical weights."""
    few = trained(small, tests, model=model, measurements=5, epochs=3)
    many = trained(small, probes(DATASET, 30, 8), model=model, measurements=50, epochs=3, probe=30, probe_seed=8)
    assert many.curves["step"].nunique() > few.curves["step"].nunique()
    assert torch.equal(weights(few.network), weights(many.network))


def test_global_random_state_is_neither_read_nor_set(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """The global generators, whatever their state, do not matter and are left as they were."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = trained(small, tests)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    torch.manual_seed(2)
    assert torch.equal(weights(first.network), weights(trained(small, tests).network))


def test_threads_are_put_back(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """A run uses the threads it is told to and leaves the process's number alone."""
    before = torch.get_num_threads()
    seen = []
    how = TrainSpec(epochs=1, batch=64, measurements=2, probe=60)
    spec = RunSpec(dataset=small.spec, train=how)
    train(spec, Dominoes.of(small), tests, threads=1, progress=lambda *_: seen.append(torch.get_num_threads()))
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def test_tables_have_their_contract(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """Curves and classes pass their checks; steps, epochs and samples fit each other; every kind has its n and its blanks."""
    found = trained(small, tests, batch=70, epochs=3, measurements=8)
    assert tables.table_problems(found.curves) == []
    assert tables.table_problems(found.classes, form="classes") == []
    table = found.curves
    assert found.steps == 15 == table["step"].max()
    assert table.query("step == 15")["samples"].unique().tolist() == [900]
    assert table.query("step == 15")["epoch"].unique().tolist() == [3.0]
    assert table.query("step == 3")["samples"].unique().tolist() in ([210], [])
    counts = table.query("split == 'train' and step == 0").set_index("kind")["n"].to_dict()
    assert counts == {kind: min(60, count) for kind, count in small.composition.kinds.items()}
    assert set(table.query("split == 'test'")["kind"]) == {"top", "bottom", "both", "conflict", "empty"}
    assert table.query("kind == 'top'")["agree_bottom"].isna().all()
    assert table.query("kind == 'both'")["agree_bottom"].notna().all()
    right = table.query("split == 'test' and kind in ['top', 'both', 'conflict']")
    assert (right["agree_top"] == right["accuracy"]).all()
    by_class = found.classes.query("kind == 'both'").groupby("step").apply(lambda rows: np.average(rows["accuracy"], weights=rows["n"]))
    assert np.allclose(by_class, table.query("split == 'test' and kind == 'both'").set_index("step")["accuracy"])


def test_a_kind_without_dominoes_has_no_rows(tests: dict[str, Dominoes]) -> None:
    """Where the training set has no empty dominoes there is no training curve of empties, not one of zeros."""
    dealt = deal_spec(DominoSpec(n=100, prevalence=(1, 0.5), top="digits", bottom="textures"))
    found = trained(dealt, tests)
    assert set(found.curves.query("split == 'train'")["kind"]) == {"top", "both"}


def test_wrong_halves_count_as_what_they_show(tests: dict[str, Dominoes]) -> None:
    """With reliability 0 the label is never shown: agreement with the shown class and accuracy part on training dominoes."""
    dealt = deal_spec(DominoSpec(n=300, prevalence=(1, 0), reliability=(0, 1), top="digits", bottom="textures"))
    last = trained(dealt, tests, epochs=6, measurements=3).curves.query("split == 'train'").iloc[-1]
    assert last["accuracy"] + last["agree_top"] <= 1
    assert last["accuracy"] != last["agree_top"]


def test_divergence_stops_the_run_and_keeps_the_curve(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """When a loss is not finite any more the run ends, says at which step, and its rows up to there are finite."""
    found = trained(small, tests, lr=1e18, epochs=3, measurements=20)
    assert found.diverged is not None
    assert found.steps == found.diverged < 30
    assert np.isfinite(found.curves["loss"]).all()
    assert found.curves["step"].max() < found.diverged


def test_devices_that_are_not_there_are_refused() -> None:
    """Asking for CUDA without one names what is usable; auto takes what there is."""
    assert device_of("cpu").type == "cpu"
    assert device_of("auto").type in ("cpu", "cuda", "mps")
    for name in ("cuda", "mps"):
        if not (torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()):
            with pytest.raises(DeviceError, match=f"device {name} is not available here; usable are .*cpu: pass --device auto"):
                device_of(name)


def test_initial_weights_follow_from_the_seed_alone() -> None:
    """The same seed gives the same network in any process state."""
    first, again = (copy.deepcopy(initial("mlp", 10, 4)) for _ in range(2))
    assert torch.equal(weights(first), weights(again))


@pytest.mark.slow
@pytest.mark.data
def test_mnist_over_cifar_is_learned_as_expected(data: Path) -> None:
    """6,000 dominoes, 2 epochs, detector: the digit is learned, the picture only begun, and on conflicts the digit decides.

    The floors stand for what was measured beforehand on such data: a small network reads digits after some dozen steps
    (accuracy above .85) and CIFAR-10 pictures much later (above chance, below .5). Of 1,000 empty dominoes, all alike, exactly one
    class is answered, so the accuracy is 1/K with balanced labels.
    """
    spec = DominoSpec(n=6000, prevalence=(0.65, 0.65))
    dealt = deal_spec(spec, data=data)
    run = RunSpec(dataset=spec, train=TrainSpec(epochs=2, measurements=12))
    table = train(run, Dominoes.of(dealt), probes(spec, 1000, 0, data=data)).curves
    last = table[(table["split"] == "test") & (table["step"] == 188)].set_index("kind")
    assert last["accuracy"]["top"] > 0.85
    assert 0.15 < last["accuracy"]["bottom"] < 0.5
    assert abs(last["accuracy"]["empty"] - 0.1) < 3 * (0.09 / 1000) ** 0.5
    assert last["loss"]["empty"] == pytest.approx(log(10), abs=0.15)
    assert last["agree_top"]["conflict"] > 0.7 > 0.2 > last["agree_bottom"]["conflict"]
    assert last["accuracy"]["both"] >= last["accuracy"]["top"] - 0.03


class Recorder(Device):
    """A device that records as CUDA does, as far as a CPU can: what is repeated is the very call, on the very tensors, of the recording."""

    def __init__(self, **options: Any):
        super().__init__(torch.device("cpu"), **options)
        self.graphs, self.replays = True, 0

    def recorded(self, call: Any) -> Any:
        """Count how often it is repeated."""

        def replay() -> Any:
            self.replays += 1
            return call()

        return replay


@pytest.mark.parametrize(
    ("model", "optimizer", "epochs"), [("mlp", "sgd", 2), ("mlp", "adam", 2), pytest.param("resnet8", "sgd", 1, marks=pytest.mark.slow)]
)
def test_recorded_steps_are_the_plain_ones(small: Dealt, tests: dict[str, Dominoes], model: str, optimizer: str, epochs: int) -> None:
    """Rehearsals leave no trace in weights, statistics or the optimiser's state, full batches are replayed, eight at once where no
    measurement comes between, and the short last ones are not: the run is bit for bit the plain one."""
    how = TrainSpec(model=model, optimizer=optimizer, lr=0.003, epochs=epochs, batch=29, measurements=2, probe=60)
    spec, hardware = RunSpec(dataset=small.spec, train=how), Recorder()
    plain = train(spec, Dominoes.of(small), tests)
    found = finish(train_by_turns(spec, Dominoes.of(small), tests, hardware))
    assert torch.equal(weights(plain.network), weights(found.network))
    pd.testing.assert_frame_equal(plain.curves, found.curves, check_exact=True)
    # Ten batches of an epoch are full, the eleventh is not. After step 1, which is measured, come 2 to 9 at once, then 10; in the second
    # epoch 1 to 8 at once, then 9 and 10.
    assert hardware.replays == {1: 3, 2: 6}[epochs] + found.curves["step"].nunique()


def test_turns_end_at_measurements(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """A turn is at most 32 steps and never goes past a measurement, whose result decides whether there is another turn."""
    how = TrainSpec(model="mlp", epochs=5, batch=4, measurements=4, probe=60)
    steps: list[int] = []
    work = train_by_turns(
        RunSpec(dataset=small.spec, train=how),
        Dominoes.of(small),
        tests,
        Device(torch.device("cpu")),
        progress=lambda step, _: steps.append(step),
    )
    ends = []
    with pytest.raises(StopIteration):
        while True:
            next(work)
            ends.append(len(steps))
    assert ends[0] == 0
    assert set(schedule(375, 4)) <= set(ends)
    assert max(np.diff(ends)) == 32
    assert steps == list(range(1, 376))


def test_precision_is_of_training_alone(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """bf16 learns otherwise from step 1 on, about as well, and is measured in float32 (equal before training, to the bit); tf32 on a CPU
    is float32 to the bit."""
    exact, half, tf32 = (
        trained(small, tests, model="mlp", epochs=4, lr=0.02, precision=precision).curves.drop(columns="run")
        for precision in ("float32", "bf16", "tf32")
    )
    pd.testing.assert_frame_equal(exact, tf32, check_exact=True)
    pd.testing.assert_frame_equal(exact.query("step == 0"), half.query("step == 0"), check_exact=True)
    assert not np.array_equal(exact.query("step == 1")["loss"], half.query("step == 1")["loss"])
    assert np.allclose(exact["loss"], half["loss"], rtol=0.1)


class Event:
    """What a CUDA event tells, of a device that does everything at once."""

    def __init__(self, *, enable_timing: bool):
        assert enable_timing

    def record(self) -> None:
        """Now."""
        self.seconds: float = time.perf_counter()

    def synchronize(self) -> None:
        """It was recorded."""
        assert self.seconds

    def elapsed_time(self, later: "Event") -> float:
        """Milliseconds."""
        return 1000 * (later.seconds - self.seconds)


@pytest.mark.parametrize("precision", list(Precision))
def test_what_only_cuda_does_is_what_others_do(
    small: Dealt, tests: dict[str, Dominoes], monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    """A CPU in the place of a GPU, with events, hung pictures and fused updates: the same curves but for rounding, times of both stages,
    and every switch of the numerics put back. (What a real GPU makes of it is in test_cuda.)"""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: device)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)
    monkeypatch.setattr(resident, "resident", Hung)
    hardware = Device(torch.device("cuda"), precision)
    hardware.device, hardware.recorded = torch.device("cpu"), lambda call: call  # type: ignore[method-assign, assignment]
    how = TrainSpec(model="mlp", lr=0.003, epochs=2, batch=16, measurements=6, probe=60, precision=precision)
    spec = RunSpec(dataset=small.spec, train=how)
    products, benchmark = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.benchmark
    found = finish(train_by_turns(spec, Dominoes.of(small), tests, hardware))
    assert not torch.are_deterministic_algorithms_enabled()
    assert (products, benchmark) == (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.benchmark)
    assert all(seconds > 0 for seconds in found.seconds.values())
    monkeypatch.undo()
    plain = train(spec, Dominoes.of(small), tests)
    assert np.allclose(found.curves["loss"], plain.curves["loss"], rtol=1e-5 if precision is not Precision.BFLOAT16 else 1e-3)
