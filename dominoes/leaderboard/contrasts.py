"""Contrasts: what one field does to one side, as signed differences of late accuracy and onset between two specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes.arrays import FloatArray
from dominoes.leaderboard import covariance, tasks
from dominoes.leaderboard.edition import Edition, SpecRuns
from dominoes.leaderboard.scale import backward, forward
from dominoes.leaderboard.score import ScoredCell, residuals
from dominoes.leaderboard.tasks import SpecContrast
from dominoes.leaderboard.windows import window
from dominoes.theory.windows import WINDOWS

# Below this, late accuracy (logits) and log onset are the same.
_LEAST_SD = 0.02


@dataclass(frozen=True)
class Difference:
    """A measured contrast: units (U, 2) of (late accuracy in logits, log onset), high − low; (2,) variances of their mean."""

    units: FloatArray
    variance: FloatArray


def measured_contrasts(edition: Edition, contrasts: Sequence[SpecContrast]) -> dict[str, Difference]:
    """All contrasts of an edition by name; variances over units are shrunk to their pool over the contrasts.

    Units of the two specs are paired by rank, which costs nothing where they share seeds and is no worse than chance where not.
    """
    pairs = {}
    for contrast in contrasts:
        low, high = (_of_units(edition, key, contrast.side) for key in (contrast.low, contrast.high))
        count = min(len(low), len(high))
        pairs[cell_name(contrast)] = high[:count] - low[:count]
    dof = sum(len(units) - 1 for units in pairs.values())
    squares = sum((((units - units.mean(axis=0)) ** 2).sum(axis=0) for units in pairs.values()), np.zeros(2))
    pool = np.maximum(squares / dof if dof else np.ones(2), _LEAST_SD**2)
    found = {}
    for contrast in contrasts:
        units = pairs[cell_name(contrast)]
        own = ((units - units.mean(axis=0)) ** 2).sum(axis=0)
        each = np.maximum((own + covariance.PRIOR * pool) / (len(units) - 1 + covariance.PRIOR), _LEAST_SD**2)
        one_deal = any(len(set(edition.arrays[key].deals)) == 1 for key in (contrast.low, contrast.high))
        deal = covariance.DEALS_TO_SEEDS * each if one_deal else 0.0
        found[cell_name(contrast)] = Difference(units, each / len(units) + deal)
    return found


def cell_name(contrast: SpecContrast) -> str:
    """The name of a contrast's cell."""
    return f"{contrast.low[0]} {contrast.field} {contrast.low[1]} {contrast.high[1]} {contrast.side}"


def density(target: Difference, expected: FloatArray) -> ScoredCell:
    """L of a forecast difference (2,), nats per number, as `score.density`."""
    residual = target.units.mean(axis=0) - expected
    value = -float((np.log(2 * np.pi * target.variance) + residual**2 / target.variance).sum()) / 4
    influence = -((target.units - target.units.mean(axis=0)) @ (residual / target.variance)) / 2
    return ScoredCell(value, influence)


def ceiling(target: Difference) -> ScoredCell | None:
    """L of what other seeds and deals predict, as `score.ceiling`."""
    count = len(target.units)
    if count < 2:
        return None
    each = -(np.log(2 * np.pi * target.variance) + residuals(target.units) ** 2 / target.variance).sum(axis=1) / 4
    return ScoredCell(float(each.mean()), each - each.mean())


def forecast(edition: Edition, contrast: SpecContrast, rows: pd.DataFrame) -> FloatArray:
    """(2,) the difference that forecast curves of both specs make, from the rows of one fold."""
    found = []
    for key in (contrast.low, contrast.high):
        of_spec = rows[(rows["study"] == key[0]) & (rows["spec"] == key[1]) & (rows["kind"] == contrast.side)].sort_values("step")
        runs = edition.arrays[key]
        found.append(
            features(of_spec["mean"].to_numpy(float), runs.steps[runs.steps > 0], _late(runs, edition.classes), runs.n, edition.classes)
        )
    return np.asarray(np.subtract(found[1], found[0]))


def sizes(differences: Mapping[str, Difference]) -> pd.DataFrame:
    """The measured contrasts in SD of the contrast, one row each: what there is to predict."""
    rows = []
    for cell, each in differences.items():
        mean, sd = each.units.mean(axis=0), np.sqrt(each.variance)
        rows.append({"contrast": cell, "late": mean[0], "late_sd": mean[0] / sd[0], "onset": mean[1], "onset_sd": mean[1] / sd[1]})
    return pd.DataFrame(rows)


def _of_units(edition: Edition, key: tasks.Key, side: str) -> FloatArray:
    """(U, 2): late accuracy in logits and log onset of every unit of one side."""
    runs = edition.arrays[key]
    at = np.flatnonzero(runs.steps > 0)
    late = _late(runs, edition.classes)
    values = backward("accuracy", covariance.units(runs, (side, "accuracy"), at).values)
    return np.array([features(curve, runs.steps[at], late, runs.n, edition.classes) for curve in values])


def _late(runs: SpecRuns, classes: int) -> NDArray[np.bool_]:
    late = window(runs, classes)[runs.steps > 0] == len(WINDOWS) - 1
    late[-1] = True
    return np.asarray(late)


def features(curve: FloatArray, steps: FloatArray, late: NDArray[np.bool_], n: float, classes: int) -> tuple[float, float]:
    """Late accuracy in logits, and the log of the step at which half of the way from chance to it is passed.

    A curve that never leaves chance has its onset at the last step.
    """
    last = float(np.mean(curve[late]))
    half = 1 / classes + (last - 1 / classes) / 2
    rising = np.maximum.accumulate(curve)
    level = float(forward("accuracy", np.array([last]), n)[0])
    if last <= 1 / classes or rising[-1] < half:
        return level, float(np.log(steps[-1]))
    first = int((rising >= half).argmax())
    if first == 0:
        return level, float(np.log(steps[0]))
    share = (half - rising[first - 1]) / max(rising[first] - rising[first - 1], 1e-12)
    return level, float(np.log(steps[first - 1]) + share * (np.log(steps[first]) - np.log(steps[first - 1])))
