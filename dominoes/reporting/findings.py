"""What results found, before anything else: five sentences, and the setting that they hold in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dominoes.reporting.results import Results
from dominoes.tables import DEAL
from dominoes.theory.headlines import HEADLINES, headline_sentences

_TITLES = dict(zip(HEADLINES, ("Learned first", "Doubles", "Conflicts", "Competition", "Rules compared"), strict=True))
# Beyond so many values their range is told.
_MOST_VALUES = 4


def findings(results: Results, judged: pd.DataFrame | None) -> list[tuple[str, str]]:
    """(title, sentence) of each headline of the comparison among the results, else of what was judged for the page; empty without either.

    Args:
        judged: rows of `verdicts.COMPARISON` on doubles, conflicts, what is learned first and competition.
    """
    table = results.comparison if results.comparison is not None else judged
    if table is None or not len(table):
        return []
    found = []
    for line in headline_sentences(table):
        name, said = line.split(maxsplit=1)
        found.append((_TITLES[name], re.sub(r"(?:^|(?<=\. ))[a-z]", lambda letter: letter[0].upper(), f"{said.rstrip('.')}.")))
    return found


def made_with(results: Results) -> list[tuple[str, str]]:
    """(what it is, value) of what all of it was made with: dominoes, network, learning rate, epochs, n, deals, seeds. What nothing tells
    is not there."""
    made = results.made
    shown = len(results.groups)
    seeds = [results.seeds(group) for group in results.groups]
    found: list[tuple[str, str]] = []
    if {"source_top", "source_bottom"} <= set(made.columns):
        found.append(("dominoes", f"{_told(made['source_top'])} over {_told(made['source_bottom'])}"))
    for name, what in (("model", "network"), ("lr", "learning rate"), ("epochs", "epochs"), ("dominoes", "n")):
        if name in made.columns and (told := _told(made[name])):
            found.append((what, told))
    if DEAL in made.columns and made[DEAL].notna().any():
        count = int(made[DEAL].nunique())
        found.append((f"deal{_s(count)}", f"{count}"))
    if shown:
        runs = sum(seeds)
        found.append((f"run{_s(runs)} with curves", f"{runs}"))
        found.append((f"spec{_s(shown)}{' by ' + ', '.join(results.fields) if results.fields else ''}", f"{shown}"))
        found.append((f"seed{_s(max(seeds))} a spec", _between(seeds)))
        found.append(("steps", f"{results.curves['step'].max():,g}"))
    return found


def _told(values: pd.Series) -> str:
    """One value, a few, or the range of many."""
    different = [value for value in values.drop_duplicates().tolist() if value == value and value not in (None, "")]
    if not different:
        return ""
    if all(isinstance(value, int | float) for value in different):
        return _between(sorted(different))
    return ", ".join(map(str, different)) if len(different) <= _MOST_VALUES else f"{len(different)} different"


def _between(values: Sequence[Any]) -> str:
    low, high = min(values), max(values)
    text = [f"{value:,.10g}" if math.isfinite(value) else "∞" for value in (low, high)]
    return text[0] if low == high else f"{text[0]} to {text[1]}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
