"""Why a request is infeasible, in the researcher's words, and what would be feasible next to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import ceil

import numpy as np

from dominoes.dials import prototypes
from dominoes.errors import DominoesError, SpecError
from dominoes.solver.shares import Shares, exact, given, resolve
from dominoes.solver.stock import Limit, Stock, capacity, label_shares, limits
from dominoes.spec import SIDES, DominoSpec, Labels


class Infeasible(DominoesError):  # noqa: N818  (an answer, not a mishap)
    """No dataset obeys all of the request.

    Attributes:
        conflict: the smallest set of rules that no dataset obeys together, in the researcher's words.
        nearest: for each parameter in the conflict the nearest value with which, all else equal, the request is feasible;
            None where no value of this parameter alone helps.
    """

    def __init__(self, message: str, conflict: tuple[str, ...], nearest: Mapping[str, float | int | str | None]):
        super().__init__(message)
        self.conflict = conflict
        self.nearest = dict(nearest)


# Variables of the linear program: numbers of dominoes in all and of each kind, and of right halves by side.
_VARIABLES = ("n", "top", "bottom", "both", "empty", "right top", "right bottom")
Coefficients = Mapping[str, float]


@dataclass(frozen=True)
class SolverRule:
    """One wish of the researcher, or the stock: rows that equal 0 or `level` (`equal`) or stay at or below it."""

    parameter: str
    words: str
    rows: tuple[tuple[Coefficients, float], ...]
    sides: tuple[str, ...] = SIDES
    equal: bool = True


# Numbers of dominoes up to this are tried one by one before "at most" is said; in a stock of a few pictures not all of them fit.
_FEW = 30
# So many neighbours of a value that should fit are tried where whole dominoes do not.
_TRIES = 20


def explain(spec: DominoSpec, stock: Stock, shares: Shares, solves: Callable[[DominoSpec], bool]) -> Infeasible:
    """The explanation of an infeasible request: what is lacking, the smallest conflict, the nearest feasible values.

    Args:
        spec, stock: of the request.
        shares: of the spec.
        solves: says whether whole numbers obey another request on the same stock; every value is tried before it is suggested.
    """
    rules = _rules(spec, stock, shares)
    if min(shares.kinds) >= 0:
        # Of two equally small conflicts the one that the first sentence speaks of comes first.
        tight = _tightest(spec, stock, shares).sides
        rules.sort(key=lambda rule: not set(rule.sides) & set(tight))
    conflict = _smallest(rules)
    nearest = {rule.parameter: _nearest(rule.parameter, spec, stock, shares, solves) for rule in conflict}
    if "reuse" in nearest and spec.labels is Labels.BALANCED and solves(spec.model_copy(update={"labels": Labels.STOCK})):
        nearest["labels"] = "stock"
    if "reuse" in nearest and min(shares.kinds) >= 0 and "n" not in nearest:
        nearest["n"] = _nearest("n", spec, stock, shares, solves)
    ways = [_way(parameter, value, spec, shares, solves) for parameter, value in nearest.items() if value is not None]
    ways.sort(key=lambda way: not way.startswith("n "))
    remedy = f"Feasible with {', or '.join(ways)}" if ways else "No other value of a single one of these was found that makes it feasible"
    listed = ", ".join(rule.words for rule in conflict)
    message = f"{_lack(spec, stock, shares, conflict)}. In conflict: {listed}. {remedy}"
    return Infeasible(message, tuple(rule.words for rule in conflict), nearest)


def indivisible(spec: DominoSpec, stock: Stock, fewer: int | None) -> Infeasible:
    """The explanation where shares of a domino would fit into the stock, but whole dominoes do not. `fewer`: the next n that does."""
    conflict = (f"n {spec.n}", f"each {spec.split.value} picture used at most {'once' if spec.reuse == 1 else f'{spec.reuse} times'}")
    remedy = f"Feasible with n {fewer}, or a larger stock" if fewer else "A larger stock is needed"
    lack = f"n = {spec.n}: no whole numbers of dominoes fit into a stock of {sum(stock.top)} and {sum(stock.bottom)} pictures"
    return Infeasible(f"{lack}. In conflict: {', '.join(conflict)}. {remedy}", conflict, {"n": fewer})


def _rules(spec: DominoSpec, stock: Stock, shares: Shares) -> list[SolverRule]:
    found = []
    if isinstance(spec.n, int):
        found.append(SolverRule("n", f"n {spec.n}", (({"n": 1}, spec.n),)))
    fields = given(spec)
    # Where the given shares alone contradict each other, what the default makes of them is no wish of anybody.
    implied_both = shares.independent and min(shares.kinds) >= 0
    values = dict(fields) | ({"both": shares.both} if implied_both else {})
    for parameter, value in values.items():
        share, row = float(value), {}
        if parameter == "ratio":
            row = {"top": 1, "both": 1 - share, "bottom": -share}
        elif parameter in ("both", "empty"):
            row = {parameter: 1, "n": -share}
        else:
            row = {("top" if "top" in parameter else "bottom"): 1, "both": 1, "n": -share}
        implied = " (the halves independent)" if parameter not in fields else ""
        sides = tuple(side for side in SIDES if f"{side} half" in parameter) or SIDES
        found.append(SolverRule(parameter, f"{parameter} {share:.6g}{implied}", ((row, 0),), sides))
    for side, reliability in zip(SIDES, map(float, map(exact, spec.reliability)), strict=True):
        row = {f"right {side}": 1, side: -reliability, "both": -reliability}
        name = f"reliability of the {side} half"
        found.append(SolverRule(name, f"{name} {reliability:.6g}", ((row, 0),), (side,)))
    labels = [float(share) for share in label_shares(spec, stock, shares)]
    for sides, counts in stock.pools:
        have = [spec.reuse * count for count in counts]
        rows: list[tuple[Coefficients, float]] = [(_sum(sides, 1, 0), sum(have))]
        for label, share in enumerate(labels):
            rows.append((_sum(sides, 0, share), have[label]))
            rows.append((_sum(sides, share, 1 - 2 * share), sum(have) - have[label]))
        times = "once" if spec.reuse == 1 else f"{spec.reuse} times"
        words = f"each {spec.split.value} picture of {getattr(spec, sides[0])} used at most {times}{_dialled(spec, sides)}"
        found.append(SolverRule("reuse", words, tuple(rows), sides, equal=False))
    return found


def _sum(sides: tuple[str, ...], shown: float, right: float) -> dict[str, float]:
    row: dict[str, float] = {"both": shown * len(sides)}
    for side in sides:
        row |= {side: shown, f"right {side}": right}
    return row


def _smallest(rules: list[SolverRule]) -> list[SolverRule]:
    """The smallest subset of the rules that no dataset obeys; of equally small ones the first in the rules' order."""
    for size in range(1, len(rules)):
        for subset in combinations(rules, size):
            if not _feasible(subset):
                return list(subset)
    return rules


