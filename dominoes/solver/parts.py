"""Many classes: first the states and how many wrong halves show each class, by a program of 11 counts a class; then who shows what.

The whole program has two counts for each pair of classes, and takes minutes for a thousand classes. What comes of this one keeps the same
margins; where who shows what cannot be filled in, the whole program decides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dominoes.solver.ideal_counts import RIGHT, SHOWING, WRONG, Counts, Targets, margins, places
from dominoes.solver.stock import Stock
from dominoes.spec import SIDES, DominoSpec


class Unfilled(ValueError):  # noqa: N818  (a finding, not a mishap)
    """There are states and sums, and no wrong halves were found that have these sums."""


def by_parts(goal: Targets, spec: DominoSpec, stock: Stock, n: int) -> Counts | None:
    """Counts that keep every margin, as `rounding.search` has them; None if there are none. Raises Unfilled."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    classes = stock.classes
    cells, flows = places(classes)
    # The counts of the program: the cells as they are, then for each side how many wrong halves show each class.
    shown = {side: 9 * classes + number * classes + np.arange(classes) for number, side in enumerate(SIDES)}
    least = {side: goal.low[flows[side]] for side in SIDES}
    room = {side: goal.high[flows[side]] - least[side] for side in SIDES}
    rows: list[NDArray[np.intp]] = []
    signs: list[NDArray[np.float64]] = []
    low: list[int] = []
    high: list[int] = []

    def add(index: NDArray[np.intp], at_least: int, at_most: int, minus: int = 0) -> None:
        """A sum of counts, the last so many of them taken off, and its bounds."""
        rows.append(index)
        signs.append(np.repeat([1.0, -1.0], [len(index) - minus, minus]))
        low.append(at_least)
        high.append(at_most)

    add(cells.ravel(), n, n)
    for number, (name, index) in enumerate(margins(classes)):
        bounds = int(goal.margin_low[number]), int(goal.margin_high[number])
        if SHOWING in name:
            side, _, which = name.partition(SHOWING)
            index = np.append(cells[int(which), RIGHT[side]], shown[side][int(which)])
        add(index, *bounds)
    for side in SIDES:
        wrong = cells[:, WRONG[side]]
        at_least, at_most = least[side].sum(1).tolist(), goal.high[flows[side]].sum(1).tolist()
        for label in range(classes):
            add(wrong[label], at_least[label], at_most[label])
        add(np.concatenate([wrong.ravel(), shown[side]]), 0, 0, minus=classes)
    for sides, pictures in stock.pools:
        for label, count in enumerate(pictures):
            add(np.concatenate([np.append(cells[label, RIGHT[side]], shown[side][label]) for side in sides]), 0, spec.reuse * count)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    matrix = csr_array((np.concatenate(signs), np.concatenate(rows), starts), shape=(len(rows), 11 * classes))
    matrix.sum_duplicates()
    base = np.concatenate([goal.low[: 9 * classes], *(least[side].sum(0) for side in SIDES)])
    width = np.concatenate([(goal.high - goal.low)[: 9 * classes], *(room[side].sum(0) for side in SIDES)])
    fixed = matrix @ base
    answer = milp(
        np.zeros(11 * classes),
        integrality=np.ones(11 * classes, dtype=np.int64),
        bounds=Bounds(0, width),
        constraints=LinearConstraint(matrix, np.array(low) - fixed, np.array(high) - fixed),
        options={"presolve": False},
    )
    if answer.status != 0:
        # What has no answer with fewer rules has none.
        return None
    above = np.rint(answer.x).astype(np.int64)
    states = (base + above)[: 9 * classes].reshape(classes, 9)
    filled = []
    for side in SIDES:
        of_label = states[:, WRONG[side]].sum(1) - least[side].sum(1)
        filled.append(least[side] + fill(of_label, above[shown[side]], room[side]))
    return np.concatenate([states.ravel(), *(table.ravel() for table in filled)])


def fill(rows: Counts, columns: Counts, room: Counts) -> Counts:
    """A table of zeros and ones with these sums, ones only where `room` is 1. Raises Unfilled: none was found.

    Row by row, the ones go where a column has the fewest rows to spare: where every one is needed first.
    """
    if room.max(initial=0) > 1:
        raise Unfilled
    found = np.zeros_like(room)
    left, open_to = columns.copy(), room.sum(0)
    for row in np.argsort(-rows, kind="stable"):
        possible = np.flatnonzero((room[row] > 0) & (left > 0))
        chosen = possible[np.argsort((open_to - left)[possible], kind="stable")[: rows[row]]]
        found[row, chosen] = 1
        left[chosen] -= 1
        open_to -= room[row]
    if (left != 0).any() or (found.sum(1) != rows).any():
        raise Unfilled
    return found
