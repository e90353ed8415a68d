"""Numbers of published protocols beside ours: what each run comes to, and whether a published number holds."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dominoes.errors import SpecError
from dominoes.runs import plan
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.runs.plan import Plan
from dominoes.runs.run_folders import FinishedRun
from dominoes.spec import KINDS, PERMUTED, PROBES, RunSpec
from dominoes.studies import protocols, reproduction
from dominoes.studies.protocols import Protocol, PublishedNumber
from dominoes.theory.intervals import Interval, SeedSpread

#: Columns of values.csv, one row a run and quantity, and of published.csv, one row a number.
VALUES = ("run", "seed", "quantity", "value", "pictures")
PUBLISHED = (
    "protocol", "scale", "number", "published_low", "published_high", "spread", "estimate", "low", "high", "n_seeds", "difference",
    "difference_low", "difference_high", "at_least", "at_most", "verdict",
)  # fmt: skip
NO_VERDICT, NOT_MEASURED = "no verdict", "not measured"
_LEVEL = 0.95


class RunReading(NamedTuple):
    """A number that is read off a run, and the standard error that it has because so many test pictures were shown and no more.

    The pictures are the same for all seeds, so that no number of seeds shrinks it. 0 where it is not known (losses, margins).
    """

    value: float
    pictures: float


def share_error(share: float, n: int) -> float:
    """Standard error of a share of n pictures, √(p(1 − p)/n) with p = (share · n + 1)/(n + 2), which is not 0 where all or none were."""
    p = (share * n + 1) / (n + 2)
    return math.sqrt(p * (1 - p) / n)


def auc_error(area: float, n: int) -> float:
    """Standard error of the area under a ROC curve of n pictures, half of each class (Hanley & McNeil 1982, eq. 1)."""
    a, each = max(area, 1 - area), n / 2
    variance = a * (1 - a) + (each - 1) * (a / (2 - a) - a * a) + (each - 1) * (2 * a * a / (1 + a) - a * a)
    return math.sqrt(max(variance, 0.0)) / each


_NOTHING = RunReading(math.nan, math.nan)


def _last(table: pd.DataFrame) -> pd.DataFrame:
    last: pd.DataFrame = table[table["step"] == table["step"].max()]
    return last


def _curve(kind: str, column: str, split: str = "test") -> Callable[[FinishedRun], RunReading]:
    def find(run: FinishedRun) -> RunReading:
        table = _last(run.table())
        rows = table[(table["split"] == split) & (table["kind"] == kind)]
        if not len(rows):
            return _NOTHING
        value = float(rows[column].iloc[0])
        return RunReading(value, 0.0 if column == "loss" else share_error(value, int(rows["n"].iloc[0])))

    return find


def _measure(kind: str, measure: str) -> Callable[[FinishedRun], RunReading]:
    def find(run: FinishedRun) -> RunReading:
        table, curves = _last(run.table("measures")), run.table()
        rows = table[(table["kind"] == kind) & (table["measure"] == measure)]
        shown = curves.loc[(curves["split"] == "test") & (curves["kind"] == kind), "n"]
        if not len(rows) or not len(shown):
            return _NOTHING
        error = auc_error if measure == "auc" else share_error if "accuracy" in measure else None
        value = float(rows["value"].iloc[0])
        return RunReading(value, 0.0 if error is None else error(value, int(shown.iloc[0])))

    return find


def _lowest(accuracy: pd.Series, n: pd.Series) -> RunReading:
    worst = int(accuracy.argmin())
    return RunReading(float(accuracy.iloc[worst]), share_error(float(accuracy.iloc[worst]), int(n.iloc[worst])))


def _worst_class(kind: str) -> Callable[[FinishedRun], RunReading]:
    def find(run: FinishedRun) -> RunReading:
        table = _last(run.table("classes"))
        rows = table[table["kind"] == kind]
        return _lowest(rows["accuracy"], rows["n"])

    return find


def worst_group(run: FinishedRun) -> RunReading:
    """Of two classes, the lowest accuracy against the bottom's class over the four groups of (class of the bottom, class of the top).

    Groups with equal classes are the doubles by label, the others the conflicts by label: a conflict's label is the top's class, so with
    two classes what is not answered with it is answered with the bottom's.
    """
    table = _last(run.table("classes"))
    equal, other = (table[table["kind"] == kind] for kind in ("both", "conflict"))
    return _lowest(pd.concat([equal["accuracy"], 1 - other["accuracy"]]), pd.concat([equal["n"], other["n"]]))


def worst_group_decoded(run: FinishedRun) -> RunReading:
    """Of two classes, the lowest accuracy over the four groups of the class of the bottom as it is read off the refitted last layer.

    It is of balanced test dominoes, as many as a probe at most: a quarter of them in each group.
    """
    found = _measure("bottom", "decoded accuracy, worst group")(run)
    curves = run.table()
    shown = curves.loc[(curves["split"] == "test") & (curves["kind"] == "bottom"), "n"]
    return found if math.isnan(found.value) else RunReading(found.value, share_error(found.value, max(int(shown.iloc[0]) // 4, 1)))


#: By name, what is read off a run at its last measurement, from the test probes.
PUBLISHED_QUANTITIES: dict[str, Callable[[FinishedRun], RunReading]] = {
    "auc, standard": _measure("both", "auc"),
    "auc, top randomised": _measure("top permuted", "auc"),
    "auc, bottom randomised": _measure("bottom permuted", "auc"),
    "accuracy, top randomised": _curve("top permuted", "accuracy"),
    "accuracy, both": _curve("both", "accuracy"),
    "accuracy, bottom alone": _curve("bottom", "accuracy"),
    "conflicts answered as bottom": _curve("conflict", "agree_bottom"),
    "worst group": worst_group,
    "worst group, bottom alone": _worst_class("bottom"),
    "decoded, bottom": _measure("bottom", "decoded accuracy"),
    "worst group, decoded": worst_group_decoded,
}

#: Measures of measures.csv: of the answers (`training.further`), and of the refitted last layer (`training.decoding`).
MEASURED = (
    "margin mean", "margin lower quartile", "margin median", "margin upper quartile", "auc", "decoded accuracy",
    "decoded accuracy, worst group",
)  # fmt: skip
_OF_CURVES = re.compile(r"(train|test) (loss|accuracy|agree_top|agree_bottom) of (.+)")
_OF_MEASURES = re.compile("measure (.+) of (.+)")


def published_quantity(name: str) -> Callable[[FinishedRun], RunReading]:
    """What is read off a run at its last measurement: a key of PUBLISHED_QUANTITIES; `test accuracy of both`, that is a split, a column
    of curves.csv and a kind; or `measure auc of top permuted`, a measure of measures.csv and a kind. Raises SpecError."""
    if name in PUBLISHED_QUANTITIES:
        return PUBLISHED_QUANTITIES[name]
    tested = (*PROBES, *PERMUTED)
    if found := _OF_CURVES.fullmatch(name):
        split, column, kind = found.groups()
        if kind in (KINDS if split == "train" else tested):
            return _curve(kind, column, split)
    if (found := _OF_MEASURES.fullmatch(name)) and found[2] in tested:
        if found[1] not in MEASURED:
            near = difflib.get_close_matches(found[1], MEASURED, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise SpecError(f"quantity {name!r}: there is no measure {found[1]}{hint}; expected one of {'; '.join(MEASURED)}")
        return _measure(found[2], found[1])
    raise SpecError(
        f"quantity {name!r} is not known; expected one of {'; '.join(PUBLISHED_QUANTITIES)}; or such as 'test accuracy of both', 'train "
        f"loss of top', 'measure auc of both', of one of {', '.join(tested)} (train: {', '.join(KINDS)})"
    )


def _is_share(name: str) -> bool:
    """Whether a quantity lies between 0 and 1: accuracies, shares of answers and areas do, losses and other measures do not."""
    if found := _OF_CURVES.fullmatch(name):
        return found[2] != "loss"
    found = _OF_MEASURES.fullmatch(name)
    return found is None or found[1] == "auc" or "accuracy" in found[1]


def values(protocol: Protocol, planned: Plan, out: Path) -> pd.DataFrame:
    """What the finished runs of a protocol come to, in the plan's order: columns VALUES. Raises SpecError: a quantity is not known."""
    wanted = _quantities(protocol)
    rows = [
        (done.id, done.spec.seed, name, *reading)
        for done, _ in reproduction.finished_runs(planned, out)
        for name, find in wanted.items()
        if not math.isnan((reading := find(done)).value)
    ]
    return pd.DataFrame(rows, columns=list(VALUES))


