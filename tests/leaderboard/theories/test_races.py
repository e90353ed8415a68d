"""Races: against independent integration and closed forms, and their own parameters from their own curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simulated_curves
from scipy.integrate import solve_ivp

from dominoes.arrays import FloatArray
from dominoes.leaderboard.theories import evidence
from dominoes.leaderboard.theories.base import StraightLine
from dominoes.leaderboard.theories.races import LinearRace, MarginRace, Race
from dominoes.leaderboard.theories.setting import shared_setting

K = 10
STEPS = np.unique(np.round(np.geomspace(1, 400, 20)))
SPECS = [
    simulated_curves.dials(a, c, d) for a, c, d in ((0.2, 0.5, 0.1), (0.5, 0.5, 0.05), (0.5, 0.5, 0.45), (0.9, 0.4, 0.36), (0.7, 0.2, 0.1))
]
PARAMETERS = {
    "linear": np.array([-1.5, -3.2, math.log(0.08), math.log(5.0), math.log(2.5)]),
    "margin": np.array([-0.6, -1.6, math.log(0.1), 0.8, -0.2, -0.9, 0.6]),
}


def _simulated(race: Race, parameters: FloatArray, specs: list[dict[str, object]], steps: FloatArray) -> FloatArray:
    where = shared_setting(specs, race.clock)
    return race.simulate(parameters[None], where, np.zeros((1, len(specs), 2)), steps)[:, 0]


def _linear(a: float, c: float, d: float, r: tuple[float, float], parameters: FloatArray) -> FloatArray:
    def slope(t: float, s: FloatArray) -> list[float]:
        k, m = np.exp(parameters[:2])
        r_t, r_b = ((K * each - 1) / (K - 1) for each in r)
        return [k * s[0] * (a * r_t - a * s[0] - d * r_t * r_b * s[1]), m * s[1] * (c * r_b - c * s[1] - d * r_t * r_b * s[0])]

    s0 = math.exp(parameters[2])
    found = solve_ivp(slope, (0, STEPS[-1]), [s0, s0], t_eval=STEPS, rtol=1e-9, atol=1e-12)
    return np.asarray(found.y.T * np.exp(parameters[3:5]))


def _margin(a: float, c: float, d: float, rho: tuple[float, float], parameters: FloatArray) -> FloatArray:
    """By gradients of the expected cross-entropy over every case of right and wrong halves, differentiated numerically."""
    k, q, strength = np.exp(parameters[:2]), parameters[3], parameters[6]

    def alone(s: float, reliability: float) -> float:
        p = math.exp(s) / (math.exp(s) + K - 1)
        return reliability * math.log(p) + (1 - reliability) * math.log((1 - p) / (K - 1))

    def double(s: float, other: float, own: float, mate: float) -> float:
        """Expected log probability of the label 0, over the classes that the halves show."""
        total = 0.0
        for shown in range(K):
            for mates in range(K):
                weight = (own if shown == 0 else (1 - own) / (K - 1)) * (mate if mates == 0 else (1 - mate) / (K - 1))
                logits = np.zeros(K)
                logits[shown] += s
                logits[mates] += other
                total += weight * (logits[0] - math.log(np.exp(logits).sum()))
        return total

    def slope(t: float, s: FloatArray) -> list[float]:
        h = 1e-5
        drive = []
        for i, share in enumerate((a, c)):
            other = strength * s[1 - i]
            one = (alone(s[i] + h, rho[i]) - alone(s[i] - h, rho[i])) / (2 * h)
            two = (double(s[i] + h, other, rho[i], rho[1 - i]) - double(s[i] - h, other, rho[i], rho[1 - i])) / (2 * h)
            drive.append(k[i] * s[i] ** q * ((share - d) * one + d * two))
        return drive

    s0 = math.exp(parameters[2])
    found = solve_ivp(slope, (0, STEPS[-1]), [s0, s0], t_eval=STEPS, rtol=1e-6, atol=1e-9)
    return np.asarray(found.y.T * np.exp(parameters[4:6]))


@pytest.mark.parametrize("rho", [(1.0, 1.0), (0.85, 0.6)])
def test_the_linear_race_is_integrated_rightly(rho: tuple[float, float]) -> None:
    """Margins at every step are those of scipy's adaptive integration of the written equation, within .01."""
    specs = [spec | {"reliability_top": rho[0], "reliability_bottom": rho[1]} for spec in SPECS]
    race = LinearRace()
    race.clock = 0.2
    found = _simulated(race, PARAMETERS["linear"], specs, STEPS)
    for place, spec in enumerate(specs):
        expected = _linear(spec["prevalence_top"], spec["prevalence_bottom"], spec["both"], rho, PARAMETERS["linear"])
        np.testing.assert_allclose(found[:, place], expected, atol=0.01)


@pytest.mark.parametrize("rho", [(1.0, 1.0), (0.85, 0.6)])
def test_the_margin_race_descends_the_cross_entropy(rho: tuple[float, float]) -> None:
    """Its drive is the derivative of the expected log likelihood over all cases of right and wrong halves, integrated by scipy."""
    specs = [spec | {"reliability_top": rho[0], "reliability_bottom": rho[1]} for spec in SPECS[:2]]
    race = MarginRace()
    race.clock = 0.2
    found = _simulated(race, PARAMETERS["margin"], specs, STEPS)
    for place, spec in enumerate(specs):
        expected = _margin(spec["prevalence_top"], spec["prevalence_bottom"], spec["both"], rho, PARAMETERS["margin"])
        np.testing.assert_allclose(found[:, place], expected, atol=0.02)


