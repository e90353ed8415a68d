"""Independence picture by picture: doubles and conflicts against what the network answers to their own two halves alone.

Averages are compared on pictures that are paired by chance, and hard tops may happen to stand above hard bottoms; here each double is
compared with its own halves, so nothing is left to chance but guesses. If a pattern fires on the halves that it fires on alone, a half
that is answered wrongly alone did not fire; one that is answered rightly fired, or was guessed with probability 1/K. So the four cells of
the two answers tell how often both, one, or neither fires, whether or not they do so independently (`firing`).
"""

from __future__ import annotations

import math

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.cells import by_silence, luck_by_cell, luck_by_silence, undone
from dominoes.theory.intervals import number
from dominoes.theory.known import Known, known_windows
from dominoes.theory.luck import Pairing, agreed, count_error
from dominoes.theory.rules import floored
from dominoes.theory.run_arrays import RunArrays
from dominoes.theory.verdicts import Answer, Options, Verdict, gathered

_QUESTION = "pictures"
# Cells of fewer pictures than these, over all seeds and steps of a window, are not judged alone.
_FEWEST = 20


def pictures(data: RunArrays, options: Options) -> Answer:
    """Doubles and conflicts predicted from the answers to their own halves, window by window (columns of joint.csv)."""
    if not data.joint:
        return options.unanswered(_QUESTION, "there is no table of joint answers (joint.csv); runs write one", len(data.runs))
    return gathered(_of_probe(data, options, probe) for probe in ("both", "conflict"))


def firing(crossed: FloatArray, K: int) -> FloatArray:
    """Share of pictures on which the top's pattern fires or not, and the bottom's: (S, T, 2, 2, A) -> (S, T, 2, 2), silent before firing.

    On each axis the guesses are undone (`cells.undone`).
    """
    return np.asarray(np.einsum("fa,gb,stab->stfg", undone(K), undone(K), crossed.sum(axis=4)))


def _of_probe(data: RunArrays, options: Options, probe: str) -> Answer:
    measured = data.common([("accuracy", "top"), ("accuracy", "bottom")])
    if isinstance(measured, str):
        return options.unanswered(_QUESTION, measured, len(data.runs), model=probe)
    crossed = data.crossed(probe, measured)
    if crossed is None:
        reason = f"the answers to {'doubles' if probe == 'both' else 'conflicts'} are not crossed at every step of every run"
        return options.unanswered(_QUESTION, reason, measured.n_seeds, model=probe)
    K = data.classes_count
    fires = firing(crossed, K)
    neither = np.maximum(fires[..., 0, 0], 0.0)
    rows: list[Verdict] = []
    top, bottom = ((1 - side).mean(axis=0) for side in measured.values)
    pairing = Pairing(top, bottom, measured.n, K, options.level, agreed(data, measured))
    for part in known_windows(measured, K, options.margins.known):
        if not isinstance(part, Known):
            continue
        if probe == "both":
            wrong = crossed[..., 1].sum(axis=(2, 3))
            rows.append(_ratio(options, "doubles", wrong, (K - 1) / K * neither, part, crossed, pairing))
            rows += [_only_one(options, crossed, fires, side, part, pairing) for side in ("top", "bottom")]
            continue
        if K > 2:
            answered = crossed[..., 2].sum(axis=(2, 3))
            rows.append(_ratio(options, "conflicts", answered, (K - 2) / K * neither, part, crossed, pairing))
        rows.append(_both_right(options, crossed, fires, part, measured.n, K))
    if not rows:
        return options.unanswered(_QUESTION, "the two patterns are hardly known together", measured.n_seeds, model=probe)
    return Answer(tuple(rows), (), measured.notes)


def _ratio(
    options: Options, what: str, seen: FloatArray, predicted: FloatArray, part: Known, crossed: FloatArray, pairing: Pairing
) -> Verdict:
    """The product rule on the very pictures: error on doubles, or share of conflicts answered with neither class."""
    n, K = pairing.n, pairing.K
    above, below = floored(part.of_seeds(seen), n), floored(part.of_seeds(predicted), n)
    level = float(above[:, 0].mean())
    share, answer = ((K - 1) / K, 1) if what == "doubles" else ((K - 2) / K, 2)
    expected, none = level / float(below[:, 0].mean()) * share, np.zeros(len(part.weights))
    pictures = luck_by_cell(
        crossed, crossed[..., answer], (none, none), part.weights, pairing, share, predicted=expected, contested=what == "conflicts"
    )
    interval = options.spread(len(seen)).log_ratio(above, below, math.hypot(pictures, count_error(level, n)) / level).exp()
    quantity = "error" if what == "doubles" else "share of answers that are neither class"
    return options.judge(
        _QUESTION, f"the product rule for {what}, picture by picture", f"measured / predicted {quantity}", interval,
        options.margins.factor(), len(seen), model=f"product, {what}", window=part.window, expected=1.0, n=n,
    )  # fmt: skip


