"""Theories by name: the built-in ones, and those of others through the registry."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dominoes import __version__, registry
from dominoes.errors import LeaderboardError
from dominoes.leaderboard.protocol import Theory
from dominoes.leaderboard.score import COPY
from dominoes.leaderboard.theories.availability import Availability
from dominoes.leaderboard.theories.naive import CopyNearest, LastValue, MeanOfSpecs, SmoothRegression
from dominoes.leaderboard.theories.quanta import Quanta
from dominoes.leaderboard.theories.races import LinearRace, MarginRace
from dominoes.leaderboard.theories.rules import GaussianEvidence, MarginsTheory, PatternLearning

THEORIES: dict[str, Callable[[], Theory]] = {
    "pattern-equal": partial(PatternLearning, "equal"),
    "pattern-preferred": partial(PatternLearning, "preferred"),
    "gaussian-evidence": GaussianEvidence,
    "margins": MarginsTheory,
    "linear-race": LinearRace,
    "margin-race": MarginRace,
    "margin-race-0": partial(MarginRace, 0.0),
    "margin-race-1": partial(MarginRace, 1.0),
    "quanta": Quanta,
    "availability": Availability,
    COPY: CopyNearest,
    "mean-of-specs": MeanOfSpecs,
    "smooth-regression": SmoothRegression,
    "last-value": LastValue,
}


@dataclass(frozen=True)
class NamedTheory:
    """A theory under its name.

    Attributes:
        make: a new instance for every fit.
        provenance: who answers to the name, as the board says it.
        source: SHA-256 of the code that defines it.
    """

    name: str
    make: Callable[[], Theory]
    provenance: str
    source: str


def find_theory(name: str) -> NamedTheory:
    """The theory of this name: built in, of an installed package (entry points `dominoes.theories`), or `module:attr`.

    Raises RegistryError: nothing of that name. LeaderboardError: what is there makes no theory.
    """
    entry = registry.find("theories", name)
    make = entry.load()
    kind = make.func if isinstance(make, partial) else make
    if not isinstance(kind, type) and all(callable(getattr(kind, part, None)) for part in ("fit", "forecast")):
        raise LeaderboardError(
            f"{entry.said} is an instance of {type(kind).__name__}; expected the class itself, since a new one is made for every fit"
        )
    if not callable(make) or not all(callable(getattr(kind, part, None)) for part in ("fit", "forecast")):
        raise LeaderboardError(f"{entry.said} has no methods fit and forecast; expected a class that makes a theory without arguments")
    code = entry.provenance()
    if code is None:
        file = Path(inspect.getsourcefile(kind) or "")
        return NamedTheory(name, make, f"built in, dominoes {__version__}", hashlib.sha256(file.read_bytes()).hexdigest())
    who = f"{code.ref}, {code.distribution} {code.version}" if code.distribution else code.ref
    return NamedTheory(name, make, who, code.sha256)
