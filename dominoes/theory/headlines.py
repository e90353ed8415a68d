"""What a comparison found, in five lines: what was learned first, doubles, conflicts, competition, and what predicts them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE, VERDICTS, number
from dominoes.theory.rules import RULES

HEADLINES = ("learned", "doubles", "conflicts", "competition", "predictor")


def headline_sentences(table: pd.DataFrame) -> list[str]:
    """Five lines, one for each of HEADLINES, from the rows of a comparison (`verdicts.COMPARISON`) of one group, of many, or of a sweep.

    The window that is quoted is the last one in which there was something to judge; all others are in the table.
    """
    text = ["group", "question", "side", "model", "rival", "window", "verdict", "sentence"]
    table = table.reindex(columns=[*text, "estimate", "low", "high", "rmse", "n_seeds"])
    table = table.assign(**{name: table[name].astype(object).where(table[name].notna(), "").astype(str) for name in text})
    found = (_learned(table), _doubles(table), _conflicts(table), _competition(table), _predictor(table))
    return [f"{name:<15}{line}" for name, line in zip(HEADLINES, found, strict=True)]


def _groups(rows: pd.DataFrame) -> int:
    return int(rows["group"].nunique())


def _last(rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The last window in which a row is judged, and its rows."""
    for window in ("late", "rise", "early"):
        part = rows[(rows["window"] == window) & (rows["verdict"] != NOT_APPLICABLE)]
        if len(part):
            return window, part
    return "", rows.iloc[:0]


def _why(rows: pd.DataFrame, otherwise: str) -> str:
    """The first row's own words where nothing is judged."""
    return f"{NOT_APPLICABLE}: {rows['sentence'].iloc[0] if len(rows) else otherwise}"


def _tally(rows: pd.DataFrame, unit: str) -> str:
    """`holds in 3, fails in 1 of 5 groups`; of one group its verdict and numbers, with their unit."""
    if _groups(rows) == 1:
        return f"{rows['verdict'].iloc[0]}, {_numbers(rows.iloc[0])} {unit}"
    counts = rows["verdict"].value_counts()
    told = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in VERDICTS if verdict in counts)
    return f"{told} of {_groups(rows)} groups"


def _numbers(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{number(row['estimate'])} (one seed)"
    return f"{number(row['estimate'])} ({number(row['low'])} to {number(row['high'])})"


def _learned(table: pd.DataFrame) -> str:
    rows = table[table["question"] == "learned first"]
    judged = rows[rows["verdict"] != NOT_APPLICABLE]
    if not len(judged):
        return _why(rows, "no group of runs was asked what is learned first")
    if _groups(judged) > 1:
        by_side = [
            f"the {side} half first in {(judged[judged['side'] == side]['verdict'] == HOLDS).sum()}"
            for side in ("top", "bottom")
            if (judged["side"] == side).any()
        ]
        return f"{', '.join(by_side)} of {_groups(rows)} groups, the rest open"
    row = judged.iloc[0]
    other = "bottom" if row["side"] == "top" else "top"
    verb = "is" if row["verdict"] == HOLDS else "seems to be" if row["verdict"] == CANNOT_TELL else "is not"
    when = next((part for part in row["sentence"].split("; ") if part.startswith("half of the rise")), "")
    return f"the {row['side']} half {verb} learned first, the {other} {_numbers(row)} times as late; {when}"


def _rule_lists(rows: pd.DataFrame) -> str:
    """Which of the other rules hold, which fail."""
    parts = []
    for verdict, words in ((HOLDS, "also within the margin"), (FAILS, "rejected"), (CANNOT_TELL, "open")):
        names = [RULES[str(model)].label for model in rows.loc[rows["verdict"] == verdict, "model"] if model in RULES]
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    return "; ".join(parts)


def _doubles(table: pd.DataFrame) -> str:
    rows = table[(table["question"] == "doubles") & ~table["model"].str.contains("per class")]
    window, judged = _last(rows)
    if not window:
        return _why(rows, "doubles were not asked for")
    said = f"{window}, the product rule: {_tally(judged[judged['model'] == 'product'], 'times its error')}"
    crossed = table[(table["question"] == "pictures") & (table["model"] == "product, doubles") & (table["window"] == window)]
    if len(crossed):
        said += f"; picture by picture: {_tally(crossed, 'times its error')}"
    others = judged[judged["model"] != "product"]
    return f"{said}{'; ' + _rule_lists(others) if _groups(judged) == 1 and len(others) else ''}"


def _conflicts(table: pd.DataFrame) -> str:
    rows = table[table["question"] == "conflicts"]
    window, judged = _last(rows)
    if not window:
        return _why(rows, "conflicts were not asked for")
    said = f"{window}, the product rule: {_tally(judged[judged['model'] == 'product'], 'times its answers of neither class')}"
    moved = table[(table["question"] == "preference") & (table["model"] == "constant")]
    if len(moved):
        said += f"; a preference that stays the same: {_tally(moved, 'change of λ')}"
    return said


def _competition(table: pd.DataFrame) -> str:
    rows = table[table["question"] == "no competition"]
    judged = rows[(rows["verdict"] != NOT_APPLICABLE) & rows["model"].isin(["accuracy", "onset"]) & rows["window"].isin(["late", ""])]
    if not len(rows):
        return f"{NOT_APPLICABLE}: nothing was swept, so whether one half suffers for the other is not asked"
    if not len(judged):
        return _why(rows, "")
    words = {HOLDS: "no change", FAILS: "a change", CANNOT_TELL: "cannot tell"}
    parts = []
    for (side, moved), mine in judged.groupby(["side", "rival"], sort=False):
        told = []
        for row in mine.to_dict("records"):
            if row["model"] == "accuracy":
                told.append(f"late accuracy {100 * row['estimate']:+.0f} % of what is learned ({words[row['verdict']]})")
            else:
                told.append(f"onset × {number(row['estimate'])} ({words[row['verdict']]})")
        parts.append(f"the {side}, when {moved} grows: {', '.join(told)}")
    return "; ".join(parts)


def _predictor(table: pd.DataFrame) -> str:
    parts = []
    for question, what in (("doubles score", "doubles"), ("conflicts score", "conflicts")):
        rows = table[(table["question"] == question) & (table["model"] == "product")]
        window, judged = _last(rows)
        if not window:
            continue
        better = list(dict.fromkeys(judged.loc[judged["verdict"] == FAILS, "rival"]))
        worse = list(dict.fromkeys(judged.loc[judged["verdict"] == HOLDS, "rival"]))
        if _groups(judged) > 1:
            told = []
            for rival, mine in judged.groupby("rival", sort=False):
                counts = mine["verdict"].value_counts()
                told.append(f"{_named([str(rival)])} {counts.get(HOLDS, 0)} / {counts.get(FAILS, 0)}")
            parts.append(f"{what}, {window}, of {_groups(judged)} groups the product rule better / worse than: {', '.join(told)}")
            continue
        told = [f"better than it: {_named(better)}"] if better else []
        told += [f"worse: {_named(worse)}"] if worse else []
        rest = [rival for rival in judged["rival"] if rival not in (*better, *worse)]
        told += [f"open: {_named(rest)}"] if rest else []
        parts.append(f"{what}, {window}, against the product rule, {'; '.join(told)}")
    return ". ".join(parts) if parts else f"{NOT_APPLICABLE}: no rule was set against another"


def _named(rivals: Sequence[str]) -> str:
    return ", ".join(RULES[rival].label if rival in RULES else rival for rival in rivals)
