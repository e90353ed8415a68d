"""The score: what the truth, copying, nonsense and overconfidence get, and what changes nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simulated_curves
from scipy import stats
from simulated_curves import Truth

from dominoes.leaderboard import board, contrasts, covariance, score, tasks
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.board import Board
from dominoes.leaderboard.score import ScoredCell
from dominoes.leaderboard.tasks import TaskQuestion
from dominoes.leaderboard.theories.naive import CopyNearest, MeanOfSpecs

ASKED = ("doubles", "conflicts", "neighbours", "beyond", "ahead")


@pytest.fixture(scope="module")
def found() -> Board:
    """Truth, truth with honest, with overconfident and with vague bands, shuffled truth and naive rivals on one edition."""

    class Shuffled(Truth):
        """The truth of another spec."""

        def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
            other = {0.1: 0.9, 0.15: 0.6, 0.2: 0.75, 0.3: 0.1, 0.4: 0.15, 0.6: 0.1, 0.75: 0.1, 0.9: 0.15}
            share = other[round(float(spec["prevalence_top"]), 2)]
            return super().forecast(dict(spec) | simulated_curves.dials(share), given, asked)

    theories: dict[str, Callable[[], Any]] = {
        "truth": Truth,
        "honest": lambda: Truth(1.645 * simulated_curves.SD / math.sqrt(8)),
        "overconfident": lambda: Truth(0.005),
        "vague": lambda: Truth(2.0),
        "shuffled": Shuffled,
        "copy": CopyNearest,
    }
    return board.score_theories(theories, simulated_curves.edition(8), ASKED)


def _row(found: Board, theory: str, task: str) -> pd.Series:
    return found.table.set_index(["theory", "task"]).loc[(theory, task)]


def test_a_loss_without_bound_is_scored_without_a_warning() -> None:
    """A finite loss whose square is not gets a low skill; warnings are errors here."""

    class Unbounded(Truth):
        def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
            found = super().forecast(spec, given, asked)
            return found.assign(mean=found["mean"].where(found["metric"] != "loss", 1e308))

    row = board.score_theories({"unbounded": Unbounded}, simulated_curves.edition(4), ("doubles",)).table.iloc[0]
    assert row["skill"] < -100


@pytest.mark.parametrize("task", ASKED)
def test_the_truth_reaches_the_ceiling(found: Board, task: str) -> None:
    """The law of the simulation gets skill 1 within its interval, and close to it."""
    row = _row(found, "truth", task)
    assert row["low"] - 0.01 <= 1 <= row["high"] + 0.01
    assert row["skill"] == pytest.approx(1, abs=0.1)
    assert row["cells"] > 0


@pytest.mark.parametrize("task", ASKED)
def test_copying_is_zero_and_nonsense_below(found: Board, task: str) -> None:
    """Copying the nearest spec gets 0; the forecasts of another spec get less, beyond their interval."""
    assert _row(found, "copy", task)["skill"] == pytest.approx(0, abs=0.02)
    assert _row(found, "shuffled", task)["high"] < 0


@pytest.mark.parametrize("task", ASKED)
def test_bands_are_paid_for(found: Board, task: str) -> None:
    """Bands of the right width cost nothing; too narrow and too wide ones lose tenths of nats a step, and coverage says which is which."""
    plain, narrow, wide = (_row(found, name, task) for name in ("truth", "overconfident", "vague"))
    for bad in (narrow, wide):
        assert bad["log_density"] < plain["log_density"] - 0.5
        assert bad["skill"] < plain["skill"] - 0.1
    assert narrow["coverage"] < 0.4
    assert wide["coverage"] == pytest.approx(1, abs=0.001)
    assert math.isnan(plain["coverage"])
    if task == "doubles":
        honest = _row(found, "honest", task)
        assert honest["log_density"] == pytest.approx(plain["log_density"], abs=0.1)
        assert honest["coverage"] == pytest.approx(0.9, abs=0.07)


def test_order_changes_nothing() -> None:
    """Rows, runs and specs in another order: the same digest, the same scores to the last digit."""
    specs = [simulated_curves.dials(share) for share in (0.1, 0.2, 0.4, 0.8)]
    table = simulated_curves.table(specs, 6)
    mixed = table.sample(frac=1, random_state=3).reset_index(drop=True)
    found = [
        board.score_theories(
            {"mean": MeanOfSpecs, "truth": Truth}, editions.make_edition({"s": each}, "e"), ("doubles", "neighbours"), seed=5
        ).table
        for each in (table, mixed)
    ]
    columns = ["task", "theory", "skill", "low", "high", "rmse", "digest"]
    pd.testing.assert_frame_equal(found[0][columns], found[1][columns])


def test_the_ceiling_narrows_as_one_over_the_seeds() -> None:
    """What other seeds and deals predict misses the mean curve by the variance of a run over the number of runs.

    Without the correction by S/(S − 1) the residuals of 4 runs would be a third larger than that.
    """
    variances = []
    for seeds in (4, 8, 16):
        known = simulated_curves.edition(seeds, seed=seeds)
        pools = covariance.noise(known)
        squares = []
        for key, runs in known.arrays.items():
            question = TaskQuestion("neighbours", key, (), 0.0, (("top", "loss"), ("bottom", "loss"), ("both", "loss")))
            target = score.measured_targets(runs, question, pools, known.classes)
            squares += [float((score.residuals(units) ** 2).mean()) for _, _, units in target.targets.values()]
        variances.append(np.mean(squares) * seeds)
    assert variances == pytest.approx([simulated_curves.SD**2] * 3, rel=0.2)


def test_the_density_is_the_normal_density() -> None:
    """L is scipy's multivariate normal density per step, of the mean on the scale with the covariance, averaged over windows."""
    known = simulated_curves.edition(6)
    key, runs = next(iter(known.arrays.items()))
    curve = ("both", "accuracy")
    target = score.measured_targets(runs, TaskQuestion("doubles", key, (), 0.0, (curve,)), covariance.noise(known), known.classes)
    forecast = np.clip(runs.values[curve].mean(axis=0)[1:] + 0.01, 0, 0.999)
    nothing = np.full(len(forecast), np.nan)
    got = score.density(target, {curve: (forecast, nothing, nothing)}).value
    count = forecast * runs.n + 0.5
    logit = np.log(count / (runs.n + 1 - count))
    windows = []
    for at in target.parts.values():
        sigma = target.covariances[curve][np.ix_(at, at)]
        windows.append(stats.multivariate_normal(logit[at], sigma, allow_singular=True).logpdf(target.targets[curve][0][at]) / len(at))
    assert len(windows) > 1
    assert got == pytest.approx(np.mean(windows), rel=1e-6)


