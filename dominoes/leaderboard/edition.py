"""Editions: frozen curves that every theory is asked about, with the specs, seeds and deals of the runs that made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dominoes import __version__, files
from dominoes.arrays import FloatArray
from dominoes.errors import LeaderboardError
from dominoes.folded import CLASSES_COUNT
from dominoes.leaderboard import identities
from dominoes.leaderboard.scale import SCALED_METRICS
from dominoes.runs import parameters
from dominoes.spec import DominoSpec, RunSpec, TrainSpec
from dominoes.tables import bounded

CURVES, RUNS, MANIFEST = "curves.parquet", "runs.parquet", "edition.json"
EDITION_FORMAT = 1
# Taken where nothing says K.
_CLASSES = 10
_VALUES = ("accuracy", "loss", "agree_top", "agree_bottom")
_OF_CURVES = ("run", "seed", "step", "epoch", "samples", "split", "kind", "n", "loss", "accuracy", "agree_top", "agree_bottom")
# What tells runs of one spec apart, or says how they were measured; everything else that is not of the curves is a dial.
_OF_RUNS = ("deal_seed", "probe_seed", "measurements", "probe", "measure_at_loss", "level_kind", "checkpoints")
OF_RUNS = ("run", "spec", "study", "held_out", "seed", "deal", "pictures")
_GIVEN = ("dominoes", "prevalence_top", "prevalence_bottom", "both", "empty", "ratio")
# Follow from the prevalences and D, which say them already.
FOLLOWING = ("empty", "ratio")


@dataclass(frozen=True)
class SpecRuns:
    """The runs of one spec of a study as rectangular arrays, at the steps that every run has.

    Attributes:
        steps: (T,) increasing, step 0 included. values: (kind, metric) -> (S, T). n: pictures of a probe.
        deals, pictures: (S,) which deal a run was trained on, which probe it was measured on.
    """

    study: str
    spec: str
    dials: Mapping[str, Any]
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: FloatArray
    values: Mapping[tuple[str, str], FloatArray]
    n: float
    deals: tuple[str, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Edition:
    """Curves on the test probes, frozen.

    Attributes:
        name: of the edition. classes: K.
        runs: one row a run: OF_RUNS, then the dials of its spec.
        curves: one row a (run, kind) with list columns `step`, `n` and the values; 32-bit floats.
        package: version of dominoes that made it. notes: what was left out, one sentence each.
    """

    name: str
    classes: int
    runs: pd.DataFrame
    curves: pd.DataFrame
    package: str
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the runs and every number of the curves, whatever file they lie in; first 16 hex digits."""
        found = hashlib.sha256(f"{EDITION_FORMAT} {self.classes}\n{self.runs.to_csv(index=False, lineterminator=chr(10))}".encode())
        for row in self.curves.itertuples(index=False):
            found.update(f"{row.run} {row.kind}\n".encode())
            found.update(np.asarray(row.step, dtype="<i8").tobytes())
            for name in ("n", *_VALUES):
                found.update(np.asarray(getattr(row, name), dtype="<f4").tobytes())
        return found.hexdigest()[:16]

    @property
    def dials(self) -> list[str]:
        """Names of the dials."""
        return [name for name in self.runs.columns if name not in OF_RUNS]

    @cached_property
    def specs(self) -> pd.DataFrame:
        """One row a (study, spec): `study`, `spec`, `held_out` and the dials, with `classes`; sorted."""
        columns = ["study", "spec", "held_out", *self.dials]
        table = self.runs[columns].drop_duplicates(["study", "spec"]).sort_values(["study", "spec"], kind="stable")
        return table.assign(classes=self.classes).reset_index(drop=True)

    @cached_property
    def tables(self) -> dict[tuple[str, str], pd.DataFrame]:
        """(study, spec) -> its curves in long form: one row per (run, kind, step), columns of `protocol.GIVEN` after `spec`."""
        lengths = self.curves["step"].map(len).to_numpy()
        long = pd.DataFrame(
            {name: np.repeat(self.curves[name].to_numpy(), lengths) for name in ("run", "kind")}
            | {"step": np.concatenate([np.asarray(steps, dtype=np.int64) for steps in self.curves["step"]])}
            | {name: np.concatenate([np.asarray(row, dtype=float) for row in self.curves[name]]) for name in ("n", *_VALUES)}
        )
        long["neither"] = np.where(long["kind"] == "conflict", np.clip(1 - long["agree_top"] - long["agree_bottom"], 0, 1), np.nan)
        by_run = dict(iter(long.groupby("run", sort=False)))
        found = {}
        for (study, spec), rows in self.runs.groupby(["study", "spec"], sort=True):
            table = pd.concat([by_run[run] for run in rows["run"]], ignore_index=True)
            table.insert(0, "spec", str(spec))
            found[str(study), str(spec)] = table
        return found

    def together(self, keys: Iterable[tuple[str, str]]) -> pd.DataFrame:
        """The tables of several specs as one, in the order of the keys; a copy."""
        whole, places = self._whole
        pieces: list[tuple[int, int]] = []
        for begin, end in map(places.__getitem__, keys):
            if pieces and pieces[-1][1] == begin:
                begin = pieces.pop()[0]
            pieces.append((begin, end))
        # Few large pieces: one for every spec would take several times as long, here and in all that reads it.
        found = [whole.iloc[begin:end] for begin, end in pieces] or [whole.iloc[:0]]
        return pd.concat(found, ignore_index=True) if len(found) > 1 else found[0].reset_index(drop=True).copy()

    @cached_property
    def _whole(self) -> tuple[pd.DataFrame, dict[tuple[str, str], tuple[int, int]]]:
        """All tables below one another, and where each begins and ends."""
        ends = np.cumsum([len(table) for table in self.tables.values()]).tolist()
        whole = pd.concat(list(self.tables.values()), ignore_index=True)
        # In one piece of memory: text would stay in one for every table.
        text = {name: whole[name].astype(object).astype(str) for name in ("spec", "run", "kind")}
        return whole.assign(**text), dict(zip(self.tables, zip([0, *ends[:-1]], ends, strict=True), strict=True))

    @cached_property
    def arrays(self) -> dict[tuple[str, str], SpecRuns]:
        """(study, spec) -> its runs as arrays."""
        found = {}
        dials = {(row["study"], row["spec"]): {str(name): row[name] for name in row} for row in self.specs.to_dict("records")}
        for (study, spec), rows in self.runs.groupby(["study", "spec"], sort=True):
            key = (str(study), str(spec))
            table = self.tables[key]
            there = table.groupby("step")["run"].nunique()
            steps = np.array(sorted(there.index[there == len(rows)]), dtype=float)
            values = {}
            for kind, metrics in SCALED_METRICS.items():
                of_kind = table[(table["kind"] == kind) & table["step"].isin(steps)]
                for metric in metrics:
                    wide = of_kind.pivot(index="run", columns="step", values=metric).reindex(index=list(rows["run"]), columns=steps)
                    if wide.notna().to_numpy().all():
                        values[kind, metric] = wide.to_numpy(float)
            known = {name: value for name, value in dials[key].items() if name not in ("study", "spec", "held_out")}
            found[key] = SpecRuns(
                key[0], key[1], known, tuple(rows["run"]), tuple(int(seed) for seed in rows["seed"]), steps, values,
                float(table["n"].mean()), tuple(rows["deal"]), tuple(rows["pictures"]),
            )  # fmt: skip
        return found


