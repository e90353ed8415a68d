"""The predictions agree with counting, and the scores with what they claim."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dominoes.theory.rules import (
    RULES,
    calibrated_loss,
    deviance,
    fired,
    floored,
    product_conflicts,
    rmse,
)


def predicted_error(rule: str, top: np.ndarray, bottom: np.ndarray, K: int) -> np.ndarray:
    return RULES[rule].doubles(top, bottom, K)


def answered_neither(rule: str, top: np.ndarray, bottom: np.ndarray, K: int) -> np.ndarray:
    conflicts = RULES[rule].conflicts
    assert conflicts is not None
    return conflicts(top, bottom, K)[2]


@given(p=st.floats(0, 1), q=st.floats(0, 1), K=st.integers(2, 12))
def test_the_product_rule_is_independent_firing_with_guessing(p: float, q: float, K: int) -> None:
    """Enumerating who fires: the error on doubles is (1−p)(1−q)(K−1)/K, and K/(K−1) e_top e_bottom says the same."""
    error = sum((p if i else 1 - p) * (q if j else 1 - q) * (0 if i or j else (K - 1) / K) for i, j in itertools.product((0, 1), repeat=2))
    top, bottom = np.array((1 - p) * (K - 1) / K), np.array((1 - q) * (K - 1) / K)
    assert predicted_error("product", top, bottom, K) == pytest.approx(error, abs=1e-12)
    assert fired(1 - top, K) == pytest.approx(p, abs=1e-12)
    assert answered_neither("product", top, bottom, K) == pytest.approx((K - 2) / K * (1 - p) * (1 - q), abs=1e-12)


@given(a=st.floats(-4, 4), b=st.floats(-4, 4), K=st.integers(3, 12))
def test_addition_of_evidence_is_a_softmax_of_summed_logits(a: float, b: float, K: int) -> None:
    """Logits a and b on the label of doubles, and on two different classes of conflicts."""

    def softmax(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits) / np.exp(logits).sum()

    label, other = np.eye(K)[0], np.eye(K)[1]
    top, bottom = (np.array(1 - softmax(strength * label)[0]) for strength in (a, b))
    assert predicted_error("addition", top, bottom, K) == pytest.approx(1 - softmax((a + b) * label)[0], abs=1e-12)
    assert answered_neither("addition", top, bottom, K) == pytest.approx(softmax(a * label + b * other)[2:].sum(), abs=1e-12)


@given(top=st.floats(0, 1), bottom=st.floats(0, 1))
def test_every_rule_predicts_a_share(top: float, bottom: float) -> None:
    """Errors up to chance give errors from 0 to 1, also at exactly 0, and the rules are in their order."""
    e = [np.array(value * 0.9) for value in (top, bottom)]
    found = {rule: float(predicted_error(rule, *e, 10)) for rule in RULES}
    assert all(0 <= value <= 1 for value in found.values())
    assert found["addition"] <= found["product"] + 1e-12
    assert found["gaussian"] <= found["better side"] + 2e-3
    assert found["product"] <= found["better side"] + 1e-12
    assert found["better side"] <= found["mean"] + 1e-12


def test_deviance_is_one_for_an_exact_prediction() -> None:
    """Binomial counts around the predicted share have a deviance near 1, and a far one has more; unknown n has none."""
    generator = np.random.default_rng(0)
    share = np.full((200, 50), 0.3)
    weights = np.full(50, 0.02)
    measured = generator.binomial(1000, share) / 1000
    assert deviance(measured, share, weights, 1000).mean() == pytest.approx(1, abs=0.05)
    assert deviance(measured, share + 0.05, weights, 1000).mean() > 5
    assert np.isfinite(deviance(np.ones((1, 50)), np.zeros((1, 50)), weights, 1000)).all()
    assert np.isnan(deviance(measured, share, weights, math.nan)).all()
    assert rmse(share, share + 0.05, weights) == pytest.approx(np.full(200, 0.05))


@given(accuracy=st.floats(0.1, 1))
def test_the_calibrated_loss_is_the_larger_reading(accuracy: float) -> None:
    """Knowing when one is right is worth something: the entropy is at least (1 − p) ln K, with equality at chance and at 1."""
    share = np.array(accuracy)
    assert calibrated_loss(share, 10) >= (1 - fired(share, 10)) * math.log(10) - 1e-9
    assert calibrated_loss(np.array([0.1, 1.0]), 10) == pytest.approx([math.log(10), 0], abs=1e-9)


def test_half_a_count_stands_for_none() -> None:
    """A share of 0 among 1,000 becomes 0.0005, so that it has a logarithm."""
    assert floored(np.array([0.0, 0.2]), 1000) == pytest.approx([0.0005, 0.2])
    assert floored(np.array([0.0]), math.nan) == pytest.approx([1e-4])


@pytest.mark.parametrize(("d", "e"), [(0.5, 1.5), (2.0, 2.5), (0.0, 3.0)])
@pytest.mark.parametrize("K", [3, 10])
def test_gaussian_evidence_is_the_argmax_of_noisy_sums(d: float, e: float, K: int) -> None:
    """Counting the largest of simulated sums: one side alone, doubles, and the three shares of conflicts, each within 4 standard errors."""
    generator = np.random.default_rng(0)
    size = 200_000
    noise = generator.normal(size=(2, size, K))

    def answers(strengths: tuple[float, float], classes: tuple[int, int]) -> np.ndarray:
        total = np.zeros((size, K))
        for side in (0, 1):
            seen = noise[side] + strengths[side] * np.eye(K)[classes[side]]
            total += strengths[side] * seen
        return total.argmax(axis=1)

    alone = [float((noise[side] + strength * np.eye(K)[0]).argmax(axis=1).astype(bool).mean()) for side, strength in ((0, d), (1, e))]
    top, bottom = (np.array(error) for error in alone)
    rule = RULES["gaussian"]
    assert rule.conflicts is not None
    reach = 4 * math.sqrt(2 * 0.25 / size) * 2
    assert rule.doubles(top, bottom, K) == pytest.approx((answers((d, e), (0, 0)) != 0).mean(), abs=reach)
    given = answers((d, e), (0, 1))
    for share, seen in zip(rule.conflicts(top, bottom, K), [(given == 0).mean(), (given == 1).mean(), (given > 1).mean()], strict=True):
        assert float(share) == pytest.approx(seen, abs=reach)


@given(top=st.floats(0, 0.9), bottom=st.floats(0, 0.9), K=st.integers(2, 12))
def test_shares_of_conflicts_are_shares(top: float, bottom: float, K: int) -> None:
    """Every rule that says something of conflicts gives three shares that sum to 1, and changes sides with the sides."""
    for rule in RULES.values():
        if rule.conflicts is None:
            continue
        for_top, for_bottom, neither = (float(share) for share in rule.conflicts(np.array(top), np.array(bottom), K))
        if rule.name != "product" or max(top, bottom) <= (K - 1) / K:
            assert min(for_top, for_bottom, neither) >= -1e-9
        assert for_top + for_bottom + neither == pytest.approx(1, abs=1e-6)
        turned = rule.conflicts(np.array(bottom), np.array(top), K)
        assert (float(turned[1]), float(turned[0])) == pytest.approx((for_top, for_bottom), abs=1e-6)


@pytest.mark.parametrize("preference", [0.0, 0.5, 1.0])
def test_the_preference_of_the_product_rule_is_who_answers_where_both_fire(preference: float) -> None:
    """Enumerating who fires and who is preferred gives the three shares."""
    p, q, K = 0.7, 0.4, 10
    top = p * (1 - q) + p * q * preference + (1 - p) * (1 - q) / K
    bottom = q * (1 - p) + p * q * (1 - preference) + (1 - p) * (1 - q) / K
    errors = (np.array((1 - p) * (K - 1) / K), np.array((1 - q) * (K - 1) / K))
    found = product_conflicts(*errors, K, preference)
    assert [float(each) for each in found] == pytest.approx([top, bottom, 1 - top - bottom])