def _quantities(protocol: Protocol) -> dict[str, Callable[[FinishedRun], RunReading]]:
    try:
        return {number.quantity: published_quantity(number.quantity) for number in protocol.about.numbers}
    except SpecError as error:
        raise SpecError(f"{protocol.name}: {error}") from error


def compared(protocol: Protocol, scale: str, found: pd.DataFrame) -> pd.DataFrame:
    """Every number of a protocol with ours beside it, from `values`: columns PUBLISHED.

    Ours is the mean over seeds with its 95 % interval (`estimate_number`); seeds of which a run is missing are left out. `holds` where
    the interval lies within the range that counts as agreement, which is stated only where a spread was published or a direction is asked
    for; `fails` where it lies outside, else `cannot tell`. Without such a range the difference from the published number is told, and
    there is `no verdict`; without runs it was `not measured`.
    """
    runs = protocol.sweeps[scale].runs
    return pd.DataFrame([_row(protocol.name, scale, number, found, runs) for number in protocol.about.numbers], columns=list(PUBLISHED))


def _row(protocol: str, scale: str, number: PublishedNumber, found: pd.DataFrame, runs: Sequence[RunSpec]) -> tuple[Any, ...]:
    ours, seeds = estimate_number(number, found, runs)
    ends = (number.published[0], number.published[-1]) if number.published else (math.nan, math.nan)
    difference = (math.nan,) * 3
    if number.published and ends[0] == ends[1]:
        difference = tuple(value - ends[0] for value in ours.triple)  # type: ignore[assignment]
    holds = number.holds if number.holds_at in (None, scale) else None
    low, high = holds or (math.nan, math.nan)
    if not seeds:
        verdict = NOT_MEASURED
    elif holds is None:
        verdict = NO_VERDICT
    else:
        verdict = ours.verdict(-math.inf if low is None else low, math.inf if high is None else high)
    return (protocol, scale, number.name, *ends, number.spread, *ours.triple, seeds, *difference, low, high, verdict)


