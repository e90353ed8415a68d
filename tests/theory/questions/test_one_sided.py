"""Empties, the reading of a loss and monotonicity, on curves made by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE
from dominoes.theory.questions.losses import reading
from dominoes.theory.questions.one_sided import empties, monotonicity
from dominoes.theory.rules import calibrated_loss
from dominoes.theory.run_arrays import arrays
from dominoes.theory.verdicts import Options, Verdict

STEPS = np.unique(np.r_[0, np.round(np.geomspace(1, 1000, 30))]).astype(int)


def table(kind: str, accuracy: np.ndarray, loss: np.ndarray, seeds: int = 5, noise: float = 0.002) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    parts = []
    for seed in range(seeds):
        values = np.clip(accuracy + generator.normal(0, noise, len(STEPS)), 0, 1)
        losses = np.maximum(loss + generator.normal(0, noise, len(STEPS)), 0)
        columns = {"epoch": 0.0, "samples": STEPS, "split": "test", "kind": kind, "n": 10**6, "loss": losses, "accuracy": values}
        parts.append(pd.DataFrame({"run": f"r{seed}", "seed": seed, "step": STEPS, **columns, "agree_top": np.nan, "agree_bottom": np.nan}))
    return pd.concat(parts, ignore_index=True)


def rises(onset: float = 30.0) -> np.ndarray:
    return np.asarray(0.1 + 0.8 / (1 + np.maximum(STEPS, 1e-9) ** -1.0 * onset))


def found(rows: tuple[Verdict, ...], model: str, side: str = "") -> Verdict:
    return next(row for row in rows if row.model == model and row.side == side)


def test_a_network_that_is_sure_of_empties_fails_by_loss_alone() -> None:
    """Accuracy 1/K cannot be missed by a constant answer; a loss of 4 nats shows that the network is not uniform."""
    data = arrays(table("empty", np.full(len(STEPS), 0.1), np.full(len(STEPS), 4.0)), classes_count=10)
    rows = empties(data, Options()).verdicts
    assert found(rows, "accuracy").verdict == HOLDS
    assert found(rows, "loss").verdict == FAILS
    assert found(rows, "loss").interval.estimate == pytest.approx(4, abs=0.01)


READINGS = [(0.0, HOLDS, FAILS), (1.0, FAILS, HOLDS), (0.5, FAILS, FAILS), (2.0, FAILS, FAILS)]


@pytest.mark.parametrize(("place", "sure", "calibrated"), READINGS)
def test_the_place_of_a_loss_between_its_readings_is_found(place: float, sure: str, calibrated: str) -> None:
    """A loss that is a known mixture of the two readings has that place; above 1 the network is said to be too sure."""
    accuracy = rises()
    first = (1 - accuracy) * 10 / 9 * math.log(10)
    loss = first + place * (calibrated_loss(accuracy, 10) - first)
    rows = reading(arrays(table("top", accuracy, loss, noise=1e-4), classes_count=10), Options(), "top").verdicts
    assert found(rows, "sure or uniform", "top").interval.estimate == pytest.approx(place, abs=0.01)
    assert found(rows, "sure or uniform", "top").verdict == sure
    assert found(rows, "calibrated", "top").verdict == calibrated
    assert ("more sure than it is right" in rows[0].sentence) == (place > 1.25)


def test_a_side_at_chance_has_no_reading() -> None:
    """At chance both readings are ln K."""
    data = arrays(table("top", np.full(len(STEPS), 0.1), np.full(len(STEPS), 2.3)), classes_count=10)
    row = reading(data, Options(), "top").verdicts[0]
    assert row.verdict == NOT_APPLICABLE
    assert "hardly learned" in row.sentence


@pytest.mark.parametrize(("fall", "verdict"), [(0.0, HOLDS), (0.03, CANNOT_TELL), (0.1, FAILS)])
def test_a_fall_is_measured_without_the_luck_of_choosing_it(fall: float, verdict: str) -> None:
    """Noise alone is no fall; a fall of 0.1 is found, with its size."""
    accuracy = rises(onset=2) - fall * (STEPS > 300)
    data = arrays(table("top", accuracy, np.zeros(len(STEPS)), noise=0.01), classes_count=10)
    row = found(monotonicity(data, Options()).verdicts, "accuracy", "top")
    assert row.verdict == verdict
    if verdict == FAILS:
        assert row.interval.estimate == pytest.approx(0.1, abs=0.02)


def test_too_few_steps_show_no_fall() -> None:
    """Five steps have no two stretches of three."""
    few = table("top", rises(), np.zeros(len(STEPS)))
    rows = monotonicity(arrays(few[few["step"] < 5], classes_count=10), Options()).verdicts
    assert found(rows, "accuracy", "top").sentence == "monotonicity of the top: 5 steps; 6 are needed to see a fall"


def test_a_loss_that_rises_is_seen_beside_an_accuracy_that_does_not_fall() -> None:
    """Overconfidence late in training: the loss fails, the accuracy holds."""
    data = arrays(table("bottom", rises(), 2.3 - 1.5 * rises() + 0.6 * (STEPS > 300)), classes_count=10)
    rows = monotonicity(data, Options()).verdicts
    assert found(rows, "accuracy", "bottom").verdict == HOLDS
    assert found(rows, "loss", "bottom").verdict == FAILS
    assert found(rows, "accuracy", "top").verdict == NOT_APPLICABLE


def test_a_side_that_is_known_from_the_start_has_no_reading() -> None:
    """At accuracy 1 both readings are 0."""
    data = arrays(table("top", np.ones(len(STEPS)), np.zeros(len(STEPS)), noise=0.0), classes_count=10)
    row = reading(data, Options(), "top").verdicts[0]
    assert row.verdict == NOT_APPLICABLE
    assert "so well known that the readings agree" in row.sentence
