"""Real-valued targets of every count of a dataset, and of every sum of counts that the rounding keeps."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from dominoes.solver.shares import Shares, exact, resolve
from dominoes.solver.stock import Stock, label_shares
from dominoes.spec import SIDES, DominoSpec

Counts = NDArray[np.int64]

_PARTS = ("absent", "right", "wrong")
# A state is the top's part, then the bottom's; its number is 3 · top + bottom.
STATES = tuple(f"{top}/{bottom}" for top in _PARTS for bottom in _PARTS)
# By side, the states in which the half is right, and wrong.
RIGHT = {"top": (3, 4, 5), "bottom": (1, 4, 7)}
WRONG = {"top": (6, 7, 8), "bottom": (2, 5, 8)}
OF_KIND = {"top": (3, 6), "bottom": (1, 2), "both": (4, 5, 7, 8), "empty": (0,)}
SHOWING = " showing class "
# Targets of a spread that gives way to the stock come from an iteration; this covers its error.
_SLACK = 1e-6


@dataclass(frozen=True)
class Targets:
    """Real-valued targets of the counts, rounded down (`low`) and up (`high`), and of their margins.

    Counts stand in one vector: K×9 cells (label, state), then K×K wrong halves (label, class shown) of the top and of the bottom.
    """

    low: Counts
    high: Counts
    margin_low: Counts
    margin_high: Counts


@lru_cache(maxsize=32)
def margins(classes: int) -> tuple[tuple[str, NDArray[np.intp]], ...]:
    """Every margin that the rounding keeps: a name, and the places of its counts in the vector of `Targets`."""
    cells, wrong = places(classes)
    groups = {f"kind {kind}": states for kind, states in OF_KIND.items()}
    for side in SIDES:
        groups[f"{side} shown"] = RIGHT[side] + WRONG[side]
        groups[f"{side} right"] = RIGHT[side]
        groups[f"{side} wrong"] = WRONG[side]
    found = [(f"state {name}", cells[:, state]) for state, name in enumerate(STATES)]
    found += [(name, cells[:, states].ravel()) for name, states in groups.items()]
    for label in range(classes):
        found.append((f"label {label}", cells[label]))
        found += [(f"label {label}, {name}", cells[label, states]) for name, states in groups.items() if len(states) > 1]
        found += [(f"{side}{SHOWING}{label}", showing_places(side, label, cells, wrong[side])) for side in SIDES]
    return tuple(found)


def places(classes: int) -> tuple[NDArray[np.intp], dict[str, NDArray[np.intp]]]:
    """Where the vector of `Targets` holds the cells (K×9) and each side's wrong halves (K×K)."""
    index = np.arange(classes * (9 + 2 * classes))
    cells = index[: classes * 9].reshape(classes, 9)
    top, bottom = index[classes * 9 :].reshape(2, classes, classes)
    return cells, {"top": top, "bottom": bottom}


