"""A sweep whose every dataset was found feasible, or is known not to be; and its record in the results folder."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from dominoes import files
from dominoes.data import instances, sources
from dominoes.errors import RunError, SpecError, counted
from dominoes.runs import plan_table
from dominoes.runs.plan_table import PlanRow
from dominoes.runs.sweep_file import Sweep, run_ids
from dominoes.solver import solution
from dominoes.solver.infeasible import Infeasible
from dominoes.spec import DominoSpec, RunSpec, parse

PLAN_FORMAT = 1
RECORD = "plan.json"
SWEEP = "sweep.yaml"


@dataclass(frozen=True)
class Planned:
    """A run that can be executed: its spec, the number of dominoes of its dataset, and how many of each kind."""

    spec: RunSpec
    n: int
    kinds: dict[str, int]
    known: str | None = dataclasses.field(default=None, compare=False, repr=False)

    @cached_property
    def id(self) -> str:
        """The run's id, as it was found with those of the others, or as the record has it."""
        return self.known or self.spec.id


@dataclass(frozen=True)
class Refused:
    """A run whose dataset cannot be, with the solver's reason."""

    spec: RunSpec
    reason: str


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, in the file's order.

    Attributes:
        name, description: as in the sweep file.
        swept: dotted names that take more than one value.
        runs: those that can be executed.
        infeasible: those that cannot.
    """

    name: str
    description: str
    swept: tuple[str, ...]
    runs: tuple[Planned, ...]
    infeasible: tuple[Refused, ...]

    def values(self, spec: RunSpec) -> dict[str, Any]:
        """What sets a run apart: the swept fields, by dotted name."""
        return {name: spec_field(spec, name) for name in self.swept}


@dataclass(frozen=True)
class Outline:
    """A plan without its specs: what a status needs of a million runs.

    Attributes:
        name: of the sweep.
        runs: ids of those that can be executed, in order.
        infeasible: how many cannot.
    """

    name: str
    runs: pa.Array
    infeasible: int

    @classmethod
    def of(cls, plan: Plan) -> Outline:
        """The outline of a plan."""
        return cls(plan.name, pa.array([run.id for run in plan.runs], pa.string()), len(plan.infeasible))


def spec_field(spec: RunSpec, name: str) -> Any:
    """A field by its dotted name; `dataset.prevalence.top` is one half of a two-valued field."""
    if name == "dataset.instance":
        instance = instances.instance_of(spec.dataset, any_deal=True)
        return instance.name if instance else None
    found: Any = spec.model_dump(mode="json")
    for part in name.split("."):
        found = found[("top", "bottom").index(part)] if isinstance(found, list) else found[part]
    return found


def make_plan(sweep: Sweep, *, data: Path | None = None) -> Plan:
    """Solve the dataset of every run on the stock of its sources. Raises SourceError."""
    solved: dict[DominoSpec, tuple[int, dict[str, int]] | str] = {}
    # Runs of one deal share the object, so that what its counts follow from is looked at once.
    answers: dict[int, tuple[int, dict[str, int]] | str] = {}
    for spec in sweep.runs:
        if id(spec.dataset) in answers:
            continue
        counts = _counts(spec.dataset)
        if counts not in solved:
            stock = sources.stock(spec.dataset, data=data)
            try:
                found = solution.solve(spec.dataset, stock)
                solved[counts] = found.n, dict(found.kinds)
            except (Infeasible, SpecError) as error:
                solved[counts] = str(error)
        answers[id(spec.dataset)] = solved[counts]
    runs, infeasible = [], []
    for spec, name in zip(sweep.runs, run_ids(sweep.runs), strict=True):
        answer = answers[id(spec.dataset)]
        if isinstance(answer, str):
            infeasible.append(Refused(spec, answer))
        else:
            runs.append(Planned(spec, *answer, name))
    return Plan(sweep.name, sweep.description, sweep.swept, tuple(runs), tuple(infeasible))


def _counts(spec: DominoSpec) -> DominoSpec:
    """What the counts follow from: deals of all seeds have the same."""
    return spec.model_copy(update={"seed": 0})


def refusal(plan: Plan) -> str:
    """One sentence for each dataset that cannot be, with the number of its runs."""
    together: dict[str, list[RunSpec]] = {}
    for refused in plan.infeasible:
        together.setdefault(refused.reason, []).append(refused.spec)
    lines = []
    for reason, specs in together.items():
        values = {name: value for name, value in plan.values(specs[0]).items() if name.startswith("dataset.")}
        where = ", ".join(f"{name.removeprefix('dataset.')} {plain_value(value)}" for name, value in values.items()) or "every point"
        lines.append(f"{where} ({len(specs)} {'run' if len(specs) == 1 else 'runs'}): {reason}")
    return "\n  ".join(lines)


def plain_value(value: object) -> str:
    """A value as in a sweep file, short."""
    if isinstance(value, list):
        return " ".join(map(plain_value, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else "-" if value is None else str(value)


def save_plan(plan: Plan, out: Path, file: bytes | None, *, table: bool = False) -> None:
    """Keep the plan, and the sweep file that it came from (None: the one that is there), in the results folder; `table` as a Parquet file,
    for very many runs.

    A plan that is there already is not written again. Raises OutputError.
    """
    head = {"name": plan.name, "description": plan.description, "swept": list(plan.swept)}
    if table or (out / plan_table.NAME).is_file():
        rows = [PlanRow(run.id, run.spec, run.kinds, run.n, "") for run in plan.runs]
        rows += [PlanRow(run.spec.id, run.spec, None, 0, run.reason) for run in plan.infeasible]
        plan_table.write_plan(out / plan_table.NAME, head, rows)
        (out / RECORD).unlink(missing_ok=True)
    else:
        content = {
            "format": PLAN_FORMAT,
            **head,
            "runs": [{"run": run.id, "n": run.n, "kinds": run.kinds, "spec": run.spec.model_dump(mode="json")} for run in plan.runs],
            "infeasible": [{"run": run.spec.id, "reason": run.reason, "spec": run.spec.model_dump(mode="json")} for run in plan.infeasible],
        }
        _renew(out / RECORD, (json.dumps(content) + "\n").encode())
    if file is not None:
        _renew(out / SWEEP, file)


def _renew(path: Path, content: bytes) -> None:
    if not path.is_file() or path.stat().st_size != len(content) or path.read_bytes() != content:
        files.write(path, content)


def record(out: Path) -> Path | None:
    """The file in which a results folder keeps its plan; None if it has none."""
    return next((Path(out) / name for name in (plan_table.NAME, RECORD) if (Path(out) / name).is_file()), None)


def load_plan(out: Path) -> Plan:
    """The plan of a results folder. Raises RunError if there is none."""
    path = _found(out)
    try:
        if path.name == plan_table.NAME:
            head = _known(path, plan_table.head(path), plan_table.FORMAT)
            rows = list(plan_table.plan_rows(path))
            runs = tuple(Planned(row.spec, row.n, row.kinds, row.run) for row in rows if row.kinds is not None)
            infeasible = tuple(Refused(row.spec, row.reason) for row in rows if row.kinds is None)
            return Plan(head["name"], head["description"], tuple(head["swept"]), runs, infeasible)
        content = _known(path, json.loads(path.read_text(encoding="utf-8")), PLAN_FORMAT)
        runs = tuple(Planned(parse(RunSpec, run["spec"], record=True), int(run["n"]), run["kinds"]) for run in content["runs"])
        infeasible = tuple(Refused(parse(RunSpec, run["spec"], record=True), str(run["reason"])) for run in content["infeasible"])
        return Plan(content["name"], content["description"], tuple(content["swept"]), runs, infeasible)
    except (OSError, ValueError, KeyError, TypeError, SpecError) as error:
        raise RunError(_DAMAGED.format(path)) from error


def outline(out: Path) -> Outline:
    """The plan of a results folder without its specs. Raises RunError if there is none."""
    path = _found(out)
    try:
        if path.name == plan_table.NAME:
            head = _known(path, plan_table.head(path), plan_table.FORMAT)
            return Outline(str(head["name"]), *plan_table.ids(path))
        content = _known(path, json.loads(path.read_text(encoding="utf-8")), PLAN_FORMAT)
        return Outline(
            str(content["name"]), pa.array([str(run["run"]) for run in content["runs"]], pa.string()), len(content["infeasible"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(_DAMAGED.format(path)) from error


_DAMAGED = "{} is damaged; run the sweep again, it writes it anew"


def _found(out: Path) -> Path:
    path = record(out)
    if path is None:
        raise RunError(f"{out} is no sweep's folder, {RECORD} is missing; make one with 'dominoes sweep run FILE --out {out}'")
    return path


def _known(path: Path, content: dict[str, Any], newest: int) -> dict[str, Any]:
    if content["format"] != newest:
        raise RunError(f"{path} has format {content['format']}, expected {newest}; run the sweep again with this package")
    return content


def plan_difference(old: Plan | Outline, new: Plan) -> str | None:
    """What an edited sweep file changes, in a sentence; None if nothing."""
    known = Outline.of(old) if isinstance(old, Plan) else old
    before, after = set(known.runs.to_pylist()), {run.id for run in new.runs}
    if before == after:
        return None
    added, gone = counted(len(after - before), "run is", "runs are"), counted(len(before - after), "is", "are")
    return f"the sweep file has changed: {added} new, {gone} no longer in it (kept, not exported)"
