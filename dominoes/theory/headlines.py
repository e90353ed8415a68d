"""What a comparison found, in five lines: what was learned first, doubles, conflicts, competition, and what predicts them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pandas as pd

from dominoes.spec import SIDES
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE, VERDICTS, number
from dominoes.theory.rules import RULES

HEADLINES = ("learned", "doubles", "conflicts", "competition", "predictor")


def headline_sentences(table: pd.DataFrame) -> list[str]:
    """Five lines, one for each of HEADLINES, from the rows of a comparison (`verdicts.COMPARISON`) of one group, of many, or of a sweep.

    The window that is quoted is the last one in which there was something to judge; all others are in the table. A line ends with what its
    intervals are over.
    """
    text = ["group", "question", "side", "model", "rival", "window", "verdict", "sentence"]
    table = table.reindex(columns=[*text, "estimate", "low", "high", "rmse", "n_seeds", "n", "level"])
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
    """A row's own words where nothing is judged: of windows those of the last."""
    late = rows[rows["window"] == "late"]
    rows = late if len(late) else rows
    return f"{NOT_APPLICABLE}: {rows['sentence'].iloc[0] if len(rows) else otherwise}"


def _over(rows: pd.DataFrame, *, pictures: bool = False) -> str:
    """Level, seeds and deals of intervals, and (`pictures`) whether the luck of the pictures is not in them: ` [95 %, 5 seeds of this
    deal]`; nothing without intervals."""
    known = rows[rows["low"].notna()]
    if not len(known):
        return ""
    counts = known["n_seeds"].astype(int)
    seeds = f"{counts.min()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    deals = {found[1] if (found := re.search(r"\d seeds([^;()]*)\)", sentence)) else "" for sentence in known["sentence"]}
    uncounted = ", n unknown: without the luck of the pictures" if pictures and known["n"].isna().all() else ""
    return f" [{100 * float(known['level'].min()):g} %, {seeds} seeds{deals.pop() if len(deals) == 1 else ''}{uncounted}]"


def _tally(rows: pd.DataFrame, unit: str, of: int) -> str:
    """`holds in 3, fails in 1 of 5 groups`; of one group its verdict and numbers, with their unit, and which it is `of` several."""
    if _groups(rows) == 1:
        alone = f" (in {rows['group'].iloc[0]}, 1 of {of} groups)" if of > 1 else ""
        return f"{rows['verdict'].iloc[0]}, {_numbers(rows.iloc[0])} {unit}{alone}"
    counts = rows["verdict"].value_counts()
    told = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in VERDICTS if verdict in counts)
    return f"{told} of {max(of, _groups(rows))} groups"


