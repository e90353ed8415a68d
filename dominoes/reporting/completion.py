"""What results lack of fits, bands and comparisons is computed here, and noted where it cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from dominoes.errors import CurvesError
from dominoes.reporting.results import Results
from dominoes.runs.parameters import read_joint
from dominoes.tables import CURVES, DEAL
from dominoes.theory.comparison import compare_groups
from dominoes.theory.fits import table
from dominoes.theory.sweep_comparison import compare_sweep
from dominoes.theory.verdicts import Comparison, join_comparisons

# Specs up to which tables by class and picture by picture are read for what is judged: they are most of what a run leaves.
_CROSSED = 40


def _groups_alone(curves: pd.DataFrame) -> pd.DataFrame:
    further = [name for name in ("reliability_top", "reliability_bottom", DEAL) if name in curves.columns]
    return curves[[*CURVES, *further, "group"]]


def with_bands(results: Results) -> tuple[Results, str]:
    """The results with the comparator's ratios over time (`verdicts.BANDS`) and its rows on the specs that are drawn, and why there are
    none, if so."""
    if not len(results.curves):
        return results, "no curves"
    if results.classes_count is None:
        return results, "the number of classes is not known"
    # What the questions are answered from, and no more: this is asked of every group that is drawn.
    table = results.drawn_curves
    table = table[(table["split"] == "test") & table["kind"].isin(["top", "bottom", "both", "conflict"])]
    shown = set(table["run"])
    folders = {run.folder for run in results.runs if run.folder is not None and run.id in shown}
    whole = len(results.drawn) <= _CROSSED
    drawn = dataclasses.replace(results, by_class=tuple(each for each in results.by_class if not isinstance(each, Path) or each in folders))
    try:
        found = compare_groups(
            _groups_alone(results.with_known(table)),
            drawn.classes if whole else None,
            joint=_crossed(results, shown) if whole else None,
            by=["group"],
            classes_count=results.classes_count,
            questions=("learned first", "doubles", "conflicts", "pictures"),
        )
    except CurvesError as error:
        return results, str(error)
    bands, judged = (table.assign(group=table["group"].astype(str).str.removeprefix("group=")) for table in (found.bands, found.table))
    notes = results.notes
    if not whole:
        told = f"the {len(results.drawn)} drawn specs are judged from their curves alone"
        notes = (*notes, f"{told}, without the tables by class and picture by picture: --fit, and 'dominoes compare', take these in")
    return dataclasses.replace(results, bands=bands, judged=judged, notes=notes), ""


def _crossed(results: Results, shown: set[str]) -> pd.DataFrame | None:
    """Answers of some runs crossed picture by picture; None where one lacks them."""
    return read_joint([run.folder for run in results.runs if run.folder is not None and run.id in shown])


def complete(results: Results) -> Results:
    """The results with fits and a comparison made from their own curves, where files hold none. One pattern is fitted, in time and in
    log time."""
    if not len(results.curves) or results.classes_count is None:
        return results
    K, notes = results.classes_count, list(results.notes)
    fits, comparison = results.fits, results.comparison
    if fits is None:
        usable = results.curves[list(CURVES)].dropna(subset=["loss", "accuracy"])
        fits = table.fit_table(usable, families=("logistic", "logistic-log"), chance=1 / K)
    if comparison is None:
        parts: list[Comparison] = []
        try:
            crossed = _crossed(results, set(results.curves["run"]))
            whole = _groups_alone(results.with_known(results.curves))
            parts.append(compare_groups(whole, results.classes, joint=crossed, by=["group"], classes_count=K))
            if results.fields:
                parts.append(_across(results, K, notes))
        except CurvesError as error:
            notes.append(f"not compared: {error}")
        if parts:
            comparison = join_comparisons(parts).table
            comparison["group"] = comparison["group"].str.removeprefix("group=")
    return dataclasses.replace(results, fits=fits, comparison=comparison, notes=tuple(notes))


def _across(results: Results, K: int, notes: list[str]) -> Comparison:
    """The comparison across the sweep, with the yardstick where it covers the sweep."""

    def compared(yardstick: pd.DataFrame | None) -> Comparison:
        return compare_sweep(results.with_known(results.curves), by=results.fields, classes_count=K, simplicity=yardstick, group="sweep")

    if results.simplicity is None:
        return compared(None)
    try:
        return compared(results.simplicity)
    except CurvesError as error:
        notes.append(f"compared without the yardstick: {error}")
        return compared(None)
