"""The charts of what was learned, held against the runs' own tables."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dominoes.errors import CurvesError
from dominoes.reporting import completion, results
from dominoes.reporting.chart import Grid
from dominoes.reporting.charts import learning
from dominoes.reporting.results import Results
from dominoes.runs import parameters, run_folders
from dominoes.theory.fits import table


@pytest.fixture(scope="module")
def found(swept: Path) -> Results:
    """The synthetic sweep."""
    return results.gather([swept])


def test_means_and_bands_are_those_of_the_seeds(found: Results) -> None:
    """Mean, lowest and highest of three seeds, computed anew row by row."""
    table = learning.averaged(found)
    assert (table["seeds"] == 3).all()
    row = table[(table["kind"] == "top") & (table["split"] == "test")].iloc[37]
    mine = found.curves[(found.curves["group"] == row["group"]) & (found.curves["step"] == row["step"])]
    mine = mine[(mine["kind"] == "top") & (mine["split"] == "test")]
    for metric in ("loss", "accuracy"):
        assert row[metric] == pytest.approx(np.mean(mine[metric]))
        assert (row[f"{metric}_low"], row[f"{metric}_high"]) == (min(mine[metric]), max(mine[metric]))
    assert len(table) == len(found.curves) / 3


def test_time_of_a_side_counts_what_showed_it(found: Results) -> None:
    """Dominoes seen of a side are its prevalence times dominoes seen, for the one-sided kinds alone."""
    table = learning.averaged(found)
    for group, value in zip(found.groups, (0.1, 0.2, 0.4, 0.8), strict=True):
        mine = table[(table["group"] == group) & (table["kind"] == "top")]
        assert np.allclose(mine["of_side"], mine["samples"] * value, rtol=1e-3)
    assert table.loc[table["kind"].isin(["both", "conflict", "empty"]), "of_side"].isna().all()


def test_a_run_that_broke_off_does_not_bend_the_mean(found: Results) -> None:
    """Where fewer than half of a group's runs go on, the mean curve ends."""
    table = found.curves
    group = found.groups[0]
    short = table[(table["group"] == group)]["run"].unique()[:2]
    cut = dataclasses.replace(found, curves=table[~(table["run"].isin(short) & (table["step"] > 100))])
    made = learning.averaged(cut)
    assert made.loc[made["group"] == group, "step"].max() <= 100
    assert made.loc[made["group"] == found.groups[1], "step"].max() > 100


def test_captions_state_seeds_band_and_n(found: Results) -> None:
    """One line says how many seeds, what the band is, and n."""
    caption = learning.curves_chart(found).caption
    assert "Mean and range (lowest to highest) of 3 seeds; n = 1000 test dominoes a kind." in caption
    assert "\n" not in caption
    one = dataclasses.replace(found, curves=found.curves[found.curves["seed"] == 0])
    assert "One seed, no band" in learning.curves_chart(one).caption


def test_panels_are_one_sided_with_chance(found: Results) -> None:
    """For each group loss and accuracy of both sides, test and train; chance at ln K and 1/K."""
    parts = learning.one_sided_chart(found).parts
    assert len(parts) == 8
    assert [len(part.lines) for part in parts] == [4] * 8  # type: ignore[union-attr]
    assert (parts[0].rule, parts[1].rule) == (pytest.approx(np.log(10)), 0.1)  # type: ignore[union-attr]


def test_nothing_to_draw_is_an_error(found: Results) -> None:
    """No curves, or none of one side, cannot be drawn as one-sided curves."""
    none = dataclasses.replace(found, curves=found.curves.iloc[:0])
    with pytest.raises(CurvesError, match="holds no finished run, so there is nothing to draw"):
        learning.one_sided_chart(none)
    with pytest.raises(CurvesError, match="there are no curves to draw"):
        learning.curves_chart(none)
    with pytest.raises(CurvesError, match="there are no one-sided curves"):
        learning.one_sided_chart(dataclasses.replace(found, curves=found.curves[found.curves["kind"] == "both"]))


def test_onsets_are_geometric_means_of_the_fits(found: Results) -> None:
    """Each curve's onset is marked at the mean of its seeds' fits, and lies where the synthetic pattern has it."""
    fits = table.fit_table(found.curves.drop(columns=["group", *found.fields]), families=("logistic-log",))
    made = learning.curves_chart(dataclasses.replace(found, fits=fits)).table
    mine = made[(made["group"] == found.groups[2]) & (made["kind"] == "top") & (made["split"] == "test")]
    runs = found.curves.loc[found.curves["group"] == found.groups[2], "run"].unique()
    own = fits[fits["run"].isin(runs) & (fits["kind"] == "top") & (fits["split"] == "test") & (fits["metric"] == "accuracy")]
    assert np.allclose(mine["accuracy_onset"], np.exp(np.log(own["onset"]).mean()))
    assert own["onset"].mean() * 64 == pytest.approx(500 / 0.4, rel=0.25)


