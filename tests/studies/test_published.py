"""Published protocols: files that can be read, numbers that follow from the runs' tables, verdicts only where a range was stated."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic_runs
import torch
import yaml
from click.testing import CliRunner
from pydantic import ValidationError
from scipy import stats

import dominoes
from dominoes.cli.commands import main
from dominoes.data import dealing, probe_sets
from dominoes.errors import OutputError, SpecError
from dominoes.runs import execution, plan
from dominoes.studies import networks, protocols, published, shipped, write_up
from dominoes.studies.protocols import Protocol

ROOT = Path(__file__).parents[2]
NAMES = ("dbat", "rich-simple", "scale", "shah2020")
MEASURED = sorted(path.parent for path in (ROOT / "results" / "published").glob("*/published.csv"))


def content(**changes: Any) -> dict[str, Any]:
    """A protocol over embedded pictures: two reliabilities of the top, three seeds, numbers of every sort."""
    fixed = {"dataset.n": 1500, "dataset.prevalence": [0.6, 0.6], "dataset.top": "digits", "dataset.bottom": "textures",
             "train.epochs": 200, "train.measurements": 70, "train.probe": 100}  # fmt: skip
    sweep = {
        "name": "tiny", "method": "grid", "same_deal": True,
        "parameters": {name: {"value": value} for name, value in fixed.items()}
        | {"dataset.reliability.top": {"values": [0.8, 1.0]}, "seed": {"values": [0, 1, 2]}},
    }  # fmt: skip
    low, high = ({"where": {"dataset.reliability.top": value}} for value in (0.8, 1.0))
    numbers = [
        {"name": "ranged", "quantity": "accuracy, both", "terms": [high], "published": [0.5, 0.6], "holds": [0.4, 0.7]},
        {"name": "single", "quantity": "accuracy, both", "terms": [low], "published": [0.5]},
        {"name": "direction", "quantity": "accuracy, both", "terms": [high, low | {"times": -1}], "holds": [0, None]},
        {"name": "other", "quantity": "accuracy, both", "terms": [{"where": {"train.model": "resnet8"}}], "published": [0.5]},
    ]
    full = sweep | {"parameters": sweep["parameters"] | {"train.model": {"values": ["detector", "resnet8"]}}}  # type: ignore[operator]
    whole = {"title": "t", "source": "s", "protocol": ["p"], "differs": ["d"], "small_scale": "c", "full": full, "small": sweep}
    return whole | {"numbers": numbers} | changes


def protocol(folder: Path, **changes: Any) -> Protocol:
    """The same as a file, read."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content(**changes)), encoding="utf-8")
    return protocols.read_protocol(path)


