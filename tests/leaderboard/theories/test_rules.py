"""Theories that are rules: against counting, simulation and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import simulated_curves
from scipy import integrate, stats

from dominoes.leaderboard.theories import evidence
from dominoes.leaderboard.theories.base import StraightLine
from dominoes.leaderboard.theories.rules import GaussianEvidence, MarginsTheory, PatternLearning

K = 10


def test_independent_firing_is_what_counting_gives() -> None:
    """Accuracy on doubles and shares of conflicts by going through who fires, who is used, and every guess."""
    p, q = 0.7, 0.3
    right, top, bottom = 0.0, 0.0, 0.0
    for fires_top, fires_bottom in itertools.product((0, 1), repeat=2):
        weight = (p if fires_top else 1 - p) * (q if fires_bottom else 1 - q)
        right += weight * (1.0 if fires_top or fires_bottom else 1 / K)
        if fires_top and fires_bottom:
            top, bottom = top + weight / 2, bottom + weight / 2
        else:
            guess = 0.0 if fires_top or fires_bottom else weight / K
            top += weight * fires_top + guess
            bottom += weight * fires_bottom + guess
    accuracy = (np.array([p + (1 - p) / K]), np.array([q + (1 - q) / K]))
    loss = (np.array([1.0]), np.array([2.0]))
    model = PatternLearning("equal")
    assert model.doubles(accuracy, loss, K, 1000)[0] == pytest.approx(right)
    assert model.doubles(accuracy, loss, K, 1000)[1] == pytest.approx(2 / math.log(K))
    assert [float(share[0]) for share in model.conflicts(accuracy, K, 1000)] == pytest.approx([top, bottom, 1 - top - bottom])
    preferred = [float(share[0]) for share in PatternLearning("preferred").conflicts(accuracy, K, 1000)]
    guess = (1 - p) * (1 - q) / K
    assert preferred == pytest.approx([p + guess, q * (1 - p) + guess, (K - 2) * guess])


@pytest.mark.parametrize("d", [0.0, 0.5, 1.5, 4.0])
def test_gaussian_accuracy_is_the_integral(d: float) -> None:
    """∫ φ(x − d) Φ(x)^(K−1) dx by adaptive quadrature; chance at d = 0; two alternatives: Φ(d/√2)."""

    def integrand(x: float) -> float:
        return float(stats.norm.pdf(x - d) * stats.norm.cdf(x) ** (K - 1))

    assert evidence.gaussian_accuracy(np.array([d]), K)[0] == pytest.approx(integrate.quad(integrand, -10, 14)[0], abs=1e-9)
    assert evidence.gaussian_accuracy(np.array([d]), 2)[0] == pytest.approx(stats.norm.cdf(d / math.sqrt(2)), abs=1e-9)
    accuracy = evidence.gaussian_accuracy(np.array([d]), K)
    assert evidence.d_of_accuracy(accuracy, K)[0] == pytest.approx(d, abs=1e-3)


def test_gaussian_evidence_is_what_observers_do() -> None:
    """200,000 observers who add up evidence weighted by d: doubles, conflicts and the loss of their posterior, within sampling error."""
    rng = np.random.default_rng(0)
    count, top, bottom = 200_000, 2.0, 1.1
    noise = rng.standard_normal((2, count, K))
    y = np.eye(K)
    doubles = top * (noise[0] + top * y[0]) + bottom * (noise[1] + bottom * y[0])
    conflicts = top * (noise[0] + top * y[0]) + bottom * (noise[1] + bottom * y[1])
    alone = tuple(np.array([evidence.gaussian_accuracy(np.array([d]), K)[0]]) for d in (top, bottom))
    losses = tuple(evidence.loss_of_d(np.array([d]), K) for d in (top, bottom))
    accuracy, loss = GaussianEvidence().doubles(alone, losses, K, 1000)
    error = 4 * math.sqrt(0.25 / count)
    assert accuracy[0] == pytest.approx((doubles.argmax(axis=1) == 0).mean(), abs=error)
    posterior = doubles[:, 0] - np.log(np.exp(doubles).sum(axis=1))
    assert loss[0] == pytest.approx(-posterior.mean(), rel=0.03)
    answers = conflicts.argmax(axis=1)
    shares = GaussianEvidence().conflicts(alone, K, 1000)
    assert [float(share[0]) for share in shares] == pytest.approx(
        [(answers == 0).mean(), (answers == 1).mean(), (answers > 1).mean()], abs=error
    )


def test_margins_are_logits() -> None:
    """Margins of a softmax over K logits add to the softmax of summed logits, on doubles and on conflicts."""
    top, bottom = 3.0, 1.0
    logits = {side: np.array([margin] + [0.0] * (K - 1)) for side, margin in (("top", top), ("bottom", bottom))}
    alone = tuple(np.array([np.exp(each[0]) / np.exp(each).sum()]) for each in logits.values())
    accuracy, loss = MarginsTheory().doubles(alone, tuple(-np.log(each) for each in alone), K, 1e9)
    both = logits["top"] + logits["bottom"]
    expected = np.exp(both[0]) / np.exp(both).sum()
    assert accuracy[0] == pytest.approx(expected)
    assert loss[0] == pytest.approx(-math.log(expected))
    conflict = logits["top"] + np.roll(logits["bottom"], 1)
    softmax = np.exp(conflict) / np.exp(conflict).sum()
    shares = [float(share[0]) for share in MarginsTheory().conflicts(alone, K, 1e9)]
    assert shares == pytest.approx([softmax[0], softmax[1], softmax[2:].sum()])


def test_a_side_is_taken_from_the_specs_that_are_alike_in_it() -> None:
    """Without one-sided curves given, the bottom is that of specs with its own prevalence, whatever the top's; with the first steps
    given, it is read later by as much as they are late."""
    model = PatternLearning()
    steps = np.geomspace(1, 376, 24)
    specs = {f"{a} {c}": simulated_curves.dials(a, c) for a in (0.2, 0.8) for c in (0.3, 0.6)}
    laws = {name: simulated_curves.truth(dict(spec) | {"both": 0.1}, steps) for name, spec in specs.items()}
    model.specs = {name: dict(spec) for name, spec in specs.items()}
    model.curves = {
        name: {curve: StraightLine(curve[1], steps, values, 500) for curve, values in law.items()} for name, law in laws.items()
    }
    found = model.predict(simulated_curves.dials(0.5, 0.6), {}, steps)
    np.testing.assert_allclose(found["bottom", "accuracy"], laws["0.2 0.6"]["bottom", "accuracy"], atol=2e-3)
    late = np.interp(np.log(steps) - 0.7, np.log(steps), laws["0.2 0.6"]["bottom", "accuracy"])
    early = steps < 60
    given = {("bottom", "accuracy"): StraightLine("accuracy", steps[early], late[early], 500)}
    ahead = model.predict(simulated_curves.dials(0.5, 0.6), given, steps[~early])
    np.testing.assert_allclose(ahead["bottom", "accuracy"], late[~early], atol=0.02)
