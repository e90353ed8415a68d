"""Sweeps that follow known laws are judged rightly; what a sweep does not hold is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_truths import Truth, sweep

from dominoes.errors import CurvesError
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE
from dominoes.theory.sweep_comparison import SWEEP_QUESTIONS, compare_sweep
from dominoes.theory.sweep_curves import arranged as arranged
from dominoes.theory.verdicts import COMPARISON

GRID = [(top, bottom) for top in (0.2, 0.4, 0.8) for bottom in (0.2, 0.4, 0.8)]
TRUTH = Truth(onset=(20, 60), seed_spread=0.1)


ENDS = [(top, bottom) for top in (0.2, 0.8) for bottom in (0.2, 0.8)]


def judged(simulations: int, questions: list[str], grid: list[tuple[float, float]], seeds: int = 5, **law: float) -> pd.DataFrame:
    """Share of each verdict, one row for each (question, side, model, window)."""
    tables = [
        compare_sweep(sweep(TRUTH, grid, seeds=seeds, number=number, **law), classes_count=10, questions=questions).table
        for number in range(simulations)
    ]
    found = pd.concat(tables).groupby(["question", "side", "model", "window"])["verdict"].value_counts().unstack(fill_value=0) / simulations
    return found.reindex(columns=[HOLDS, FAILS, CANNOT_TELL], fill_value=0.0)


@pytest.mark.slow
def test_competition_is_found() -> None:
    """Onsets that double as the other side's prevalence goes from 0.2 to 0.8: no competition fails in at least 90 % of 60 simulations, and
    neither the onset nor the rise is ever held to be free of it; before and after the rise nothing differs."""
    found = judged(60, ["no competition"], ENDS, competition=1.2)
    for side in ("top", "bottom"):
        assert found.loc[("no competition", side, "onset", ""), FAILS] >= 0.9
        assert found.loc[("no competition", side), HOLDS].loc[[("accuracy", "rise"), ("onset", "")]].max() == 0


@pytest.mark.slow
def test_without_competition_it_is_not_found() -> None:
    """Curves that do not compete: said to compete in at most 5 % of 40 simulations, and held to be free of it in at least 80 % (by the
    onset, whose margin is narrow for five seeds, in more than half; docs/explanation/verdict-simulations.md)."""
    found = judged(40, ["no competition", "rescaling"], GRID)
    for side in ("top", "bottom"):
        assert found.loc[("no competition", side, "onset", ""), HOLDS] > 0.5
        assert found.loc[("no competition", side, "accuracy", "late"), HOLDS] >= 0.8
        assert found.loc[("rescaling", side, "onset", ""), HOLDS] >= 0.8
        assert found.loc[("rescaling", side, "collapse", ""), HOLDS] >= 0.8
        assert found.loc[("no competition", side), FAILS].max() <= 0.05


# A, D of points with the bottom in half of the dominoes: D fixed, A fixed.
AT_ONCE = [(0.2, 0.1), (0.5, 0.25), (0.8, 0.4)]
BY_PREVALENCE = [(0.3, 0.25), (0.5, 0.25), (0.7, 0.25)]
BY_BOTH = [(0.5, 0.05), (0.5, 0.25), (0.5, 0.45)]


def designed(points: list[tuple[float, float]], simulations: int, *, lost: float, by: str = "both", seeds: int = 5) -> pd.DataFrame:
    """Rows of competition about the bottom, whose late accuracy falls by `lost` over the range; a bottom that learns .35 above chance."""
    truth = replace(TRUTH, onset=(5, 30), ceiling=(0.97, 0.4))
    grid, shares = [(top, 0.5) for top, _ in points], [both for _, both in points]
    tables = []
    for number in range(simulations):
        curves = sweep(truth, grid, both=shares, exponent=0, lost=lost, by=by, seeds=seeds, number=number)
        tables.append(compare_sweep(curves, classes_count=10, questions=["no competition"]).table)
    found = pd.concat(tables)
    return found[(found["side"] == "bottom")]


@pytest.mark.slow
@pytest.mark.parametrize(("points", "by", "moved"), [
    (BY_PREVALENCE, "prevalence_top", "prevalence_top, at fixed co-occurrence"),
    (BY_BOTH, "both", "the co-occurrence of both halves, at fixed prevalence_top"),
    (AT_ONCE, "both", "prevalence_top with growing co-occurrence (confounded)"),
])  # fmt: skip
def test_a_late_loss_is_found_and_what_moved_is_named(points: list[tuple[float, float]], by: str, moved: str) -> None:
    """A bottom that ends .08 lower, over a fifth of what it learns: its late accuracy fails in at least 80 % of 30 simulations; no loss
    holds in more than half (five seeds leave the rest open; docs/explanation/verdict-simulations.md); and the row names what moved."""
    for lost, right, wrong, often in ((0.08, FAILS, HOLDS, 0.8), (0.0, HOLDS, FAILS, 0.5)):
        found = designed(points, 30, lost=lost, by=by)
        late = found[(found["model"] == "accuracy") & (found["window"] == "late")]
        assert set(late["rival"]) == {moved}
        assert (late["verdict"] == right).mean() >= often, late["verdict"].value_counts()
        assert (late["verdict"] == wrong).mean() <= 0.05


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True,
    reason="a slope that may differ between seeds has four degrees of freedom, and Student's interval of true error then finds this loss "
    "in .80 at most; found in .73: docs/explanation/verdict-simulations.md",
)
def test_five_seeds_find_a_smaller_late_loss() -> None:
    """What is asked and cannot be reached: a bottom that ends .07 lower fails late in at least 80 % of simulations, whatever moved."""
    designs = ((BY_PREVALENCE, "prevalence_top"), (BY_BOTH, "both"), (AT_ONCE, "both"))
    shares = []
    for points, by in designs:
        rows = designed(points, 30, lost=0.07, by=by)
        shares.append((rows[(rows["model"] == "accuracy") & (rows["window"] == "late")]["verdict"] == FAILS).mean())
    assert min(shares) >= 0.8


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True,
    reason="of true error and all scatter pooled (eight degrees of freedom) five seeds show it by late accuracy in .78 at most; reached: "
    ".73 by the onset, .67 by late accuracy: docs/explanation/verdict-simulations.md",
)
def test_five_seeds_show_that_nothing_competes() -> None:
    """What is asked and cannot be reached: without competition, onset and late accuracy say so in at least 80 % of simulations."""
    found = judged(40, ["no competition"], GRID)
    onset = [found.loc[("no competition", side, "onset", ""), HOLDS] for side in ("top", "bottom")]
    rows = designed(BY_PREVALENCE, 30, lost=0.0, by="prevalence_top")
    late = rows[(rows["model"] == "accuracy") & (rows["window"] == "late")]
    assert min(*onset, (late["verdict"] == HOLDS).mean()) >= 0.8


@pytest.mark.parametrize(
    ("points", "names"),
    [
        (BY_PREVALENCE, {"prevalence_top, at fixed co-occurrence"}),
        (BY_BOTH, {"the co-occurrence of both halves, at fixed prevalence_top"}),
        (BY_PREVALENCE + BY_BOTH, {"prevalence_top, at fixed co-occurrence", "the co-occurrence of both halves, at fixed prevalence_top"}),
        ([(0.2, 0.1), (0.8, 0.4)], {"prevalence_top with growing co-occurrence (confounded)"}),
    ],
)
def test_designs_are_understood(points: list[tuple[float, float]], names: set[str]) -> None:
    """Points with D fixed, with A fixed, with both kinds, and with both moving at once: each is compared as what it is."""
    points = list(dict.fromkeys(points))
    found = designed(points, 1, lost=0.0, seeds=2)
    assert set(found.loc[found["verdict"] != NOT_APPLICABLE, "rival"]) == names
    assert {"late", "rise"} <= set(found["window"])


@pytest.mark.slow
def test_two_seeds_of_a_sweep_cannot_tell_rather_than_be_wrong() -> None:
    """With two seeds competition is mostly open, and hardly ever denied."""
    found = judged(40, ["no competition"], ENDS, seeds=2, competition=1.2).loc["no competition"]
    assert found.xs("onset", level="model")[HOLDS].max() <= 0.05
    assert found[CANNOT_TELL].max() >= 0.3


@pytest.mark.slow
def test_the_exponent_is_recovered_with_its_interval() -> None:
    """Onsets as prevalence to the power −½: the intervals cover −½, and the rescaling by samples of one's own fails."""
    tables = [
        compare_sweep(sweep(TRUTH, GRID, number=number, exponent=0.5), classes_count=10, questions=["laws", "rescaling"]).table
        for number in range(30)
    ]
    table = pd.concat(tables)
    power = table[(table["question"] == "law of onset") & (table["model"] == "power law")]
    assert power["estimate"].mean() == pytest.approx(-0.5, abs=0.02)
    assert ((power["low"] <= -0.5) & (power["high"] >= -0.5)).mean() >= 0.88
    assert (power["verdict"] == HOLDS).mean() >= 0.8
    assert (table.loc[table["question"] == "rescaling", "verdict"] == FAILS).all()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return sweep(TRUTH, GRID, seeds=3)


