"""Chosen and merged classes of a source, in its name: `mnist[0,1]`, `cifar10[automobile,truck]`, `cifar10[0+1,2+3]`.

In the brackets stand the new classes in order, joined by commas; each is a class of the source, or several joined by +. A class is called
by its name or, where no class has such a name, by its number. What is not called is never shown; pictures keep their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from dominoes.data.catalogue import AREAS, CLASS_NAMES, FILES_OF, STOCKS
from dominoes.data.locations import exists, located, place
from dominoes.errors import SourceError
from dominoes.spec import Split

Groups = tuple[tuple[int, ...], ...]


def parted(name: str) -> tuple[str, str | None]:
    """The source that a name chooses classes of, and what is chosen: `mnist[0,1]` -> `mnist`, `0,1`; None if all classes are.

    A name that is the path of something that exists is that path, whatever it ends in.
    """
    base, bracket, chosen = name.rpartition("[")
    if not (bracket and base and name.endswith("]")) or exists(name):
        return name, None
    return base, chosen[:-1]


def base(name: str) -> str:
    """The source that a name chooses classes of."""
    return parted(name)[0]


def groups(name: str, classes: Sequence[str]) -> Groups:
    """Numbers of the classes that make up each class of `name`, of a source with these `classes`; one each where nothing is chosen.

    Raises SourceError: no such class, a class twice, fewer than two classes.
    """
    source, chosen = parted(name)
    if chosen is None:
        return tuple((number,) for number in range(len(classes)))
    found = tuple(tuple(_number(part.strip(), name, source, classes) for part in group.split("+")) for group in chosen.split(","))
    called = [number for group in found for number in group]
    twice = next((number for number in called if called.count(number) > 1), None)
    if twice is not None:
        raise SourceError(f"{name}: class {classes[twice]} is chosen twice; expected each class at most once")
    if len(found) < 2:
        raise SourceError(f"{name}: one class is chosen; expected at least two, joined by commas, such as {source}[0,1]")
    return found


def _number(called: str, name: str, source: str, classes: Sequence[str]) -> int:
    if called in classes:
        return list(classes).index(called)
    if called.isdecimal() and int(called) < len(classes):
        return int(called)
    near = get_close_matches(called, classes, n=1)
    some = ", ".join(classes) if len(classes) <= 20 else f"{', '.join(classes[:5])}, ... ({len(classes)} of them)"
    hint = f"did you mean {near[0]}?" if near else f"its classes are {some}, or the numbers 0 to {len(classes) - 1}"
    raise SourceError(f"{name}: {source} has no class '{called}'; {hint}")


def merged(chosen: Groups, labels: NDArray[np.int64], classes: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels in the chosen classes (-1: of none of them), and the names of these, those of merged classes joined by +."""
    new = np.full(len(classes), -1, dtype=np.int64)
    for number, group in enumerate(chosen):
        new[list(group)] = number
    return new[labels], tuple("+".join(classes[number] for number in group) for group in chosen)


def stock(name: str, split: Split) -> tuple[int, ...] | None:
    """Pictures of each class of a named source and what is chosen of it, from the table; None for a path. Raises SourceError."""
    source = base(name)
    if source not in STOCKS:
        return None
    return tuple(sum(STOCKS[source][split][number] for number in group) for group in groups(name, CLASS_NAMES[source]))


def area(name: str) -> int:
    """Side of a named source's pictures without padding: of all its classes, whatever is chosen of them."""
    return AREAS[base(name)]


def refuse_overlap(names: tuple[str, str], classes: tuple[Sequence[str], Sequence[str]]) -> None:
    """Refuse two sides that draw on the same pictures in two ways: a picture would be used on both, beyond `reuse`.

    Args:
        names: of both sides' sources.
        classes: of the whole sources, by name.

    Raises SourceError.
    """
    if names[0] == names[1] or _place(names[0]) != _place(names[1]):
        return
    if _reading(names[0]) != _reading(names[1]):
        raise SourceError(
            f"{names[0]} and {names[1]} show the same pictures, read in two ways; write both sides alike, or use other pictures on one"
        )
    top, bottom = ({number for group in groups(name, known) for number in group} for name, known in zip(names, classes, strict=True))
    for number in sorted(top & bottom):
        raise SourceError(
            f"{names[0]} and {names[1]} both show pictures of class {classes[0][number]}, chosen in two ways; write the same classes in "
            "the same way on both sides, or classes that only one side shows"
        )


def same_files(top: str, bottom: str) -> bool:
    """Whether two sources are the same pictures, in whatever way they are read and chosen."""
    return _place(top) == _place(bottom)


def _place(name: str) -> str:
    source = base(name)
    return FILES_OF.get(source, source) if source in STOCKS else place(source)


def _reading(name: str) -> object:
    source = base(name)
    return source if source in STOCKS else located(source)[1]
