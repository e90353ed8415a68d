"""The pattern-learning model against enumeration, reference values and its own laws."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import oracles
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dominoes.errors import FitError
from dominoes.theory.pattern_model import PARAMETERS, Pattern, PatternModel, change, mix, model_table, preset, sigmoid

DATA = Path(os.environ.get("DOMINOES_DATA") or Path(__file__).parents[2] / "../shared/data")
ORACLE = DATA / "toy_oracle.csv"

shares = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1, allow_subnormal=False))
patterns = st.builds(Pattern, shares, st.floats(0, 1e3), st.floats(-1e3, 1e3), shares)


@st.composite
def models(draw: st.DrawFn, most: int = 6) -> PatternModel:
    members = draw(st.lists(patterns, min_size=1, max_size=most))
    rule = draw(st.sampled_from(["equal", *(f"preferred:{i + 1}" for i in range(len(members)))]))
    return PatternModel(members, rule, draw(st.sampled_from([None, 2, 10])))


@st.composite
def firings(draw: st.DrawFn) -> tuple[list[float], list[float], int | None]:
    n = draw(st.integers(1, 10))
    p, g = (draw(st.lists(shares, min_size=n, max_size=n)) for _ in range(2))
    return p, g, draw(st.one_of(st.none(), st.integers(0, n - 1)))


@settings(max_examples=60, deadline=None)
@given(firings())
def test_quadrature_equals_enumeration(case: tuple[list[float], list[float], int | None]) -> None:
    """Usage and accuracies agree to 1e-12 with a sum over all 2^n firings, for up to 10 patterns, exact 0 and 1 included."""
    p, g, preferred = case
    mixture = mix(np.array(p), np.array(g), preferred)
    used = oracles.usage_by_enumeration(p, preferred)
    train, test = oracles.accuracies(p, g, preferred)
    np.testing.assert_allclose(mixture.usage, used, atol=1e-12, rtol=0)
    assert mixture.train == pytest.approx(train, abs=1e-12)
    assert mixture.test == pytest.approx(test, abs=1e-12)


@pytest.mark.parametrize("preferred", [None, 0, 4])
def test_quadrature_equals_exact_fractions(preferred: int | None) -> None:
    """Against exact rational arithmetic the usage is right to the last few units of a float."""
    p = [0.5, 1.0, 0.0, 0.125, 0.75, 0.3, 0.9]
    used = [float(share) for share in oracles.usage_by_enumeration(oracles.exact(p), preferred)]
    np.testing.assert_allclose(mix(np.array(p), np.ones(7), preferred).usage, used, atol=1e-15, rtol=0)


def test_thirty_patterns() -> None:
    """Thirty patterns, 2^30 firings, are as exact: equal patterns share A equally, and usage sums to A."""
    p = np.full(30, 0.3)
    mixture = mix(p, np.ones(30), None)
    np.testing.assert_allclose(mixture.usage, (1 - 0.7**30) / 30, rtol=1e-13)
    uneven = mix(np.linspace(0, 1, 30), np.ones(30), None)
    assert uneven.usage.sum() == pytest.approx(1.0, abs=1e-13)
    assert uneven.train == 1.0


@settings(max_examples=60, deadline=None)
@given(models(), st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=4))
def test_laws(model: PatternModel, times: list[float]) -> None:
    """At all times: probabilities lie in [0, 1], usage sums to A, the order of the patterns is immaterial, guessing adds (1 − A)/K."""
    train, test, usage = model.train_accuracy(times), model.test_accuracy(times), model.usage(times)
    for values in (train, test, usage, model.firing(times)):
        assert np.isfinite(values).all()
        assert (values >= -1e-15).all()
        assert (values <= 1 + 1e-12).all()
    plain = PatternModel(model.patterns, model.rule)
    np.testing.assert_allclose(usage.sum(axis=0), plain.train_accuracy(times), atol=1e-12)
    guess = 0 if model.classes is None else 1 / model.classes
    np.testing.assert_allclose(test, plain.test_accuracy(times) + guess * (1 - plain.train_accuracy(times)), atol=1e-12)
    n = len(model.patterns)
    rule = "equal" if model.preferred is None else f"preferred:{n - model.preferred}"
    backward = PatternModel(model.patterns[::-1], rule, model.classes)
    np.testing.assert_allclose(backward.test_accuracy(times), test, atol=1e-12)
    np.testing.assert_allclose(backward.usage(times)[::-1], usage, atol=1e-12)


def test_nothing_fires() -> None:
    """Ceilings of 0 give accuracies of exactly 0, no NaN; with K classes exactly the guess."""
    nothing = [Pattern(0, 1, 0), Pattern(0, 0, 5)]
    np.testing.assert_array_equal(PatternModel(nothing).test_accuracy([0, 1e9]), 0)
    np.testing.assert_array_equal(PatternModel(nothing, "preferred:2").usage([0, 1e9]), 0)
    np.testing.assert_array_equal(PatternModel(nothing, classes=10).train_accuracy(3.0), 0.1)


@pytest.mark.parametrize("name", ["double-descent", "grokking"])
def test_reference_values(name: str) -> None:
    """Firing, usage and accuracies of both toy models equal the reference table, by the preferred rule and by the equal split."""
    if not ORACLE.is_file():
        pytest.skip(f"toy_oracle.csv is not in {DATA}; set DOMINOES_DATA to the folder that holds it")
    rows = pd.read_csv(ORACLE)
    rows = rows[rows["set"] == name.replace("-", "_")]
    times = rows["t"].to_numpy(float)
    for model, rule, test in ((preset(name), "pref3", "pref3"), (change(preset(name), {"usage": "equal"}), "equal", "equal_split")):
        np.testing.assert_allclose(model.firing(times), rows[["p1", "p2", "p3"]].T, atol=1e-12)
        np.testing.assert_allclose(model.usage(times), rows[[f"u{i}_{rule}" for i in (1, 2, 3)]].T, atol=1e-12)
        np.testing.assert_allclose(model.train_accuracy(times), rows["train_acc"], atol=1e-12)
        np.testing.assert_allclose(model.test_accuracy(times), rows[f"test_acc_{test}"], atol=1e-12)


def test_double_descent() -> None:
    """The preset peaks near .53, falls to about .351 and ends at .48."""
    test = preset("double-descent").test_accuracy(np.arange(401))
    peak = int(test.argmax())
    assert test[peak] == pytest.approx(0.53, abs=0.005)
    assert 30 < peak < 60
    assert test[peak:].min() == pytest.approx(0.351, abs=0.0005)
    assert test[-1] == pytest.approx(0.48, abs=0.0005)


def test_grokking() -> None:
    """The preset's train accuracy is full long before its test accuracy crosses one half, at t = 200."""
    model = preset("grokking")
    assert model.train_accuracy(125.0) > 0.999
    test = model.test_accuracy([199.0, 200.0, 201.0])
    assert test[0] < 0.5 < test[2]
    assert test[1] == pytest.approx(0.5, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(models(most=5), st.floats(-30, 30))
def test_gradients_equal_complex_steps(model: PatternModel, t: float) -> None:
    """Derivatives by every parameter equal the complex-step derivatives of the enumeration."""
    # Where a sigmoid's argument is huge the complex exponential of the oracle overflows, and the derivative is 0.
    members = [Pattern(m.ceiling, min(m.speed, 3.0), max(-20.0, min(20.0, m.inflection)), m.generalization) for m in model.patterns]
    model = PatternModel(members, model.rule, model.classes)
    guess = 0 if model.classes is None else 1 / model.classes
    train, test = model.train_gradient(t), model.test_gradient(t)
    assert train.shape == test.shape == (len(members), 4)
    for i in range(len(members)):
        for k in range(4):
            values = np.array([[getattr(m, name) for name in PARAMETERS] for m in members], dtype=complex)
            values[i, k] += 1e-30j
            ceiling, speed, inflection, g = values.T
            p = ceiling / (1 + np.exp(-speed * (t - inflection)))
            expected = [value.imag / 1e-30 for value in oracles.accuracies(list(p), list(g), model.preferred, guess)]
            np.testing.assert_allclose([train[i, k], test[i, k]], expected, atol=1e-9, rtol=1e-9)


def test_gradients_equal_finite_differences() -> None:
    """Gradients are vectorised over times of any shape and equal central differences of the accuracies themselves."""
    model = change(preset("double-descent"), {"classes": 10})
    times = np.linspace(0, 300, 12).reshape(3, 4)
    for which, gradient in (("train_accuracy", model.train_gradient(times)), ("test_accuracy", model.test_gradient(times))):
        assert gradient.shape == (3, 4, 3, 4)
        for k, name in enumerate(PARAMETERS[:3]):
            value = getattr(model.patterns[2], name)
            h = 1e-6 * value
            up, down = (getattr(change(model, {f"{name}.3": value + s}), which)(times) for s in (h, -h))
            np.testing.assert_allclose(gradient[2, k], (up - down) / (2 * h), rtol=1e-4, atol=1e-7)


def test_huge_arguments() -> None:
    """Speeds and times at the edge of floats give 0 or the ceiling, without a warning and without NaN, gradients included."""
    model = PatternModel([Pattern(0.5, 1e300, 0), Pattern(1, 1e-300, 1e300)], classes=3)
    times = [-1e300, -1.0, 1.0, 1e300]
    np.testing.assert_array_equal(model.firing(times)[0], [0, 0, 0.5, 0.5])
    for values in (model.train_accuracy(times), model.test_accuracy(times), model.train_gradient(times), model.test_gradient(times)):
        assert np.isfinite(values).all()
    np.testing.assert_array_equal(sigmoid(np.array([-np.inf, 0, np.inf])), [0, 0.5, 1])


def test_simulate() -> None:
    """Simulated accuracies are binomial: whole counts, the right mean and variance, and the same for the same generator."""
    model = change(preset("double-descent"), {"classes": 10})
    times = np.full(20_000, 60.0)
    train, test = model.simulate(times, 100, np.random.default_rng(1))
    for sample, expected in ((train, model.train_accuracy(60.0)), (test, model.test_accuracy(60.0))):
        np.testing.assert_allclose(sample * 100, np.round(sample * 100), atol=1e-9)
        variance = expected * (1 - expected) / 100
        assert sample.mean() == pytest.approx(expected, abs=5 * np.sqrt(variance / 20_000))
        assert sample.var() == pytest.approx(variance, rel=0.06)
    again = model.simulate(times, 100, np.random.default_rng(1))
    np.testing.assert_array_equal(train, again.train)


def test_table() -> None:
    """The table of a toy model has a column for each pattern's firing and usage, and the accuracies."""
    frame = pd.DataFrame(model_table(preset("grokking"), np.arange(5)))
    assert list(frame) == ["t", "p1", "p2", "p3", "u1", "u2", "u3", "train_accuracy", "test_accuracy"]
    np.testing.assert_allclose(frame[["u1", "u2", "u3"]].sum(axis=1), frame["train_accuracy"], atol=1e-15)


def test_change() -> None:
    """Settings replace one parameter of one pattern, the rule of usage, or the number of classes; the model itself stays."""
    model = preset("grokking")
    changed = change(model, {"ceiling.1": "0.25", "inflection.3": 90, "usage": "preferred:1", "classes": "4"})
    assert changed.patterns[0] == Pattern(0.25, 0.15, 30, 1.0)
    assert changed.patterns[2].inflection == 90
    assert (changed.rule, changed.preferred, changed.classes) == ("preferred:1", 0, 4)
    assert model == preset("grokking")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1.1, 1, 0), "ceiling of a pattern is 1.1, expected a number from 0 to 1"),
        ((float("nan"), 1, 0), "ceiling of a pattern is nan"),
        ((1, 1, 0, -0.1), "generalization of a pattern is -0.1, expected a number from 0 to 1"),
        ((1, -1, 0), "speed of a pattern is -1, expected a finite number of at least 0"),
        ((1, 1, float("inf")), "inflection of a pattern is inf, expected a finite time"),
    ],
)
def test_bad_pattern(values: tuple[float, ...], message: str) -> None:
    """A parameter out of its range is refused by name."""
    with pytest.raises(FitError, match=message):
        Pattern(*values)


