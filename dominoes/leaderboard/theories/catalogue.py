"""Theories by name: the built-in ones, and those of others as `module:attr`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dominoes import __version__
from dominoes.errors import LeaderboardError
from dominoes.leaderboard.protocol import Theory
from dominoes.leaderboard.score import COPY
from dominoes.leaderboard.theories.availability import Availability
from dominoes.leaderboard.theories.naive import CopyNearest, LastValue, MeanOfSpecs, SmoothRegression
from dominoes.leaderboard.theories.quanta import Quanta
from dominoes.leaderboard.theories.races import LinearRace, MarginRace
from dominoes.leaderboard.theories.rules import GaussianEvidence, Margins, PatternLearning

BUILT_IN: dict[str, Callable[[], Theory]] = {
    "pattern learning, equal": partial(PatternLearning, "equal"),
    "pattern learning, preferred": partial(PatternLearning, "preferred"),
    "gaussian evidence": GaussianEvidence,
    "margins": Margins,
    "linear race": LinearRace,
    "margin race": MarginRace,
    "margin race, c = 0": partial(MarginRace, 0.0),
    "margin race, c = 1": partial(MarginRace, 1.0),
    "quanta": Quanta,
    "availability": Availability,
    COPY: CopyNearest,
    "mean of specs": MeanOfSpecs,
    "smooth regression": SmoothRegression,
    "last value": LastValue,
}


@dataclass(frozen=True)
class Named:
    """A theory under its name: what makes an instance, who answers to it, and the digest of the file that defines it."""

    name: str
    make: Callable[[], Theory]
    provenance: str
    source: str


def find(name: str) -> Named:
    """The theory of this name: built in, or `module:attr` (a class or function that makes one without arguments).

    Raises LeaderboardError: unknown name, module that cannot be imported, attribute that is not there or makes no theory.
    """
    if name in BUILT_IN:
        return Named(name, BUILT_IN[name], f"built in, dominoes {__version__}", _digest(BUILT_IN[name]))
    module, colon, attribute = name.partition(":")
    if not colon:
        raise LeaderboardError(f"there is no theory {name!r}; expected module:attr or one of: {'; '.join(BUILT_IN)}")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise LeaderboardError(
            f"theory {name}: the module {module} cannot be imported ({error}); install it, or put it on PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise LeaderboardError(f"theory {name}: {module} has no {attribute}; expected a class that makes a theory") from error
    if not callable(make) or not all(callable(getattr(make, part, None)) for part in ("fit", "forecast")):
        raise LeaderboardError(f"theory {name}: expected a class with the methods fit and forecast")
    return Named(name, make, name, _digest(make))


def _digest(make: Callable[[], Theory]) -> str:
    """First 16 hex digits of the SHA-256 of the file that defines a theory; empty if it has none."""
    kind = make.func if isinstance(make, partial) else make
    try:
        return hashlib.sha256(Path(inspect.getsourcefile(kind) or "").read_bytes()).hexdigest()[:16]
    except (OSError, TypeError):
        return ""
