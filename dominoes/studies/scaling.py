"""A sweep cut down to a share of its runs, so that the numbers that remain can still be held against those that are kept."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from dominoes.errors import SpecError
from dominoes.runs.sweep_file import Sweep
from dominoes.spec import DominoSpec, RunSpec

# Of what is left when fewer runs would show no spread and no sweep.
_FEWEST = 2


@dataclass(frozen=True)
class Cut:
    """A sweep after the cut.

    Attributes:
        sweep: what is left of it.
        notes: what was done, a sentence each.
        same: whether its runs are runs of the whole sweep; else they are shorter, or on fewer dominoes, and their numbers others.
    """

    sweep: Sweep
    notes: tuple[str, ...]
    same: bool


def share(text: str) -> Fraction:
    """A scale such as 1, 1/10 or 0.1. Raises SpecError unless it is above 0 and at most 1."""
    try:
        found = Fraction(re.sub(r"\s", "", text))
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= 1:
        raise SpecError(f"--scale: expected a share above 0 and at most 1, such as 1/10, got '{text}'")
    return found


def cut(sweep: Sweep, scale: Fraction) -> Cut:
    """A sweep cut to about a share of its cost.

    First fewer repetitions (seeds; deals and probes where they are crossed with them), but two at least; then fewer points, evenly
    over the file's order with the first and the last, but two at least. What is left are runs of the whole sweep, so that their numbers
    should be the same. Only where that is not enough, epochs and then n are cut: then they are not.
    """
    if scale == 1:
        return Cut(sweep, (), same=True)
    by_point: dict[RunSpec, list[RunSpec]] = {}
    for spec in sweep.runs:
        by_point.setdefault(_point(spec), []).append(spec)
    wanted = float(scale * len(sweep.runs))
    some = list(by_point.values())
    levels = _levels(sweep.runs)
    allowed = _fewer(levels, max(int(wanted // len(some)), 1))
    repeated = [[spec for spec in specs if _allowed(spec, allowed)] for specs in some]
    repeated = [specs or some[place][:_FEWEST] for place, specs in enumerate(repeated)]
    each = max(map(len, repeated))
    count = min(len(repeated), max(_FEWEST, int(wanted // each)))
    places = sorted({round(place * (len(repeated) - 1) / max(count - 1, 1)) for place in range(count)})
    runs = [spec for place in places for spec in repeated[place]]
    notes = [f"{len(runs)} of {len(sweep.runs)} runs"]
    notes += [
        f"{name} {', '.join(map(str, allowed[name]))} of {len(levels[name])}" for name in levels if len(allowed[name]) < len(levels[name])
    ]
    if len(places) < len(some):
        notes.append(f"points {', '.join(str(place + 1) for place in places)} of {len(some)}")
    left = wanted / len(runs)
    same = left >= 0.75
    if not same:
        runs, said = _shorter(runs, left)
        notes += said
    text = f"# cut to {scale} by 'dominoes reproduce': {'; '.join(notes)}\n{sweep.text}"
    return Cut(replace(sweep, runs=tuple(runs), text=text), tuple(notes), same)


def _point(spec: RunSpec) -> RunSpec:
    """A run without what repetitions differ in."""
    plain = {"dataset": spec.dataset.model_copy(update={"seed": 0}), "train": spec.train.model_copy(update={"probe_seed": 0}), "seed": 0}
    return spec.model_copy(update=plain)


def _levels(runs: Sequence[RunSpec]) -> dict[str, list[int]]:
    """The repetitions of a sweep by what they differ in; a deal's seed that follows the run's is none of its own."""
    found = {"seeds": sorted({spec.seed for spec in runs}), "deals": sorted({spec.dataset.seed for spec in runs})}
    if all(spec.dataset.seed == spec.seed for spec in runs) or len(found["deals"]) == 1:
        del found["deals"]
    probes = sorted({spec.train.probe_seed for spec in runs})
    return found | ({"probes": probes} if len(probes) > 1 else {})


def _fewer(levels: dict[str, list[int]], most: int) -> dict[str, list[int]]:
    """The first levels of each, so that at most so many repetitions are left: the longest is cut first, none below two."""
    left = {name: len(values) for name, values in levels.items()}
    while math.prod(left.values()) > most and max(left.values()) > _FEWEST:
        longest = max(left, key=lambda name: left[name])
        left[longest] -= 1
    return {name: values[: left[name]] for name, values in levels.items()}


def _allowed(spec: RunSpec, levels: dict[str, list[int]]) -> bool:
    values: dict[str, Hashable] = {"seeds": spec.seed, "deals": spec.dataset.seed, "probes": spec.train.probe_seed}
    return all(values[name] in kept for name, kept in levels.items())


def _shorter(runs: Sequence[RunSpec], left: float) -> tuple[list[RunSpec], list[str]]:
    """Runs of about a share of their length: fewer epochs, then fewer dominoes."""
    found, epochs, counts = [], set(), set()
    for spec in runs:
        fewer = max(1, round(spec.train.epochs * left))
        rest = left * spec.train.epochs / fewer
        dataset = spec.dataset
        if rest < 0.75 and isinstance(dataset.n, int):
            least = 2 * spec.train.batch
            dataset = DominoSpec.model_validate(dataset.model_dump() | {"n": min(dataset.n, max(least, round(dataset.n * rest)))})
            counts.add(f"{spec.dataset.n} to {dataset.n}")
        epochs.add(f"{spec.train.epochs} to {fewer}")
        found.append(spec.model_copy(update={"dataset": dataset, "train": spec.train.model_copy(update={"epochs": fewer})}))
    notes = [f"epochs cut from {', '.join(sorted(epochs))}"] + ([f"n cut from {', '.join(sorted(counts))}"] if counts else [])
    return found, notes
