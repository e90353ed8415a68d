"""Kernels as dials, and what a whole run costs."""

from __future__ import annotations

import json

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