def test_every_question_is_answered_in_the_columns_of_the_comparison(table: pd.DataFrame) -> None:
    """A full grid answers all questions for both sides, and a note names the columns that were taken as swept."""
    found = compare_sweep(table, classes_count=10, group="grid")
    assert tuple(found.table.columns) == COMPARISON
    assert (found.table["group"] == "grid").all()
    assert set(found.table["question"]) == {
        "law of onset", "law of speed", "law of ceiling", "rescaling", "no competition", "held-out point"
    }  # fmt: skip
    assert set(found.table["side"]) == {"top", "bottom"}
    assert found.notes == ("swept columns: prevalence_top, prevalence_bottom",)
    assert len(SWEEP_QUESTIONS) == 5
    point = found.table[found.table["question"] == "held-out point"]
    assert (point["estimate"] > 0).all()
    assert point["sentence"].str.contains("3 points left out in turn").all()


def test_forms_that_bend_are_refused(table: pd.DataFrame) -> None:
    """Onsets as 1 / prevalence over a factor of four are no straight line."""
    found = compare_sweep(table, classes_count=10, questions=["laws"]).table
    onset = found[found["question"] == "law of onset"].set_index(["side", "model"])
    for side in ("top", "bottom"):
        assert onset.loc[(side, "linear"), "verdict"] != HOLDS
        assert onset.loc[(side, "power law"), "rmse"] < onset.loc[(side, "exponential"), "rmse"]
        assert onset.loc[(side, "power law"), "estimate"] == pytest.approx(-1, abs=0.2)


