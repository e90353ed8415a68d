"""What commands leave: tables in files or on standard output, sentences, and the exit code of results that are not all there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from dominoes.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd

#: Exit code of a command that did its work, but not on or with all of the runs.
INCOMPLETE = 3

# What a results folder holds of a sweep, and a run's folder of the run; what else lies there may be written anew.
_OF_SWEEP = ("plan.parquet", "plan.json", "sweep.yaml")
_OF_RUN = ("curves.csv", "classes.csv", "joint.csv", "measures.csv", "confusion.npz", "spec.json", "environment.json", "DONE")


def is_stream(out: Path) -> bool:
    """Whether a table goes to standard output."""
    return str(out) == "-"


def check_places(written: Mapping[str, Path | None], read: Iterable[Path | None] = ()) -> None:
    """Look at the places of what a command will write, before anything is computed.

    Args:
        written: files by the option that names them; that of a figure is --plot. read: files and folders of results that the command
            reads.

    Raises OutputError: a place is that of a file that is read, or of another that is written; no file can be written there; or its suffix
    is that of no figure.
    """
    from dominoes import files

    places: dict[Path, str] = {}
    sources = [path for path in read if path is not None]
    for option, path in written.items():
        if path is None:
            continue
        if is_stream(path):
            standard_output()
            continue
        if any(_is_of(path, source) for source in sources):
            raise OutputError(f"{option} {path} is a file that is read, and would be replaced; pass another {option}")
        if option == "--plot":
            from dominoes.reporting import stills

            stills.known_format(path, option)
        try:
            files.refuse_unwritable(path)
        except OutputError as error:
            raise OutputError(str(error).replace("another --out", f"another {option}")) from error
        if other := places.get(path.resolve()):
            raise OutputError(f"{other} and {option} are the same file, {path}; pass two")
        places[path.resolve()] = option


def _is_of(path: Path, source: Path) -> bool:
    """Whether a file is the one that is read, by whatever name, or of the folder of results that is read."""
    try:
        if not source.is_dir():
            return path.exists() and source.exists() and path.samefile(source)
        if not (path.is_file() and path.resolve().is_relative_to(source.resolve())):
            return False
        *folders, name = path.resolve().relative_to(source.resolve()).parts
        if not folders:
            return name in _OF_SWEEP or (name in _OF_RUN and (source / "spec.json").is_file())
        return folders[0] == "packed" or (folders[0] == "runs" and name in _OF_RUN)
    except (OSError, RuntimeError):  # a link that leads back to itself, which is refused as such
        return False


def write_output(out: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all, as Parquet where that is the suffix, else as CSV; to standard output for `-`. Raises
    OutputError."""
    from dominoes import files, tables

    if is_stream(out):
        click.echo(tables.as_csv(table), file=standard_output(), nl=False)
    else:
        files.write(out, _as_parquet(table) if out.suffix == ".parquet" else tables.as_csv(table))


def _as_parquet(table: pd.DataFrame) -> bytes:
    """A table whose columns that mix texts with others are texts: a column of Parquet has one type."""
    objects = [name for name in table.columns if table[name].dtype == object]
    mixed = [name for name in objects if str in (kinds := {*table[name].dropna().map(type)}) and len(kinds) > 1]
    as_text = {name: table[name].map(str).where(table[name].notna(), None) for name in mixed}
    content: bytes = table.assign(**as_text).to_parquet(None, index=False)
    return content


def standard_output() -> TextIO:
    """Standard output, for a table. Raises OutputError if it is closed."""
    if sys.stdout is None:
        raise OutputError("--out - is standard output, and that is closed; pass a file")
    return sys.stdout


def say(out: Path, sentence: str) -> None:
    """Print a sentence about what was written: to standard error where the table has standard output."""
    click.echo(sentence, err=is_stream(out))


def incomplete(sentences: list[str], *, accepted: bool) -> None:
    """Say what is not all there; exit with 3 unless that was accepted (`--partial`)."""
    for sentence in sentences:
        click.echo(sentence, err=True)
    if sentences and not accepted:
        click.echo("the results are not complete, exit code 3; --partial accepts that", err=True)
        sys.exit(INCOMPLETE)


def damaged(found: Mapping[str, str]) -> list[str]:
    """A sentence for each finished run that was left out of results, by its id."""
    return [f"left out, damaged: run {name}: {problem}; the command that made it runs it again" for name, problem in found.items()]
