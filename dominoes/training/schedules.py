"""Learning-rate schedules: a factor of the learning rate for each step of a run.

A schedule is a callable (step, steps, **schedule_args) that gives the factor for the step after `step` others, of `steps` in all. Every
schedule can be warmed up: then it begins after the warm-up and is told of the steps that are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dominoes import registry
from dominoes.errors import SpecError, brief
from dominoes.spec import TrainSpec

Schedule = Callable[..., float]


def constant(step: int, steps: int) -> float:
    """1 at every step."""
    return 1.0


def cosine(step: int, steps: int, floor: float = 0.0) -> float:
    """Half a cosine wave from 1 down to `floor` (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5, without restarts)."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * step / steps)) / 2


def triangular(step: int, steps: int, peak: float = 0.5, floor: float = 0.0) -> float:
    """Linear from `floor` up to 1, reached at the share `peak` of the steps, and linear down to `floor`."""
    done = step / steps
    rise = done / peak if done < peak else (1 - done) / (1 - peak)
    return floor + (1 - floor) * rise


def steps(step: int, steps: int, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> float:
    """1, times `factor` for each share of the steps in `at` that is over."""
    return math.prod(factor for share in at if step >= share * steps)


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "triangular": triangular, "steps": steps}


def factors(how: TrainSpec, count: int) -> Callable[[int], float]:
    """The factor of the learning rate for the step after so many others, in a run of `count` steps.

    In a warm-up of w steps it is (step + 1) / (w + 1).

    Raises RegistryError if the schedule cannot be had, SpecError if one of its first and last factors is no number of at least 0.
    """
    entry = registry.find("schedules", how.schedule)
    chosen = entry.load()
    registry.check_call(chosen, entry.said, ("step", "steps"), how.schedule_args)
    left = max(count - how.warmup, 1)

    def after(step: int) -> float:
        return chosen(step, left, **how.schedule_args)  # type: ignore[no-any-return]

    for step in (0, left - 1):
        try:
            found = after(step)
        except Exception as error:
            said = f"{type(error).__name__}: {brief(error)}"
            raise SpecError(f"schedule {how.schedule} with {dict(how.schedule_args)} fails at step {step} of {left} ({said})") from error
        if not isinstance(found, int | float) or not 0 <= found < math.inf:
            raise SpecError(f"schedule {how.schedule} gives {found!r} at step {step} of {left}; expected a factor of the rate, at least 0")

    def factor(step: int) -> float:
        return (step + 1) / (how.warmup + 1) if step < how.warmup else after(step - how.warmup)

    return factor
