"""How much better one rule predicts than another: what the probe pictures do to the difference of deviances."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from simulated_truths import Truth, simulated

from dominoes.theory.cells import Chance, slopes_of
from dominoes.theory.intervals import SeedSpread
from dominoes.theory.known import Known, known_windows
from dominoes.theory.luck import Contest, Pairing
from dominoes.theory.questions import conflicts
from dominoes.theory.rules import RULES, deviance, product_conflicts
from dominoes.theory.run_arrays import arrays
from dominoes.theory.scores import ConflictForm, Form, luck_of_score, luck_of_shares, surprise

WANTED = [("accuracy", "top"), ("accuracy", "bottom"), ("accuracy", "both")]


def test_a_measured_error_enters_a_difference_of_deviances_linearly() -> None:
    """At each step, with the predictions fixed, the difference moves by `surprise` times what the measured error moves."""
    n, ones = 500.0, np.ones((1, 2))
    predicted = np.array([[0.3, 0.02]]), np.array([[0.2, 0.05]])
    model, rival = (Form(RULES[name], ones, each) for name, each in zip(("product", "mean"), predicted, strict=True))
    ahead = [
        deviance(measured, predicted[1], np.eye(2), n) - deviance(measured, predicted[0], np.eye(2), n)
        for measured in (np.array([[0.25, 0.03]]), np.array([[0.26, 0.031]]))
    ]
    assert (ahead[1] - ahead[0])[0] == pytest.approx(surprise(model, rival, n) * [0.01, 0.001])
    assert not surprise(model, rival, math.nan).any()


def test_what_the_deviance_gains_by_a_side_is_its_derivative() -> None:
    """Against a difference quotient of the deviance itself, with the prediction made anew; nothing is gained where hardly anything is
    predicted."""
    rule, K, n, move = RULES["product"], 10, 800.0, 1e-6
    top, bottom = np.array([[0.4, 0.05, 1e-4], [0.42, 0.06, 1e-4]]), np.array([[0.7, 0.3, 0.1], [0.72, 0.28, 0.1]])
    error = np.array([[0.33, 0.02, 0.0], [0.3, 0.025, 0.0]])
    gained = Form(rule, error, rule.doubles(top, bottom, K)).steepness((top, bottom), K, n)
    for side, (more_top, more_bottom) in zip(gained, ((move, 0), (0, move)), strict=True):
        before, after = (
            deviance(error, rule.doubles(top + sign * more_top, bottom + sign * more_bottom, K), np.eye(3), n).mean(axis=0)
            for sign in (-1, 1)
        )
        assert side == pytest.approx((after - before) / 2 / move, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("truth", "rival"), [(Truth(rule="better"), "better side"), (Truth(), "mean"), (Truth(together=0.3), "gaussian")])
def test_the_luck_of_a_score_is_its_spread_over_probes(truth: Truth, rival: str) -> None:
    """Networks that agree on which pictures are hard, scored on many sets of probe pictures: the variance of the difference between sets,
    beyond what the scatter of their three seeds explains, is what is told from each set, whichever rule is true."""
    scores, told = [], []
    for number in range(100):
        curves, classes, joint = simulated(replace(truth, agreement=1.0, seed_spread=0.0, points=20), 3, number)
        data = arrays(curves, classes, joint=joint)
        measured = data.common(WANTED)
        assert not isinstance(measured, str)
        part = next(each for each in known_windows(measured, 10, 0.2) if isinstance(each, Known) and each.window == "rise")
        top, bottom, both = (1 - values for values in measured.values)
        pairing = Pairing(top.mean(axis=0), bottom.mean(axis=0), measured.n, 10, 0.95, agreed=1.0)
        model, other = (Form(RULES[name], both, RULES[name].doubles(top, bottom, 10)) for name in ("product", rival))
        (chance, _), crossed = Chance.of(data, measured, "both"), data.crossed("both", measured)
        assert chance is not None
        assert crossed is not None
        off = chance.share(crossed[..., 1], part.weights) * surprise(model, other, measured.n)
        of_rival, of_model = (deviance(both, form.predicted, part.folds.T, measured.n) for form in (other, model))
        scores.append(SeedSpread(3, 0.95).means(of_rival - of_model - part.of_seeds(off)))
        told.append(luck_of_score(model, other, (top, bottom), part, pairing, crossed, set_right=True))
    folds = np.array(scores)
    shared = folds[:, 0].var(ddof=1) - 2 * folds[:, 1:].var(axis=1).mean()
    assert np.mean(np.square(told)) == pytest.approx(shared, rel=0.35)


@pytest.mark.parametrize(
    ("truth", "rival"),
    [
        (Truth(settled=True), "gaussian"),
        (Truth(settled=True), "product, top preferred"),
        (Truth(settled=True, preference=(0.8, 0.8)), "gaussian"),
    ],
)
def test_the_luck_of_a_score_on_conflicts_is_its_spread_over_probes(truth: Truth, rival: str) -> None:
    """Where each picture settles who wins, and the product rule with equal preference is right or off, the variance that is told from each
    set of probe pictures is that between sets, beyond what the scatter of their three seeds explains, or up to twice that: an RMSE near 0
    grows with luck of either sign, and so varies less than to first order."""
    scores, told = [], []
    for number in range(80):
        curves, classes, joint = simulated(replace(truth, agreement=1.0, seed_spread=0.0, points=20), 3, number)
        data = arrays(curves, classes, joint=joint)
        measured = data.common(conflicts.WANTED)
        assert not isinstance(measured, str)
        part = next(each for each in known_windows(measured, 10, 0.2) if isinstance(each, Known) and each.window == "late")
        contest = replace(Contest.of(data, measured, 0.95), by_class=None)
        contest = replace(contest, pairing=replace(contest.pairing, agreed=1.0))
        top, bottom, *answers = measured.values
        forms = []
        for name in ("product", rival):
            predict = partial(product_conflicts, preference=1.0) if name.startswith("product, ") else RULES[name].conflicts
            assert predict is not None
            shares = predict(1 - top, 1 - bottom, 10)
            slopes = slopes_of(lambda a, b, of=predict: np.stack(of(a, b, 10)[:2]), contest.pairing.top, contest.pairing.bottom)  # type: ignore[misc]
            forms.append(ConflictForm((answers[0] - shares[0], answers[1] - shares[1]), slopes, part))
        scores.append(SeedSpread(3, 0.95).means(forms[1].off - forms[0].off))
        told.append(luck_of_shares(forms[0], forms[1], contest, data.crossed("conflict", measured)))
    folds = np.array(scores)
    shared = folds[:, 0].var(ddof=1) - 2 * folds[:, 1:].var(axis=1).mean()
    assert 0.85 < np.mean(np.square(told)) / shared < 2
