"""What all seeds share is found, and nothing of it is counted twice."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from simulated_truths import Truth, simulated

from dominoes.theory.cells import Chance, luck_by_cell, luck_by_silence
from dominoes.theory.known import known_windows
from dominoes.theory.luck import (
    Contest,
    Pairing,
    agreed,
    count_error,
    covariance,
    luck_by_class,
    paired_by_chance,
    pairing_error,
)
from dominoes.theory.questions.conflicts import WANTED
from dominoes.theory.run_arrays import RunArrays, Slice, arrays


def test_the_error_of_pairing_is_the_spread_over_pairings() -> None:
    """Pictures learned in a fixed order and paired at random: the spread of the summed deviations is the standard error."""
    generator = np.random.default_rng(0)
    n, top, bottom, weights = 400, np.array([0.8, 0.5, 0.1]), np.array([0.9, 0.6, 0.4]), np.array([0.2, 0.3, 0.5])
    place = (np.arange(n) + 0.5) / n
    deviations = []
    for _ in range(3000):
        mixed = generator.permutation(place)
        both = ((place[None] < top[:, None]) & (mixed[None] < bottom[:, None])).mean(axis=1)
        deviations.append(float((both - top * bottom) @ weights))
    assert np.std(deviations) == pytest.approx(pairing_error(top, bottom, weights, n), rel=0.05)
    assert pairing_error(top, bottom, weights, math.nan) == 0


def test_classes_show_what_their_pairing_does() -> None:
    """Deviations that all seeds share, drawn anew for each class: the standard error of their mean is found, the seeds' own taken off."""
    generator = np.random.default_rng(3)
    weights = np.full(4, 0.25)
    found, off = [], []
    for _ in range(400):
        shared = generator.normal(scale=0.02, size=(1, 1, 10)) + np.zeros((5, 4, 10))
        deviation = shared + generator.normal(scale=0.02, size=(5, 1, 10))
        found.append(luck_by_class(deviation, weights, 0.95))
        off.append(float(shared[0, 0].mean()))
    widened = 2.262 / 1.96
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(np.std(off) * widened, rel=0.1)
    assert math.isnan(luck_by_class(deviation[:, :, :3], weights, 0.95))
    assert math.isnan(luck_by_class(deviation[:1], weights, 0.95))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.95, 1.0])
def test_the_covariance_is_that_of_two_normal_difficulties(rho: float) -> None:
    """P(wrong in two runs) − the product of the shares, against the bivariate normal distribution of scipy; nested at 1, none at 0."""
    share = np.array([0.05, 0.4, 0.9])
    found = covariance(share, rho)
    for i, one in enumerate(share):
        for j, other in enumerate(share):
            if rho == 1:
                expected = min(one, other) * (1 - max(one, other))
            else:
                places = [norm.ppf(one), norm.ppf(other)]
                expected = multivariate_normal.cdf(places, cov=[[1, rho], [rho, 1]]) - one * other
            assert found[i, j] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(("truth", "least", "most"), [(0.2, 0.0, 0.45), (0.95, 0.4, 1.0)])
def test_how_far_seeds_agree_is_read_off_the_crossed_answers(truth: float, least: float, most: float) -> None:
    """Ten seeds whose difficulties correlate by .2 or .95: the variance that they share, as a part of the largest that it can be, on
    average over 8 simulations, drawn to what is usual; without crossed answers it is the largest."""
    found = []
    for number in range(8):
        curves, classes, joint = simulated(Truth(agreement=truth, points=20), 10, number, kinds=("top", "bottom", "both", "conflict"))
        data, without = arrays(curves, classes, joint=joint), arrays(curves, classes)
        measured = data.common(WANTED)
        assert not isinstance(measured, str)
        assert agreed(without, measured) is None
        whole = Contest.of(without, measured, 0.95).paired(measured.weights)
        found.append((Contest.of(data, measured, 0.95).paired(measured.weights) / whole) ** 2)
    assert least <= np.mean(found) <= most


def test_the_shared_error_of_doubles_grows_with_agreement() -> None:
    """From none to that of `pairing_error`, which is the largest."""
    weights = np.array([0.5, 0.5])
    none = Pairing(np.array([0.6, 0.1]), np.array([0.7, 0.4]), 1000, 10, 0.95, agreed=0.0)
    errors = [replace(none, agreed=rho).error(weights) for rho in (0.0, 0.4, 0.8, 1.0, None)]
    assert errors[0] == pytest.approx(0, abs=1e-9)
    assert errors == sorted(errors)
    silent = 10 / 9
    assert errors[-1] == errors[-2] == pytest.approx(pairing_error(silent * none.top, silent * none.bottom, weights, 1000) / silent)
    assert replace(none, n=math.nan).error(weights) == 0


