"""The tables of a report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dominoes.reporting.chart import Chart
from dominoes.reporting.charts import dealt, learning
from dominoes.reporting.charts import theory as theory_charts
from dominoes.reporting.reading import ReportedRun
from dominoes.reporting.results import Results
from dominoes.solver.composition import Composition
from dominoes.spec import DominoSpec, RunSpec, TrainSpec
from dominoes.tables import as_csv
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE, VERDICTS

# Of large results the page shows so much in its tables; their data links hold all.
MOST_ROWS = 1000
_MARKS = {HOLDS: "good", FAILS: "bad", CANNOT_TELL: "open", NOT_APPLICABLE: "none"}
_STATUS = {"finished": "good", "running": "open", "not run": "open", "unfinished": "open"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is read, what is sorted by, how it is shown."""

    text: str
    value: float | str | None = None
    style: str = ""
    mark: str = ""
    href: str = ""
    choice: str = ""
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """A sortable table of the page and the CSV behind it. `columns`: name -> whether it holds numbers."""

    name: str
    title: str
    caption: str
    columns: Mapping[str, bool]
    rows: Sequence[Sequence[Cell]]
    csv: str
    folds: Sequence[FoldedRows] = ()


@dataclass(frozen=True)
class ShownVerdict:
    """One sentence of the comparator: its verdict, where it can be seen (`href`, `choice`), and of which group it is."""

    verdict: str
    mark: str
    sentence: str
    group: str
    href: str
    choice: str


@dataclass(frozen=True)
class FoldedRows:
    """Verdicts on one question, of which the counts are read before the sentences.

    Attributes:
        title: the question.
        counts: (verdict, mark, how many) of those that occur.
        verdicts: all of them, agreement and failure first.
        applies: whether any of them could be judged.
    """

    title: str
    counts: Sequence[tuple[str, str, int]]
    verdicts: Sequence[ShownVerdict]
    applies: bool


def asked(found: Mapping[str, Composition]) -> Table:
    table = dealt.asked_and_dealt(found)
    pairs = zip(table["requested"], table["realised"], strict=True)
    texts = [str(got) if asked in ("", got) else f"{asked} → {got}" for asked, got in pairs]
    wide = table.assign(text=texts).pivot_table(index="dataset", columns="parameter", values="text", aggfunc="first", sort=False)
    rows = [[Cell(str(title)), *(Cell(str(text)) for text in values)] for title, values in zip(wide.index, wide.to_numpy(), strict=True)]
    columns = {"dataset": False} | {str(name): False for name in wide.columns}
    caption = "One number: dealt as asked, to six digits. An arrow: asked → dealt, as whole numbers allow. Exact counts: no seeds, no band."
    return Table("asked", "Asked and dealt", caption, columns, rows[:MOST_ROWS], as_csv(table))


_PAIRS = ("prevalence", "reliability")


def verdict_table(results: Results, charts: Mapping[str, Chart]) -> Table | None:
    """The comparator's verdicts, each with a link to the figure that shows it; None without a comparison."""
    table = theory_charts.verdicts(results)
    if table is None:
        return None
    found: dict[str, list[ShownVerdict]] = {}
    for row in table.head(MOST_ROWS).itertuples():
        name = str(row.figure)
        target = name if name in charts else next((each for each in charts if name and each.startswith(f"{name}-")), "")
        verdict = ShownVerdict(str(row.verdict), _MARKS[str(row.verdict)], str(row.sentence), str(row.group), target, str(row.group))
        found.setdefault(str(row.question), []).append(verdict)
    counts = table.groupby("question", sort=False)["verdict"].value_counts()
    folds = []
    for question, verdicts in found.items():
        each = [(verdict, _MARKS[verdict], int(counts.get((question, verdict), 0))) for verdict in VERDICTS]
        order = sorted(verdicts, key=lambda verdict: VERDICTS.index(verdict.verdict))
        applies = any(verdict.verdict != NOT_APPLICABLE for verdict in verdicts)
        folds.append(FoldedRows(question, [told for told in each if told[2]], order, applies))
    total = table["verdict"].value_counts()
    told = ", ".join(f"{total.get(verdict, 0)} {verdict}" for verdict in VERDICTS)
    caption = (
        f"{told}. Each compares an interval over seeds (95 % unless its sentence says otherwise) with a margin stated beforehand. "
        "Open a question for its sentences."
    )
    caption += f" The first {MOST_ROWS} are here; the data link holds all." if len(table) > MOST_ROWS else ""
    folds.sort(key=lambda fold: not fold.applies)
    return Table("verdicts", "Verdicts", caption, {}, (), as_csv(pd.DataFrame(results.comparison)), folds)


