"""Verdicts on simulated curves of which the truth is known."""

from __future__ import annotations

import pandas as pd
import pytest
from simulated_truths import Truth, curves, simulated

from dominoes.theory.comparison import QUESTIONS, compare
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE

# (question, side, model, rival, window) -> verdict; `late` has few errors to count and needs more pictures than 1,000 for some of these.
FOLLOWS_THE_MODEL = {
    ("learned first", "top", "onset", "", ""): HOLDS,
    ("doubles", "", "product", "", "rise"): HOLDS,
    ("doubles", "", "product per class", "", "rise"): HOLDS,
    ("doubles", "", "addition", "", "rise"): FAILS,
    ("doubles", "", "addition", "", "late"): FAILS,
    ("doubles", "", "better side", "", "late"): FAILS,
    ("doubles", "", "mean", "", "rise"): FAILS,
    ("doubles score", "", "product", "addition", "rise"): HOLDS,
    ("doubles score", "", "product", "better side", "late"): HOLDS,
    ("doubles score", "", "product", "mean", "late"): HOLDS,
    ("conflicts", "", "product", "", "rise"): HOLDS,
    ("conflicts", "", "gaussian", "", "late"): FAILS,
    ("pictures", "", "product, doubles", "", "rise"): HOLDS,
    ("pictures", "", "product, doubles", "", "late"): HOLDS,
    ("pictures", "", "product, conflicts", "", "rise"): HOLDS,
    ("pictures", "bottom", "only one right", "", "late"): HOLDS,
    ("preference", "", "bottom preferred", "", ""): FAILS,
    ("empties", "", "accuracy", "", ""): HOLDS,
    ("empties", "", "loss", "", ""): HOLDS,
    ("monotonicity", "top", "accuracy", "", ""): HOLDS,
    ("monotonicity", "bottom", "accuracy", "", ""): HOLDS,
    ("monotonicity", "top", "loss", "", ""): HOLDS,
    ("monotonicity", "bottom", "loss", "", ""): HOLDS,
}


SURE = {
    ("loss", "", "sure or uniform", "", ""): HOLDS,
    ("loss", "", "calibrated", "", ""): FAILS,
    **{("loss reading", side, "sure or uniform", "", ""): HOLDS for side in ("top", "bottom")},
    **{("loss reading", side, "calibrated", "", ""): FAILS for side in ("top", "bottom")},
}


CALIBRATED = {
    ("loss", "", "calibrated", "", ""): HOLDS,
    **{("loss reading", side, "sure or uniform", "", ""): FAILS for side in ("top", "bottom")},
    **{("loss reading", side, "calibrated", "", ""): HOLDS for side in ("top", "bottom")},
}


EQUAL = {("preference", "", model, "", ""): verdict for model, verdict in (("equal", HOLDS), ("top preferred", FAILS), ("constant", HOLDS))}


TOP = {("preference", "", model, "", ""): verdict for model, verdict in (("equal", FAILS), ("top preferred", HOLDS), ("constant", HOLDS))}


DRIFTS = {
    ("preference", "", model, "", ""): verdict for model, verdict in (("equal", FAILS), ("top preferred", FAILS), ("constant", FAILS))
}


ADDS = {
    ("doubles", "", "product", "", "rise"): FAILS,
    ("doubles", "", "product per class", "", "rise"): FAILS,
    ("doubles", "", "addition", "", "rise"): HOLDS,
    ("doubles", "", "addition per class", "", "rise"): HOLDS,
    ("doubles score", "", "product", "addition", "rise"): FAILS,
    ("doubles score", "", "product per class", "addition per class", "rise"): FAILS,
    ("conflicts", "", "addition", "", "rise"): HOLDS,
    ("preference", "", "addition", "", "rise"): HOLDS,
    ("preference", "", "addition", "", "late"): HOLDS,
    ("loss", "", "sure or uniform", "", ""): FAILS,
    ("empties", "", "accuracy", "", ""): HOLDS,
}


BETTER = {
    ("doubles", "", "better side", "", "rise"): HOLDS,
    ("doubles", "", "better side", "", "late"): HOLDS,
    ("doubles", "", "product", "", "late"): FAILS,
    ("doubles score", "", "product", "better side", "late"): FAILS,
    ("pictures", "", "product, doubles", "", "late"): FAILS,
    ("pictures", "bottom", "only one right", "", "late"): FAILS,
}


GAUSSIAN = {
    ("doubles", "", "gaussian", "", "rise"): HOLDS,
    ("conflicts", "", "gaussian", "", "rise"): HOLDS,
    ("conflicts", "", "product", "", "late"): FAILS,
    ("conflicts score", "", "product", "gaussian", "late"): FAILS,
    ("preference", "", "gaussian", "", "late"): HOLDS,
}


LATE = {
    ("doubles", "", "product", "", "rise"): HOLDS,
    ("doubles", "", "product", "", "late"): FAILS,
    ("pictures", "", "product, doubles", "", "late"): FAILS,
}


# Simulations of five seeds, and of two; benchmarks/verdicts.py makes the long table of docs/explanation/verdict-simulations.md.
OFTEN, SELDOM = 60, 30


TRUTHS = {
    "product rule, equal split": (Truth(), FOLLOWS_THE_MODEL | SURE | EQUAL),
    "product rule, top preferred, calibrated": (Truth(preference=(1, 1), loss="calibrated"), FOLLOWS_THE_MODEL | CALIBRATED | TOP),
    "product rule, preference drifts": (Truth(preference=(-0.5, 1)), FOLLOWS_THE_MODEL | SURE | DRIFTS),
    "addition of evidence": (Truth(rule="addition"), ADDS),
    "better side alone": (Truth(rule="better"), BETTER),
    "Gaussian evidence": (Truth(rule="gaussian", points=25), GAUSSIAN),
    "late doubles wrong twice as often": (Truth(late=2), LATE),
}


