"""Sweep files: every field can be swept, each error stands at its path, nothing unsupported is ignored."""

import re
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dominoes.errors import SpecError
from dominoes.runs import plan, sweep_file
from dominoes.spec import DominoSpec, RunSpec, TrainSpec

ROOT = Path(__file__).parents[2]


def grid(**parameters: Any) -> sweep_file.Sweep:
    """A grid over parameters; `__` stands for the dot in a name."""
    return sweep_file.expand({"method": "grid", "parameters": {name.replace("__", "."): entry for name, entry in parameters.items()}})


def test_a_grid_is_every_combination_in_the_files_order() -> None:
    """The first parameter is outermost; what the file does not name has RunSpec's defaults."""
    found = grid(train__lr={"values": [0.1, 0.2]}, train__model={"value": "mlp"}, seed={"values": [3, 4]})
    assert [(run.train.lr, run.seed) for run in found.runs] == [(0.1, 3), (0.1, 4), (0.2, 3), (0.2, 4)]
    assert found.swept == ("train.lr", "seed")
    assert {run.train.model for run in found.runs} == {"mlp"}
    plain = RunSpec(dataset={"seed": 3}, train={"lr": 0.1, "model": "mlp"}, seed=3)
    assert found.runs[0] == plain
    assert found.runs[0].id == plain.id


def test_every_seed_deals_anew_unless_the_file_says_otherwise() -> None:
    """The deal's seed follows the run's; `same_deal`, or a `dataset.seed` of the file's own, keeps one deal and its run ids."""
    seeds = {"seed": {"values": [0, 4]}}
    assert [run.dataset.seed for run in grid(**seeds).runs] == [0, 4]
    for kept in ({"same_deal": True, "parameters": seeds}, {"parameters": seeds | {"dataset.seed": {"value": 0}}}):
        found = sweep_file.expand({"method": "grid"} | kept)
        assert [run.id for run in found.runs] == [RunSpec(dataset={}, train={}, seed=seed).id for seed in (0, 4)]


def test_runs_share_what_they_have_in_common() -> None:
    """A hundred thousand runs are as many seeds and names: the training of all and the dataset of a deal are one object each."""
    values = {"seed": {"values": [0, 1, 2]}, "train.lr": {"values": [0.1, 0.2]}, "dataset.prevalence": {"value": [0.5, 0.5]}}
    for same_deal, deals in ((True, 1), (False, 3)):
        runs = sweep_file.expand({"method": "grid", "same_deal": same_deal, "parameters": values}).runs
        assert (len({id(run.dataset) for run in runs}), len({id(run.train) for run in runs})) == (deals, 2)
        assert len({run.id for run in runs}) == 6


def test_ids_of_many_are_those_of_each() -> None:
    """Whether specs share their parts or have equal ones of their own, and of more parts than are kept in mind at once."""
    assert set(RunSpec.model_fields) == {"dataset", "train", "seed"}
    shared = TrainSpec(lr=0.02, model_args={"width": 64}, augment=("flip",), schedule="cosine")
    first = [RunSpec(dataset=DominoSpec(prevalence=(0.5, 0.25), seed=seed), train=shared, seed=seed) for seed in range(1200)]
    again = [RunSpec(dataset=first[0].dataset, train=TrainSpec(weight_decay=decay), seed=1) for decay in (0.0, -0.0, 1e-4)]
    specs = [*first, *again, first[0]]
    assert list(sweep_file.run_ids(iter(specs))) == [spec.id for spec in specs]