def test_half_a_count_widens_only_what_counts_less_than_one() -> None:
    """A share below one picture of 1,000 a run has the error of half a picture; above it the spread of seeds says what counting does."""
    assert count_error(0.0004, 1000) == 0.0005
    assert count_error(0.0, math.nan) == 1e-4
    assert count_error(0.0011, 1000) == 0


KINDS = ("top", "bottom", "both", "conflict")


def seen(truth: Truth, seeds: int, number: int) -> tuple[RunArrays, Slice]:
    """A simulation as arrays, and what the rules are judged on."""
    curves, classes, joint = simulated(truth, seeds, number, kinds=KINDS)
    data = arrays(curves, classes, joint=joint)
    measured = data.common(WANTED)
    assert not isinstance(measured, str)
    return data, measured


@pytest.mark.parametrize("probe", ["both", "conflict"])
def test_pairing_at_random_exceeds_nothing_on_average(probe: str) -> None:
    """Over 40 probe sets, with classes that are hard for both halves: the excess has mean 0 within three standard errors at each step,
    and scatters as its variance says (one run each)."""
    truth = Truth(n=200, points=8, class_spread=1.0)
    found = [paired_by_chance(*seen(truth, 1, number), probe) for number in range(40)]
    excess, variance = (np.array([each[part][0] for each in found if each is not None]) for part in (0, 1))
    there = variance.mean(axis=0) > 1e-6
    assert (np.abs(excess.mean(axis=0)) <= 3 * excess.std(axis=0) / math.sqrt(40) + 1e-12).all()
    assert np.mean(excess.var(axis=0)[there] / variance.mean(axis=0)[there]) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(("probe", "answer"), [("both", 1), ("conflict", 2)])
def test_luck_is_taken_off_and_nothing_else(probe: str, answer: int) -> None:
    """Under the product rule, seeds that agree on what is hard, over 25 probe sets: what is measured, its luck taken off, still has the
    mean that the rule gives, and less than .4 of the variance (what is left are guesses)."""
    raw, right = [], []
    for number in range(25):
        data, measured = seen(Truth(n=500, points=20, agreement=1.0), 3, number)
        part = next(part for part in known_windows(measured, 10, 0.05) if not isinstance(part, tuple) and part.window == "rise")
        (chance, notes), crossed = Chance.of(data, measured, probe), data.crossed(probe, measured)
        assert chance is not None
        assert crossed is not None
        assert notes == ()
        share = crossed[..., answer]
        expected = (9, 8)[answer - 1] / 10 * np.prod([(1 - side) * 10 / 9 for side in measured.values[:2]], axis=0)
        off = ((share.sum(axis=(2, 3)) - expected) @ part.weights).mean()
        raw.append(off)
        right.append(off - (chance.share(share, part.weights) @ part.weights).mean())
    assert abs(np.mean(right)) <= 3 * np.std(right) / 5
    assert np.var(right) < 0.4 * np.var(raw)


def test_halves_that_are_not_paired_at_random_are_left_as_they_are() -> None:
    """Hard tops above hard bottoms in the probes themselves: that is no luck, is not taken off, and is said."""
    data, measured = seen(Truth(correlation=0.5), 3, 0)
    chance, notes = Chance.of(data, measured, "both")
    assert chance is None
    assert notes == (
        "doubles: hard tops stand above hard bottoms more or less often than pairing at random allows, so that is not taken off",
    )
    assert Chance.of(data, measured, "conflict")[0] is not None


def enumerated(silent: list[tuple[float, float]], unsettled: float = 0.0, held: float = 0.0) -> np.ndarray:
    """(3, T, 2, 2, 2) doubles of three runs alike, their halves silent alone with these probabilities, guesses among ten classes
    enumerated; the answer is a guess all the same with probability `unsettled` where only the bottom fires, and `held` where both do."""
    crossed = np.zeros((3, len(silent), 2, 2, 2))
    for step, (top, bottom) in enumerate(silent):
        for fires in itertools.product((0, 1), repeat=2):
            for lucky in itertools.product((0, 1), repeat=3):
                share = (1 - top if fires[0] else top) * (1 - bottom if fires[1] else bottom)
                share *= math.prod(0.1 if luck else 0.9 for luck in lucky)
                alone = tuple(max(each) for each in zip(fires, lucky[:2], strict=True))
                guess = {(0, 0): 1.0, (0, 1): unsettled, (1, 1): held}.get(fires, 0.0)
                crossed[:, step, *alone, 0 if lucky[2] else 1] += share * guess
                crossed[:, step, *alone, 0] += share * (1 - guess)
    return crossed