def showing_places(side: str, shown: int, cells: NDArray[np.intp], wrong: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.concatenate([cells[shown, RIGHT[side]], np.delete(wrong[:, shown], shown)])


@lru_cache(maxsize=32)
def targets(spec: DominoSpec, stock: Stock, n: int, shares: Shares | None = None) -> Targets:
    """Targets of every count and margin of a feasible request for n dominoes. `shares`: the spec's, where they are known already."""
    shares, classes = shares or resolve(spec), stock.classes
    labels = label_shares(spec, stock, shares)
    states = _state_shares(shares, *map(exact, spec.reliability))
    wrong = {side: [n * share * sum(states[state] for state in WRONG[side]) for share in labels] for side in SIDES}
    right = {side: [n * share * sum(states[state] for state in RIGHT[side]) for share in labels] for side in SIDES}
    spread: dict[str, tuple[list[Fraction], Fraction]] = {}
    full: dict[str, int] = {}
    for sides, counts in stock.pools:
        room = [spec.reuse * count - sum((right[side][label] for side in sides), Fraction(0)) for label, count in enumerate(counts)]
        demand = [sum((wrong[side][label] for side in sides), Fraction(0)) for label in range(classes)]
        weights, error = _weights(demand, room)
        spread |= dict.fromkeys(sides, (weights, error))
        if len(sides) == 1:
            full |= {f"{sides[0]}{SHOWING}{j}": spec.reuse * count for j, count in enumerate(counts) if weights[j] < 1}
    # Classes of equal stock have equal targets, so that of a million counts few differ: each is reckoned once, exactly.
    known = _Values()
    codes = [np.array([known.code(n * share * state, Fraction(0)) for share in labels for state in states], dtype=np.int64)]
    codes += [known.wrong_halves(wrong[side], *spread[side]).ravel() for side in SIDES]
    code = np.concatenate(codes)
    low, high = (each[code] for each in _round(known.values, known.slack))
    of_margins = [known.total(code[index]) for _, index in margins(classes)]
    sums, margin_slack = [total for total, _ in of_margins], [error for _, error in of_margins]
    # A class that runs out is used up: this target is known without error.
    for number, (name, _) in enumerate(margins(classes)):
        if name in full:
            sums[number], margin_slack[number] = Fraction(full[name]), Fraction(0)
    return Targets(low, high, *_round(sums, margin_slack))


class _Values:
    """Different real-valued targets, each with what covers its error, numbered as they come."""

    def __init__(self) -> None:
        self.values: list[Fraction] = []
        self.slack: list[Fraction] = []
        self._codes: dict[tuple[Fraction, Fraction], int] = {}
        self._totals: dict[bytes, tuple[Fraction, Fraction]] = {}

    def code(self, value: Fraction, slack: Fraction) -> int:
        """The number of a target."""
        if (value, slack) not in self._codes:
            self._codes[value, slack] = len(self.values)
            self.values.append(value)
            self.slack.append(slack)
        return self._codes[value, slack]

    def wrong_halves(self, wrong: list[Fraction], weights: list[Fraction], error: Fraction) -> NDArray[np.int64]:
        """Numbers of the targets of one side's wrong halves, K×K, label by class shown.

        Args:
            wrong: wrong halves of each label.
            weights, error: how they spread over the classes they show (`_weights`).
        """
        nothing, total = self.code(Fraction(0), Fraction(0)), sum(weights)
        rows: dict[tuple[Fraction, Fraction], NDArray[np.int64]] = {}
        shown = {weight: number for number, weight in enumerate(dict.fromkeys(weights))}
        kind_of = np.array([shown[weight] for weight in weights], dtype=np.int64)
        found = np.full((len(wrong), len(weights)), nothing, dtype=np.int64)
        for label, (count, own) in enumerate(zip(wrong, weights, strict=True)):
            if count <= 0:
                continue
            if (count, own) not in rows:
                others = total - own
                rows[count, own] = np.array([self.code(count * weight / others, error) for weight in shown], dtype=np.int64)
            found[label] = rows[count, own][kind_of]
            found[label, label] = nothing
        return found

    def total(self, code: NDArray[np.int64]) -> tuple[Fraction, Fraction]:
        """The sum of some targets, and the largest of their errors."""
        code = np.sort(code)
        key = code.tobytes()
        if key not in self._totals:
            numbers, counts = np.unique(code, return_counts=True)
            pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
            total = sum((count * self.values[number] for number, count in pairs), Fraction(0))
            self._totals[key] = total, max((self.slack[number] for number in numbers.tolist()), default=Fraction(0))
        return self._totals[key]


def _state_shares(shares: Shares, top: Fraction, bottom: Fraction) -> list[Fraction]:
    """Shares of the nine states, given the reliabilities."""
    top_only, bottom_only, both, empty = shares.kinds
    tops, bottoms = (top, 1 - top), (bottom, 1 - bottom)
    states = [empty, *(bottom_only * share for share in bottoms)]
    for share in tops:
        states += [top_only * share, *(both * share * other for other in bottoms)]
    return states


def _weights(demand: list[Fraction], room: list[Fraction]) -> tuple[list[Fraction], Fraction]:
    """How wrong halves spread over the classes they show: weights, and an upper bound of the error that these leave.

    All weights are 1, an even spread, where that fits. Else the spread of least relative entropy to the even one among those that
    fit: the weight of a class that runs out is lowered for all labels by one factor, all other classes stay alike.

    Args:
        demand: wrong halves by label.
        room: pictures of each class that right halves leave.
    """
    classes = len(demand)
    even = [Fraction(1)] * classes
    total = sum(demand)
    if not total or all((total - mine) / (classes - 1) <= space for mine, space in zip(demand, room, strict=True)):
        return even, Fraction(0)
    wanted, space = np.array(demand, dtype=float), np.array(room, dtype=float)
    weights = np.ones(classes)
    excess = np.inf
    for _ in range(2_000):
        others = weights.sum() - weights
        rate = np.divide(wanted, others, out=np.zeros(classes), where=others > 0)
        open_to = rate.sum() - rate
        excess = float(np.max(weights * open_to - space))
        if excess < 1e-9:
            break
        weights = np.minimum(weights, np.divide(space, open_to, out=np.ones(classes), where=open_to > 0))
    return [Fraction(weight) for weight in weights], Fraction(max(_SLACK, classes * excess))


def _round(values: list[Fraction], slack: list[Fraction]) -> tuple[Counts, Counts]:
    low = [max(0, floor(value - extra)) for value, extra in zip(values, slack, strict=True)]
    high = [ceil(value + extra) for value, extra in zip(values, slack, strict=True)]
    return np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)
