"""The sweep file, a subset of the W&B sweep format that needs no account: YAML in, run specs out. Nothing runs here."""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from dominoes.data import instances
from dominoes.errors import SpecError
from dominoes.mappings import read_mapping
from dominoes.runs import draws
from dominoes.runs.draws import Axis, Distribution, Method, SweptRange
from dominoes.spec import SIDES, DominoSpec, RunSpec, TrainSpec, parse

_PAIRS = ("dataset.prevalence", "dataset.reliability")
_NESTED: dict[str, type[BaseModel]] = {"dataset": DominoSpec, "train": TrainSpec}
# Names that can be swept: every field of RunSpec, and either side of the two-valued ones alone.
FIELDS = (
    *(f"{head}.{name}" for head, form in _NESTED.items() for name in form.model_fields),
    *(f"{pair}.{side}" for pair in _PAIRS for side in SIDES),
    "dataset.instance",
    *(name for name in RunSpec.model_fields if name not in _NESTED),
)
# Of fields that are whole numbers, the ranges are too.
_WHOLE: tuple[str, ...] = ("seed", "dataset.n", "dataset.reuse", "dataset.seed")
_WHOLE += tuple(f"train.{name}" for name in ("epochs", "batch", "measurements", "probe", "warmup"))
# Of these, every argument can be swept by itself: train.model_args.width.
_ARGUMENTS = tuple(f"train.{name}." for name in TrainSpec.model_fields if name.endswith("_args"))

# More runs than anybody trains; a grid is refused before its points are counted out in memory.
MOST_RUNS = 100_000


