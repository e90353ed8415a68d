"""What was asked and what was dealt: requested against realised, and where the pictures of the stock went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from dominoes.reporting.chart import Chart, Flow, Node
from dominoes.solver.composition import Composition
from dominoes.solver.ideal_counts import OF_KIND, RIGHT, WRONG
from dominoes.spec import SIDES

_KIND_NAMES = {"top": "top only", "both": "both", "bottom": "bottom only"}


def sankey(found: Mapping[str, Composition]) -> Chart:
    """The flow of pictures: stock of each source → right, wrong, unused → top only, both, bottom only; and the empties.

    Args:
        found: by title, the compositions of datasets; one at a time is drawn.
    """
    rows = [(title, *row) for title, each in found.items() for row in _flows(each)]
    table = pd.DataFrame(rows, columns=["dataset", "source", "target", "label", "count"])
    first = next(iter(found.values()))
    sources = "; ".join(dict.fromkeys(f"{each.spec.top} over {each.spec.bottom} ({each.spec.split.value})" for each in found.values()))
    numbers = {each.n for each in found.values()}
    n = f"n = {first.n}" if len(numbers) == 1 else f"n = {min(numbers)} to {max(numbers)}"
    caption = (
        f"{sources}; {n} dominoes. Widths are pictures, so a domino of both halves counts twice. A right or wrong half is counted by the "
        "class it shows where it leaves the stock, by its domino's label where it enters a kind. Counts are exact: no seeds, no band."
    )
    return Chart("sankey", "Where the pictures went", caption, table, (Flow(_nodes(table)),), choice="dataset")


def _flows(found: Composition) -> Iterator[tuple[str, str, int, int]]:
    """(source, target, label, count), every count above 0."""
    for sides, _ in found.stock.pools:
        stock = _stock_name(found, sides[0])
        for side in sides:
            right = np.diag(found.shown[side])
            wrong = found.shown[side].sum(0) - right
            yield from _counted(stock, f"{side} right", right)
            yield from _counted(stock, f"{side} wrong", wrong)
        yield from _counted(stock, f"{' and '.join(sides)} unused", np.array(found.left(sides[0])))
    for side in SIDES:
        for part, states in (("right", RIGHT[side]), ("wrong", WRONG[side])):
            for kind, name in _KIND_NAMES.items():
                chosen = [state for state in states if state in OF_KIND[kind]]
                yield from _counted(f"{side} {part}", name, found.states[:, chosen].sum(1))
    yield from _counted("no picture", "empty", found.states[:, OF_KIND["empty"]].sum(1))


def _stock_name(found: Composition, side: str) -> str:
    name = str(getattr(found.spec, side))
    return f"{name} (both sides)" if found.stock.shared else f"{name} ({side})"


def _counted(source: str, target: str, counts: np.ndarray) -> Iterator[tuple[str, str, int, int]]:
    for label in np.flatnonzero(counts):
        yield source, target, int(label), int(counts[label])


def _nodes(table: pd.DataFrame) -> dict[str, Node]:
    """Every node that occurs, each column from top to bottom."""
    names = dict.fromkeys([*table["source"], *table["target"]])
    places = {
        "top right": Node(1, "top"),
        "top wrong": Node(1, "rival"),
        "top unused": Node(1, "empty"),
        "top and bottom unused": Node(1, "empty"),
        "bottom right": Node(1, "bottom"),
        "bottom wrong": Node(1, "rival"),
        "bottom unused": Node(1, "empty"),
        "no picture": Node(1, "empty"),
        "top only": Node(2, "top", " dominoes"),
        "both": Node(2, "both", " dominoes", per=2),
        "bottom only": Node(2, "bottom", " dominoes"),
        "empty": Node(2, "empty", " dominoes"),
    }
    stocks = {name: Node(0, "bottom" if name.endswith("(bottom)") else "top") for name in names if name not in places}
    return {name: node for name, node in {**stocks, **places}.items() if name in names}


def asked_and_dealt(found: Mapping[str, Composition]) -> pd.DataFrame:
    """Requested against realised parameters: columns dataset, parameter, requested, realised; text where there is no number."""
    rows = []
    for title, each in found.items():
        asked, got = each.requested, each.realised
        for name in asked:
            pairs = zip(SIDES, asked[name], got[name], strict=True) if isinstance(asked[name], list) else [("", asked[name], got[name])]
            rows += [(title, f"{name} {side}".strip(), _text(a), _text(b)) for side, a, b in pairs]
        rows += [(title, kind, "", _text(count)) for kind, count in each.kinds.items()]
    return pd.DataFrame(rows, columns=["dataset", "parameter", "requested", "realised"])


def _text(value: float | str | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.6g}"
