"""The tables that pass between the stages: columns, rules, reading and writing of curves, of curves by class, of crossed answers, of
further measures, of the yardsticks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dominoes import dials, files, folded
from dominoes.errors import CurvesError, brief

CURVES = ("run", "seed", "step", "epoch", "samples", "split", "kind", "n", "loss", "accuracy", "agree_top", "agree_bottom")
CLASSES = ("run", "step", "kind", "label", "n", "loss", "accuracy")
#: Answers crossed picture by picture: counts of probe dominoes. Cells without dominoes have no row.
JOINT = ("run", "step", "probe", "top_alone", "bottom_alone", "answer", "n")
#: What a domino of a probe of `joint` may be answered with.
JOINT_ANSWERS = {"both": ("right", "wrong"), "conflict": ("top", "bottom", "neither")}
#: Measures beside loss and accuracy, long form: `value` may be any finite number.
MEASURES = ("run", "step", "kind", "measure", "value")

#: The further column that holds the seed of the deal that a run was trained on.
DEAL = "deal_seed"

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_KEYS = {
    "curves": ["run", "split", "kind"],
    "classes": ["run", "kind", "label"],
    "joint": ["run", "probe", "top_alone", "bottom_alone", "answer"],
    "measures": ["run", "kind", "measure"],
}
#: By form of table, its columns in order.
COLUMNS = {"curves": CURVES, "classes": CLASSES, "joint": JOINT, "measures": MEASURES}
_OF = {"curves": "learning curves", "classes": "curves by class", "joint": "crossed answers", "measures": "further measures"}
_TEXT = ("run", "split", "kind", "probe", "answer", "measure")
_WHOLE = ("seed", "step", "samples", "label", "n", "top_alone", "bottom_alone")
_KINDS = {form: {name: str if name in _TEXT else int if name in _WHOLE else float for name in columns} for form, columns in COLUMNS.items()}
_SHARES = ("accuracy", "agree_top", "agree_bottom")
_MAY_BE_EMPTY = ("agree_top", "agree_bottom")
# Whole numbers beyond are not told apart, and a loss beyond is a run that broke off: nothing can be averaged with it.
_LARGEST, _HIGHEST_LOSS = 2.0**53, 1e9
# Parameters that follow from others, those first that say least by themselves.
DERIVED = ("ratio", "empty", "both", "dominoes")
# What a missing column of curves means to a comparison.
_INSTEAD = {
    "seed": "every run is taken as one seed",
    "epoch": "nothing here needs it",
    "samples": "time is counted in steps",
    "split": "all rows are taken as the test split",
    "n": "no deviance, and the error of sampling the probe pictures is not in the intervals",
    "loss": "the questions about loss are not answered",
    "accuracy": "the questions about accuracy are not answered",
    "agree_top": "conflicts are not judged",
    "agree_bottom": "conflicts are not judged",
}

#: Columns of simplicity.csv.
SIMPLICITY = (
    "source", "transforms", "side", "model", "epochs", "batch", "optimizer", "lr", "momentum", "weight_decay", "n", "classes",
    "quantity", "labels", "seed", "estimate", "low", "high", "level", "n_seeds", "status",
)  # fmt: skip
#: What a row's `estimate` is.
SIMPLICITY_QUANTITIES = (
    "code length", "uniform code", "block", "temperature", "samples to half", "samples to 90 %", "accuracy", "loss", "linear accuracy",
    "linear share",
)  # fmt: skip
#: Columns of llc.csv; those of the swept parameters follow.
LLC = (
    "run", "seed", "step", "weights", "sampled", "kind", "split", "n", "n_beta", "gamma", "sampler", "chains", "draws", "batch",
    "lambda_max", "epsilon", "loss", "excess", "estimate", "se", "rhat", "ess", "drift", "spreading", "quarter", "distance", "status",
)  # fmt: skip
ALL = "all"
# Status of a time that some seed did not come to.
UNREACHED = "not reached by every seed"
_LLC_TEXT = ("run", "weights", "sampled", "kind", "split", "sampler", "status")
_SIMPLICITY_TEXT = ("source", "transforms", "side", "model", "optimizer", "quantity", "seed", "status")


def table_problems(table: pd.DataFrame, *, form: str = "curves") -> list[str]:
    """What breaks the contract of a table, one sentence each; empty if nothing does.

    Args:
        table: long form, one row per (run, step, split, kind), or per (run, step, kind, label) for `form="classes"`.
            Further columns (swept parameters) are allowed and not looked at.
        form: `curves`, `classes`, `joint` or `measures`.

    Rules: every column present; numbers are numbers; nothing empty but `agree_top` and `agree_bottom`; `loss` at least 0 and
    finite; shares in [0, 1]; `n` at least 1; steps whole, not negative and strictly increasing within each curve. Of crossed answers:
    `top_alone` and `bottom_alone` are 0 or 1, answers are those of the probe, and the `n` of a probe add up to the same at every step.
    """
    missing = [column for column in COLUMNS[form] if column not in table.columns]
    if missing:
        return [f"{absent(missing)}; expected {','.join(COLUMNS[form])}"]
    found = []
    for column in COLUMNS[form]:
        found += _column_problems(table[column], column)
    if found:
        return found
    steps = table["step"].to_numpy()
    curve = table.groupby(_KEYS[form], sort=False).ngroup().to_numpy()
    order = np.argsort(curve, kind="stable")
    backward = order[1:][(np.diff(curve[order]) == 0) & (np.diff(steps[order]) <= 0)]
    for row in backward[np.unique(curve[backward], return_index=True)[1]]:
        before = steps[order[np.flatnonzero(order == row)[0] - 1]]
        where = " ".join(str(part) for part in table[_KEYS[form]].iloc[row])
        wrong = "appears twice" if before == steps[row] else f"comes after step {before:g}"
        found.append(f"curve {where}: step {steps[row]:g} {wrong}; expected steps that increase")
    return found or (_joint_problems(table) if form == "joint" else [])


def _joint_problems(table: pd.DataFrame) -> list[str]:
    for column in ("top_alone", "bottom_alone"):
        other = ~table[column].astype(float).isin((0.0, 1.0))
        if other.any():
            return [f"column {column}, row {int(np.argmax(other)) + 1}: {table[column][other].iloc[0]}, expected 0 or 1"]
    for probe, answer in table[["probe", "answer"]].drop_duplicates().itertuples(index=False):
        if answer not in JOINT_ANSWERS.get(probe, ()):
            row = int(np.flatnonzero((table["probe"] == probe) & (table["answer"] == answer))[0]) + 1
            known = "; ".join(f"{name}: {', '.join(answers)}" for name, answers in JOINT_ANSWERS.items())
            return [f"row {row}: probe {probe} answered {answer}, expected one of {known}"]
    sizes = table.groupby(["run", "probe", "step"], sort=False)["n"].sum().reset_index()
    differing = sizes[sizes.groupby(["run", "probe"])["n"].transform("nunique") > 1]
    for run, probe in zip(differing["run"], differing["probe"], strict=True):
        return [f"run {run}, probe {probe}: the counts of its steps add up to different sizes; expected the probe's size at each"]
    return []


def _column_problems(values: pd.Series, column: str) -> list[str]:
    def at(bad: pd.Series) -> str:
        return f"row {int(np.flatnonzero(bad.to_numpy())[0]) + 1}"

    empty = values.isna()
    if column in _TEXT:
        return [f"column {column}, {at(empty)}: empty, expected a name"] if empty.any() else []
    numbers = pd.to_numeric(values, errors="coerce")
    text = numbers.isna() & ~empty
    if text.any():
        return [f"column {column}, {at(text)}: '{brief(values[text].iloc[0], 40)}' is not a number"]
    if empty.any() and column not in _MAY_BE_EMPTY:
        return [f"column {column}, {at(empty)}: no value (NaN), expected a number"]
    low, high, meaning = 0.0, np.inf, "expected at least 0"
    if column == "value":
        low = -np.inf
    elif column in _SHARES:
        high, meaning = 1.0, "expected a share from 0 to 1"
    elif column == "n":
        low, meaning = 1.0, "expected at least 1"
    elif column == "seed":
        low, meaning = -np.inf, ""
    outside = (numbers < low) | (numbers > high)
    if outside.any():
        return [f"column {column}, {at(outside)}: {numbers[outside].iloc[0]:g}, {meaning}"]
    infinite = numbers.abs() == np.inf
    if infinite.any():
        return [f"column {column}, {at(infinite)}: {numbers[infinite].iloc[0]:g}, expected a finite number"]
    if column in _WHOLE:
        huge = numbers.abs() > _LARGEST
        if huge.any():
            return [f"column {column}, {at(huge)}: {numbers[huge].iloc[0]:g}, expected a whole number of at most 2^53"]
        broken = numbers % 1 != 0
        if broken.any():
            return [f"column {column}, {at(broken)}: {numbers[broken].iloc[0]:g}, expected a whole number"]
    return []


def check_table(table: pd.DataFrame, *, form: str = "curves", name: str = "the table") -> pd.DataFrame:
    """Return `table` with the contract's types, or raise CurvesError that names the first problem."""
    if found := table_problems(table, form=form):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise CurvesError(f"{name}: {found[0]}{more}")
    return table.astype(_KINDS[form])


