"""The pattern-learning model of Davies, Langosco and Krueger (2023, arXiv 2303.06173), in closed form.

A network learns n patterns. At time t pattern i *fires* on an example, independently of the others, with probability

    p_i(t) = γ_i / (1 + exp(−α_i (t − b_i)))        γ ceiling, α speed, b inflection time.

A training example is answered rightly if any pattern fires, A = 1 − Π(1 − p_i). A test example is answered by *one* of those that
fire, which is right with probability g_i (its generalization): T = Σ g_i u_i, where the usage u_i is the probability that pattern i is
the one. Two rules of usage:

- equal: one of those that fire, each with the same chance: u_i = p_i ∫₀¹ Π_{j≠i} (1 − p_j s) ds. (E[1/(1 + N)] = E[∫ s^N ds], and the
  generating function of N, the number of others that fire, is Π(1 − p_j + p_j s); the form above has s in place of 1 − s.)
- preferred:<i>: pattern i is used whenever it fires, u_i = p_i; the others share the rest equally.

The integrand has degree n − 1, so Gauss-Legendre quadrature with ⌈n/2⌉ nodes is exact: O(n²) for each t, and no sum over 2^n outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dominoes.errors import FitError

Array = npt.NDArray[np.float64]

PARAMETERS = ("ceiling", "speed", "inflection", "generalization")
MAX_PATTERNS = 30


@dataclass(frozen=True)
class Pattern:
    """One pattern: what it can do at most, how suddenly and when it is learned, and whether it generalises.

    Args:
        ceiling: γ in [0, 1], the share of examples on which it fires in the end.
        speed: α ≥ 0, per unit of time.
        inflection: b, the time at which it fires on half of its ceiling; the unit of time is that of `t`.
        generalization: g in [0, 1], the probability of being right on a test example when this pattern answers it.

    Raises FitError if a value is out of its range or not finite.
    """

    ceiling: float
    speed: float
    inflection: float
    generalization: float = 1.0

    def __post_init__(self) -> None:
        for name in ("ceiling", "generalization"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise FitError(f"the {name} of a pattern is {value}, expected a number from 0 to 1")
        if not 0 <= self.speed < math.inf:
            raise FitError(f"the speed of a pattern is {self.speed}, expected a finite number of at least 0")
        if not math.isfinite(self.inflection):
            raise FitError(f"the inflection of a pattern is {self.inflection}, expected a finite time")


class Mixture(NamedTuple):
    """What firing probabilities amount to: `train` A and `test` T, their derivatives by every p_i, and the usage u_i = ∂T/∂g_i."""

    train: Array
    test: Array
    train_by_firing: Array
    test_by_firing: Array
    usage: Array


class Samples(NamedTuple):
    """Shares of right answers in simulated measurements."""

    train: Array
    test: Array


@dataclass(frozen=True, init=False)
class PatternModel:
    """Patterns and the rule by which one of those that fire is used.

    Args:
        patterns: 1 to 30 patterns; their order has no meaning.
        usage: `equal`, or `preferred:<i>` with i from 1 to the number of patterns.
        classes: K > 1 if an example on which nothing fires is answered by a uniform guess, which adds (1 − A)/K to both accuracies.
            None: such an example counts as wrong, as in the paper.

    Every method takes times `t` of any shape (finite numbers) and is vectorised over them. Raises FitError on anything else.
    """

    patterns: tuple[Pattern, ...]
    rule: str
    classes: float | None

    def __init__(self, patterns: Sequence[Pattern], usage: str = "equal", classes: float | None = None) -> None:
        # Written out because `usage` names both the rule that is passed and the method that follows from it.
        object.__setattr__(self, "patterns", tuple(patterns))
        object.__setattr__(self, "rule", usage)
        object.__setattr__(self, "classes", classes)
        if not 1 <= len(self.patterns) <= MAX_PATTERNS:
            raise FitError(f"a pattern model has 1 to {MAX_PATTERNS} patterns, got {len(self.patterns)}")
        if classes is not None and not 1 < classes < math.inf:
            raise FitError(f"classes is {classes}, expected a number above 1, or None for no guessing")
        if usage != "equal" and self.preferred is None:
            raise FitError(f"usage is {usage!r}, expected 'equal' or 'preferred:<i>' with i from 1 to {len(self.patterns)}")

    @property
    def preferred(self) -> int | None:
        """Position of the preferred pattern in `patterns`, counted from 0; None under the equal split."""
        name, _, number = self.rule.partition(":")
        inside = name == "preferred" and number.isdecimal() and 1 <= int(number) <= len(self.patterns)
        return int(number) - 1 if inside else None

    def firing(self, t: npt.ArrayLike) -> Array:
        """p_i(t) = γ_i / (1 + exp(−α_i (t − b_i))), shape (n, *t.shape), in [0, 1]."""
        times = _times(t)
        ceiling, speed, inflection, _ = self._columns(times.ndim)
        firing: Array = ceiling * sigmoid(_scaled(speed, times - inflection))
        return firing

    def usage(self, t: npt.ArrayLike) -> Array:
        """u_i(t), the probability that pattern i answers; shape (n, *t.shape). Sums to A over the patterns."""
        return self._mixture(_times(t)).usage

    def train_accuracy(self, t: npt.ArrayLike) -> Array:
        """A(t) = 1 − Π(1 − p_i), plus (1 − A)/K with guessing; shape of t, in [0, 1]."""
        train = self._mixture(_times(t)).train
        return np.clip(train + self._guess * (1 - train), 0, 1)

    def test_accuracy(self, t: npt.ArrayLike) -> Array:
        """T(t) = Σ g_i u_i, plus (1 − A)/K with guessing; shape of t, in [0, 1]."""
        mixture = self._mixture(_times(t))
        # Rounding may carry a sum of usages one unit in the last place past 1.
        return np.clip(mixture.test + self._guess * (1 - mixture.train), 0, 1)

    def train_gradient(self, t: npt.ArrayLike) -> Array:
        """Derivatives of `train_accuracy` by every parameter: shape (n, 4, *t.shape), in the order of PARAMETERS."""
        times = _times(t)
        mixture = self._mixture(times)
        return self._chain((1 - self._guess) * mixture.train_by_firing, np.zeros_like(mixture.usage), times)

    def test_gradient(self, t: npt.ArrayLike) -> Array:
        """Derivatives of `test_accuracy` by every parameter: shape (n, 4, *t.shape), in the order of PARAMETERS."""
        times = _times(t)
        mixture = self._mixture(times)
        return self._chain(mixture.test_by_firing - self._guess * mixture.train_by_firing, mixture.usage, times)

    def simulate(self, t: npt.ArrayLike, n: int, rng: np.random.Generator) -> Samples:
        """Accuracies as measured on n examples each: binomial samples, independent between times and between train and test."""
        if n < 1:
            raise FitError(f"n is {n}, expected at least 1 example to simulate a measurement")
        return Samples(rng.binomial(n, self.train_accuracy(t)) / n, rng.binomial(n, self.test_accuracy(t)) / n)

    @property
    def _guess(self) -> float:
        return 0.0 if self.classes is None else 1 / self.classes

    def _columns(self, trailing: int) -> Array:
        values = [[getattr(pattern, name) for pattern in self.patterns] for name in PARAMETERS]
        return np.array(values, dtype=float).reshape(4, len(self.patterns), *[1] * trailing)

    def _mixture(self, times: Array) -> Mixture:
        return mix(self.firing(times), self._columns(times.ndim)[3], self.preferred)

    def _chain(self, by_firing: Array, by_generalization: Array, times: Array) -> Array:
        ceiling, speed, inflection, _ = self._columns(times.ndim)
        since = times - inflection
        share = sigmoid(_scaled(speed, since))
        slope = ceiling * share * (1 - share)
        by_parameter = (by_firing * share, by_firing * _scaled(since, slope), -by_firing * _scaled(speed, slope), by_generalization)
        return np.stack(by_parameter, axis=1)


def _times(t: npt.ArrayLike) -> Array:
    times = np.asarray(t, dtype=float)
    if not np.isfinite(times).all():
        raise FitError("a time is not a finite number; drop missing times before evaluating a pattern model")
    return times


def _scaled(a: Array, b: Array) -> Array:
    """a·b where a product beyond the range of floats may become infinite: a sigmoid of it is still exact."""
    with np.errstate(over="ignore"):
        return a * b


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(−z)) for every z, ±∞ included, without overflow."""
    small = np.exp(-np.abs(z))
    share: Array = np.where(z >= 0, 1.0, small) / (1 + small)
    return share


