"""Picture by picture: cells of answers give the exact prediction of independent firing, by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from simulated_truths import Truth, simulated

from dominoes.errors import CurvesError
from dominoes.theory.comparison import compare
from dominoes.theory.intervals import FAILS, HOLDS, NOT_APPLICABLE
from dominoes.theory.questions.pictures import firing, pictures
from dominoes.theory.run_arrays import arrays
from dominoes.theory.verdicts import Options


def test_cells_predict_the_error_that_firing_makes() -> None:
    """Pictures that fire together more often than by chance, enumerated: the prediction from the four cells is the exact error."""
    K, p, q, both = 10, 0.6, 0.5, 0.45  # probability that the top fires, that the bottom does, that both do
    fires = {(1, 1): both, (1, 0): p - both, (0, 1): q - both, (0, 0): 1 - p - q + both}
    crossed = np.zeros((1, 1, 2, 2, 2))
    wrong = 0.0
    for (top, bottom), share in fires.items():
        for lucky in itertools.product((0, 1), repeat=3):
            chances = [1 / K if luck else 1 - 1 / K for luck in lucky]
            weight = share * np.prod(chances)
            right = top or bottom or lucky[2]
            crossed[0, 0, top or lucky[0], bottom or lucky[1], int(not right)] += weight
            wrong += weight * (not right)
    found = firing(crossed, K)[0, 0]
    assert found == pytest.approx(np.array([[fires[0, 0], fires[0, 1]], [fires[1, 0], fires[1, 1]]]))
    predicted = (K - 1) / K * found[0, 0]
    assert predicted == pytest.approx(wrong)
    assert wrong == pytest.approx((K - 1) / K * fires[0, 0])


@pytest.mark.slow
def test_correlated_halves_fail_on_averages_and_hold_on_pictures() -> None:
    """Hard tops above hard bottoms: the product of averages is off by a known factor, while picture by picture independence holds."""
    tables = [compare(*simulated(Truth(correlation=0.5), 5, number)[:2], joint=simulated(Truth(correlation=0.5), 5, number)[2],
                      questions=["doubles", "pictures"]).table for number in range(10)]  # fmt: skip
    found = pd.concat(tables)
    rise = found[found["window"] == "rise"].set_index(["question", "model"])
    assert (rise.loc[("doubles", "product"), "estimate"] > 1.05).all()
    assert rise.loc[("pictures", "product, doubles"), "estimate"].mean() == pytest.approx(1, abs=0.02)
    assert (rise.loc[("pictures", "product, doubles"), "verdict"] == HOLDS).mean() >= 0.9


def test_the_better_side_alone_is_seen_at_once() -> None:
    """Where a double is answered by its better side, doubles of which only the other is right are wrong: one simulation shows it."""
    curves, classes, joint = simulated(Truth(rule="better"), 3)
    found = compare(curves, classes, joint=joint, questions=["pictures"]).table
    row = found[(found["model"] == "only one right") & (found["side"] == "bottom") & (found["window"] == "late")].iloc[0]
    assert row["verdict"] == FAILS
    assert row["estimate"] < -0.5


@pytest.mark.parametrize(("rule", "least", "most"), [("product", 0.0, 0.01), ("better", 0.05, 1.0)])
def test_the_pairing_is_luck_to_one_half_right_unless_the_rule_is_the_product(rule: str, least: float, most: float) -> None:
    """Doubles on which neither fires are expected among those of which one half is right alone; under the product rule they are answered
    so, and the pictures, which all seeds share, have no part in the interval."""
    curves, classes, joint = simulated(Truth(rule=rule, n=500, points=30), 5)
    rows = pictures(arrays(curves, classes, joint=joint), Options()).verdicts
    row = next(row for row in rows if (row.model, row.side, row.window) == ("only one right", "bottom", "late"))
    assert least <= row.interval.pictures <= most


def test_what_is_not_crossed_is_not_judged() -> None:
    """Without the table there is no row; with one that lacks a step, or a column, the reason is said."""
    curves, classes, joint = simulated(Truth(n=200, points=20), 2)
    assert not (compare(curves, classes).table["question"] == "pictures").any()
    found = compare(curves, classes, joint=joint[joint["step"] != joint["step"].max()], questions=["pictures"]).table
    assert (found["verdict"] == NOT_APPLICABLE).all()
    assert found["sentence"].str.contains("are not crossed at every step of every run").all()
    with pytest.raises(CurvesError, match="has no column answer; expected run,step,probe,top_alone,bottom_alone,answer,n"):
        compare(curves, classes, joint=joint.drop(columns="answer"))
    with pytest.raises(CurvesError, match="column n, row 3: many; expected a count"):
        compare(curves, classes, joint=joint.assign(n=["1", "1", *["many"] * (len(joint) - 2)]))
