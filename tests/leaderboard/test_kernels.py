"""Kernels as dials, and what a whole run costs."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import simulated_curves

from dominoes.leaderboard import board, kernels
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.theories import catalogue


def test_one_kernel_is_measured_of_every_network_and_look() -> None:
    """Specs that differ in prevalence share a kernel; one with another transform has its own; availability then answers every task."""
    pictures = {"source_top": "digits", "source_bottom": "textures", "model": "mlp"}
    specs = [simulated_curves.dials(share, **pictures, transform_top="none") for share in (0.2, 0.5, 0.8)]
    specs.append(simulated_curves.dials(0.5, **pictures, transform_top="contrast=0.5"))
    known = editions.make_edition({"s": simulated_curves.table(specs, 2)}, "e")
    seen: list[str] = []
    made = kernels.with_kernels(known, n=10, seeds=1, watch=seen.append)
    assert sorted(seen) == ["mlp, digits (contrast=0.5) over textures", "mlp, digits over textures"]
    assert made.digest != known.digest
    rates = made.specs.groupby("transform_top")["kernel_rates_top"].unique()
    assert rates.map(len).tolist() == [1, 1]
    assert rates.iloc[0][0] != rates.iloc[1][0]
    assert len(json.loads(made.specs["kernel_weights_bottom"].iloc[0])) <= 10
    found = board.score_theories({"availability": catalogue.THEORIES["availability"]}, made, ("neighbours", "doubles")).table
    assert (found["status"] == "").all()
    without = board.score_theories({"availability": catalogue.THEORIES["availability"]}, known, ("neighbours",)).table
    assert "measure them with 'dominoes leaderboard kernels'" in without["status"].iloc[0]


@pytest.mark.slow
def test_a_run_of_all_theories_is_cheap() -> None:
    """A fifth of 100 specs × 8 seeds takes less than a fifth of three CPU-minutes."""
    rng = np.random.default_rng(0)
    specs = [simulated_curves.dials(round(float(a), 3), round(float(c), 3)) for a, c in rng.uniform(0.1, 0.95, (20, 2))]
    known = editions.make_edition({"a": simulated_curves.table(specs[:10], 8), "b": simulated_curves.table(specs[10:], 8, seed=1)}, "e")
    begun = time.process_time()
    board.score_theories(catalogue.THEORIES, known)
    assert time.process_time() - begun < 36
