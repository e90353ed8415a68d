"""The yardstick: what is easier costs less, what cannot be learned costs ln K, and it knows neither sides nor workers."""

import contextlib
import math
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from dominoes import tables
from dominoes.cli.commands import main
from dominoes.data.probe_sets import probes
from dominoes.data.sources import Source, load_source
from dominoes.errors import RunError, SpecError
from dominoes.spec import DominoSpec, RunSpec, Split, TrainSpec
from dominoes.tables import CURVES, SIMPLICITY, SIMPLICITY_QUANTITIES
from dominoes.yardstick import code_length, measurement, one_side
from dominoes.yardstick.measurement import YardstickTask

# Small steps and few: what is asked here is order, not size.
HOW = TrainSpec(epochs=1, batch=32, lr=0.03, probe=200, measurements=12)


def length(source: Source, n: int, seed: int = 0, side: str = "top", how: TrainSpec = HOW) -> float:
    """Nats per label of the code of n labels."""
    ends = code_length.block_ends(len(source.classes), n)
    costs = [one_side.coded(source, side, how, n, seed, block)[0] for block in range(len(ends) - 1)]
    return code_length.per_label(ends, len(source.classes), costs)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_side, "FEWEST_STEPS", 50)


LADDERS = {
    "noise": ("0", "0.4", "0.6", "0.8", "1.2"),
    "blur": ("0", "4", "7", "9", "12"),
    "downsample": ("1", "4", "6", "8", "12"),
    "contrast": ("0.2", "0.1", "0.06", "0.03", "0.015"),
    "occlude": ("0", "0.2", "0.4", "0.6", "0.8"),
    "prototypes": ("1", "5", "20", "60", "all"),
}


@pytest.mark.slow
@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("dial", LADDERS)
def test_every_monotone_dial_moves_the_code_length_monotonically(dial: str) -> None:
    """Over five settings the rank correlation of setting and code length is at least .9."""
    # A network that learns ten pictures by heart is overthrown by larger steps.
    how = HOW.model_copy(update={"lr": 0.02}) if dial == "prototypes" else HOW
    lengths = [length(load_source("digits", Split.TRAIN, (f"{dial}={value}",)), 320, how=how) for value in LADDERS[dial]]
    assert spearmanr(range(5), lengths).statistic >= 0.9 - 1e-9, lengths