def test_influence_is_the_derivative_by_the_weights_of_runs() -> None:
    """Moving the mean curve towards one run by a small weight changes L by that run's influence."""
    known = simulated_curves.edition(6)
    key, runs = next(iter(known.arrays.items()))
    curve = ("top", "loss")
    target = score.measured_targets(runs, TaskQuestion("neighbours", key, (), 0.0, (curve,)), covariance.noise(known), known.classes)
    forecast = runs.values[curve].mean(axis=0)[1:] * 1.1
    nothing = np.full(len(forecast), np.nan)
    whole = score.density(target, {curve: (forecast, nothing, nothing)})
    mean, raw, units = target.targets[curve]
    small = 1e-4
    moved = dataclasses.replace(target, targets={curve: (mean + small * (units[2] - units.mean(axis=0)), raw, units)})
    changed = score.density(moved, {curve: (forecast, nothing, nothing)}).value - whole.value
    assert changed / small == pytest.approx(whole.influence[2], rel=1e-2)


def test_cells_with_nothing_to_predict_are_left_out_and_counted() -> None:
    """Where the ceiling is not above copying beyond its interval, the cell does not enter the mean."""
    flat = np.zeros(6)
    noisy = np.array([-3.0, 3.0, -3.0, 3.0, -3.0, 3.0])
    copied = {"a": ScoredCell(0.0, flat), "b": ScoredCell(0.0, noisy), "c": ScoredCell(0.0, flat)}
    best = {"a": ScoredCell(2.0, flat), "b": ScoredCell(0.5, flat), "c": None}
    theory = {"a": ScoredCell(1.0, flat), "b": ScoredCell(-50.0, flat), "c": ScoredCell(-50.0, flat)}
    found = score.skill(theory, copied, best)
    assert (found.value, found.cells, found.left_out) == (0.5, 1, 2)
    assert found.low == found.high == 0.5


@pytest.mark.slow
def test_the_interval_covers() -> None:
    """Of 30 editions drawn anew, the 95 % interval of the truth's skill holds 1 in at least 25."""
    specs = [simulated_curves.dials(share) for share in (0.1, 0.2, 0.4, 0.8)]
    inside = 0
    for seed in range(30):
        known = editions.make_edition({"s": simulated_curves.table(specs, 6, seed=seed)}, "e")
        row = board.score_theories({"truth": Truth}, known, ("doubles",)).table.iloc[0]
        inside += row["low"] <= 1 <= row["high"]
    assert inside >= 25


def test_contrasts_see_what_a_field_does_to_a_side() -> None:
    """D alone lowers the bottom by many SD of the contrast: the truth has it, a theory without competition has none of it."""
    specs = [simulated_curves.dials(0.5, 0.5, both) for both in (0.02, 0.1, 0.25, 0.4, 0.48)]
    known = editions.make_edition({"co-occurrence": simulated_curves.table(specs, 8)}, "e")

    def without(spec: Mapping[str, Any], steps: np.ndarray) -> Any:
        return simulated_curves.truth(dict(spec) | {"both": 0.25}, steps)

    found = board.score_theories({"truth": Truth, "none": lambda: Truth(law=without)}, known, ("competition",)).table.set_index("theory")
    assert found.loc["truth", "skill"] == pytest.approx(1, abs=0.15)
    assert found.loc["none", "skill"] < found.loc["truth", "skill"] - 0.5
    folds = tasks.folds(known, ["competition"])
    sizes = contrasts.sizes(contrasts.measured_contrasts(known, [each for fold in folds for each in fold.contrasts]))
    bottom = sizes[sizes["contrast"].str.endswith("bottom")].iloc[0]
    assert bottom["late"] < 0
    assert bottom["late_sd"] < -5


def test_one_deal_cannot_show_what_another_would_do() -> None:
    """Where all runs share a deal, the covariance has room for an unseen one; where runs are dealt anew it has not."""
    specs = [simulated_curves.dials(share) for share in (0.1, 0.2, 0.4)]
    widths = []
    for deals in (True, False):
        known = editions.make_edition({"s": simulated_curves.table(specs, 6, deals=deals)}, "e")
        runs = next(iter(known.arrays.values()))
        pool = covariance.noise(known)["s", ("bottom", "loss")]
        found = covariance.mean_covariance(runs, ("bottom", "loss"), np.flatnonzero(runs.steps > 0), pool, known.classes)
        widths.append(np.diag(found).sum())
    assert widths[1] > 3 * widths[0]