def runs_table(results: Results) -> Table:
    """Every run: parameters, final values, time, status, and how to make it again."""
    table = results.curves
    last = table[(table["split"] == "test") & (table["step"] == table.groupby("run")["step"].transform("max"))]
    final = {(str(run), str(kind)): value for run, kind, value in zip(last["run"], last["kind"], last["accuracy"], strict=True)}
    kinds = [kind for kind in ("top", "bottom", "both", "conflict") if (last["kind"] == kind).any()]
    values = table.drop_duplicates("run").astype({"run": str}).set_index("run")
    made_with = {name: values[name].to_dict() for name in results.fields}
    steps = {str(run): int(step) for run, step in table.groupby("run")["step"].max().items()}
    columns = {"run": False, "status": False, "seed": True}
    columns |= {name: bool(pd.api.types.is_numeric_dtype(table[name])) for name in results.fields}
    columns |= {f"accuracy {kind}": True for kind in kinds} | {"steps": True, "seconds": True, "device": False, "why": False}
    # Columns that would say the same in every row, or nothing, are in the CSV alone.
    devices = list(dict.fromkeys(filter(None, (str(run.environment.get("device_name") or "") for run in results.runs))))
    silent = {"device"} if len(devices) < 2 else set()
    silent |= set() if any(run.reason for run in results.runs) else {"why"}
    silent |= set() if any(run.environment for run in results.runs) else {"seconds"}
    shown: list[list[Cell]] = []
    lines: list[list[Any]] = []
    for run in results.runs:
        fields = [made_with[name].get(run.id) for name in results.fields]
        numbers = [final.get((run.id, kind)) for kind in kinds]
        seconds = run.environment.get("seconds", {}).get("wall")
        device = str(run.environment.get("device_name") or run.environment.get("device") or "")
        plain = [run.seed, *fields, *numbers, steps.get(run.id), seconds]
        if len(shown) < MOST_ROWS:
            details = _details(run, results)
            row = [Cell(run.id, run.id, details=details), Cell(run.status, mark=_STATUS.get(run.status, "bad"))]
            row += [_number(value) for value in plain]
            row += [Cell(device), Cell(run.reason, style="reason")]
            shown.append([cell for name, cell in zip(columns, row, strict=True) if name not in silent])
        lines.append([run.id, run.status, *plain, device, run.reason, command(run.spec, results.out) if run.spec else ""])
    csv = as_csv(pd.DataFrame(lines, columns=[*columns, "again"]))
    counts: dict[str, int] = {}
    for run in results.runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none"
    opened = "Open one for versions, device, digests and the command to make it again. " if any(row[0].details for row in shown) else ""
    caption = (
        f"{len(results.runs)} run{plural(len(results.runs))}: {told}. {opened}"
        f"Accuracies are the last measured, {learning.probes_text(results.curves)}; one run a row, so no band."
        f"{f' All on {devices[0]}.' if len(devices) == 1 else ''}"
    )
    return Table("runs-table", "All runs", caption, {name: kind for name, kind in columns.items() if name not in silent}, shown, csv)


def _number(value: Any) -> Cell:
    if value is None or value != value:
        return Cell("", "", "number")
    if isinstance(value, str):
        return Cell(value)
    return Cell(f"{float(value):.4g}" if isinstance(value, float) else str(value), float(value), "number")


def _details(run: ReportedRun, results: Results) -> tuple[tuple[str, str], ...]:
    """Versions, device, digests and the command that makes the run again."""
    about = run.environment
    names = ("package", "python", "torch", "numpy", "platform", "device", "device_name", "threads", "packing", "status", "diverged_at")
    found = [(name.replace("_", " "), str(about[name])) for name in names if about.get(name) is not None]
    found += [(f"seconds {name}", f"{value:.1f}") for name, value in about.get("seconds", {}).items()]
    found += [(f"SHA-256 {name}", str(value)) for name, value in about.get("digests", {}).items()]
    if run.spec is not None:
        found.append(("again", command(run.spec, results.out)))
    return tuple(found)


def command(spec: RunSpec, out: str) -> str:
    """The command line that makes a run again, with every field that is not at its default: a pair after one flag, a longer list as
    the flag repeated, a switch as the flag alone."""
    words = ["dominoes", "train"]
    for form, fields in ((DominoSpec, spec.dataset), (TrainSpec, spec.train)):
        for name, value in fields.model_dump(mode="json").items():
            default = form.model_fields[name].default
            if form is DominoSpec and name == "seed":
                # Left out, the deal's seed follows the run's.
                words += [] if value == spec.seed else ["--seed", str(value)]
                continue
            if value == (list(default) if isinstance(default, tuple) else default):
                continue
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(flag)
            elif isinstance(value, list) and name not in _PAIRS:
                words += [word for part in value for word in (flag, str(part))]
            else:
                words += [flag, *("-" if part is None else str(part) for part in (value if isinstance(value, list) else [value]))]
    return shlex.join([*words, "--seeds", str(spec.seed), "--out", out])


def plural(count: int) -> str:
    """The ending of a counted noun."""
    return "" if count == 1 else "s"
