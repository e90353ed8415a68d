"""What a figure shows, apart from how it is drawn: a table, and which of its columns are curves, cells or flows.

A still (`stills`) and the page (`report`) draw the same chart from the same table, so both show the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

# Okabe and Ito's palette: the same colour for a kind everywhere, distinct for colour-blind readers and in print.
COLOURS = {
    "top": "#0072B2",
    "bottom": "#D55E00",
    "both": "#009E73",
    "conflict": "#CC79A7",
    "empty": "#7F7F7F",
    "rival": "#E69F00",
    "other": "#56B4E9",
    # Tol's bright palette, for values that have no order and theories that have no colour of their own.
    "hue 1": "#4477AA",
    "hue 2": "#EE6677",
    "hue 3": "#228833",
    "hue 4": "#AA3377",
    "hue 5": "#CCBB44",
    "hue 6": "#66CCEE",
}
HUES = tuple(name for name in COLOURS if name.startswith("hue"))
# Significant digits of a chart's numbers, in its CSV and under the mouse. The runs' own tables keep them all.
DIGITS = 6


@dataclass(frozen=True)
class Line:
    """A curve of a panel.

    Attributes:
        y: column of its values; low, high: columns of its band, or of its error bars where it is drawn as points.
        name: in the legend; lines of one name are one entry.
        colour: a key of COLOURS.
        style: solid, dot, dash, points or joined (points and the line between).
        where: values that rows must have in other columns.
        x: column, where it is not the panel's.
        text: column of words that are written beside its points; empty: none.
    """

    y: str
    name: str
    colour: str
    low: str = ""
    high: str = ""
    style: str = "solid"
    where: Mapping[str, Any] = field(default_factory=dict)
    x: str = ""
    text: str = ""


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its lines.

    Attributes:
        title: above it.
        x: column. x_label, y_label: of the axes.
        x_log, y_log: whether the axes are logarithmic; values of 0 and below are then not drawn.
        y_range, x_range: lower and upper end; empty: as the values need.
        lines: its curves.
        rule: a value at which a thin line is drawn across, such as chance; NaN: none. rule_name: what it is.
        band: a range of y that is shaded, such as a margin; empty: none.
    """

    title: str
    x: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_log: bool = False
    y_log: bool = False
    y_range: tuple[float, ...] = ()
    rule: float = float("nan")
    rule_name: str = ""
    band: tuple[float, ...] = ()
    x_range: tuple[float, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A field of coloured cells.

    Attributes:
        title: above it.
        x, y: columns of the cells' places; x_label, y_label: of the axes.
        value: column of the cells' colours.
        colour: a key of COLOURS, that of the highest value.
        most: the value that has it; NaN: the highest there is.
        log: colours go by the logarithm.
        where: values that rows must have in other columns.
        text: column of words that are written into the cells, a line for each part between semicolons; empty: none.
        below: a key of COLOURS, that of −most: colours part at 0. Empty: colours begin at 0, or at the lowest value where `log`.
    """

    title: str
    x: str
    y: str
    x_label: str
    y_label: str
    value: str
    colour: str
    most: float = float("nan")
    log: bool = False
    where: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    below: str = ""


@dataclass(frozen=True)
class Node:
    """A node of a Sankey diagram.

    Attributes:
        column: from the left, from 0.
        colour: a key of COLOURS.
        unit: what is counted, after the number.
        per: pictures that make one of these.
    """

    column: int
    colour: str
    unit: str = ""
    per: int = 1


@dataclass(frozen=True)
class Flow:
    """A Sankey diagram. Its table has columns source, target, label, count.

    Attributes:
        nodes: by the names in source and target; in each column from top to bottom.
    """

    nodes: Mapping[str, Node]


@dataclass(frozen=True)
class Chart:
    """A figure.

    Attributes:
        name: in lower case, of files and links.
        title: above it.
        caption: one line that states n, seeds and what the band is.
        table: its numbers; what is drawn is in it and nothing else is drawn.
        parts: its panels, grids or flow.
        choice: column by whose values the figure is drawn one at a time; empty: all rows are drawn at once.
        kind: `plain`, or `learning` for the curves that have switches on the page.
        notes: what is missing or left out, a sentence each.
        stacked: a still has its parts one above the other, since they share an axis.
    """

    name: str
    title: str
    caption: str
    table: pd.DataFrame
    parts: tuple[Panel | Grid | Flow, ...]
    choice: str = ""
    kind: str = "plain"
    notes: tuple[str, ...] = ()
    stacked: bool = False

    def csv(self) -> str:
        """The table as CSV, numbers with DIGITS significant digits."""
        return self.table.to_csv(index=False, lineterminator="\n", float_format=f"%.{DIGITS}g")

    def choices(self) -> list[Any]:
        """What can be chosen, in the table's order; one None where there is no choice."""
        return list(dict.fromkeys(self.table[self.choice])) if self.choice else [None]

    def chosen(self, choice: Any) -> pd.DataFrame:
        """Rows of the table that are drawn for a choice."""
        return self.table[self.table[self.choice] == choice] if self.choice else self.table

    def plan(self) -> dict[str, Any]:
        """Everything but the table as plain values, for JSON; a number that is not there is None."""
        parts = [asdict(part) | {"type": type(part).__name__.lower()} for part in self.parts]
        text = [str(column) for column in self.table.columns if not pd.api.types.is_numeric_dtype(self.table[column])]
        head = {"name": self.name, "title": self.title, "choice": self.choice, "kind": self.kind, "text": text}
        found: dict[str, Any] = json_value(head | {"parts": parts})
        return found


def json_value(value: Any) -> Any:
    """A value with mappings, tuples and numpy's numbers as JSON knows them, and None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def rows_where(table: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of a table that have these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table
