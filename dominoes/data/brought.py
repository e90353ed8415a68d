"""Sources from outside: a callable makes the pictures.

It is called with `train` or `test` and gives (pictures, labels, class names): N×28×28 or N×32×32 pictures, gray (N×H×W) or with three
channels first or last, uint8; N whole numbers from 0; a name for each class, or None. What it gives is not kept in the cache: it may depend
on more than its code. Each process calls it once a split.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dominoes import registry
from dominoes.data import readers
from dominoes.errors import SourceError, brief
from dominoes.spec import Split


def is_brought_source(name: str) -> bool:
    """Whether a source is a reference, or an installed entry point's. Nothing is loaded."""
    return registry.is_reference(name) or name in {entry.name for entry in registry.installed("sources")}


def load_brought(name: str, split: Split) -> readers.Decoded:
    """What a source gives for a split. Raises RegistryError, or SourceError if it fails or gives something else."""
    entry = registry.find("sources", name)
    make = entry.load()
    registry.check_call(make, entry.said, ("split",), {})
    try:
        pictures, labels, names = make(split.value)
        found = np.asarray(pictures)
    except Exception as error:
        reason = f"{type(error).__name__}: {brief(error)}"
        raise SourceError(f"{entry.said} fails for {split.value} ({reason}); expected (pictures, labels, class names)") from error
    if found.dtype != np.uint8 or found.ndim not in (3, 4):
        raise SourceError(f"{entry.said} gives pictures of shape {found.shape} and type {found.dtype}; expected uint8, N×H×W or N×3×H×W")
    if found.ndim == 4 and found.shape[1] in (1, 3):
        found = found.transpose(0, 2, 3, 1)
    numbers = readers.labels_of(np.asarray(labels), entry.said)
    if len(numbers) != len(found):
        raise SourceError(f"{entry.said} gives {len(found)} {split.value} pictures and {len(numbers)} labels; expected one for each")
    return (
        readers.stack(((f"{entry.said}, picture {number}", each) for number, each in enumerate(found)), len(found)),
        numbers,
        _names(names),
    )


def _names(names: Any) -> tuple[str, ...] | None:
    return None if names is None else tuple(map(str, names))
