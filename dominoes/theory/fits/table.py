"""Every curve of a table fitted with every family: one row each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dominoes import tables
from dominoes.errors import FitError
from dominoes.theory.fits.curve import METRICS, SHAPES, fit_all
from dominoes.theory.fits.families import is_brought_family
from dominoes.theory.fits.one_seed import AT_ONCE, has_risen
from dominoes.theory.fits.records import CurveArrays

#: Columns of the table of `fit_table`; those of swept parameters follow.
FITS = (
    *("run", "seed", "split", "kind", "metric", "family", "time", "n_points", "ceiling", "ceiling_se", "speed", "speed_se"),
    *("onset", "onset_se", "floor", "rmse", "deviance", "status"),
)
# What is no float among the columns of a fit.
_TYPES: dict[str, type] = {"metric": object, "family": object, "time": object, "n_points": np.int64, "status": object}


def fit_table(
    curves: pd.DataFrame,
    *,
    families: Sequence[str] = SHAPES,
    metrics: Sequence[str] = METRICS,
    chance: float | Mapping[str, float] | None = 0.1,
    name: str = "the table",
) -> pd.DataFrame:
    """Fit every (run, split, kind, metric) of a table of learning curves with every family.

    Args:
        curves: long form (see `tables.CURVES`); further columns that are constant within each run, the swept parameters, are carried over.
            One of `run` and `seed` may be missing.
        families: of SHAPES, or names of the registry.
        metrics: of METRICS. Accuracies are fitted by binomial deviance with the table's n, losses by least squares.
        chance: 1/K (see `fit_curve`), or that of every run, by its id.
        name: of the table, in errors.

    Returns the columns FITS, then the swept ones; one row a curve and family, in the order of the runs in the table. NaN where nothing
    could be estimated; `status` says why. The names of further columns that vary within a run, and so belong to no fit, are in
    `.attrs["left_out"]`, sentences about what was done without are in `.attrs["notes"]`.

    Raises CurvesError on a table that breaks its contract, FitError on an unknown family or metric.
    """
    whole, notes = _with_runs(curves)
    table = tables.bounded(tables.check_table(whole, name=name), name=name)
    for name, given, known in (("family", families, SHAPES), ("metric", metrics, METRICS)):
        unknown = [one for one in given if one not in known and not (name == "family" and is_brought_family(one))]
        if unknown:
            raise FitError(f"{name} is {unknown[0]!r}, expected one of {', '.join(known)}")
    runs = [str(run) for run in table["run"].unique()]
    of_run = dict(chance) if isinstance(chance, Mapping) else dict.fromkeys(runs, chance)
    if unknown := [run for run in runs if run not in of_run]:
        raise FitError(f"chance has no value for run {unknown[0]}; expected one for every run, or a number")
    for each in of_run.values():
        if each is not None and not 0 < each < 1:
            raise FitError(f"chance is {each}, expected a share between 0 and 1, or None to fit the level before learning")
    further = [column for column in table.columns if column not in tables.CURVES]
    varying = tables.of_rows(table, further)
    swept = [column for column in further if column not in varying]
    values = {name: table[name].to_numpy(float) for name in ("step", "n", *metrics)}
    places = list(table.groupby(["run", "split", "kind"], sort=False, observed=True).indices.values())
    # Curves of one grid and one chance are fitted side by side: the same numbers, many times faster.
    alike: dict[tuple[bytes, float | None], list[int]] = {}
    chances = [of_run[str(table["run"].iat[rows[0]])] for rows in places]
    for number, rows in enumerate(places):
        alike.setdefault((values["step"][rows].tobytes(), chances[number]), []).append(number)
    shape = (len(places), len(metrics), len(families))
    columns: dict[str, npt.NDArray[Any]] = {name: np.empty(shape, dtype=_TYPES.get(name, float)) for name in FITS[4:]}
    for (_, level), numbers in alike.items():
        for start in range(0, len(numbers), AT_ONCE):
            some = numbers[start : start + AT_ONCE]
            rows = np.stack([places[number] for number in some])
            for m, metric in enumerate(metrics):
                rising = metric == "accuracy"
                floor = level if level is None or rising else -math.log(level)
                steps, examples = values["step"][rows[0]], values["n"][rows] if rising else None
                batch = CurveArrays(steps, values[metric][rows], examples, floor, rising)
                risen = has_risen(batch)
                for f, family in enumerate(families):
                    fits = fit_all(batch, family, risen)
                    for name, column in columns.items():
                        column[some, m, f] = [getattr(fit, name) for fit in fits]
    first = table[[*FITS[:4], *swept]].iloc[[rows[0] for rows in places]] if len(places) else table[[*FITS[:4], *swept]].iloc[:0]
    result = first.iloc[np.repeat(np.arange(len(places)), shape[1] * shape[2])].reset_index(drop=True)
    for place, (name, column) in enumerate(columns.items()):
        result.insert(4 + place, name, column.ravel())
    result.attrs |= {"left_out": varying, "notes": notes}
    return result


def _with_runs(curves: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Curves with `run` and `seed`, and a note where one of these was missing: it is made of the other, as a comparison does."""
    if "run" not in curves.columns and "seed" in curves.columns:
        names = "seed " + curves["seed"].astype(str)
        keys = [name for name in ("seed", "split", "kind", "step") if name in curves.columns]
        if curves.duplicated(keys).any():
            # A seed for each of several points.
            for field in tables.swept(curves):
                names = names + f", {field} " + curves[field].astype(str)
        return curves.assign(run=names), ["the column run is missing: runs are called by their seeds"]
    if "seed" not in curves.columns and "run" in curves.columns:
        return curves.assign(seed=pd.factorize(curves["run"])[0]), ["the column seed is missing: every run is taken as one seed"]
    return curves, []
