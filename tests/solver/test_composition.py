"""The solver's answers: against brute force, the closed forms, and its own rules on random requests."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solver_oracles import Rules, as_arrays, compositions

from dominoes.data.catalogue import STOCKS
from dominoes.errors import SpecError
from dominoes.solver.composition import Composition, CompositionError, from_json
from dominoes.solver.ideal_counts import RIGHT, STATES
from dominoes.solver.infeasible import Infeasible
from dominoes.solver.shares import exact, resolve
from dominoes.solver.solution import check_composition, solve
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec, Split

REAL = Stock(STOCKS["mnist"][Split.TRAIN], STOCKS["cifar10"][Split.TRAIN])
percents = st.integers(0, 100).map(lambda number: number / 100)


@pytest.mark.parametrize(
    ("classes", "n"),
    [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (3, 2), (3, 3)],
)
@pytest.mark.parametrize(
    ("prevalence", "both", "reliability", "stock"),
    [
        ((0.5, 0.5), None, (1, 1), 9),
        ((0.7, 0.4), 0.2, (0.8, 0.5), 9),
        ((1, 1), None, (0.5, 0), 9),
        ((0.5, 1), None, (0.9, 0.9), 1),
        ((1, 0.25), None, (1, 0.5), 1),
    ],
)
def test_brute_force_agrees_on_small_instances(
    classes: int, n: int, prevalence: tuple[float, float], both: float | None, reliability: tuple[float, float], stock: int
) -> None:
    """Of all ways to fill the cells and spread the wrong halves, the solver's is one that obeys every rule. Where none does, its
    classes shown are off by one, and where it finds nothing the request exceeds the stock."""
    spec = DominoSpec(n=n, prevalence=prevalence, both=both, reliability=reliability)
    counts = (stock,) * classes
    rules = Rules(n, resolve(spec).kinds, (exact(reliability[0]), exact(reliability[1])), (counts, counts))
    try:
        found = solve(spec, Stock(counts, counts))
    except Infeasible:
        assert n * max(prevalence) > stock * classes or n * max(prevalence[0] * reliability[0], prevalence[1] * reliability[1]) > stock
        return
    valid = set()
    for cells in compositions(n, 9 * classes):
        table = np.array(cells).reshape(classes, 3, 3)
        if rules.cells(table):
            wrong = [table.sum(2)[:, 2], table.sum(1)[:, 2]]
            rows = [list(product(*(compositions(int(count), classes) for count in side))) for side in wrong]
            valid |= {(cells, *flows) for flows in product(*rows) if rules.flows(table, tuple(map(np.array, flows)))}
    cells, flows = as_arrays(found)
    mine = tuple(cells.ravel().tolist()), *(tuple(map(tuple, flow.tolist())) for flow in flows)
    if valid:
        assert mine in valid
    else:
        assert rules.cells(cells)
        assert rules.flows(cells, flows, off=1)


requests = st.fixed_dictionaries(
    {
        "n": st.one_of(st.integers(1, 60), st.integers(1, 50000)),
        "prevalence": st.tuples(percents, percents),
        "reliability": st.tuples(percents, percents),
        "labels": st.sampled_from(["balanced", "stock"]),
        "reuse": st.integers(1, 3),
    }
)


@pytest.mark.slow
@given(requests, st.integers(2, 10).flatmap(lambda k: st.tuples(*[st.lists(st.integers(1, 3000), min_size=k, max_size=k)] * 2)), percents)
@settings(max_examples=200, deadline=None)
def test_every_answer_obeys_every_rule(fields: dict[str, Any], stocks: tuple[list[int], list[int]], mix: float) -> None:
    """Whole specs on random stocks, tight ones included: an answer passes the check and the plain oracle, or says why not."""
    a, c = fields["prevalence"]
    low, high = max(0.0, a + c - 1), min(a, c)
    spec = DominoSpec(**fields, both=round(low + (high - low) * mix, 4) if mix > 0.3 else None)
    stock = Stock(tuple(stocks[0]), tuple(stocks[1]))
    try:
        found = solve(spec, stock)
    except Infeasible as error:
        assert error.conflict
        return
    assert check_composition(found) is found
    assert found.n == spec.n
    most = [[spec.reuse * count for count in side] for side in stocks]
    # With balanced labels an even spread shows every class alike.
    even = all(found.n * share <= min(side) * len(side) for share, side in zip(spec.prevalence, most, strict=True) if share is not None)
    if spec.labels == "balanced" and even:
        rules = Rules(
            found.n, resolve(spec).kinds, (exact(spec.reliability[0]), exact(spec.reliability[1])), (tuple(most[0]), tuple(most[1]))
        )
        cells, flows = as_arrays(found)
        assert rules.cells(cells)
        assert rules.flows(cells, flows, off=1)


@pytest.mark.slow
@given(st.tuples(percents, percents), st.tuples(percents, percents), st.integers(2, 10), st.integers(1, 40), st.data())
@settings(max_examples=150, deadline=None)
def test_max_fills_the_stock_whatever_binds(
    prevalence: tuple[float, float], reliability: tuple[float, float], classes: int, size: int, data: st.DataObject
) -> None:
    """n = max gives an answer that obeys the rules, with one source on both sides or two, and one more domino does not fit."""
    counts = tuple(data.draw(st.lists(st.integers(size, 3 * size), min_size=classes, max_size=classes)))
    shared = data.draw(st.booleans())
    spec = DominoSpec(prevalence=prevalence, reliability=reliability, top="a", bottom="a" if shared else "b")
    try:
        found = solve(spec, Stock(counts, counts))
    except (Infeasible, SpecError):
        return
    assert check_composition(found) is found
    assert min(found.left("top") + found.left("bottom")) >= 0
    with pytest.raises(Infeasible):
        solve(spec.model_copy(update={"n": found.n + 1}), Stock(counts, counts))


@given(percents, percents, percents)
@settings(max_examples=50, deadline=None)
def test_the_real_stock_gives_the_closed_form(top: float, bottom: float, rho: float) -> None:
    """On MNIST over CIFAR-10: n max is min(54,210/A, 50,000/C) at full reliability, and the realised shares are within 1/n."""
    if top == bottom == 0:
        return
    found = solve(DominoSpec(prevalence=(top, bottom)), REAL)
    assert found.n == int(min(Fraction(54210) / exact(top) if top else 10**9, Fraction(50000) / exact(bottom) if bottom else 10**9))
    for mine, asked in zip(found.realised["prevalence"], (top, bottom), strict=True):
        assert abs(mine - asked) < 1 / found.n
    wrong = solve(DominoSpec(n=20000, prevalence=(top, bottom), reliability=(rho, 1)), REAL)
    assert abs(wrong.right("top") - 20000 * top * rho) < 1


def test_all_doubles_use_the_whole_of_cifar() -> None:
    """n = max with A = C = 1 gives 50,000, one of each picture."""
    found = solve(DominoSpec(prevalence=(1, 1)), REAL)
    assert (found.n, found.kinds) == (50000, {"top": 0, "bottom": 0, "both": 50000, "empty": 0})
    assert found.left("bottom") == [0] * 10


def test_rounding_is_done_once_and_jointly() -> None:
    """29 % of 100 dominoes are 29, where int() of the binary product gives 28."""
    assert int(100 * 0.29) == 28
    found = solve(DominoSpec(n=100, prevalence=(0.29, 0.29), both=0), REAL)
    assert found.kinds == {"top": 29, "bottom": 29, "both": 0, "empty": 42}


def test_wrong_halves_give_way_only_where_the_stock_binds() -> None:
    """A class that runs out takes fewer wrong halves from every label; the others stay alike to within one."""
    counts = (100, 100, 100, 40)
    found = solve(DominoSpec(n=240, prevalence=(1, 0), reliability=(0.5, 1)), Stock(counts, (300,) * 4))
    shown = found.shown["top"]
    assert found.used("top")[3] == 40
    for label in range(3):
        others = [shown[label, other] for other in range(3) if other != label]
        assert max(others) - min(others) <= 1
        assert shown[label, 3] < min(others)
    assert np.diag(shown).tolist() == [30, 30, 30, 30]


def test_a_stock_too_small_for_whole_numbers_is_explained() -> None:
    """Where halves of dominoes would fit but whole ones do not, max takes the next n that does, and a number is refused with it."""
    counts = (2, 1, 3, 2, 1, 2, 3, 3, 3, 1)
    spec = DominoSpec(prevalence=(1, 1), reliability=(0.95, 1), labels="stock", top="a", bottom="a")
    most = solve(spec, Stock(counts, counts)).n
    with pytest.raises(Infeasible, match=f"no whole numbers of dominoes fit .* n {most},") as caught:
        solve(spec.model_copy(update={"n": most + 1}), Stock(counts, counts))
    assert caught.value.nearest == {"n": most}


def test_classes_shown_are_off_by_one_only_where_nothing_else_is_left() -> None:
    """One wrong half among ten dominoes of ten classes leaves one class without a picture: no rounding, so an answer off by one.
    Where a rounding exists, an answer that is off by one fails the check."""
    found = solve(DominoSpec(n=10, prevalence=(0, 1), reliability=(1, 0.9)), REAL)
    assert sorted(found.used("bottom")) == [0] + [1] * 8 + [2]
    good = solve(DominoSpec(n=40, prevalence=(0, 1), reliability=(1, 0.75)), Stock((40,) * 4, (40,) * 4))
    assert good.used("bottom") == [10] * 4
    shown = good.shown["bottom"].copy()
    label, less, more = next(
        (a, b, c) for a in range(4) for b in range(4) for c in range(4) if len({a, b, c}) == 3 and shown[a, b] == 1 and shown[a, c] == 0
    )
    shown[label, less], shown[label, more] = 0, 1
    with pytest.raises(CompositionError, match="bottom showing class"):
        check_composition(replace(good, shown={**good.shown, "bottom": shown}))


def test_every_number_is_checked() -> None:
    """Changing any single count of an answer, up or down, is found by the check."""
    found = solve(DominoSpec(n=200, prevalence=(0.7, 0.6), reliability=(0.8, 0.9)), Stock((60,) * 3, (60,) * 3))
    for place, step in product(np.ndindex(found.states.shape), (1, -1)):
        states = found.states.copy()
        states[place] += step
        with pytest.raises(CompositionError):
            check_composition(replace(found, states=states))
    for side in ("top", "bottom"):
        for place, step in product(np.ndindex(found.shown[side].shape), (1, -1)):
            shown = found.shown[side].copy()
            shown[place] += step
            with pytest.raises(CompositionError):
                check_composition(replace(found, shown={**found.shown, side: shown}))
    with pytest.raises(CompositionError, match="n is 201, asked was 200"):
        check_composition(replace(found, n=201))


def test_an_exchange_that_keeps_all_sums_is_found_too() -> None:
    """Moving dominoes around a cycle of cells keeps every margin; the cells themselves are checked."""
    found = solve(DominoSpec(n=400, prevalence=(0.5, 0.5)), Stock((400,) * 2, (400,) * 2))
    states = found.states.copy()
    a, b = STATES.index("right/absent"), STATES.index("absent/right")
    states[0, a] += 3
    states[0, b] -= 3
    states[1, a] -= 3
    states[1, b] += 3
    with pytest.raises(CompositionError):
        check_composition(replace(found, states=states))


def test_the_same_request_gives_the_same_answer() -> None:
    """Solving is deterministic."""
    spec = DominoSpec(n=12345, prevalence=(0.61, 0.37), reliability=(0.93, 0.71))
    assert solve(spec, REAL).dumps() == solve(spec, REAL).dumps()


def test_json_has_the_contract_and_comes_back() -> None:
    """The JSON has the agreed keys, K×K classes shown and nine states, and reads back as the same composition."""
    spec = DominoSpec(n=1000, prevalence=(0.5, 0.4), reliability=(0.9, 1))
    found = solve(spec, REAL)
    values = json.loads(found.dumps())
    assert list(values) == ["n", "kinds", "labels", "states", "shown", "stock", "requested", "realised"]
    assert list(values["states"]) == list(STATES)
    assert sum(map(sum, values["states"].values())) == values["n"] == sum(values["labels"]) == sum(values["kinds"].values())
    assert np.array(values["shown"]["top"]).sum() == 500
    assert values["stock"]["top"]["used"] == np.array(values["shown"]["top"]).sum(0).tolist()
    back = from_json(values, spec)
    assert check_composition(back).dumps() == found.dumps()
    with pytest.raises(CompositionError, match="lacks or garbles 'states'"):
        from_json({"n": 1}, spec)


def test_ratio_and_reliability_of_nothing_are_not_numbers() -> None:
    """What is not defined is None, not 0 or infinity."""
    found = solve(DominoSpec(n=10, prevalence=(1, 0)), REAL)
    assert found.realised["ratio"] is None
    assert found.realised["reliability"] == [1.0, None]


@pytest.mark.parametrize(
    ("fields", "stock", "message"),
    [
        ({"prevalence": (0, 0)}, REAL, "n max has no limit where no half is ever shown"),
        ({"n": 1, "prevalence": (1, 0), "reliability": (0.5, 1)}, Stock((5,), (5,)), "needs another class to be wrong with"),
    ],
)
def test_requests_without_meaning_are_refused(fields: dict[str, Any], stock: Stock, message: str) -> None:
    """Unbounded n, and wrong halves with a single class, are refused with a reason."""
    with pytest.raises(SpecError, match=message):
        solve(DominoSpec(**fields), stock)


def test_one_class_is_a_dataset() -> None:
    """K = 1 with full reliability has an answer."""
    found = solve(DominoSpec(n=4, prevalence=(0.5, 0.5)), Stock((5,), (5,)))
    assert found.kinds == {"top": 1, "bottom": 1, "both": 1, "empty": 1}
    assert isinstance(found, Composition)
    assert found.states[0, RIGHT["top"]].sum() == 2
