"""Fits of single learning curves, and of whole tables of them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from dominoes.errors import CurvesError, FitError
from dominoes.theory.fits.curve import SHAPES, fit_curve
from dominoes.theory.fits.families import FAMILIES
from dominoes.theory.fits.least_squares import Array
from dominoes.theory.fits.table import FITS, fit_table

STEPS = np.concatenate([[0], np.unique(np.geomspace(1, 4300, 68).round())])
FLAT = np.full(len(STEPS), 0.1)


def logistic(ceiling: float = 0.9, speed: float = 0.01, inflection: float = 500, floor: float = 0.1) -> Array:
    values: Array = floor + (ceiling - floor) / (1 + np.exp(-speed * (STEPS - inflection)))
    return values


def wander(rng: np.random.Generator, deviation: float, correlation: float = 0.95) -> Array:
    """Stationary first-order autoregressive noise at STEPS."""
    noise = rng.normal(size=len(STEPS))
    for i in range(1, len(STEPS)):
        noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * noise[i]
    return deviation * noise


def coverage(simulate: Callable[[], Array], sims: int, n: int | None) -> dict[str, float]:
    """Share of 95 % intervals that hold the parameters of `logistic()`."""
    truth = {"ceiling": 0.9, "speed": 0.01, "onset": 500.0}
    hits = dict.fromkeys(truth, 0)
    for _ in range(sims):
        fit = fit_curve(STEPS, simulate(), chance=0.1, n=n)
        for name, value in truth.items():
            low, high = fit.interval(name)
            hits[name] += low <= value <= high
    return {name: hit / sims for name, hit in hits.items()}


@pytest.mark.parametrize("n", [1000, None])
def test_coverage_of_binomial_noise(n: int | None) -> None:
    """Of 400 curves with binomial noise 90 to 99 % of the 95 % intervals hold the ceiling, the speed and the onset, n known or not."""
    rng = np.random.default_rng(1)
    shares = coverage(lambda: rng.binomial(1000, logistic()) / 1000, 400, n)
    assert all(0.90 <= share <= 0.99 for share in shares.values()), shares


@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_over_seeds(seeds: int) -> None:
    """Seeds differ in every parameter, residuals have lag-1 correlation .95: 90 to 99 % of 400 intervals hold the seeds' centre."""
    rng = np.random.default_rng(2)

    def one() -> Array:
        curve = logistic(0.9 + 0.02 * rng.normal(), 0.01 * np.exp(0.15 * rng.normal()), 500 * np.exp(0.1 * rng.normal()))
        return rng.binomial(1000, np.clip(curve + wander(rng, 0.015), 0, 1)) / 1000

    shares = coverage(lambda: np.stack([one() for _ in range(seeds)]), 400, 1000)
    assert all(0.90 <= share <= 0.99 for share in shares.values()), shares


def test_coverage_of_correlated_residuals() -> None:
    """One seed, residuals of lag-1 correlation .95: at least 80 % of the intervals hold; under 60 % do if points count as independent."""
    rng = np.random.default_rng(3)
    shares = coverage(lambda: rng.binomial(1000, np.clip(logistic() + wander(rng, 0.02), 0, 1)) / 1000, 300, 1000)
    assert all(share >= 0.80 for share in shares.values()), shares
    hits = 0
    for _ in range(100):
        values = np.clip(logistic() + wander(rng, 0.02), 0, 1)
        best, covariance = curve_fit(lambda t, c, a, b: 0.1 + (c - 0.1) / (1 + np.exp(-a * (t - b))), STEPS, values, (0.9, 0.01, 500))
        hits += abs(best[0] - 0.9) < 2 * np.sqrt(covariance[0, 0])
    assert hits < 60


