"""A study run again from its sweep file, and its old and new numbers side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd

from dominoes import tables
from dominoes.errors import CurvesError, RunError
from dominoes.runs import parameters, plan, run_folders, sweep_file, sweeping
from dominoes.runs.engines.protocol import RunReport, WorkerSetting
from dominoes.runs.plan import Plan
from dominoes.runs.run_folders import FinishedRun
from dominoes.runs.state import Damage
from dominoes.runs.sweep_file import Sweep
from dominoes.studies import agreement, contrasts, headline_numbers, scaling, shipped
from dominoes.theory.sweep_comparison import compare_sweep

#: Of the results folder of a reproduction.
AGREEMENT, HEADLINES = "agreement.csv", "headlines.csv"


@dataclass(frozen=True)
class Reproduction:
    """A study that was run again.

    Attributes:
        name: of the study.
        table: columns `agreement.AGREEMENT`; empty verdicts where the numbers are not of the same runs.
        headlines: of the new runs, columns `headline_numbers.HEADLINES`.
        notes: what was cut, and what the old numbers are, a sentence each.
        missing: runs of the sweep that are not finished.
    """

    name: str
    table: pd.DataFrame
    headlines: pd.DataFrame
    notes: tuple[str, ...]
    missing: int

    def count(self, verdict: str) -> int:
        """How many numbers have this verdict."""
        return int((self.table["verdict"] == verdict).sum())


def reproduce(
    name: str | Path,
    out: Path,
    *,
    scale: Fraction = Fraction(1),
    kept: Path | None = None,
    engine: str = "local",
    workers: int | None = None,
    device: str = "auto",
    data: Path | None = None,
    download: bool = False,
    trust: bool = False,
    accept_changed: bool = False,
    started: Callable[[Plan, int], None] = lambda planned, missing: None,
    progress: Callable[[RunReport], None] = lambda report: None,
) -> Reproduction:
    """Run a study again and hold its headline numbers against those that are kept.

    Args:
        name: a study that comes with the package, or the path of a sweep file.
        out: results folder; what is finished in it is not run again.
        scale: share of the study's cost (`scaling.cut`).
        kept: folder of the study that is kept, with headlines.csv and, where it has them, its curves.parquet; None: the one that comes
            with the package.
        engine, workers, device, data, download, trust, accept_changed: as of a sweep.
        started: called once with the plan and the number of runs to do; progress: with the report of each run as it ends.

    Raises RunError: there is no such study, nothing is kept of it, or no run is finished. SpecError, CurvesError: as its parts do.
    """
    file = Path(name) if Path(name).suffix in (".yaml", ".yml") else shipped.sweep_file(shipped.STUDIES, str(name))
    title = file.stem
    old = kept if kept is not None else shipped.kept(title)
    if old is None or not (old / HEADLINES).is_file():
        where = f"{old} has no {HEADLINES}" if old is not None else f"no numbers of {title} are kept in this installation"
        raise RunError(f"{where}; pass --kept DIR, a folder that 'dominoes sweep keep' made")
    whole = sweep_file.read_sweep_file(file)
    smaller = scaling.cut(whole, scale)
    setting = WorkerSetting(Path(out).resolve(), device, None if data is None else Path(data).resolve(), download)
    options: dict[str, Any] = {"engine": engine, "workers": workers, "trust": trust, "accept_changed": accept_changed}
    run_missing(smaller.sweep, setting, where=str(file), started=started, progress=progress, **options)
    planned = plan.load_plan(out)
    by = fields_of(plan.make_plan(whole, data=setting.data))
    curves = curves_of(planned, out, by)
    classes = classes_of_plan(planned, out)
    new_runs = headline_numbers.of_runs(curves, classes=classes, by=by)
    asked = contrasts.read_contrasts(old)
    new = headline_numbers.headlines(curves, sweep_comparison(curves, by, classes), contrasts=asked, classes=classes, by=by)
    notes = [f"scale {scale}: {'; '.join(smaller.notes)}"] if smaller.notes else []
    before, pairs, said = _before(old, new_runs, by, classes)
    notes += [*said, *new.attrs[headline_numbers.NOTES]]
    table = agreement.compared(before, new, pairs)
    if not smaller.same:
        table["verdict"] = agreement.NO_MARGIN
        notes.append("shorter runs on fewer dominoes come to other numbers: no verdict is given; a larger --scale keeps them as they are")
    missing = len(planned.runs) - int(new_runs["run"].nunique())
    return Reproduction(title, table, new, tuple(notes), missing)


def run_missing(
    sweep: Sweep,
    setting: WorkerSetting,
    *,
    engine: str = "local",
    workers: int | None = None,
    trust: bool = False,
    accept_changed: bool = False,
    where: str = "sweep",
    started: Callable[[Plan, int], None] = lambda planned, missing: None,
    progress: Callable[[RunReport], None] = lambda report: None,
) -> None:
    """Execute what is missing of a sweep in `setting.out`. Raises RunError if a run fails."""
    options = {"trust": trust, "accept_changed": accept_changed, "elsewhere": engine != "local"}
    ready = sweeping.prepare_sweep(sweep, setting, where=where, skip_infeasible=None, **options)
    started(ready.plan, len(ready.missing))
    if not ready.missing:
        return
    failed = None
    for report in ready.launch(sweeping.engine(engine, ready.setting, workers)):
        progress(report)
        failed = report if report.state == "failed" else failed
    if failed is not None:
        raise RunError(f"run {failed.run} failed ({failed.reason}); the same command goes on once that is mended")


def fields_of(planned: Plan) -> list[str]:
    """The columns that tell the points of a sweep apart, from its plan: the same whatever part of it is run."""
    made = pd.DataFrame([parameters.of_spec(each.spec, each.n) for each in planned.runs])
    return headline_numbers.swept_fields(made.assign(seed=[each.spec.seed for each in planned.runs]))


def curves_of(planned: Plan, out: Path, by: list[str]) -> pd.DataFrame:
    """Curves of the finished runs of a plan, with the columns that tell points apart, what is shown of both sides, the deal's and the
    probe's seed. Raises RunError."""
    names = dict.fromkeys((*by, *parameters.SHOWN, tables.DEAL, "probe_seed"))
    parts = [done.table().assign(**{name: made.get(name) for name in names}) for done, made in finished_runs(planned, out)]
    if not parts:
        raise RunError(f"{out} holds no finished run of this study; run it to its end with the same command")
    return pd.concat(parts, ignore_index=True)


