"""What answers crossed picture by picture tell of luck: how it is taken off, and what is left to the pictures.

A cell is what the two halves of a picture are answered with alone; guesses undone, whether their patterns are silent or fire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dominoes.arrays import FloatArray
from dominoes.theory.luck import Pairing, covariance, paired_by_chance, pairing_error
from dominoes.theory.run_arrays import RunArrays, Slice

# Standard errors beyond which pictures are taken not to be paired at random.
_PAIRED = 4.0
# Shares of guesses that are larger are there, not rounding.
_LEAST = 1e-9


@dataclass(frozen=True)
class Chance:
    """What the pairing of the pictures of one probe came to, by which what is measured of it can be set right.

    Attributes:
        excess: (S, T) of `paired_by_chance`. crossed: (S, T, 2, 2, A) as `RunArrays.crossed`. K: classes.
    """

    excess: FloatArray
    crossed: FloatArray
    K: int

    @classmethod
    def of(cls, data: RunArrays, measured: Slice, probe: str) -> tuple[Chance | None, tuple[str, ...]]:
        """None where it is not known, or is more than chance allows (`_PAIRED`), which a note then says: the halves were not paired at
        random."""
        found, crossed = paired_by_chance(data, measured, probe), data.crossed(probe, measured)
        if found is None or crossed is None or not math.isfinite(measured.n):
            return None, ()
        # Guesses differ between runs and steps, silent halves agree at most as if pictures were learned in one order by all seeds.
        silent = data.classes_count / (data.classes_count - 1)
        top, bottom = (np.clip(silent * (1 - side).mean(axis=0), 0.0, 1.0) for side in measured.values[:2])
        weights = measured.weights * top * (1 - top) * bottom * (1 - bottom)
        most = _PAIRED * pairing_error(top, bottom, weights, measured.n) / silent**2
        if abs(float((found[0] @ weights).mean())) > most:
            name = "doubles" if probe == "both" else "conflicts"
            note = f"{name}: hard tops stand above hard bottoms more or less often than pairing at random allows, so that is not taken off"
            return None, (note,)
        return cls(found[0], crossed, data.classes_count), ()

    def share(self, event: FloatArray, weights: FloatArray) -> FloatArray:
        """(S, T) what pairing adds to the share of pictures with an event: its excess times the event's interaction, see `by_silence`.

        A control variate (Owen 2013, Monte Carlo theory, methods and examples, section 8.9): its mean is known, so that taking it off
        leaves what is estimated and removes the luck, of which some is common to all seeds and would not shrink with their number.
        """
        silent = self.K / (self.K - 1)
        each = interaction(by_silence(self.crossed, event, weights, self.K))
        return silent**2 * each * self.excess


def by_silence(crossed: FloatArray, event: FloatArray, weights: FloatArray, K: int) -> FloatArray:
    """(2, 2) P(event | the top's pattern is silent or fires, the bottom's too), guesses undone; 0 where there are none.

    Over seeds and steps together: at one of them hardly any picture may have both halves wrong. Arguments as in `luck_by_cell`.
    """
    back = undone(K)
    cells = np.einsum("t,fa,gb,stab->fg", weights, back, back, crossed.sum(axis=4))
    counted = np.einsum("t,fa,gb,stab->fg", weights, back, back, event)
    found: FloatArray = np.divide(counted, cells, out=np.zeros((2, 2)), where=cells > 0)
    return found


def interaction(share: FloatArray) -> float:
    """P(both silent) − P(one silent) − P(the other) + P(none): by how much an event is more frequent for each pair of silent halves."""
    return float(share[0, 0] - share[0, 1] - share[1, 0] + share[1, 1])


def luck_by_cell(
    crossed: FloatArray,
    event: FloatArray,
    slopes: tuple[FloatArray, FloatArray],
    weights: FloatArray,
    pairing: Pairing,
    guessed: float,
    *,
    gain: FloatArray | None = None,
    set_right: bool = False,
    predicted: float = 0.0,
    by_ends: tuple[FloatArray, FloatArray] | None = None,
    contested: bool = False,
) -> float:
    """Standard error, shared by all seeds, of Σ_t w_t (g_t · share of the event − what a rule predicts of it), whatever rule is true; 0
    with one seed or where the number of pictures is not known.

    A picture counts by whether the patterns of its halves are silent: v(T, B) = P(event | T, B) − slope_t T − slope_b B, guesses undone
    (`undone`). What the luck of the pictures does is then that of the tops, of the bottoms, and of their pairing, M_t² C_t + M_b² C_b +
    I² C_t C_b, with the main effects and the interaction of v as coefficients and the covariances C between runs (`covariance`). Under
    the product rule only the pairing is left; under another a sample of hard tops moves what is measured and what is predicted by
    different amounts. Where firing does not settle the answer more is added (`_unsettled`).

    Args:
        crossed: (S, T, 2, 2, A) shares of pictures, as `RunArrays.crossed`. event: (S, T, 2, 2) those of them that are counted.
        slopes: (T,) derivatives of the prediction by the error of the top, and of the bottom. weights: (T,).
        guessed: share of the event among guesses.
        gain: (T,) factors g of the share of the event; 1 where None.
        set_right: the luck of the pairing has been taken off (`Chance`), so that only that of the tops and of the bottoms is left.
        predicted: share of the event that the rule predicts where both patterns are silent, if it predicts of single pictures.
        by_ends: (T,) what the ends of the window add to the average by the silent tops, and by the silent bottoms (`Known.moved`).
        contested: the two halves show different classes (`_unsettled`).
    """
    if pairing.agreed is None or not math.isfinite(pairing.n):
        return 0.0
    share = by_silence(crossed, event, weights, pairing.K)
    by_event = weights if gain is None else gain * weights
    unsettled = float(by_event @ _unsettled(crossed, event, weights, pairing, guessed, contested) @ by_event) * guessed**2
    share[0, 0] -= predicted
    slopes = slopes[0] * weights, slopes[1] * weights
    return math.sqrt((_of_halves([(share, by_event)], slopes, pairing, set_right, by_ends) + unsettled) / pairing.n)


def luck_by_silence(share: FloatArray, weights: FloatArray, pairing: Pairing) -> float:
    """As `luck_by_cell`, of what a picture adds on average by whether the patterns of its halves are silent or fire, share (2, 2)."""
    if pairing.agreed is None or not math.isfinite(pairing.n):
        return 0.0
    none = np.zeros(len(weights))
    return math.sqrt(_of_halves([(share, weights)], (none, none), pairing, False, None) / pairing.n)


def luck_of_halves(
    crossed: FloatArray,
    events: Sequence[tuple[FloatArray, FloatArray]],
    slopes: tuple[FloatArray, FloatArray],
    weights: FloatArray,
    pairing: Pairing,
    by_ends: tuple[FloatArray, FloatArray],
) -> float:
    """As `luck_by_cell`, of several events at once, each with its factors at each step, and of the samples of tops and bottoms alone:
    neither of how they are paired, nor of what firing leaves open.

    events: (S, T, 2, 2) shares of pictures, and (T,) by how much the sum grows with each; slopes: (T,) each, of the sum.
    """
    if pairing.agreed is None or not math.isfinite(pairing.n):
        return 0.0
    each = [(by_silence(crossed, event, weights, pairing.K), factor) for event, factor in events]
    return math.sqrt(_of_halves(each, slopes, pairing, True, by_ends) / pairing.n)


def _of_halves(
    events: Sequence[tuple[FloatArray, FloatArray]],
    slopes: tuple[FloatArray, FloatArray],
    pairing: Pairing,
    set_right: bool,
    by_ends: tuple[FloatArray, FloatArray] | None,
) -> float:
    """Variance over pictures of what the tops, the bottoms and their pairing do (`luck_by_cell`) to a sum that grows with each event's
    share, (2, 2), by its factors, (T,); slopes being those of the sum."""
    silent, none = pairing.K / (pairing.K - 1), np.zeros(len(pairing.top))
    together = sum((interaction(share) * factor for share, factor in events), none)
    top = sum(((share[0, 1] - share[1, 1]) * factor for share, factor in events), together * silent * pairing.bottom - slopes[0] / silent)
    bottom = sum(((share[1, 0] - share[1, 1]) * factor for share, factor in events), together * silent * pairing.top - slopes[1] / silent)
    tops, bottoms = pairing.sides
    if by_ends is not None:
        top, bottom = top + by_ends[0], bottom + by_ends[1]
    found = float(top @ tops @ top + bottom @ bottoms @ bottom)
    if not set_right:
        found += float(together @ (tops * bottoms) @ together)
    return max(found, 0.0)


def _unsettled(
    crossed: FloatArray, event: FloatArray, weights: FloatArray, pairing: Pairing, guessed: float, contested: bool
) -> FloatArray:
    """(T, T) covariance over pictures, as far as runs share it, of being answered by a guess where firing alone does not say so.

    Under firing patterns the answer is a guess if both are silent, and only then; of noisy evidence that adds up it is one more or less
    often in each case, and which pictures these are the seeds agree on as they do on what is hard. Halves of one class add up, so that
    they are the pictures that are being learned: a share x of them at a time, so that two steps have them in common as far as less than x
    has been learned between. Halves of two classes (`contested`) may hold each other back however well both are learned, which shows in
    guesses where both fire; then a picture stays what it is for as long as the same halves are silent.

    The share of guesses of each cell is moved to 0 or 1 by two standard errors over seeds, so that what is within noise counts as settled.
    """
    assert pairing.agreed is not None
    K = pairing.K
    guesses = by_silence(crossed, event, weights, K) / guessed
    each = np.array([by_silence(crossed[[run]], event[[run]], weights, K) for run in range(len(crossed))])
    noise = 2 * each.std(axis=0, ddof=1) / math.sqrt(len(each)) / guessed
    sure = np.clip(np.where(guesses < 0.5, np.maximum(guesses - noise, 0.0), np.minimum(guesses + noise, 1.0)), 0.0, 1.0)
    cells = np.clip(np.einsum("fa,gb,stab->tfg", undone(K), undone(K), crossed.sum(axis=4)) / len(crossed), 0.0, 1.0)
    alike = np.diagonal(covariance(sure.ravel(), pairing.agreed)).reshape(2, 2)
    if contested and sure[1, 1] > _LEAST:
        return np.asarray((np.minimum(cells[:, None], cells) * alike).sum(axis=(2, 3)))
    at_once = (cells * np.minimum(sure, 1 - sure)).sum(axis=(1, 2))
    size = np.sqrt((cells * alike).sum(axis=(1, 2)))
    between = sum(np.abs(np.subtract.outer(side, side)) for side in (pairing.top, pairing.bottom))
    common = 1 - between / np.maximum(np.maximum.outer(at_once, at_once), 1e-12)
    return np.asarray(np.outer(size, size) * np.maximum(common, 0.0))


def undone(K: int) -> FloatArray:
    """(2, 2): from the shares of a side that are wrong and right alone those that are silent and fire, guesses among K classes undone.

    silent = K/(K−1) · wrong, fires = right − wrong/(K−1).
    """
    return np.array([[K / (K - 1), 0.0], [-1 / (K - 1), 1.0]])


def slopes_of(
    predict: Callable[[FloatArray, FloatArray], FloatArray], top: FloatArray, bottom: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(T,), (T,): derivatives of a prediction by the error of the top and of the bottom."""
    move = 1e-3
    here = predict(top, bottom)
    return (predict(top + move, bottom) - here) / move, (predict(top, bottom + move) - here) / move