def test_same_minimum_as_scipy() -> None:
    """Least squares ends at the parameters that scipy finds from the truth."""
    rng = np.random.default_rng(4)
    for _ in range(5):
        values = np.clip(logistic() + 0.01 * rng.normal(size=len(STEPS)), 0, 1)
        best, _ = curve_fit(lambda t, c, a, b: 0.1 + (c - 0.1) / (1 + np.exp(-a * (t - b))), STEPS, values, (0.9, 0.01, 500), ftol=1e-12)
        fit = fit_curve(STEPS, values, chance=0.1)
        assert [fit.ceiling, fit.speed, fit.onset] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_every_family_recovers_itself(family: str, metric: str) -> None:
    """A noiseless curve of a family is fitted exactly: the onset is where it passes half of its ceiling, the speed the slope there."""
    shape = FAMILIES[family]
    log_shape = np.log(2.0)
    x = STEPS if shape.axis == "linear" else np.log(np.maximum(STEPS, 1e-30))
    alpha, place = (0.006, 700.0) if shape.axis == "linear" else (2.0 if shape.rated else 1.0, np.log(300.0))
    share, _, _ = shape.rise(alpha * (x - place), np.full(1, log_shape))
    values = 0.1 + 0.75 * share if metric == "accuracy" else np.log(10) - 2.0 * share
    fit = fit_curve(STEPS, values, family=family, metric=metric, chance=0.1)
    assert fit.learned
    assert fit.converged
    assert fit.rmse < 1e-5
    assert fit.ceiling == pytest.approx(0.85 if metric == "accuracy" else np.log(10) - 2, abs=1e-4)
    assert fit.predict(fit.onset) == pytest.approx((fit.floor + fit.ceiling) / 2, abs=1e-9)
    h = 1e-4
    times = fit.onset + np.array([-h, h]) if fit.time == "linear" else fit.onset * np.exp([-h, h])
    before, after = fit.predict(times)
    assert fit.speed == pytest.approx(4 * (after - before) / (2 * h) / (fit.ceiling - fit.floor), rel=1e-4)


def test_native_parameters() -> None:
    """The parameters carry the names and units of the family's own formula, each with a standard error."""
    rng = np.random.default_rng(5)
    t = np.maximum(STEPS, 1e-9)
    values = rng.binomial(1000, 0.1 + 0.8 * (1 - np.exp(-((t / 400) ** 1.7)))) / 1000
    fit = fit_curve(STEPS, values, family="weibull", chance=0.1, n=1000)
    assert list(fit.parameters) == ["floor", "ceiling", "exponent", "scale"]
    assert fit.parameters["exponent"] == pytest.approx(1.7, abs=4 * fit.errors["exponent"])
    assert fit.parameters["scale"] == pytest.approx(400, abs=4 * fit.errors["scale"])
    assert np.isnan(fit.errors["floor"])


@pytest.mark.parametrize("family", SHAPES)
def test_flat_curve_is_not_learned(family: str) -> None:
    """A curve that stays at chance has no onset, no speed and no ceiling, by every family: it is `not learned`, and predicted flat."""
    values = np.random.default_rng(6).binomial(1000, FLAT) / 1000
    fit = fit_curve(STEPS, values, family=family, chance=0.1, n=1000)
    assert (fit.status, fit.learned) == ("not learned", False)
    assert np.isnan([fit.onset, fit.onset_se, fit.speed, fit.ceiling, *fit.onset_interval]).all()
    assert fit.predict([0, 1e6]) == pytest.approx([0.1, 0.1], abs=0.05)


def test_level_and_power_of_the_test_for_learning() -> None:
    """At most 1 % of flat curves pass for learned, whatever the correlation of their noise; a rise of ten deviations nearly always does."""
    rng = np.random.default_rng(7)
    for noise in (lambda: 0.0095 * rng.normal(size=len(STEPS)), lambda: wander(rng, 0.0095)):
        flat = np.clip(np.stack([FLAT + noise() for _ in range(1000)]), 0, 1)
        risen = np.clip(np.stack([logistic(0.2) + noise() for _ in range(200)]), 0, 1)
        for n in (1000, None):
            assert fit_curve(STEPS, flat, chance=0.1, n=n).n_learned <= 10
            assert fit_curve(STEPS, risen, chance=0.1, n=n).n_learned >= 195


def test_falling_accuracy_and_rising_loss_are_not_learned() -> None:
    """A curve that goes the wrong way is not learned."""
    noise = 0.003 * np.random.default_rng(8).normal(size=len(STEPS))
    assert fit_curve(STEPS, 0.2 - logistic(0.15) + 0.1 + noise, chance=0.2).status == "not learned"
    assert fit_curve(STEPS, 2.3 + logistic() + noise, metric="loss", chance=0.1).status == "not learned"


