"""Pictures that a request can draw on, and the exact conditions that they set."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from dominoes.errors import SpecError
from dominoes.solver.shares import Shares, exact, resolve
from dominoes.spec import SIDES, DominoSpec, Labels


@dataclass(frozen=True)
class Stock:
    """Pictures of each class that the two sides can draw on: K whole numbers each, at least 0.

    Where both sides name one source they share its pictures (`shared`, which `solve` sets), and the two counts are the same.
    """

    top: tuple[int, ...]
    bottom: tuple[int, ...]
    shared: bool = False

    def __post_init__(self) -> None:
        if len(self.top) != len(self.bottom):
            raise SpecError(
                f"the top source has {len(self.top)} class{'' if len(self.top) == 1 else 'es'} and the bottom source {len(self.bottom)}; "
                "both halves are chosen by one label, so choose sources with as many classes, or as many of their classes (mnist[0,1])"
            )
        if not self.top or min(self.top + self.bottom) < 0:
            raise SpecError(f"stock: expected at least one class with counts of at least 0, got {self.top} and {self.bottom}")
        if self.shared and self.top != self.bottom:
            raise SpecError("stock: both sides draw on one source, so their counts must be the same")

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return len(self.top)

    def of(self, side: str) -> tuple[int, ...]:
        """Counts of one side."""
        return self.top if side == "top" else self.bottom

    @property
    def pools(self) -> tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]:
        """Sides that draw on the same pictures, with the counts of these."""
        return ((SIDES, self.top),) if self.shared else ((("top",), self.top), (("bottom",), self.bottom))


@dataclass(frozen=True)
class Limit:
    """One condition that the stock sets: a dataset of n dominoes needs n · `need` pictures, there are `have`.

    `sides` share the pictures. `what` is `class` (right halves of class `label`), `total` (all shown halves) or `others` (wrong
    halves of label `label` and right halves of every other class: all that cannot show class `label`).
    """

    sides: tuple[str, ...]
    what: str
    label: int | None
    need: Fraction
    have: int


def label_shares(spec: DominoSpec, stock: Stock, shares: Shares) -> list[Fraction]:
    """Share of each label: 1/K, or the mean over the sides that are shown of the class's share of that side's stock."""
    if spec.labels is Labels.BALANCED:
        return [Fraction(1, stock.classes)] * stock.classes
    shown = [stock.of(side) for side, share in zip(SIDES, (shares.top, shares.bottom), strict=True) if share] or [stock.top]
    if not all(map(sum, shown)):
        raise SpecError("labels stock: expected pictures in the stock to count labels by, got none; use labels balanced")
    return [sum((Fraction(counts[label], sum(counts)) for counts in shown), Fraction(0)) / len(shown) for label in range(stock.classes)]


def limits(spec: DominoSpec, stock: Stock, shares: Shares) -> list[Limit]:
    """All conditions of the stock. With non-negative shares they are necessary and sufficient for the real-valued targets.

    Right halves must come from their own class. Wrong halves of label l may show any class but l: a transport from labels to
    classes that, by Hall's theorem, exists exactly if every set of labels finds enough pictures in the classes it may show. A set
    of one label may show all classes but its own (`others`), every larger set may show all classes (`total`).
    """
    labels = label_shares(spec, stock, shares)
    prevalence = {"top": shares.top, "bottom": shares.bottom}
    reliability = dict(zip(SIDES, map(exact, spec.reliability), strict=True))
    found = []
    for sides, counts in stock.pools:
        have = [spec.reuse * count for count in counts]
        right = sum((prevalence[side] * reliability[side] for side in sides), Fraction(0))
        total = sum((prevalence[side] for side in sides), Fraction(0))
        found.append(Limit(sides, "total", None, total, sum(have)))
        found += [Limit(sides, "class", label, share * right, have[label]) for label, share in enumerate(labels)]
        for label, share in enumerate(labels):
            found.append(Limit(sides, "others", label, share * (total - right) + (1 - share) * right, sum(have) - have[label]))
    return [limit for limit in found if limit.need]


def capacity(spec: DominoSpec, stock: Stock, shares: Shares | None = None) -> int | None:
    """The largest n with which the request is feasible, 0 if there is none, None if nothing limits it. Does not look at `n`.

    `shares`: the spec's, where they are known already.
    """
    shares = shares or resolve(spec)
    if min(shares.kinds) < 0:
        return 0
    return min((floor(limit.have / limit.need) for limit in limits(spec, stock, shares)), default=None)