def test_the_protocol_that_the_documents_show_is_feasible_at_both_scales(tmp_path: Path) -> None:
    """Every run of it has a dataset: the embedded digits are enough for its n."""
    text = (ROOT / "docs" / "howto" / "reproduce.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    for sweep in protocols.read_protocol(path).sweeps.values():
        planned = plan.make_plan(sweep)
        assert (len(planned.runs), len(planned.infeasible)) == (3, 0)


def found(made: Protocol, ones: list[float], others: list[float], pictures: float = 0.0) -> pd.DataFrame:
    """Accuracy of the doubles of each run: `ones` where the top is always right, by seed, `others` where not; with its pictures' error."""
    rows = [
        (spec.id, spec.seed, "accuracy, both", (ones if spec.dataset.reliability[0] == 1 else others)[spec.seed], pictures)
        for spec in made.sweeps["small"].runs
    ]
    return pd.DataFrame(rows, columns=list(published.VALUES)).dropna()


def test_the_shipped_protocols_can_be_read() -> None:
    """Four of them; every quantity is known, and each number asks for runs that one of the scales has."""
    assert shipped.shipped_names(shipped.PUBLISHED) == NAMES
    for name in NAMES:
        made = protocols.named_protocol(name)
        assert len(made.sweeps["small"].runs) < len(made.sweeps["full"].runs)
        for number in made.about.numbers:
            assert number.quantity in published.PUBLISHED_QUANTITIES
            for term in number.terms:
                assert any(
                    all(plan.spec_field(spec, field) == value for field, value in term.where.items()) for spec in made.sweeps["full"].runs
                )


@pytest.mark.data
def test_every_protocol_has_datasets(data: Path) -> None:
    """The real stock is enough for both scales."""
    for name in NAMES:
        for sweep in protocols.named_protocol(name).sweeps.values():
            assert plan.make_plan(sweep, data=data).infeasible == ()


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_every_quantity_is_measured(name: str, data: Path, tmp_path: Path) -> None:
    """A run of each protocol's small scale, cut to a few steps, comes to every number that the protocol asks for."""
    made = protocols.named_protocol(name)
    (spec, *_) = made.sweeps["small"].runs
    dataset = spec.dataset.model_copy(update={"n": 300})
    train = spec.train.model_copy(update={"epochs": 1, "measurements": 2, "probe": 40})
    spec = spec.model_copy(update={"dataset": dataset, "train": train})
    dealt = dealing.deal_spec(dataset, data=data)
    execution.execute(spec, dealt, probe_sets.for_training(dataset, train, data=data), tmp_path)
    small = replace(made, sweeps={"small": replace(made.sweeps["small"], runs=(spec,))})
    values = published.values(small, plan.make_plan(small.sweeps["small"], data=data), tmp_path)
    assert set(values["quantity"]) == {number.quantity for number in made.about.numbers}
    assert values["value"].between(0, 1).all()


def test_numbers_are_means_over_seeds_with_students_interval(tmp_path: Path) -> None:
    """A mean, a difference paired by seed, and the difference from what was published."""
    made = protocol(tmp_path)
    ones, others = [0.5, 0.54, 0.58], [0.41, 0.44, 0.50]
    table = published.compared(made, "small", found(made, ones, others)).set_index("number")
    expected = stats.t.interval(0.95, 2, np.mean(ones), stats.sem(ones))
    assert (table.loc["ranged", "low"], table.loc["ranged", "high"]) == pytest.approx(expected)
    assert table.loc["ranged", "verdict"] == "holds"
    assert math.isnan(table.loc["ranged", "difference"])
    assert table.loc["single", "difference"] == pytest.approx(np.mean(others) - 0.5)
    assert table.loc["single", "difference_low"] == pytest.approx(table.loc["single", "low"] - 0.5)
    assert table.loc["single", "verdict"] == "no verdict"
    gaps = np.subtract(ones, others)
    assert table.loc["direction", "low"] == pytest.approx(stats.t.interval(0.95, 2, gaps.mean(), stats.sem(gaps))[0])
    assert table.loc["direction", "verdict"] == "holds"
    assert table.loc["other", ["n_seeds", "verdict"]].tolist() == [0, "not measured"]
    assert published.compared(made, "small", found(made, others, ones)).set_index("number").loc["direction", "verdict"] == "fails"


def test_pictures_that_all_seeds_share_are_in_the_interval(tmp_path: Path) -> None:
    """Seeds that agree to the digit, because one half alone decides what they answer, have an interval all the same."""
    made = protocol(tmp_path)
    same = published.compared(made, "small", found(made, [0.532] * 3, [0.532] * 3, 0.02)).set_index("number")
    assert same.loc["ranged", "high"] - same.loc["ranged", "low"] == pytest.approx(2 * stats.norm.ppf(0.975) * 0.02)
    assert same.loc["direction", "high"] == pytest.approx(stats.norm.ppf(0.975) * 0.02 * math.sqrt(2))
    ones = [0.5, 0.54, 0.58]
    both = published.compared(made, "small", found(made, ones, ones, 0.02)).set_index("number").loc["ranged"]
    seeds = stats.t.ppf(0.975, 2) * stats.sem(ones)
    assert both["high"] - both["estimate"] == pytest.approx(math.hypot(seeds, stats.norm.ppf(0.975) * 0.02))


def test_the_error_of_pictures_is_that_of_repeated_draws() -> None:
    """Shares and areas under the curve of simulated answers scatter as their standard errors say; a share of 0 or 1 has one too."""
    draws = np.random.default_rng(0)
    for share in (0.5, 0.9):
        assert published.share_error(share, 500) == pytest.approx(draws.binomial(500, share, 20_000).std() / 500, rel=0.03)
    assert 0 < published.share_error(0, 300) < 0.01
    for shift in (0.0, 1.0):
        areas = [stats.mannwhitneyu(draws.normal(shift, 1, 250), draws.normal(0, 1, 250)).statistic / 250**2 for _ in range(1500)]
        assert published.auc_error(float(np.mean(areas)), 500) == pytest.approx(np.std(areas), rel=0.1)
    assert published.auc_error(1.0, 500) == 0


def test_a_range_may_be_of_one_scale(tmp_path: Path) -> None:
    """A spread that was published for another network than that of the small scale gives a verdict at the full scale alone."""
    numbers = content()["numbers"]
    made = protocol(tmp_path, full=content()["small"], numbers=[numbers[0] | {"holds_at": "full"}])
    values = found(made, [0.5, 0.54, 0.58], [0.41, 0.44, 0.50])
    assert published.compared(made, "full", values)["verdict"].tolist() == ["holds"]
    small = published.compared(made, "small", values)
    assert small["verdict"].tolist() == ["no verdict"]
    assert small[["at_least", "at_most"]].isna().all(axis=None)
    with pytest.raises(SpecError, match="holds_at"):
        protocol(tmp_path, numbers=[numbers[0] | {"holds_at": "half"}])


def test_a_seed_that_misses_a_run_is_left_out(tmp_path: Path) -> None:
    """A difference needs both of its runs; one seed alone has no interval and decides nothing."""
    made = protocol(tmp_path)
    table = published.compared(made, "small", found(made, [0.5, 0.6, 0.7], [0.4, math.nan, math.nan])).set_index("number")
    assert table.loc["direction", "n_seeds"] == 1
    assert table.loc["direction", "verdict"] == "cannot tell"
    assert table.loc["ranged", "n_seeds"] == 3


def test_the_worst_group() -> None:
    """Equal classes by doubles, different ones by what conflicts are not answered with; the lowest of four, at the last step."""
    rows = [(0, "both", 0, 0.0), (9, "both", 0, 0.99), (9, "both", 1, 0.97), (9, "conflict", 0, 0.9), (9, "conflict", 1, 0.8)]
    table = pd.DataFrame(rows, columns=["step", "kind", "label", "accuracy"]).assign(n=50)
    run: Any = SimpleNamespace(table=lambda form: table)
    assert published.worst_group(run).value == pytest.approx(0.1)
    assert published.worst_group(run).pictures == published.share_error(0.1, 50)
    run = SimpleNamespace(table=lambda form: table.replace("both", "bottom"))
    assert published.PUBLISHED_QUANTITIES["worst group, bottom alone"](run).value == 0.97


def test_the_worst_group_of_the_refitted_layer() -> None:
    """Read off measures.csv at the last step, with the error of a quarter of the probe; nothing where it was not decoded."""
    curves = pd.DataFrame({"step": [0, 9], "split": "test", "kind": "bottom", "accuracy": 0.5, "n": 200})
    rows = [(0, "bottom", 0.1), (9, "bottom", 0.7), (9, "top", 0.9)]
    measures = pd.DataFrame(rows, columns=["step", "kind", "value"]).assign(measure="decoded accuracy, worst group")
    run: Any = SimpleNamespace(table=lambda form="curves": curves if form == "curves" else measures)
    read = published.published_quantity("worst group, decoded")
    assert read(run) == published.RunReading(0.7, published.share_error(0.7, 50))
    assert published.published_quantity("measure decoded accuracy, worst group of bottom")(run).value == 0.7
    run = SimpleNamespace(table=lambda form="curves": curves if form == "curves" else measures.assign(measure="auc"))
    assert math.isnan(read(run).value)


def test_a_protocol_is_run_and_read_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From finished runs to both tables and what is printed; the values are those of the runs' own tables."""
    made = protocol(tmp_path)
    folders = synthetic_runs.write(made.sweeps["small"].runs, tmp_path / "out")
    monkeypatch.setattr(protocols, "named_protocol", lambda name: replace(made, name=name))
    (tmp_path / "README.md").write_text("# Published\n\n## What came out: shah2020\n\nof before\n\n## After\n\nlast\n", encoding="utf-8")
    command = ["reproduce", "shah2020", "--out", str(tmp_path / "out"), "--device", "cpu", "--write-up", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "tiny: 6 runs, 6 done before" in done.output
    for line in ("t\ns\n", "verdict", "not measured", "differs: d\ndiffers: at the small scale: c"):
        assert line in done.output
    values = pd.read_csv(tmp_path / "out" / "values.csv", dtype={"run": str})
    assert len(values) == 6
    curves = pd.read_csv(folders[0] / "curves.csv")
    last = curves[(curves["step"] == curves["step"].max()) & (curves["split"] == "test") & (curves["kind"] == "both")]
    assert values.set_index("run").loc[folders[0].name, "value"] == last["accuracy"].iloc[0]
    assert len(pd.read_csv(tmp_path / "out" / "published.csv")) == 4
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "of before" not in text
    assert text.endswith("## After\n\nlast\n")
    assert "6 of 6 runs." in text
    for line in published.markdown_rows(pd.read_csv(tmp_path / "shah2020" / "published.csv")):
        assert line in text


def test_a_protocol_of_ones_own_is_passed_by_its_path(tmp_path: Path) -> None:
    """Any column of the curves and any measure is a quantity; the write-up is a section by the file's name."""
    numbers = [
        {"name": "loss", "quantity": "train loss of top", "terms": [{}], "published": [0.5]},
        {"name": "area", "quantity": "measure auc of both", "terms": [{}]},
    ]
    made = protocol(tmp_path, numbers=numbers)
    folders = synthetic_runs.write(made.sweeps["small"].runs, tmp_path / "out")
    (tmp_path / "README.md").write_text("# Mine\n", encoding="utf-8")
    command = ["reproduce", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out"), "--write-up", str(tmp_path), "--device", "cpu"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "## What came out: tiny\n" in (tmp_path / "README.md").read_text(encoding="utf-8")
    curves = pd.read_csv(folders[0] / "curves.csv")
    last = curves[(curves["step"] == curves["step"].max()) & (curves["split"] == "train") & (curves["kind"] == "top")]
    values = pd.read_csv(tmp_path / "tiny" / "values.csv", dtype={"run": str}).query("quantity == 'train loss of top'").set_index("run")
    assert values.loc[folders[0].name, "value"] == last["loss"].iloc[0]


def test_a_file_that_names_code_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own files name code of the package; another's is not run unasked, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outside.py").write_text("raise SystemExit('it was run')\n", encoding="utf-8")
    full = content()["full"]
    full["parameters"]["train.model"] = {"values": ["outside:Network", "resnet8"]}
    protocol(tmp_path, full=full, small=full)
    done = CliRunner().invoke(main, ["reproduce", "tiny.yaml", "--out", "out", "--device", "cpu"])
    assert done.exit_code == 2
    assert "outside:Network" in done.stderr
    assert "--trust" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_in_a_protocol_is_refused(tmp_path: Path) -> None:
    """Two numbers of one name, an unknown field or quantity, a term that picks nothing, a third scale."""
    numbers = content()["numbers"]
    with pytest.raises(SpecError, match="the number 'ranged' is there twice"):
        protocol(tmp_path, numbers=[numbers[0], numbers[0]])
    with pytest.raises(SpecError, match=r"tiny\.yaml: there is no field sauce; did you mean source\?"):
        protocol(tmp_path, sauce="s")
    with pytest.raises(SpecError, match=r"ranged: where .'train.modle': 1.: a run has no such field .'modle'.; expected such as train.lr"):
        protocol(tmp_path, numbers=[numbers[0] | {"terms": [{"where": {"train.modle": 1}}]}])
    with pytest.raises(SpecError, match=r"ranged: where .'seed': 9. picks no run of the full scale"):
        protocol(tmp_path, numbers=[numbers[0] | {"terms": [{"where": {"seed": 9}}]}])
    made = protocol(tmp_path, numbers=[numbers[0] | {"quantity": "luck"}])
    with pytest.raises(SpecError, match="quantity 'luck' is not known; expected one of auc, standard"):
        published.values(made, plan.make_plan(made.sweeps["small"]), tmp_path)
    for name in ("test accuracy of nothing", "train accuracy of conflict", "measure auc of neither", "test luck of both"):
        with pytest.raises(
            SpecError, match=f"quantity '{name}' is not known; .* of one of top, bottom, both, conflict, empty, top permuted"
        ):
            published.published_quantity(name)
    with pytest.raises(OutputError, match=r"README\.md is not there; expected a README in which question"):
        write_up.keep_protocol("scale", "small", tmp_path, tmp_path / "none")
    done = CliRunner().invoke(main, ["reproduce", "shah2020", "--scale", "1/10", "--out", str(tmp_path / "x")])
    assert done.exit_code == 2
    assert "--scale: a published protocol has two scales, small and 1, got '1/10'" in done.stderr


def test_rows_say_what_is_not_there(tmp_path: Path) -> None:
    """Nothing published, nothing measured, one seed without an interval."""
    made = protocol(tmp_path)
    lines = published.markdown_rows(published.compared(made, "small", found(made, [0.5, 0.54, 0.58], [0.4, math.nan, math.nan])))
    assert lines == [
        "| ranged | 0.5 to 0.6 | 0.540 (0.441 to 0.639) | 3 | holds |",
        "| single | 0.5 | 0.400 | 1 | no verdict |",
        "| direction | not published | 0.100 | 1 | cannot tell |",
        "| other | 0.5 |  | 0 | not measured |",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"holds": [0.9, 0.1]}, "holds .0.9, 0.1.: expected the lower end first"),
        ({"holds": [None, None]}, "holds has no end, so everything would"),
        ({"holds": [0.1, math.nan]}, "finite number"),
        ({"published": [0.9, 0.1]}, "published .0.9, 0.1.: expected the lower end first"),
        ({"published": [math.nan]}, "finite number"),
        ({"terms": [{"times": math.nan}]}, "finite number"),
    ],
)
def test_numbers_that_say_nothing_are_refused(change: dict[str, object], said: str) -> None:
    """A range the wrong way round, without ends, or with what is no number."""
    number = {"name": "n", "quantity": "worst group", "terms": [{}], "published": [0.1, 0.9]} | change
    with pytest.raises(ValidationError, match=said):
        protocols.PublishedNumber.model_validate(number)


