"""Targets of many classes: each different one is reckoned once, and all are what reckoning each by itself gives."""

import random
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from dominoes.errors import SpecError
from dominoes.solver import ideal_counts, solution
from dominoes.solver.ideal_counts import RIGHT, WRONG, margins, targets
from dominoes.solver.shares import Shares, exact, resolve
from dominoes.solver.stock import Stock, label_shares
from dominoes.spec import SIDES, DominoSpec


def plain(spec: DominoSpec, stock: Stock, n: int, shares: Shares) -> tuple[list[int], list[int], list[Fraction]]:
    """Every count's target rounded down and up, and the sum of each margin, one after the other in exact fractions."""
    labels, classes = label_shares(spec, stock, shares), stock.classes
    states = ideal_counts._state_shares(shares, *map(exact, spec.reliability))
    values = [n * share * state for share in labels for state in states]
    slack = [Fraction(0)] * len(values)
    part = {
        (side, which): [n * share * sum(states[state] for state in of[side]) for share in labels]
        for which, of in (("right", RIGHT), ("wrong", WRONG))
        for side in SIDES
    }
    spread = {}
    for sides, counts in stock.pools:
        room = [spec.reuse * count - sum(part[side, "right"][label] for side in sides) for label, count in enumerate(counts)]
        spread |= dict.fromkeys(
            sides, ideal_counts._weights([sum(part[side, "wrong"][label] for side in sides) for label in range(classes)], room)
        )
    for side in SIDES:
        weights, error = spread[side]
        for label, wrong in enumerate(part[side, "wrong"]):
            for shown in range(classes):
                possible = shown != label and wrong > 0
                values.append(wrong * weights[shown] / (sum(weights) - weights[label]) if possible else Fraction(0))
                slack.append(error if possible else Fraction(0))
    low = [max(0, floor(value - extra)) for value, extra in zip(values, slack, strict=True)]
    high = [ceil(value + extra) for value, extra in zip(values, slack, strict=True)]
    return low, high, [sum((values[place] for place in index), Fraction(0)) for _, index in margins(classes)]


def test_targets_are_those_of_each_count_alone() -> None:
    """150 random requests, of equal stock and of any, up to where the stock binds, with sides that share it."""
    rng, done, bound = random.Random(1), 0, 0
    while done < 150:
        classes = rng.choice([2, 3, 5, 10, 17])
        top = (rng.randint(20, 400),) * classes if rng.random() < 0.4 else tuple(rng.randint(1, 60) for _ in range(classes))
        shared = rng.random() < 0.2
        stock = Stock(top, top if shared else tuple(rng.randint(1, 90) for _ in range(classes)), shared=shared)
        share: list[float] = [rng.random() for _ in range(4)]
        try:
            spec = DominoSpec(
                n=rng.choice(["max", rng.randint(1, 30 * classes)]),
                prevalence=(share[0], share[1]),
                reliability=(share[2], share[3]),
                labels=rng.choice(["balanced", "stock"]),
                reuse=rng.choice([1, 2]),
            )
            shares = resolve(spec)
            n = solution._wanted(spec, stock, shares)
        except SpecError:
            continue
        if n is None:
            continue
        found = targets(spec, stock, n, shares)
        low, high, sums = plain(spec, stock, n, shares)
        assert found.low.tolist() == low
        assert found.high.tolist() == high
        # A class that runs out is used up, whatever its targets add up to but for their error.
        near = [(a - 1 <= total <= b + 1) for a, b, total in zip(found.margin_low.tolist(), found.margin_high.tolist(), sums, strict=True)]
        assert all(near)
        if not any(weight < 1 for weight in _weights_of(spec, stock, n, shares)):
            assert found.margin_low.tolist() == [max(0, floor(total)) for total in sums]
            assert found.margin_high.tolist() == [ceil(total) for total in sums]
        else:
            bound += 1
        done += 1
    assert bound > 20


def _weights_of(spec: DominoSpec, stock: Stock, n: int, shares: Shares) -> list[Fraction]:
    labels = label_shares(spec, stock, shares)
    states = ideal_counts._state_shares(shares, *map(exact, spec.reliability))
    found: list[Fraction] = []
    for sides, counts in stock.pools:
        right = [sum(n * share * sum(states[state] for state in RIGHT[side]) for side in sides) for share in labels]
        wrong = [sum(n * share * sum(states[state] for state in WRONG[side]) for side in sides) for share in labels]
        found += ideal_counts._weights(wrong, [spec.reuse * count - mine for count, mine in zip(counts, right, strict=True)])[0]
    return found


@pytest.mark.slow
def test_four_hundred_classes_are_solved() -> None:
    """Verified like any other composition."""
    stock = Stock((500,) * 400, (500,) * 400)
    found = solution.solve(DominoSpec(n=8_000, prevalence=(0.5, 0.4), reliability=(0.9, 0.8)), stock)
    assert found.n == 8_000
    assert np.asarray(found.states).shape == (400, 9)