def test_two_values_fit_every_form(table: pd.DataFrame) -> None:
    """Two values of a field have an exponent, and no form; no point lies between them."""
    found = compare_sweep(table[(table["prevalence_top"] != 0.4)], classes_count=10).table
    top = found[(found["side"] == "top") & (found["question"] == "law of onset")]
    assert (top["verdict"] == CANNOT_TELL).all()
    assert top["sentence"].str.contains("two values of a field fit every form").all()
    point = found[(found["side"] == "top") & (found["question"] == "held-out point")]
    assert point["sentence"].str.contains("lies between two others").all()


def test_competition_needs_points_that_differ_in_one_prevalence(table: pd.DataFrame) -> None:
    """Along a diagonal both prevalences move together: there is nothing to compare, and the reason is said."""
    diagonal = table[np.isclose(table["prevalence_top"], table["prevalence_bottom"])]
    found = compare_sweep(diagonal, classes_count=10).table
    assert (found["verdict"] == NOT_APPLICABLE).all()
    reason = found.loc[found["question"] == "no competition", "sentence"]
    assert reason.str.contains("no two points have the same prevalence_").all()


def test_points_that_are_not_learned_cannot_hold_that_nothing_moves() -> None:
    """Where the bottom is not learned its onset is later than the run: the onset cannot hold, and the late accuracy shows the loss."""
    parts = [sweep(replace(TRUTH, last=1000), [(0.2, 0.4), (0.4, 0.4)], seeds=4)]
    late = sweep(replace(TRUTH, last=1000, onset=(20, 1e6)), [(0.8, 0.4)], seeds=4)
    parts.append(late.assign(run=late["run"] + "late"))
    found = compare_sweep(pd.concat(parts, ignore_index=True), classes_count=10, by=["prevalence_top", "prevalence_bottom"])
    bottom = found.table[(found.table["question"] == "no competition") & (found.table["side"] == "bottom")].set_index(["model", "window"])
    assert bottom.loc[("onset", ""), "verdict"] == CANNOT_TELL
    assert "1 point where it is not learned left out" in bottom.loc[("onset", ""), "sentence"]
    assert bottom.loc[("accuracy", "late"), "verdict"] == FAILS
    assert any("its onset lies after the last step" in note for note in found.notes)
    assert any("laws: 1 of 3 points left out" in note for note in found.notes) or len(set(found.table["side"])) == 2


