"""Theory against data: the charts show what the theory's own functions say."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dominoes.reporting import completion, results
from dominoes.reporting.charts import learning, sweep, theory
from dominoes.reporting.results import Results
from dominoes.theory.fits import curve as curve_fits
from dominoes.theory.rules import RULES


@pytest.fixture(scope="module")
def found(swept: Path) -> Results:
    """The synthetic sweep with fits, comparison and bands."""
    return completion.with_bands(completion.complete(results.gather([swept])))[0]


@pytest.mark.parametrize("family", ["logistic", "logistic-log"])
def test_a_row_of_fits_is_the_fitted_curve(found: Results, family: str) -> None:
    """From floor, ceiling, speed and onset alone comes the curve that was fitted."""
    curve = found.curves[(found.curves["run"] == found.runs[4].id) & (found.curves["kind"] == "top") & (found.curves["split"] == "test")]
    for metric in ("accuracy", "loss"):
        fit = curve_fits.fit_curve(curve["step"], curve[metric], family=family, metric=metric, chance=0.1)
        row = {name: getattr(fit, name) for name in ("family", "floor", "ceiling", "speed", "onset")}
        assert np.allclose(theory.pattern(row, curve["step"]), fit.predict(curve["step"]), atol=1e-6)


def test_doubles_are_predicted_seed_by_seed(found: Results) -> None:
    """Each rule is formed from a seed's own one-sided errors, then averaged; on independent patterns the product rule is right."""
    chart = theory.doubles_chart(found)
    assert chart is not None
    row = chart.table[chart.table["group"] == found.groups[2]].iloc[9]
    test = found.curves[(found.curves["split"] == "test") & (found.curves["group"] == found.groups[2])]
    wide = test[test["step"] == row["step"]].pivot_table(index="run", columns="kind", values="accuracy")
    for rule in ("product", "addition", "better side", "mean"):
        expected = RULES[rule].doubles(1 - wide["top"].to_numpy(), 1 - wide["bottom"].to_numpy(), 10).mean()
        assert row[rule] == pytest.approx(expected)
        assert row[f"{rule} residual"] == pytest.approx((1 - wide["both"]).mean() - expected)
    assert row["measured"] == pytest.approx((1 - wide["both"]).mean())
    assert chart.table["product residual"].abs().mean() < 0.01 < chart.table["mean residual"].abs().mean()


def test_conflicts_are_predicted_too(found: Results) -> None:
    """Neither class: measured from both agreements, predicted by the two rules."""
    chart = theory.neither_chart(found)
    assert chart is not None
    row = chart.table.iloc[-1]
    test = found.curves[(found.curves["split"] == "test") & (found.curves["group"] == row["group"]) & (found.curves["step"] == row["step"])]
    wide = test.pivot_table(index="run", columns="kind", values="accuracy")
    expected = RULES["product"].conflicts(1 - wide["top"].to_numpy(), 1 - wide["bottom"].to_numpy(), 10)[2].mean()
    assert row["product"] == pytest.approx(expected)
    conflict = test[test["kind"] == "conflict"]
    assert row["measured"] == pytest.approx((1 - conflict["agree_top"] - conflict["agree_bottom"]).mean())


def test_ratios_are_the_comparators_bands(found: Results) -> None:
    """The ratio of errors and λ over time are what the comparison holds, group by group."""
    charts = {chart.name: chart for chart in theory.ratio_charts(found)}
    assert set(charts) == {"ratio", "preference"}
    assert found.bands is not None
    bands = found.bands[(found.bands["question"] == "doubles") & (found.bands["model"] == "product")]
    assert np.allclose(np.sort(charts["ratio"].table["estimate"]), np.sort(bands["estimate"].astype(float)))
    assert set(charts["ratio"].table["group"]) <= set(found.groups)
    judged = charts["ratio"].table["judged"].notna()
    assert 0 < judged.sum() == bands["used"].astype(bool).sum() < len(bands)


