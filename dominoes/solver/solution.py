"""From a spec and a stock to the exact composition, verified.

The real-valued targets follow from the spec alone (kind independent of the label, wrong halves independent of the kind and of
the other half). Whether they fit into the stock is decided in exact fractions, by conditions that are necessary and sufficient
(`stock.limits`). Then all counts are rounded at once, by one small integer program in which every count and every margin may only be
its target rounded down or up (`rounding`).
"""

from __future__ import annotations

import numpy as np

from dominoes.errors import SpecError
from dominoes.solver.composition import Composition, CompositionError
from dominoes.solver.ideal_counts import RIGHT, SHOWING, STATES, WRONG, margins, targets
from dominoes.solver.infeasible import explain, indivisible
from dominoes.solver.rounding import GIVE, rounded, search
from dominoes.solver.shares import Shares, resolve
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import SIDES, DominoSpec


def solve(spec: DominoSpec, stock: Stock) -> Composition:
    """The exact composition of a dataset.

    Every cell (label × state) and every margin is its real-valued target rounded down or up, n is exact, and no class is used
    more often than its stock times `reuse`. Wrong halves are spread evenly over the other classes, and give way only where the
    stock binds. (If no counts keep all of this, the number of halves that show a class may be off by one; and in a stock of a few
    pictures, if even that is impossible, wrong halves are spread as evenly as whole numbers allow.) The same spec and stock give
    the same counts. The real-valued targets themselves must fit into the stock: that a count could be rounded down to fit is not enough.

    Raises:
        SpecError: the fields that fix the shares are too few or contradict each other; a wrong half is asked for with one class.
        Infeasible: no dataset is as asked; with the conflict and the nearest feasible values.
    """
    stock = Stock(stock.top, stock.bottom, shared=spec.shared)
    shares = resolve(spec)
    n = _wanted(spec, stock, shares)
    if n is None:
        raise explain(spec, stock, shares, lambda other: _is_solvable(other, stock))
    found = rounded(spec, stock, n, shares)
    if found is None:
        # The real-valued request fits a stock of a few pictures, but no whole numbers do.
        fewer = _fewer(spec, stock, n, shares)
        if fewer is None or spec.n != "max":
            raise indivisible(spec, stock, fewer.n if fewer else None)
        found = fewer
    return check_composition(found, shares)


def _wanted(spec: DominoSpec, stock: Stock, shares: Shares) -> int | None:
    """How many dominoes are asked for; None if the real-valued targets of so many do not fit into the stock. Raises SpecError."""
    for side, share, reliability in zip(SIDES, (shares.top, shares.bottom), spec.reliability, strict=True):
        if stock.classes == 1 and share > 0 and reliability < 1:
            raise SpecError(
                f"reliability {reliability:g} of the {side} half needs another class to be wrong with, there is one class; use 1"
            )
    most = capacity(spec, stock, shares)
    if most is None and spec.n == "max":
        raise SpecError("n max has no limit where no half is ever shown (prevalence 0 0); give n a number")
    n = most if spec.n == "max" else spec.n
    return n if isinstance(n, int) and n >= 1 and (most is None or n <= most) else None


def _fewer(spec: DominoSpec, stock: Stock, n: int, shares: Shares) -> Composition | None:
    return next((smaller for number in range(n - 1, 0, -1) if (smaller := rounded(spec, stock, number, shares))), None)


def _is_solvable(spec: DominoSpec, stock: Stock) -> bool:
    """Whether there are whole numbers that obey a request."""
    try:
        shares = resolve(spec)
        n = _wanted(spec, stock, shares)
    except SpecError:
        return False
    if n is None:
        return False
    return rounded(spec, stock, n, shares) is not None or (spec.n == "max" and _fewer(spec, stock, n, shares) is not None)


def broken_rules(composition: Composition, shares: Shares | None = None) -> list[str]:
    """Every rule that the counts break, one sentence each; empty for what `solve` returns. `shares`: the spec's, where they are known."""
    shares = shares or resolve(composition.spec)
    classes = composition.stock.classes
    if composition.states.shape != (classes, 9) or any(composition.shown[side].shape != (classes, classes) for side in SIDES):
        return [f"expected {classes}×9 states and {classes}×{classes} classes shown"]
    if composition.n < 1 or composition.spec.n not in ("max", composition.n):
        return [f"n is {composition.n}, asked was {composition.spec.n}"]
    most = capacity(composition.spec, composition.stock, shares)
    if most is not None and composition.n > most:
        return [f"n is {composition.n}, the stock allows {most}"]
    found = []
    vector = np.concatenate([composition.states.ravel(), *(composition.shown[side].ravel() for side in SIDES)])
    if vector.min() < 0:
        found.append("a count is negative")
    if vector[: classes * 9].sum() != composition.n:
        found.append(f"the states add up to {vector[: classes * 9].sum()}, n is {composition.n}")
    wrong = {side: composition.shown[side] - np.diag(np.diag(composition.shown[side])) for side in SIDES}
    vector = np.concatenate([composition.states.ravel(), *(wrong[side].ravel() for side in SIDES)])
    goal = targets(composition.spec, composition.stock, composition.n, shares)
    for side in SIDES:
        for label in range(classes):
            right, off = composition.states[label, RIGHT[side]].sum(), composition.states[label, WRONG[side]].sum()
            if composition.shown[side][label, label] != right or wrong[side][label].sum() != off:
                found.append(f"label {label}: the {side} halves by class shown do not add up to {right} right and {off} wrong")
    # What may give way if nothing stricter has an answer, by what has to be without one.
    given_way: dict[int, list[str]] = {1: [], 2: []}
    for place in np.flatnonzero((vector < goal.low) | (vector > goal.high)):
        problem = f"{_place_name(int(place), classes)}: {vector[place]}, expected {_range(goal.low[place], goal.high[place])}"
        (found if place < classes * 9 or goal.high[place] == 0 else given_way[2]).append(problem)
    for number, (name, index) in enumerate(margins(classes)):
        low, high, count = goal.margin_low[number], goal.margin_high[number], vector[index].sum()
        if not low <= count <= high:
            group = found if SHOWING not in name else given_way[1 if low - 1 <= count <= high + 1 else 2]
            group.append(f"{name}: {count}, expected {_range(low, high)}")
    for level, problems in given_way.items():
        if problems and any(search(goal, composition.spec, composition.stock, composition.n, give) is not None for give in GIVE[:level]):
            found += problems
    for side in SIDES:
        missing = [(showing, -left) for showing, left in enumerate(composition.left(side)) if left < 0]
        found += [f"{side} class {showing}: {count} pictures more than the stock has" for showing, count in missing]
    return found


def _place_name(place: int, classes: int) -> str:
    """What is counted at a place of the vector of `Targets`."""
    if place < 9 * classes:
        return f"label {place // 9}, {STATES[place % 9]}"
    side, rest = divmod(place - 9 * classes, classes**2)
    return f"label {rest // classes}, {SIDES[side]} showing {rest % classes}"


def check_composition(composition: Composition, shares: Shares | None = None) -> Composition:
    """Return the composition if every rule of the solver holds, else raise CompositionError that names each broken one."""
    found = broken_rules(composition, shares)
    if found:
        raise CompositionError("; ".join(found))
    return composition


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} or {high}" if high == low + 1 else f"{low} to {high}"
