"""Quanta, availability and the naive rivals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import simulated_curves
from scipy.linalg import expm

from dominoes import registry
from dominoes.arrays import FloatArray
from dominoes.errors import LeaderboardError, RegistryError
from dominoes.leaderboard.theories import catalogue
from dominoes.leaderboard.theories.availability import Availability
from dominoes.leaderboard.theories.base import CurveTheory, Distances, StraightLine
from dominoes.leaderboard.theories.naive import CopyNearest, LastValue, MeanOfSpecs, SmoothRegression
from dominoes.leaderboard.theories.quanta import Quanta, learned

K = 10
STEPS = np.unique(np.round(np.geomspace(1, 376, 24)))


def _fitted(theory: CurveTheory, law: object, specs: dict[str, dict[str, object]]) -> CurveTheory:
    assert callable(law)
    theory.specs = specs
    theory.curves = {
        name: {curve: StraightLine(curve[1], STEPS, values, 500) for curve, values in law(spec, STEPS).items()}
        for name, spec in specs.items()
    }
    theory.learn()
    return theory


def test_quanta_are_what_a_population_of_skills_does() -> None:
    """100,000 skills of frequency k^-(1+α), each learned when it was seen as often as the threshold: 1 − p falls as t^(−α/(1+α))."""
    alpha = 0.8
    frequency = np.arange(1, 100_001) ** -(1 + alpha)
    frequency /= frequency.sum()
    times = np.geomspace(1e3, 1e5, 20)
    unlearned = np.array([frequency[frequency * t < 10].sum() for t in times])
    slope = np.polyfit(np.log(times), np.log(unlearned), 1)[0]
    assert slope == pytest.approx(-alpha / (1 + alpha), abs=0.03)
    late = np.log(1 - learned(np.log(times), math.log(0.1), alpha / (1 + alpha)))
    assert np.polyfit(np.log(times), late, 1)[0] == pytest.approx(-alpha / (1 + alpha), abs=1e-3)


def test_quanta_collapse_and_recover_their_parameters() -> None:
    """Curves of all prevalences are one curve of samples that show the side; τ and the exponent are found again."""
    true = {"top": (math.log(400.0), 0.9), "bottom": (math.log(9000.0), 0.4)}

    def law(spec: dict[str, float], steps: FloatArray) -> dict[tuple[str, str], FloatArray]:
        found = {}
        for side, (tau, kappa) in true.items():
            p = learned(np.log(steps * 64 * spec[f"prevalence_{side}"]), tau, kappa)
            found[side, "accuracy"] = p + (1 - p) / K
        return found

    theory = Quanta()
    _fitted(theory, law, {str(a): simulated_curves.dials(a) for a in (0.1, 0.3, 0.9)})
    for side, expected in true.items():
        assert theory.parameters[side] == pytest.approx(expected, abs=0.02)
    early = theory.predict(simulated_curves.dials(0.8), {}, STEPS)["top", "accuracy"]
    late = theory.predict(simulated_curves.dials(0.4), {}, 2 * STEPS)["top", "accuracy"]
    np.testing.assert_allclose(early, late)


def test_availability_is_the_exponential_of_the_kernel() -> None:
    """Learned share of held-out labels: y·(I − e^(−ηKt)) y / y·y with scipy's matrix exponential, from eigenvalues and weights alone."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((12, 12))
    kernel, labels = root @ root.T / 12, rng.standard_normal(12)
    values, vectors = np.linalg.eigh(kernel)
    weights = (vectors.T @ labels) ** 2 / (labels @ labels)
    spec = simulated_curves.dials(0.4, 0.5, lr=0.02, momentum=0.9, classes=K)
    spec |= {
        "kernel_rates_top": values,
        "kernel_weights_top": weights,
        "kernel_rates_bottom": "[0.1, 0.01]",
        "kernel_weights_bottom": "[.5, .2]",
    }
    for step in (1.0, 10.0, 100.0):
        unlearned = expm(-kernel * 0.4 * step * 0.02 / 0.1)
        expected = 1 - labels @ unlearned @ labels / (labels @ labels)
        assert Availability.learned(spec, "top", np.array([step]))[0] == pytest.approx(expected, abs=1e-9)
    found = Availability().predict(spec, {}, STEPS)
    p = found["bottom", "accuracy"] * K / (K - 1) - 1 / (K - 1)
    expected = 0.5 * (1 - np.exp(-0.1 * 0.2 * 0.5 * STEPS)) + 0.2 * (1 - np.exp(-0.01 * 0.2 * 0.5 * STEPS))
    np.testing.assert_allclose(p, expected, atol=1e-9)
    with pytest.raises(LeaderboardError, match="no column kernel_rates_top"):
        Availability().predict(simulated_curves.dials(0.4), {}, STEPS)


def test_the_nearest_spec_is_the_nearest() -> None:
    """By spread of numbers, logs where they span a factor of 8, names alike or not; ties are averaged, so that no order decides."""
    known = {
        "a": {"x": 0.1, "lr": 0.001, "model": "m"},
        "b": {"x": 0.9, "lr": 0.1, "model": "m"},
        "c": {"x": 0.1, "lr": 0.001, "model": "n"},
    }
    assert Distances(known).nearest({"x": 0.15, "lr": 0.002, "model": "m"}) == ["a"]
    assert Distances(known).nearest({"x": 0.8, "lr": 0.08, "model": "n"}) == ["b"]
    assert Distances(known).nearest({"x": 0.1, "lr": 0.001, "model": "other"}) == ["a", "c"]
    specs = {str(a): simulated_curves.dials(a) for a in (0.2, 0.4, 0.8)}
    copier = _fitted(CopyNearest(), simulated_curves.truth, specs)
    found = copier.predict(simulated_curves.dials(0.45), {}, STEPS)
    law = simulated_curves.truth(specs["0.4"], STEPS)
    for curve, values in law.items():
        np.testing.assert_allclose(found[curve], values, atol=5e-3)