def test_measures_are_those_that_runs_have() -> None:
    """The measures of a run of two classes whose last layer is refitted are known; another name is refused with the nearest."""
    dealt = {"n": 60, "top": "digits[0,1]", "bottom": "textures[0,1]", "prevalence": (1, 1)}
    run = dominoes.train(dealt, model="mlp", epochs=1, measurements=2, probe=40, decode="last")
    assert set(run.measures["measure"]) == set(published.MEASURED)
    with pytest.raises(SpecError, match="there is no measure aux .did you mean auc..; expected one of margin mean; "):
        published.published_quantity("measure aux of top permuted")


def test_intervals_of_shares_end_where_shares_do(tmp_path: Path) -> None:
    """At 0 and 1, and at −1 and 1 where one is taken from another; of a loss they go where the spread of seeds puts them."""
    made = protocol(tmp_path)
    table = published.compared(made, "small", found(made, [0.1, 0.9, 0.9], [0.9, 0.1, 0.1])).set_index("number")
    assert table.loc["ranged", ["low", "high"]].tolist() == [0.0, 1.0]
    assert table.loc["direction", ["low", "high"]].tolist() == [-1.0, 1.0]
    assert [
        published._is_share(name) for name in ("worst group", "train agree_top of top", "measure auc of both", "test loss of both")
    ] == [
        True,
        True,
        True,
        False,
    ]


