"""From a spec and a stock to exact integer counts.

The real-valued targets follow from the spec alone (kind independent of the label, wrong halves independent of the kind and of
the other half). Whether they fit into the stock is decided in exact fractions, by conditions that are necessary and sufficient
(`stock.limits`). Then all counts are rounded at once, by one small integer program in which every count and every margin may only be
its target rounded down or up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dominoes.errors import DominoesError, SpecError
from dominoes.solver.ideal_counts import OF_KIND, RIGHT, SHOWING, STATES, WRONG, Counts, Targets, margins, places, showing_places, targets
from dominoes.solver.infeasible import explain, indivisible
from dominoes.solver.shares import resolve
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import KINDS, SIDES, DominoSpec


class CompositionError(DominoesError):
    """A composition breaks a rule of the solver."""


@dataclass(frozen=True)
class Composition:
    """The solver's answer: exact counts, verified.

    Attributes:
        spec: the request, as it was made.
        stock: the pictures of each class that it drew on.
        n: number of dominoes.
        states: K×9 counts by label and state, states in the order of `STATES`.
        shown: by side, K×K counts of shown halves by label and class shown; the diagonal holds the right halves.
    """

    spec: DominoSpec
    stock: Stock
    n: int
    states: Counts
    shown: Mapping[str, Counts] = field(repr=False)

    @property
    def labels(self) -> list[int]:
        """Dominoes of each label."""
        return [int(count) for count in self.states.sum(1)]

    @cached_property
    def kinds(self) -> dict[str, int]:
        """Dominoes of each kind."""
        return {kind: int(self.states[:, OF_KIND[kind]].sum()) for kind in KINDS}

    def used(self, side: str) -> list[int]:
        """Halves of this side that show each class."""
        return [int(count) for count in self.shown[side].sum(0)]

    def left(self, side: str) -> list[int]:
        """Pictures of each class, times reuse, that stay unused in the stock of this side (shared sides: by both)."""
        sides = next(sides for sides, _ in self.stock.pools if side in sides)
        used = np.sum([self.used(other) for other in sides], axis=0)
        return [self.spec.reuse * count - int(use) for count, use in zip(self.stock.of(side), used, strict=True)]

    def right(self, side: str) -> int:
        """Right halves of this side."""
        return int(self.states[:, RIGHT[side]].sum())

    def wrong(self, side: str) -> int:
        """Wrong halves of this side."""
        return int(self.states[:, WRONG[side]].sum())

    @property
    def realised(self) -> dict[str, Any]:
        """The parameters as the counts have them; None where one is not defined (a ratio to nothing)."""
        counts = {side: self.right(side) + self.wrong(side) for side in SIDES}
        return {
            "n": self.n,
            "prevalence": [counts[side] / self.n for side in SIDES],
            "both": self.kinds["both"] / self.n,
            "empty": self.kinds["empty"] / self.n,
            "ratio": counts["top"] / counts["bottom"] if counts["bottom"] else None,
            "reliability": [self.right(side) / counts[side] if counts[side] else None for side in SIDES],
        }

    @property
    def requested(self) -> dict[str, Any]:
        """The parameters as asked for, the implied ones computed."""
        shares = resolve(self.spec)
        return {
            "n": self.spec.n,
            "prevalence": [float(shares.top), float(shares.bottom)],
            "both": float(shares.both),
            "empty": float(shares.empty),
            "ratio": None if shares.ratio is None else float(shares.ratio),
            "reliability": list(self.spec.reliability),
        } | self.spec.simplicity

    def problems(self) -> list[str]:
        """Every rule that the counts break, one sentence each; empty for what `solve` returns."""
        classes = self.stock.classes
        if self.states.shape != (classes, 9) or any(self.shown[side].shape != (classes, classes) for side in SIDES):
            return [f"expected {classes}×9 states and {classes}×{classes} classes shown"]
        if self.n < 1 or self.spec.n not in ("max", self.n):
            return [f"n is {self.n}, asked was {self.spec.n}"]
        most = capacity(self.spec, self.stock)
        if most is not None and self.n > most:
            return [f"n is {self.n}, the stock allows {most}"]
        found = []
        vector = np.concatenate([self.states.ravel(), *(self.shown[side].ravel() for side in SIDES)])
        if vector.min() < 0:
            found.append("a count is negative")
        if vector[: classes * 9].sum() != self.n:
            found.append(f"the states add up to {vector[: classes * 9].sum()}, n is {self.n}")
        wrong = {side: self.shown[side] - np.diag(np.diag(self.shown[side])) for side in SIDES}
        vector = np.concatenate([self.states.ravel(), *(wrong[side].ravel() for side in SIDES)])
        goal = targets(self.spec, self.stock, self.n)
        cells, flows = places(classes)
        names = {int(cells[label, state]): f"label {label}, {name}" for label in range(classes) for state, name in enumerate(STATES)}
        for side in SIDES:
            for label in range(classes):
                right, off = self.states[label, RIGHT[side]].sum(), self.states[label, WRONG[side]].sum()
                if self.shown[side][label, label] != right or wrong[side][label].sum() != off:
                    found.append(f"label {label}: the {side} halves by class shown do not add up to {right} right and {off} wrong")
                names |= {int(flows[side][label, shown]): f"label {label}, {side} showing {shown}" for shown in range(classes)}
        # What may give way if nothing stricter has an answer, by what has to be without one.
        given_way: dict[int, list[str]] = {1: [], 2: []}
        for place in np.flatnonzero((vector < goal.low) | (vector > goal.high)):
            problem = f"{names[int(place)]}: {vector[place]}, expected {_range(goal.low[place], goal.high[place])}"
            (found if place < classes * 9 or goal.high[place] == 0 else given_way[2]).append(problem)
        for number, (name, index) in enumerate(margins(classes)):
            low, high, count = goal.margin_low[number], goal.margin_high[number], vector[index].sum()
            if not low <= count <= high:
                group = found if SHOWING not in name else given_way[1 if low - 1 <= count <= high + 1 else 2]
                group.append(f"{name}: {count}, expected {_range(low, high)}")
        for level, problems in given_way.items():
            if problems and any(_search(goal, self.spec, self.stock, self.n, give) is not None for give in _GIVE[:level]):
                found += problems
        for side in SIDES:
            found += [f"{side} class {j}: {-left} pictures more than the stock has" for j, left in enumerate(self.left(side)) if left < 0]
        return found

    def check(self) -> Composition:
        """Return self if every rule of the solver holds, else raise CompositionError that names each broken one."""
        found = self.problems()
        if found:
            raise CompositionError("; ".join(found))
        return self

    def to_json(self) -> dict[str, Any]:
        """The contract of `composition.json` and `dominoes solve --json`."""
        return {
            "n": self.n,
            "kinds": self.kinds,
            "labels": self.labels,
            "states": {name: self.states[:, state].tolist() for state, name in enumerate(STATES)},
            "shown": {side: self.shown[side].tolist() for side in SIDES},
            "stock": {
                side: {
                    "source": getattr(self.spec, side),
                    "split": self.spec.split.value,
                    "pictures": list(self.stock.of(side)),
                    "used": self.used(side),
                    "left": self.left(side),
                }
                for side in SIDES
            },
            "requested": self.requested,
            "realised": self.realised,
        }

    def dumps(self) -> str:
        """`to_json` as indented text, equal for equal compositions."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} or {high}" if high == low + 1 else f"{low} to {high}"