KEYS = ["question", "side", "model", "rival", "window"]


def judged(truth: Truth, seeds: int, simulations: int) -> pd.DataFrame:
    """Share of each verdict, one row for each of KEYS; held-out time, which costs most, has its own test."""
    questions = [question for question in QUESTIONS if question != "held-out time"]
    tables = []
    for number in range(simulations):
        curve_table, classes, joint = simulated(truth, seeds, number)
        tables.append(compare(curve_table, classes, joint=joint, questions=questions).table)
    found = pd.concat(tables).groupby(KEYS)["verdict"].value_counts().unstack(fill_value=0) / simulations
    return found.reindex(columns=[HOLDS, FAILS, CANNOT_TELL, NOT_APPLICABLE], fill_value=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_five_seeds_give_the_right_verdict(name: str) -> None:
    """At n = 1,000, 5 seeds and the answers crossed each verdict is right in at least 80 % of simulations, and wrong in at most 5 %."""
    truth, expected = TRUTHS[name]
    found = judged(truth, 5, OFTEN)
    for row, verdict in expected.items():
        wrong = FAILS if verdict == HOLDS else HOLDS
        assert found.loc[row, verdict] >= 0.8, (row, found.loc[row].to_dict())
        assert found.loc[row, wrong] <= 0.05, (row, found.loc[row].to_dict())


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True,
    reason="under this truth the share is −.09 to −.10 in the population, at the margin: intervals that cover 95 % lie beyond it in 2.5 %",
)
def test_gaussian_evidence_is_told_apart_by_single_pictures() -> None:
    """What is asked and cannot be reached: that one half alone is answered rightly rejects the model under Gaussian evidence in 80 %."""
    found = judged(TRUTHS["Gaussian evidence"][0], 5, SELDOM)
    assert found.loc[("pictures", "bottom", "only one right", "", "late"), FAILS] >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_two_seeds_cannot_tell_rather_than_be_wrong(name: str) -> None:
    """Two seeds are not enough for many questions; then the verdict is open, and it is wrong in at most 7 % of simulations."""
    truth, expected = TRUTHS[name]
    found = judged(truth, 2, SELDOM)
    for row, verdict in expected.items():
        wrong = FAILS if verdict == HOLDS else HOLDS
        assert found.loc[row, wrong] <= 0.07, (row, found.loc[row].to_dict())
    assert max(found.loc[row, CANNOT_TELL] for row in expected) > 0.2


@pytest.mark.slow
def test_shared_difficulty_of_classes_breaks_the_product_of_averages_only() -> None:
    """Classes that are hard for both halves make averages fail or stay open, while the product formed per class holds, and so does the
    one formed picture by picture."""
    truth = Truth(class_spread=1.8, onset=(60, 200), speed=(3, 3), ceiling=(0.98, 0.95))
    found = judged(truth, 5, 30)
    assert found.loc[("doubles", "", "product", "", "rise"), HOLDS] <= 0.05
    assert found.loc[("doubles", "", "product per class", "", "rise"), HOLDS] >= 0.9
    assert found.loc[("pictures", "", "product, doubles", "", "rise"), HOLDS] >= 0.9
    assert found.loc[("doubles score", "", "product per class", "product", "rise"), HOLDS] >= 0.9


@pytest.mark.slow
def test_a_falling_curve_is_seen() -> None:
    """A top that loses a tenth of its accuracy late in training fails monotonicity, and the bottom beside it holds."""
    found = judged(Truth(dip=0.1), 5, 30)
    assert found.loc[("monotonicity", "top", "accuracy", "", ""), FAILS] >= 0.95
    assert found.loc[("monotonicity", "bottom", "accuracy", "", ""), HOLDS] >= 0.95


@pytest.mark.slow
def test_held_out_time_prefers_the_shape_that_made_the_curves() -> None:
    """Curves that are logistic in log time are predicted better by one pattern than by a Gompertz or Richards curve or the last value."""
    rows = [compare(curves(Truth(), 5, number)[0], questions=["held-out time"], classes_count=10).table for number in range(30)]
    table = pd.concat(rows)
    late = table[(table["model"] == "one pattern, 70 %") & table["rival"].isin(["gompertz", "richards"])]
    assert (late["verdict"] == HOLDS).mean() >= 0.8
    assert (table["verdict"] == FAILS).mean() <= 0.02
    last = table[(table["rival"] == "last") & (table["side"] == "bottom")]
    assert (last["verdict"] == HOLDS).mean() >= 0.5
    summary = table[table["rival"] == "all rivals"]
    assert len(summary) == 4 * 30
    assert (summary["level"] == 0.95).all()
    alone = table[table["rival"] == "gompertz"]
    assert alone["level"].to_numpy() == pytest.approx(1 - 0.05 / 7)


def test_held_out_time_needs_a_curve_that_is_learned_and_long_enough() -> None:
    """A side that is learned too late, or too few steps in a part, leave held-out time open with the reason."""
    late = curves(Truth(onset=(30, 1e5)), 3)[0]
    found = compare(late, questions=["held-out time"], classes_count=10).table
    assert found.loc[found["side"] == "bottom", "sentence"].str.contains("it is not learned in the first").all()
    few = compare(late[late["step"] < 12], questions=["held-out time"], classes_count=10).table
    assert few["sentence"].str.contains("steps in the first .* are needed in each").any()
    assert not few["verdict"].isin([HOLDS, FAILS]).any()
    assert (found.loc[found["side"] == "bottom", "verdict"] == NOT_APPLICABLE).all()
