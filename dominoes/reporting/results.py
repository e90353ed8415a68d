"""Results as they lie on disk, gathered for looking at: a run, several, a sweep that may be unfinished, or a table made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dominoes import tables
from dominoes.errors import CurvesError, DominoesError, RunError, brief
from dominoes.folded import CLASSES_COUNT
from dominoes.labels import count_classes
from dominoes.reporting import reading
from dominoes.reporting.reading import CODED, DAMAGED, ReportedRun
from dominoes.runs import parameters, plan, run_folders, state
from dominoes.runs.packed import mirror
from dominoes.runs.state import RUNS
from dominoes.spec import DominoSpec
from dominoes.theory.verdict_table import read_comparison

FITS, COMPARISON, SIMPLICITY, LLC = "fits.csv", "comparison.csv", "simplicity.csv", "llc.csv"
# Groups whose curves a page draws and keeps, each at most once: more cannot be told apart, and would not fit in a mail.
MOST_GROUPS = 112
# What the theory reads of a run beside the fields, where it is known.
_KNOWN = (
    "source_top", "source_bottom", "prevalence_top", "prevalence_bottom", "both", "reliability_top", "reliability_bottom", tables.DEAL
)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What there is to be looked at.

    Attributes:
        name: of the results.
        out: the folder that a command to reproduce writes to.
        table: what `fit` and `compare` read of them.
        beside: the folder in which tables made of them are found again.
        runs: every run that is known of, whatever became of it.
        curves: rows of `tables.CURVES` of the finished and diverged runs, then `group` and the fields that are swept. `run`, `split`,
            `kind`, `group` are categories. `with_known` adds what else the theory reads.
        by_class: folders of runs and tables in which rows of `tables.CLASSES` of the same runs lie; `classes` reads them.
        made: what each run was made with, as far as it is known: a row a run (index its id), columns as `parameters.of_spec` names them.
        fields: names of what sets the groups of runs apart; a group is one spec with all its seeds.
        groups: names of the groups, in the order of the fields' values.
        confusion: by run id, counts (K + 1) × (K + 1) × K, see `scorer.Scorer.confusion`.
        fits, comparison: content of fits.csv and comparison.csv, None if there are none.
        simplicity: content of simplicity.csv, the yardstick; None if there is none.
        llc: content of llc.csv, local learning coefficients; None if there is none.
        bands: of a comparison that was made from these curves; None if none was.
        judged: rows of that comparison; None if none was made.
        classes_count: K, None where runs differ in it. notes: everything that is missing or left out, a sentence each.
    """

    name: str
    out: str
    table: str
    beside: str
    runs: tuple[ReportedRun, ...]
    curves: pd.DataFrame
    by_class: tuple[Path | pd.DataFrame, ...]
    made: pd.DataFrame
    fields: tuple[str, ...]
    groups: tuple[str, ...]
    confusion: Mapping[str, NDArray[np.int64]]
    fits: pd.DataFrame | None
    comparison: pd.DataFrame | None
    simplicity: pd.DataFrame | None
    llc: pd.DataFrame | None
    bands: pd.DataFrame | None
    judged: pd.DataFrame | None
    classes_count: int | None
    notes: tuple[str, ...]

    @property
    def damaged(self) -> dict[str, str]:
        """By run id, what is wrong with finished runs that are left out of all tables."""
        return {run.id: run.reason for run in self.runs if run.status == DAMAGED}

    @cached_property
    def classes(self) -> pd.DataFrame | None:
        """Rows of `tables.CLASSES` of the runs; None if no run has them. They are ten times as many as the curves, so they are read when
        they are asked for. Raises CurvesError if a run's table breaks the contract."""
        folders = [each for each in self.by_class if isinstance(each, Path)]
        parts = [reading.classes(folders), *(each for each in self.by_class if not isinstance(each, Path))]
        found = [part for part in parts if part is not None]
        return pd.concat(found, ignore_index=True) if found else None

    def with_known(self, curves: pd.DataFrame, names: Sequence[str] = _KNOWN) -> pd.DataFrame:
        """Rows of `curves` with the sources, the shares shown, the reliabilities and the deal's seed of their runs, or some of these, where
        known."""
        return _taken(curves, self.made, [name for name in names if name in self.made.columns and name not in curves.columns])

    @cached_property
    def _groups(self) -> dict[str, str]:
        first = self.curves.drop_duplicates("run")
        return dict(zip(first["run"].astype(str), first["group"].astype(str), strict=True))

    @cached_property
    def _seeds(self) -> dict[str, int]:
        return {str(group): int(count) for group, count in pd.Series(self._groups, dtype=str).value_counts().items()}

    def seeds(self, group: str) -> int:
        """Runs of a group."""
        return self._seeds.get(group, 0)

    def group_of(self, run: str) -> str:
        """The group of a run, empty if it has no curves."""
        return self._groups.get(run, "")

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """The groups whose curves are drawn: all, or MOST_GROUPS of them, evenly spread over their order with the first and the last."""
        return evenly_spread(self.groups, MOST_GROUPS)

    @cached_property
    def drawn_curves(self) -> pd.DataFrame:
        """The rows of `curves` of the groups that are drawn."""
        return self.curves if self.drawn == self.groups else self.curves[self.curves["group"].isin(self.drawn)]

    def datasets(self) -> dict[str, DominoSpec]:
        """The different datasets of all runs with a spec, by what sets them apart; of deals that differ by seed alone the first."""
        first: dict[DominoSpec, DominoSpec] = {}
        for run in self.runs:
            if run.spec is not None and run.status != "infeasible":
                first.setdefault(run.spec.dataset.model_copy(update={"seed": 0}), run.spec.dataset)
        different = list(first.values())
        values = {spec: spec.model_dump(mode="json") for spec in different}
        names = [
            name
            for name in next(iter(values.values()), {})
            if name != "seed" and len({str(each.get(name)) for each in values.values()}) > 1
        ]
        order = sorted(values, key=lambda spec: [_rank(values[spec].get(name)) for name in names])
        titled = {spec: ", ".join(f"{name} {plan.plain_value(values[spec].get(name))}" for name in names) for spec in order}
        return {title or f"{spec.top} over {spec.bottom}": spec for spec, title in titled.items()}


