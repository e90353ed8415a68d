"""Targets of many classes: each different one is reckoned once, and all are what reckoning each by itself gives."""

import random
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from dominoes.errors import SpecError
from dominoes.solver import ideal_counts, parts, rounding, solution
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
    """60 random requests, of equal stock and of any, up to where the stock binds, with sides that share it."""
    rng, done, bound = random.Random(1), 0, 0
    while done < 60:
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
    assert bound > 8


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
def test_parts_answer_what_the_whole_program_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 random requests, half at the limit of a small stock: both find counts that keep every rule, or none; most need no whole."""
    rng, done, unfilled = random.Random(2), 0, 0
    while done < 50:
        classes = rng.choice([2, 3, 5, 10, 17])
        top = (rng.randint(20, 400),) * classes if rng.random() < 0.5 else tuple(rng.randint(1, 60) for _ in range(classes))
        stock = Stock(top, tuple(rng.randint(1, 90) for _ in range(classes)))
        share = [rng.random() for _ in range(4)]
        prevalence, reliability = (share[0], share[1]), (share[2], share[3])
        spec = DominoSpec(n=rng.choice(["max", rng.randint(1, 30 * classes)]), prevalence=prevalence, reliability=reliability)
        shares = resolve(spec)
        n = solution._wanted(spec, stock, shares)
        if n is None:
            continue
        goal = targets(spec, stock, n, shares)
        monkeypatch.setattr(rounding, "WHOLE", 10**9)
        whole = rounding.search(goal, spec, stock, n)
        monkeypatch.setattr(rounding, "WHOLE", 1)
        some = rounding.search(goal, spec, stock, n)
        assert (whole is None) == (some is None)
        if some is not None:
            assert solution.broken_rules(solution.solve(spec.model_copy(update={"n": n}), stock)) == []
        try:
            parts.by_parts(goal, spec, stock, n)
        except parts.Unfilled:
            unfilled += 1
        done += 1
    assert unfilled < 25, unfilled


def test_tables_are_filled_where_they_can_be() -> None:
    """Sums of a random table of zeros and ones without a diagonal have such a table again; others are refused."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(200):
        size = int(rng.integers(2, 12))
        room = 1 - np.eye(size, dtype=np.int64)
        table = (rng.random((size, size)) < rng.random()) * room
        try:
            found = parts.fill(table.sum(1), table.sum(0), room)
        except parts.Unfilled:
            missed += 1
            continue
        assert (found.sum(1) == table.sum(1)).all()
        assert (found.sum(0) == table.sum(0)).all()
        assert (found <= room).all()
    assert missed < 10, missed
    with pytest.raises(parts.Unfilled):
        parts.fill(np.array([1, 0]), np.array([1, 0]), 1 - np.eye(2, dtype=np.int64))
    with pytest.raises(parts.Unfilled):
        parts.fill(np.array([1, 1]), np.array([1, 1]), 2 - 2 * np.eye(2, dtype=np.int64))


def test_four_hundred_classes_are_solved() -> None:
    """Verified like any other composition."""
    stock = Stock((500,) * 400, (500,) * 400)
    found = solution.solve(DominoSpec(n=8_000, prevalence=(0.5, 0.4), reliability=(0.9, 0.8)), stock)
    assert found.n == 8_000
    assert np.asarray(found.states).shape == (400, 9)