def mix(p: Array, g: Array, preferred: int | None = None) -> Mixture:
    """Accuracies without guessing, their derivatives and the usage, from firing probabilities.

    Args:
        p: firing probabilities in [0, 1], shape (n, ...), the patterns first.
        g: generalizations in [0, 1], of a shape that broadcasts to p's.
        preferred: position of the preferred pattern, counted from 0; None for the equal split.
    """
    n = len(p)
    misses = 1 - p
    # Products of all but one by running products from both ends: dividing the whole product by one factor fails where p_i = 1.
    before, after = np.ones_like(p), np.ones_like(p)
    for i in range(1, n):
        before[i] = before[i - 1] * misses[i - 1]
        after[n - 1 - i] = after[n - i] * misses[n - i]
    others_miss = before * after
    train = 1 - misses[0] * others_miss[0]
    if preferred is None:
        test, by_firing, usage = _share_equally(p, g)
        return Mixture(train, test, others_miss, by_firing, usage)
    rest = [i for i in range(n) if i != preferred]
    by_firing, usage = np.empty_like(p), np.empty_like(p)
    others, by_firing[rest], usage[rest] = _share_equally(p[rest], g[rest])
    by_firing[rest] *= misses[preferred]
    usage[rest] *= misses[preferred]
    usage[preferred] = p[preferred]
    by_firing[preferred] = g[preferred] - others
    test = g[preferred] * p[preferred] + misses[preferred] * others
    return Mixture(train, test, others_miss, by_firing, usage)


