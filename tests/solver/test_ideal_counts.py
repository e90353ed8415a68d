"""Targets of the counts: what is asked for, before anything is rounded."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dominoes.solver.ideal_counts import STATES, margins, places, targets
from dominoes.solver.shares import exact, resolve
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec

percents = st.integers(0, 100).map(lambda number: number / 100)


@given(st.tuples(percents, percents), st.tuples(percents, percents), st.integers(1, 10**6))
def test_cells_are_the_products_of_the_definition(prevalence: tuple[float, float], reliability: tuple[float, float], n: int) -> None:
    """Kind is independent of the label, wrong of the kind and of the other half: each cell's target is a product of shares."""
    spec = DominoSpec(n=n, prevalence=prevalence, reliability=reliability)
    found = targets(spec, Stock((n,) * 3, (n,) * 3), n)
    (a, c), (p, q) = map(exact, prevalence), map(exact, reliability)
    parts = {"absent": (1 - a, 1 - c), "right": (a * p, c * q), "wrong": (a * (1 - p), c * (1 - q))}
    assert resolve(spec).independent
    for state, name in enumerate(STATES):
        top, bottom = name.split("/")
        goal = n * Fraction(1, 3) * parts[top][0] * parts[bottom][1]
        for label in range(3):
            low, high = found.low[9 * label + state], found.high[9 * label + state]
            assert (low, high) == (goal.numerator // goal.denominator, -(-goal.numerator // goal.denominator))


def test_margins_cover_every_rule_once() -> None:
    """Label, kind, state, shown, right and wrong by side, all of these per label, and class shown: each has its own margin."""
    names = [name for name, _ in margins(4)]
    assert len(names) == len(set(names))
    for wanted in ("label 2", "kind both", "state right/wrong", "top shown", "bottom wrong", "label 1, kind top", "label 3, bottom right"):
        assert wanted in names
    assert sum("showing class" in name for name in names) == 8
    cells, wrong = places(4)
    assert (cells.size, wrong["top"].size) == (36, 16)
    assert np.unique(np.concatenate([cells.ravel(), wrong["top"].ravel(), wrong["bottom"].ravel()])).size == 68
