"""Rules and questions that a user might bring, with and without faults, named in tests as `brought_rules:NAME`."""

import itertools
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


def _in_place(top: np.ndarray, bottom: np.ndarray, K: int) -> np.ndarray:
    top *= bottom
    bottom *= 0
    return top


def _shares_in_place(top: np.ndarray, bottom: np.ndarray, K: int) -> tuple[np.ndarray, ...]:
    top *= bottom
    bottom[:] = (1 - top) / 2
    return bottom, bottom, top


def _between(value: float) -> object:
    """A product but between two errors on which no rule is tried."""
    return lambda top, bottom, K: np.where((top > 0.5) & (top < 0.6), value, top * bottom)


_counter = itertools.count()


def _by_turns(top: np.ndarray, bottom: np.ndarray, K: int) -> tuple[np.ndarray, ...]:
    share = top * 0 + next(_counter) % 2
    return share, 1 - share, share * 0


in_place = Rule("in place", "one that works in place", _in_place, _shares_in_place, "other", "dash", per_class=True)
product = Rule("my product", "a product of mine", PRODUCT, product_conflicts, "other", "dash", per_class=True)
far = Rule("far", "far", lambda top, bottom, K: np.where(top > 0.91, 3.0, top * bottom), None, "other", "dash")
lost = Rule("lost", "lost", _between(np.nan), None, "other", "dash")
endless = Rule("endless", "endless", _between(np.inf), None, "other", "dash")
below = Rule("below", "below", _between(-0.2), None, "other", "dash")
above = Rule("above", "above", _between(1.5), None, "other", "dash")
by_class = Rule(
    "by class",
    "by class",
    lambda top, bottom, K: _between(2.0)(top, bottom, K) if top.ndim == 3 else top,
    None,
    "other",
    "dash",
    per_class=True,
)
unequal = Rule(
    "unequal", "unequal", PRODUCT, lambda top, bottom, K: (_between(0.9)(top, 0 * top, K), 1 - top * 0, top * 0), "other", "dash"
)
drawn = Rule("drawn", "drawn", lambda top, bottom, K: np.random.default_rng().uniform(size=top.shape), None, "other", "dash")
counts = Rule("counts", "counts", PRODUCT, _by_turns, "other", "dash")
called_per_class = Rule("mine per class", "mine", PRODUCT, None, "other", "dash", per_class=True)
nameless = Rule("", "mine", PRODUCT, None, "other", "dash")
unlabelled = Rule("mine", " ", PRODUCT, None, "other", "dash")
two_lines = Rule("mine\nand yours", "mine", PRODUCT, None, "other", "dash")
numbered = Rule(5, "mine", PRODUCT, None, "other", "dash")
taken = Rule("equal", "mine", PRODUCT, None, "other", "dash")
also_mine = Rule("mine", "another rule of mine", PRODUCT, None, "other", "dash")


def asks_wrongly(runs: object, options: object) -> object:
    """A question with a fault."""
    return {}["zap"]


def answers_wrongly(runs: object, options: object) -> object:
    """A question whose answer is none."""
    return "rows"
