"""Rules and questions from outside.

A rule is a `Rule` record: what it predicts of doubles, and of conflicts, from the curves of either side alone. A question is a callable
(runs, options) that is given `RunArrays` and `Options`, and gives an `Answer`: the rows are made by `options.judge`.
"""

from __future__ import annotations

from collections.abc import Callable

from dominoes import registry
from dominoes.errors import CurvesError
from dominoes.theory.rules import RULES, Rule
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options

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
    return found


def question(name: str) -> Question:
    """The question of a name, as what answers it. Raises RegistryError, or CurvesError if it is no such callable."""
    entry = registry.find("questions", name)
    found = entry.load()
    registry.check_call(found, entry.said, ("runs", "options"), {})

    def answer(data: RunArrays, options: Options) -> Answer:
        given = found(data, options)
        if not isinstance(given, Answer):
            raise CurvesError(f"{entry.said} gives {type(given).__name__}; expected a dominoes.theory.verdicts.Answer")
        return given

    return answer