def evenly_spread(names: Sequence[str], most: int) -> tuple[str, ...]:
    """All of some names, or `most` of them evenly spread over their order, the first and the last among them."""
    if len(names) <= most:
        return tuple(names)
    return tuple(names[place] for place in np.unique(np.linspace(0, len(names) - 1, most).round().astype(int)))


def _rank(value: Any) -> tuple[float, str]:
    """Numbers by size, the halves of a pair one after the other, texts by letter, what is not there last."""
    if isinstance(value, list):
        return sum(_rank(part)[0] / 1e3**place for place, part in enumerate(value) if part is not None), str(value)
    return (float(value), "") if isinstance(value, int | float) else (float("inf"), str(value))


def gather(paths: Sequence[Path]) -> Results:
    """Read results from folders (of a run, of runs, of a sweep) and tables of curves; a run that is met twice counts once.

    Raises RunError: a path is not there, or is a folder without results. CurvesError: a file is no table of curves. Anything less is a
    note, or a run's status.
    """
    paths = [mirror.results(path) for path in paths]
    for path in paths:
        if not path.exists():
            raise RunError(f"{path} is not there; expected a folder of results, as 'dominoes train --out' leaves it, or a table of curves")
    runs: dict[str, ReportedRun] = {}
    parts: list[pd.DataFrame] = []
    by_class: list[Path | pd.DataFrame] = []
    notes: list[str] = []
    for path in paths:
        table, folders = path if path.is_file() else _exported(path), _folders(path)
        if folders or plan.record(path):
            found_runs, found = reading.of_folders(folders)
            if found is not None:
                parts.append(found[~found["run"].isin(list(runs))] if runs else found)
                by_class += [run.folder for run in found_runs if run.environment and run.folder is not None and run.id not in runs]
            for run in [*found_runs, *_of_plan(path, notes)]:
                runs.setdefault(run.id, run)
            continue
        if path.is_dir() and not table.is_file():
            raise RunError(
                f"{path} holds no results; expected runs/ in it, as 'dominoes train --out' and 'dominoes sweep run' leave it, or curves.csv"
            )
        found, said = tables.mended(tables.read_unchecked(table))
        notes += [f"{table.name}: {note}" for note in said]
        found = found[~found["run"].isin(list(runs))]
        parts.append(found)
        runs |= {run.id: run for run in _of_table(found, table.with_name("runs.csv"))}
        beside = table.with_name("classes.csv")
        if beside.is_file():
            by_class.append(tables.mended(tables.read_unchecked(beside, form="classes"), form="classes")[0])
    curves, made, fields, groups = _grouped(parts, runs, notes)
    kept = {run.id: run.folder for run in runs.values() if state.CONFUSION in run.environment.get("files", {}) and run.folder is not None}
    notes += _missing(runs, curves, kept)
    first = curves.drop_duplicates("run")
    place = {str(run): groups.index(group) for run, group in zip(first["run"], first["group"], strict=True)}
    counts = {run.environment["dominoes"]["classes"] for run in runs.values() if run.environment}
    counts |= {int(part.attrs[CLASSES_COUNT]) for part in parts if CLASSES_COUNT in part.attrs}
    counts = counts or {count_classes(table["label"])[0] for table in by_class if isinstance(table, pd.DataFrame)}
    if not counts and len(curves):
        counts = {10}
        notes.append("the number of classes is not known (no table of classes): 10 was taken")
    if len(counts) > 1:
        notes.append(f"the runs have different numbers of classes ({', '.join(map(str, sorted(counts)))}): no theory is compared")
    fits = _measured(paths, FITS, _read_fits, notes)
    comparison = _measured(paths, COMPARISON, partial(read_comparison, needed=("question", "verdict", "sentence")), notes)
    if fits is not None:
        fits = fits[fits["run"].isin(curves["run"].unique())]
    return Results(
        name=", ".join(dict.fromkeys(path.resolve().name for path in paths)),
        out=str(_out(paths[0])),
        table=mirror.known_as(paths[0] if paths[0].is_file() or (paths[0] / RUNS).is_dir() else _exported(paths[0])),
        beside=str(paths[0] if paths[0].is_dir() else paths[0].parent),
        runs=tuple(sorted(runs.values(), key=lambda run: (place.get(run.id, len(groups)), run.seed or 0))),
        curves=curves,
        by_class=tuple(by_class),
        made=made,
        fields=fields,
        groups=groups,
        confusion=reading.Confusion(kept),
        fits=fits if fits is not None and len(fits) else None,
        comparison=comparison,
        simplicity=_measured(paths, SIMPLICITY, tables.read_simplicity, notes),
        llc=_measured(paths, LLC, tables.read_llc, notes),
        bands=None,
        judged=None,
        classes_count=int(counts.pop()) if len(counts) == 1 else None,
        notes=tuple(dict.fromkeys(notes)),
    )