def test_onset_outside_the_steps() -> None:
    """An onset that the steps do not reach is not reported; the status says on which side it lies."""
    rng = np.random.default_rng(9)
    late = rng.binomial(1000, np.clip(0.1 + 0.9 / (1 + np.exp(-0.002 * (STEPS - 5000))), 0, 1)) / 1000
    fit = fit_curve(STEPS, late, chance=0.1, n=1000)
    assert fit.learned
    assert np.isnan([fit.onset, fit.onset_se]).all()
    assert "onset after the last step" in fit.status
    early = np.clip(0.9 + 0.01 * rng.normal(size=len(STEPS)), 0, 1)
    fit = fit_curve(STEPS, early, chance=0.1)
    assert np.isnan(fit.onset)
    assert "onset before the first step" in fit.status


def test_still_rising() -> None:
    """A curve that has not levelled out at the last step says that its ceiling is an extrapolation; one that has is `ok`."""
    rng = np.random.default_rng(19)
    for inflection, speed, expected in ((3800, 0.002, "still rising at the last step"), (500, 0.01, "ok")):
        values = rng.binomial(1000, logistic(0.8, speed, inflection)) / 1000
        assert expected in fit_curve(STEPS, values, chance=0.1, n=1000).status
    loss = np.log(10) - 2 * (logistic(0.8, 0.002, 3800) - 0.1)
    assert "still falling at the last step" in fit_curve(STEPS, loss, metric="loss", chance=0.1).status


def test_ceiling_on_its_bound() -> None:
    """A ceiling of exactly 1 is named as a bound and has no standard error."""
    fit = fit_curve(STEPS, np.round(logistic(1.0), 3), chance=0.1, n=1000)
    assert fit.ceiling == 1.0
    assert np.isnan(fit.ceiling_se)
    assert "ceiling on its upper bound" in fit.status


def test_seeds_are_the_unit() -> None:
    """With several seeds the estimate is the mean of the seeds' own fits, and its error comes from their spread alone."""
    rng = np.random.default_rng(10)
    values = np.stack([rng.binomial(1000, logistic(inflection=b)) / 1000 for b in (400, 500, 650)])
    fit = fit_curve(STEPS, values, chance=0.1, n=1000)
    own = [fit_curve(STEPS, row, chance=0.1, n=1000) for row in values]
    onsets = np.log([one.onset for one in own])
    assert fit.onset == pytest.approx(np.exp(onsets.mean()), rel=1e-6)
    assert fit.onset_se == pytest.approx(fit.onset * onsets.std(ddof=1) / np.sqrt(3), rel=1e-6)
    assert (fit.n_seeds, fit.n_learned, fit.freedom, fit.n_points) == (3, 3, 2, 3 * len(STEPS))
    np.testing.assert_allclose(fit.predict(STEPS), np.mean([one.predict(STEPS) for one in own], axis=0), atol=1e-6)


def test_some_seeds_do_not_learn() -> None:
    """Seeds that stay at chance are counted in the status and left out of the onset; one seed that learned has no standard error."""
    rng = np.random.default_rng(11)
    learned = [rng.binomial(1000, logistic()) / 1000 for _ in range(2)]
    flat = rng.binomial(1000, FLAT) / 1000
    fit = fit_curve(STEPS, np.stack([learned[0], flat, learned[1]]), chance=0.1, n=1000)
    assert fit.n_learned == 2
    assert fit.status == "learned by 2 of 3 seeds"
    assert fit.onset == pytest.approx(500, rel=0.05)
    fit = fit_curve(STEPS, np.stack([learned[0], flat]), chance=0.1, n=1000)
    assert "no standard error from one seed" in fit.status
    assert np.isnan(fit.onset_se)
    fit = fit_curve(STEPS, np.stack([flat, flat]), chance=0.1, n=1000)
    assert (fit.status, fit.learned) == ("not learned", False)


def test_missing_values() -> None:
    """NaN are left out: the fit equals that of the remaining points."""
    values = np.random.default_rng(12).binomial(1000, logistic()) / 1000
    values[5::7] = np.nan
    seen = ~np.isnan(values)
    fit, other = (fit_curve(s, v, chance=0.1, n=1000) for s, v in ((STEPS, values), (STEPS[seen], values[seen])))
    assert fit.n_points == seen.sum()
    assert [fit.onset, fit.onset_se, fit.ceiling] == pytest.approx([other.onset, other.onset_se, other.ceiling], rel=1e-5)


