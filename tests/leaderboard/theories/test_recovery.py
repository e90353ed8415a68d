"""Theories find their own parameters in their own curves, as noisily as these are measured, and do not see in which order specs come."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simulated_curves

from dominoes.arrays import FloatArray
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard import tasks
from dominoes.leaderboard.scale import backward
from dominoes.leaderboard.theories import catalogue, evidence
from dominoes.leaderboard.theories.base import StraightLine
from dominoes.leaderboard.theories.naive import SmoothRegression
from dominoes.leaderboard.theories.quanta import Quanta, learned
from dominoes.leaderboard.theories.races import LinearRace, MarginRace, Race
from dominoes.leaderboard.theories.setting import shared_setting

K = 10
# Eight runs with probes of 500.
PICTURES = 4000
STEPS = np.unique(np.round(np.geomspace(1, 400, 20)))
SPECS = [
    simulated_curves.dials(a, c, d)
    for a, c, d in (
        (0.2, 0.5, 0.1),
        (0.5, 0.5, 0.05),
        (0.5, 0.5, 0.25),
        (0.5, 0.5, 0.45),
        (0.9, 0.4, 0.36),
        (0.7, 0.2, 0.1),
        (0.3, 0.9, 0.27),
        (0.9, 0.9, 0.81),
    )
]
MARGIN = [-0.6, -1.6, math.log(0.1), 0.8, -0.2, -0.9]
RACES: dict[str, tuple[Race, list[float]]] = {
    "linear": (LinearRace(), [-1.5, -3.2, math.log(0.08), math.log(5.0), math.log(2.5)]),
    "c free": (MarginRace(), [*MARGIN, 0.6]),
    "c free, none": (MarginRace(), [*MARGIN, 0.0]),
    "c = 0": (MarginRace(0.0), MARGIN),
    "c = 1": (MarginRace(1.0), MARGIN),
}


def _noisy(accuracy: FloatArray, seed: int = 0) -> FloatArray:
    return np.asarray(np.random.default_rng(seed).binomial(PICTURES, accuracy) / PICTURES)


@pytest.mark.parametrize("name", RACES)
def test_a_race_finds_its_parameters_in_noisy_curves(name: str) -> None:
    """Speeds and readouts within .05 in logs, c within .02, q within .1; the margin race's s_0, which q makes up for, within .4 in logs."""
    race, wanted = RACES[name]
    race.clock = 0.2
    margins = race.simulate(np.array(wanted)[None], shared_setting(SPECS, race.clock), np.zeros((1, len(SPECS), 2)), STEPS)[:, 0]
    accuracy = _noisy(evidence.accuracy_of_margin(margins, K))
    race.specs = {str(place): dict(spec) for place, spec in enumerate(SPECS)}
    race.curves = {
        str(place): {
            (side, "accuracy"): StraightLine("accuracy", STEPS, accuracy[:, place, number], PICTURES)
            for number, side in enumerate(("top", "bottom"))
        }
        for place in range(len(SPECS))
    }
    race.learn()
    for parameter, found, true in zip(race.names, race.parameters, wanted, strict=True):
        room = {"q": 0.1, "c": 0.02, "ln s0": 0.05 if name == "linear" else 0.4}.get(parameter, 0.05)
        assert found == pytest.approx(true, abs=room), parameter


def test_what_the_curves_hold_of_the_margin_races_start() -> None:
    """Cramér and Rao's bound of ln s_0 is .08, less than half of it if q is known, and the two go together: no fit finds it closer."""
    race = MarginRace()
    race.clock = 0.2
    where, true = shared_setting(SPECS, race.clock), np.array([*MARGIN, 0.6])

    def stable(parameters: FloatArray) -> FloatArray:
        margins = race.simulate(parameters[None], where, np.zeros((1, len(SPECS), 2)), STEPS)[:, 0]
        return np.asarray(np.arcsin(np.sqrt(evidence.accuracy_of_margin(margins, K))).ravel())

    slopes = np.array([(stable(true + aside) - stable(true - aside)) / 2e-4 for aside in 1e-4 * np.eye(len(true))])
    known = 4 * PICTURES * slopes @ slopes.T
    spread = np.linalg.inv(known)
    start, power = race.names.index("ln s0"), race.names.index("q")
    error = math.sqrt(spread[start, start])
    rest = [place for place in range(len(true)) if place != power]
    alone = math.sqrt(np.linalg.inv(known[np.ix_(rest, rest)])[rest.index(start), rest.index(start)])
    assert error == pytest.approx(0.084, abs=0.01)
    assert alone < error / 2
    assert spread[start, power] / error / math.sqrt(spread[power, power]) > 0.9