def test_what_firing_settles_is_no_luck_once_pairing_is_taken_off() -> None:
    """Under the product rule nothing is left; without taking it off, the pairing is; where the answer is a guess in a tenth of the doubles
    whose bottom alone fires, these pictures are, in the closed form, and further steps that have none of them in common average out."""
    silent = [(0.5, 0.8), (0.3, 0.6)]
    pairing = Pairing(*(0.9 * np.array(each) for each in zip(*silent, strict=True)), 1000, 10, 0.95, agreed=0.5)
    weights = np.array([0.5, 0.5])
    crossed = enumerated(silent)
    slopes = (10 / 9 * pairing.bottom, 10 / 9 * pairing.top)
    assert luck_by_cell(crossed, crossed[..., 1], slopes, weights, pairing, 0.9, set_right=True) == pytest.approx(0, abs=1e-9)
    left = luck_by_cell(crossed, crossed[..., 1], slopes, weights, pairing, 0.9)
    assert left == pytest.approx(pairing.error(weights), rel=1e-6)
    one, alone = np.array([1.0]), Pairing(pairing.top[:1], pairing.bottom[:1], 1000, 10, 0.95, agreed=0.5)
    crossed = enumerated(silent[:1], 0.1)
    # No prediction is taken off here, so that which tops and bottoms are hard counts as well, by the main effects.
    none = luck_by_cell(crossed, crossed[..., 1], (np.zeros(1), np.zeros(1)), one, replace(alone, agreed=0.0), 0.9, set_right=True)
    assert none == pytest.approx(0, abs=1e-9)
    top = 0.9 * 0.1 + (0.9 - 0.9 * 0.1) * 0.8
    bottom = (0.9 - 0.9 * 0.1) * 0.5
    both = top**2 * covariance(np.array([0.5]), 0.5)[0, 0] + bottom**2 * covariance(np.array([0.8]), 0.5)[0, 0]
    unsettled = 0.9**2 * 0.5 * 0.2 * covariance(np.array([0.1]), 0.5)[0, 0]
    found = luck_by_cell(crossed, crossed[..., 1], (np.zeros(1), np.zeros(1)), one, alone, 0.9, set_right=True)
    assert found == pytest.approx(math.sqrt((both + unsettled) / 1000), rel=1e-3)


def test_halves_that_hold_each_other_back_keep_their_pictures() -> None:
    """At two steps far apart the pictures that both patterns fire on, of which a tenth are guesses, are the same as far as both fire at
    either step; halves of one class, or guesses where one alone fires, have none in common."""
    silent = [(0.5, 0.8), (0.3, 0.6)]
    pairing = Pairing(*(0.9 * np.array(each) for each in zip(*silent, strict=True)), 1000, 10, 0.95, agreed=0.5)
    weights, none = np.array([0.5, 0.5]), (np.zeros(2), np.zeros(2))
    for shares, more in (({"held": 0.1}, 0.9**2 * 2 * 0.5 * 0.5 * 0.1 * covariance(np.array([0.1]), 0.5)[0, 0]), ({"unsettled": 0.1}, 0.0)):
        crossed = enumerated(silent, **shares)
        found = [
            luck_by_cell(crossed, crossed[..., 1], none, weights, pairing, 0.9, set_right=True, contested=contested) ** 2 * 1000
            for contested in (False, True)
        ]
        assert found[1] - found[0] == pytest.approx(more, rel=1e-3, abs=1e-12)


def test_luck_of_what_silence_adds() -> None:
    """Of a count of pictures of which both halves are silent: that of the tops, of the bottoms and of their pairing; none of what every
    picture adds."""
    pairing = Pairing(np.array([0.45]), np.array([0.72]), 1000, 10, 0.95, agreed=0.5)
    top, bottom = (float(covariance(np.array([share]), 0.5)[0, 0]) for share in (0.5, 0.8))
    found = luck_by_silence(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([1.0]), pairing)
    assert found == pytest.approx(math.sqrt((0.8**2 * top + 0.5**2 * bottom + top * bottom) / 1000))
    assert luck_by_silence(np.ones((2, 2)), np.array([1.0]), pairing) == 0