@pytest.mark.parametrize("name", sweep_file.FIELDS)
def test_every_field_of_a_run_spec_can_be_swept(name: str) -> None:
    """Its default, or a number where it has none, is accepted under its dotted name and arrives in the spec."""
    values = {"dataset.prevalence": [0.5, 0.4], "dataset.n": 12, "dataset.both": 0.1, "dataset.empty": 0.2, "dataset.ratio": 2}
    if name == "dataset.instance":
        (run,) = sweep_file.expand({"method": "grid", "parameters": {name: {"value": "shah-a"}}}).runs
        assert run.dataset.top == "mnist[0,1]"
        return
    value = values.get(name)
    if value is None:
        value = (
            0.25 if name.endswith((".top", ".bottom")) and name.count(".") == 2 else plan.spec_field(RunSpec(dataset={}, train={}), name)
        )
    (run,) = sweep_file.expand({"method": "grid", "parameters": {name: {"value": value}}}).runs
    assert plan.spec_field(run, name) == value


def test_values_take_the_type_of_their_field() -> None:
    """YAML reads 1e-4 as text and 5 as a whole number; the spec has a float in both places, so ids do not depend on the spelling."""
    text = grid(train__lr={"values": ["1e-4", 5]})
    number = grid(train__lr={"values": [1e-4, 5.0]})
    assert [run.id for run in text.runs] == [run.id for run in number.runs]
    assert all(type(run.train.lr) is float for run in text.runs)