def test_too_few_points() -> None:
    """Fewer points than parameters are no error: the status says how many are needed."""
    fit = fit_curve([0, 10, 100], [0.1, 0.5, 0.9], chance=0.1)
    assert fit.status == "too few points: 3, expected at least 4"
    assert not fit.converged
    fit = fit_curve(STEPS, np.full(len(STEPS), np.nan), chance=0.1, family="isotonic")
    assert fit.status == "too few points: 0, expected at least 1"


def test_too_few_points_on_the_rise() -> None:
    """A step between two measurements leaves the speed open: no standard error is made up."""
    fit = fit_curve(STEPS, np.where(STEPS < 500, 0.1, 0.9), chance=0.1, n=1000)
    assert fit.learned
    assert not fit.speed_se < fit.speed
    assert not fit.onset_se < 10
    assert fit.status != "ok"


def test_fitted_floor() -> None:
    """Without chance the level before learning is fitted, with a standard error."""
    values = 0.3 + 0.5 * (logistic() - 0.1) / 0.8 + 0.005 * np.random.default_rng(13).normal(size=len(STEPS))
    fit = fit_curve(STEPS, values)
    assert fit.floor == pytest.approx(0.3, abs=0.005)
    assert 0 < fit.errors["floor"] < 0.01


def test_isotonic_and_last() -> None:
    """The smoother never falls and has an onset; the last value is carried forward, exact at the steps and constant after them."""
    rng = np.random.default_rng(14)
    values = rng.binomial(1000, logistic()) / 1000
    smooth = fit_curve(STEPS, values, family="isotonic", chance=0.1, n=1000)
    assert (np.diff(smooth.predict(np.linspace(0, 5000, 300))) >= 0).all()
    assert smooth.onset == pytest.approx(500, rel=0.1)
    assert smooth.predict(smooth.onset) == pytest.approx((0.1 + smooth.ceiling) / 2)
    carried = fit_curve(STEPS, values, family="last", chance=0.1, n=1000)
    np.testing.assert_array_equal(carried.predict(STEPS), values)
    assert carried.predict(1e9) == values[-1]
    assert carried.predict((STEPS[10] + STEPS[11]) / 2) == values[10]
    falling = fit_curve(STEPS, 2.3 - 2 * (logistic() - 0.1), family="isotonic", metric="loss", chance=0.1)
    assert falling.learned
    assert (np.diff(falling.predict(STEPS)) <= 0).all()


def test_predictions_are_accuracies() -> None:
    """Predictions of an accuracy stay in [0, 1] far beyond the steps, for every family; the fit survives pickling."""
    values = np.random.default_rng(15).binomial(200, logistic(0.99)) / 200
    for family in SHAPES:
        fit = pickle.loads(pickle.dumps(fit_curve(STEPS, values, family=family, chance=0.1, n=200)))
        predicted = fit.predict(np.geomspace(1e-3, 1e9, 200).reshape(20, 10))
        assert predicted.shape == (20, 10)
        assert ((predicted >= 0) & (predicted <= 1)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "cubic"}, "family is 'cubic', expected one of logistic, "),
        ({"metric": "error"}, "metric is 'error', expected one of accuracy, loss"),
        ({"step": STEPS[:-1]}, r"shapes .* expected \(N,\) and \(N,\) or \(seeds, N\)"),
        ({"step": STEPS - 1}, "a step is negative or not finite"),
        ({"step": np.sort(np.append(STEPS[1:], 7.0))}, "step 7 does not come after the one before it"),
        ({"value": logistic() + 0.4}, r"a value is 1\.\d+, expected a share from 0 to 1"),
        ({"value": logistic() - 2, "metric": "loss"}, "expected a finite number of at least 0"),
        ({"chance": 0.0}, "chance is 0.0, expected a share between 0 and 1"),
        ({"n": 0}, "n is below 1 or missing"),
        ({"n": [10, 20]}, r"n has shape \(2,\), expected one that broadcasts to"),
    ],
)
def test_bad_input(change: dict[str, object], message: str) -> None:
    """Input that breaks a rule is refused with what was expected."""
    arguments: dict[str, object] = {"step": STEPS, "value": logistic(), "chance": 0.1} | change
    with pytest.raises(FitError, match=message):
        fit_curve(arguments.pop("step"), arguments.pop("value"), **arguments)  # type: ignore[arg-type]