def _share_equally(p: Array, g: Array) -> tuple[Array, Array, Array]:
    """T = Σ g_i u_i, ∂T/∂p_i and u_i under the equal split.

    With Q = Π(1 − p_j s) and S = Σ g_i p_i / (1 − p_i s): T = ∫ Q S ds and ∂T/∂p_i = ∫ Q [g_i / (1 − p_i s)² − s S / (1 − p_i s)] ds.
    The nodes lie strictly inside (0, 1), so that no factor 1 − p_i s is ever 0.
    """
    test, by_firing, usage = np.zeros(p.shape[1:]), np.zeros_like(p), np.zeros_like(p)
    # One node also where no pattern is left beside a preferred one: every sum is then empty.
    nodes, weights = np.polynomial.legendre.leggauss(max(1, (len(p) + 1) // 2))
    for s, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        factors = 1 - p * s
        alone = weight * np.prod(factors, axis=0) / factors
        shares = p * alone
        at_node = np.sum(g * shares, axis=0)
        usage += shares
        test += at_node
        by_firing += (g * alone - s * at_node) / factors
    return test, by_firing, usage


PRESETS: Mapping[str, PatternModel] = {
    "double-descent": PatternModel(
        (Pattern(0.7, 0.15, 30, 1.0), Pattern(1.0, 0.15, 50, 0.0), Pattern(0.2, 0.05, 200, 1.0)), usage="preferred:3"
    ),
    "grokking": PatternModel((Pattern(0.0, 0.15, 30, 1.0), Pattern(1.0, 0.15, 50, 0.0), Pattern(1.0, 0.05, 200, 1.0)), usage="preferred:3"),
}


def preset(name: str) -> PatternModel:
    """One of the two toy models of the paper: `double-descent` or `grokking`, each with three patterns, the third preferred.

    Raises FitError on another name.
    """
    try:
        return PRESETS[name.replace("_", "-")]
    except KeyError:
        raise FitError(f"there is no preset {name!r}; expected one of {', '.join(PRESETS)}") from None


def change(model: PatternModel, settings: Mapping[str, float | str]) -> PatternModel:
    """A model with some values replaced.

    Args:
        settings: `<parameter>.<i>` (i from 1) to a number, as in {"ceiling.1": 0.5}; `usage` to a rule; `classes` to a number.

    Raises FitError on an unknown name or a value out of range.
    """
    patterns = list(model.patterns)
    usage, classes = model.rule, model.classes
    for name, value in settings.items():
        parameter, _, number = name.partition(".")
        if name == "usage":
            usage = str(value)
            continue
        known = parameter in PARAMETERS and number.isdecimal() and 1 <= int(number) <= len(patterns)
        if not known and name != "classes":
            raise FitError(
                f"there is no setting {name!r}; expected usage, classes or <parameter>.<i> with a parameter of "
                f"{', '.join(PARAMETERS)} and i from 1 to {len(patterns)}"
            )
        try:
            amount = float(value)
        except ValueError:
            raise FitError(f"{name} is set to {value!r}, expected a number") from None
        if name == "classes":
            classes = amount
        else:
            patterns[int(number) - 1] = replace(patterns[int(number) - 1], **{parameter: amount})
    return PatternModel(patterns, usage, classes)


def model_table(model: PatternModel, t: npt.ArrayLike) -> dict[str, Array]:
    """What a model does over time, column by column: t, p1 … pn (firing), u1 … un (usage), train_accuracy, test_accuracy.

    `t` is one-dimensional; every column has its length. The dict is what `pandas.DataFrame` takes.
    """
    times = np.atleast_1d(_times(t))
    firing, usage = model.firing(times), model.usage(times)
    columns = {"t": times}
    columns |= {f"p{i + 1}": row for i, row in enumerate(firing)}
    columns |= {f"u{i + 1}": row for i, row in enumerate(usage)}
    return columns | {"train_accuracy": model.train_accuracy(times), "test_accuracy": model.test_accuracy(times)}
