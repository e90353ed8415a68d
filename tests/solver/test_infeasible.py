"""Explanations of infeasible requests: the conflict is real and smallest, the nearest values are feasible and nearest."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dominoes.data.catalogue import STOCKS
from dominoes.errors import SpecError
from dominoes.solver import ideal_counts, infeasible, shares, solution
from dominoes.solver import stock as stock_module
from dominoes.solver.infeasible import Infeasible, _feasible, _rules
from dominoes.solver.shares import Shares, resolve
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock
from dominoes.spec import SIDES, DominoSpec, Split

REAL = Stock(STOCKS["mnist"][Split.TRAIN], STOCKS["cifar10"][Split.TRAIN])


def with_value(spec: DominoSpec, parameter: str, value: Any) -> DominoSpec:
    """The spec with a parameter set, named as messages name it."""
    for field in ("prevalence", "reliability"):
        for number, side in enumerate(SIDES):
            if parameter == f"{field} of the {side} half":
                pair = list(getattr(spec, field))
                pair[number] = value
                return DominoSpec(**(spec.model_dump() | {field: tuple(pair)}))
    return DominoSpec(**(spec.model_dump() | {parameter: value}))


def explained(spec: DominoSpec, stock: Stock = REAL) -> Infeasible:
    """The Infeasible that solving raises."""
    with pytest.raises(Infeasible) as caught:
        solve(spec, stock)
    return caught.value


def test_the_stock_of_one_class_is_named_with_numbers_and_ways_out() -> None:
    """The classic: 60,000 dominoes with 95 % digits need 5,700 fives, there are 5,421."""
    error = explained(DominoSpec(n=60000, prevalence=(0.95, 0.5)))
    assert str(error).startswith(
        "n = 60000 with prevalence 0.95 of the top half needs 5700 mnist pictures of class 5; the train split has 5421."
    )
    assert error.nearest["n"] == 57063
    assert error.nearest["prevalence of the top half"] == 0.9035
    assert error.nearest["reuse"] == 2
    assert "n at most 57063, or prevalence of the top half at most 0.9035" in str(error)
    assert not any("bottom" in words for words in error.conflict)


@pytest.mark.parametrize("n", [1, 7, 1000, "max"])
@pytest.mark.parametrize(("ratio", "nearest"), [(0.25, 0.3), (4, 3.333333)])
def test_the_trap_is_infeasible_at_every_n(ratio: float, nearest: float, n: Any) -> None:
    """Ratio 1/4 or 4 with doubles .3 and no empties has no answer, where a naive linear program finds 'optimal, nothing used'."""
    error = explained(DominoSpec(n=n, ratio=ratio, both=0.3, empty=0))
    assert error.nearest == {"both": 0.25, "ratio": nearest}
    assert "both halves cannot be shown in 0.3 of the dominoes" in str(error)


@pytest.mark.parametrize("ratio", [0.33, 0.3, 1, 3.3])
def test_beside_the_trap_there_are_answers(ratio: float) -> None:
    """Without empties an answer exists exactly if D is at most min(R, 1/R)."""
    assert solve(DominoSpec(n=1000, ratio=ratio, both=0.3, empty=0), REAL).n == 1000


@pytest.mark.parametrize(
    ("fields", "stock", "message"),
    [
        ({"prevalence": (0.2, 0.3), "both": 0.5}, REAL, "cannot be shown in 0.5 of the dominoes when the top half is shown in 0.2 of them"),
        ({"prevalence": (0.2, 0.3), "empty": 0.2}, REAL, "leave -0.3 of the dominoes to both"),
        ({"prevalence": (0.8, 0.7), "both": 0.2}, REAL, "leave -0.3 of the dominoes to empty"),
        ({"prevalence": (0.5, 0.5)}, Stock((3, 0), (4, 4)), "needs 1 mnist pictures of class 1; the train split has 0"),
        ({"n": 9, "prevalence": (1, 0), "reliability": (0, 1), "reuse": 2}, Stock((4, 1), (4, 4)), "and each may be used 2 times"),
        (
            {"n": 30, "prevalence": (1, 1), "reliability": (0.5, 1), "top": "a", "bottom": "a"},
            Stock((20, 20), (20, 20)),
            "of the top half and prevalence",
        ),
    ],
)
def test_what_is_lacking_is_said_with_numbers(fields: dict[str, Any], stock: Stock, message: str) -> None:
    """The first sentence names the rule that fails and its numbers, for each kind of rule."""
    assert message in str(explained(DominoSpec(**fields), stock))


def test_a_feasible_value_that_stands_alone_is_found() -> None:
    """With a bottom that is never shown, empties and tops make up the whole: one value of empty fits, and it is named."""
    error = explained(DominoSpec(n=1000, prevalence=(0.73, 0), empty=0.9))
    assert error.nearest["empty"] == 0.27
    assert error.nearest["prevalence of the top half"] == 0.1


def test_extreme_ratios_and_implied_shares_are_explained() -> None:
    """A ratio beyond any dataset's is explained, and an implied prevalence out of range is named as such."""
    assert explained(DominoSpec(ratio=1e17, both=0.3, empty=0)).nearest["ratio"] == 3.333333
    assert "leave the bottom half a prevalence of -0.9" in str(explained(DominoSpec(n=10, prevalence=(0.9, None), both=0, empty=1)))


