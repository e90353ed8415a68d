"""Headline numbers: late means and onsets by their definition, Student's interval over seeds, crossed deals as clusters."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dominoes.errors import CurvesError
from dominoes.studies import headline_numbers

STEPS = np.array([0, 1, 3, 10, 32, 100, 316, 1000])


def run(name: str, seed: int, ceiling: float, **more: object) -> pd.DataFrame:
    """A run whose top half rises from chance to `ceiling` at step 10, and whose bottom stays at chance."""
    rows = []
    for kind in ("top", "bottom", "both", "conflict"):
        risen = (STEPS >= 10) & (kind != "bottom")
        accuracy = np.where(risen, ceiling, 0.1)
        rows.append(pd.DataFrame({"run": name, "seed": seed, "step": STEPS, "split": "test", "kind": kind, "accuracy": accuracy,
                                  "agree_top": accuracy, "agree_bottom": 1 - accuracy, **more}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_a_late_mean_is_over_the_last_quarter_of_log_time() -> None:
    """From 1 to 1000 that is from 178 on: steps 316 and 1000, half each by the trapezoid rule; step 0 is in no log time."""
    values = np.array([9.0, 9, 9, 9, 9, 9, 0.2, 0.6])
    assert headline_numbers.late_mean(STEPS, values) == pytest.approx(0.4)
    fine = np.arange(1, 1001)
    assert headline_numbers.late_mean(fine, np.log(fine)) == pytest.approx(np.log(1000) * 7 / 8, abs=1e-3)
    assert headline_numbers.late_mean([5], [0.3]) == 0.3
    assert math.isnan(headline_numbers.late_mean([0], [0.3]))


def test_what_a_run_comes_to() -> None:
    """Late accuracy, shares of conflicts, onset between the steps around half of the rise; what is not learned has no onset."""
    found = headline_numbers.of_runs(run("a", 0, 0.9)).set_index("quantity")
    assert found.loc["late accuracy top", "value"] == pytest.approx(0.9)
    assert found.loc["conflicts as bottom", "value"] == pytest.approx(0.1)
    assert found.loc["onset top", "value"] == pytest.approx(math.sqrt(3 * 10))
    assert math.isnan(found.loc["onset bottom", "value"])
    assert found["point"].unique().tolist() == ["all runs"]


def test_a_gap_is_what_training_dominoes_are_known_better_by() -> None:
    """Late accuracy on the training sample less that on test dominoes; a table of test curves alone has none."""
    test, train = run("a", 0, 0.7), run("a", 0, 0.9).assign(split="train")
    found = headline_numbers.of_runs(pd.concat([test, train])).set_index("quantity")["value"]
    assert found["train less test accuracy top"] == pytest.approx(0.2)
    assert found["train less test accuracy bottom"] == pytest.approx(0)
    assert found.drop(["train less test accuracy top", "train less test accuracy bottom"]).equals(
        headline_numbers.of_runs(test).set_index("quantity")["value"]
    )


def test_intervals_are_students_over_seeds() -> None:
    """Each point by itself; scipy's interval of the mean."""
    ceilings = {0.2: [0.9, 0.8, 0.85], 0.7: [0.95, 0.97, 0.93]}
    curves = pd.concat([run(f"{a} {s}", s, c, prevalence_top=a) for a, values in ceilings.items() for s, c in enumerate(values)])
    found = headline_numbers.headlines(curves)
    rows = found[found["quantity"] == "late accuracy top"].set_index("point")
    assert rows.index.tolist() == ["prevalence_top 0.2", "prevalence_top 0.7"]
    for (_, row), values in zip(rows.iterrows(), ceilings.values(), strict=True):
        expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert (row["low"], row["high"]) == pytest.approx(expected)
        assert row["n_runs"] == 3
        assert row["margin"] == 0.03
    assert found["part"].unique().tolist() == ["points"]


def test_crossed_deals_are_one_point_with_components() -> None:
    """Deals crossed with seeds are repetitions of one point: the interval counts deals, and components are told, without a margin."""
    rng = np.random.default_rng(0)
    deals = 0.8 + 0.03 * rng.standard_normal(6)
    parts = [
        run(f"{d} {s}", s, level + 0.002 * rng.standard_normal(), deal_seed=d, probe_seed=0)
        for d, level in enumerate(deals)
        for s in range(4)
    ]
    found = headline_numbers.headlines(pd.concat(parts, ignore_index=True)).set_index(["part", "quantity"])
    row = found.loc["points", "late accuracy top"]
    assert row["n_runs"] == 24
    assert row["high"] - row["low"] > 2 * np.std(deals) / math.sqrt(6)
    assert found.loc[("variance", "variance of late accuracy top: deal"), "estimate"] == pytest.approx(np.var(deals, ddof=1), rel=0.1)
    assert found.loc["variance"]["margin"].isna().all()
    assert "variance of ln onset top: seed" in found.loc["variance"].index


def test_a_comparison_brings_its_margins() -> None:
    """A ratio's factor, half of a range, the exponent's default; rows of single points and those not applicable are left out."""
    rows = {
        "group": [np.nan, np.nan, np.nan, "seed 1", np.nan],
        "question": ["no competition", "no competition", "law of onset", "doubles", "rescaling"],
        "side": ["bottom"] * 5, "model": ["onset", "accuracy", "power law", "product", "onset"], "rival": [""] * 5, "window": [np.nan] * 5,
        "quantity": ["ratio", "change", "exponent", "x", "y"], "estimate": [1.1, 0.0, -1.0, 1.0, 1.0], "low": [1.0] * 5, "high": [1.2] * 5,
        "at_least": [1 / 1.2, -0.1, np.nan, 0.8, 0.8], "at_most": [1.2, 0.1, np.nan, 1.25, 1.25], "n_seeds": [3] * 5,
        "verdict": ["holds", "holds", "cannot tell", "holds", "not applicable"],
    }  # fmt: skip
    found = headline_numbers.of_comparison(pd.DataFrame(rows))
    assert found["quantity"].tolist() == [
        "no competition | bottom | onset | ratio",
        "no competition | bottom | accuracy | change",
        "law of onset | bottom | power law | exponent",
    ]
    assert found["scale"].tolist() == ["ratio", "difference", "difference"]
    assert found["margin"].tolist() == pytest.approx([1.2, 0.1, 0.2])


def test_a_table_of_numbers_is_read_as_it_was_written(tmp_path: Path) -> None:
    """An empty point is an empty text, an empty margin no number; another table is refused."""
    found = headline_numbers.headlines(run("a", 0, 0.9))
    found.to_csv(tmp_path / "headlines.csv", index=False)
    pd.testing.assert_frame_equal(headline_numbers.read_headlines(tmp_path / "headlines.csv"), found)
    run("a", 0, 0.9).to_csv(tmp_path / "curves.csv", index=False)
    with pytest.raises(CurvesError, match="the column part, point"):
        headline_numbers.read_headlines(tmp_path / "curves.csv")
    with pytest.raises(CurvesError, match=r"cannot be read as a table .* made by 'dominoes headlines'"):
        headline_numbers.read_headlines(tmp_path / "none.csv")


def test_what_is_no_table_of_curves_is_refused() -> None:
    """A missing column, or no test curves."""
    with pytest.raises(CurvesError, match="the column agree_top is missing"):
        headline_numbers.of_runs(run("a", 0, 0.9).drop(columns="agree_top"))
    with pytest.raises(CurvesError, match="no curves of split test"):
        headline_numbers.of_runs(run("a", 0, 0.9).assign(split="train"))