def _exported(folder: Path) -> Path:
    """The table of curves in a folder without runs: curves.csv, or the curves.parquet of a study that is kept."""
    return next((path for path in sorted(folder.glob("curves.*")) if path.suffix in (".csv", ".parquet")), folder / "curves.csv")


def _out(path: Path) -> Path:
    """The folder whose runs/ holds or would hold the runs."""
    if path.is_file():
        return path.parent
    alone = (path / state.DONE).exists() or (path / "spec.json").exists()
    return path.parent.parent if alone and path.parent.name == RUNS else path


def _folders(path: Path) -> list[Path]:
    """Run folders: the path itself, or those under its runs/, packed ones too."""
    return run_folders.everything(path)


def _of_plan(path: Path, notes: list[str]) -> list[ReportedRun]:
    """Runs of a sweep's plan; those that have a folder were met before."""
    if plan.record(path) is None:
        return []
    try:
        planned = plan.load_plan(path)
    except RunError as error:
        notes.append(str(error))
        return []
    found = [ReportedRun(run.spec.id, run.spec.seed, "not run", "planned, not started", None, run.spec) for run in planned.runs]
    return found + [ReportedRun(run.spec.id, run.spec.seed, "infeasible", run.reason, None, run.spec) for run in planned.infeasible]


def _of_table(table: pd.DataFrame, beside: Path) -> list[ReportedRun]:
    seeds = table.drop_duplicates("run").set_index("run")["seed"]
    known: dict[str, dict[str, Any]] = {}
    if beside.is_file():
        try:
            records = pd.read_csv(beside, dtype=str, keep_default_na=False).to_dict("records")
            known = {str(row["run"]): {str(name): value for name, value in row.items()} for row in records}
        except (ValueError, KeyError):
            known = {}
    names = dict.fromkeys([*(str(name) for name in seeds.index), *known])
    found = []
    for name in names:
        row = known.get(name, {})
        seed = str(seeds[name] if name in seeds.index else row.get("seed", "")).strip()
        whole = int(float(seed)) if seed not in ("", "nan") else None
        found.append(ReportedRun(name, whole, str(row.get("status", "finished")), str(row.get("reason", ""))))
    return found


