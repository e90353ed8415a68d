"""Three windows of training, by how far the pair of sides has risen: a single average over log time gives half of its weight to steps at
which hardly anything is learned."""

from __future__ import annotations

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.intervals import BoolArray

WINDOWS = ("early", "rise", "late")
# Mean rise of the pair below which a step is early, and above which it is late.
_EARLY, _LATE = 0.2, 0.8
# Rise at which each of the windows begins and ends; None: at the ends of training.
ENDS: dict[str, tuple[float | None, float | None]] = {"early": (None, _EARLY), "rise": (_EARLY, _LATE), "late": (_LATE, None)}
_FEWEST = 2


# A curve whose highest value lies no further above chance than this, as a share of what lies above chance, is never learned.
_LEARNED = 0.05


def risen(accuracy: FloatArray, chance: float) -> FloatArray | None:
    """(T,) how far a curve has come from chance to its highest value, from 0 to 1 and never falling; None where it is never learned."""
    rise, learned = _risen(accuracy, chance)
    return rise if learned.all() else None


def pair_risen(top: FloatArray, bottom: FloatArray, chance: float) -> FloatArray:
    """(..., T) mean rise of two curves (..., T), of those of them that are learned; 0 where neither is."""
    of_top, of_bottom = _risen(top, chance), _risen(bottom, chance)
    return np.asarray((of_top[0] + of_bottom[0]) / np.maximum(of_top[1].astype(float) + of_bottom[1], 1.0))


def _risen(accuracy: FloatArray, chance: float) -> tuple[FloatArray, BoolArray]:
    """(..., T) -> rise (..., T), 0 where it is never learned; (..., 1) whether it is."""
    above = np.maximum.accumulate(accuracy - chance, axis=-1)
    learned = above[..., -1:] > _LEARNED * (1 - chance)
    rise = np.clip(above / np.where(learned, above[..., -1:], 1.0), 0.0, 1.0)
    return np.where(learned, rise, 0.0), learned


def windows(steps: FloatArray, top: FloatArray, bottom: FloatArray, chance: float) -> dict[str, BoolArray]:
    """The steps of each of WINDOWS, (T,) each: early below 20 % of the mean rise of the pair, rise from 20 to 80 %, late above 80 %.

    top, bottom: (T,) one-sided accuracies, means over seeds. Of a side that is never learned the rise is not counted; where neither is,
    all steps are early. Step 0 is in no window, since it has no length in log time.
    """
    mean = pair_risen(top, bottom, chance)
    started = steps > 0
    early, late = started & (mean < _EARLY), started & (mean > _LATE)
    return {"early": early, "rise": started & ~early & ~late, "late": late}


def shared(used: BoolArray, weights: FloatArray) -> FloatArray | None:
    """(T,) the shares of log time of the steps that are used, sum 1; None where they are fewer than two."""
    chosen = used & (weights > 0)
    return np.asarray(np.where(chosen, weights, 0.0) / weights[chosen].sum()) if chosen.sum() >= _FEWEST else None


def onset(steps: FloatArray, accuracy: FloatArray, chance: float) -> float:
    """The step at which a curve passes half of its rise, linear in log time between measured steps; NaN where it is never learned, and the
    first measured step where it has passed it there (`is_early`)."""
    rise = risen(accuracy, chance)
    started = steps > 0
    if rise is None or not started.any():
        return float("nan")
    rise, at = rise[started], np.log(steps[started])
    place = int((rise >= 0.5).argmax())
    if place == 0:
        return float(np.exp(at[0]))
    share = (0.5 - rise[place - 1]) / (rise[place] - rise[place - 1])
    return float(np.exp(at[place - 1] + share * (at[place] - at[place - 1])))


def is_early(steps: FloatArray, accuracy: FloatArray, chance: float) -> bool:
    """Whether a curve has passed half of its rise at the first step after 0, so that its onset is at most that."""
    rise, started = risen(accuracy, chance), steps > 0
    return rise is not None and bool(started.any()) and bool(rise[started][0] >= 0.5)