@pytest.mark.usefixtures("_short")
def test_labels_that_say_nothing_cost_the_uniform_code() -> None:
    """Shuffled labels cost ln K within 2 %, although the network is sure of what it has learned by heart."""
    source = load_source("digits", Split.TRAIN)
    shuffled = replace(source, labels=np.random.default_rng(0).permutation(source.labels))
    assert length(shuffled, 640) == pytest.approx(math.log(10), rel=0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("_short")
def test_the_same_source_costs_the_same_on_either_side() -> None:
    """Over two seeds the means of top and bottom are within a tenth of each other."""
    source = load_source("digits", Split.TRAIN)
    top, bottom = (np.array([length(source, 320, seed, side) for seed in range(2)]) for side in ("top", "bottom"))
    assert top.mean() == pytest.approx(bottom.mean(), rel=0.1)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("_short")
def test_digits_are_simpler_than_pictures(data: Path) -> None:
    """MNIST costs less than CIFAR-10, with Student intervals of three seeds apart."""
    ends = {}
    for name in ("mnist", "cifar10"):
        found = np.array([length(load_source(name, Split.TRAIN, data=data), 320, seed) for seed in range(3)])
        reach = 4.303 * found.std(ddof=1) / math.sqrt(3)
        ends[name] = found.mean() - reach, found.mean() + reach
    assert ends["mnist"][1] < ends["cifar10"][0]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("_short")
def test_one_prototype_is_simpler_than_a_hundred(data: Path) -> None:
    """A look-up of one picture a class costs less than one of a hundred."""
    one, many = (length(load_source("mnist", Split.TRAIN, (f"prototypes={m}",), data=data), 320) for m in (1, 100))
    assert one < 0.8 * many


@pytest.mark.slow
def test_a_block_is_coded_by_what_came_before_it() -> None:
    """The network of a block sees its own labels neither in training nor in calibration: other labels there, the same network."""
    source = load_source("digits", Split.TRAIN)
    rows = one_side.sending_order(source, 320, 0)
    changed = source.labels.copy()
    changed[rows[160:]] = (changed[rows[160:]] + 1) % 10
    how = HOW.model_copy(update={"epochs": 1})
    same = [one_side.coded(one, "top", how, 320, 0, 0) for one in (source, replace(source, labels=changed))]
    later = [one_side.coded(one, "top", how, 320, 0, 1) for one in (source, replace(source, labels=changed))]
    assert same[0] == same[1]
    assert later[0][1] == later[1][1]
    assert later[0][0] != later[1][0]


def test_the_probe_is_that_of_a_dominoes_run() -> None:
    """Both sides are measured on the pictures that a run's one-sided probe of the top shows."""
    source = load_source("digits", Split.TEST)
    wanted = probes(DominoSpec(top="digits", bottom="textures"), 200, 0)["top"].deal
    for side in ("top", "bottom"):
        found = one_side.probe(source, side, HOW).deal
        assert np.array_equal(found.index[side], wanted.index["top"])
        assert np.array_equal(found.label, wanted.label)
        assert (found.index["bottom" if side == "top" else "top"] == -1).all()
    with pytest.raises(SpecError, match=r"probe 900: the test split of digits has pictures for 3\d\d; use --probe"):
        one_side.probe(source, "top", TrainSpec(probe=900))


def test_the_linear_model_is_scikit_learns() -> None:
    """Trained on all training pictures, tested on the probe; a solver that stops early says so."""
    source, test = (load_source("digits", split) for split in Split)
    tests = one_side.probe(test, "top", HOW)
    accuracy, status = one_side.linear(source, tests, "top", len(source.labels), 0)
    model = LogisticRegression(C=0.1, tol=1e-3, max_iter=300).fit(source.pictures.reshape(len(source.labels), -1) / 255, source.labels)
    rows = tests.deal.index["top"]
    assert accuracy == pytest.approx(model.score(test.pictures[rows].reshape(len(rows), -1) / 255, test.labels[rows]), abs=0.011)
    assert status == "ok"


def solo(time: np.ndarray, accuracy: np.ndarray) -> pd.DataFrame:
    """A solo curve as training leaves it."""
    rows = {"run": "r", "seed": 0, "step": time, "samples": 64 * time, "split": "test", "kind": "top", "n": 1000, "accuracy": accuracy}
    return pd.DataFrame(rows).reindex(columns=list(CURVES))


def test_learning_times_are_those_of_a_known_curve() -> None:
    """A curve that is logistic in log time: half after the onset, 90 % where its equation says; from the fit."""
    time = np.unique(np.r_[0, np.rint(np.geomspace(1, 4000, 60))])
    rng = np.random.default_rng(0)
    solos = []
    for onset in (50, 60):
        accuracy = 0.1 + 0.8 / (1 + (np.maximum(time, 1e-9) / onset) ** -1.5)
        solos.append(solo(time, rng.binomial(1000, accuracy) / 1000))
    half, how = one_side.learning_times(solos, 0.5, 10)
    assert half == pytest.approx([64 * 50, 64 * 60], rel=0.06)
    assert how == "fit"
    late, _ = one_side.learning_times(solos, 0.9, 10)
    assert late == pytest.approx([64 * 50 * 9 ** (1 / 1.5), 64 * 60 * 9 ** (1 / 1.5)], rel=0.1)


def test_where_no_fit_stands_the_crossing_counts() -> None:
    """A curve whose 90 % lie beyond the last step, and one that never rises."""
    time = np.unique(np.r_[0, np.rint(np.geomspace(1, 1000, 40))])
    rising = solo(time, np.clip(0.1 + 0.8 * time / 1000, 0, 1))
    (at,), how = one_side.learning_times([rising], 0.9, 10)
    assert how == "crossing"
    assert at == pytest.approx(64 * 900, rel=0.05)
    (at,), how = one_side.learning_times([solo(time, np.full(len(time), 0.1))], 0.5, 10)
    assert math.isnan(at)
    assert how == "not reached by every seed"


def test_the_work_is_bounded() -> None:
    """A block's model takes the epochs asked for, or a hundred steps where that is more."""
    how = TrainSpec(epochs=2, batch=64)
    assert one_side.epochs(72, how) == 50
    assert one_side.epochs(9216, how) == 2


def test_a_sweep_names_what_to_measure() -> None:
    """The looks in which a side's runs differ, with the runs' training; a sweep without a ladder, or of several trainings, is refused."""
    spec = DominoSpec(prevalence=(0.5, 0.5))
    runs = [
        RunSpec(dataset=spec.model_copy(update={"top_transform": look}), train=HOW, seed=seed)
        for look in ((), ("blur=1",))
        for seed in (0, 1)
    ]
    assert measurement.looks(runs) == ([("mnist", (), "top"), ("mnist", ("blur=1",), "top")], HOW)
    with pytest.raises(SpecError, match="no side's source or transforms differ between the sweep's runs"):
        measurement.looks(runs[:2])
    with pytest.raises(SpecError, match="the sweep's runs are trained differently"):
        measurement.looks([*runs, runs[0].model_copy(update={"train": TrainSpec()})])


def test_more_pictures_than_there_are_and_divergence_are_refused() -> None:
    """n beyond the training split, before anything is trained; a loss that is not finite any more."""
    with pytest.raises(SpecError, match="n 99999: the train split of digits has 1442 pictures"):
        measurement.measure([YardstickTask("digits", n=99999, train=HOW)], [0])
    wild = HOW.model_copy(update={"lr": 1e6})
    with pytest.raises(RunError, match=r"training on digits diverged at step \d+ .*use a lower --lr than 1e\+06"):
        one_side.coded(load_source("digits", Split.TRAIN), "top", wild, 160, 0, 0)


def test_a_killed_process_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that breaks is one sentence with what to do."""

    class Broken(Executor):
        def submit(self, *_: object, **__: object) -> Future:  # type: ignore[override, type-arg]
            future: Future[None] = Future()
            future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
            return future

    monkeypatch.setattr(measurement, "pool", lambda workers: contextlib.nullcontext(Broken()))
    with pytest.raises(RunError, match="a process of the yardstick was killed .* run it again with fewer --workers"):
        measurement.measure([YardstickTask("digits", n=320, train=HOW)], [0])


@pytest.mark.slow
def test_the_command_writes_the_table_whatever_the_workers(tmp_path: Path) -> None:
    """One row a quantity and seed, `all` with the interval; the same bytes from one process and from two; JSON has the same rows."""
    options = ["--n", "320", "--seeds", "0-1", "--batch", "32", "--lr", "0.03", "--probe", "100", "--measurements", "8"]
    texts = []
    for workers in ("1", "2"):
        out = tmp_path / f"{workers}.csv"
        arguments = [
            "simplicity",
            "--source",
            "digits",
            "--transform",
            "blur=1",
            "--side",
            "bottom",
            "--workers",
            workers,
            "--out",
            str(out),
        ]
        result = CliRunner().invoke(main, [*arguments, *options])
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("digits (blur=1), bottom: code length ")
        texts.append(out.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    table = tables.read_simplicity(tmp_path / "1.csv")
    assert tuple(table.columns) == SIMPLICITY
    assert set(table["quantity"]) == set(SIMPLICITY_QUANTITIES)
    whole = table[table["quantity"] == "code length"].set_index("seed")["estimate"]
    assert whole["all"] == pytest.approx((whole["0"] + whole["1"]) / 2)
    row = table[(table["quantity"] == "code length") & (table["seed"] == "all")].iloc[0]
    assert row["low"] < row["estimate"] < row["high"]
    blocks = table[(table["quantity"] == "block") & (table["seed"] == "0")]
    assert blocks["labels"].tolist() == [160, 320]
    assert whole["0"] == pytest.approx(code_length.per_label([80, 160, 320], 10, blocks["estimate"].tolist()))


def test_a_time_that_a_seed_did_not_come_to_is_not_said() -> None:
    """The mean over the other seeds would pass for the setting's."""
    of = ("code length", "uniform code", "samples to half", "samples to 90 %", "accuracy", "loss", "linear share")
    rows = [
        {
            "source": "digits",
            "transforms": "noise=3",
            "side": "top",
            "seed": "all",
            "quantity": quantity,
            "estimate": 2,
            "low": 1,
            "high": 3,
        }
        | {"low": 1, "high": 3, "status": tables.UNREACHED if quantity == "samples to 90 %" else "ok"}
        for quantity in of
    ]
    (said,) = measurement.sentences(pd.DataFrame(rows))
    assert "half of the ceiling by 2 (1 to 3) samples, 90 % not reached by every seed; ceiling" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --source SPEC (with --transform and --side), or --sweep-file FILE alone"),
        (["--sweep-file", "sweeps/studies/4-simplicity.yaml", "--side", "bottom"], "or --sweep-file FILE alone; pass one of them"),
        (["--source", "digits", "--transform", "blurr=1"], "there is no transform blurr (did you mean blur?)"),
        (["--source", "digits", "--n", "100"], "n 100: blocks of labels double from 8·K = 80"),
        (["--source", "digit"], "did you mean digits?"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    """Exit code 2, and no table."""
    result = CliRunner().invoke(main, ["simplicity", *arguments, "--probe", "100", "--out", str(tmp_path / "s.csv")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    """It is said before minutes of measuring, not after."""
    result = CliRunner().invoke(main, ["simplicity", "--source", "digits", "--n", "160", "--probe", "100", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "is a folder; expected the name of a table to write (.csv)" in result.stderr
    assert list(tmp_path.iterdir()) == []
