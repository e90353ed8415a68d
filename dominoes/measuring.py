"""The only scorer: a network's loss, accuracy and answers on dominoes of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes import curves
from dominoes.dataset import Dominoes, Resident
from dominoes.deal import Deal
from dominoes.spec import KINDS, SIDES, RunSpec, stream

# Small enough for the activations to stay in memory that the allocator keeps; larger batches are slower on a CPU.
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class _Group:
    """Dominoes that are measured as one: a kind of the train or test split."""

    split: str
    kind: str
    label: NDArray[np.int64]
    shown: Mapping[str, NDArray[np.int64]]


class Meter:
    """Measures a network on the probes and on a fixed sample of the training dominoes of each kind."""

    def __init__(self, spec: RunSpec, resident: Resident, table: Deal, probes: Mapping[str, Dominoes], *, channels_last: bool):
        self._spec, self._channels_last = spec, channels_last
        self._classes = len(next(iter(probes.values())).classes)
        self._curves: list[tuple[Any, ...]] = []
        self._by_class: list[tuple[Any, ...]] = []
        self._answers: list[tuple[_Group, NDArray[np.int64]]] = []
        # For each split: where its pictures are, its distinct dominoes, and the groups as runs of numbers of distinct dominoes.
        self._parts = [
            (resident, *_distinct(table, rows), groups) for rows, groups in [_sample(table, spec.train.probe, spec.train.probe_seed)]
        ]
        joined = _join([probe.deal for probe in probes.values()])
        test = Resident(joined, next(iter(probes.values())).sources, resident.device)
        groups = [_Group("test", kind, probe.deal.label, probe.deal.shown) for kind, probe in probes.items()]
        self._parts.append((test, *_distinct(joined, np.arange(len(joined))), groups))

    def measure(self, network: nn.Module, step: int, epoch: float, samples: int) -> bool:
        """Add a row for each group and return True; or, if a loss is not finite, add none and return False."""
        curve_rows: list[tuple[Any, ...]] = []
        class_rows: list[tuple[Any, ...]] = []
        answers: list[tuple[_Group, NDArray[np.int64]]] = []
        head = (self._spec.id, self._spec.seed, step, epoch, samples)
        for resident, rows, inverse, groups in self._parts:
            logits = _logits(network, resident, rows, channels_last=self._channels_last)[inverse]
            start = 0
            for group in groups:
                mine = logits[start : start + len(group.label)]
                start += len(group.label)
                loss = -torch.log_softmax(mine, 1).gather(1, torch.from_numpy(group.label)[:, None])[:, 0].numpy()
                answer = mine.argmax(1).numpy()
                correct = answer == group.label
                agree = [float(np.mean(answer == group.shown[side])) if group.shown[side][0] >= 0 else np.nan for side in SIDES]
                curve_rows.append((*head, group.split, group.kind, len(loss), float(loss.mean()), float(correct.mean()), *agree))
                if group.split == "test":
                    answers.append((group, answer))
                    class_rows += _class_rows((self._spec.id, step, group.kind), group.label, loss, correct, self._classes)
        if not all(np.isfinite(row[8]) for row in curve_rows):
            return False
        self._curves += curve_rows
        self._by_class += class_rows
        self._answers = answers
        return True

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables of `curves.csv` (ordered by split and kind, then step) and `classes.csv`."""
        found = pd.DataFrame(self._curves, columns=list(curves.CURVES))
        classes = pd.DataFrame(self._by_class, columns=list(curves.CLASSES))
        return found, classes

    def confusion(self) -> NDArray[np.int64]:
        """What the probes were answered with when they were last measured: counts, (K + 1) × (K + 1) × K, by the class shown on the top
        half, the class shown on the bottom half (K where it is blank) and the class answered."""
        K = self._classes
        counts = np.zeros((K + 1, K + 1, K), dtype=np.int64)
        for group, answer in self._answers:
            top, bottom = (np.where(group.shown[side] < 0, K, group.shown[side]) for side in SIDES)
            np.add.at(counts, (top, bottom, answer), 1)
        return counts


def _class_rows(
    head: tuple[Any, ...], label: NDArray[np.int64], loss: NDArray[np.float64], correct: NDArray[np.bool_], classes: int
) -> Iterator[tuple[Any, ...]]:
    counts = np.bincount(label, minlength=classes)
    losses, right = np.bincount(label, loss, classes), np.bincount(label, correct, classes)
    for number in np.flatnonzero(counts):
        yield (*head, int(number), int(counts[number]), losses[number] / counts[number], right[number] / counts[number])


def _sample(table: Deal, most: int, seed: int) -> tuple[NDArray[np.int64], list[_Group]]:
    """At most `most` training dominoes of each kind, fixed by the probe seed."""
    found, groups = [], []
    for kind in KINDS:
        rows = table.of_kind(kind)
        if len(rows):
            rng = np.random.Generator(np.random.PCG64(stream(seed, "sample", kind)))
            rows = np.sort(rng.permutation(rows)[:most])
            found.append(rows)
            groups.append(_Group("train", kind, table.label[rows], {side: table.shown[side][rows] for side in SIDES}))
    return np.concatenate(found), groups


def _join(tables: list[Deal]) -> Deal:
    return Deal(
        np.concatenate([table.label for table in tables]),
        {side: np.concatenate([table.index[side] for table in tables]) for side in SIDES},
        {side: np.concatenate([table.shown[side] for table in tables]) for side in SIDES},
    )


def _distinct(table: Deal, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
    """Of some rows those that differ in pictures (empty dominoes are all alike), and for each row its number among them."""
    pairs = np.stack([table.index[side][rows] for side in SIDES], axis=1)
    _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    return rows[first], torch.from_numpy(inverse.ravel())


@torch.inference_mode()
def _logits(network: nn.Module, resident: Resident, rows: NDArray[np.int64], *, channels_last: bool) -> Tensor:
    """Answers of the network in evaluation mode, rows × classes, float64 on the CPU."""
    network.eval()
    parts = torch.split(torch.from_numpy(rows).to(resident.device), _EVALUATION_BATCH)
    answers = [network(resident.compose(part, channels_last=channels_last)) for part in parts]
    return torch.cat(answers).cpu().double()