@pytest.mark.parametrize("rule", ["preferred", "preferred:0", "preferred:3", "preferred:x", "first", "equal:1", "preferred:-1"])
def test_bad_rule(rule: str) -> None:
    """A rule of usage that names no pattern is refused, with the range of i."""
    with pytest.raises(FitError, match="expected 'equal' or 'preferred:<i>' with i from 1 to 2"):
        PatternModel([Pattern(1, 1, 0), Pattern(1, 1, 1)], rule)


def test_bad_model() -> None:
    """No pattern, too many patterns, a single class, missing times, unknown presets and no examples are refused."""
    with pytest.raises(FitError, match="1 to 30 patterns, got 0"):
        PatternModel([])
    with pytest.raises(FitError, match="1 to 30 patterns, got 31"):
        PatternModel([Pattern(1, 1, 0)] * 31)
    with pytest.raises(FitError, match="classes is 1, expected a number above 1"):
        PatternModel([Pattern(1, 1, 0)], classes=1)
    with pytest.raises(FitError, match="a time is not a finite number"):
        preset("grokking").train_accuracy([0, np.nan])
    with pytest.raises(FitError, match="no preset 'x'; expected one of double-descent, grokking"):
        preset("x")
    with pytest.raises(FitError, match="n is 0, expected at least 1 example"):
        preset("grokking").simulate(1.0, 0, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["ceiling", "ceiling.0", "ceiling.4", "height.1", "rule"])
def test_bad_setting(name: str) -> None:
    """A setting that names no parameter is refused with what may be set."""
    with pytest.raises(FitError, match=r"no setting .*expected usage, classes or <parameter>.<i>"):
        change(preset("grokking"), {name: 1})


def test_bad_setting_value() -> None:
    """A setting that is not a number is refused by name."""
    with pytest.raises(FitError, match=r"ceiling\.1 is set to 'high', expected a number"):
        change(preset("grokking"), {"ceiling.1": "high"})