class SweepFile(BaseModel):
    """The fields of a sweep file.

    Attributes:
        name: of the sweep.
        description: what it is for.
        method: grid (every combination), or how `run_cap` points are drawn: random, latin-hypercube or sobol (`draws`).
        run_cap: most runs; of a grid the first ones, of a drawn sweep the number of draws times that of the runs at each (`every`).
        seed: of the draws.
        same_deal: train every seed on the same deal; else the deal's seed follows the run's, unless `parameters` name `dataset.seed`.
        parameters: by dotted name of a RunSpec field, `value` (fixed), `values` (a list), or `min` and `max`.
        every: of a drawn sweep, lists of values by dotted name: each draw is run with every combination of them, such as several seeds.
        points: of a grid, values of several fields that go together, a mapping of dotted names each; the grid is run at every point.
        metric: accepted for the sake of other tools' files, and ignored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1)] = "sweep"
    description: str = ""
    method: Method
    run_cap: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    same_deal: Annotated[bool, Field(strict=True)] = False
    parameters: dict[str, Any]
    every: dict[str, list[Any]] | None = None
    points: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    metric: Any = None


@dataclass(frozen=True)
class Sweep:
    """A sweep file, checked.

    Attributes:
        name, description: as in the file.
        swept: dotted names that take more than one value.
        runs: the run specs, all different, in the file's order.
        notes: what was ignored, a sentence each.
        text: the file itself, to be kept with the results.
    """

    name: str
    description: str
    swept: tuple[str, ...]
    runs: tuple[RunSpec, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


def read_sweep_file(path: Path) -> Sweep:
    """Read a sweep file. Raises SpecError with the path of the first wrong entry."""
    return replace(expand(read_mapping(path), where=str(path)), text=Path(path).read_bytes().decode("utf-8"))


def expand(values: Mapping[str, Any], *, where: str = "sweep") -> Sweep:
    """The sweep that a file's content describes; `where` names the file in errors.

    A grid is every combination of the listed values, the first parameter outermost. A higher run_cap keeps the draws there were, but of a
    Latin hypercube; one more parameter keeps those of a random sweep (`draws.points`). Draws that coincide are one run. Every seed has a
    deal of its own (`SweepFile.same_deal`), so that what is found does not hang on one.
    """
    _refuse(values, where)
    form = parse(SweepFile, values, where=where)
    if not form.parameters:
        raise SpecError(f"{where}: parameters: expected at least one, such as 'seed: {{values: [0, 1, 2]}}', got none")
    axes = {name: _axis(name, entry, form.method, f"{where}: parameters.{name}") for name, entry in form.parameters.items()}
    places, repeats = _points(form, axes, where), _every(form, axes, where)
    for pair in _PAIRS:
        named = [*axes, *places[0], *repeats[0]]
        doubled = [name for name in named if name.startswith(f"{pair}.")]
        if pair in named and doubled:
            raise SpecError(f"{where}: parameters.{doubled[0]}: {pair} sets this half already; keep one of the two")
    is_grid = form.method is Method.GRID
    what = "grid" if is_grid else f"{form.method.value} sweep"
    if not is_grid and form.run_cap is None:
        raise SpecError(f"{where}: run_cap: expected a number of runs, as a {what} has no end of its own, got none")
    size = prod(len(axis) for axis in axes.values() if isinstance(axis, list)) if is_grid else form.run_cap or 0
    size *= len(places)
    if min(size, form.run_cap or size) > MOST_RUNS:
        raise SpecError(f"{where}: the {what} has {size:,} runs; expected {MOST_RUNS:,} at most, list fewer values or lower run_cap")
    if is_grid:
        points = (place | point for place in places for point in _grid(axes))
    else:
        drawn = draws.points(axes, form.method, form.seed, (form.run_cap or 0) // len(repeats))
        points = (
            {name: _whole(name, value) if isinstance(axes[name], SweptRange) else value for name, value in each.items()} | repeat
            for each in drawn
            for repeat in repeats
        )
    if not form.same_deal and "dataset.seed" not in (*axes, *places[0], *repeats[0]):
        points = (point | {"dataset.seed": point.get("seed", RunSpec.model_fields["seed"].default)} for point in points)
    specs = _specs(itertools.islice(points, form.run_cap), where)
    runs = dict(zip(run_ids(specs), specs, strict=True))
    moved = [name for name in places[0] if len({repr(place[name]) for place in places}) > 1]
    swept = (*moved, *(name for name, axis in axes.items() if isinstance(axis, SweptRange) or len(axis) > 1))
    swept = (*swept, *(name for name in repeats[0] if len(repeats) > 1))
    notes = [f"{where}: metric is ignored; every run is measured in every metric"] if form.metric is not None else []
    if is_grid and "seed" in values:
        notes.append(f"{where}: seed is of draws, and a grid has none: it is ignored; the runs' seeds stand under parameters")
    text = yaml.safe_dump(dict(values), sort_keys=False)
    return Sweep(form.name, form.description, swept, tuple(runs.values()), tuple(notes), text)


def _points(form: SweepFile, axes: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The points of a grid, each value checked as one of its field; one without fields where none are listed."""
    if form.points is None:
        return [{}]
    if form.method is not Method.GRID:
        raise SpecError(f"{where}: points belong to a grid, the method is {form.method.value}; use 'method: grid', or remove them")
    first = form.points[0]
    found = []
    for number, point in enumerate(form.points):
        here = f"{where}: points[{number}]"
        if not point or set(point) != set(first):
            raise SpecError(
                f"{here}: expected the fields {', '.join(first) or 'of at least one name'} as in the first, got {', '.join(point)}"
            )
        twice = [name for name in point if name in axes]
        if twice:
            raise SpecError(f"{here}.{twice[0]}: it is among the parameters too; keep one of the two")
        values = {name: _axis(name, {"value": value}, form.method, f"{here}.{name}") for name, value in point.items()}
        found.append({name: value[0] for name, value in values.items() if isinstance(value, list)})
        if found[-1] in found[:-1]:
            raise SpecError(f"{here}: the same point is there twice; remove one")
    return found


