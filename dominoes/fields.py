"""Kinds of fields that specs have: what they are written as, in which range, and in which one form they are kept.

What is wrong with a value is said as pydantic wants it, a ValueError of what was expected; `spec.parse` makes a sentence of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from dominoes import arguments, registry
from dominoes.arguments import Arguments
from dominoes.errors import RegistryError

# More would not fit into memory, as a table of rows, let alone be trained on.
MOST = 100_000_000
#: What `auto` becomes: the rule by which a run's measuring is chosen (`data.measuring`), so that specs say which.
AUTO = "auto-1"
_MOST_MEASURED = 1_000_000


def _number(value: object) -> object:
    # YAML's `yes` and JSON's `true` are 1 to Python; in a number's place they are a slip.
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _whole(value: object) -> int | None:
    """A whole number, as text or as a float too; None of anything else."""
    try:
        count = int(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _count_or_max(value: object) -> object:
    if value == "max":
        return value
    count = _whole(value)
    if count is None or count < 1:
        raise ValueError("expected a whole number of at least 1, or max")
    if count > MOST:
        raise ValueError(f"expected at most {MOST:,} dominoes")
    return count


def _count_or_auto(value: object) -> object:
    if value in ("auto", AUTO):
        return AUTO
    count = _whole(value)
    if count is None or not 1 <= count <= _MOST_MEASURED:
        raise ValueError(f"expected a whole number from 1 to {_MOST_MEASURED}, or auto")
    return count


def _answers(kind: str, name: str, info: ValidationInfo) -> str:
    # What a record of long ago names need not be there to read the record.
    if not (info.context or {}).get("recorded"):
        try:
            registry.find(kind, name)
        except RegistryError as error:
            raise ValueError(str(error)) from error
    return name


def _name(kind: str) -> AfterValidator:
    return AfterValidator(lambda name, info: _answers(kind, name, info))


def _call(text: str, info: ValidationInfo) -> str:
    """`NAME a=1 b=2` in the one way that it is written."""
    name, given = arguments.called(text)
    if not name:
        raise ValueError("expected the name of an augmentation, such as flip or crop")
    _answers("augmentations", name, info)
    return arguments.written_call(name, given)


def _texts(value: object) -> object:
    return () if value in (None, "none") else (value,) if isinstance(value, str) else value


def _checkpoints(value: object) -> str:
    """none, last, measurements, or steps as `0,10,100`, rising."""
    text = value if isinstance(value, str) else ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = "".join(text.split())
    if text in ("none", "last", "measurements"):
        return text
    if not re.fullmatch(r"\d{1,12}(,\d{1,12})*", text):
        raise ValueError("expected none, last, measurements, or steps such as 0,10,100")
    return ",".join(map(str, sorted(set(map(int, text.split(","))))))


def _levels(value: object) -> object:
    """Levels as a list, one number, or `.6,.3,.03`."""
    if isinstance(value, str):
        return tuple(part for part in re.split(r"[,\s]+", value) if part)
    return (value,) if isinstance(value, int | float) else value


def _falling(levels: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted(set(levels), reverse=True))


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Share = Annotated[Number, Field(ge=0, le=1)]
NamedArguments = Annotated[dict[str, Any], AfterValidator(Arguments), BeforeValidator(arguments.read_arguments)]


def _written(text: str) -> str:
    # Here and below: the dials load numpy, which help and the parsing of flags can do without.
    from dominoes import dials

    return dials.written_transform(text)


def _split(value: object) -> object:
    if value in ((), [], None):
        return ()
    from dominoes import dials

    return dials.split(value)


Transforms = Annotated[tuple[Annotated[str, AfterValidator(_written)], ...], BeforeValidator(_split)]
CountOrAuto = Annotated[int | str, BeforeValidator(_count_or_auto)]
CountOrMax = Annotated[int | str, BeforeValidator(_count_or_max)]
ModelName = Annotated[str, _name("models")]
OptimizerName = Annotated[str, _name("optimizers")]
GroupingName = Annotated[str, _name("parameter_groups")]
ScheduleName = Annotated[str, _name("schedules")]
LossName = Annotated[str, _name("losses")]
Augmentations = Annotated[tuple[Annotated[str, AfterValidator(_call)], ...], BeforeValidator(_texts)]
Checkpoints = Annotated[str, BeforeValidator(_checkpoints)]
LossLevels = Annotated[tuple[Annotated[Number, Field(gt=0)], ...], AfterValidator(_falling), BeforeValidator(_levels)]