def _only_one(options: Options, crossed: FloatArray, fires: FloatArray, side: str, part: Known, pairing: Pairing) -> Verdict:
    """Doubles of which one half alone is answered rightly, and the other wrongly: independence says that one is enough."""
    n, K, cell = pairing.n, pairing.K, (1, 0) if side == "top" else (0, 1)
    seen = crossed[..., *cell, :]
    count, right = part.of_seeds(seen.sum(axis=2)), part.of_seeds(seen[..., 0])
    # Where the half that was right alone was a guess, 1/K of the pictures on which neither fires, the double is a guess too.
    guessed = fires[..., 0, 0] * (K - 1) / K**2
    expected = part.of_seeds(seen.sum(axis=2) - guessed * (K - 1) / K)
    pictures_there = float(count[:, 0].mean()) * n * len(count)
    claim = f"doubles of which only the {side} is answered rightly alone are as often right as independence says"
    if not pictures_there > _FEWEST or not (count > 0).all():
        nothing = options.unanswered(
            _QUESTION, f"hardly any double has only its {side} answered rightly alone", len(count), side=side, window=part.window
        )
        return nothing.verdicts[0]
    spread = options.spread(len(count))
    share, of = (spread.means(each) / spread.means(count) for each in (right, expected))
    luck = luck_by_silence(_adds(crossed, side, float(share[0] - of[0]), part, K), part.weights, pairing)
    interval = spread.jackknife(share - of, luck / float(count[:, 0].mean()))
    margin = options.margins.learned
    return options.judge(
        _QUESTION, claim, "share right, measured − predicted", interval, (-margin, margin), len(count),
        also=f"{number(float(share[0]))} are right, {number(float(of[0]))} predicted",
        side=side, model="only one right", window=part.window, expected=0.0, n=n,
    )  # fmt: skip


def _adds(crossed: FloatArray, side: str, off: float, part: Known, K: int) -> FloatArray:
    """(2, 2) what a picture adds to the difference of `_only_one`, times the share of pictures in the cell, to first order, by whether its
    patterns are silent or fire: nothing under the product rule.

    Where the pattern of the side fires and the other is silent, (K − 1)/K of the pictures are in the cell; where neither fires 1/K of
    these, and that share of wrong guesses is expected. off: the difference itself.
    """
    right = by_silence(crossed, crossed[..., 0], part.weights, K)
    adds, lone = np.zeros((2, 2)), (1, 0) if side == "top" else (0, 1)
    adds[lone] = (K - 1) / K * (right[lone] - 1 - off)
    adds[0, 0] = (K - 1) / K**2 * (right[0, 0] - 1 - off) + (K - 1) ** 2 / K**3
    return adds


def _both_right(options: Options, crossed: FloatArray, fires: FloatArray, part: Known, n: float, K: int) -> Verdict:
    """λ of conflicts whose halves are both answered rightly alone: who answers where both fire, guesses taken off."""
    top = crossed[..., 1, 1, 0]
    excess = part.of_seeds(top - fires[..., 1, 0] / K - fires[..., 0, 0] / K**3)
    both = part.of_seeds(fires[..., 1, 1])
    if not (both > 0).all():
        nothing = options.unanswered(_QUESTION, "hardly any conflict has both halves answered rightly alone", len(both), window=part.window)
        return nothing.verdicts[0]
    spread = options.spread(len(both))
    interval = spread.jackknife(spread.means(excess) / spread.means(both))
    margin = options.margins.preference
    return options.judge(
        _QUESTION, "conflicts of which both halves are answered rightly alone go to either side alike", "share of the top where both fire",
        interval, (0.5 - margin, 0.5 + margin), len(both), model="both right", window=part.window, expected=0.5, n=n,
    )  # fmt: skip
