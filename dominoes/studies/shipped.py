"""The files that come with the package beside its code: sweep files of studies and of published protocols, and kept numbers."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from dominoes.errors import RunError

STUDIES, PUBLISHED = "studies", "published"
HEADLINES, CURVES, COMPARISON = "headlines.csv", "curves.parquet", "comparison.csv"
# Where a wheel puts them, below the environment's folder of data.
_SHARE = ("share", "dominoes")


def root() -> Path | None:
    """The folder that holds sweeps/ and results/: the checkout that the package lies in, else where the installed one put them; None
    where neither has them."""
    checkout = Path(__file__).parents[2]
    if (checkout / "sweeps" / STUDIES).is_dir():
        return checkout
    try:
        listed = importlib.metadata.files("dominoes") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in listed:
        parts = file.parts
        if _SHARE[1] in parts and parts[-3:-1] == ("sweeps", STUDIES) and parts[-5:-3] == _SHARE:
            return Path(str(file.locate())).resolve().parents[2]
    return None


def shipped_names(group: str) -> tuple[str, ...]:
    """Names of the shipped sweep files of STUDIES or PUBLISHED."""
    found = root()
    return () if found is None else tuple(sorted(path.stem for path in (found / "sweeps" / group).glob("*.yaml")))


def sweep_file(group: str, name: str) -> Path:
    """The sweep file of a shipped study or protocol. Raises RunError that lists those there are."""
    found = root()
    path = None if found is None else found / "sweeps" / group / f"{name}.yaml"
    if path is None or not path.is_file():
        known = ", ".join((*shipped_names(STUDIES), *shipped_names(PUBLISHED))) or "none, this installation has no sweep files"
        raise RunError(f"{name} is no study that comes with the package; expected one of {known}, or the path of a sweep file")
    return path


def kept(name: str) -> Path | None:
    """The folder of a study's results that are kept; None where this installation has none."""
    found = root()
    path = None if found is None else found / "results" / STUDIES / name
    return path if path is not None and (path / HEADLINES).is_file() else None
