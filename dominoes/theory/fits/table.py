"""Every curve of a table fitted with every family: one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dominoes import tables
from dominoes.errors import FitError
from dominoes.theory.fits.curve import METRICS, SHAPES, fit_all
from dominoes.theory.fits.families import is_brought_family
from dominoes.theory.fits.records import CurveArrays

#: Columns of the table of `fit_table`; those of swept parameters follow.
FITS = (
    *("run", "seed", "split", "kind", "metric", "family", "time", "n_points", "ceiling", "ceiling_se", "speed", "speed_se"),
    *("onset", "onset_se", "floor", "rmse", "deviance", "status"),
)


def fit_table(
    curves: pd.DataFrame,
    *,
    families: Sequence[str] = SHAPES,
    metrics: Sequence[str] = METRICS,
    chance: float | None = 0.1,
    name: str = "the table",
) -> pd.DataFrame:
    """Fit every (run, split, kind, metric) of a table of learning curves with every family.

    Args:
        curves: long form (see `tables.CURVES`); further columns that are constant within each run, the swept parameters, are carried over.
        families: of SHAPES, or names of the registry.
        metrics: of METRICS. Accuracies are fitted by binomial deviance with the table's n, losses by least squares.
        chance: 1/K (see `fit_curve`).
        name: of the table, in errors.

    Returns the columns FITS, then the swept ones; one row a curve and family, in the order of the runs in the table. NaN where nothing
    could be estimated; `status` says why. The names of further columns that vary within a run, and so belong to no fit, are in
    `.attrs["left_out"]`.

    Raises CurvesError on a table that breaks its contract, FitError on an unknown family or metric.
    """
    table = tables.bounded(tables.check_table(curves, name=name), name=name)
    for name, given, known in (("family", families, SHAPES), ("metric", metrics, METRICS)):
        unknown = [one for one in given if one not in known and not (name == "family" and is_brought_family(one))]
        if unknown:
            raise FitError(f"{name} is {unknown[0]!r}, expected one of {', '.join(known)}")
    if chance is not None and not 0 < chance < 1:
        raise FitError(f"chance is {chance}, expected a share between 0 and 1, or None to fit the level before learning")
    further = [column for column in table.columns if column not in tables.CURVES]
    varying = tables.of_rows(table, further)
    swept = [column for column in further if column not in varying]
    groups = [table.iloc[rows] for rows in table.groupby(["run", "split", "kind"], sort=False).indices.values()]
    # CurveArrays on one grid are fitted side by side: the same numbers, several times faster.
    alike: dict[bytes, list[int]] = {}
    for number, group in enumerate(groups):
        alike.setdefault(group["step"].to_numpy(float).tobytes(), []).append(number)
    rows: dict[tuple[int, int, int], dict[str, object]] = {}
    for numbers in alike.values():
        steps = groups[numbers[0]]["step"].to_numpy(float)
        examples = np.stack([groups[number]["n"].to_numpy(float) for number in numbers])
        for m, metric in enumerate(metrics):
            values = np.stack([groups[number][metric].to_numpy(float) for number in numbers])
            rising = metric == "accuracy"
            floor = chance if chance is None or rising else -math.log(chance)
            batch = CurveArrays(steps, values, examples if rising else None, floor, rising)
            for f, family in enumerate(families):
                for number, fit in zip(numbers, fit_all(batch, family), strict=True):
                    first = groups[number].iloc[0]
                    row = {column: first[column] for column in (*FITS[:4], *swept)}
                    rows[number, m, f] = row | {column: getattr(fit, column) for column in FITS[4:]}
    result = pd.DataFrame([rows[key] for key in sorted(rows)], columns=[*FITS, *swept])
    result.attrs["left_out"] = varying
    return result