def test_an_onset_that_one_seed_has_not_is_not_marked(found: Results) -> None:
    """The mean over the seeds that came so far would lie too early, so nothing is marked where a seed is left out."""
    fits = completion.complete(found).fits
    assert fits is not None
    run = found.curves["run"].iloc[0]
    fits = fits.assign(onset=fits["onset"].mask((fits["run"] == run) & (fits["kind"] == "top")))
    table = learning.curves_chart(dataclasses.replace(found, fits=fits)).table
    top = table[(table["kind"] == "top") & (table["split"] == "test")]
    assert top.loc[top["group"] == found.group_of(run), "accuracy_onset"].isna().all()
    assert top.loc[top["group"] != found.group_of(run), "accuracy_onset"].notna().all()


def test_long_runs_are_thinned_where_the_eye_cannot_tell() -> None:
    """Only tables that are too long lose steps; the ends stay, what is left is dense in log time, and it is said."""
    steps = np.arange(5001)
    table = pd.DataFrame({"group": "g", "split": "test", "kind": "top", "step": np.tile(steps, 30), "loss": 1.0})
    table["group"] = np.repeat([f"g{number}" for number in range(30)], len(steps))
    kept, note = learning.thinned(table, ("group", "split", "kind"))
    assert kept.groupby("group")["step"].agg(["min", "max"]).eq([0, 5000]).all(axis=None)
    assert len(kept) < 30 * 210
    logs = np.log(np.unique(kept["step"])[1:])
    # A curve is drawn some 500 pixels wide; steps lie closer than five of them, or are those that there are.
    gaps = np.diff(logs)
    assert (gaps[np.exp(logs[1:]) > 30] < 5 / 500 * np.log(5000)).all()
    assert "of 5001 steps are drawn" in note
    assert learning.thinned(kept, ("group", "split", "kind"))[1] == ""


def test_answers_to_conflicts_add_up(found: Results) -> None:
    """Shares of the top's class, the bottom's and neither are those of the table and sum to one."""
    chart = learning.answers_chart(found)
    assert chart is not None
    assert np.allclose(chart.table[["top", "bottom", "neither"]].sum(axis=1), 1)
    assert list(dict.fromkeys(chart.table["group"])) == list(found.groups)
    assert learning.answers_chart(dataclasses.replace(found, curves=found.curves[found.curves["kind"] != "conflict"])) is None


def test_confusion_is_the_sum_over_seeds(found: Results, swept: Path) -> None:
    """Every pair of classes that was asked has a row, with the distribution of answers; blanks are a class of their own."""
    charts = learning.confusion_charts(found)
    assert [chart.name for chart in charts] == ["confusion", "answers"]
    table = charts[0].table
    mine = table[table["group"] == found.groups[1]].set_index(["top", "bottom"])
    assert len(mine) == 121
    ids = found.curves.loc[found.curves["group"] == found.groups[1], "run"].unique()
    total = sum(np.load(swept / "runs" / name / "confusion.npz")["counts"] for name in ids)
    for top, bottom in ((3, 7), (4, 4), (2, 10), (10, 6), (10, 10)):
        row = mine.loc[("blank" if top == 10 else str(top), "blank" if bottom == 10 else str(bottom))]
        counts = total[top, bottom]
        assert row["n"] == counts.sum()
        assert np.allclose([row[f"answers_{k}"] for k in range(10)], counts / counts.sum())
        for_top = counts[top] / counts.sum() if top < 10 else 0.0
        for_bottom = counts[bottom] / counts.sum() if bottom < 10 and bottom != top else 0.0
        assert row["answers_other"] == pytest.approx(1 - for_top - for_bottom)
        assert np.isnan(row["answers_top"]) == (top == 10)
    assert isinstance(charts[1].parts[0], Grid)
    assert learning.confusion_charts(dataclasses.replace(found, confusion={})) == []


def test_one_step_and_one_kind_are_drawn(swept: Path) -> None:
    """A run that was measured once, on one kind, still has its point."""
    table = parameters.read_runs(run_folders.finished(swept)[0])
    only = table[(table["kind"] == "top") & (table["step"] == table["step"].max())].assign(group="g")
    found = dataclasses.replace(results.gather([run_folders.finished(swept)[0]]), curves=only, groups=("g",))
    assert len(learning.curves_chart(found).table) == 2
    assert learning.answers_chart(found) is None
