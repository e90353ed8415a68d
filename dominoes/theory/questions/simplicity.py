"""A sweep by its yardstick: what was dialled on a side gives way to what was measured of it alone: code length, learning time, or the
local learning coefficient at some localisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from dominoes import dials
from dominoes.errors import CurvesError
from dominoes.spec import SIDES
from dominoes.tables import ALL, SIMPLICITY, UNREACHED
from dominoes.theory.intervals import Interval, SeedSpread
from dominoes.theory.questions.competition import competes, of_field
from dominoes.theory.questions.laws import law
from dominoes.theory.sweep_curves import SweepCurves, arranged
from dominoes.theory.verdicts import Answer, Options, gathered

# Rank correlation from which on the yardstick is said to order the onsets.
_ORDERED = 0.9
# Three points come in one order by chance in one case of six, four in one of 24.
_FEWEST = 4


# What of the yardstick onsets are held against: name of the field, and quantity in simplicity.csv.
YARDSTICKS = {"code_length": "code length", "solo_time": "samples to half"}
_UNITS = {"code_length": "nats per label", "solo_time": "samples"}
# The same of learning coefficients, whose localisation follows.
COEFFICIENT = "learning_coefficient_"
_COEFFICIENT = "learning coefficient at gamma "


def yardsticks_in(table: pd.DataFrame | None) -> dict[str, str]:
    """Which yardsticks a table (columns of simplicity.csv) has: name of the field to quantity; coefficients from the widest localisation
    (the smallest γ) to the narrowest."""
    if table is None:
        return {}
    there = set(table["quantity"])
    gammas = sorted(float(name.removeprefix(_COEFFICIENT)) for name in there if name.startswith(_COEFFICIENT))
    coefficients = {f"{COEFFICIENT}{gamma:g}": f"{_COEFFICIENT}{gamma:g}" for gamma in gammas}
    return {name: quantity for name, quantity in (YARDSTICKS | coefficients).items() if quantity in there}


def of_coefficients(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Local learning coefficients as a yardstick: rows of simplicity.csv, a mean over seeds for each setting and localisation.

    Args:
        table: columns of llc.csv (`tables.read_llc`) of networks that learned one side alone, sampled on the dominoes of that side
            (`dominoes llc --restrict`), with `source_<side>` and `transform_<side>`. Of each run the last checkpoint counts.
        level: of the intervals over seeds.

    Where an estimate has not converged for every seed, the row's status is UNREACHED, as of a time that not every seed came to. Raises
    CurvesError if no row is of a side alone, or its setting is not said.
    """
    found = []
    for side in SIDES:
        own = table[(table["sampled"] == side) & (table["kind"] == side)]
        if not len(own):
            continue
        settings = [f"source_{side}", f"transform_{side}"]
        if missing := [name for name in settings if name not in own.columns]:
            raise CurvesError(
                f"the coefficients of the {side} do not say what was learned: no column {missing[0]}; make them anew with 'llc'"
            )
        last = own[own["step"] == own.groupby("run")["step"].transform("max")]
        for (source, transforms, gamma), rows in last.groupby([*settings, "gamma"], sort=False):
            stands = bool((rows["status"] == "converged").all())
            values = rows["estimate"].to_numpy(float)
            mean = SeedSpread(len(values), level).mean(values) if stands else Interval(np.nan, np.nan, np.nan)
            row = {"source": source, "transforms": transforms, "side": side, "quantity": f"{_COEFFICIENT}{gamma:g}", "seed": ALL}
            row |= {"estimate": mean.estimate, "low": mean.low, "high": mean.high, "level": level, "n_seeds": len(rows)}
            found.append(row | {"status": "ok" if stands else UNREACHED})
    if not found:
        raise CurvesError(
            "no learning coefficient is of a side alone; expected rows that were sampled on it and are of it, as 'dominoes llc --restrict "
            "top --on top' leaves them"
        )
    return pd.DataFrame(found).reindex(columns=list(SIMPLICITY))


def yardstick_field(yardstick: str, side: str) -> str:
    """Name of the field that holds one of YARDSTICKS of a side."""
    return f"{yardstick}_{side}"


