"""The errors that a user can cause, and what is quoted of other libraries' errors.

Each message is one sentence or two: what was met, what was expected, what to do. `commands` prints it and exits with 2.
"""


class DominoesError(Exception):
    """Base of every error that bad input can raise; anything else that escapes is a defect of this package."""


class SpecError(DominoesError):
    """A field of a spec is missing, unknown, out of range or contradicts another."""


class SourceError(DominoesError):
    """Pictures cannot be found, read or used."""


class DatasetError(DominoesError):
    """A dataset folder is missing, unfinished, newer than this package, or not what it says."""


class CurvesError(DominoesError):
    """A table of learning curves breaks its contract."""


class BroughtError(CurvesError):
    """A rule or a question that a user brings to a comparison fails, or gives what is none."""


class OutputError(DominoesError):
    """A result cannot be written where it was asked for; what was there before is untouched."""


class DeviceError(DominoesError):
    """The device that was asked for is not there."""


class RunError(DominoesError):
    """A run folder cannot be used: it belongs to another process, or to other data."""


class FitError(DominoesError):
    """A pattern model or a fit cannot be made from what was given."""


class RegistryError(DominoesError):
    """A name answers to nothing, to two things, or to code that cannot be imported, called or trusted."""


class LeaderboardError(DominoesError):
    """An edition, a theory, an entry or a board cannot be used as it is."""


def brief(said: object, longest: int = 200) -> str:
    """What a library says of an error, or a file in a cell, as part of a sentence: one line that can be printed, no longer than so many
    characters, no full stop."""
    text = "".join(each if each.isprintable() else "�" for each in " ".join(str(said).split()))
    return (text if len(text) <= longest else f"{text[: longest - 1]}…").rstrip(".") or type(said).__name__


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number and its noun, as part of a sentence: `1 run`, `2 runs`; `plural` where that is not the noun with an s."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