def bounded(table: pd.DataFrame, *, name: str = "the table") -> pd.DataFrame:
    """Return `table` if its losses can be averaged, or raise CurvesError that names the first that is beyond: its run broke off."""
    beyond = np.flatnonzero(pd.to_numeric(table["loss"], errors="coerce") > _HIGHEST_LOSS)
    if len(beyond):
        row = int(beyond[0])
        value = f"{float(table['loss'].iloc[row]):g}, expected at most {_HIGHEST_LOSS:g} nats"
        raise CurvesError(f"{name}: column loss, row {row + 1}: {value}; the run broke off, leave it out")
    return table


def read_table(path: Path, *, form: str = "curves") -> pd.DataFrame:
    """Read and check a table from CSV or Parquet (by its suffix). Raises CurvesError with the file's name."""
    return check_table(read_unchecked(path, form=form), form=form, name=str(path))


def write_table(table: pd.DataFrame, path: Path, *, form: str = "curves") -> None:
    """Check a table and write it whole or not at all, as CSV or Parquet by the suffix.

    CSV holds the shortest decimals that read back to the same floats, so equal tables are equal bytes.
    """
    table = check_table(table, form=form, name=str(path))
    files.write(path, table.to_parquet(None, index=False) if Path(path).suffix == ".parquet" else as_csv(table))


