"""The solver's rules once more, written plainly and slowly, to hold the solver against."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from dominoes.solver.composition import Composition

PARTS = ("absent", "right", "wrong")


def compositions(total: int, places: int) -> Iterator[tuple[int, ...]]:
    """Every way to put `total` things into `places` boxes."""
    if places == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, places - 1):
            yield (first, *rest)


def rounded(value: int, target: Fraction) -> bool:
    """Whether a count is its target rounded down or up."""
    return floor(target) <= value <= ceil(target)


def cell_target(n: int, label: Fraction, kinds: tuple[Fraction, ...], rho: tuple[Fraction, Fraction], top: str, bottom: str) -> Fraction:
    """Target of one (label, top part, bottom part), from the definitions of design: kinds (top, bottom, both, empty)."""
    share = {
        (True, False): kinds[0],
        (False, True): kinds[1],
        (True, True): kinds[2],
        (False, False): kinds[3],
    }[top != "absent", bottom != "absent"]
    for part, reliability in ((top, rho[0]), (bottom, rho[1])):
        if part != "absent":
            share *= reliability if part == "right" else 1 - reliability
    return n * label * share


class Rules:
    """Every rule for one request with balanced labels, targets computed once."""

    def __init__(
        self,
        n: int,
        kinds: tuple[Fraction, ...],
        rho: tuple[Fraction, Fraction],
        stock: tuple[tuple[int, ...], tuple[int, ...]],
    ):
        self.n, self.stock, self.classes = n, stock, len(stock[0])
        goal = np.empty((self.classes, 3, 3), dtype=object)
        for label, top, bottom in product(range(self.classes), range(3), range(3)):
            goal[label, top, bottom] = cell_target(n, Fraction(1, self.classes), kinds, rho, PARTS[top], PARTS[bottom])
        any_, shown = np.ones(3, bool), np.array([0, 1, 1], bool)
        right, wrong = np.array([0, 1, 0], bool), np.array([0, 0, 1], bool)
        masks = [np.outer(np.arange(3) == top, np.arange(3) == bottom) for top, bottom in product(range(3), range(3))]
        masks += [np.outer(any_, any_), np.outer(shown, ~shown), np.outer(~shown, shown), np.outer(shown, shown)]
        for part in (shown, right, wrong):
            masks += [np.outer(part, any_), np.outer(any_, part)]
        self.sums = []
        for mask in masks:
            self.sums.append((None, mask, sum(goal[:, mask].ravel(), Fraction(0))))
            self.sums += [(label, mask, sum(goal[label][mask], Fraction(0))) for label in range(self.classes)]
        self.goals = [goal.sum(2), goal.sum(1)]

    def cells(self, cells: NDArray[np.int64]) -> bool:
        """Whether K×3×3 cells keep n and every margin of cells."""
        if cells.sum() != self.n:
            return False
        return all(rounded(int((cells[:, mask] if label is None else cells[label][mask]).sum()), goal) for label, mask, goal in self.sums)

    def flows(self, cells: NDArray[np.int64], flows: tuple[NDArray[np.int64], ...], *, off: int = 0) -> bool:
        """Whether K×K wrong halves (label, class shown) fit the cells, the even spread and the stock; classes shown up to `off` off."""
        for side, flow in enumerate(flows):
            by_part, goals = cells.sum(2 - side), self.goals[side]
            for label in range(self.classes):
                if flow[label].sum() != by_part[label, 2] or flow[label, label]:
                    return False
                for other in range(self.classes):
                    if other != label and not rounded(int(flow[label, other]), goals[label, 2] / (self.classes - 1)):
                        return False
            for number in range(self.classes):
                others = (goals[label, 2] / (self.classes - 1) for label in range(self.classes) if label != number)
                spread = sum(others, goals[number, 1])
                used = int(by_part[number, 1] + flow[:, number].sum())
                if used > self.stock[side][number] or not any(rounded(used + step, spread) for step in range(-off, off + 1)):
                    return False
        return True


def as_arrays(found: Composition) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cells and wrong halves of a composition in the form of `obeys`."""
    cells = found.states.reshape(-1, 3, 3)
    flows = [found.shown[side] - np.diag(np.diag(found.shown[side])) for side in ("top", "bottom")]
    return cells, (flows[0], flows[1])
