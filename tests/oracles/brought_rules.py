"""Rules and questions that a user might bring, with and without faults, named in tests as `brought_rules:NAME`."""

import sys

import numpy as np

from dominoes.theory.rules import RULES, Rule, product_conflicts

PRODUCT = RULES["product"].doubles

good = Rule("mine", "a rule of mine", lambda top, bottom, K: top * bottom, product_conflicts, "other", "dash")
few = Rule("few", "few", lambda top, bottom, K: np.zeros(3), None, "other", "dash")
raises = Rule("raises", "raises", lambda top, bottom, K: 1 / 0, None, "other", "dash")
ends = Rule("ends", "ends", lambda top, bottom, K: sys.exit(), None, "other", "dash")
nothing = Rule("nothing", "nothing", lambda top, bottom, K: top * np.nan, None, "other", "dash")
over = Rule("over", "over", lambda top, bottom, K: top + 5, None, "other", "dash")
two = Rule("two", "two", PRODUCT, lambda top, bottom, K: (top, bottom), "other", "dash")
more = Rule("more", "more", PRODUCT, lambda top, bottom, K: (top * 0 + 0.9,) * 3, "other", "dash")


def asks_wrongly(runs: object, options: object) -> object:
    """A question with a fault."""
    return {}["zap"]


def answers_wrongly(runs: object, options: object) -> object:
    """A question whose answer is none."""
    return "rows"