def with_yardstick(data: SweepCurves, curves: pd.DataFrame, table: pd.DataFrame, yardstick: str = "code_length") -> SweepCurves:
    """The sweep with a field such as `code_length_top` in place of `source_top` and `transform_top`, where these differ, and notes on it.

    Args:
        data: arranged from `curves`.
        curves: whose columns `source_<side>` say what is on a side where all runs agree on it.
        table: columns of simplicity.csv (`tables.SIMPLICITY`); of a setting that was measured on both sides the same side's counts.
        yardstick: one of `yardsticks_in` the table.

    A sweep that dials nothing comes back as it is, with a note. Raises CurvesError if a setting was not measured, or more than once.
    """
    quantity = YARDSTICKS.get(yardstick, yardstick.replace(COEFFICIENT, _COEFFICIENT))
    unit = _UNITS.get(yardstick, "no unit")
    lengths = table[(table["quantity"] == quantity) & (table["seed"] == ALL)]
    fields, values = list(data.fields), dict(data.values)
    notes: list[str] = []
    missing: set[int] = set()
    for side in SIDES:
        dialled = [name for name in (f"source_{side}", f"transform_{side}") if name in fields]
        if not dialled:
            continue
        names = {str(name) for name in curves[f"source_{side}"]} if f"source_{side}" in curves.columns else set()
        alone = names.pop() if len(names) == 1 else None
        found = []
        for point in zip(*(values[name] for name in dialled), strict=True):
            setting = dict(zip(dialled, map(str, point), strict=True))
            found.append(_one(lengths, quantity, setting.get(f"source_{side}", alone), setting.get(f"transform_{side}"), side))
        reach = float(np.max([row["high"] / row["estimate"] - 1 for row in found if np.isfinite(row["estimate"])], initial=0.0))
        known = "of one seed, it has no intervals" if np.isnan(reach) else f"its intervals reach {100 * reach:.0f} % up at most"
        notes.append(
            f"simplicity: {yardstick_field(yardstick, side)}, {unit}, stands for {' and '.join(dialled)}; the laws take it as "
            f"exact ({known})"
        )
        # The mean over those seeds that got there would make what is hard look easy.
        missing |= {point for point, row in enumerate(found) if str(row["status"]) == UNREACHED or not np.isfinite(row["estimate"])}
        fields = [yardstick_field(yardstick, side) if name == dialled[0] else name for name in fields if name not in dialled[1:]]
        values[yardstick_field(yardstick, side)] = tuple(float(row["estimate"]) for row in found)
    if tuple(fields) == data.fields:
        notes.append("simplicity: no side's source or transforms differ between the runs; the yardstick is not used")
    if missing:
        notes.append(f"simplicity: {len(missing)} points left out, where not every seed of the yardstick has {quantity}")
    kept = [point for point in range(len(data.curves["top"][0])) if point not in missing]
    if len(kept) < 2:
        return replace(data, notes=(*notes, f"simplicity: no two points have {quantity}; it is not used"))
    return replace(
        data,
        fields=tuple(fields),
        values={name: tuple(values[name][point] for point in kept) for name in fields},
        curves={side: tuple(tuple(row[point] for point in kept) for row in rows) for side, rows in data.curves.items()},
        notes=tuple(notes),
        dealt={name: values[kept] for name, values in data.dealt.items()},
    )


def _one(lengths: pd.DataFrame, quantity: str, source: str | None, transforms: str | None, side: str) -> pd.Series:
    wanted = dials.join_transforms(()) if transforms is None else transforms
    rows = lengths[lengths["transforms"] == wanted]
    rows = rows if source is None else rows[rows["source"] == source]
    own = rows[rows["side"] == side]
    rows = own if len(own) else rows
    name = f"{source or 'a source'} ({wanted})"
    if not len(rows):
        raise CurvesError(f"the yardstick has no {quantity} of {name}; measure it with 'dominoes simplicity', or compare without it")
    if len(rows) > 1:
        raise CurvesError(f"the yardstick has {len(rows)} rows of {quantity} of {name}; expected one, of one training and one source")
    return rows.iloc[0]


def onsets(curves: pd.DataFrame, classes: pd.DataFrame | None, table: pd.DataFrame, by: Sequence[str] | None = None) -> pd.DataFrame:
    """Onsets of both sides against the code length of the side that is dialled, for a figure.

    Columns: `dialled` side, `setting` in words, `length` in nats per label, `onset` of `side` (NaN: not learned), and the `time` that
    counts it; one row a point, side and replicate. Arguments as in `sweep_comparison.compare_sweep`. Raises CurvesError if nothing is
    dialled.
    """
    before = arranged(curves, classes, by=by)
    after = with_yardstick(before, curves, table)
    rows = []
    for dialled in SIDES:
        name = yardstick_field("code_length", dialled)
        lengths = after.numbers(name) if name in after.fields else None
        if lengths is None:
            continue
        words = [name for name in (f"source_{dialled}", f"transform_{dialled}") if name in before.fields]
        settings = [" ".join(map(str, point)) for point in zip(*(before.values[name] for name in words), strict=True)]
        for side in SIDES:
            for replicate in after.quantity(side, "onset"):
                rows += [(dialled, *point, side, after.time) for point in zip(settings, lengths, replicate, strict=True)]
    if not rows:
        raise CurvesError("no side's source or transforms differ between the runs, so there are no onsets to draw against code lengths")
    return pd.DataFrame(rows, columns=["dialled", "setting", "length", "onset", "side", "time"])


def ordered(data: SweepCurves, options: Options, side: str, name: str) -> Answer:
    """Do the onsets of a side come in the order of a field of its own? Rank correlation over points, in each replicate."""
    question = "simplicity"
    onset, x = data.quantity(side, "onset"), data.numbers(name)
    learned = np.asarray(np.isfinite(onset).all(axis=0))
    groups = [points for points in data.groups(name, learned) if len(points) >= _FEWEST]
    if x is None or not groups:
        reason = f"no four points at which it is learned in every replicate differ in {name} alone"
        return options.unanswered(question, reason, data.n_seeds, side=side)
    ranks = np.array([np.mean([spearmanr(x[points], row[points]).statistic for points in groups]) for row in onset])
    found = options.spread(data.n_seeds).mean(ranks)
    # Student's interval does not know that there is nothing beyond 1.
    within = Interval(found.estimate, max(found.low, -1.0), min(found.high, 1.0)) if np.isfinite(found.low) else found
    lost = int((~learned).sum())
    also = f"{sum(map(len, groups))} points" + (f", {lost} where it is not learned are left out" if lost else "")
    row = options.judge(
        question, f"onsets of the {side} come in the order of {name}", "rank correlation", within, (_ORDERED, 1.0 + 1e-9), data.n_seeds,
        also=also, side=side, model="order", rival=name, expected=1.0,
    )  # fmt: skip
    return Answer((row,))


def yardsticks(data: SweepCurves, options: Options, yardstick: str) -> Answer:
    """Onset against the yardstick on the side that is dialled, and what that does to the other side."""
    answers = []
    for side, other in (("top", "bottom"), ("bottom", "top")):
        name = yardstick_field(yardstick, side)
        if name in data.fields:
            answers += [ordered(data, options, side, name), law(data, options, side, name, "onset")]
            answers.append(competes(data, options, other, of_field(data, other, name)))
    return gathered(answers)