def _feasible(rules: tuple[SolverRule, ...]) -> bool:
    """Whether counts, at least one domino, obey the rules; the shares, where no rule fixes them, are free."""
    from scipy.optimize import linprog

    def dense(row: Coefficients) -> list[float]:
        return [row.get(variable, 0) for variable in _VARIABLES]

    equal = [(dense(row), level) for rule in rules if rule.equal for row, level in rule.rows]
    equal.append((dense({"n": -1, "top": 1, "bottom": 1, "both": 1, "empty": 1}), 0))
    most = [(dense(row), level) for rule in rules if not rule.equal for row, level in rule.rows]
    for side in SIDES:
        most.append((dense({f"right {side}": 1, side: -1, "both": -1}), 0))
    answer = linprog(
        np.zeros(len(_VARIABLES)),
        A_eq=[row for row, _ in equal],
        b_eq=[level for _, level in equal],
        A_ub=[row for row, _ in most],
        b_ub=[level for _, level in most],
        bounds=[(1, None)] + [(0, None)] * (len(_VARIABLES) - 1),
    )
    return bool(answer.status != 2)


def _lack(spec: DominoSpec, stock: Stock, shares: Shares, conflict: list[SolverRule]) -> str:
    """What is lacking, with its numbers."""
    if shares.independent and min(shares.kinds) < 0:
        return f"no dominoes have {' and '.join(rule.words for rule in conflict)}, however many of them show both halves"
    top, bottom, both, empty = map(float, shares.kinds)
    for side, alone, share in (("top", top, shares.top), ("bottom", bottom, shares.bottom)):
        if alone < 0 <= both and 0 <= share <= 1:
            return f"both halves cannot be shown in {both:.6g} of the dominoes when the {side} half is shown in {float(share):.6g} of them"
    for side, share in zip(SIDES, (shares.top, shares.bottom), strict=True):
        if not 0 <= share <= 1:
            return f"the shares asked for leave the {side} half a prevalence of {float(share):.6g}, and a share lies from 0 to 1"
    if both < 0 or empty < 0:
        name, value = ("both", both) if both < 0 else ("empty", empty)
        return f"the shares asked for leave {value:.6g} of the dominoes to {name}, and a share cannot be negative"
    n = spec.n if isinstance(spec.n, int) else 1
    limit = _tightest(spec, stock, shares)
    prevalence = dict(zip(SIDES, (shares.top, shares.bottom), strict=True))
    parts = []
    for side, reliability in zip(SIDES, spec.reliability, strict=True):
        if side in limit.sides:
            rho = f" and reliability {reliability:g}" if reliability < 1 else ""
            parts.append(f"prevalence {float(prevalence[side]):.6g}{rho} of the {side} half")
    source = getattr(spec, limit.sides[0])
    what = {"class": f"of class {limit.label}", "total": "", "others": f"of classes other than {limit.label}"}[limit.what]
    pictures = f"{source} pictures {what}".rstrip()
    times = f" and each may be used {spec.reuse} times" if spec.reuse > 1 else ""
    needs = f"n = {n} with {' and '.join(parts)} needs {ceil(n * limit.need)} {pictures}"
    return f"{needs}; the {spec.split.value} split has {limit.have // spec.reuse}{_dialled(spec, limit.sides)}{times}"