def as_csv(table: pd.DataFrame) -> str:
    """Any table as text: the shortest decimals that read back to the same floats, one way to end a line, no index."""
    return table.to_csv(index=False, lineterminator="\n")


def swept(table: pd.DataFrame) -> list[str]:
    """The further columns of a table of curves (beyond the contract's) that take more than one value, each run one; the deal's seed is
    not swept where it follows the run's."""
    found = [str(column) for column in table.columns if column not in CURVES and table[column].nunique(dropna=False) > 1]
    if DEAL in found and "seed" in table.columns and (table.groupby("seed")[DEAL].nunique(dropna=False) == 1).all():
        found.remove(DEAL)
    varying = of_rows(table, found)
    return [column for column in found if column not in varying]


def dealt_anew(table: pd.DataFrame) -> bool | None:
    """Whether every seed of a table of curves has a deal of its own; no where all share one, or the column DEAL is not there; None where
    there are several, but not one a seed."""
    if DEAL not in table.columns or "seed" not in table.columns or table[DEAL].nunique(dropna=False) < 2:
        return False
    pairs = table[["seed", DEAL]].drop_duplicates()
    return None if pairs["seed"].duplicated().any() or pairs[DEAL].duplicated().any() else True


def telling(made: pd.DataFrame) -> list[str]:
    """The fields that tell runs apart, of a table with a column for each parameter: those that take several values, without what follows
    from the others (DERIVED) where the rest tells as many apart."""
    text = made.astype(str)
    fields = [str(column) for column in made.columns if text[column].nunique() > 1]
    for name in DERIVED:
        fewer = [each for each in fields if each != name]
        if name in fields and fewer and text.groupby(fewer).ngroups == text.groupby(fields).ngroups:
            fields = fewer
    return fields