def finished_runs(planned: Plan, out: Path) -> Iterator[tuple[FinishedRun, dict[str, Any]]]:
    """The finished runs of a plan in its order, folders and packed ones, each with its parameters (`parameters.of_spec`); damaged ones are
    left out."""
    found = {folder.name: folder for folder in run_folders.finished(out)}
    for done in run_folders.read_all(found[each.id] for each in planned.runs if each.id in found):
        if not isinstance(done, Damage):
            yield done, parameters.of_spec(done.spec, done.n)


def classes_of_plan(planned: Plan, out: Path) -> int:
    """K of a sweep, from its first finished run; 10 without any."""
    for done, _ in finished_runs(planned, out):
        return int(done.environment["dominoes"]["classes"])
    return 10


def sweep_comparison(curves: pd.DataFrame, by: list[str], classes: int) -> pd.DataFrame | None:
    """What `dominoes compare --sweep` estimates across points; None where nothing is swept, or one seed is too few."""
    if not by:
        return None
    try:
        return compare_sweep(curves, by=by, classes_count=classes).table
    except CurvesError:
        return None


def _before(kept: Path, new: pd.DataFrame, by: list[str], classes: int) -> tuple[pd.DataFrame, pd.DataFrame | None, list[str]]:
    """The kept numbers, over the same runs where the kept curves allow it; differences of these runs; and what was done."""
    whole = headline_numbers.read_headlines(kept / HEADLINES)
    if not (kept / shipped.CURVES).is_file():
        return whole, None, ["the old numbers are of all runs that are kept; intervals of differences take old and new as independent"]
    curves = tables.read_unchecked(kept / shipped.CURVES)
    same = curves[curves["run"].isin(new["run"].unique())]
    count, runs = int(same["run"].nunique()), int(new["run"].nunique())
    if not count or any(name not in same.columns for name in by):
        return whole, None, ["no run is among those that are kept: old and new are taken as independent"]
    before = headline_numbers.of_runs(same, classes=classes, by=by)
    pairs = agreement.paired(before, new)
    said = f"the old numbers are of the same {count} runs" + ("" if count == runs else f", of {runs}")
    over = sweep_comparison(same, by, classes)
    return headline_numbers.headlines(same, over, contrasts=contrasts.read_contrasts(kept), classes=classes, by=by), pairs, [said]
