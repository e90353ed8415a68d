"""Shapes of one learning curve: value(t) = floor + (ceiling − floor) F(z; ν), where F rises from 0 to 1 and z = α (x − b).

x is the step or ln(step). The pattern-learning model (Davies, Langosco and Krueger 2023, arXiv 2303.06173) says logistic in t; the
others are rivals. Every family carries its derivatives, and its half point in closed form: the onset is where F = 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dominoes import registry
from dominoes.errors import FitError
from dominoes.theory.fits.least_squares import Array
from dominoes.theory.pattern_model import sigmoid

#: (z, ln ν) -> F, ∂F/∂z, ∂F/∂ln ν
Rise = Callable[[Array, Array], tuple[Array, Array, Array]]

# exp(exp(±z)) stays within floats up to here, and F has long been 0 or 1.
_FAR = 300.0


@dataclass(frozen=True)
class Family:
    """A shape.

    Args:
        axis: what x is, `linear` (the step) or `log` (ln step; F = 0 at step 0).
        time: the unit in which `speed` is reported: `linear` per step, `log` per unit of ln(step).
        rated: whether α is fitted; else it is 1.
        shape: bounds of ln ν where there is a shape parameter.
        names: what α, b and ν are called in the family's own formula; for those on the log axis b is reported as the step exp(b).
        rise: F and its derivatives.
        inverse: (share, ln ν) -> z with F(z) = share.
    """

    axis: str
    time: str
    rated: bool
    shape: tuple[float, float] | None
    names: tuple[str, str, str]
    rise: Rise
    inverse: Callable[[float, float], float]


def _logistic(z: Array, _: Array) -> tuple[Array, Array, Array]:
    share = sigmoid(z)
    return share, share * (1 - share), np.zeros(1)


def _gompertz(z: Array, _: Array) -> tuple[Array, Array, Array]:
    left = np.exp(-np.clip(z, -_FAR, _FAR))
    share = np.exp(-left)
    return share, share * left, np.zeros(1)


def _weibull(z: Array, _: Array) -> tuple[Array, Array, Array]:
    hazard = np.exp(np.clip(z, -_FAR, _FAR))
    left = np.exp(-hazard)
    return 1 - left, hazard * left, np.zeros(1)


def _power(z: Array, log_shape: Array) -> tuple[Array, Array, Array]:
    exponent = np.exp(log_shape)
    far = np.clip(z, -_FAR, _FAR)
    log_base = np.logaddexp(0, far)
    left = np.exp(-exponent * log_base)
    return 1 - left, exponent * left * sigmoid(far), exponent * log_base * left


def _richards(z: Array, log_shape: Array) -> tuple[Array, Array, Array]:
    shape = np.exp(log_shape)
    decay = np.exp(-np.clip(z, -_FAR, _FAR))
    log_base = np.log1p(shape * decay)
    share = np.exp(-log_base / shape)
    slope = share * decay / (1 + shape * decay)
    return share, slope, share * log_base / shape - slope


FAMILIES: dict[str, Family] = {
    "logistic": Family("linear", "linear", True, None, ("speed", "inflection", ""), _logistic, lambda q, _: math.log(q / (1 - q))),
    "logistic-log": Family("log", "log", True, None, ("speed", "inflection", ""), _logistic, lambda q, _: math.log(q / (1 - q))),
    "gompertz": Family("linear", "linear", True, None, ("speed", "inflection", ""), _gompertz, lambda q, _: -math.log(-math.log(q))),
    "weibull": Family("log", "log", True, None, ("exponent", "scale", ""), _weibull, lambda q, _: math.log(-math.log1p(-q))),
    "exponential": Family("log", "linear", False, None, ("", "scale", ""), _weibull, lambda q, _: math.log(-math.log1p(-q))),
    "power": Family(
        "log",
        "linear",
        False,
        (math.log(0.05), math.log(50)),
        ("", "scale", "exponent"),
        _power,
        lambda q, k: math.log(math.expm1(-math.log1p(-q) * math.exp(-k))),
    ),
    "richards": Family(
        "linear",
        "linear",
        True,
        (math.log(0.01), math.log(20)),
        ("speed", "inflection", "asymmetry"),
        _richards,
        lambda q, k: k - math.log(math.expm1(-math.log(q) * math.exp(k))),
    ),
}

BASELINES = ("isotonic", "last")


def half_points(family: Family, log_shapes: Array) -> tuple[Array, Array]:
    """z of the half point, F(z) = 1/2, for each ln ν (R,), and ln of four times the slope there (0 for the logistic)."""
    known = log_shapes if family.shape is not None else log_shapes[:1]
    z = np.array([family.inverse(0.5, float(log_shape)) for log_shape in known])
    _, slope, _ = family.rise(z, known)
    return np.broadcast_to(z, log_shapes.shape), np.broadcast_to(np.log(4 * slope), log_shapes.shape)


def is_brought_family(name: str) -> bool:
    """Whether the name is one of the registry's that is not built in; nothing is loaded."""
    return registry.is_reference(name) or name in {entry.name for entry in registry.installed("families")}


def find_family(name: str) -> Family:
    """The family of this name: built in, an installed entry point's, or `module:attr` (a `Family`).

    Raises RegistryError if there is none, FitError if it is no Family.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    found = registry.find("families", name).load()
    if not isinstance(found, Family):
        raise FitError(f"family {name} is {type(found).__name__}; expected a Family")
    return found
