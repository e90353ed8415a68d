"""Published protocols: what was done and reported elsewhere, the sweep that follows it here, and which numbers stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dominoes.errors import SpecError
from dominoes.mappings import read_mapping
from dominoes.runs import plan, sweep_file
from dominoes.runs.sweep_file import Sweep
from dominoes.spec import RunSpec, parse
from dominoes.studies import shipped

SMALL, FULL = "small", "full"


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Finite = Annotated[float, Field(allow_inf_nan=False)]


class Term(_Form):
    """One term of a number: `times` the quantity, mean over the runs of a seed that have the values of `where`.

    Attributes:
        where: dotted names of spec fields and their values.
        times: its factor in the number.
    """

    where: dict[str, Any] = Field(default_factory=dict)
    times: _Finite = 1.0


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
    published: tuple[_Finite, ...] = Field(default=(), max_length=2)
    spread: str = ""
    holds: tuple[_Finite | None, _Finite | None] | None = None
    holds_at: Literal["small", "full"] | None = None

    @model_validator(mode="after")
    def _ranges(self) -> PublishedNumber:
        for name, ends in (("published", self.published), ("holds", self.holds or ())):
            if len(ends) == 2 and None not in ends and not ends[0] <= ends[1]:  # type: ignore[operator]
                raise ValueError(f"{self.name}: {name} {list(ends)}: expected the lower end first")
        if self.holds == (None, None):
            raise ValueError(f"{self.name}: holds has no end, so everything would; expected a number at one end at least")
        return self


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
    for number in about.numbers:
        for term in number.terms:
            _check_term(term, sweeps[FULL], f"{path}: {number.name}")
    return Protocol(path.stem, about, sweeps)


def picks(term: Term, spec: RunSpec) -> bool:
    """Whether a run has the values that a term asks for."""
    return all(plan.spec_field(spec, name) == value for name, value in term.where.items())


def _check_term(term: Term, sweep: Sweep, where: str) -> None:
    """Raise SpecError where a term names no field of a run, or picks no run of the protocol as it was published."""
    try:
        found = any(picks(term, spec) for spec in sweep.runs)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise SpecError(f"{where}: where {term.where}: a run has no such field ({error}); expected such as train.lr") from error
    if not found:
        raise SpecError(f"{where}: where {term.where} picks no run of the full scale; expected values that its sweep has")


def named_protocol(name: str) -> Protocol:
    """A protocol by its file, or one that comes with the package by its name. Raises SpecError, RunError."""
    return read_protocol(_file(name) or shipped.sweep_file(shipped.PUBLISHED, name))


def is_named(name: str) -> bool:
    """Whether this names a protocol: one that comes with the package, or a file with a field of protocols, which no sweep file has."""
    file = _file(name)
    if file is None:
        return name in shipped.shipped_names(shipped.PUBLISHED)
    return bool(set(read_mapping(file)) & set(ProtocolFile.model_fields))


def is_shipped(name: str) -> bool:
    """Whether a protocol is named that comes with the package, so that it names no code but the package's own."""
    return _file(name) is None


def _file(name: str) -> Path | None:
    return Path(name) if Path(name).suffix in (".yaml", ".yml", ".json") else None