def test_bad_questions() -> None:
    """An interval of what has none, and a prediction at a negative step, are refused."""
    fit = fit_curve(STEPS, logistic(), chance=0.1)
    with pytest.raises(FitError, match="no interval of 'floor'; expected ceiling, speed or onset"):
        fit.interval("floor")
    with pytest.raises(FitError, match="a step is negative or not finite"):
        fit.predict([-1.0])


def table() -> pd.DataFrame:
    """Two runs of two seeds and two prevalences; each with a kind that is learned and one that is not, and a learning rate that decays."""
    rng = np.random.default_rng(16)
    parts = []
    for run, (seed, prevalence) in enumerate([(0, 0.3), (1, 0.9)]):
        for kind, accuracy in (("top", logistic(inflection=300 / prevalence)), ("empty", FLAT)):
            part = pd.DataFrame({"step": STEPS.astype(int)})
            measured = rng.binomial(1000, accuracy) / 1000
            part = part.assign(run=f"{run:012x}", seed=seed, epoch=STEPS / 100, samples=STEPS * 64, split="test", kind=kind, n=1000)
            part = part.assign(loss=np.log(10) * (1 - (accuracy - 0.1)), accuracy=measured, agree_top=measured, agree_bottom=np.nan)
            parts.append(part.assign(prevalence_top=prevalence, model="detector", lr=0.1 / (1 + STEPS)))
    return pd.concat(parts, ignore_index=True)


def test_table_of_fits() -> None:
    """Every run, split, kind and metric meets every family, in the columns that the contract names, with the swept parameters."""
    fits = fit_table(table())
    assert tuple(fits.columns) == (*FITS, "prevalence_top", "model")
    assert fits.attrs["left_out"] == ["lr"]
    assert len(fits) == 2 * 2 * 2 * len(SHAPES)
    assert list(fits["family"][: len(SHAPES)]) == list(SHAPES)
    assert (fits[fits["kind"] == "empty"]["status"] == "not learned").all()
    best = fits[(fits["family"] == "logistic") & (fits["metric"] == "accuracy") & (fits["kind"] == "top")]
    assert list(best["onset"]) == pytest.approx([1000, 333.3], rel=0.05)
    assert list(best["prevalence_top"]) == [0.3, 0.9]
    assert (best["floor"] == 0.1).all()
    assert (best["n_points"] == len(STEPS)).all()


def test_table_equals_single_fits() -> None:
    """Fitting curves side by side gives the numbers that fitting each alone gives."""
    curves = table()
    fits = fit_table(curves, families=("logistic", "richards", "last"), metrics=("loss", "accuracy"))
    for _, row in fits.iterrows():
        own = curves[(curves["run"] == row["run"]) & (curves["kind"] == row["kind"])]
        alone = fit_curve(own["step"], own[row["metric"]], family=row["family"], metric=row["metric"], chance=0.1, n=own["n"])
        assert row["status"] == alone.status
        for name in ("ceiling", "speed", "onset", "onset_se", "rmse"):
            assert row[name] == pytest.approx(getattr(alone, name), rel=1e-5, nan_ok=True)


def test_bad_table() -> None:
    """A table that breaks its contract, an unknown family or metric, and an impossible chance are refused."""
    with pytest.raises(CurvesError, match="the column loss is missing"):
        fit_table(table().drop(columns="loss"))
    with pytest.raises(FitError, match="family is 'cubic', expected one of logistic"):
        fit_table(table(), families=("cubic",))
    with pytest.raises(FitError, match="metric is 'error', expected one of accuracy, loss"):
        fit_table(table(), metrics=("error",))
    with pytest.raises(FitError, match="chance is 1, expected a share between 0 and 1"):
        fit_table(table(), chance=1)


def test_no_torch() -> None:
    """Fitting needs no torch: it runs on curves made elsewhere."""
    code = "import sys, dominoes.theory.fits.table, dominoes.theory.pattern_model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