def test_one_side_of_a_pair_can_be_swept_alone() -> None:
    """dataset.prevalence.top moves while the bottom's is fixed; naming the pair and its side at once is refused."""
    found = grid(dataset__prevalence__bottom={"value": 0.5}, dataset__prevalence__top={"values": [0.1, 0.9]})
    assert [run.dataset.prevalence for run in found.runs] == [(0.1, 0.5), (0.9, 0.5)]
    assert grid(dataset__reliability__top={"value": 0.6}).runs[0].dataset.reliability == (0.6, 1.0)
    with pytest.raises(SpecError, match=r"parameters.dataset.prevalence.top: dataset.prevalence sets this half already"):
        grid(dataset__prevalence={"value": [0.5, 0.5]}, dataset__prevalence__top={"value": 0.1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "bayes", "parameters": {}}, "method: bayes is not supported, runs are planned before the first one starts"),
        (
            {"method": "grid", "early_terminate": {}, "parameters": {}},
            "early_terminate is not supported, curves are compared over the whole",
        ),
        ({"method": "grid", "parameters": {}}, "parameters: expected at least one"),
        ({"method": "grid"}, "parameters: expected a value"),
        (
            {"method": "walk", "parameters": {"seed": {"value": 1}}},
            "method: expected 'grid', 'random', 'latin-hypercube' or 'sobol', got 'walk'",
        ),
        ({"method": "grid", "program": "x.py", "parameters": {}}, "there is no field program"),
        ({"method": "grid", "parameters": {"lr": {"value": 1}}}, "parameters.lr: there is no field lr; did you mean train.lr?"),
        ({"method": "grid", "parameters": {"train.lrr": {"value": 1}}}, "parameters.train.lrr: .* did you mean train.lr?"),
        ({"method": "grid", "parameters": {"qqq": {"value": 1}}}, "there is no field qqq; the fields are dataset.n,"),
        ({"method": "grid", "parameters": {"seed": 3}}, "parameters.seed: expected 'value: ...', 'values: .* got 3"),
        ({"method": "grid", "parameters": {"seed": {}}}, "parameters.seed: expected one of 'value', 'values' .* got nothing"),
        ({"method": "grid", "parameters": {"seed": {"value": 1, "values": [2]}}}, "expected one of .* got value, values"),
        ({"method": "grid", "parameters": {"seed": {"values": []}}}, "parameters.seed.values: expected a list with at least one value"),
        ({"method": "grid", "parameters": {"seed": {"values": [1, 2, 1]}}}, r"parameters.seed.values\[2\]: 1 is there twice"),
        ({"method": "grid", "parameters": {"seed": {"values": [0, "x"]}}}, r"parameters.seed.values\[1\]: seed: .* got 'x'"),
        (
            {"method": "grid", "parameters": {"train.lr": {"value": -1}}},
            "parameters.train.lr.value: train.lr: expected greater than 0, got -1",
        ),
        ({"method": "grid", "parameters": {"seed": {"values": [1], "probabilities": [1]}}}, "parameters.seed.probabilities: not supported"),
        ({"method": "grid", "parameters": {"seed": {"values": [1], "distribution": "normal"}}}, "seed.distribution: 'normal' does not fit"),
        ({"method": "grid", "parameters": {"train.lr": {"min": 0.1, "max": 0.2}}}, "a grid cannot list the numbers from 0.1 to 0.2"),
        ({"method": "grid", "parameters": {"seed": {"min": 3, "max": 3}}}, "parameters.seed: min 3 is not below max 3"),
        ({"method": "grid", "parameters": {"seed": {"min": 3}}}, "parameters.seed: max: expected a value"),
        (
            {"method": "grid", "parameters": {"train.momentum": {"min": 0, "max": 2, "q": 1}}},
            "parameters.train.momentum.max: .*less than 1, got 2",
        ),
        (
            {"method": "grid", "parameters": {"seed": {"min": 0, "max": 2, "distribution": "normal"}}},
            "parameters.seed: distribution: expected",
        ),
        ({"method": "random", "parameters": {"seed": {"min": 0, "max": 9}}}, "run_cap: expected a number of runs"),
        ({"method": "grid", "parameters": {"seed": {"value": 1}}, "same_deal": "yes"}, "same_deal: expected a valid boolean, got 'yes'"),
        ({"method": "grid", "parameters": {"seed": {"value": 1}}, "points": []}, "points: expected at least 1, got "),
        ({"parameters": {"seed": {"value": 1}}}, "method: expected a value, got none"),
        (
            {
                "method": "random",
                "run_cap": 2,
                "parameters": {"train.momentum": {"min": 0, "max": 0.5, "distribution": "log_uniform_values"}},
            },
            "parameters.train.momentum.min: 0 has no logarithm",
        ),
        (
            {"method": "random", "run_cap": 2, "parameters": {"train.lr": {"min": 0.1, "max": 0.5, "distribution": "q_uniform"}}},
            "parameters.train.lr.q: q_uniform needs the step q",
        ),
        (
            {"method": "random", "run_cap": 2, "parameters": {"train.lr": {"min": 0.1, "max": 0.5, "distribution": "uniform", "q": 0.1}}},
            "parameters.train.lr.q: uniform has no step; use q_uniform",
        ),
    ],
)
def test_errors_stand_at_their_path(content: dict[str, Any], message: str) -> None:
    """One sentence: where in the file, what was expected, what was got."""
    with pytest.raises(SpecError, match=message):
        sweep_file.expand(content)


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    """YAML would silently take the last of two equal keys."""
    file = tmp_path / "s.yaml"
    file.write_text("method: grid\nparameters:\n  seed: {value: 1}\n  seed: {value: 2}\n", encoding="utf-8")
    with pytest.raises(SpecError, match="the field seed is given twice"):
        sweep_file.read_sweep_file(file)


def test_metric_is_ignored_with_a_note() -> None:
    """Files made for another tool say what to optimise; here all is measured."""
    found = sweep_file.expand({"method": "grid", "metric": {"name": "loss"}, "parameters": {"seed": {"value": 1}}})
    assert found.notes == ("sweep: metric is ignored; every run is measured in every metric",)


def test_grids_count_ranges_in_decimals() -> None:
    """min, max and q list the decimals that a researcher means; whole-number fields count by one."""
    assert [run.train.lr for run in grid(train__lr={"min": 0.1, "max": 0.5, "q": 0.1}).runs] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [run.seed for run in grid(seed={"min": 2, "max": 5}).runs] == [2, 3, 4, 5]
    assert len(sweep_file.expand({"method": "grid", "run_cap": 3, "parameters": {"seed": {"min": 0, "max": 99}}}).runs) == 3


