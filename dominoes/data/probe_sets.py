"""Probes: fixed evaluation sets of each kind, from test pictures; more pairings of them, and halves that are permuted over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dominoes.data import measuring, sources
from dominoes.data.dealing import Deal, deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.solved import remembered_solve
from dominoes.errors import SourceError, SpecError
from dominoes.fields import AUTO
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import PROBES, SIDES, DominoSpec, Split, TrainSpec, stream

_PREVALENCE = {"top": (1.0, 0.0), "bottom": (0.0, 1.0), "both": (1.0, 1.0), "conflict": (1.0, 1.0), "empty": (0.0, 0.0)}


@dataclass(frozen=True)
class Wanted:
    """What the probes of a training follow from, beside the look of its dominoes; the fields are those of `probes`."""

    n: int
    seed: int
    permuted: bool
    pairings: int
    fewer: bool

    @classmethod
    def of(cls, spec: DominoSpec, how: TrainSpec) -> Wanted:
        """Those of a training on what a spec asks for."""
        n = measuring.probe_size(how, spec.n)
        return cls(n, how.probe_seed, how.probe_permuted, how.probe_pairings, fewer=how.probe == AUTO)


def for_training(spec: DominoSpec, how: TrainSpec, *, data: Path | None = None, download: bool = False) -> dict[str, Dominoes]:
    """The probes that a training is measured on. Raises as `probes`."""
    return probes(spec, **asdict(Wanted.of(spec, how)), data=data, download=download)


def probes(
    spec: DominoSpec,
    n: int,
    seed: int,
    *,
    permuted: bool = False,
    pairings: int = 1,
    fewer: bool = False,
    data: Path | None = None,
    download: bool = False,
) -> dict[str, Dominoes]:
    """The fixed test sets, one of each kind in `spec.PROBES`, n dominoes each, balanced labels, every shown half right.

    In `conflict` both halves are shown, of two different classes, and the label is the top's class. The pictures come from the
    test split and depend on the sources, n and the seed alone; kinds that show one side show the same pictures of it.

    Args:
        spec: of the dataset; its look counts.
        n: dominoes of each kind.
        seed: of deal and pairing.
        permuted: add `top permuted` and `bottom permuted`: the doubles with the pictures of that half permuted over the probe, so that
            it says nothing about the label, which the other half shows.
        pairings: measure the pictures of `both`, `conflict` and permuted kinds in so many pairings, each of n dominoes: every time the
            bottom pictures change places with others of their class, classes stay where they are. The first is the one without this.
        fewer: make do with as many as the test pictures allow.
        data, download: as `sources.load_source` takes them.

    Raises SpecError if the test stock is too small for n or is what `spec` trains on, SourceError if a source's splits differ in classes.
    """
    if spec.split is Split.TEST:
        raise SpecError("split test: the probes are test pictures, and what is trained on must not be; train on split train")
    top, bottom = sources.pair(spec, split=Split.TEST, data=data, download=download)
    for name, test in ((spec.top, top), (spec.bottom, bottom)):
        known = sources.original(name, Split.TRAIN, data=data, download=download)
        if len(known.classes) != len(test.classes):
            raise SourceError(
                f"{name} has {len(known.classes)} classes in its train and {len(test.classes)} in its test split; expected the same"
            )
    stock = Stock(top.stock, bottom.stock, shared=spec.shared)
    requests = {
        kind: spec.look.model_copy(
            update={
                "n": n,
                "prevalence": _PREVALENCE[kind],
                "reliability": (1.0, 0.0 if kind == "conflict" else 1.0),
                "split": Split.TEST,
                "seed": seed,
            }
        )
        for kind in PROBES
    }
    most = min(limit for request in requests.values() if (limit := capacity(request, stock)) is not None)
    if fewer and n > most > 0:
        return probes(spec, most, seed, permuted=permuted, pairings=pairings, data=data, download=download)
    if n > most:
        raise SpecError(
            f"probe {n}: the test splits of {spec.top} and {spec.bottom} have pictures for {most} dominoes of each kind; "
            f"use --probe {most} at most"
        )
    dealt = {kind: deal(remembered_solve(request, stock), top, bottom) for kind, request in requests.items()}
    if permuted:
        for side in SIDES:
            dealt[f"{side} permuted"] = _joined(_permuted(dealt["both"], side, seed, number) for number in range(pairings))
    if pairings > 1:
        for kind in set(dealt) & {"both", "conflict"}:
            dealt[kind] = _joined(_paired(dealt[kind], kind, seed, number) for number in range(pairings))
    return {kind: Dominoes(table, top, bottom, swap=spec.swap) for kind, table in dealt.items()}


def _permuted(table: Deal, side: str, seed: int, number: int) -> Deal:
    """The pictures of one half permuted over all rows; of each `number` another permutation."""
    order = _generator(seed, "permuted", side, str(number)).permutation(len(table))
    return Deal(
        table.label,
        {each: table.index[each][order] if each == side else table.index[each] for each in SIDES},
        {each: table.shown[each][order] if each == side else table.shown[each] for each in SIDES},
    )


def _paired(table: Deal, kind: str, seed: int, number: int) -> Deal:
    """Bottom pictures permuted among the rows that show their class; as they are for number 0."""
    index: NDArray[np.int64] = table.index["bottom"].copy()
    if number:
        for shown in np.unique(table.shown["bottom"]):
            rows = np.flatnonzero(table.shown["bottom"] == shown)
            index[rows] = _generator(seed, "pairings", kind, str(number), str(shown)).permutation(index[rows])
    return Deal(table.label, {"top": table.index["top"], "bottom": index}, table.shown)


def _joined(tables: Iterator[Deal]) -> Deal:
    found = list(tables)
    return Deal(
        np.concatenate([table.label for table in found]),
        {side: np.concatenate([table.index[side] for table in found]) for side in SIDES},
        {side: np.concatenate([table.shown[side] for table in found]) for side in SIDES},
    )


def _generator(seed: int, *names: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(stream(seed, *names)))
