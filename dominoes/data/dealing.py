"""Pictures of the stock are assigned to a composition, by seed. Indices only: no pixel is touched here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dominoes.arrays import WholeArray
from dominoes.data import sources
from dominoes.data.sources import Source
from dominoes.errors import SpecError
from dominoes.solver.composition import Composition
from dominoes.solver.ideal_counts import RIGHT, WRONG
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock
from dominoes.spec import KINDS, SIDES, DominoSpec, stream


@dataclass(frozen=True)
class Deal:
    """A table with a row for each of n dominoes.

    Attributes:
        label: class of the domino, from 0.
        index: by side, number of the picture in the source's split; −1 where the half is blank.
        shown: by side, class that the half shows; −1 where it is blank.
    """

    label: WholeArray
    index: Mapping[str, WholeArray]
    shown: Mapping[str, WholeArray]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def kind(self) -> WholeArray:
        """Number of each domino's kind in `spec.KINDS`."""
        top, bottom = (self.index[side] >= 0 for side in SIDES)
        return np.where(top, np.where(bottom, 2, 0), np.where(bottom, 1, 3)).astype(np.int64)

    def of_kind(self, kind: str) -> WholeArray:
        """Rows of one kind, in order."""
        return np.flatnonzero(self.kind == KINDS.index(kind))


@dataclass(frozen=True)
class Dealt:
    """A spec with all that it became: counts, rows and the sources that the rows point into."""

    spec: DominoSpec
    composition: Composition
    deal: Deal
    top: Source
    bottom: Source

    def source(self, side: str) -> Source:
        """The source of one side."""
        return self.top if side == "top" else self.bottom


def deal_spec(spec: DominoSpec, *, data: Path | None = None, download: bool = False) -> Dealt:
    """Load the sources of a spec, solve it on their stock and deal. Raises SourceError, SpecError, Infeasible."""
    top, bottom = sources.pair(spec, data=data, download=download)
    composition = solve(spec, Stock(top.stock, bottom.stock))
    return Dealt(spec, composition, deal(composition, top, bottom), top, bottom)


def deal(composition: Composition, top: Source, bottom: Source) -> Deal:
    """Assign pictures to a composition.

    The seed of its spec names four streams: `deal` orders the pictures of each class (the first are used, so that a larger
    dataset holds the pictures of a smaller one), `pairing` shuffles them over the dominoes, `wrong` shuffles the classes that wrong
    halves show over the kinds, `rows` the order of the dominoes. The same composition, sources and seed give the same rows.
    """
    spec = composition.spec
    if (top.stock, bottom.stock) != (composition.stock.top, composition.stock.bottom):
        raise SpecError("the composition was solved for another stock than these sources have; solve it again")
    classes = composition.stock.classes
    label, state = (axis.ravel() for axis in np.indices(composition.states.shape))
    label, state = (np.repeat(axis, composition.states.ravel()) for axis in (label, state))
    shown = {side: _shown(composition, side, label, state) for side in SIDES}
    index = {side: np.full(len(label), -1, dtype=np.int64) for side in SIDES}
    for sides, _ in composition.stock.pools:
        labels = (top if sides[0] == "top" else bottom).labels
        for shown_class in range(classes):
            ordering = _generator(spec, "deal", sides[0], str(shown_class)).permutation(np.flatnonzero(labels == shown_class))
            places = {side: np.flatnonzero(shown[side] == shown_class) for side in sides}
            # Taken round and round, a picture serves once more only after every other of its class did.
            taken = np.resize(ordering, sum(map(len, places.values())))
            start = 0
            for side, rows in places.items():
                mine = taken[start : start + len(rows)]
                index[side][rows] = _generator(spec, "pairing", side, str(shown_class)).permutation(mine)
                start += len(rows)
    order = _generator(spec, "rows").permutation(len(label))
    return Deal(label[order], {side: index[side][order] for side in SIDES}, {side: shown[side][order] for side in SIDES})


def _shown(composition: Composition, side: str, label: WholeArray, state: WholeArray) -> WholeArray:
    shown = np.full(len(label), -1, dtype=np.int64)
    right, wrong = np.isin(state, RIGHT[side]), np.isin(state, WRONG[side])
    shown[right] = label[right]
    for mine in range(composition.stock.classes):
        counts = composition.shown[side][mine].copy()
        counts[mine] = 0
        rng = _generator(composition.spec, "wrong", side, str(mine))
        shown[wrong & (label == mine)] = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return shown


def _generator(spec: DominoSpec, *names: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(stream(spec.seed, *names)))