def test_labels_as_the_stock_has_them_are_offered_where_they_help() -> None:
    """Where only the balance of labels is in the way, the message says so."""
    error = explained(DominoSpec(n=60000, prevalence=(1, 0)))
    assert error.nearest["labels"] == "stock"
    assert solve(DominoSpec(n=60000, prevalence=(1, 0), labels="stock"), REAL).n == 60000


percents = st.integers(0, 100).map(lambda number: number / 100)
requests = st.one_of(
    st.fixed_dictionaries({"prevalence": st.tuples(percents, percents), "n": st.integers(1000, 400000)}),
    st.fixed_dictionaries({"prevalence": st.tuples(percents, percents), "both": percents, "n": st.integers(1, 90000)}),
    st.fixed_dictionaries({"prevalence": st.tuples(percents, percents), "empty": percents, "n": st.integers(1, 90000)}),
    st.fixed_dictionaries({"ratio": st.floats(0.05, 20), "both": percents, "empty": percents, "n": st.integers(1, 90000)}),
)


@pytest.mark.slow
@given(requests, st.tuples(percents, percents))
@settings(max_examples=60, deadline=None)
def test_every_nearest_value_is_feasible_and_no_nearer_one_is(fields: dict[str, Any], reliability: tuple[float, float]) -> None:
    """Fed back, each suggested value is solved; a hundredth of the way back towards the request it is infeasible again."""
    spec = DominoSpec(**fields, reliability=reliability)
    try:
        solve(spec, REAL)
    except Infeasible as error:
        assert error.conflict
        for parameter, value in error.nearest.items():
            if value is None:
                continue
            solve(with_value(spec, parameter, value), REAL)
            if parameter in ("labels", "n", "reuse"):
                nearer = {"n": lambda v: v + 1, "reuse": lambda v: v - 1}.get(parameter)
                if nearer is None or (parameter == "reuse" and value == 1):
                    continue
                step = nearer(value)
            else:
                asked = getattr(spec, parameter.split()[0])
                asked = asked["bottom" in parameter] if "half" in parameter else asked
                step = value + 0.01 * (asked - value)
                if abs(step - value) < 2e-5:
                    continue
            with pytest.raises((Infeasible, SpecError)):
                solve(with_value(spec, parameter, step), REAL)


@given(requests)
@settings(max_examples=40, deadline=None)
def test_dropping_any_rule_of_the_conflict_removes_it(fields: dict[str, Any]) -> None:
    """The conflict is minimal: without the stock some n, without n the stock, and without any one share field some value of it, can
    be had when all that the conflict does not name is left free."""
    spec = DominoSpec(**fields)
    try:
        solve(spec, REAL)
    except Infeasible as error:
        rules = {words.removesuffix(" (the halves independent)") for words in error.conflict}
        found = _rules(spec, REAL, resolve(spec))
        chosen = [rule for rule in found if rule.words.removesuffix(" (the halves independent)") in rules]
        assert len(chosen) == len(rules)
        assert not _feasible(tuple(chosen))
        for rule in chosen:
            assert _feasible(tuple(other for other in chosen if other is not rule))


