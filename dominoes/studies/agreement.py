"""Do two estimates of one number agree? By equivalence: not that no difference was found, but that it was shown to be small."""

from __future__ import annotations

import math

import pandas as pd

from dominoes.studies.quantities import DIFFERENCE, ONSETS, POINTS, RATIO
from dominoes.theory.intervals import NOT_APPLICABLE, Interval, SeedSpread

AGREES, DIFFERS, CANNOT_TELL, NO_MARGIN = "agrees", "differs", "cannot tell", "no margin"
#: Why a number is not there, or only in one of the two; `reason` of AGREEMENT.
NEVER_LEARNED, OLD_LEARNED, NEW_LEARNED = "never learned", "learned in the old runs alone", "learned in the new runs alone"
#: Columns of agreement.csv.
AGREEMENT = (
    "part", "point", "quantity", "old", "old_low", "old_high", "new", "new_low", "new_high", "scale", "difference", "difference_low",
    "difference_high", "margin", "paired", "verdict", "reason",
)  # fmt: skip
_LEVEL = 0.95


def difference(old: Interval, new: Interval, scale: str = DIFFERENCE) -> Interval:
    """New minus old of two independent estimates, or their ratio, with its interval.

    The interval is recovered from the two (Zou & Donner 2008, Statistics in Medicine 27, 1693):
    low = d − sqrt((new − new_low)² + (old_high − old)²), high alike; of a ratio in logarithms. NaN bounds where either has none, NaN
    where there is no logarithm.
    """
    if scale == RATIO:
        if not all(value > 0 for value in (old.estimate, new.estimate)):
            return Interval(math.nan, math.nan, math.nan)
        return difference(_log(old), _log(new)).exp()
    if old.triple == new.triple:
        # The same runs to the last digit, as on one type of machine: there is nothing that could vary.
        return Interval(0.0, 0.0, 0.0)
    found = new.estimate - old.estimate
    below = math.hypot(new.estimate - new.low, old.high - old.estimate)
    above = math.hypot(new.high - new.estimate, old.estimate - old.low)
    return Interval(found, found - below, found + above)


def _log(interval: Interval) -> Interval:
    return Interval(*(math.log(value) if value > 0 else math.nan for value in interval.triple))


def verdict(found: Interval, margin: float, scale: str = DIFFERENCE) -> str:
    """`agrees` where the interval of a difference lies within ± margin (of a ratio: from 1/margin to margin), `differs` where it lies
    outside, else `cannot tell`; `no margin` where none is stated."""
    if math.isnan(margin):
        return NO_MARGIN
    low, high = (1 / margin, margin) if scale == RATIO else (-margin, margin)
    return {"holds": AGREES, "fails": DIFFERS}.get(found.verdict(low, high), CANNOT_TELL)


def compared(old: pd.DataFrame, new: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Two tables of headline numbers side by side: columns AGREEMENT, in the order of `new`; what only one has is left out.

    A number that is in neither, such as the onset of a half that neither learned, is `not applicable`; where one learned it and the other
    did not, onsets cannot tell: how far apart the two are, late accuracies say. `reason` says either.

    Args:
        old, new: of `headline_numbers.headlines`.
        pairs: of `paired`: differences of runs that are in both. Where a number of a point has them its interval is over these, for
            what a seed does to both cancels; else it is that of independent estimates.
    """
    keys = ["part", "point", "quantity"]
    known = {tuple(row[name] for name in keys): row for row in old.to_dict("records")}
    within = {} if pairs is None else {key: rows["value"] for key, rows in pairs.groupby(["point", "quantity"])}
    rows = []
    for row in new.to_dict("records"):
        before = known.get(tuple(row[name] for name in keys))
        if before is None:
            continue
        values = within.get((row["point"], row["quantity"]))
        ends = [Interval(each["estimate"], each["low"], each["high"]) for each in (before, row)]
        by_pairs = values is not None and row["part"] == POINTS
        if by_pairs and values is not None:
            found = SeedSpread(len(values), _LEVEL).mean(values.to_numpy(float))
            found = found.exp() if row["scale"] == RATIO else found
        else:
            found = difference(ends[0], ends[1], row["scale"])
        said, why = _missing(str(row["quantity"]), *ends) or (verdict(found, row["margin"], row["scale"]), "")
        shown = [value for end in ends for value in end.triple]
        rows.append((*(row[name] for name in keys), *shown, row["scale"], *found.triple, row["margin"], by_pairs, said, why))
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def _missing(quantity: str, old: Interval, new: Interval) -> tuple[str, str] | None:
    """Verdict and reason where one of two estimates is no number; None where both are."""
    absent = math.isnan(old.estimate), math.isnan(new.estimate)
    if not any(absent):
        return None
    if all(absent):
        return NOT_APPLICABLE, NEVER_LEARNED if quantity in ONSETS else "not measured"
    learned, measured = (NEW_LEARNED, "new") if absent[0] else (OLD_LEARNED, "old")
    return CANNOT_TELL, learned if quantity in ONSETS else f"measured in the {measured} runs alone"


def paired(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """New minus old of runs that are in both, from two tables of `headline_numbers.of_runs`: `point`, `quantity`, `seed`, `value` (of
    onsets the difference of logarithms), averaged over the runs of a seed."""
    both = new.merge(old[["run", "quantity", "value"]], on=["run", "quantity"], suffixes=("", "_old")).dropna(subset=["value", "value_old"])
    timed = both["quantity"].str.startswith("onset")
    logs = both[["value", "value_old"]].where(
        ~timed, both[["value", "value_old"]].map(lambda value: math.log(value) if value > 0 else value)
    )
    both = both.assign(value=logs["value"] - logs["value_old"])
    return both.groupby(["point", "quantity", "seed"], sort=False)["value"].mean().reset_index()
