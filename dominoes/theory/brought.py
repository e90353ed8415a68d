"""Rules and questions from outside.

A rule is a `Rule` record: what it predicts of doubles, and of conflicts, from the curves of either side alone; it is tried on errors from 0
to chance before it is used. A question is a callable (runs, options) that is given `RunArrays` and `Options`, and gives an `Answer`: the
rows are made by `options.judge`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dominoes import registry
from dominoes.arrays import FloatArray
from dominoes.errors import CurvesError, brief
from dominoes.theory.rules import RULES, Rule
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, Verdict

# Errors of the top and of the bottom on which a rule is tried, as shares of that at chance, in the shape of runs × steps; and numbers of
# classes.
_TRIED = tuple(np.meshgrid([0.0, 1e-4, 0.1, 0.5, 0.9, 1.0], [0.0, 0.02, 0.3, 0.7, 1.0]))
_CLASSES = (2, 10)
# Beyond which a share is no share, and shares do not add up to 1.
_ROUNDING = 1e-6

Question = Callable[[RunArrays, Options], Answer]


def is_brought_question(name: str) -> bool:
    """Whether a question is from outside: a reference, or an installed entry point's. Nothing is loaded."""
    return registry.is_reference(name) or name in {entry.name for entry in registry.installed("questions")}


def rule(name: str) -> Rule:
    """The rule of a name. Raises RegistryError, or CurvesError if it is no Rule, or bears a built-in one's name."""
    found = registry.find("rules", name).load()
    if not isinstance(found, Rule):
        raise CurvesError(f"rule {name} is {type(found).__name__}; expected a dominoes.theory.rules.Rule")
    if found.name in RULES and found is not RULES[found.name]:
        raise CurvesError(f"rule {name} calls itself {found.name}, as a built-in one does; expected another name")
    for K in _CLASSES:
        _check_shares(f"rule {name}: doubles", found.doubles, K)
        if found.conflicts is not None:
            _check_shares(f"rule {name}: conflicts", found.conflicts, K, parts=3)
    return found


def _check_shares(what: str, predict: Callable[..., object], K: int, parts: int = 1) -> None:
    """Raises CurvesError unless a prediction is made of shares: `parts` arrays of the errors' shape, from 0 to 1, sum 1 if several."""
    top, bottom = ((K - 1) / K * each for each in _TRIED)
    try:
        given = predict(top.copy(), bottom.copy(), K)
        shares = [np.asarray(each, dtype=float) for each in (given if parts > 1 else [given])]  # type: ignore[attr-defined]
    except (Exception, SystemExit) as error:
        raised = f"{type(error).__name__}: {brief(error)}"
        raise CurvesError(f"{what} fails with {K} classes ({raised}); expected {_expected(parts)}") from error
    if len(shares) != parts or any(each.shape != top.shape for each in shares):
        got = ", ".join(str(each.shape) for each in shares)
        raise CurvesError(f"{what} gives {got} of errors of shape {top.shape}; expected {_expected(parts)}")
    for each in shares:
        off = ~((each >= -_ROUNDING) & (each <= 1 + _ROUNDING))
        if off.any():
            raise CurvesError(f"{what} gives {each[off][0]:g}{_at(top, bottom, off, K)}; expected {_expected(parts)}")
    total = np.sum(shares, axis=0)
    off = np.abs(total - 1) > _ROUNDING
    if parts > 1 and off.any():
        raise CurvesError(f"{what} add up to {total[off][0]:g}{_at(top, bottom, off, K)}; expected {_expected(parts)}")


def _expected(parts: int) -> str:
    return "an array of shares from 0 to 1, of the errors' shape" if parts == 1 else f"{parts} such arrays of shares that add up to 1"


def _at(top: FloatArray, bottom: FloatArray, off: np.ndarray, K: int) -> str:
    return f" at errors {top[off][0]:g} (top) and {bottom[off][0]:g} (bottom) among {K} classes"


def question(name: str) -> Question:
    """The question of a name, as what answers it. Raises RegistryError, or CurvesError if it is no such callable."""
    entry = registry.find("questions", name)
    found = entry.load()
    registry.check_call(found, entry.said, ("runs", "options"), {})

    def answer(data: RunArrays, options: Options) -> Answer:
        try:
            given = found(data, options)
        except CurvesError:
            raise
        except (Exception, SystemExit) as error:
            raise CurvesError(f"{entry.said} fails ({type(error).__name__}: {brief(error)}); put it right, or leave it out") from error
        if not isinstance(given, Answer) or not all(isinstance(each, Verdict) for each in given.verdicts):
            what = f"an Answer whose verdicts are {type(given.verdicts).__name__}" if isinstance(given, Answer) else type(given).__name__
            raise CurvesError(f"{entry.said} gives {what}; expected a dominoes.theory.verdicts.Answer with a tuple of Verdict")
        return given

    return answer