def test_fits_are_drawn_over_what_was_measured(found: Results) -> None:
    """Fitted curves follow the measured means closely, both metrics, both sides."""
    chart = theory.fits_chart(found)
    assert chart is not None
    table = chart.table[chart.table["metric"] == "accuracy"]
    assert np.sqrt(np.mean((table["measured"] - table["fit"]) ** 2)) < 0.02
    assert set(zip(chart.table["kind"], chart.table["metric"], strict=True)) == {
        (k, m) for k in ("top", "bottom") for m in ("accuracy", "loss")
    }


def test_dots_and_lines_are_of_the_same_seeds(found: Results) -> None:
    """A seed whose fit found no onset is in neither mean, and the caption counts what is left out."""
    assert found.fits is not None
    run = found.curves["run"].iloc[0]
    lost = (found.fits["run"] == run) & (found.fits["kind"] == "top") & (found.fits["metric"] == "accuracy")
    chart = theory.fits_chart(dataclasses.replace(found, fits=found.fits.assign(onset=found.fits["onset"].mask(lost))))
    assert chart is not None
    assert "1 of " in chart.caption
    assert "left out: no onset" in chart.caption
    rows = chart.table[
        (chart.table["group"] == found.group_of(run)) & (chart.table["kind"] == "top") & (chart.table["metric"] == "accuracy")
    ]
    others = found.curves[(found.curves["group"] == found.group_of(run)) & (found.curves["run"] != run)]
    others = others[(others["kind"] == "top") & (others["split"] == "test")]
    assert np.allclose(rows["measured"], others.groupby("step")["accuracy"].mean())


def test_a_law_leads_to_the_figure_of_its_field(found: Results) -> None:
    """Of two swept fields each has its own figure, and what is held against the yardstick another."""
    laws = {"question": "law of onset", "verdict": "holds", "sentence": "s", "group": ""}
    names = ["prevalence_top", "prevalence_bottom", "code_length_top"]
    some = pd.DataFrame([laws | {"rival": name} for name in names] + [laws | {"question": "simplicity", "rival": "solo_time_top"}])
    table = theory.verdicts(dataclasses.replace(found, comparison=some))
    assert table is not None
    assert table["figure"].tolist() == ["sweep-prevalence_top", "sweep-prevalence_bottom", "onsets", "onsets"]


def test_without_fits_or_kinds_the_charts_are_absent(swept: Path) -> None:
    """What cannot be made is None, not a failure; fits that found nothing to fit are no curve."""
    bare = results.gather([swept])
    assert theory.fits_chart(bare) is None
    assert theory.verdicts(bare) is None
    assert theory.ratio_charts(bare) == []
    less = dataclasses.replace(bare, curves=bare.curves[bare.curves["kind"].isin(["top", "empty"])])
    assert theory.doubles_chart(less) is None
    assert theory.neither_chart(less) is None
    none = dataclasses.replace(bare, curves=bare.curves.iloc[:0])
    assert completion.with_bands(none)[1] == "no curves"
    assert completion.complete(none) is none
    unknown = dataclasses.replace(bare, classes_count=None)
    assert completion.with_bands(unknown)[1] == "the number of classes is not known"
    assert theory.doubles_chart(unknown) is None
    row = {"family": "logistic", "floor": 0.1, "ceiling": 0.1, "speed": np.nan, "onset": np.nan}
    assert theory.pattern(row, pd.Series([0, 1])).isna().all()


def test_every_question_leads_to_a_figure(found: Results) -> None:
    """Each verdict's figure is one that the page has."""
    table = theory.verdicts(found)
    assert table is not None
    names = {chart.name for chart in sweep.charts(found)[0]} | {chart.name for chart in theory.ratio_charts(found)}
    names |= {"curves", "fits", "doubles", "neither"}
    assert learning.curves_chart(found).name in names
    for name in set(table["figure"]):
        assert name in names or any(each.startswith(f"{name}-") for each in names), name
    assert set(table["question"]) >= {"doubles", "preference", "no competition", "law of onset"}
