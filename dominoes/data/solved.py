"""Compositions of probes, remembered: to solve one needs SciPy, which takes longer to load than all else at the start of a run."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from dominoes import files
from dominoes.data import sources
from dominoes.errors import OutputError
from dominoes.solver import solution
from dominoes.solver.composition import Composition, CompositionError, from_json
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec


def remembered_solve(spec: DominoSpec, stock: Stock) -> Composition:
    """What `solve` returns, from the cache folder if the same solver has found it before; what is read is checked as what is found.

    Raises as `solve`.
    """
    request = f"{spec.model_copy(update={'seed': 0}).canonical()} {spec.shared} {stock.top} {stock.bottom}"
    name = hashlib.sha256(f"{_solver()} {request}".encode()).hexdigest()[:24]
    place = sources.cache_folder() / "compositions" / f"{name}.json"
    try:
        return solution.check_composition(from_json(json.loads(place.read_text(encoding="utf-8")), spec))
    except (OSError, ValueError, CompositionError):
        found = solution.solve(spec, stock)
    try:
        files.write(place, json.dumps(found.to_json()))
    except OutputError:
        # A cache that cannot be written is one that remembers nothing.
        return found
    return found


@lru_cache(maxsize=1)
def _solver() -> str:
    """What the counts follow from beside the request: the solver's own code, and SciPy's."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(solution.__file__).parent.glob("*.py"))))
    return f"{code.hexdigest()} {version('scipy')}"
