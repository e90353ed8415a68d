"""The documents, taken apart: their blocks in order, and what a block of console text says it printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from dominoes.cli import main

ROOT = Path(__file__).parents[2]
#: Every page that a reader is sent to, by its path in the repository.
PAGES = tuple(sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))))

_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Call:
    """A command of a console block, and the output that the page shows (empty: it shows none)."""

    command: str
    output: str


@dataclass(frozen=True)
class Code:
    """A block of Python."""

    text: str


def blocks(page: str) -> Iterator[Call | Code]:
    """The commands and Python blocks of a page, in its order."""
    for language, text in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == "python":
            yield Code(text)
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            # A command may go on in the next line, as in a shell.
            while command.endswith("\\"):
                more, _, output = output.partition("\n")
                command = command[:-1] + more.removeprefix("> ")
            yield Call(command, output.rstrip())


def agrees(shown: str, printed: str, *, exactly: bool) -> bool:
    """Whether a command printed what the page shows.

    `...` stands for anything, within a line or over several. Unless `exactly`, numbers with a point, seconds, sizes, verdicts and how
    many of these are open may differ: they are of the machine that the page was written on.
    """

    def plain(text: str) -> str:
        if exactly:
            return text.rstrip()
        text = re.sub(r"(not applicable|cannot tell|holds|fails) *", "V ", text)
        text = re.sub(r"\[\d+ s\]", "[S]", text)
        text = re.sub(r"\d+ verdicts are", "N verdicts are", text)
        return re.sub(r"-?\d+\.\d+(e-?\d+)?", "X", text).rstrip()

    parts = [re.escape(part.strip("\n")) for part in plain(shown).split("...")]
    return re.fullmatch("(?s:.*)".join(parts), plain(printed)) is not None


def commands(group: click.Group = main, head: str = "") -> dict[str, click.Command]:
    """Every command by its full name."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{head}{name} ") if isinstance(command, click.Group) else {f"{head}{name}": command}
    return found