def test_one_seed_has_exponents_without_intervals(table: pd.DataFrame) -> None:
    """A sweep of one seed: estimates, no intervals, nothing decided."""
    found = compare_sweep(table[table["seed"] == 0], classes_count=10).table
    assert found["low"].isna().all()
    assert (found["verdict"] == CANNOT_TELL).all()
    assert found["estimate"].notna().all()


def test_text_fields_are_held_fixed(table: pd.DataFrame) -> None:
    """A field that is no number groups points and has no law; a field at 0 has no power law, and a note says so."""
    both = pd.concat([table.assign(model="a"), table.assign(model="b", run=table["run"] + "b")], ignore_index=True)
    found = compare_sweep(both, classes_count=10)
    assert set(found.table.loc[found.table["question"] == "law of onset", "rival"]) == {"prevalence_top", "prevalence_bottom"}
    zero = table.assign(reliability_top=table["prevalence_top"] - 0.2, prevalence_top=0.5)
    found = compare_sweep(zero, classes_count=10, questions=["laws"])
    assert any("reliability_top is not above 0 everywhere" in note for note in found.notes)
    assert "power law" not in set(found.table.loc[found.table["rival"] == "reliability_top", "model"])
    named = compare_sweep(table.assign(prevalence_top=0.5, prevalence_bottom=0.5, model="m" + table["run"].str[-1]), classes_count=10).table
    assert (named["verdict"] == NOT_APPLICABLE).all()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t, {"questions": ["loss"]}, "question loss is not known; expected some of laws"),
        (lambda t: t, {"questions": "laws"}, "questions is the text 'laws'; expected a list of names"),
        (lambda t: t, {"by": "lr"}, "by is the text 'lr'; expected a list of names"),
        (lambda t: t, {"level": "high"}, "level is 'high'; expected a number between 0 and 1"),
        (lambda t: t, {"by": ["lr"]}, "the column lr is not in the curves; expected swept columns among run,"),
        (lambda t: t.assign(prevalence_top=1.0, prevalence_bottom=1.0), {}, "the runs differ in nothing but the seed"),
        (lambda t: t.assign(kind="both"), {}, "there are no one-sided test curves"),
        (lambda t: t, {"classes_count": 1}, "the number of classes is 1; expected a whole number from 2"),
        (lambda t: t, {"level": 0.0}, "level is 0; expected a number between 0 and 1"),
        (lambda t: t.drop(columns="step"), {}, "the column step is missing"),
        (lambda t: t.assign(lr=np.nan), {"by": ["lr"]}, "no run has a value in every swept column"),
    ],
)
def test_sweeps_that_cannot_be_compared_are_refused(table: pd.DataFrame, change: object, options: dict[str, object], message: str) -> None:
    """One sentence each: what was met, what was expected."""
    assert callable(change)
    with pytest.raises(CurvesError, match=message):
        compare_sweep(change(table), **options)


