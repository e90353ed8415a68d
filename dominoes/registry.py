"""Who answers to a name: the things that a user may bring, and how each is found. Imports nothing of this package but the errors.

A thing is named in three ways, the same in flags, YAML files, sweep files and Python: by a built-in name; by the name of an installed
entry point of the group `dominoes.<kind>`; or as `module:attr`, where the current folder is importable. `module:attr@sha256:<64 hex
digits>` names the code too: anything else is refused before it is imported. Nothing is imported before it is used.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module, invalidate_caches
from importlib.machinery import BYTECODE_SUFFIXES, ModuleSpec, PathFinder, all_suffixes
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dominoes.errors import RegistryError

BUILT_IN = "built-in"
ENTRY_POINT = "entry point"
REFERENCE = "module:attr"

_REFERENCE = re.compile(
    r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?:@sha256:(?P<pin>[0-9a-f]{64}))?"
)
# What is code in a package, and so in its digest.
_CODE = tuple(suffix for suffix in all_suffixes() if suffix not in BYTECODE_SUFFIXES)


@dataclass(frozen=True)
class Kind:
    """One kind of thing.

    Attributes:
        noun: what one is called in messages.
        table: `module:attr` of the mapping that holds the built-in ones by name; empty where there is none.
        names: of the built-in ones, where the table's module loads torch and names must be known without it; else the table is read.
    """

    noun: str
    table: str = ""
    names: tuple[str, ...] = ()


REGISTRIES: dict[str, Kind] = {
    "models": Kind("model", "dominoes.training.models:MODELS", ("detector", "mlp", "resnet8", "resnet18")),
    "optimizers": Kind(
        "optimizer",
        "dominoes.training.optimizers:OPTIMIZERS",
        (*("sgd", "adam", "adamw", "adadelta", "adafactor", "adagrad", "adamax", "asgd", "muon", "nadam", "radam", "rmsprop", "rprop"),),
    ),
    "parameter_groups": Kind("parameter grouping"),
    "schedules": Kind("schedule", "dominoes.training.schedules:SCHEDULES", ("constant", "cosine", "triangular", "steps")),
    "losses": Kind("loss", "dominoes.training.losses:LOSSES", ("cross-entropy",)),
    "augmentations": Kind("augmentation", "dominoes.training.augmentations:AUGMENTATIONS", ("flip", "crop")),
    "callbacks": Kind("callback"),
    "sources": Kind("source", "dominoes.data.catalogue:STOCKS"),
    "dials": Kind("dial", "dominoes.dials:DIALS"),
    "theories": Kind("theory", "dominoes.leaderboard.theories.catalogue:THEORIES"),
    "families": Kind("family of curves", "dominoes.theory.fits.families:FAMILIES"),
    "questions": Kind("question"),
    "rules": Kind("rule", "dominoes.theory.rules:RULES"),
    "figures": Kind("figure"),
    "engines": Kind("engine", "dominoes.runs.sweeping:ENGINES", ("local", "ray")),
    "loggers": Kind("logger", "dominoes.runs.loggers:LOGGERS", ("tensorboard", "wandb")),
}


@dataclass(frozen=True)
class Provenance:
    """Code from outside this package, as a run's record keeps it.

    Attributes:
        ref: the name under which it was asked for, without a pin.
        distribution: name of the installed distribution that it belongs to; None for a local file.
        version: of the distribution.
        sha256: of a module that is one file, that file's; of a package, that of its code files' names and digests.
    """

    ref: str
    distribution: str | None
    version: str | None
    sha256: str

    def plain(self) -> dict[str, str | None]:
        """As a mapping."""
        return asdict(self)


@dataclass(frozen=True)
class Registered:
    """A name and what it stands for, not loaded yet.

    Attributes:
        kind: one of REGISTRIES.
        name: as it was asked for, without a pin.
        origin: BUILT_IN, ENTRY_POINT or REFERENCE.
        target: `module:attr` of the thing, or of the table of the built-in ones.
        distribution, version: of the package that it comes from, where that is known without a search.
        pin: SHA-256 that its code must have.
    """

    kind: str
    name: str
    origin: str
    target: str
    distribution: str | None = None
    version: str | None = None
    pin: str | None = None

    def load(self) -> Any:
        """The thing itself. Raises RegistryError if it is not the pinned code, cannot be imported or is not there."""
        if self.origin == BUILT_IN:
            return _attribute(self)[self.name]
        if self.origin == REFERENCE:
            _locate(self)
        if self.pin is not None and (found := code_digest(self)) != self.pin:
            raise RegistryError(
                f"{self.said}: its code has the SHA-256 {found}, {self.pin} is pinned; read what has changed, then pin it anew"
            )
        return _attribute(self)

    def provenance(self) -> Provenance | None:
        """Which code answers to the name; None for what is built in. Raises RegistryError if it cannot be found."""
        if self.origin == BUILT_IN:
            return None
        sha256 = code_digest(self)
        distribution, version = (self.distribution, self.version) if self.origin == ENTRY_POINT else _owner(self.target)
        return Provenance(self.name, distribution, version, sha256)

    @property
    def said(self) -> str:
        """What messages call it."""
        return f"{REGISTRIES[self.kind].noun} {self.name}"


def find(kind: str, name: str) -> Registered:
    """What a name of one of REGISTRIES stands for; no code of it is run. Raises RegistryError if nothing, or two things, answer to it."""
    if match := _REFERENCE.fullmatch(name):
        return Registered(kind, name.partition("@")[0], REFERENCE, f"{match['module']}:{match['attribute']}", pin=match["pin"])
    found = [entry for entry in entries(kind) if entry.name == name]
    if len(found) > 1:
        places = " and ".join(f"{each.distribution} {each.version} ({each.target})" for each in found)
        raise RegistryError(
            f"the {REGISTRIES[kind].noun} {name} is in {places}; uninstall one, or write module:attr for the one that is meant"
        )
    if not found:
        raise RegistryError(_unknown(kind, name))
    return found[0]


def _unknown(kind: str, name: str) -> str:
    noun, known = REGISTRIES[kind].noun, sorted({entry.name for entry in entries(kind)})
    if ":" in name:
        return f"'{name}' is no reference to a {noun}; expected module:attr, such as nets:Wide, or module:attr@sha256: and 64 hex digits"
    near = difflib.get_close_matches(name, known, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"expected one of {', '.join(known)}, or module:attr of your own"
        if known
        else "expected module:attr of your own"
    )
    return f"there is no {noun} '{name}'; {hint}"


def entries(kind: str) -> list[Registered]:
    """All that answer to a name: the built-in ones, then those of installed packages. Two may have one name (`find` refuses that)."""
    known = REGISTRIES[kind]
    names = known.names or (tuple(_imported(known.table, known.noun)) if known.table else ())
    return [Registered(kind, name, BUILT_IN, known.table, "dominoes", _own_version()) for name in names] + list(installed(kind))


@lru_cache
def installed(kind: str) -> tuple[Registered, ...]:
    """The entry points of the group `dominoes.<kind>`, by name."""
    from importlib.metadata import entry_points

    # A distribution that lies on the path twice says everything twice.
    found = {
        Registered(
            kind,
            each.name,
            ENTRY_POINT,
            each.value.replace(" ", ""),
            each.dist.name if each.dist else None,
            each.dist.version if each.dist else None,
        )
        for each in entry_points(group=f"dominoes.{kind}")
    }
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.target)))


def is_reference(name: str) -> bool:
    """Whether it is written as `module:attr`, pinned or not."""
    return _REFERENCE.fullmatch(name) is not None


def refuse_untrusted(named: Iterable[tuple[str, str]], where: str, *, remedy: str = "pass --trust (in Python trust=True)") -> None:
    """Raise RegistryError if a file names code that somebody else may have written: a reference without a pin.

    Args:
        named: (kind, name) of all that the file names; built-in names and installed entry points are trusted.
        where: the file.
        remedy: what to do for the code to be run.
    """
    found = [entry for kind, name in dict.fromkeys(named) if is_reference(name) and (entry := find(kind, name)).pin is None]
    if found:
        pinned = f"{found[0].name}@sha256:{code_digest(found[0])}"
        raise RegistryError(
            f"{where} names code that would be run here: {', '.join(entry.name for entry in found)}; read it, then {remedy}, or pin it "
            f"in the file, as {pinned}"
        )


def check_call(thing: object, said: str, arguments: tuple[str, ...], keywords: Mapping[str, Any]) -> None:
    """Raise RegistryError unless `thing` can be called with so many positional arguments (by what they are) and these keywords."""
    if not callable(thing):
        raise RegistryError(f"{said} is {type(thing).__name__}, which cannot be called; expected a callable ({', '.join(arguments)}, ...)")
    try:
        signature = inspect.signature(thing)
    except ValueError:
        # Compiled code may not tell.
        return
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        call = ", ".join((*arguments, *(f"{name}={value!r}" for name, value in keywords.items())))
        raise RegistryError(f"{said} takes {signature} and cannot be called as ({call}): {error}") from error


def importable(folder: Path | str) -> None:
    """Let modules of a folder be found, after all others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def code_digest(entry: Registered) -> str:
    """SHA-256 of the code of an entry from outside: see `Provenance`. The code is read, not run."""
    spec = _locate(entry)
    if spec.submodule_search_locations is None:
        return hashlib.sha256(Path(str(spec.origin)).read_bytes()).hexdigest()
    total = hashlib.sha256()
    for root in sorted(spec.submodule_search_locations):
        for file in sorted(path for path in Path(root).rglob("*") if path.name.endswith(_CODE) and path.is_file()):
            total.update(f"{file.relative_to(root).as_posix()}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _locate(entry: Registered) -> ModuleSpec:
    """Where the module, or the outermost package of it, is found; nothing is imported."""
    top = entry.target.partition(":")[0].partition(".")[0]
    here = os.getcwd()  # noqa: PTH109  (an entry of the path, which is text)
    importable(here)
    invalidate_caches()
    try:
        found = find_spec(top)
    except ValueError:
        # A module that was made, not imported, such as __main__.
        found = None
    if found is None or (found.origin in (None, "built-in", "frozen") and not found.submodule_search_locations):
        raise RegistryError(f"{entry.said}: there is no module {top} in this folder or among the installed packages; check its name")
    local = PathFinder.find_spec(top, [here])
    if local is not None and local.origin and (found.origin is None or Path(local.origin).resolve() != Path(found.origin).resolve()):
        raise RegistryError(f"{entry.said}: {local.origin} and {found.origin} are both module {top}; rename the one in this folder")
    return found


def _owner(target: str) -> tuple[str | None, str | None]:
    """Name and version of the distribution that a module was installed by."""
    from importlib.metadata import packages_distributions, version

    names = packages_distributions().get(target.partition(":")[0].partition(".")[0])
    return (names[0], version(names[0])) if names else (None, None)


def _attribute(entry: Registered) -> Any:
    return _imported(entry.target, entry.said)


def _imported(target: str, said: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        thing: Any = import_module(module)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        if module.endswith(".py") and isinstance(error, ModuleNotFoundError):
            raise RegistryError(f"{said}: a module is named without .py; write {module[:-3]}:{attribute}") from error
        raise RegistryError(
            f"{said}: {module} cannot be imported ({type(error).__name__}: {reason}); mend it, or install what it needs"
        ) from error
    for part in filter(None, attribute.split(".")):
        if not hasattr(thing, part):
            near = difflib.get_close_matches(part, [name for name in dir(thing) if not name.startswith("_")], n=1)
            hint = f"did you mean {near[0]}?" if near else "check its name"
            raise RegistryError(f"{said}: {module} has no {attribute}; {hint}")
        thing = getattr(thing, part)
    return thing


@lru_cache
def _own_version() -> str:
    from dominoes import __version__

    return __version__
