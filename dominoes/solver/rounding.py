"""Real-valued targets become whole counts, all at once, by one small integer program."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from dominoes.solver import parts
from dominoes.solver.composition import Composition
from dominoes.solver.ideal_counts import RIGHT, SHOWING, WRONG, Counts, Targets, margins, places, showing_places, targets
from dominoes.solver.shares import Shares
from dominoes.solver.stock import Stock
from dominoes.spec import SIDES, DominoSpec


def rounded(spec: DominoSpec, stock: Stock, n: int, shares: Shares) -> Composition | None:
    """Round all targets at once, as strictly as any counts allow; None if none do."""
    goal = targets(spec, stock, n, shares)
    vector = next((found for give in GIVE if (found := search(goal, spec, stock, n, give)) is not None), None)
    if vector is None:
        return None
    cells, flows = places(stock.classes)
    states = vector[cells]
    shown = {side: vector[flows[side]] + np.diag(states[:, RIGHT[side]].sum(1)) for side in SIDES}
    for table in (states, *shown.values()):
        table.flags.writeable = False
    return Composition(spec, stock, n, states, shown)


# What may give way, by how much, where no counts keep every margin. Such requests exist: with as many dominoes as classes, a
# single wrong half leaves one class without a picture; and a stock of a few pictures may force a wrong half's class.
GIVE = ("nothing", "classes shown by one", "spread of wrong halves")


#: Up to so many classes all counts are searched for at once; beyond, who shows which wrong half is filled in afterwards (`parts`).
WHOLE = 100


def search(goal: Targets, spec: DominoSpec, stock: Stock, n: int, give: str = "nothing") -> Counts | None:
    """Counts that keep every margin, as a feasibility problem in what each count takes above its rounded-down target.

    What may give way has a variable of its own, by how much it does; their sum is made smallest. None if there are no such counts.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    classes, counts = stock.classes, len(goal.low)
    if give == GIVE[0] and classes > WHOLE:
        with suppress(parts.Unfilled):
            return parts.by_parts(goal, spec, stock, n)
    cells, flows = places(classes)
    rows: list[NDArray[np.intp]] = [cells.ravel()]
    signs: list[NDArray[np.float64]] = [np.ones(cells.size)]
    low, high = [n], [n]

    def add(index: NDArray[np.intp], least: int, most: int, sign: NDArray[np.float64] | None = None) -> None:
        rows.append(index)
        signs.append(np.ones(len(index)) if sign is None else sign)
        low.append(least)
        high.append(most)

    off = counts

    def elastic(index: NDArray[np.intp], least: int, most: int) -> None:
        nonlocal off
        sign = np.ones(len(index) + 1)
        add(np.append(index, off), least, 3 * n, sign.copy())
        sign[-1] = -1
        add(np.append(index, off), -n, most, sign)
        off += 1

    floor_, width = goal.low.copy(), goal.high - goal.low
    if give == GIVE[2]:
        wrong_halves = np.concatenate([flows[side].ravel() for side in SIDES])
        for place in wrong_halves[goal.high[wrong_halves] > 0]:
            elastic(np.array([place]), int(goal.low[place]), int(goal.high[place]))
            floor_[place], width[place] = 0, n
    for number, (name, index) in enumerate(margins(classes)):
        least, most = int(goal.margin_low[number]), int(goal.margin_high[number])
        if give != "nothing" and SHOWING in name:
            elastic(index, least, most)
        else:
            add(index, least, most)
    for side in SIDES:
        for label in range(classes):
            wrong = cells[label, WRONG[side]]
            add(np.concatenate([wrong, flows[side][label]]), 0, 0, np.repeat([1.0, -1.0], [len(wrong), classes]))
    for sides, pictures in stock.pools:
        for showing, count in enumerate(pictures):
            add(np.concatenate([showing_places(side, showing, cells, flows[side]) for side in sides]), 0, spec.reuse * count)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    matrix = csr_array((np.concatenate(signs), np.concatenate(rows), starts), shape=(len(rows), off))
    matrix.sum_duplicates()  # a double that is right on both sides takes two pictures of a shared stock
    base = np.concatenate([floor_, np.zeros(off - counts, dtype=np.int64)])
    width = np.concatenate([width, np.full(off - counts, 1 if give == GIVE[1] else n, dtype=np.int64)])
    fixed = matrix @ base
    answer = milp(
        np.repeat([0.0, 1.0], [counts, off - counts]),
        integrality=np.ones(off, dtype=np.int64),
        bounds=Bounds(0, width),
        constraints=LinearConstraint(matrix, np.array(low) - fixed, np.array(high) - fixed),
        # Presolve finds nothing to simplify here, and can take ten times as long as the search.
        options={"presolve": False},
    )
    if answer.status != 0:
        return None
    return floor_ + np.rint(answer.x[:counts]).astype(np.int64)
