"""Probes: fixed evaluation sets of each kind, from test pictures."""

from __future__ import annotations

from pathlib import Path

from dominoes.data import sources
from dominoes.data.dealing import deal
from dominoes.data.dominoes import Dominoes
from dominoes.errors import SourceError, SpecError
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import PROBES, DominoSpec, Split

_PREVALENCE = {"top": (1.0, 0.0), "bottom": (0.0, 1.0), "both": (1.0, 1.0), "conflict": (1.0, 1.0), "empty": (0.0, 0.0)}


def probes(spec: DominoSpec, n: int, seed: int, *, data: Path | None = None, download: bool = False) -> dict[str, Dominoes]:
    """The fixed test sets, one of each kind in `spec.PROBES`, n dominoes each, balanced labels, every shown half right.

    In `conflict` both halves are shown, of two different classes, and the label is the top's class. The pictures come from the
    test split and depend on the sources, n and the seed alone; kinds that show one side show the same pictures of it.

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
        if kind != "conflict" or stock.classes > 1
    }
    most = min(limit for request in requests.values() if (limit := capacity(request, stock)) is not None)
    if n > most:
        raise SpecError(
            f"probe {n}: the test splits of {spec.top} and {spec.bottom} have pictures for {most} dominoes of each kind; "
            f"use --probe {most} at most"
        )
    return {kind: Dominoes(deal(solve(request, stock), top, bottom), top, bottom, swap=spec.swap) for kind, request in requests.items()}
