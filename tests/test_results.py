"""The READMEs of results/ say what the tables beside them say: every number that was found is recomputed.

A number, or the last few before it, is followed by a comment that names its row:
`−.4 (−.9 to .1)<!-- headlines.csv; quantity == "onset top"; estimate, low, high -->`. The query is pandas', the expression is of the
row's columns.
"""

import math
import re
from pathlib import Path

import pandas as pd
import pytest

RESULTS = Path(__file__).parent.parent / "results"
SOURCE = re.compile(r"<!--\s*([\w./-]+\.csv)\s*;([^;]*);([^;]*?)-->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[−-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?![\w])")
READMES = sorted(path for path in RESULTS.rglob("README.md") if SOURCE.search(path.read_text(encoding="utf-8")))
# Not numbers that were found: what was set (in code), margins, addresses of links, and comments themselves.
APART = re.compile(r"```.*?```|`[^`\n]*`|± ?[\d.]+|\]\([^)]*\)|<!--.*?-->", re.DOTALL)


def numbers(text: str) -> list[str]:
    """The numbers of a text, as they are printed."""
    return NUMBER.findall(text)


def value(printed: str) -> float:
    """What a printed number says."""
    return float(printed.replace("−", "-").replace(",", ""))


def rounding(printed: str) -> float:
    """Half of a printed number's last digit."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def found(path: Path) -> list[tuple[list[str], str, str, str]]:
    """(numbers, table, query, expression) of every comment of a README: as many of the numbers before it as the expression has values."""
    text = path.read_text(encoding="utf-8")
    rows, start = [], 0
    for match in SOURCE.finditer(text):
        table, query, expression = (" ".join(part.split()) for part in match.groups())
        before = numbers(APART.sub(" ", text[start : match.start()]))
        rows.append((before[-(expression.count(",") + 1) :], table, query, expression))
        start = match.end()
    return rows


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.parent.relative_to(RESULTS)))
def test_every_number_is_that_of_its_table(path: Path) -> None:
    """The one row that the query finds gives the printed numbers, rounded as they are printed."""
    wrong = []
    for printed, name, query, expression in found(path):
        table = pd.read_csv(path.parent / name)
        rows = table.query(query, engine="python")
        if len(rows) != 1:
            wrong.append(f"{name}: {query}: {len(rows)} rows, expected 1")
            continue
        known = {str(column): cell for column, cell in rows.iloc[0].items()}
        values = eval(f"({expression},)", {"__builtins__": {}, "math": math, "abs": abs}, known)
        for said, is_ in zip(printed, values, strict=True):
            if not abs(value(said) - is_) <= rounding(said) * 1.0001:
                wrong.append(f"{name}: {query}: {said} for {is_:.6g}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.parent.relative_to(RESULTS)))
def test_what_came_out_is_all_recomputed(path: Path) -> None:
    """No number with a decimal point stands in a section on what came out without its source."""
    text = path.read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if not section.startswith("What came out"):
            continue
        loose, start = [], 0
        for match in [*SOURCE.finditer(section), None]:
            part = APART.sub(" ", section[start : match.start() if match else len(section)])
            all_of = numbers(part)
            loose += all_of[: len(all_of) - (match.group(3).count(",") + 1)] if match else all_of
            start = match.end() if match else len(section)
        assert [number for number in loose if "." in number] == []


def test_there_are_some() -> None:
    """The studies' READMEs name their sources."""
    assert READMES