def test_runs_are_paired_by_seed_or_by_rank(table: pd.DataFrame) -> None:
    """Common seeds make replicates; runs without a partner, copies and empty columns are left out with notes; other seeds pair by rank."""
    assert arranged(table).n_seeds == 3
    lonely = table[~((table["prevalence_top"] == 0.2) & (table["seed"] == 2))]
    found = arranged(lonely)
    assert found.n_seeds == 2
    assert any("6 runs left out: their seeds were not run at every point" in note for note in found.notes)
    thin = table[~((table["prevalence_top"] == 0.2) & (table["prevalence_bottom"] == 0.2) & (table["seed"] > 0))]
    found = arranged(thin)
    assert (found.n_seeds, len(found.values["prevalence_top"])) == (3, 8)
    assert any("1 point left out: it has at most half of the seeds" in note for note in found.notes)
    copy = table[table["run"] == "run0-0"].assign(run="copy")
    assert any("1 run left out: it has the seed of another run" in note for note in arranged(pd.concat([table, copy])).notes)
    other = table.assign(seed=table["seed"] + 10 * (table["prevalence_top"] == 0.2))
    found = arranged(other[~((other["prevalence_bottom"] == 0.2) & (other["seed"] == 2))])
    assert found.n_seeds == 2
    assert any("put together by rank into 2 replicates" in note for note in found.notes)
    assert any("every point needs as many as the one with fewest" in note for note in found.notes)
    empty = table.assign(prevalence_top=table["prevalence_top"].where(table["run"] != "run0-0"))
    assert any("1 run left out: a swept column is empty" in note for note in arranged(empty).notes)


def test_runs_are_told_apart_by_their_point(table: pd.DataFrame) -> None:
    """Run ids that begin anew at each point, and a table without run ids, give the same numbers."""
    expected = compare_sweep(table, classes_count=10, questions=["rescaling"]).table
    for same in (table.assign(run="run" + table["seed"].astype(str)), table.drop(columns="run")):
        pd.testing.assert_frame_equal(compare_sweep(same, classes_count=10, questions=["rescaling"]).table, expected)


def test_missing_values_and_short_curves_are_noted(table: pd.DataFrame) -> None:
    """A missing step 0, missing samples, and curves too short to have a shape."""
    found = arranged(table[table["step"] > 0].drop(columns="samples"), classes_count=10)
    assert found.time == "step"
    assert any("step 0 (before training) is missing" in note for note in found.notes)
    short = table[~((table["run"] == "run0-0") & (table["kind"] == "top") & (table["step"] > 2))]
    assert any("1 run has no usable curve: 4 steps after 0" in note for note in arranged(short).notes)
    derived = table.assign(both=table["prevalence_top"] * table["prevalence_bottom"])
    assert arranged(derived).fields == ("prevalence_top", "prevalence_bottom")
    classes = pd.DataFrame({"label": np.arange(5)})
    assert arranged(table, classes).chance == pytest.approx(0.2)


def test_curves_at_chance_are_no_evidence(table: pd.DataFrame) -> None:
    """Curves that nobody learned agree at all prevalences; that holds nothing."""
    found = compare_sweep(table.assign(accuracy=0.1), classes_count=10)
    assert (found.table["verdict"] == NOT_APPLICABLE).all()
    assert found.table.loc[found.table["question"] == "no competition", "sentence"].str.contains("learned at no point").all()