def _numbers(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{number(row['estimate'])} (one seed)"
    close = ", at the margin" if "; at the margin" in row["sentence"] else ""
    return f"{number(row['estimate'])} ({number(row['low'])} to {number(row['high'])}{close})"


def _learned(table: pd.DataFrame) -> str:
    rows = table[table["question"] == "learned first"]
    judged = rows[rows["verdict"] != NOT_APPLICABLE]
    if not len(judged):
        return _why(rows, "no group of runs was asked what is learned first")
    if _groups(rows) > 1:
        counts = {
            f"the {side} half first in": ((judged["side"] == side) & (judged["verdict"] == HOLDS)).sum() for side in ("top", "bottom")
        }
        counts |= {"open in": (judged["verdict"] != HOLDS).sum(), "not applicable in": len(rows) - len(judged)}
        return f"{', '.join(f'{what} {count}' for what, count in counts.items() if count)} of {_groups(rows)} groups{_over(judged)}"
    row = judged.iloc[0]
    other = "bottom" if row["side"] == "top" else "top"
    verb = "is" if row["verdict"] == HOLDS else "seems to be" if row["verdict"] == CANNOT_TELL else "is not"
    when = next((part for part in row["sentence"].split("; ") if part.startswith("half of the rise")), "")
    if "; at the same step in every seed" in row["sentence"]:
        return f"both halves are half risen at the same step in every seed; {when}{_over(judged)}"
    soon = "; half risen when first measured, so that the ratio is a lower bound" * bool(row["high"] == math.inf)
    return f"the {row['side']} half {verb} learned first, the {other} {_numbers(row)} times as late; {when}{soon}{_over(judged)}"


def _rule_lists(rows: pd.DataFrame, product: str) -> str:
    """Which of the other rules hold, which fail, beside the verdict on the product rule."""
    parts = []
    within = "also within the margin" if product == HOLDS else "within the margin"
    for verdict, words in ((HOLDS, within), (FAILS, "rejected"), (CANNOT_TELL, "open")):
        names = rows.loc[rows["verdict"] == verdict, "model"].tolist()
        if names:
            parts.append(f"{words}: {_named(names)}")
    return "; ".join(parts)


def _doubles(table: pd.DataFrame) -> str:
    rows = table[(table["question"] == "doubles") & ~table["model"].str.contains("per class")]
    window, judged = _last(rows)
    if not window:
        return _why(rows, "doubles were not asked for")
    mine = judged[judged["model"] == "product"]
    said = f"{window}, the product rule: {_tally(mine, 'times its error', _groups(rows))}"
    crossed = table[(table["question"] == "pictures") & (table["model"] == "product, doubles") & (table["window"] == window)]
    if len(crossed):
        said += f"; picture by picture: {_tally(crossed, 'times its error', _groups(rows))}"
    others = judged[judged["model"] != "product"]
    if _groups(judged) == 1 and len(others):
        said += f"; {_rule_lists(others, mine['verdict'].iloc[0] if len(mine) else '')}"
    return said + _over(judged, pictures=True)


def _conflicts(table: pd.DataFrame) -> str:
    rows = table[table["question"] == "conflicts"]
    window, judged = _last(rows)
    moved = table[(table["question"] == "preference") & (table["model"] == "constant")]
    if window:
        unit = "times its answers of neither class"
        said = f"{window}, the product rule: {_tally(judged[judged['model'] == 'product'], unit, _groups(rows))}"
    else:
        said = _why(rows, "conflicts were not asked for")
    if len(moved):
        said += f"; a preference that stays the same: {_tally(moved, 'change of λ', _groups(rows))}"
    return said + _over(judged if window else moved, pictures=True)


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
                told.append(f"late accuracy {round(100 * row['estimate']):+d} % of what is learned ({words[row['verdict']]})")
            else:
                told.append(f"onset × {number(row['estimate'])} ({words[row['verdict']]})")
        grows = re.sub(r"^(.*?)(, at | with | \(|$)", r"\1 grows\2", str(moved), count=1)
        parts.append(f"the {side}, when {grows}: {', '.join(told)}")
    return "; ".join(parts) + _over(judged)


def _predictor(table: pd.DataFrame) -> str:
    parts, quoted = [], []
    for question, what in (("doubles score", "doubles"), ("conflicts score", "conflicts")):
        rows = table[(table["question"] == question) & (table["model"] == "product")]
        window, judged = _last(rows)
        if not window:
            continue
        quoted.append(judged)
        better = list(dict.fromkeys(judged.loc[judged["verdict"] == FAILS, "rival"]))
        worse = list(dict.fromkeys(judged.loc[judged["verdict"] == HOLDS, "rival"]))
        if _groups(judged) > 1:
            told = []
            for rival, mine in judged.groupby("rival", sort=False):
                counts = mine["verdict"].value_counts()
                told.append(f"{_named([str(rival)])} {counts.get(HOLDS, 0)} / {counts.get(FAILS, 0)}")
            groups = f"{_groups(judged)} of {_groups(rows)}" if _groups(rows) > _groups(judged) else f"{_groups(judged)}"
            parts.append(f"{what}, {window}, in {groups} groups {_product(what)} is better / worse than: {', '.join(told)}")
            continue
        told = [f"predicts better than {_named(worse)}"] if worse else []
        told += [f"{'' if told else 'predicts '}worse than {_named(better)}"] if better else []
        rest = [rival for rival in judged["rival"] if rival not in (*better, *worse)]
        told += [f"is not told apart from {_named(rest)}"] if rest else []
        alone = f" (in {judged['group'].iloc[0]}, 1 of {_groups(rows)} groups)" if _groups(rows) > 1 else ""
        parts.append(f"{what}, {window}, {_product(what)} {'; '.join(told)}{alone}")
    if not parts:
        return f"{NOT_APPLICABLE}: no rule was set against another"
    return ". ".join(parts) + _over(pd.concat(quoted), pictures=True)


def _product(what: str) -> str:
    return "the product rule with equal preference" if what == "conflicts" else "the product rule"


def _named(rivals: Sequence[str]) -> str:
    """Rules in words: built-in ones by their labels, others by their names."""
    words = {f"product, {side} preferred": f"that with the {side} preferred" for side in SIDES}
    return ", ".join(RULES[rival].label if rival in RULES else words.get(rival, rival) for rival in rivals)