RANGES = {
    "train.lr": {"min": "1e-4", "max": 0.1, "distribution": "log_uniform_values"},
    "dataset.prevalence.top": {"min": 0.1, "max": 0.9},
    "dataset.n": {"min": 100, "max": 900, "q": 50, "distribution": "q_uniform"},
    "train.model": {"values": ["mlp", "detector"]},
    "seed": {"min": 0, "max": 10**6},
}


@settings(max_examples=30, deadline=None)
@given(cap=st.integers(1, 12), more=st.integers(0, 8), seed=st.integers(-5, 5))
def test_random_draws_are_in_range_and_keep_their_place(cap: int, more: int, seed: int) -> None:
    """A higher run_cap adds runs and changes none; every draw is within its range, on its step, and of its field's type."""
    few, many = (
        sweep_file.expand({"method": "random", "run_cap": count, "seed": seed, "parameters": RANGES}).runs for count in (cap, cap + more)
    )
    assert many[: len(few)] == few
    assert len({run.id for run in many}) == len(many) == cap + more
    for run in many:
        assert 1e-4 <= run.train.lr <= 0.1
        assert 0.1 <= (run.dataset.prevalence[0] or 0) <= 0.9
        assert isinstance(run.dataset.n, int)
        assert run.dataset.n % 50 == 0
    fewer = {name: entry for name, entry in RANGES.items() if name != "dataset.n"}
    alone = sweep_file.expand({"method": "random", "run_cap": cap, "seed": seed, "parameters": fewer}).runs
    assert [run.train.lr for run in alone] == [run.train.lr for run in few]


_SHARES = st.floats(0, 1).map(lambda value: round(value, 6))


@settings(max_examples=50, deadline=None)
@given(
    lrs=st.lists(st.floats(1e-6, 10), min_size=1, max_size=3, unique=True),
    tops=st.lists(_SHARES, min_size=1, max_size=3, unique=True),
    seeds=st.lists(st.integers(-100, 100), min_size=1, max_size=3, unique=True),
)
def test_a_grid_holds_each_combination_once(lrs: list[float], tops: list[float], seeds: list[int]) -> None:
    """As many different runs as combinations, each with its values; spelling numbers as text changes nothing."""
    entries: dict[str, Any] = {
        "train.lr": {"values": lrs},
        "dataset.prevalence": {"values": [[top, 0.5] for top in tops]},
        "seed": {"values": seeds},
    }
    found = sweep_file.expand({"method": "grid", "parameters": entries})
    assert [(run.train.lr, run.dataset.prevalence[0], run.seed) for run in found.runs] == [
        (lr, top, seed) for lr in lrs for top in tops for seed in seeds
    ]
    assert len({run.id for run in found.runs}) == len(lrs) * len(tops) * len(seeds)
    entries["train.lr"] = {"values": [repr(lr) for lr in lrs]}
    assert sweep_file.expand({"method": "grid", "parameters": entries}).runs == found.runs


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["max", "mlp", "uniform", "x", "1e-3"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
_ENTRY = st.dictionaries(st.sampled_from(["value", "values", "min", "max", "q", "distribution", "other"]), _ANY, max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["grid", "random", "bayes", None]),
    cap=st.none() | st.integers(-1, 3),
    parameters=st.dictionaries(st.sampled_from([*sweep_file.FIELDS, "lr"]), _ENTRY | _ANY, max_size=3),
)
def test_any_content_is_either_a_sweep_or_one_clear_error(method: Any, cap: Any, parameters: dict[str, Any]) -> None:
    """Nothing but SpecError escapes, whatever stands in the file; runs that come out are whole and different."""
    try:
        found = sweep_file.expand({"method": method, "run_cap": cap, "parameters": parameters})
    except SpecError as error:
        assert str(error).startswith("sweep: ")
        return
    assert found.runs
    assert len({run.id for run in found.runs}) == len(found.runs)