def of_rows(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Those of some columns that vary within runs, and so tell none apart; none in a table where several curves bear a run's name."""
    keys = [column for column in ("run", "split", "kind", "step") if column in table.columns]
    if "run" not in keys or not columns or table.duplicated(keys).any():
        return []
    return [each for each in columns if (table.groupby("run", observed=True)[each].nunique(dropna=False) > 1).any()]


def absent(columns: Sequence[str]) -> str:
    """That columns are missing, as part of a sentence."""
    return f"the column {columns[0]} is missing" if len(columns) == 1 else f"the columns {', '.join(columns)} are missing"


def read_unchecked(path: Path, *, form: str = "curves") -> pd.DataFrame:
    """A table of curves or classes from CSV or Parquet (by its suffix), as it is: `mended` says what is wrong with it, `read_table`
    refuses it. A Parquet file with one row a curve and its steps in lists (`folded`) comes in long form. Raises CurvesError if there is
    no such file, no table in it, none of the columns, or no row."""
    path = Path(path)
    expected = f"expected the columns {','.join(COLUMNS[form])}"
    if not path.is_file():
        raise CurvesError(f"{path} is {'no file' if path.exists() else 'not there'}; expected a table of {_OF[form]} (.csv, .parquet)")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _parsed(path, form)
        table = folded.unfold(table) if folded.is_folded(table) else table
    except (ValueError, OSError) as error:
        why = "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else brief(error)
        raise CurvesError(f"{path} cannot be read as a table ({why}); {expected}") from error
    if not set(table.columns) & set(COLUMNS[form]):
        other = next((name for mark, name in _SEPARATORS.items() if mark in str(table.columns[0])), None)
        has = f"has {other} between its columns, not commas" if other else f"has the columns {brief(', '.join(map(str, table.columns)))}"
        raise CurvesError(f"{path} {has}; {expected}")
    if not len(table):
        raise CurvesError(f"{path} has a header and no rows; expected some of {_OF[form]}")
    return table


def parse_table(content: bytes, *, form: str = "curves", name: str = "the table") -> pd.DataFrame:
    """The table that the bytes of a CSV file hold, checked. Raises CurvesError."""
    try:
        return check_table(_parsed(io.BytesIO(content), form), form=form, name=name)
    except ValueError as error:
        raise CurvesError(f"{name} cannot be read as a table ({brief(error)}); expected the columns {','.join(COLUMNS[form])}") from error


def _parsed(source: Path | io.BytesIO, form: str) -> pd.DataFrame:
    # Run ids are hex digits: without a type, 123456789012 would be read as a number and 0012e4567890 as infinity.
    return pd.read_csv(source, dtype={column: str for column in COLUMNS[form] if column in _TEXT})


def mended(table: pd.DataFrame, *, form: str = "curves") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table of which every row can be used, and a note for each change that made it so.

    Missing columns become empty ones; values that are no number, or out of range, become empty; rows without step or kind go; of rows
    that are there twice the first stays; rows are sorted by step. Further columns (swept parameters) are kept.

    Raises CurvesError if what remains cannot be compared at all: no `step` or `kind`, neither `run` nor `seed`, no accuracy and no
    loss, no rows.
    """
    columns = CURVES if form == "curves" else CLASSES
    missing = [column for column in columns if column not in table.columns]
    needed = [column for column in ("step", "kind", *(("label",) if form == "classes" else ())) if column in missing]
    unnamed = "run" not in table.columns and "seed" not in table.columns
    if needed or unnamed or {"accuracy", "loss"} <= {*missing}:
        names = needed or (["run", "seed"] if unnamed else ["accuracy", "loss"])
        raise CurvesError(f"{form}: {absent(names)}, nothing can be compared without; expected {','.join(columns)}")
    wild = "loss" not in missing and (pd.to_numeric(table["loss"], errors="coerce") > _HIGHEST_LOSS).any()
    if not missing and not wild and not table_problems(table, form=form):
        return table.astype(_KINDS[form]), ()
    notes = [f"{form}: the column {column} is missing: {_INSTEAD.get(column, 'done without it')}" for column in missing]
    table = table.assign(**dict.fromkeys(missing, np.nan)).reset_index(drop=True)
    if "run" in missing:
        table["run"] = "seed " + table["seed"].astype(str)
    if "seed" in table.columns and table["seed"].notna().any() and pd.to_numeric(table["seed"], errors="coerce").isna().all():
        notes.append(f"{form}: column seed holds names: they are numbered in order of appearance")
        table["seed"] = pd.factorize(table["seed"])[0]
    if "seed" in missing:
        table["seed"] = pd.factorize(table["run"])[0]
    if "split" in missing:
        table["split"] = "test"
    for column in columns:
        if column in _TEXT or column in missing:
            continue
        table[column], found = _usable(table[column], column, form)
        notes += found
    keys = [column for column in ("run", "split", "kind", "label", "step") if column in columns]
    lost = table[[*keys, *(["seed"] if "seed" in columns else [])]].isna().any(axis=1)
    if lost.any():
        notes.append(f"{form}: {_rows(lost)} left out: no {', '.join(keys)} or seed to know it by")
        table = table[~lost]
    twice = table.duplicated(keys)
    if twice.any():
        same = table.duplicated([column for column in columns if column not in missing])
        differing = " (some differ in their values)" if (twice & ~same).any() else ""
        notes.append(f"{form}: {_rows(twice)} left out: the same {', '.join(keys)} as an earlier row{differing}; the first is used")
        table = table[~twice]
    groups = table.groupby([key for key in keys if key != "step"], sort=False)["step"]
    if not groups.is_monotonic_increasing.all():
        notes.append(f"{form}: steps are not in increasing order; they were sorted")
        table = table.sort_values("step", kind="stable")
    if not len(table):
        raise CurvesError(f"{form}: no usable row is left ({'; '.join(notes)})")
    return table.astype({"run": str, "kind": str, **({"split": str} if "split" in columns else {})}), tuple(notes)


def _usable(values: pd.Series, column: str, form: str) -> tuple[pd.Series, list[str]]:
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    low = -np.inf if column == "seed" else 1.0 if column == "n" else 0.0
    high = 1.0 if column in _SHARES else _HIGHEST_LOSS if column == "loss" else _LARGEST if column in _WHOLE else np.inf
    outside = (numbers < low) | (numbers > high) | (numbers < -_LARGEST) | numbers.abs().eq(np.inf)
    empty = numbers.isna() & (values.notna() | (column not in _MAY_BE_EMPTY))
    unused = "not used" if (~outside & numbers.notna()).any() else f"not used, nor any other: {_INSTEAD.get(column, 'done without it')}"
    found = ((outside, f"{numbers[outside].iloc[0]:g} is out of range" if outside.any() else ""), (empty, "no number there"))
    notes = [f"{form}: column {column}, {_rows(rows)}: {what}, the value is {unused}" for rows, what in found if rows.any()]
    return numbers.mask(outside), notes


def _rows(chosen: pd.Series) -> str:
    rows = np.flatnonzero(chosen.to_numpy()) + 1
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows (the first is row {rows[0]})"


def _made_by(command: str, path: Path, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """A table that a command makes, CSV (or Parquet by its suffix) with these columns and a row. Raises CurvesError."""
    expected = f"expected a table made by 'dominoes {command}', {','.join(columns)}"
    try:
        table: pd.DataFrame = pd.read_parquet(path) if Path(path).suffix == ".parquet" else pd.read_csv(path, **options)
    except (OSError, ValueError) as error:
        raise CurvesError(f"{path} cannot be read as a table ({brief(error)}); {expected}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing or not len(table):
        raise CurvesError(f"{path}: {absent(missing) if missing else 'there are no rows'}; {expected}")
    return table


def read_simplicity(path: Path) -> pd.DataFrame:
    """Read and check simplicity.csv, or the same as Parquet. Raises CurvesError."""
    empty = {"low": "", "high": "", "labels": ""}
    table = _made_by("simplicity", path, SIMPLICITY, dtype=dict.fromkeys(_SIMPLICITY_TEXT, str), keep_default_na=False, na_values=empty)
    numbers = pd.to_numeric(table["estimate"], errors="coerce")
    if numbers[table["quantity"] == "code length"].isna().any():
        raise CurvesError(f"{path}: a code length is no number; measure it again with 'dominoes simplicity'")
    written = table["transforms"].map(lambda text: dials.join_transforms(_transforms_written(text, path)))
    return table.assign(estimate=numbers, transforms=written)


def _transforms_written(text: str, path: Path) -> tuple[str, ...]:
    """Transforms as specs write them: a table may come from elsewhere."""
    try:
        parts = dials.split(text)
        assert isinstance(parts, tuple)
        return tuple(dials.written_transform(part) for part in parts)
    except ValueError as error:
        raise CurvesError(f"{path}: transforms {text!r}: {error}") from error


def read_llc(path: Path) -> pd.DataFrame:
    """Read and check llc.csv. Raises CurvesError."""
    table = _made_by("llc", path, LLC, dtype=dict.fromkeys(_LLC_TEXT, str))
    table = table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in ("step", "gamma", "estimate")})
    if table.loc[table["status"] == "converged", ["step", "gamma", "estimate"]].isna().any(axis=None):
        raise CurvesError(f"{path}: a row has converged and yet no estimate; make it anew with 'dominoes llc'")
    return table
