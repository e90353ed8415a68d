"""What a published protocol came to, kept beside a README whose section on it follows from the tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dominoes import files
from dominoes.errors import OutputError
from dominoes.runs import plan
from dominoes.studies import protocols, published, reproduction
from dominoes.studies.protocols import Protocol
from dominoes.tables import as_csv

VALUES, TABLE, README = "values.csv", "published.csv", "README.md"
# What the runs of a scale may differ in, and a reader wants to know.
_TOLD = ("device", "threads", "package", "torch")


def keep_protocol(name: str, scale: str, out: Path, folder: Path) -> Path:
    """Write values.csv and published.csv of a protocol's finished runs to `folder`/NAME, and its section `What came out: NAME` to the
    README of `folder`, in the place of the old one, else at the end.

    Args:
        name: of the protocol, or the path of its file. scale: of the runs. out: their results folder. folder: with a README.md.

    Raises OutputError without a README there, and RunError without a plan in `out`.
    """
    readme = folder / README
    if not readme.is_file():
        raise OutputError(f"{readme} is not there; expected a README in which question, statistic and margin stand before the runs")
    protocol = protocols.named_protocol(name)
    planned = plan.load_plan(out)
    found = published.values(protocol, planned, out)
    table = published.compared(protocol, scale, found)
    name = protocol.name
    section = "\n".join(_section(protocol, scale, table, _machine(out, len(planned.runs))))
    files.write(folder / name / VALUES, as_csv(found))
    files.write(folder / name / TABLE, as_csv(table))
    text = readme.read_text(encoding="utf-8").rstrip()
    old = re.compile(rf"^## What came out: {re.escape(name)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    text = old.sub(lambda match: section + "\n\n", text) if old.search(text) else f"{text}\n\n{section}"
    files.write(readme, text.rstrip() + "\n")
    return readme


def _section(protocol: Protocol, scale: str, table: pd.DataFrame, machine: Sequence[str]) -> list[str]:
    whole = "As it was published, as far as it is followed."
    cut = [f"Small scale: `{protocol.about.small_scale}`." if scale == protocols.SMALL else whole]
    head = ["| number | published | ours (95 %) | seeds | verdict |", "|---|---|---|---|---|"]
    return [f"## What came out: {protocol.name}", "", *cut, *machine, "", *head, *published.markdown_rows(table)]


def _machine(out: Path, runs: int) -> list[str]:
    """How many runs are finished, and what they were made with."""
    done = list(reproduction.finished_runs(plan.load_plan(out), out))
    told = [f"{len(done)} of {runs} runs."]
    if done:
        n = sorted({run.n for run, _ in done})
        known = {name: sorted({str(run.environment.get(name, "")) for run, _ in done}) for name in _TOLD}
        versions = ", ".join(f"{name} {' and '.join(values)}" for name, values in known.items() if any(values))
        told.append(f"n = {' and '.join(f'{count:,}' for count in n)}; `{versions}`.")
    return told
