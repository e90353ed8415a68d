"""Five lines say what a comparison found, of one group, of many, of a sweep, and of a table that was read back."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pandas as pd
import pytest
from simulated_truths import Truth, simulated, sweep

from dominoes.theory.comparison import compare, compare_groups
from dominoes.theory.headlines import HEADLINES, headline_sentences
from dominoes.theory.intervals import FAILS, HOLDS
from dominoes.theory.sweep_comparison import compare_sweep
from dominoes.theory.verdicts import COMPARISON, Comparison

TRUTH = Truth(n=1000, points=30, onset=(30.0, 120.0), ceiling=(0.93, 0.7))


@pytest.fixture(scope="module")
def one() -> Comparison:
    curves, classes, joint = simulated(TRUTH, 4)
    return compare(curves, classes, joint=joint)


def test_there_are_five_lines_in_their_order(one: Comparison) -> None:
    """Their names, and what each is about."""
    found = one.headlines()
    assert [line.split()[0] for line in found] == list(HEADLINES)
    learned, doubles, conflicts, competition, predictor = found
    assert "the top half is learned first" in learned
    assert "half of the rise by step" in learned
    assert "late, the product rule: " in doubles
    assert "picture by picture: holds" in doubles
    assert "rejected: addition of evidence" in doubles
    assert "a preference that stays the same: holds" in conflicts
    assert "nothing was swept" in competition
    assert "predicts better than addition of evidence" in predictor


def test_a_table_that_was_read_back_says_the_same(one: Comparison) -> None:
    """comparison.csv is all that headlines need."""
    text = one.table.to_csv(index=False)
    assert headline_sentences(pd.read_csv(io.StringIO(text))) == one.headlines()


def test_many_groups_are_counted(one: Comparison) -> None:
    """Of several groups each line says in how many a verdict stands."""
    curves, classes, _ = simulated(TRUTH, 3)
    both = pd.concat([curves.assign(lr=0.1), curves.assign(lr=0.2, run=curves["run"] + "b")], ignore_index=True)
    found = compare_groups(both, classes, questions=["learned first", "doubles", "conflicts"]).headlines()
    assert "the top half first in 2 of 2 groups" in found[0]
    assert "of 2 groups" in found[1]
    assert "of 2 groups" in found[2]
    assert len(found) == 5


def test_a_sweep_says_what_moved() -> None:
    """The line on competition names the side, what grew, and both verdicts."""
    curves = sweep(TRUTH, [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)], both=[0.1, 0.25, 0.4], exponent=0, seeds=3)
    line = compare_sweep(curves, classes_count=10, questions=["no competition"]).headlines()[3]
    assert "the bottom, when prevalence_top grows with growing co-occurrence (confounded): late accuracy " in line
    assert "onset × " in line


def test_an_onset_before_the_first_measurement_is_a_bound() -> None:
    """A half that has risen by half when it is first measured has its onset there at the latest: the ratio has no upper end, and both the
    headline and the sentence say why; where it is seen to rise, both ends are finite."""
    curves, classes, _ = simulated(replace(TRUTH, onset=(2.0, 30.0)), 5)
    late = compare(curves[curves["step"] >= 12], classes[classes["step"] >= 12], questions=["learned first"])
    assert "half risen when first measured, so that the ratio is a lower bound" in late.headlines()[0]
    assert late.table["high"].iloc[0] == math.inf
    assert late.table["verdict"].iloc[0] == HOLDS
    assert "the top is half risen at the first measured step in 5 of 5 seeds, its onset at most that" in late.table["sentence"].iloc[0]
    whole = compare(curves, classes, questions=["learned first"]).table
    assert late.table["low"].iloc[0] <= whole["estimate"].iloc[0]
    assert math.isfinite(whole["high"].iloc[0])


def test_a_half_that_is_learned_before_the_first_measurement_can_suffer() -> None:
    """Its late accuracy is judged though its onset is not seen, and a note says that this is not because it was never learned."""
    truth = replace(TRUTH, onset=(0.05, 30.0), speed=(3.0, 1.0))
    curves = sweep(truth, [(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)], exponent=0, seeds=4)
    hurt = (curves["kind"] == "top") & (curves["prevalence_bottom"] == 0.8)
    curves.loc[hurt, "accuracy"] *= 0.6
    found = compare_sweep(curves, classes_count=10, questions=["no competition"])
    late = found.table[(found.table["side"] == "top") & (found.table["model"] == "accuracy") & (found.table["window"] == "late")]
    assert late["verdict"].tolist() == [FAILS]
    assert "no competition: at 3 points the top is half risen when first measured, past its onset" in found.notes
    assert not any("the top is not learned" in note for note in found.notes)


def test_nothing_at_all_is_five_lines_too() -> None:
    """An empty table, and one of curves that are never learned, have nothing to say and say so."""
    assert all("not applicable" in line for line in headline_sentences(pd.DataFrame(columns=list(COMPARISON))))
    curves, classes, _ = simulated(Truth(n=300, points=30, onset=(1e6, 1e6)), 2)
    found = compare(curves, classes).headlines()
    assert "the top half and the bottom half are not learned in every seed" in found[0]
    assert "hardly known together" in found[1]