def test_lenet_has_the_published_sizes() -> None:
    """Weights counted by hand: two convolutions, two hidden layers, the last; the notebook's first hidden layer has 2,016 inputs."""
    network = networks.LeNet(2)
    expected = (3 * 25 * 32 + 32) + (32 * 25 * 56 + 56) + (56 * 9 * 4 * 512 + 512) + (512 * 256 + 256) + (256 * 2 + 2)
    assert sum(weight.numel() for weight in network.parameters()) == expected
    assert 56 * 9 * 4 == 2016
    assert network(torch.zeros(3, 3, 64, 32)).shape == (3, 2)


@pytest.mark.parametrize("folder", MEASURED, ids=lambda path: path.name)
def test_what_is_kept_follows_from_the_runs_values(folder: Path) -> None:
    """published.csv is what values.csv comes to, and each of its rows stands in the README as it would be written."""
    kept = pd.read_csv(folder / "published.csv")
    values = pd.read_csv(folder / "values.csv", dtype={"run": str})
    table = published.compared(protocols.named_protocol(folder.name), kept["scale"].iloc[0], values)
    pd.testing.assert_frame_equal(
        table.astype({"spread": str}).fillna({"spread": ""}), kept.astype({"spread": str}).replace("nan", ""), check_dtype=False
    )
    text = (folder.parent / "README.md").read_text(encoding="utf-8")
    for line in published.markdown_rows(kept):
        assert line in text
