"""Conditions of the stock, against the closed forms and against a transport problem solved by scipy."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dominoes.data.catalogue import STOCKS
from dominoes.errors import SpecError
from dominoes.solver.shares import exact, resolve
from dominoes.solver.stock import Stock, capacity, label_shares
from dominoes.spec import DominoSpec, Split

REAL = Stock(STOCKS["mnist"][Split.TRAIN], STOCKS["cifar10"][Split.TRAIN])
percents = st.integers(1, 100).map(lambda number: number / 100)


@given(percents, percents)
def test_largest_n_is_the_closed_form(top: float, bottom: float) -> None:
    """With balanced labels and full reliability n is at most 54,210/A (ten times MNIST's rarest class) and 50,000/C."""
    wanted = min(Fraction(54210) / exact(top), Fraction(50000) / exact(bottom))
    assert capacity(DominoSpec(prevalence=(top, bottom)), REAL) == int(wanted)


def test_reuse_multiplies_the_stock() -> None:
    """Using each picture three times allows three times as many dominoes."""
    assert capacity(DominoSpec(prevalence=(0, 1), reuse=3), REAL) == 150000


def test_one_source_on_both_sides_is_one_stock() -> None:
    """CIFAR-10 over CIFAR-10 needs two pictures for a double, so half as many fit."""
    shared = Stock((5000,) * 10, (5000,) * 10, shared=True)
    assert capacity(DominoSpec(prevalence=(1, 1), top="cifar10"), shared) == 25000


def test_nothing_shown_needs_no_stock() -> None:
    """Empty dominoes use no pictures, so nothing limits their number."""
    assert capacity(DominoSpec(prevalence=(0, 0)), REAL) is None


def test_impossible_shares_have_no_capacity() -> None:
    """Shares that would be negative allow no dominoes at all: all-zero is not an answer."""
    assert capacity(DominoSpec(ratio=0.25, both=0.3, empty=0), REAL) == 0


@given(
    st.integers(2, 4).flatmap(
        lambda k: st.tuples(st.lists(st.integers(1, 12), min_size=k, max_size=k), st.lists(st.integers(1, 12), min_size=k, max_size=k))
    ),
    st.tuples(percents, percents),
    st.tuples(st.integers(0, 10), st.integers(0, 10)),
    st.booleans(),
    st.sampled_from(["balanced", "stock"]),
)
@settings(max_examples=150, deadline=None)
def test_conditions_are_exactly_those_of_the_transport_problem(
    stocks: tuple[list[int], list[int]], prevalence: tuple[float, float], tenths: tuple[int, int], shared: bool, labels: str
) -> None:
    """The largest n equals that of a linear program with every wrong half as a variable, on any stock, shared or not."""
    top, bottom = tuple(stocks[0]), tuple(stocks[0] if shared else stocks[1])
    reliability = (tenths[0] / 10, tenths[1] / 10)
    spec = DominoSpec(prevalence=prevalence, reliability=reliability, labels=labels)
    stock = Stock(top, bottom, shared=shared)
    shares = resolve(spec)
    pi = [float(share) for share in label_shares(spec, stock, shares)]
    k = len(top)
    pairs = [(side, label, shown) for side in range(2) for label in range(k) for shown in range(k) if label != shown]
    matrix, level, equal = [], [], []
    for side in range(2):
        for label in range(k):
            equal.append([-pi[label] * prevalence[side] * (1 - reliability[side]), *(float(p[:2] == (side, label)) for p in pairs)])
    for sides in [(0, 1)] if shared else [(0,), (1,)]:
        for number in range(k):
            right = sum(pi[number] * prevalence[side] * reliability[side] for side in sides)
            matrix.append([right, *(float(p[0] in sides and p[2] == number) for p in pairs)])
            level.append((top if sides[0] == 0 else bottom)[number])
    answer = linprog([-1.0] + [0.0] * len(pairs), A_ub=matrix, b_ub=level, A_eq=equal, b_eq=np.zeros(len(equal)))
    assume(answer.status == 0)
    found = capacity(spec, stock)
    assert found is not None
    assert found <= answer.x[0] + 1e-6
    assert found + 1 > answer.x[0] - 1e-6


def test_stock_labels_follow_the_shown_sides() -> None:
    """Labels `stock` are as frequent as the class in the stocks that are shown, one side's alone where the other is never shown."""
    stock = Stock((30, 10), (20, 20))
    assert label_shares(DominoSpec(labels="stock"), stock, resolve(DominoSpec(prevalence=(1, 0)))) == [Fraction(3, 4), Fraction(1, 4)]
    assert label_shares(DominoSpec(labels="stock"), stock, resolve(DominoSpec(prevalence=(1, 1)))) == [Fraction(5, 8), Fraction(3, 8)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stock((1, 2), (1, 2, 3)), "the top source has 2 classes and the bottom source 3"),
        (lambda: Stock((), ()), "at least one class"),
        (lambda: Stock((1, -2), (1, 2)), "counts of at least 0"),
        (lambda: Stock((1, 2), (2, 1), shared=True), "both sides draw on one source"),
        (lambda: capacity(DominoSpec(prevalence=(1, 1), labels="stock"), Stock((0, 0), (1, 1))), "expected pictures in the stock"),
    ],
)
def test_bad_stocks_are_refused(make: object, message: str) -> None:
    """A stock that no two sources can have is refused with a reason."""
    with pytest.raises(SpecError, match=message):
        make()  # type: ignore[operator]
