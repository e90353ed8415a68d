"""Across the sweep: points, intervals and laws, held against the truth of synthetic runs and against scipy."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_runs
from scipy import stats

from dominoes.reporting import results
from dominoes.reporting.chart import Grid, Panel
from dominoes.reporting.charts import sweep
from dominoes.reporting.results import Results


@pytest.fixture(scope="module")
def found(swept: Path) -> Results:
    """The synthetic sweep."""
    return results.gather([swept])


def test_points_are_means_with_students_interval(found: Results) -> None:
    """Onsets are averaged as logarithms over seeds; the bar is Student's 95 % interval."""
    values = np.array([[100.0, 10.0], [200.0, np.nan], [400.0, np.nan]])
    mean, low, high, count = sweep._summary(values, True)
    expected = stats.t.interval(0.95, 2, np.log(values[:, 0]).mean(), stats.sem(np.log(values[:, 0])))
    assert (mean[0], low[0], high[0]) == (pytest.approx(200), *map(pytest.approx, np.exp(expected)))
    assert (mean[1], count.tolist()) == (pytest.approx(10), [3, 1])
    assert np.isnan(low[1])


def test_the_law_that_is_drawn_is_the_truth(found: Results) -> None:
    """Onsets of the top go as 1 / its prevalence: the line has slope −1 on logarithmic axes, through the middle of the points."""
    charts, _ = sweep.charts(found)
    chart = next(chart for chart in charts if chart.name == "sweep-prevalence_top")
    table = chart.table[(chart.table["side"] == "top") & (chart.table["quantity"] == "onset")]
    slope, intercept = np.polyfit(np.log(table["prevalence_top"]), np.log(table["law"]), 1)
    assert slope == pytest.approx(-1, abs=0.15)
    assert np.log(table["law"]).mean() == pytest.approx(np.log(table["mean"]).mean())
    assert (table["law_low"] <= table["law"]).all()
    assert (table["law"] <= table["law_high"]).all()
    panel = chart.parts[0]
    assert isinstance(panel, Panel)
    assert (panel.x_log, panel.y_log) == (True, True)
    assert "onset of the top ∝ prevalence_top^-" in chart.caption
    assert np.exp(intercept) == pytest.approx(500, rel=0.2)


def test_competition_is_a_side_against_the_other(found: Results) -> None:
    """The bottom's onset and mean accuracy against the prevalence of the top; flat, as the synthetic runs have it."""
    chart = next(chart for chart in sweep.charts(found)[0] if chart.name == "competition")
    table = chart.table[chart.table["quantity"] == "mean accuracy"]
    assert set(table["side"]) == {"bottom"}
    assert np.ptp(table["mean"]) < 0.02
    assert "3 seeds a point" in chart.caption


def test_two_fields_have_a_heat_map_and_words_an_axis(tmp_path: Path) -> None:
    """Two swept fields give a cell for each pair; a field of words is a category and has no law."""
    specs = [*synthetic_runs.sweep([0.2, 0.4], 2, measurements=12), *synthetic_runs.sweep([0.2, 0.4], 2, measurements=12, model="mlp")]
    synthetic_runs.write(specs, tmp_path)
    charts = {chart.name: chart for chart in sweep.charts(results.gather([tmp_path]))[0]}
    heat = charts["heat-onset-prevalence_top-model"]
    assert len(heat.table) == 2 * 4
    assert isinstance(heat.parts[0], Grid)
    assert heat.choices() == ["top", "bottom"]
    by_model = charts["sweep-model"]
    assert by_model.table["law"].isna().all()
    assert set(by_model.table["model"]) == {"mlp", "detector"}
    # The same cell by hand: the geometric mean of the seeds' onsets is the point of the other chart.
    points = by_model.table.query("side == 'top' and quantity == 'onset' and model == 'mlp'").set_index("others")["mean"]
    cell = heat.table.query("side == 'top' and model == 'mlp' and prevalence_top == '0.2'")["value"].iloc[0]
    assert cell == pytest.approx(points["prevalence_top 0.2"])


def test_a_wild_bar_does_not_stretch_the_axis() -> None:
    """A bar that reaches a thousand times beyond the points is cut; without one the axis is as it comes."""
    table = pd.DataFrame({"mean": [100.0, 200.0], "low": [90.0, 150.0], "high": [110.0, 2e5]})
    assert sweep._ends([table], True) == (10.0, 2000.0)
    assert sweep._ends([table], False) == ()
    assert sweep._ends([table.iloc[:1]], True) == ()


def test_half_a_sweep_and_none_are_said(found: Results) -> None:
    """One spec has nothing to compare; one seed has no interval; what the laws cannot use becomes a note."""
    alone = dataclasses.replace(found, fields=())
    assert sweep.charts(alone) == ([], ["the runs differ in nothing but the seed: nothing is swept"])
    one = dataclasses.replace(found, curves=found.curves[found.curves["seed"] == 0])
    charts, _ = sweep.charts(one)
    assert "one seed a point, no intervals" in charts[0].caption
    assert charts[0].table["low"].isna().all()
    missing = dataclasses.replace(found, curves=found.curves[found.curves["kind"] == "both"])
    assert "there are no one-sided test curves" in sweep.charts(missing)[1][0]
