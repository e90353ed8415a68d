"""Answers crossed picture by picture: each double and each conflict of the probes with its own two pictures shown alone.

Averages cannot tell whether the doubles that are answered wrongly are those of which neither picture alone is known; these counts can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dominoes.arrays import WholeArray
from dominoes.data.dealing import Deal
from dominoes.spec import SIDES
from dominoes.tables import JOINT_ANSWERS


@dataclass(frozen=True)
class _Crossing:
    """The dominoes of one probe. Rows and places count all probes' dominoes in order, then the pictures that no probe shows alone."""

    probe: str
    rows: slice
    shown: Mapping[str, WholeArray]
    alone: Mapping[str, WholeArray]


@dataclass(frozen=True)
class Crossings:
    """What is crossed, and one-sided dominoes of the pictures that no probe shows alone (`missing`), which must be answered too."""

    crossed: tuple[_Crossing, ...]
    missing: Deal

    def counts(self, answers: WholeArray) -> Iterator[tuple[str, int, int, str, int]]:
        """Rows of `tables.JOINT` from the probe on, without empty cells.

        Args:
            answers: classes answered to the probes' dominoes, in their order, then to `missing`.
        """
        for each in self.crossed:
            answer = answers[each.rows]
            alone = {side: answers[each.alone[side]] == each.shown[side] for side in SIDES}
            names = JOINT_ANSWERS[each.probe]
            if each.probe == "both":
                given = np.where(answer == each.shown["top"], 0, 1)
            else:
                given = np.where(answer == each.shown["top"], 0, np.where(answer == each.shown["bottom"], 1, 2))
            cells = np.bincount((2 * alone["top"] + alone["bottom"]) * len(names) + given, minlength=4 * len(names))
            for cell in np.flatnonzero(cells):
                both_alone, which = divmod(int(cell), len(names))
                yield each.probe, both_alone // 2, both_alone % 2, names[which], int(cells[cell])


def crossings(probes: Mapping[str, Deal], joined: Deal) -> Crossings:
    """How the dominoes of the probes `both` and `conflict` are crossed with those of `top` and `bottom`.

    Args:
        probes: by kind; without `both` and `conflict` nothing is crossed.
        joined: the rows of all probes, one after the other.
    """
    starts = dict(zip(probes, np.cumsum([0, *map(len, probes.values())]).tolist(), strict=False))
    wanted = [kind for kind in JOINT_ANSWERS if kind in probes]
    places: dict[str, WholeArray] = {}
    missing: dict[str, WholeArray] = {}
    next_place = len(joined)
    for side in SIDES:
        # By number of a picture: where it is shown alone.
        places[side] = np.full(int(joined.index[side].max(initial=0)) + 1, -1, dtype=np.int64)
        if side in probes:
            places[side][probes[side].index[side]] = np.arange(starts[side], starts[side] + len(probes[side]))
        needed = np.unique(np.concatenate([probes[kind].index[side] for kind in wanted])) if wanted else np.zeros(0, np.int64)
        missing[side] = needed[places[side][needed] < 0]
        places[side][missing[side]] = np.arange(next_place, next_place + len(missing[side]))
        next_place += len(missing[side])
    crossed = tuple(
        _Crossing(
            kind,
            slice(starts[kind], starts[kind] + len(probes[kind])),
            probes[kind].shown,
            {side: places[side][probes[kind].index[side]] for side in SIDES},
        )
        for kind in wanted
    )
    return Crossings(crossed, _alone(missing, joined))


def _alone(missing: Mapping[str, WholeArray], joined: Deal) -> Deal:
    """One-sided dominoes of pictures by number, the top ones first."""
    shown = {}
    for side in SIDES:
        classes = np.full(int(joined.index[side].max(initial=0)) + 1, -1, dtype=np.int64)
        known = joined.index[side] >= 0
        classes[joined.index[side][known]] = joined.shown[side][known]
        shown[side] = classes[missing[side]]
    blank = {side: np.full(len(missing[side]), -1, dtype=np.int64) for side in SIDES}
    return Deal(
        np.concatenate([shown["top"], shown["bottom"]]),
        {"top": np.concatenate([missing["top"], blank["bottom"]]), "bottom": np.concatenate([blank["top"], missing["bottom"]])},
        {"top": np.concatenate([shown["top"], blank["bottom"]]), "bottom": np.concatenate([blank["top"], shown["bottom"]])},
    )
