"""Named arguments of the things that a spec names: plain values, written and read in one way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml


class Arguments(dict[str, Any]):
    """Named arguments of a thing that a spec names: plain values. Not to be changed, so that it has a hash as a spec has."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


# YAML reads 1e-4, which has no point, as a text.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _plain(value: object) -> object:
    """A value of JSON, whatever of YAML it came from. Raises ValueError for what JSON has no word for."""
    if isinstance(value, str):
        return float(value) if _EXPONENT.fullmatch(value) else value
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"expected numbers, texts, lists and mappings as arguments, found {value!r}")


def read_arguments(value: object) -> Arguments:
    """Arguments from a mapping, or from texts NAME=VALUE with values as YAML writes them.

    Raises ValueError that says what was expected, for the spec to add what it got.
    """
    if isinstance(value, str):
        value = value.split()
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        pairs = [text.partition("=") for text in value]
        if not all(name.isidentifier() and equals for name, equals, _ in pairs):
            raise ValueError("expected NAME=VALUE, or a list of such texts")
        try:
            value = {name: yaml.safe_load(text) for name, _, text in pairs}
        except yaml.YAMLError as error:
            raise ValueError(f"expected NAME=VALUE with a value of YAML ({' '.join(str(error).split())})") from error
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in value):
        raise ValueError("expected arguments by name")
    return Arguments({name: _plain(value[name]) for name in sorted(value)})


def called(text: str) -> tuple[str, Arguments]:
    """`NAME a=1 b=2` as the name of a thing and its arguments. Raises ValueError (see `read_arguments`)."""
    name, *rest = text.split() or [""]
    return name, read_arguments(rest)


def written_call(name: str, arguments: Arguments) -> str:
    """A call in the one way that it is written; `called` takes it apart again."""
    return " ".join((name, *(f"{key}={_text(value)}" for key, value in arguments.items())))


def _text(value: object) -> str:
    return value if isinstance(value, str) and yaml.safe_load(value) == value else json.dumps(value, separators=(",", ":"))