def make_edition(tables: Mapping[str, pd.DataFrame], name: str, *, held_out: Iterable[str] = (), classes: int | None = None) -> Edition:
    """An edition of studies.

    Args:
        tables: study -> its curves with the dials as further columns, as `dominoes sweep export` writes them. Rows of the split `test`
            are used. Columns that only some studies have are filled with the defaults of the specs. A table may say its number of
            classes (`folded.CLASSES_COUNT` of its attrs), as those of `collecting.study_curves` do.
        held_out: studies that nothing is fitted to; they are asked in the task `transfer` alone.
        classes: K. None: what the tables say, else 10.

    A run that several studies have in common is kept once, and stands in each of them.

    Raises LeaderboardError: no test curves, studies that differ in K or have another than was given, a run that has other curves in
    another study, a spec that is held out in one study and fitted to in another, or curves that break an identity (see
    `identities.of_curves`).
    """
    held = set(held_out)
    if unknown := sorted(held - set(tables)):
        raise LeaderboardError(f"held-out study {', '.join(unknown)} is not among the studies; expected one of {', '.join(tables)}")
    known = _count_of_classes(tables, classes)
    runs, curves, notes = [], [], []
    for study in sorted(tables):
        each, its_curves, its_notes = _study(study, tables[study], study in held)
        runs.append(each)
        curves.append(its_curves)
        notes += its_notes
    table = _filled(pd.concat(runs, ignore_index=True))
    dials = [column for column in table.columns if column not in OF_RUNS]
    table.insert(1, "spec", [_spec_id({str(name): row[name] for name in row}) for row in table[dials].to_dict("records")])
    table = table[[*OF_RUNS, *sorted(dials)]].sort_values(["study", "spec", "seed", "deal", "run"], kind="stable").reset_index(drop=True)
    whole = _once(curves)
    if known is None and not (whole["kind"] == "empty").any():
        notes.append(f"nothing says the number of classes, and there are no empty dominoes to tell it from: {_CLASSES} was taken")
    edition = Edition(name, known or _CLASSES, _unseen(table), whole, __version__, tuple(notes))
    if found := identities.of_curves(edition.tables, edition.classes, assumed=known is None):
        raise LeaderboardError(f"{found[0]}{f' (and {len(found) - 1} more)' if len(found) > 1 else ''}")
    return edition