def test_quanta_find_their_parameters_in_noisy_curves() -> None:
    """ln τ within .1, the exponent within .03, of both sides."""
    true = {"top": (math.log(400.0), 0.9), "bottom": (math.log(9000.0), 0.4)}
    theory = Quanta()
    theory.specs = {str(place): dict(spec) for place, spec in enumerate(SPECS)}
    for place, (name, spec) in enumerate(theory.specs.items()):
        p = {side: learned(np.log(STEPS * 64 * spec[f"prevalence_{side}"]), *true[side]) for side in true}
        theory.curves[name] = {
            (side, "accuracy"): StraightLine("accuracy", STEPS, _noisy(each + (1 - each) / K, place), PICTURES) for side, each in p.items()
        }
    theory.learn()
    for side, (tau, kappa) in true.items():
        assert theory.parameters[side][0] == pytest.approx(tau, abs=0.1)
        assert theory.parameters[side][1] == pytest.approx(kappa, abs=0.03)


def test_quanta_have_an_exponent_below_one() -> None:
    """A curve that falls faster than any α allows is met with the exponent at its bound."""
    theory = Quanta()
    theory.specs = {"a": dict(SPECS[0])}
    p = learned(np.log(STEPS * 64 * 0.2), math.log(400.0), 3.0)
    theory.curves = {"a": {("top", "accuracy"): StraightLine("accuracy", STEPS, p + (1 - p) / K, PICTURES)}}
    theory.learn()
    assert theory.parameters["top"][1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("length", "noise"), [(0.5, 0.01), (1.0, 0.03), (2.0, 0.001)])
def test_smooth_regression_finds_length_and_noise(length: float, noise: float) -> None:
    """Of curves drawn from its own Gaussian process over one dial: a grid point or the next."""
    rng = np.random.default_rng(3)
    theory = SmoothRegression()
    shares = np.linspace(0.15, 0.9, 40)
    theory.specs = {f"{place:02d}": simulated_curves.dials(float(a), 0.5, 0.05, empty=0.0, ratio=1.0) for place, a in enumerate(shares)}
    x = (shares - shares.mean()) / shares.std()
    kernel = np.exp(-((x[:, None] - x[None, :]) ** 2) / (2 * length**2)) + noise * np.eye(len(x))
    draws = np.linalg.cholesky(kernel) @ rng.standard_normal((len(x), len(STEPS)))
    theory.curves = {
        name: {("top", "loss"): StraightLine("loss", STEPS, backward("loss", 0.2 * draws[place]), PICTURES)}
        for place, name in enumerate(theory.specs)
    }
    theory.learn()
    assert math.log(theory._length / length) == pytest.approx(0, abs=0.36)
    assert math.log(theory._noise / noise) == pytest.approx(0, abs=1.2)


