"""Dealing pictures: nothing used too often, nothing wrong shown as right, everything by seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dominoes.data import sources
from dominoes.data.dealing import Dealt, deal, deal_spec
from dominoes.data.sources import Source
from dominoes.errors import SpecError
from dominoes.solver.ideal_counts import RIGHT, WRONG
from dominoes.solver.infeasible import Infeasible
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock
from dominoes.spec import KINDS, DominoSpec, Split

percents = st.integers(0, 100).map(lambda number: number / 100)


def source(labels: list[int], name: str = "a") -> Source:
    """A source of black pictures with these labels."""
    array = np.array(labels, dtype=np.int64)
    names = tuple(map(str, range(array.max() + 1)))
    return Source(name, Split.TRAIN, np.zeros((len(labels), 1, 32, 32), np.uint8), array, names, "")


@given(st.tuples(percents, percents), st.tuples(percents, percents), st.integers(1, 3), st.booleans(), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_deals_keep_every_promise(
    prevalence: tuple[float, float], reliability: tuple[float, float], reuse: int, shared: bool, seed: int
) -> None:
    """Rows realise the composition cell by cell; a picture is used at most `reuse` times in all and shows the class it is said to."""
    rng = np.random.default_rng(seed)
    top = source(rng.permutation(np.repeat(np.arange(4), [9, 12, 10, 15])).tolist())
    bottom = top if shared else source(rng.permutation(np.repeat(np.arange(4), [11, 8, 14, 9])).tolist(), "b")
    spec = DominoSpec(n="max", prevalence=prevalence, reliability=reliability, reuse=reuse, top="a", bottom=bottom.name, seed=seed)
    try:
        found = solve(spec, Stock(top.stock, bottom.stock))
    except (Infeasible, SpecError):
        return
    table = deal(found, top, bottom)
    assert len(table) == found.n
    used: Counter[tuple[str, int]] = Counter()
    for side, mine in (("top", top), ("bottom", bottom)):
        index, shown = table.index[side], table.shown[side]
        assert np.array_equal(np.where(index < 0, -1, mine.labels[index]), shown)
        used.update((mine.name, int(number)) for number in index[index >= 0])
        counts = np.zeros((4, 4), dtype=np.int64)
        np.add.at(counts, (table.label[index >= 0], shown[index >= 0]), 1)
        assert np.array_equal(counts, found.shown[side])
    assert max(used.values(), default=0) <= reuse
    part = {side: np.where(table.shown[side] < 0, 0, np.where(table.shown[side] == table.label, 1, 2)) for side in ("top", "bottom")}
    states = np.zeros((4, 9), dtype=np.int64)
    np.add.at(states, (table.label, 3 * part["top"] + part["bottom"]), 1)
    assert np.array_equal(states, found.states)
    assert {kind: len(table.of_kind(kind)) for kind in KINDS} == found.kinds


def test_seeds_change_the_deal_and_nothing_else_does() -> None:
    """One seed always gives the same rows, another seed other ones with the same counts."""
    spec = DominoSpec(n=500, prevalence=(0.6, 0.6), top="digits", bottom="textures")
    first, again, other = (deal_spec(spec.model_copy(update={"seed": seed})).deal for seed in (0, 0, 1))
    assert np.array_equal(first.index["top"], again.index["top"])
    assert not np.array_equal(first.index["top"], other.index["top"])
    assert np.array_equal(np.bincount(first.label), np.bincount(other.label))


def test_doubles_are_paired_by_chance() -> None:
    """In doubles the order of the top pictures says nothing about that of the bottom pictures of the same class."""
    table = deal_spec(DominoSpec(n=1200, prevalence=(1, 1), top="digits", bottom="textures")).deal
    for label in range(10):
        rows = table.label == label
        correlation = np.corrcoef(np.argsort(np.argsort(table.index["top"][rows])), np.argsort(np.argsort(table.index["bottom"][rows])))[
            0, 1
        ]
        assert abs(correlation) < 4 / np.sqrt(rows.sum())


def test_wrong_classes_are_independent_of_the_kind() -> None:
    """Wrong halves in one-sided dominoes and in doubles show each class alike, as a chi-square of their table allows."""
    from scipy.stats import chi2_contingency

    dealt = deal_spec(DominoSpec(n=4000, prevalence=(0.8, 0.5), reliability=(0.3, 1), reuse=4, top="digits", bottom="textures"))
    table = dealt.deal
    wrong = (table.index["top"] >= 0) & (table.shown["top"] != table.label)
    counts = np.zeros((2, 10))
    np.add.at(counts, ((table.kind[wrong] == 2).astype(int), table.shown["top"][wrong]), 1)
    assert chi2_contingency(counts).pvalue > 1e-4
    assert wrong.sum() == dealt.composition.states[:, WRONG["top"]].sum()
    assert RIGHT["top"] == (3, 4, 5)


def test_a_larger_dataset_holds_the_pictures_of_a_smaller_one() -> None:
    """With one seed, growing n only adds pictures, so that a sweep over n is nested."""
    small, large = (deal_spec(DominoSpec(n=n, prevalence=(0.5, 0.5), top="digits", bottom="textures")).deal for n in (200, 800))
    for side in ("top", "bottom"):
        assert set(small.index[side]) <= set(large.index[side])


def test_rows_are_shuffled() -> None:
    """Labels and kinds do not stand in blocks."""
    table = deal_spec(DominoSpec(n=1000, prevalence=(0.6, 0.6), top="digits", bottom="textures")).deal
    assert (np.diff(table.label) != 0).mean() > 0.8
    assert len(np.unique(table.kind[:40])) == 4


def test_a_composition_of_another_stock_is_refused(small: Dealt) -> None:
    """A composition is dealt only from the stock it was solved for."""
    other = sources.load_source("digits", Split.TEST)
    with pytest.raises(SpecError, match="was solved for another stock"):
        deal(small.composition, other, small.bottom)
