"""What commands leave: tables in files or on standard output, sentences, and the exit code of results that are not all there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import click

from dominoes.errors import OutputError

#: Exit code of a command that did its work, but not on or with all of the runs.
INCOMPLETE = 3


def is_stream(out: Path) -> bool:
    """Whether a table goes to standard output."""
    return str(out) == "-"


def write_output(out: Path, text: str) -> None:
    """Write a table, whole or not at all; to standard output for `-`. Raises OutputError."""
    from dominoes import files

    if is_stream(out):
        click.echo(text, file=standard_output(), nl=False)
    else:
        files.write(out, text)


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