def _grouped(
    parts: list[pd.DataFrame], runs: Mapping[str, ReportedRun], notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """All curves in one table, what their runs were made with, and what sets the groups apart."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=[*tables.CURVES, "group"]).astype(dict.fromkeys(CODED, "category")), pd.DataFrame(), (), ()
    made: dict[str, dict[str, Any]] = {}
    for part in parts:
        further = [str(column) for column in part.columns if column not in tables.CURVES]
        for name, row in part.drop_duplicates("run").set_index("run").iterrows():
            made[str(name)] = {column: row[column] for column in further}
    for name, values in made.items():
        run = runs[name]
        if run.spec is not None:
            try:
                values |= parameters.of_spec(run.spec, run.environment.get("dominoes", {}).get("n"))
            except DominoesError as error:
                notes.append(f"run {name}: {error}")
    made_with = pd.DataFrame.from_dict(made, orient="index")
    fields = tables.telling(made_with)
    seeds = pd.Series({name: runs[name].seed for name in made})
    if tables.DEAL in fields and (made_with.groupby(seeds)[tables.DEAL].nunique() == 1).all():
        # Every seed deals anew: replicates of one spec, not another parameter.
        fields.remove(tables.DEAL)
    keys = _keys(made_with, fields)
    first = made_with.assign(group=keys).drop_duplicates("group")
    order = first.assign(**{name: pd.to_numeric(first[name], errors="coerce").fillna(np.inf) for name in fields})
    groups = tuple(str(name) for name in order.sort_values([*fields, "group"], kind="stable")["group"])
    wanted = [[column for column in part.columns if column in tables.CURVES] for part in parts]
    if len(parts) == 1 and all(isinstance(parts[0][name].dtype, pd.CategoricalDtype) for name in CODED):
        curves = parts[0][wanted[0]].copy(deep=False)
    else:
        columns = reading.Columns()
        for part, names in zip(parts, wanted, strict=True):
            columns.add(part[names])
        curves = columns.table()
    curves = _taken(curves, made_with.assign(group=pd.Categorical(keys)), ["group", *fields])
    return curves, made_with, tuple(fields), groups


def _taken(curves: pd.DataFrame, made: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The curves with some columns of their runs: each run's values once, taken by the runs' codes."""
    each, place = made.reindex(curves["run"].cat.categories), curves["run"].cat.codes.to_numpy()
    return curves.assign(**{name: each[name].array.take(place) for name in names})


def _keys(parameters: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    if not fields:
        known = parameters.iloc[0].to_dict()
        names = [f"{known['source_top']} over {known['source_bottom']}" if "source_top" in known else "", str(known.get("model", ""))]
        return pd.Series(", ".join(filter(None, names)) or "all runs", index=parameters.index)
    texts = [name + " " + parameters[name].map(_text) for name in fields]
    found = texts[0]
    for text in texts[1:]:
        found = found + ", " + text
    return found


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _missing(runs: Mapping[str, ReportedRun], curves: pd.DataFrame, confusion: Mapping[str, Any]) -> list[str]:
    notes = []
    bad: dict[str, int] = {}
    for run in runs.values():
        if run.status != "finished":
            bad[run.status] = bad.get(run.status, 0) + 1
    if bad:
        notes.append(f"of {len(runs)} runs {', '.join(f'{count} {status}' for status, count in bad.items())}: see the table of runs")
    if not len(curves):
        notes.append("there is no finished run: no curves are drawn")
    for kind in ("top", "bottom", "both", "conflict"):
        if len(curves) and not ((curves["kind"] == kind) & (curves["split"] == "test")).any():
            notes.append(f"no run was measured on test dominoes of kind {kind}")
    shown = curves["run"].nunique()
    if shown and len(confusion) < shown:
        notes.append(f"{shown - len(confusion)} of {shown} runs have no {state.CONFUSION}: made by an earlier version, or a table only")
    if len(curves) and (curves.groupby("group")["run"].nunique() == 1).any():
        notes.append("some groups have a single seed: they have no band and no interval")
    return notes


def _read_fits(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"run": str, "group": str})
    except (ValueError, OSError) as error:
        raise CurvesError(f"{path} cannot be read as a table ({brief(error)})") from error
    if missing := sorted({"run", "kind", "metric", "family", "onset"} - set(table.columns)):
        raise CurvesError(f"{path} lacks the columns {', '.join(missing)}")
    return table


def _measured(paths: Sequence[Path], name: str, read: Callable[[Path], pd.DataFrame], notes: list[str]) -> pd.DataFrame | None:
    """What the theory's commands or a yardstick left, from tables of this name that lie among the results."""
    found = []
    for path in paths:
        file = path / name if path.is_dir() else path.with_name(name)
        if not file.is_file():
            continue
        try:
            found.append(read(file))
        except CurvesError as error:
            notes.append(f"{error}; it is left out")
            continue
        newest = max((mark.stat().st_mtime for mark in (path / RUNS).glob(f"*/{state.DONE}")), default=0.0)
        if name in (FITS, COMPARISON) and newest > file.stat().st_mtime:
            notes.append(f"{file} is older than the newest run, so it does not cover all of them; make it anew, or pass --fit")
    return pd.concat(found, ignore_index=True) if found else None