@pytest.mark.parametrize("rho", [(1.0, 1.0), (0.85, 0.6)])
def test_the_linear_race_is_a_gated_linear_network(rho: tuple[float, float]) -> None:
    """Two pathways of two linear layers, each open where its half is shown, trained by small steps on every case of halves: their strengths
    follow the equation. Centred one-hot classes have variance 1/K, so that a step η on the weights is k = 2η/K."""
    a, c, d = 0.7, 0.5, 0.3
    rates = (0.5, 0.2)
    s0, count = 0.05, 400
    rng = np.random.default_rng(0)
    centred = np.eye(K) - 1 / K
    label, top, bottom = (each.ravel() for each in np.indices((K, K, K)))
    chance = [np.where(shown == label, own, (1 - own) / (K - 1)) for shown, own in zip((top, bottom), rho, strict=True)]
    weight = chance[0] * chance[1] / K
    layers = []
    for _ in range(2):
        turned = np.linalg.qr(rng.standard_normal((K, K)))[0] * math.sqrt(s0)
        layers.append([turned, turned.T.copy()])
    shown = (centred[top], centred[bottom])
    found = np.empty((count, 2))
    for step in range(count):
        found[step] = [np.trace(out @ into @ centred) / (K - 1) for into, out in layers]
        answers = [x @ (out @ into).T for x, (into, out) in zip(shown, layers, strict=True)]
        gradients = []
        for side, share in enumerate((a, c)):
            missed = share * (centred[label] - answers[side]) - d * answers[1 - side]
            gradients.append((weight[:, None] * missed).T @ shown[side])
        for pair, gradient, rate in zip(layers, gradients, rates, strict=True):
            into, out = pair
            pair[:] = [into + rate * out.T @ gradient, out + rate * gradient @ into.T]
    race = LinearRace()
    race.clock = 0.2
    parameters = np.array([*(math.log(2 * rate / K) for rate in rates), math.log(s0), 0.0, 0.0])
    where = shared_setting([simulated_curves.dials(a, c, d, reliability_top=rho[0], reliability_bottom=rho[1])], race.clock)
    steps = np.array([10.0, 30.0, 60.0, 100.0, 200.0, 399.0])
    expected = race.simulate(parameters[None], where, np.zeros((1, 1, 2)), steps)[:, 0, 0]
    np.testing.assert_allclose(found[steps.astype(int)], expected, atol=0.02)
    assert expected[-1].min() > 0.1


def test_starvation_is_the_sign_of_the_margin_race() -> None:
    """A faster top lowers the bottom at every step if c and the doubles are above 0, and leaves it where either is 0."""
    race = MarginRace()
    race.clock = 0.2
    for c, both, starved in ((0.6, 0.25, True), (0.0, 0.25, False), (0.6, 0.0, False)):
        where = shared_setting([simulated_curves.dials(0.5, 0.5, both)], race.clock)
        slow, fast = (np.array([*MARGIN, c]) + np.array([more, 0, 0, 0, 0, 0, 0]) for more in (0.0, 0.1))
        bottom = race.simulate(np.stack([slow, fast]), where, np.zeros((2, 1, 2)), STEPS)[:, :, 0, 1]
        assert ((bottom[3:, 1] < bottom[3:, 0]) == starved).all()


@pytest.mark.parametrize("name", [name for name in catalogue.THEORIES if name != "availability"])
def test_no_theory_sees_the_order_of_specs(name: str) -> None:
    """Rows in another order, and specs whose names sort the other way: the same forecasts."""
    specs = [simulated_curves.dials(a, c) for a, c in ((0.2, 0.5), (0.4, 0.3), (0.8, 0.5))]
    known = editions.make_edition({"s": simulated_curves.table([*specs, simulated_curves.dials(0.55, 0.4)], 2)}, "e")
    fold = tasks.folds(known, ["neighbours"])[0]
    curves, dials = tasks.fit_tables(known, fold)
    renamed = {spec: f"{len(dials) - place:02d}" for place, spec in enumerate(sorted(dials["spec"]))}
    mixed = [table.assign(spec=table["spec"].map(renamed)).sample(frac=1, random_state=2) for table in (curves, dials)]
    question = fold.questions[0]
    asked, given = tasks.asked_table(known, question), tasks.given_table(known, question)
    found = []
    for fitted_to in ((curves, dials), mixed):
        theory = catalogue.THEORIES[name]()
        theory.fit(*(table.copy() for table in fitted_to))
        found.append(theory.forecast(tasks.dials(known, question.key), given, asked)["mean"].to_numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-7)
