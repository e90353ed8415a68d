"""Editions whose truth is known: curves by formula, with runs scattered around them on the scale of the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dominoes.arrays import FloatArray
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.scale import backward, forward

K = 10
# Of every curve of every run around the truth, in logits or log nats.
SD = 0.1
STEPS = np.unique(np.round(np.geomspace(1, 376, 24)))


def dials(prevalence_top: float, prevalence_bottom: float = 0.5, both: float | None = None, **more: Any) -> dict[str, Any]:
    """Dials of one spec; D = A C if it is not given."""
    shared = prevalence_top * prevalence_bottom if both is None else both
    found = {"dominoes": 6000, "prevalence_top": prevalence_top, "prevalence_bottom": prevalence_bottom, "both": shared}
    found |= {"empty": 1 - prevalence_top - prevalence_bottom + shared, "ratio": prevalence_top / prevalence_bottom}
    return found | {"reliability_top": 1.0, "reliability_bottom": 1.0, "model": "detector", "lr": 0.02} | more


def truth(spec: Mapping[str, Any], steps: FloatArray) -> dict[tuple[str, str], FloatArray]:
    """Independent firing with equal usage; onsets as 1/prevalence, and ceilings of the bottom that fall with D."""
    with np.errstate(divide="ignore"):
        p = 0.95 / (1 + (np.maximum(steps, 1e-9) * spec["prevalence_top"] / 8) ** -1.6)
        ceiling = 0.5 * float(spec["reliability_bottom"]) - 0.3 * spec["both"]
        q = ceiling / (1 + (np.maximum(steps, 1e-9) * spec["prevalence_bottom"] / 25) ** -1.2)
    guess = (1 - p) * (1 - q) / K
    found = {("top", "accuracy"): p + (1 - p) / K, ("bottom", "accuracy"): q + (1 - q) / K}
    found |= {("top", "loss"): (1 - p) * math.log(K), ("bottom", "loss"): (1 - q) * math.log(K)}
    found |= {("both", "accuracy"): 1 - (1 - p) * (1 - q) * (K - 1) / K, ("both", "loss"): (1 - p) * (1 - q) * math.log(K)}
    found |= {("conflict", "agree_top"): p * (1 - q / 2) + guess, ("conflict", "agree_bottom"): q * (1 - p / 2) + guess}
    found["conflict", "neither"] = (K - 2) * guess
    return found | {("empty", "accuracy"): np.full(len(steps), 1 / K)}


def table(
    specs: Sequence[Mapping[str, Any]], seeds: int, *, seed: int = 0, sd: float = SD, n: int = 4000, deals: bool = True, law: Any = truth
) -> pd.DataFrame:
    """Curves of `seeds` runs of each spec, as `dominoes sweep export` writes them.

    Around the law every curve of every run is moved, on the scale of the score, by a Gaussian process of ln t with standard deviation sd.
    """
    rng = np.random.default_rng(seed)
    steps = np.concatenate([[0.0], STEPS])
    logs = np.log(STEPS)
    root = np.linalg.cholesky(sd**2 * (0.8 * np.exp(-np.abs(np.subtract.outer(logs, logs))) + 0.2 * np.eye(len(logs))))
    head = {"step": steps.astype(int), "epoch": steps / 94, "samples": steps * 64}
    columns: dict[str, list[Any]] = {}
    for place, spec in enumerate(specs):
        expected = law(spec, steps)
        for run in range(seeds):
            moved = {}
            for (kind, metric), curve in expected.items():
                scattered = curve.copy()
                if kind != "empty":
                    scattered[1:] = backward(metric, forward(metric, curve[1:], 1e9) + root @ rng.standard_normal(len(logs)))
                moved[kind, metric] = scattered
            over = np.maximum(moved["conflict", "agree_top"] + moved["conflict", "agree_bottom"], 1.0)
            for kind in ("top", "bottom", "both", "conflict", "empty"):
                accuracy = moved.get((kind, "accuracy"), moved["conflict", "agree_top"] / over)
                agree = {side: accuracy if kind in (side, "both") else np.full(len(steps), np.nan) for side in ("top", "bottom")}
                if kind == "conflict":
                    agree = {side: moved["conflict", f"agree_{side}"] / over for side in ("top", "bottom")}
                row = {
                    "run": f"{seed}-{place:03d}-{run}",
                    "seed": run,
                    "split": "test",
                    "kind": kind,
                    "n": n,
                    "deal_seed": run if deals else 0,
                }
                row |= head | {"loss": moved.get((kind, "loss"), np.full(len(steps), math.log(K))), "accuracy": accuracy}
                for name, value in (row | {f"agree_{side}": values for side, values in agree.items()} | dict(spec)).items():
                    columns.setdefault(name, []).append(np.broadcast_to(np.asarray(value), len(steps)))
    return pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})


def edition(seeds: int = 6, **more: Any) -> Edition:
    """A study of eight prevalences of the top."""
    specs = [dials(share) for share in (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.75, 0.9)]
    return editions.make_edition({"prevalence": table(specs, seeds, **more)}, "simulated")


class Truth:
    """The law that the curves were drawn from, as a theory; `band` states a 90 % band of so many logits (log nats) on either side."""

    def __init__(self, band: float | None = None, law: Any = truth):
        self.band, self.law = band, law

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None:
        """Nothing to fit."""

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        """The law at the asked steps."""
        steps = np.unique(asked["step"].to_numpy(float))
        known = self.law(spec, steps)
        places = np.searchsorted(steps, asked["step"].to_numpy(float))
        mean = np.array([known[kind, metric][place] for kind, metric, place in zip(asked["kind"], asked["metric"], places, strict=True)])
        if self.band is None:
            return asked.assign(mean=mean)
        metric = np.where(asked["metric"] == "loss", "loss", "accuracy")
        ends = {}
        for name, moved in (("q05", -self.band), ("q95", self.band)):
            ends[name] = [
                float(backward(each, forward(each, np.array(value), 1e9) + moved)) for each, value in zip(metric, mean, strict=True)
            ]
        return asked.assign(mean=mean, **ends)


#: An instance where a class is expected.
MADE = Truth()
