"""From the given ones of prevalence, both, empty and ratio to exact shares of the four kinds."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import isqrt

from dominoes.errors import SpecError
from dominoes.spec import DominoSpec

# The tie between the fields is linear but for one case: columns are A, C, D, E, then the right-hand side.
_TIE = [1, 1, -1, 1, 1]
_NAMES = ("prevalence of the top half", "prevalence of the bottom half", "both", "empty", "ratio")
# Decimals that a researcher rounds by hand (.3333333333) may disagree by this much before they contradict.
_TOLERANCE = Fraction(1, 10**9)


def exact(value: float) -> Fraction:
    """The fraction that a decimal means: 0.29 is 29/100 and 0.3333333333333333 is 1/3, not their binary neighbours."""
    written = Fraction(repr(float(value)))
    simple = written.limit_denominator(10**9)
    return simple if float(simple) == float(value) else written


@dataclass(frozen=True)
class Shares:
    """Exact shares of the dominoes. `top`, `bottom`: the half is shown; `both`, `empty`: both, none.

    `independent` says that `both` was not asked for but set to top · bottom.
    """

    top: Fraction
    bottom: Fraction
    both: Fraction
    empty: Fraction
    independent: bool

    @property
    def kinds(self) -> tuple[Fraction, Fraction, Fraction, Fraction]:
        """Shares of the kinds top, bottom, both, empty. A negative one means that no such dominoes exist."""
        return self.top - self.both, self.bottom - self.both, self.both, self.empty

    @property
    def ratio(self) -> Fraction | None:
        """Top over bottom prevalence; None where the bottom half is never shown."""
        return self.top / self.bottom if self.bottom else None


def given(spec: DominoSpec) -> dict[str, Fraction]:
    """The fields that fix the shares and were given, as exact fractions, by the names that messages use."""
    values = (*spec.prevalence, spec.both, spec.empty, spec.ratio)
    return {name: exact(value) for name, value in zip(_NAMES, values, strict=True) if value is not None}


def resolve(spec: DominoSpec) -> Shares:
    """Shares from the given fields, by E = 1 − A − C + D, R = A/C and, where D is neither given nor implied, D = A·C.

    Raises SpecError if the fields are too few or contradict each other. Shares that are negative, which no dataset can have,
    are returned as they are: `composition.solve` explains them together with the stock.
    """
    fields = given(spec)
    solution, free = _eliminate(_rows(fields))
    if solution is None:
        raise SpecError(_contradiction(fields))
    independent = False
    if len(free) == 1 and "both" not in fields:
        points = _independent(solution, free[0])
        if points == []:
            raise SpecError(_contradiction(fields, "both = top × bottom, as both is not given"))
        if points:
            solution, free, independent = points[0], [], True
    if free or solution is None:
        names = ", ".join(f"{name} {_short(value)}" for name, value in fields.items()) or "none"
        raise SpecError(
            "too few of prevalence (top, bottom), both, empty and ratio: three independent ones fix the rest "
            f"(without both, two do, and the halves are shown independently); got {names}; add one"
        )
    top, bottom, both, empty = solution
    return Shares(top, bottom, both, empty, independent)


def _rows(fields: dict[str, Fraction]) -> list[list[Fraction]]:
    rows = [[Fraction(value) for value in _TIE]]
    for column, name in enumerate(_NAMES[:4]):
        if name in fields:
            rows.append([Fraction(int(column == other)) for other in range(4)] + [fields[name]])
    if "ratio" in fields:
        rows.append([Fraction(1), -fields["ratio"], Fraction(0), Fraction(0), Fraction(0)])
    return rows


def _eliminate(rows: list[list[Fraction]]) -> tuple[list[Fraction] | None, list[list[Fraction]]]:
    """Solve for A, C, D, E: a solution (None if the rows contradict) and a basis of the directions left free."""
    rows = [row[:] for row in rows]
    pivots: list[int] = []
    for column in range(4):
        lead = next((row for row in rows[len(pivots) :] if row[column]), None)
        if lead is None:
            continue
        rows.remove(lead)
        lead = [value / lead[column] for value in lead]
        rows = [[a - row[column] * b for a, b in zip(row, lead, strict=True)] for row in rows]
        rows.insert(len(pivots), lead)
        pivots.append(column)
    if any(abs(row[4]) > _TOLERANCE for row in rows[len(pivots) :]):
        return None, []
    solution, free = [Fraction(0)] * 4, []
    for column in set(range(4)) - set(pivots):
        direction = [Fraction(int(column == other)) for other in range(4)]
        for pivot, row in zip(pivots, rows, strict=False):
            direction[pivot] = -row[column]
        free.append(direction)
    for pivot, row in zip(pivots, rows, strict=False):
        solution[pivot] = row[4]
    return solution, free


def _independent(point: list[Fraction], direction: list[Fraction]) -> list[list[Fraction]] | None:
    """The points on a line at which D = A·C, those with all shares in [0, 1] first; None if all of the line is such."""
    (a, c, d, _), (da, dc, dd, _) = point, direction
    coefficients = da * dc, a * dc + c * da - dd, a * c - d
    if not any(coefficients):
        return None
    points = [[x + root * dx for x, dx in zip(point, direction, strict=True)] for root in _roots(*coefficients)]
    return sorted(points, key=lambda values: not all(0 <= value <= 1 for value in values))


def _roots(a: Fraction, b: Fraction, c: Fraction) -> list[Fraction]:
    """Real roots of a·x² + b·x + c."""
    if a == 0:
        return [-c / b] if b else []
    square = b * b - 4 * a * c
    if square < 0:
        return []
    # Exact where the root is rational, else to thirty digits.
    root = Fraction(isqrt(square.numerator * square.denominator * 10**60), square.denominator * 10**30)
    return [(-b + root) / (2 * a), (-b - root) / (2 * a)]


def _contradiction(fields: dict[str, Fraction], rule: str = "") -> str:
    """Name the smallest set of given fields that contradict, the rule that ties them, and what each would have to be."""
    names = list(fields)
    if not rule:
        names = next(
            list(subset)
            for size in range(1, len(fields) + 1)
            for subset in combinations(fields, size)
            if _eliminate(_rows({name: fields[name] for name in subset}))[0] is None
        )
    ways = []
    for name in names:
        value = _implied(name, {other: fields[other] for other in names if other != name})
        if value is not None and value >= 0 and (value <= 1 or name == "ratio"):
            ways.append(f"{name} {_short(value)}")
    rules = [rule] if rule else []
    if "ratio" in names:
        rules.append("ratio = top / bottom")
    if len(set(names) - {"ratio"}) > 2 or rule:
        rules.append("empty = 1 − top − bottom + both")
    listed = ", ".join(f"{name} {_short(fields[name])}" for name in names)
    fits = f"; it would fit with {' or '.join(ways)}" if ways else ""
    return f"{listed} contradict each other, because {' and '.join(rules)}{fits}; change or drop one of them"


def _implied(name: str, others: dict[str, Fraction]) -> Fraction | None:
    """The value that the other fields leave to one field, None if they leave it open or contradict."""
    solution, free = _eliminate(_rows(others))
    columns = [0, 1] if name == "ratio" else [_NAMES.index(name)]
    if solution is None or any(direction[column] for direction in free for column in columns):
        return None
    if name == "ratio":
        return solution[0] / solution[1] if solution[1] else None
    return solution[columns[0]]


def _short(value: Fraction) -> str:
    return f"{float(value):.6g}"