def test_the_mean_and_the_last_value() -> None:
    """The mean on the scale of the score, shares of conflicts adding up to one; the last value of what is given, else chance."""
    specs = {str(a): simulated_curves.dials(a) for a in (0.2, 0.8)}
    mean = _fitted(MeanOfSpecs(), simulated_curves.truth, specs).predict(simulated_curves.dials(0.4), {}, STEPS)
    losses = [simulated_curves.truth(spec, STEPS)["top", "loss"] for spec in specs.values()]
    np.testing.assert_allclose(mean["top", "loss"], np.sqrt(losses[0] * losses[1]))
    total = sum(mean["conflict", metric] for metric in ("agree_top", "agree_bottom", "neither"))
    np.testing.assert_allclose(total, 1)
    given = {("top", "accuracy"): StraightLine("accuracy", np.array([1.0, 5.0]), np.array([0.2, 0.7]), 500)}
    found = LastValue().predict(simulated_curves.dials(0.5, classes=K), given, np.array([10.0, 20.0]))
    assert found["top", "accuracy"].tolist() == [0.7, 0.7]
    assert found["bottom", "loss"].tolist() == [math.log(K)] * 2


def test_smooth_regression_is_a_gaussian_process_of_scikit_learn() -> None:
    """With its own length and noise, the forecast is that of scikit-learn's regressor on the dial that varies; between specs it beats
    the nearest."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    specs = {str(a): simulated_curves.dials(a, 0.5, 0.05) for a in (0.1, 0.25, 0.4, 0.6, 0.9)}
    theory = SmoothRegression()
    _fitted(theory, simulated_curves.truth, specs)
    asked = simulated_curves.dials(0.5, 0.5, 0.05)
    found = theory.predict(asked, {}, STEPS)["top", "loss"]
    x = np.array([[spec["prevalence_top"]] for spec in specs.values()])
    center, spread = np.log(x).mean(), np.log(x).std()
    scaled, point = (np.log(x) - center) / spread, (np.log([[0.5]]) - center) / spread
    y = np.log([simulated_curves.truth(spec, STEPS)["top", "loss"] for spec in specs.values()])
    sklearn = GaussianProcessRegressor(RBF(theory._length), alpha=theory._noise, optimizer=None).fit(scaled, y - y.mean(axis=0))
    np.testing.assert_allclose(np.log(found), sklearn.predict(point)[0] + y.mean(axis=0), rtol=1e-6)
    true = simulated_curves.truth(asked, STEPS)["top", "loss"]
    copied = _fitted(CopyNearest(), simulated_curves.truth, specs).predict(asked, {}, STEPS)["top", "loss"]
    assert np.abs(np.log(found / true)).mean() < np.abs(np.log(copied / true)).mean()


@pytest.mark.parametrize("name", [name for name in catalogue.THEORIES if name != "availability"])
def test_every_theory_answers_with_nothing_to_go_on(name: str) -> None:
    """Fitted to no specs and given nothing, or to one spec and given one-sided curves: finite shares that add up, no exception."""
    empty = pd.DataFrame(
        {column: [] for column in ("spec", "run", "kind", "step", "n", "accuracy", "loss", "agree_top", "agree_bottom", "neither")}
    )
    asked = pd.DataFrame(
        [(kind, metric, step) for (kind, metric) in simulated_curves.truth(simulated_curves.dials(0.5), STEPS) for step in (5, 50)]
    )
    asked.columns = pd.Index(["kind", "metric", "step"])
    theory = catalogue.THEORIES[name]()
    theory.fit(empty, pd.DataFrame({"spec": []}))
    found = theory.forecast(simulated_curves.dials(0.5, classes=K), empty.drop(columns="spec"), asked)
    assert np.isfinite(found["mean"]).all()
    totals = found[found["kind"] == "conflict"].groupby("step")["mean"].sum()
    np.testing.assert_allclose(totals, 1, atol=1e-6)


def test_names_that_are_no_theories_are_refused() -> None:
    """Unknown names, modules that are not there, attributes that are no theory: one sentence each."""
    with pytest.raises(RegistryError, match="there is no theory 'gausian-evidence'; did you mean gaussian-evidence"):
        catalogue.find_theory("gausian-evidence")
    with pytest.raises(RegistryError, match="there is no module nowhere"):
        catalogue.find_theory("nowhere:Theory")
    with pytest.raises(RegistryError, match="fractions has no Theory"):
        catalogue.find_theory("fractions:Theory")
    with pytest.raises(LeaderboardError, match="theory fractions:Fraction has no methods fit and forecast"):
        catalogue.find_theory("fractions:Fraction")
    with pytest.raises(LeaderboardError, match="theory simulated_curves:MADE is an instance of Truth; expected the class itself"):
        catalogue.find_theory("simulated_curves:MADE")
    assert len(catalogue.find_theory("simulated_curves:Truth").source) == 64
    assert {entry.name for entry in registry.entries("theories")} >= set(catalogue.THEORIES)