@pytest.mark.parametrize(
    ("name", "runs", "datasets"),
    [
        ("smoke", 4, 4),
        ("prevalence-small", 15, 5),
        ("simplicity-small", 15, 5),
        ("studies/1a-prevalence", 40, 40),
        ("studies/1b-co-occurrence", 40, 40),
        ("studies/1c-interaction", 36, 36),
        ("studies/2-onsets", 80, 80),
        ("studies/3-reliability", 64, 64),
        ("studies/4-simplicity", 70, 70),
        ("studies/5-reuse", 25, 25),
        ("studies/6-network-and-place", 20, 10),
        ("studies/6b-resnet8", 4, 4),
        ("studies/7-optimiser", 40, 5),
        ("studies/8-variance", 48, 6),
        ("studies/9-held-out", 96, 96),
    ],
)
def test_shipped_sweeps_are_feasible(name: str, runs: int, datasets: int) -> None:
    """Each shipped file has its runs, and each run has a dataset."""
    found = plan.make_plan(sweep_file.read_sweep_file(ROOT / "sweeps" / f"{name}.yaml"))
    assert (len(found.runs), len({run.spec.dataset for run in found.runs})) == (runs, datasets)
    assert found.infeasible == ()
    assert found.name == name.removeprefix("studies/")
    assert found.description
    shares = [(*run.spec.dataset.prevalence, run.spec.dataset.both) for run in found.runs]
    if name.endswith("1a-prevalence"):
        assert {(bottom, both) for _, bottom, both in shares} == {(0.5, 0.25)}
    if name.endswith("1b-co-occurrence"):
        assert {(top, bottom) for top, bottom, _ in shares} == {(0.5, 0.5)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"parameters": {"seed": {"min": 0, "max": 9999, "q": 1}, "train.epochs": {"min": 1, "max": 1000, "q": 1}}},
            "the grid has 10,000,000 runs; expected 100,000 at most",
        ),
        ({"parameters": {"seed": {"min": 0, "max": 10**9, "q": 1}}}, "q 1 makes over 100,000 values from 0 to 1e+09; use a larger q"),
        ({"method": "random", "run_cap": 10**9, "parameters": {"seed": {"min": 0, "max": 9}}}, "the random sweep has 1,000,000,000 runs"),
        ({"parameters": {"train.lr": {"min": 0.1, "max": 0.2, "q": 0.5}}}, "q: 0.5 makes one value, 0.1, from 0.1 to 0.2; use a smaller q"),
        (
            {"method": "random", "run_cap": 5, "parameters": {"train.lr": {"min": 0.1, "max": 0.2, "q": 0.5}}},
            "q: all of 0.1 to 0.2 becomes 0.1; use a smaller q",
        ),
    ],
)
def test_what_is_too_many_or_one_alone_is_refused_at_once(content: dict[str, Any], message: str) -> None:
    """A grid of millions is refused with its size before it is counted out, by a cap's word too; so is a step that leaves one value."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SpecError, match=re.escape(message)):
        sweep_file.expand({"method": "grid", **content})
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_cap_makes_a_large_grid_small() -> None:
    """The first runs of a grid that would be too large are a sweep."""
    entries = {"seed": {"min": 0, "max": 9999, "q": 1}, "train.epochs": {"min": 1, "max": 1000, "q": 1}}
    assert len(sweep_file.expand({"method": "grid", "run_cap": 3, "parameters": entries}).runs) == 3


def test_a_seed_of_draws_says_nothing_in_a_grid() -> None:
    """It is ignored with a note: the seeds of runs stand under parameters."""
    content = {"method": "grid", "seed": 3, "parameters": {"seed": {"values": [0, 1]}}}
    (note,) = sweep_file.expand(content).notes
    assert note == "sweep: seed is of draws, and a grid has none: it is ignored; the runs' seeds stand under parameters"
    assert not sweep_file.expand(content | {"method": "random", "run_cap": 2}).notes