def _count_of_classes(tables: Mapping[str, pd.DataFrame], given: int | None) -> int | None:
    """K, as it is given or as the tables say it; None where neither does. Raises LeaderboardError where they differ."""
    told = {study: int(table.attrs[CLASSES_COUNT]) for study, table in tables.items() if CLASSES_COUNT in table.attrs}
    for study, count in told.items():
        if given not in (None, count):
            raise LeaderboardError(f"{study} has {count} classes, and {given} were asked for; leave out --classes")
    if len(set(told.values())) > 1:
        said = ", ".join(f"{study} {count}" for study, count in told.items())
        raise LeaderboardError(f"the studies differ in their number of classes ({said}); expected one number for all of an edition")
    return next(iter(told.values()), given)


def _unseen(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, if no spec is held out in one study and fitted to in another: it would be its own answer. Raises LeaderboardError."""
    by_spec = runs.groupby("spec")["held_out"]
    known = runs[(by_spec.transform("any") & ~by_spec.transform("all"))]
    if len(known):
        mine = known[known["spec"] == known["spec"].iloc[0]]
        studies = ", ".join(sorted(set(mine["study"])))
        raise LeaderboardError(
            f"the spec of run {mine['run'].iloc[0]} is held out in one of {studies} and not in the others; expected it held out in all"
        )
    return runs


def _once(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Curves of several studies, those of a run that several have once. Raises LeaderboardError where they differ."""
    curves = pd.concat(tables, ignore_index=True).sort_values(["run", "kind"], kind="stable").reset_index(drop=True)
    again = curves.duplicated(["run", "kind"])
    for place in np.flatnonzero(again):
        one, other = curves.iloc[place - 1], curves.iloc[place]
        if any(not np.array_equal(one[name], other[name], equal_nan=True) for name in ("step", "n", *_VALUES)):
            raise LeaderboardError(
                f"run {other['run']} is there twice with different curves ({other['kind']}); expected one run of one name"
            )
    return curves[~again].reset_index(drop=True)


def _study(study: str, table: pd.DataFrame, held_out: bool) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    missing = [name for name in ("run", "step", "kind", "n", *_VALUES) if name not in table.columns]
    if missing:
        raise LeaderboardError(f"{study}: the column {', '.join(missing)} is missing; expected a table of 'dominoes sweep export'")
    table = table[table["split"] == "test"] if "split" in table.columns else table
    if not len(table):
        raise LeaderboardError(f"{study}: there are no rows of split test; theories are asked about the test probes")
    table = bounded(table, name=study).assign(run=table["run"].astype(str)).sort_values(["run", "kind", "step"], kind="stable")
    last = table.groupby("run")["step"].max()
    first = table.drop_duplicates("run").set_index("run")
    dials = [name for name in table.columns if name not in (*_OF_CURVES, *_OF_RUNS)]
    point = pd.Series(["|".join(map(str, row)) for row in first[dials].itertuples(index=False)], index=first.index)
    # A run that broke off would take its missing steps from all runs of its spec.
    broken = sorted(last.index[last < last.groupby(point).transform("max")])
    notes = [f"{study}: run {run} left out, it broke off at step {last[run]}" for run in broken]
    table, first = table[~table["run"].isin(broken)], first.drop(index=broken)
    runs = pd.DataFrame({"run": first.index, "study": study, "held_out": held_out})
    runs["seed"] = first["seed"].to_numpy(np.int64) if "seed" in first else np.arange(len(first))
    runs["deal"] = first["deal_seed"].astype(str).to_numpy() if "deal_seed" in first else "0"
    runs["pictures"] = first["probe_seed"].astype(str).to_numpy() if "probe_seed" in first else "0"
    for name in dials:
        runs[name] = first[name].to_numpy()
    after = table[table["step"] > 0]
    if "samples" in table.columns and "batch" not in dials and len(after):
        smallest = after.groupby("run").first()
        ratio = (smallest["samples"] / smallest["step"]).reindex(first.index).to_numpy(float)
        runs["batch"] = np.round(ratio).astype(int)
    if "epoch" in table.columns and "epochs" not in dials:
        longest = table.groupby("run")["epoch"].max()
        runs["epochs"] = np.ceil(longest[first.index].to_numpy(float) - 1e-9).astype(int)
    groups = table.groupby(["run", "kind"], sort=True)
    curves = groups[["step"]].agg(list).reset_index()
    for name in ("n", *_VALUES):
        curves[name] = pd.Series([np.asarray(values, dtype=np.float32) for values in groups[name].agg(list)], dtype=object)
    return runs, curves, notes


def _filled(runs: pd.DataFrame) -> pd.DataFrame:
    plain = parameters.of_spec(RunSpec(dataset=DominoSpec(prevalence=(1.0, 1.0)), train=TrainSpec()), None)
    # What a spec cannot leave open has no default that would mean anything.
    defaults = {name: value for name, value in plain.items() if name not in _GIVEN}
    for name in runs.columns:
        if name in defaults and runs[name].isna().any():
            runs[name] = runs[name].where(runs[name].notna(), defaults[name]).infer_objects()
    return runs


def _spec_id(dials: Mapping[str, Any]) -> str:
    plain = {name: (f"{value:.6g}" if isinstance(value, float) else str(value)) for name, value in dials.items() if name not in FOLLOWING}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def write_edition(edition: Edition, out: Path, *, force: bool = False) -> None:
    """Write an edition as a folder: curves.parquet, runs.parquet, edition.json. Raises OutputError; an old folder then stands as it was."""
    with files.new_folder(out, force=force, ours=MANIFEST) as folder:
        edition.curves.to_parquet(folder / CURVES, index=False, compression="zstd")
        edition.runs.to_parquet(folder / RUNS, index=False, compression="zstd")
        manifest = {
            "format": EDITION_FORMAT,
            "name": edition.name,
            "classes": edition.classes,
            "package": edition.package,
            "digest": edition.digest,
            "files": {name: files.sha256(folder / name) for name in (CURVES, RUNS)},
            "studies": {str(study): len(rows) for study, rows in edition.runs.groupby("study")},
            "held_out": sorted(edition.runs.loc[edition.runs["held_out"], "study"].unique()),
            "specs": len(edition.specs),
            "notes": list(edition.notes),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_edition(folder: Path) -> Edition:
    """Read an edition and check it against its digests. Raises LeaderboardError that names the file."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LeaderboardError(f"{folder} is no edition ({MANIFEST}: {error}); make one with 'dominoes leaderboard edition'") from error
    if manifest.get("format") != EDITION_FORMAT:
        raise LeaderboardError(f"{folder} has format {manifest.get('format')}, expected {EDITION_FORMAT}; update dominoes")
    try:
        for name, expected in manifest["files"].items():
            if (got := files.sha256(folder / name)) != expected:
                raise LeaderboardError(f"{folder / name} is not the file that was frozen (SHA-256 {got[:12]}, expected {expected[:12]})")
        runs, curves = pd.read_parquet(folder / RUNS), pd.read_parquet(folder / CURVES)
    except OSError as error:
        raise LeaderboardError(f"{folder} cannot be read ({error}); expected {CURVES} and {RUNS}") from error
    edition = Edition(manifest["name"], manifest["classes"], runs, curves, manifest["package"], tuple(manifest["notes"]))
    if edition.digest != manifest["digest"]:
        raise LeaderboardError(f"{folder} holds other curves than its manifest says ({edition.digest}, expected {manifest['digest']})")
    return edition


def join_editions(editions: Sequence[Edition], name: str) -> Edition:
    """Several editions as one; the studies of the last stand as held out if it is marked so. Raises LeaderboardError on a run in two."""
    runs = _filled(pd.concat([each.runs for each in editions], ignore_index=True))
    among = pd.concat([each.runs["run"].drop_duplicates() for each in editions])
    if (again := among.duplicated()).any():
        raise LeaderboardError(f"run {among[again].iloc[0]} is in two editions; expected each in one")
    if len({each.classes for each in editions}) > 1:
        raise LeaderboardError("the editions differ in their number of classes; expected one number for all")
    runs = runs.sort_values(["study", "spec", "seed", "deal", "run"], kind="stable").reset_index(drop=True)
    curves = pd.concat([each.curves for each in editions], ignore_index=True).sort_values(["run", "kind"]).reset_index(drop=True)
    return Edition(name, editions[0].classes, runs, curves, __version__, tuple(note for each in editions for note in each.notes))
