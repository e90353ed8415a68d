"""What a theory is to the leaderboard: tables in, tables out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import pandas as pd

# Columns of the curves that a theory is given: one row per (run, kind, step), metrics empty where a kind has none.
GIVEN = ("run", "kind", "step", "n", "accuracy", "loss", "agree_top", "agree_bottom", "neither")
ASKED = ("kind", "metric", "step")
QUANTILES = ("q05", "q95")


@runtime_checkable
class Theory(Protocol):
    """One theory of which curves a spec leads to; a new instance is made for every set of specs that it is fitted to.

    `fit(curves, specs)`
        curves: the test-probe curves of the specs that are given, one row per (spec, run, kind, step): the columns `spec` and GIVEN.
            `kind` is top, bottom, both, conflict or empty; `accuracy` and the `agree_` columns are shares, `neither` = 1 − agree_top −
            agree_bottom (conflicts only); `loss` in nats; step 0 is before training. Several runs of a spec differ by seed and deal.
        specs: one row a spec: the column `spec` and its dials (prevalence_top, both, reliability_bottom, lr, model, classes, ...: the
            names of `dominoes sweep export`). Both tables may be empty.

    `forecast(spec, given, asked)` -> table
        spec: the dials of one spec, by name. given: columns GIVEN, what the task shows of the very runs that are asked (one-sided curves,
            the first steps, or no rows). asked: one row per (kind, metric, step) wanted.
        Returned: the rows of `asked`, in any order, with the column `mean`, the expected value on the metric's own scale (a share, or
        nats), averaged over runs; and, if the theory has them, `q05` and `q95`, the 90 % band of the mean curve of the spec's runs.
    """

    def fit(self, curves: pd.DataFrame, specs: pd.DataFrame) -> None: ...

    def forecast(self, spec: Mapping[str, Any], given: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame: ...
