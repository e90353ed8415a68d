"""Halves that are wrong now and then: a pattern answers the class that is shown, and what passes the reliability is learned by heart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated_truths import Truth, curves, sweep

from dominoes.theory.comparison import compare
from dominoes.theory.intervals import FAILS, HOLDS, NOT_APPLICABLE
from dominoes.theory.sweep_comparison import compare_sweep

RELIABILITY, K = 0.8, 10


def table(by_heart: float = 0.0, seeds: int = 4) -> pd.DataFrame:
    """Test curves of a simulation, and training curves on the top by enumeration: p fires, the label is shown in ρ of the cases, and
    `by_heart` of the wrong halves are answered with their label from step 100 on."""
    generator = np.random.default_rng(0)
    test, _ = curves(Truth(points=40), seeds)
    rows = []
    for _, own in test[test["kind"] == "top"].groupby("run"):
        step = own["step"].to_numpy()
        p = 0.95 / (1 + (np.maximum(step, 1e-9) / 30) ** -1.5)
        learned = by_heart * (step > 100)
        shown = p * (1 - (1 - RELIABILITY) * learned) + (1 - p) / K
        label = RELIABILITY * p + (1 - p) / K + (1 - RELIABILITY) * p * learned
        noise = generator.normal(scale=0.004, size=(2, len(step)))
        rows.append(own.assign(split="train", accuracy=np.clip(label + noise[0], 0, 1), agree_top=np.clip(shown + noise[1], 0, 1)))
    return pd.concat([test, *rows], ignore_index=True).assign(reliability_top=RELIABILITY, reliability_bottom=1.0)


@pytest.mark.parametrize(("by_heart", "label", "ceiling"), [(0.0, HOLDS, HOLDS), (0.9, FAILS, FAILS)])
def test_what_is_learned_by_heart_is_told_from_what_a_pattern_answers(by_heart: float, label: str, ceiling: str) -> None:
    """Curves that a pattern makes hold; curves that pass the ceiling ρ, as only single pictures' labels can, fail."""
    found = compare(table(by_heart), classes_count=K, questions=["reliability"]).table
    late = found[found["window"] == "late"].set_index("model")
    assert set(found["side"]) == {"top"}
    assert late.loc["label", "verdict"] == label
    assert late.loc["ceiling", "verdict"] == ceiling
    assert late.loc["ceiling", "expected"] == RELIABILITY


def test_windows_without_steps_say_so() -> None:
    """A curve that is measured twice in its rise has a row there that says why it is not judged; test curves of other steps too."""
    whole = table()
    train = whole["split"] == "train"
    keep = ~train | (whole["step"] < 8) | (whole["step"] > 200)
    found = compare(whole[keep], classes_count=K, questions=["reliability"]).table
    rise = found[found["window"] == "rise"].iloc[0]
    assert rise["verdict"] == NOT_APPLICABLE
    assert "no steps of the curve on training dominoes lie there, too few to judge" in rise["sentence"]
    shown = found[found["model"] == "shown class"].iloc[0]
    assert shown["verdict"] == NOT_APPLICABLE
    assert "test curves have other seeds or steps than those on training dominoes" in shown["sentence"]


def test_full_reliability_has_no_rows() -> None:
    """Where every half is right there is nothing to predict."""
    full = table().assign(reliability_top=1.0)
    assert not len(compare(full, classes_count=K, questions=["reliability", "empties"]).table.query("question == 'reliability'"))


def test_a_sweep_over_reliability_has_rows() -> None:
    """Curves against the class shown that keep their level hold; a level that falls with reliability fails."""
    truth = Truth(points=30, seed_spread=0.05)
    swept = sweep(truth, [(0.5, 0.5)], seeds=4).drop(columns=["prevalence_top", "prevalence_bottom"])
    for loss, verdict in ((0.0, HOLDS), (0.3, FAILS)):
        parts = []
        for value in (0.6, 0.8, 1.0):
            part = swept.assign(reliability_top=value, run=swept["run"] + str(value))
            lower = (part["kind"] == "top") * loss * (1 - value) / 0.4 * (part["accuracy"] - 0.1)
            parts.append(part.assign(accuracy=part["accuracy"] - lower))
        found = compare_sweep(pd.concat(parts, ignore_index=True), classes_count=K, questions=["reliability"]).table
        row = found[(found["model"] == "accuracy") & (found["window"] == "late") & (found["side"] == "top")].iloc[0]
        assert row["verdict"] == verdict
