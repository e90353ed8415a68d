"""Published protocols: what was done and reported elsewhere, the sweep that follows it here, and which numbers stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dominoes.errors import SpecError
from dominoes.runs import sweep_file
from dominoes.runs.sweep_file import Sweep
from dominoes.spec import parse, read_mapping
from dominoes.studies import shipped

SMALL, FULL = "small", "full"


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Term(_Form):
    """One term of a number: `times` the quantity, mean over the runs of a seed that have the values of `where`.

    Attributes:
        where: dotted names of spec fields and their values.
        times: its factor in the number.
    """

    where: dict[str, Any] = Field(default_factory=dict)
    times: float = 1.0


class PublishedNumber(_Form):
    """A published number, and ours that stands beside it.

    Attributes:
        name: of the number, unique in its file.
        quantity: what is read off a run at its last measurement (`published.QUANTITIES`).
        terms: the number is their sum in each seed; its interval is over seeds.
        published: a value, the two ends of a range, or nothing where nobody published it.
        spread: what the range is of, or why there is none, in words.
        holds: the range in which the whole interval must lie for the number to hold, an open end empty; None: no verdict, because no
            spread was published.
        holds_at: the one scale whose runs `holds` is for, where only these follow the protocol closely enough; None: both.
    """

    name: str
    quantity: str
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    published: tuple[float, ...] = Field(default=(), max_length=2)
    spread: str = ""
    holds: tuple[float | None, float | None] | None = None
    holds_at: Literal["small", "full"] | None = None


class ProtocolFile(_Form):
    """The fields of a file in sweeps/published.

    Attributes:
        title: what was studied. source: paper and table. protocol: what was done, a sentence each.
        differs: what differs here and why, a sentence each. small_scale: what the small scale cuts, in words.
        full, small: sweep files' content: the protocol as it was published, and a part of it that a laptop can run.
        numbers: that are compared.
    """

    title: str
    source: str
    protocol: tuple[str, ...]
    differs: tuple[str, ...]
    small_scale: str
    full: dict[str, Any]
    small: dict[str, Any]
    numbers: Annotated[tuple[PublishedNumber, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Protocol:
    """A published protocol, checked: `name` is that of its file, `sweeps` by scale, SMALL or FULL."""

    name: str
    about: ProtocolFile
    sweeps: Mapping[str, Sweep]


def read_protocol(path: Path) -> Protocol:
    """Read a protocol. Raises SpecError with the file and the first wrong entry."""
    about = parse(ProtocolFile, read_mapping(path), where=str(path))
    names = [number.name for number in about.numbers]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SpecError(f"{path}: the number {twice!r} is there twice; expected names that tell numbers apart")
    sweeps = {scale: sweep_file.expand(getattr(about, scale), where=f"{path}: {scale}") for scale in (SMALL, FULL)}
    return Protocol(path.stem, about, sweeps)


def named_protocol(name: str) -> Protocol:
    """A protocol that comes with the package. Raises RunError."""
    return read_protocol(shipped.sweep_file(shipped.PUBLISHED, name))
