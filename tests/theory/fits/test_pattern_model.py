"""Fits of the pattern-learning model to whole runs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dominoes.errors import FitError
from dominoes.theory.fits import pattern_model
from dominoes.theory.fits.pattern_model import fit_patterns
from dominoes.theory.pattern_model import Pattern, PatternModel, preset

DATA = Path(os.environ.get("DOMINOES_DATA") or Path(__file__).parents[3] / "../shared/data")
WIDTHS = DATA / "grokking_widths.csv"
STEPS = np.arange(0.0, 401.0, 4.0)


def width(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both columns interpolated to the unique integers of 500 log-spaced steps from 1 to the last, missing starts back-filled."""
    if not WIDTHS.is_file():
        pytest.skip(f"grokking_widths.csv is not in {DATA}; set DOMINOES_DATA to the folder that holds it")
    rows = pd.read_csv(WIDTHS)
    rows = rows[rows["d_model"] == number]
    grid = np.unique(np.geomspace(1, rows["step"].max(), 500).astype(int)).astype(float)
    seen = (rows.dropna(subset=[column]) for column in ("train_accuracy", "test_accuracy"))
    train, test = (
        np.interp(grid, part["step"], part[column]) for part, column in zip(seen, ("train_accuracy", "test_accuracy"), strict=True)
    )
    return grid, train, test


@pytest.mark.parametrize(("number", "limit"), [(23, 0.00004), (65, 0.0003), (128, 0.0001)])
@pytest.mark.parametrize("seed", [0, 1])
def test_grokking_widths(number: int, limit: float, seed: int) -> None:
    """Three patterns follow published grokking curves closely, whatever the seed, with every parameter within its range."""
    grid, train, test = width(number)
    fit = fit_patterns(grid, train, test, n_patterns=3, seed=seed)
    assert fit.mse <= limit
    assert fit.converged
    assert fit.starts_at_best >= 3
    fitted = fit.predict(grid)
    assert np.mean((fitted[0] - train) ** 2) + np.mean((fitted[1] - test) ** 2) == pytest.approx(fit.mse, rel=1e-9)


@pytest.mark.parametrize("time", ["linear", "log"])
def test_known_patterns_are_recovered(time: str) -> None:
    """From curves without noise the patterns, the preferred one, and the chance come back, on either time axis."""
    steps = np.unique(np.geomspace(1, 1e5, 200).round())
    if time == "linear":
        truth = [Pattern(0.6, 0.05, 90, 0.1), Pattern(0.9, 2e-3, 2500, 0.4), Pattern(1.0, 3e-4, 3e4, 0.95)]
    else:
        truth = [Pattern(0.6, 3.0, 4.5, 0.1), Pattern(0.9, 1.5, 7.0, 0.4), Pattern(0.95, 4.0, 10.0, 0.9)]
    model = PatternModel(truth, "preferred:3", classes=10)
    t = steps if time == "linear" else np.log(steps)
    fit = fit_patterns(steps, model.train_accuracy(t), model.test_accuracy(t), n_patterns=3)
    assert fit.time == time
    assert fit.mse < 1e-12
    assert fit.model.rule == "preferred:3"
    assert fit.chance == pytest.approx(0.1, abs=1e-4)
    for found, known in zip(fit.patterns, truth, strict=True):
        for name in ("ceiling", "speed", "inflection", "generalization"):
            assert getattr(found, name) == pytest.approx(getattr(known, name), rel=1e-2, abs=1e-4)