def test_one_side_alone_has_the_closed_form_of_a_single_mode() -> None:
    """Without doubles τ ds/dt = 2 s (A − A s): s(t) = e^(2At/τ) / (e^(2At/τ) − 1 + 1/s_0) (Saxe, McClelland and Ganguli 2013)."""
    race, parameters = LinearRace(), PARAMETERS["linear"]
    race.clock = 0.2
    found = _simulated(race, parameters, [simulated_curves.dials(0.5, 0.5, 0.0)], STEPS)[:, 0, 0]
    grown = np.exp(0.5 * STEPS * math.exp(parameters[0]))
    expected = grown / (grown - 1 + 1 / math.exp(parameters[2])) * math.exp(parameters[3])
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_competition_slows_what_the_other_side_answers() -> None:
    """In the linear race the bottom ends at (C − D)/(C (1 − D²/(AC))) of the label; with c = 0 the margin race does not see the top's
    prevalence at all, and with c = 1 the bottom is slower the more doubles there are."""
    linear = LinearRace()
    linear.clock = 0.2
    parameters = PARAMETERS["linear"].copy()
    end = _simulated(linear, parameters, [simulated_curves.dials(0.5, 0.5, 0.25)], np.array([1.0, 1e5]))[-1, 0, 1] / math.exp(parameters[4])
    assert end == pytest.approx((0.5 - 0.25) / (0.5 * (1 - 0.25**2 / 0.25)), abs=1e-3)
    free, full = MarginRace(0.0), MarginRace(1.0)
    free.clock = full.clock = 0.2
    few, many = simulated_curves.dials(0.5, 0.5, 0.05), simulated_curves.dials(0.5, 0.5, 0.45)
    apart = _simulated(free, PARAMETERS["margin"][:-1], [few, many], STEPS)[..., 1]
    np.testing.assert_allclose(apart[:, 0], apart[:, 1])
    slowed = _simulated(full, PARAMETERS["margin"][:-1], [few, many], STEPS)[..., 1]
    assert (slowed[8:, 1] < slowed[8:, 0] - 0.01).all()


@pytest.mark.parametrize("name", ["linear", "margin"])
def test_a_race_recovers_its_own_parameters(name: str) -> None:
    """Fitted to its own curves: what is told apart by curves of five specs is found again, and the curves to a thousandth."""
    race = LinearRace() if name == "linear" else MarginRace()
    race.clock = 0.2
    wanted = PARAMETERS[name]
    accuracy = evidence.accuracy_of_margin(_simulated(race, wanted, SPECS, STEPS), K)
    race.specs = {str(place): dict(spec) for place, spec in enumerate(SPECS)}
    race.curves = {
        str(place): {
            (side, "accuracy"): StraightLine("accuracy", STEPS, accuracy[:, place, number], 500)
            for number, side in enumerate(("top", "bottom"))
        }
        for place in range(len(SPECS))
    }
    race.learn()
    got = dict(zip(race.names, race.parameters, strict=True))
    again = evidence.accuracy_of_margin(_simulated(race, race.parameters, SPECS, STEPS), K)
    np.testing.assert_allclose(again, accuracy, atol=0.01)
    expected = dict(zip(race.names, wanted, strict=True))
    for parameter in ("ln s0", *(("ln beta top", "ln 2/tau top") if name == "linear" else ("c",))):
        assert got[parameter] == pytest.approx(expected[parameter], abs=0.15), parameter


def test_conditions_that_change_the_speed_are_told_apart() -> None:
    """Two dials of the top: the slower one gets a smaller k, and a dial that was not fitted to gets the mean of those that were."""
    race = MarginRace(0.0)
    race.clock = 0.2
    specs = [simulated_curves.dials(a, 0.5, transform_top=dial) for a in (0.3, 0.6) for dial in ("none", "blur=2")]
    slow = np.array([[0.0, 0.0] if spec["transform_top"] == "none" else [-1.0, 0.0] for spec in specs])
    margins = race.simulate(PARAMETERS["margin"][None, :-1], shared_setting(specs, 0.2), slow[None], STEPS)[:, 0]
    accuracy = evidence.accuracy_of_margin(margins, K)
    race.specs = {str(place): dict(spec) for place, spec in enumerate(specs)}
    race.curves = {
        str(place): {
            (side, "accuracy"): StraightLine("accuracy", STEPS, accuracy[:, place, number], 500)
            for number, side in enumerate(("top", "bottom"))
        }
        for place in range(len(specs))
    }
    race.learn()
    tops = {name.split()[0]: value for name, value in race.offsets[0].items()}
    assert tops["none"] - tops["blur=2"] == pytest.approx(1, abs=0.2)
    assert race.offsets[1] == {}
    assert race._offset(0, simulated_curves.dials(0.5, transform_top="noise=1")) == pytest.approx(np.mean(list(tops.values())))
