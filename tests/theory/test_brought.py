"""Rules from outside, beyond the errors on which they are tried."""

import numpy as np
import pytest

from dominoes.errors import BroughtError
from dominoes.theory import brought
from dominoes.theory.rules import RULES


@pytest.mark.parametrize("K", [2, 10, 1000])
def test_a_rule_may_leave_the_range_beyond_chance_as_far_as_the_product_rule(K: int) -> None:
    """A class that is never answered has an error of 1 on each side, a product above 1 and a share below 0: no fault of the rule."""
    errors = np.linspace(0, 1, 41)
    top, bottom = np.meshgrid(errors, errors)
    found, product = brought.rule("brought_rules:product"), RULES["product"]
    assert product.conflicts is not None
    assert found.conflicts is not None
    np.testing.assert_array_equal(found.doubles(top, bottom, K), product.doubles(top, bottom, K))
    np.testing.assert_array_equal(found.conflicts(top, bottom, K), product.conflicts(top, bottom, K))
    assert product.doubles(top, bottom, K).max() == pytest.approx(K / (K - 1))
    assert min(each.min() for each in product.conflicts(top, bottom, K)) < -0.4 / (K - 1)


def test_a_rule_that_leaves_it_by_more_is_refused() -> None:
    """With where, and what it gave."""
    found = brought.rule("brought_rules:far")
    assert found.doubles(np.array([0.9]), np.array([0.9]), 10) == pytest.approx(0.81)
    with pytest.raises(
        BroughtError, match=r"far: doubles gives 3 at errors 0\.95 \(top\) and 0\.9 \(bottom\) among 10 classes; expected an"
    ):
        found.doubles(np.array([0.9, 0.95]), np.array([0.9, 0.9]), 10)


def test_a_built_in_rule_is_handed_on_as_it_is() -> None:
    """By its name: it is not checked again."""
    assert brought.rules(["gaussian"]) == {"gaussian": RULES["gaussian"]}