@pytest.mark.slow
def test_no_truth_is_missed() -> None:
    """On noisy curves of random patterns the fit is always at least as close as the patterns that made them."""
    rng = np.random.default_rng(5)
    steps = np.unique(np.geomspace(1, 4e5, 200).round())
    for seed in range(12):
        t = np.log(steps) if seed % 2 else steps
        when = rng.uniform(4, 12.5, 3)
        members = [
            Pattern(c, r, b, g) if seed % 2 else Pattern(c, r / np.exp(b), np.exp(b), g)
            for c, r, b, g in zip(rng.uniform(0.1, 1, 3), rng.uniform(1.5, 6, 3), when, rng.random(3), strict=True)
        ]
        model = PatternModel(members, "preferred:1", classes=10)
        sample = model.simulate(t, 1000, rng)
        truth = np.mean((sample.train - model.train_accuracy(t)) ** 2) + np.mean((sample.test - model.test_accuracy(t)) ** 2)
        assert fit_patterns(steps, sample.train, sample.test, n_patterns=3, seed=seed).mse <= truth


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from(["equal", "preferred"]), st.sampled_from([None, 0.0, 0.1]))
def test_any_curve_gives_a_lawful_fit(seed: int, n: int, usage: str, chance: float | None) -> None:
    """Whatever the curves, even noise: parameters and predictions in [0, 1], patterns in order, and the mse that of the prediction."""
    rng = np.random.default_rng(seed)
    steps = np.unique(rng.integers(0, 5000, 40)).astype(float)
    train, test = rng.random((2, len(steps)))
    test[rng.random(len(steps)) < 0.3] = np.nan
    fit = fit_patterns(steps, train, test, n_patterns=n, usage=usage, starts=3, seed=seed, chance=chance)
    assert all(0 <= p.ceiling <= 1 and 0 <= p.generalization <= 1 and p.speed > 0 for p in fit.patterns)
    assert [p.inflection for p in fit.patterns] == sorted(p.inflection for p in fit.patterns)
    assert fit.chance == chance or chance is None
    far = np.concatenate([[0.0, 0.5], steps, [1e9]])
    for curve in fit.predict(far):
        assert ((curve >= 0) & (curve <= 1)).all()
    a, b = fit.predict(steps)
    assert fit.mse == pytest.approx(np.mean((a - train) ** 2) + np.nanmean((b - test) ** 2), rel=1e-9)
    assert fit.mse == pytest.approx(fit.mse_train + (fit.mse_test or 0), rel=1e-12)


@pytest.mark.parametrize("preferred", [None, 0])
def test_jacobian(preferred: int | None) -> None:
    """The gradient of the cost equals central differences in every parameter, with missing values."""
    rng = np.random.default_rng(0)
    n, points = 3, 20
    weights = (rng.random((2, points)) < 0.8) / points
    data = pattern_model._Measured(np.linspace(0, 1, points), rng.random((2, points)), weights)
    layout = pattern_model._Layout(n, preferred)
    objective = pattern_model._objective(data, layout)
    blocks = (
        rng.uniform(0.2, 0.9, (5, n)),
        rng.uniform(1, 3, (5, n)),
        rng.random((5, n)),
        rng.uniform(0.1, 0.9, (5, n)),
        rng.random((5, 1)) / 3,
    )
    at = np.concatenate(blocks, axis=1)
    _, gradient, _ = objective(at, np.arange(5))
    for k in range(4 * n + 1):
        h = np.zeros(4 * n + 1)
        h[k] = 1e-6
        difference = (objective(at + h, np.arange(5))[0] - objective(at - h, np.arange(5))[0]) / 2e-6
        np.testing.assert_allclose(gradient[:, k], difference, atol=1e-8)


def test_same_seed_same_fit() -> None:
    """The fit is a function of its input and seed, and does not touch numpy's global random state."""
    model = preset("double-descent")
    sample = model.simulate(STEPS, 200, np.random.default_rng(0))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (fit_patterns(STEPS, sample.train, sample.test, n_patterns=2, starts=5, seed=3) for _ in range(2))
    assert one == two
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_scale_of_steps() -> None:
    """Steps counted in other units move the inflections and speeds by that unit and nothing else."""
    model = preset("grokking")
    train, test = model.train_accuracy(STEPS), model.test_accuracy(STEPS)
    base = fit_patterns(STEPS, train, test, n_patterns=2, starts=10, time="linear", chance=0)
    for unit in (1e-3, 1e4):
        fit = fit_patterns(STEPS * unit, train, test, n_patterns=2, starts=10, time="linear", chance=0)
        for a, b in zip(fit.patterns, base.patterns, strict=True):
            assert a.inflection == pytest.approx(b.inflection * unit, rel=1e-5)
            assert a.speed == pytest.approx(b.speed / unit, rel=1e-5)


