"""Kernels of initial networks as dials: what the theory `availability` reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dominoes.leaderboard.edition import Edition
from dominoes.spec import SIDES, DominoSpec, parse

_ARGUMENTS = "model_args."


def with_kernels(
    edition: Edition,
    *,
    n: int = 64,
    seeds: int = 2,
    data: Path | None = None,
    download: bool = False,
    watch: Callable[[str], None] = lambda look: None,
) -> Edition:
    """A copy of an edition whose specs have the columns kernel_rates_ and kernel_weights_ of both sides, as lists in text.

    One kernel is measured of every network and look (sources, transforms, places) among the specs: prevalences only change how often it
    is driven. Arguments as `yardstick.initial_kernel.measure` takes them; `watch` is called with each network and look.

    Raises SpecError, SourceError, RegistryError.
    """
    from dominoes.yardstick import initial_kernel  # loads torch, which no other part of the leaderboard needs

    known: dict[str, dict[str, str]] = {}
    columns: list[dict[str, str]] = []
    for row in edition.runs.to_dict("records"):
        look, model, arguments = _look(row)
        key = f"{model} {json.dumps(arguments, sort_keys=True)} {look.canonical()}"
        if key not in known:
            watch(f"{model}, {look.described('top')} over {look.described('bottom')}")
            found = initial_kernel.measure(look, model, arguments, n=n, seeds=seeds, data=data, download=download)
            known[key] = {
                f"kernel_{name}_{side}": json.dumps([float(f"{value:.4g}") for value in getattr(found[side], name)])
                for side in SIDES
                for name in ("rates", "weights")
            }
        columns.append(known[key])
    runs = edition.runs.assign(**{name: [each[name] for each in columns] for name in columns[0]})
    return replace(edition, runs=runs)


def _look(row: Mapping[Any, Any]) -> tuple[DominoSpec, str, dict[str, Any]]:
    """Sources, transforms and places of a run, its network and that one's arguments; what the dials do not say is as specs have it."""
    fields: dict[str, Any] = {"n": 1, "prevalence": (1.0, 1.0)}
    for side in SIDES:
        if f"source_{side}" in row:
            fields[side] = row[f"source_{side}"]
        if f"transform_{side}" in row:
            fields[f"{side}_transform"] = row[f"transform_{side}"]
    if "swap" in row:
        fields["swap"] = bool(row["swap"])
    arguments = {str(name).removeprefix(_ARGUMENTS): value for name, value in row.items() if str(name).startswith(_ARGUMENTS)}
    # A spec without the argument has no number there.
    arguments = {name: value for name, value in arguments.items() if value == value and value is not None}
    return parse(DominoSpec, fields).look, str(row.get("model", "detector")), arguments