def _dialled(spec: DominoSpec, sides: tuple[str, ...]) -> str:
    """What a dial makes of the stock, for a message about it; nothing where none acts on it."""
    kept = [(side, number) for side in sides if (number := prototypes(spec.transforms(side))) is not None]
    said = [
        f"{side}_transform prototypes={number} repeats {number} pictures a class to this number, and no further" for side, number in kept
    ]
    return f" ({'; '.join(said)})" if said else ""


def _tightest(spec: DominoSpec, stock: Stock, shares: Shares) -> Limit:
    return min(limits(spec, stock, shares), key=lambda limit: float(limit.have / limit.need))


def _way(parameter: str, value: object, spec: DominoSpec, shares: Shares, solves: Callable[[DominoSpec], bool]) -> str:
    if parameter in ("labels", "reuse"):
        return f"{parameter} {value}"
    if parameter == "n":
        assert isinstance(value, int)
        all_smaller = value > _FEW or all(solves(spec.model_copy(update={"n": number})) for number in range(1, value))
        return f"n {'at most ' if all_smaller else ''}{value}"
    now = _current(parameter, spec, shares)
    assert isinstance(value, float)
    return f"{parameter} {'at most' if value < now else 'at least'} {value:.9g}"


def _current(parameter: str, spec: DominoSpec, shares: Shares) -> float:
    if parameter.startswith("reliability"):
        return spec.reliability["bottom" in parameter]
    value = given(spec).get(parameter)
    return float(shares.both if value is None else value)


def _with(parameter: str, value: float, spec: DominoSpec) -> DominoSpec:
    """The spec with one parameter changed."""
    side = "bottom half" in parameter
    for field in ("prevalence", "reliability"):
        if parameter.startswith(field):
            pair = list(getattr(spec, field))
            pair[side] = value
            return spec.model_copy(update={field: tuple(pair)})
    return spec.model_copy(update={parameter: value})


