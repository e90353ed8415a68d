"""Code from outside this package that a run is made with: what it was, and whether it still is. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dominoes import registry
from dominoes.registry import Provenance
from dominoes.spec import RunSpec


def used(spec: RunSpec) -> list[Provenance]:
    """All code from outside this package that a run is made with. Raises RegistryError if some is not there."""
    found = (registry.find(kind, each).provenance() for kind, each in dict.fromkeys(spec.named()))
    return [each for each in found if each is not None]


def changed(spec: RunSpec, recorded: Sequence[Any]) -> str:
    """What of a run's code is not what its record says, in words; empty if nothing is."""
    before = {each["ref"]: each for each in recorded}
    now = {each.ref: each.plain() for each in used(spec)}
    differing = [ref for ref in {**before, **now} if before.get(ref, {}).get("sha256") != now.get(ref, {}).get("sha256")]
    return ", ".join(f"{ref} ({_short(before.get(ref))}, now {_short(now.get(ref))})" for ref in differing)


def _short(known: Any) -> str:
    if known is None:
        return "none"
    version = f"{known['distribution']} {known['version']}, " if known["distribution"] else ""
    return f"{version}SHA-256 {known['sha256'][:12]}"