def _every(form: SweepFile, axes: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The combinations of values with which each draw is run; one without fields where none are listed."""
    if form.every is None:
        return [{}]
    if form.method is Method.GRID:
        raise SpecError(f"{where}: every belongs to drawn sweeps, the method is grid; list the values under parameters")
    found: dict[str, Axis] = {}
    for name, values in form.every.items():
        if name in axes:
            raise SpecError(f"{where}: every.{name}: it is among the parameters too; keep one of the two")
        found[name] = _axis(name, {"values": values}, form.method, f"{where}: every.{name}")
    repeats = list(_grid(found))
    if form.run_cap is not None and form.run_cap % len(repeats):
        raise SpecError(
            f"{where}: run_cap: {form.run_cap} is no multiple of the {len(repeats)} runs at each draw (every); expected such as "
            f"{-(-form.run_cap // len(repeats)) * len(repeats)}"
        )
    return repeats


def _refuse(values: Mapping[str, Any], where: str) -> None:
    """What other tools know and this one must not ignore."""
    if values.get("method") == "bayes":
        raise SpecError(
            f"{where}: method: bayes is not supported, runs are planned before the first one starts; expected {', '.join(Method)}"
        )
    if "early_terminate" in values:
        raise SpecError(f"{where}: early_terminate is not supported, curves are compared over the whole of training; remove it")


def _axis(name: str, entry: Any, method: Method, where: str) -> Axis:
    """The values of one parameter, each checked as a value of its field; or the range of a random one."""
    if name not in FIELDS and not _is_argument(name):
        near = difflib.get_close_matches(name, FIELDS, n=1)
        ends = [field for field in FIELDS if field.endswith(f".{name}")]
        hint = f"did you mean {(ends or near)[0]}?" if ends or near else f"the fields are {', '.join(FIELDS)}"
        raise SpecError(f"{where}: there is no field {name}; {hint}")
    if not isinstance(entry, dict):
        raise SpecError(f"{where}: expected 'value: ...', 'values: [...]' or 'min: ..., max: ...', got {entry!r}")
    kinds = [kind for kind in ("value", "values", "min") if kind in entry or (kind == "min" and "max" in entry)]
    if len(kinds) != 1:
        got = ", ".join(map(str, entry)) or "nothing"
        raise SpecError(f"{where}: expected one of 'value', 'values' or 'min' and 'max', got {got}")
    if kinds == ["min"]:
        return _range(name, parse(SweptRange, entry, where=where), method, where)
    entry = dict(entry)
    # What a list is, other tools' files may say; it is all that it can be.
    said = entry.pop("distribution", None)
    if said not in (None, "constant" if kinds == ["value"] else "categorical"):
        raise SpecError(f"{where}.distribution: {said!r} does not fit '{kinds[0]}'; leave it out, or give min and max")
    unknown = [key for key in entry if key not in kinds]
    if unknown:
        raise SpecError(f"{where}.{unknown[0]}: not supported beside '{kinds[0]}'; remove it")
    if kinds == ["value"]:
        return [_checked(name, entry["value"], f"{where}.value")]
    if not isinstance(entry["values"], list) or not entry["values"]:
        raise SpecError(f"{where}.values: expected a list with at least one value, got {entry['values']!r}")
    found: list[Any] = []
    for number, raw in enumerate(entry["values"]):
        value = _checked(name, raw, f"{where}.values[{number}]")
        if value in found:
            raise SpecError(f"{where}.values[{number}]: {raw!r} is there twice; each value makes runs of its own, remove one")
        found.append(value)
    return found


def _range(name: str, entry: SweptRange, method: Method, where: str) -> Axis:
    if entry.min >= entry.max:
        raise SpecError(f"{where}: min {entry.min:g} is not below max {entry.max:g}; expected min < max, or 'value'")
    for end in ("min", "max"):
        _checked(name, _whole(name, getattr(entry, end)), f"{where}.{end}")
    whole = name in _WHOLE or entry.distribution is Distribution.INT_UNIFORM
    quantised = entry.q is not None
    how = entry.distribution or (Distribution.INT_UNIFORM if whole else Distribution.Q_UNIFORM if quantised else Distribution.UNIFORM)
    if "log" in how.value and entry.min <= 0:
        raise SpecError(f"{where}.min: {entry.min:g} has no logarithm; expected a number above 0 with {how.value}")
    if how.value.startswith("q_") and not quantised:
        raise SpecError(f"{where}.q: {how.value} needs the step q, got none")
    if quantised and how in (Distribution.UNIFORM, Distribution.LOG_UNIFORM_VALUES):
        raise SpecError(f"{where}.q: {how.value} has no step; use q_{how.value}, or remove q")
    found = SweptRange(min=entry.min, max=entry.max, distribution=how, q=entry.q or (1.0 if how is Distribution.INT_UNIFORM else None))
    if method is not Method.GRID:
        if found.q is not None and found.clamped(found.min) == found.clamped(found.max):
            raise SpecError(
                f"{where}.q: all of {entry.min:g} to {entry.max:g} becomes {found.clamped(found.min):g}; use a smaller q, or 'value'"
            )
        return found
    if found.q is None or "log" in how.value:
        raise SpecError(f"{where}: a grid cannot list the numbers from {entry.min:g} to {entry.max:g}; give 'values', or the step q")
    count = int(min((found.max - found.min) / found.q + 1e-9, 10 * MOST_RUNS)) + 1
    if count > MOST_RUNS:
        raise SpecError(f"{where}: q {found.q:g} makes over {MOST_RUNS:,} values from {entry.min:g} to {entry.max:g}; use a larger q")
    if count == 1:
        raise SpecError(
            f"{where}.q: {found.q:g} makes one value, {entry.min:g}, from {entry.min:g} to {entry.max:g}; use a smaller q, or 'value'"
        )
    # Decimals are counted as decimals: 0.1, 0.2, 0.3, never 0.30000000000000004.
    steps = [float(f"{found.min + number * found.q:.12g}") for number in range(count)]
    return [_checked(name, _whole(name, step), where) for step in steps]


def _is_argument(name: str) -> bool:
    return name.startswith(_ARGUMENTS) and name.rpartition(".")[2].isidentifier() and name.count(".") == 2


def _whole(name: str, value: float) -> float | int:
    return int(value) if (name in _WHOLE or _is_argument(name)) and float(value).is_integer() else value


def _checked(name: str, value: Any, where: str) -> Any:
    """The value in its field's own type."""
    spec = _spec({name: value}, where)
    if name == "dataset.instance":
        return value
    found: Any = spec
    for part in name.split("."):
        if isinstance(found, dict):
            found = found[part]
        else:
            found = found[SIDES.index(part)] if part in SIDES and isinstance(found, tuple) else getattr(found, part)
    return found


def _nested(point: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Dotted names as the fields of a RunSpec; a two-valued field whose one side is named keeps its default for the other."""
    found: dict[str, Any] = {"dataset": {}, "train": {}}
    for name, value in point.items():
        head, *rest = name.split(".")
        if not rest:
            found[head] = value
        elif len(rest) == 1:
            found[head][rest[0]] = value
        elif _is_argument(name):
            found[head][rest[0]] = {**found[head].get(rest[0], {}), rest[1]: value}
        else:
            pair = found[head].setdefault(rest[0], list(DominoSpec.model_fields[rest[0]].default))
            pair[SIDES.index(rest[1])] = value
    try:
        return found | {"dataset": instances.expanded(found["dataset"])}
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error


def _spec(point: Mapping[str, Any], where: str) -> RunSpec:
    return parse(RunSpec, _nested(point, where), where=where)


def _specs(points: Iterable[Mapping[str, Any]], where: str) -> list[RunSpec]:
    """The specs of many points; what several say alike of the dataset or of training is checked once, and is one object."""
    known: dict[tuple[str, str], Any] = {}
    found = []
    for point in points:
        nested = _nested(point, where)
        keys = {name: (name, repr(nested[name])) for name in _NESTED}
        spec = parse(RunSpec, nested | {name: known[key] for name, key in keys.items() if key in known}, where=where)
        for name, key in keys.items():
            known.setdefault(key, getattr(spec, name))
        found.append(spec)
    return found


def run_ids(specs: Iterable[RunSpec]) -> Iterator[str]:
    """The id of each of many specs (`RunSpec.id`); a dataset or a training that several share, as one object, is written once."""
    # With each text what it is of, so that no other object comes to have its address.
    known: dict[int, tuple[DominoSpec | TrainSpec, str]] = {}
    for spec in specs:
        if len(known) > 1000:
            known.clear()
        for part in (spec.dataset, spec.train):
            if id(part) not in known:
                known[id(part)] = part, part.canonical()
        text = f'{{"dataset":{known[id(spec.dataset)][1]},"seed":{spec.seed},"train":{known[id(spec.train)][1]}}}'
        yield hashlib.sha256(text.encode()).hexdigest()[:12]


def _grid(axes: Mapping[str, Axis]) -> Iterator[dict[str, Any]]:
    lists = [axis for axis in axes.values() if isinstance(axis, list)]
    for values in itertools.product(*lists):
        yield dict(zip(axes, values, strict=True))