def _slack(spec: DominoSpec, stock: Stock, shares: Shares) -> float:
    """How far the request is inside (positive) or outside (negative) of what is feasible, as a share."""
    slack = float(min(shares.kinds))
    if slack < 0:
        return slack
    n = spec.n if isinstance(spec.n, int) else 1
    pairs = [(Fraction(limit.have), n * limit.need) for limit in limits(spec, stock, shares)]
    return min([slack, *(float((have - need) / max(have, need)) for have, need in pairs)])


def _nearest(
    parameter: str, spec: DominoSpec, stock: Stock, shares: Shares, solves: Callable[[DominoSpec], bool]
) -> float | int | str | None:
    """The feasible value of one parameter, all others as they are, that is nearest to the one asked for."""
    if parameter in ("n", "reuse"):
        value = capacity(spec, stock, shares) if parameter == "n" else _reuse(spec, stock, shares)
        near = range(value or 0, 0, -1) if parameter == "n" else range(value or 1, (value or -_TRIES) + _TRIES)
        return next((number for number in near[:_TRIES] if solves(spec.model_copy(update={parameter: number}))), None)
    now = _current(parameter, spec, shares)
    # A ratio lives in [0, ∞): search it as r/(1+r).
    unfold: Callable[[float], float] = (lambda x: x / (1 - x)) if parameter == "ratio" else (lambda x: x)
    top = 0.999999 if parameter == "ratio" else 1.0
    start = min(now / (1 + now), top) if parameter == "ratio" else now

    @cache
    def slack(x: float) -> float:
        changed = _with(parameter, unfold(x), spec)
        try:
            return _slack(changed, stock, shares if parameter.startswith("reliability") else resolve(changed))
        except SpecError:
            return -np.inf

    grid = sorted({*np.linspace(0, top, 41).tolist(), start, *(_corners(parameter, spec) if parameter != "ratio" else ())})
    values = [slack(x) for x in grid]
    best = int(np.argmax(values))
    inside = grid[best]
    if values[best] < 0:
        inside = _highest(slack, grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)])
        if slack(inside) < 0:
            return None
    else:
        reachable = [x for x, value in zip(grid, values, strict=True) if value >= 0]
        inside = min(reachable, key=lambda x: abs(x - start))
    outside = start
    # Finer than the shortest decimal that is looked for next to the boundary.
    while abs(inside - outside) > 1e-11:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if slack(middle) >= 0 else (inside, middle)
    return _tidy(unfold(inside), up=inside > start, fits=lambda value: solves(_with(parameter, value, spec)))


def _corners(parameter: str, spec: DominoSpec) -> list[float]:
    """Values of a parameter at which a kind's share is exactly 0: feasible values that stand alone are among them.

    The shares are linear in each parameter but the ratio, so two points fix them.
    """
    ends = []
    for value in (0.0, 1.0):
        try:
            ends.append(resolve(_with(parameter, value, spec)).kinds)
        except SpecError:
            return []
    found = [low / (low - high) for low, high in zip(*ends, strict=True) if low != high]
    return [float(value) for value in found if 0 <= value <= 1]


def _highest(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(lambda x: -max(function(x), -2.0), bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)


def _tidy(value: float, *, up: bool, fits: Callable[[float], bool]) -> float | None:
    """The shortest decimal that is feasible, next to a boundary."""
    for digits in range(4, 10):
        unit = 10.0**digits
        for candidate in (round(value, digits), (np.ceil if up else np.floor)(value * unit) / unit):
            if abs(candidate - value) <= 1e-6 and fits(float(candidate)):
                return float(candidate)
    return float(value) if fits(value) else None


def _reuse(spec: DominoSpec, stock: Stock, shares: Shares) -> int | None:
    if min(shares.kinds) < 0:
        return None
    n = spec.n if isinstance(spec.n, int) else 1
    found: list[Limit] = limits(spec.model_copy(update={"reuse": 1}), stock, shares)
    if any(not limit.have for limit in found):
        return None
    return max(ceil(limit.need * n / Fraction(limit.have)) for limit in found)
