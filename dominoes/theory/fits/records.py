"""What is fitted and what comes of it: curves of one grid, a quantity with its interval, the fit of one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dominoes.theory.fits.least_squares import Array

#: Columns of the parameters of a curve: floor, ceiling, ln α, b, ln ν. On the linear axis x = step / last step.
FLOOR, CEILING, SPEED, PLACE, SHAPE = range(5)
#: So close to 0 and 1 a share is taken to be, where its logarithm is needed.
CERTAIN = 1e-9


@dataclass(frozen=True)
class CurveArrays:
    """R curves on one grid: steps (N,), values (R, N) with NaN where missing, number of examples (R, N) or None, and what they are.

    `floor` is the level before learning, None if it is to be fitted; `rising` is True for an accuracy, False for a loss.
    """

    steps: Array
    values: Array
    examples: Array | None
    floor: float | None
    rising: bool


@dataclass(frozen=True)
class Quantity:
    """An estimate and its standard error (NaN where there is none)."""

    value: float = math.nan
    error: float = math.nan


@dataclass(frozen=True)
class Single:
    """What one curve says. `level` is set, and the rest is not, where the curve is flat. Onset and speed are ln(onset), ln(speed)."""

    status: str
    learned: bool
    converged: bool
    level: float = math.nan
    parameters: Array = field(default_factory=lambda: np.full(5, math.nan))
    named: dict[str, Quantity] = field(default_factory=dict)
    floor: float = math.nan
    ceiling: Quantity = Quantity()
    log_speed: Quantity = Quantity()
    log_onset: Quantity = Quantity()
    freedom: float = math.nan