def from_json(values: Mapping[str, Any], spec: DominoSpec) -> Composition:
    """Read a composition back. Raises CompositionError if it is malformed; `check` says whether its counts are right."""
    try:
        states = np.array([values["states"][name] for name in STATES], dtype=np.int64).T
        shown = {side: np.array(values["shown"][side], dtype=np.int64) for side in SIDES}
        top, bottom = (tuple(map(int, values["stock"][side]["pictures"])) for side in SIDES)
        stock = Stock(top, bottom, shared=spec.shared)
        shapes = {states.shape} | {(len(table), *table.shape) for table in shown.values()}
        if shapes != {(stock.classes, 9), (stock.classes, stock.classes, stock.classes)}:
            raise ValueError(f"counts of {stock.classes} classes")
        return Composition(spec, stock, int(values["n"]), states, shown)
    except (KeyError, TypeError, ValueError, OverflowError, SpecError) as error:
        raise CompositionError(f"the composition lacks or garbles {error}; solve the spec again") from error


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
    for side, share, reliability in zip(SIDES, (shares.top, shares.bottom), spec.reliability, strict=True):
        if stock.classes == 1 and share > 0 and reliability < 1:
            raise SpecError(
                f"reliability {reliability:g} of the {side} half needs another class to be wrong with, there is one class; use 1"
            )
    most = capacity(spec, stock)
    if most is None and spec.n == "max":
        raise SpecError("n max has no limit where no half is ever shown (prevalence 0 0); give n a number")
    n = most if spec.n == "max" else spec.n
    if not isinstance(n, int) or n < 1 or (most is not None and n > most):
        raise explain(spec, stock)
    found = _rounded(spec, stock, n)
    if found is None:
        # The real-valued request fits a stock of a few pictures, but no whole numbers do.
        fewer = next((smaller for number in range(n - 1, 0, -1) if (smaller := _rounded(spec, stock, number))), None)
        if fewer is None or spec.n != "max":
            raise indivisible(spec, stock, fewer.n if fewer else None)
        found = fewer
    return found.check()


def _rounded(spec: DominoSpec, stock: Stock, n: int) -> Composition | None:
    """Round all targets at once, as strictly as any counts allow; None if none do."""
    goal = targets(spec, stock, n)
    vector = next((found for give in _GIVE if (found := _search(goal, spec, stock, n, give)) is not None), None)
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
_GIVE = ("nothing", "classes shown by one", "spread of wrong halves")


def _search(goal: Targets, spec: DominoSpec, stock: Stock, n: int, give: str = "nothing") -> Counts | None:
    """Counts that keep every margin, as a feasibility problem in what each count takes above its rounded-down target.

    What may give way has a variable of its own, by how much it does; their sum is made smallest. None if there are no such counts.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    classes, counts = stock.classes, len(goal.low)
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
    if give == _GIVE[2]:
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
    width = np.concatenate([width, np.full(off - counts, 1 if give == _GIVE[1] else n, dtype=np.int64)])
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
