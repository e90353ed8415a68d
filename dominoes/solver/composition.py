"""The record of a solved request: exact counts, and what follows from them by arithmetic alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dominoes.errors import DominoesError, SpecError
from dominoes.solver.ideal_counts import OF_KIND, RIGHT, STATES, WRONG, Counts
from dominoes.solver.shares import resolve
from dominoes.solver.stock import Stock
from dominoes.spec import KINDS, SIDES, DominoSpec

if TYPE_CHECKING:
    import pandas as pd


class CompositionError(DominoesError):
    """A composition breaks a rule of the solver."""


@dataclass(frozen=True, repr=False)
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

    def table(self) -> pd.DataFrame:
        """Counts by label (rows) and state (columns, in the order of `STATES`)."""
        import pandas as pd

        return pd.DataFrame(self.states, index=pd.RangeIndex(self.stock.classes, name="label"), columns=list(STATES))

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        wrong = ", ".join(f"{self.wrong(side)} of {self.right(side) + self.wrong(side)} {side} halves wrong" for side in SIDES)
        return f"<Composition: {self.n} dominoes of {self.stock.classes} classes ({kinds}); {wrong}>"

    def dumps(self) -> str:
        """`to_json` as indented text, equal for equal compositions."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"


def from_json(values: Mapping[str, Any], spec: DominoSpec) -> Composition:
    """Read a composition back. Raises CompositionError if it is malformed; `check_composition` says whether its counts are right."""
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
