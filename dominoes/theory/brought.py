"""Rules and questions from outside.

A rule is a `Rule` record: what it predicts of doubles, and of conflicts, from the curves of either side alone. It is tried on errors from 0
to chance before it is used, and every prediction of it is checked; the errors that it is handed are copies. A question is a callable (runs,
options) that is given `RunArrays` and `Options`, and gives an `Answer`: the rows are made by `options.judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dominoes import registry
from dominoes.arrays import FloatArray
from dominoes.errors import BroughtError, CurvesError, brief
from dominoes.theory.rules import RULES, AnswerShares, Rule
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, Verdict

# Errors of the top and of the bottom on which a rule is tried, as shares of that at chance, in the shape of runs × steps; and numbers of
# classes.
_TRIED = tuple(np.meshgrid([0.0, 1e-4, 0.1, 0.5, 0.9, 1.0], [0.0, 0.02, 0.3, 0.7, 1.0]))
_CLASSES = (2, 10)
# Beyond which a share is no share, and shares do not add up to 1; and beyond which two answers to the same are not the same.
_ROUNDING, _SAME = 1e-6, 1e-9
# What the comparison itself calls a model, besides the built-in rules: of conflicts, and of the preference.
_TAKEN = ("product, top preferred", "product, bottom preferred", "constant", "equal", "top preferred", "bottom preferred")
_PER_CLASS = "per class"

Question = Callable[[RunArrays, Options], Answer]


def is_brought_question(name: str) -> bool:
    """Whether a question is from outside: a reference, or an installed entry point's. Nothing is loaded."""
    return registry.is_reference(name) or name in {entry.name for entry in registry.installed("questions")}


def rules(names: Sequence[str]) -> dict[str, Rule]:
    """Rules by what they call themselves. Raises as `rule`, and BroughtError where two call themselves the same."""
    found: dict[str, Rule] = {}
    by: dict[str, str] = {}
    for name in dict.fromkeys(names):
        one = rule(name)
        if one.name in found:
            raise BroughtError(f"rules {by[one.name]} and {name} both call themselves {one.name}; expected a name for each")
        found[one.name], by[one.name] = one, name
    return found


def rule(name: str) -> Rule:
    """The rule of a name; one from outside is checked whenever it predicts. Raises RegistryError, or BroughtError if it is no Rule, is
    called what no rule from outside can be, or does not predict shares."""
    found = registry.find("rules", name).load()
    if not isinstance(found, Rule):
        raise BroughtError(f"rule {name} is {type(found).__name__}; expected a dominoes.theory.rules.Rule")
    if any(found is each for each in RULES.values()):
        return found
    _check_words(name, found)
    of_doubles, of_conflicts = found.doubles, found.conflicts

    def doubles(top: FloatArray, bottom: FloatArray, K: int) -> FloatArray:
        return _shares(f"rule {name}: doubles", of_doubles, top, bottom, K)[0]

    def conflicts(top: FloatArray, bottom: FloatArray, K: int) -> AnswerShares:
        a, b, c = _shares(f"rule {name}: conflicts", of_conflicts, top, bottom, K, parts=3)
        return a, b, c

    for K in _CLASSES:
        top, bottom = ((K - 1) / K * each for each in _TRIED)
        _check_same(f"rule {name}: doubles", [[doubles(top, bottom, K)] for _ in range(2)], K)
        if of_conflicts is not None:
            _check_same(f"rule {name}: conflicts", [conflicts(top, bottom, K) for _ in range(2)], K)
    return replace(found, doubles=doubles, conflicts=None if of_conflicts is None else conflicts)


def _check_words(name: str, found: Rule) -> None:
    """Raises BroughtError unless a rule's name and label can stand in tables and sentences, and its name is its own."""
    for what in ("name", "label"):
        text: object = getattr(found, what)
        if not isinstance(text, str) or not text or text != text.strip() or not text.isprintable():
            raise BroughtError(f"rule {name} has the {what} {brief(repr(text))}; expected one line of text without blanks around it")
    if found.name in RULES or found.name in _TAKEN:
        raise BroughtError(f"rule {name} calls itself {found.name}, as a built-in one does; expected another name")
    if _PER_CLASS in found.name:
        raise BroughtError(
            f"rule {name} calls itself {found.name}, and '{_PER_CLASS}' is said of rules formed class by class; expected another name"
        )