def test_a_dial_that_repeats_pictures_is_named() -> None:
    """Where the stock is what a dial repeats its pictures to, lack and rule say so; other dials are not blamed."""
    request = DominoSpec(n=60000, prevalence=(0.95, 0.5), top_transform=("noise=1", "prototypes=10"))
    said = "top_transform prototypes=10 repeats 10 pictures a class to this number, and no further"
    error = explained(request)
    assert f"the train split has 5421 ({said})" in str(error)
    assert any(said in rule for rule in error.conflict)
    assert "prototypes" not in str(explained(DominoSpec(n=60000, prevalence=(0.95, 0.5), top_transform=("noise=1",))))


def test_what_was_given_is_named_where_the_rest_was_left_open() -> None:
    """With one prevalence and the empties alone, nothing is said of the other prevalence or of doubles, which nobody gave: the bounds are
    those of the two, and hold."""
    spec = DominoSpec(n=1000, prevalence=(None, 0.6), empty=0.9)
    error = explained(spec)
    assert error.conflict == ("prevalence of the bottom half 0.6", "empty 0.9")
    assert error.nearest == {"prevalence of the bottom half": 0.1, "empty": 0.4}
    assert str(error).startswith("no dominoes have prevalence of the bottom half 0.6 and empty 0.9, however many of them show both halves.")
    for number in range(1, 10):
        free = spec.model_copy(update={"empty": number / 10})
        if number <= 4:
            assert solve(free, REAL).n == 1000
        else:
            explained(free)


@given(
    st.fixed_dictionaries(
        {
            "prevalence": st.tuples(st.sampled_from([0.5, 1, 0.3]), st.sampled_from([0, 0.5, 1])),
            "reliability": st.tuples(st.sampled_from([0.5, 1, 0.95]), st.sampled_from([0.5, 1])),
            "n": st.integers(1, 14),
            "labels": st.sampled_from(["balanced", "stock"]),
        }
    ),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_every_advice_on_a_tiny_stock_is_solved(fields: dict[str, Any], counts: list[int], shared: bool) -> None:
    """Where real-valued shares fit a few pictures but whole dominoes may not, whatever is advised has a solution, and so has every n up
    to one that is said to be the most."""
    stock = Stock(tuple(counts), tuple(counts if shared else counts[::-1]))
    spec = DominoSpec(**fields, top="a", bottom="a" if shared else "b")
    try:
        solve(spec, stock)
    except Infeasible as error:
        for parameter, value in error.nearest.items():
            if value is not None:
                solve(with_value(spec, parameter, value), stock)
        if "n at most" in str(error):
            for number in range(1, int(error.nearest["n"] or 0) + 1):
                solve(with_value(spec, "n", number), stock)
    except SpecError:
        assert spec.labels == "stock"


def test_shares_are_resolved_once_for_a_solution_and_once_for_each_value_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the solver asks of a spec is passed along; searching for the nearest value of a share needs shares of its own, no more than
    a grid and a bisection of them, and reliability needs none."""
    asked: list[DominoSpec] = []

    def counted(spec: DominoSpec) -> Shares:
        asked.append(spec)
        return resolve(spec)

    for module in (shares, solution, infeasible, stock_module, ideal_counts):
        monkeypatch.setattr(module, "resolve", counted)
    solve(DominoSpec(n=6000, prevalence=(0.65, 0.65), reliability=(0.9, 1)), REAL)
    assert len(asked) == 1
    asked.clear()
    explained(DominoSpec(n=60000, prevalence=(0.95, 0.5)))
    assert len(asked) < 100
    assert len(set(asked)) > 0.9 * len(asked)