def test_irregular_and_missing() -> None:
    """Unsorted steps, a repeated one, train and test measured at different steps: the patterns are found all the same."""
    model = preset("grokking")
    rng = np.random.default_rng(0)
    steps = np.concatenate([rng.permutation(STEPS), [200.0]])
    train, test = model.train_accuracy(steps), model.test_accuracy(steps)
    train[::2], test[1::2] = np.nan, np.nan
    fit = fit_patterns(steps, train, test, n_patterns=2, starts=10, time="linear", chance=0)
    assert fit.mse < 1e-9
    assert [p.inflection for p in fit.patterns] == pytest.approx([50, 200], rel=1e-3)
    assert fit.model.rule == "preferred:2"


def test_train_only() -> None:
    """Without test accuracies the train accuracy is fitted, and the status says that generalization is unknown."""
    train = preset("double-descent").train_accuracy(STEPS)
    fit = fit_patterns(STEPS, train, n_patterns=2, starts=10, chance=0)
    assert fit.mse == fit.mse_train < 1e-6
    assert fit.mse_test is None
    assert "generalization unknown without test accuracies" in fit.status


def test_status_names_bounds() -> None:
    """Values on a bound, patterns that are never used and inflections outside the steps are named, not passed off as estimates."""
    model = preset("grokking")
    fit = fit_patterns(STEPS, model.train_accuracy(STEPS), model.test_accuracy(STEPS), n_patterns=2, starts=10, time="linear", chance=0)
    assert "ceiling of pattern 2 on its bound 1" in fit.status
    assert "generalization of pattern 1 on its bound 0" in fit.status
    early = PatternModel([Pattern(0.8, 0.02, -50, 0.5)]).train_accuracy(STEPS)
    fit = fit_patterns(STEPS, early, early, n_patterns=1, starts=10, time="linear", chance=0)
    assert "inflection of pattern 1 outside the measured steps" in fit.status


def test_step_zero_in_log_time() -> None:
    """In log time nothing fires at step 0: only chance is left."""
    steps = np.concatenate([[0], np.unique(np.geomspace(1, 1e4, 60).round())])
    model = PatternModel([Pattern(0.9, 2.0, 6.0)], classes=10)
    train = np.concatenate([[0.1], model.train_accuracy(np.log(steps[1:]))])
    fit = fit_patterns(steps, train, train, n_patterns=1, starts=5, time="log")
    assert fit.predict(0.0)[0] == pytest.approx(fit.chance)
    assert fit.patterns[0].inflection == pytest.approx(6.0, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usage": "first"}, "usage is 'first', expected one of preferred, equal"),
        ({"time": "sqrt"}, "time is 'sqrt', expected one of linear, log, best"),
        ({"n_patterns": 0}, "n_patterns is 0, expected 1 to 30"),
        ({"starts": 0}, "starts is 0, expected at least 1"),
        ({"chance": 0.7}, "chance is 0.7, expected a share from 0 to 0.5"),
        ({"n_patterns": 30}, "100 measurements at 49 steps after step 0 cannot settle 121 parameters"),
        ({"step": STEPS - 1}, "a step is negative or not finite"),
        ({"step": STEPS[:-1]}, "expected one length"),
        ({"train_accuracy": STEPS / 300}, "train_accuracy is 1.01333 at step 304, expected a share from 0 to 1"),
        ({"train_accuracy": STEPS * np.nan}, "train_accuracy holds no measurement"),
    ],
)
def test_bad_input(change: dict[str, object], message: str) -> None:
    """Input out of range is refused with what was expected."""
    good: dict[str, object] = {"step": STEPS, "train_accuracy": STEPS / 400, "test_accuracy": STEPS / 500, "n_patterns": 2}
    if change.get("n_patterns") == 30:
        good |= {"step": STEPS[:50], "train_accuracy": STEPS[:50] / 400, "test_accuracy": STEPS[:50] / 500}
    arguments = good | change
    with pytest.raises(FitError, match=message):
        fit_patterns(arguments.pop("step"), arguments.pop("train_accuracy"), arguments.pop("test_accuracy"), **arguments)  # type: ignore[arg-type]


def test_bad_prediction() -> None:
    """A prediction at a negative step is refused."""
    fit = fit_patterns(STEPS, STEPS / 400, n_patterns=1, starts=1)
    with pytest.raises(FitError, match="a step is negative or not finite"):
        fit.predict(-1.0)