def _check_same(what: str, answers: Sequence[Sequence[FloatArray]], K: int) -> None:
    """Raises BroughtError unless two answers to the same errors are the same."""
    if not all(np.allclose(one, other, rtol=0, atol=_SAME) for one, other in zip(*answers, strict=True)):
        raise BroughtError(
            f"{what} gives other shares when asked the same again with {K} classes; expected a rule that draws nothing at random"
        )


def _shares(what: str, predict: object, top: FloatArray, bottom: FloatArray, K: int, parts: int = 1) -> list[FloatArray]:
    """What a rule predicts, as `parts` arrays of its own. Raises BroughtError unless it is made of shares: of the errors' shape, from 0 to
    1, sum 1 if several.

    Errors beyond chance are there by luck alone. The product rule leaves the range of shares there, by 1/(K − 1) at most (an error of
    1 on both sides); so may any other, and it is clipped where that one is.
    """
    top, bottom = (np.clip(each, 0.0, 1.0) for each in np.broadcast_arrays(top, bottom))
    try:
        given = predict(top.copy(), bottom.copy(), K)  # type: ignore[operator]
        shares = [np.array(each, dtype=float) for each in (given if parts > 1 else [given])]
    except (Exception, SystemExit) as error:
        raised = f"{type(error).__name__}: {brief(error)}"
        raise BroughtError(f"{what} fails with {K} classes ({raised}); expected {_expected(parts)}") from error
    if len(shares) != parts or any(each.shape != top.shape for each in shares):
        got = ", ".join(str(each.shape) for each in shares)
        raise BroughtError(f"{what} gives {got} of errors of shape {top.shape}; expected {_expected(parts)}")
    room = _ROUNDING + np.where(np.maximum(top, bottom) > (K - 1) / K + _ROUNDING, 1 / (K - 1), 0.0)
    for each in shares:
        off = ~((each >= -room) & (each <= 1 + room))
        if off.any():
            raise BroughtError(f"{what} gives {each[off][0]:g}{_at(top, bottom, off, K)}; expected {_expected(parts)}")
    total = np.sum(shares, axis=0)
    off = np.abs(total - 1) > room
    if parts > 1 and off.any():
        raise BroughtError(f"{what} add up to {total[off][0]:g}{_at(top, bottom, off, K)}; expected {_expected(parts)}")
    return shares


def _expected(parts: int) -> str:
    return "an array of shares from 0 to 1, of the errors' shape" if parts == 1 else f"{parts} such arrays of shares that add up to 1"


def _at(top: FloatArray, bottom: FloatArray, off: np.ndarray, K: int) -> str:
    return f" at errors {top[off][0]:g} (top) and {bottom[off][0]:g} (bottom) among {K} classes"


def question(name: str) -> Question:
    """The question of a name, as what answers it; that raises BroughtError if it fails, or gives no Answer. Raises RegistryError."""
    entry = registry.find("questions", name)
    found = entry.load()
    registry.check_call(found, entry.said, ("runs", "options"), {})

    def answer(data: RunArrays, options: Options) -> Answer:
        try:
            given = found(data, options)
        except CurvesError:
            raise
        except (Exception, SystemExit) as error:
            raise BroughtError(f"{entry.said} fails ({type(error).__name__}: {brief(error)}); put it right, or leave it out") from error
        if not isinstance(given, Answer) or not all(isinstance(each, Verdict) for each in given.verdicts):
            what = f"an Answer whose verdicts are {type(given.verdicts).__name__}" if isinstance(given, Answer) else type(given).__name__
            raise BroughtError(f"{entry.said} gives {what}; expected a dominoes.theory.verdicts.Answer with a tuple of Verdict")
        return given

    return answer