def estimate_number(number: PublishedNumber, found: pd.DataFrame, runs: Sequence[RunSpec]) -> tuple[Interval, int]:
    """Our number with its 95 % interval, over seeds and pictures, and how many seeds have all of its terms.

    The interval ends where the number itself must: a share at 0 and 1, a difference of two at −1 and 1.

    Runs are shown the same pictures, so that these errors are taken as equal within a sum, and as independent between what is added and
    what is taken away, which is too much where both find the same pictures hard.

    Args:
        number: that is asked for. found: of `values`. runs: of the sweep, finished or not.
    """
    rows = found[found["quantity"] == number.quantity].set_index("run")
    parts, added, taken = [], 0.0, 0.0
    for term in number.terms:
        chosen = [spec for spec in runs if protocols.picks(term, spec)]
        mine = pd.DataFrame({"seed": [spec.seed for spec in chosen], "value": [rows["value"].get(spec.id, math.nan) for spec in chosen]})
        # The mean over a seed's runs needs all of them: a part of the pairs would be another number.
        parts.append(term.times * mine.groupby("seed")["value"].agg(lambda each: each.mean(skipna=False)))
        error = float(rows["pictures"].reindex([spec.id for spec in chosen]).mean())
        added, taken = added + max(term.times, 0) * error, taken + max(-term.times, 0) * error
    by_seed = pd.concat(parts, axis=1).dropna().sum(axis=1).to_numpy(float)
    if not len(by_seed):
        return Interval(math.nan, math.nan, math.nan), 0
    ours = SeedSpread(len(by_seed), _LEVEL).interval(lambda weights: weights @ by_seed, math.hypot(added, taken))
    if _is_share(number.quantity):
        lowest, highest = sum(min(term.times, 0) for term in number.terms), sum(max(term.times, 0) for term in number.terms)
        ours = replace(ours, low=max(ours.low, lowest), high=min(ours.high, highest))
    return ours, len(by_seed)


def reproduce_protocol(name: str, out: Path, *, scale: str, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run what is missing of a protocol, and hold its numbers beside the published ones.

    Args:
        name: of a protocol that comes with the package, or the path of one's own.
        out: results folder; what is finished in it is not run again.
        scale: `protocols.SMALL` or `protocols.FULL`.
        options: `setting` (its `out` is not used) and the options of `reproduction.run_missing`; `trust` is of one's own file.

    Returns:
        The tables PUBLISHED and VALUES.
    """
    protocol = protocols.named_protocol(name)
    # Before anything is run.
    _quantities(protocol)
    setting: WorkerSetting = replace(options.pop("setting"), out=Path(out).resolve())
    options["trust"] = protocols.is_shipped(name) or options.get("trust", False)
    reproduction.run_missing(protocol.sweeps[scale], setting, where=f"{name}, {scale} scale", **options)
    found = values(protocol, plan.load_plan(out), out)
    return compared(protocol, scale, found), found


def markdown_rows(table: pd.DataFrame) -> list[str]:
    """A table PUBLISHED as rows of Markdown, as they stand in a README: a test makes them again from the runs' values."""
    found = []
    for row in table.to_dict("records"):
        ends = dict.fromkeys(f"{row[name]:.4g}" for name in ("published_low", "published_high") if row[name] == row[name])
        ours = f"{row['estimate']:.3f}" if row["n_seeds"] else ""
        ours += f" ({row['low']:.3f} to {row['high']:.3f})" if row["low"] == row["low"] else ""
        cells = (row["number"], " to ".join(ends) or "not published", ours, row["n_seeds"], row["verdict"])
        found.append(f"| {' | '.join(map(str, cells))} |")
    return found
