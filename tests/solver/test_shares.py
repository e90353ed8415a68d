"""From given fields to exact shares."""

from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dominoes.errors import SpecError
from dominoes.solver.shares import exact, resolve
from dominoes.spec import DominoSpec

percents = st.integers(0, 100).map(lambda number: number / 100)


@given(percents, percents, percents)
def test_any_three_independent_fields_fix_the_rest(top: float, bottom: float, mix: float) -> None:
    """Each three of A, C, D, E, R that determine the shares give the same exact shares back."""
    a, c = exact(top), exact(bottom)
    low, high = max(Fraction(0), a + c - 1), min(a, c)
    d = exact(float(low + (high - low) * exact(mix)))
    assume(low <= d <= high and a > 0 and c > 0)
    fields = {"top": a, "bottom": c, "both": d, "empty": 1 - a - c + d, "ratio": a / c}
    for names in combinations(fields, 3):
        if set(names) == {"top", "bottom", "ratio"}:
            continue  # the ratio of both prevalences says nothing new
        if set(names) == {"both", "empty", "ratio"} and a / c == 0:
            continue
        found = resolve(_spec({name: float(fields[name]) for name in names}))
        for value, wanted in zip((found.top, found.bottom, found.both, found.empty), (a, c, d, fields["empty"]), strict=True):
            assert abs(value - wanted) < Fraction(1, 10**7)


def _spec(fields: dict[str, float]) -> DominoSpec:
    prevalence = fields.get("top"), fields.get("bottom")
    return DominoSpec(prevalence=prevalence, **{name: fields[name] for name in ("both", "empty", "ratio") if name in fields})


@given(percents, percents)
def test_without_both_the_halves_are_independent(top: float, bottom: float) -> None:
    """Two prevalences alone mean D = A·C, exactly."""
    found = resolve(DominoSpec(prevalence=(top, bottom)))
    assert found.both == exact(top) * exact(bottom)
    assert found.independent
    assert sum(found.kinds) == 1


@given(st.floats(0.01, 100), st.floats(0, 1))
def test_ratio_and_empty_alone_leave_independent_halves(ratio: float, empty: float) -> None:
    """R and E without D give the one point at which D = A·C and all shares are possible."""
    found = resolve(DominoSpec(ratio=ratio, empty=empty))
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in found.kinds)
    assert float(found.top * found.bottom) == pytest.approx(float(found.both), abs=1e-9)
    assert float((1 - found.top) * (1 - found.bottom)) == pytest.approx(empty, abs=1e-8)
    assert float(found.top) == pytest.approx(ratio * float(found.bottom), abs=1e-7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "too few of prevalence.*got none; add one"),
        ({"ratio": 2}, "too few.*got ratio 2; add one"),
        ({"both": 0.5, "empty": 0}, "too few.*got both 0.5, empty 0"),
        ({"prevalence": (1, None), "empty": 0}, "too few"),
        (
            {"prevalence": (0.5, 0.5), "ratio": 2},
            "ratio 2 contradict each other, because ratio = top / bottom; .*bottom half 0.25 or ratio 1;",
        ),
        ({"prevalence": (0.5, 0.5), "both": 0.3, "empty": 0.5}, "contradict each other.*empty = 1 − top − bottom \\+ both.*or empty 0.3;"),
        ({"prevalence": (1, None), "empty": 0.3}, "contradict each other.*both = top × bottom, as both is not given"),
    ],
)
def test_too_few_or_contradictory_fields_are_named(fields: dict[str, Any], message: str) -> None:
    """The error names the fields, their values, the rule, and what would fit."""
    with pytest.raises(SpecError, match=message):
        resolve(DominoSpec(**fields))


def test_redundant_fields_that_agree_are_accepted() -> None:
    """Saying the same twice is no contradiction, rounding in the tenth digit included."""
    found = resolve(DominoSpec(prevalence=(1 / 3, 2 / 3), both=0, empty=0, ratio=0.5))
    assert (found.top, found.bottom) == (Fraction(1, 3), Fraction(2, 3))


def test_decimals_mean_what_they_say() -> None:
    """0.29 is 29/100: a hundred of it is 29, where binary floating point has 28.999."""
    assert exact(0.29) * 100 == 29
    assert exact(1 / 3) == Fraction(1, 3)
    assert exact(1e-12) == Fraction(1, 10**12)
    assert float(exact(0.123456789012)) == 0.123456789012
