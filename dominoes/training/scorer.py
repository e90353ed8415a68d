"""The only scorer: a network's loss, accuracy and answers on dominoes of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes import tables
from dominoes.data import measuring
from dominoes.data import resident as residents
from dominoes.data.dealing import Deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import Resident
from dominoes.spec import KINDS, SIDES, RunSpec, TrainSpec, stream
from dominoes.training import halves
from dominoes.training.crossed import crossings
from dominoes.training.further import further, logit_margins
from dominoes.training.halves import ByHalves, Halves
from dominoes.training.models import Network, chosen, folded

# What lies between layers should stay near a processor's cache, but a weight matrix should be read for many pictures. A GPU has nothing
# to do in small batches.
_EVALUATION_BATCH = 128
_CUDA_BATCH = 1000


@dataclass(frozen=True)
class _Group:
    """Dominoes that are measured as one: a kind of the train or test split."""

    split: str
    kind: str
    label: NDArray[np.int64]
    shown: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class _Part:
    """What is measured of one split.

    Attributes:
        resident: where its pictures are.
        rows: its distinct dominoes (empty ones are all alike), on the device.
        inverse: for each domino of the groups, one after the other, its number among them.
        groups: which of them are scored as one.
        label: of the dominoes of all groups; None without any.
        halves: of the distinct dominoes, where the network is asked by halves.
    """

    resident: Resident
    rows: Tensor
    inverse: Tensor
    groups: list[_Group]
    label: NDArray[np.int64] | None
    halves: Halves | None


class Scorer:
    """Measures a network on the probes and on a fixed sample of the training dominoes of each kind."""

    def __init__(self, spec: RunSpec, resident: Resident, table: Deal, probes: Mapping[str, Dominoes], record: Network):
        """
        Args:
            spec: of the run.
            resident: its dominoes, on the device.
            table: their rows.
            probes: by kind.
            record: of the network, which says how it may be measured.
        """
        self._run, self._seed, self._record = spec.id, spec.seed, record
        self._classes = len(next(iter(probes.values())).classes)
        self._curves: list[tuple[Any, ...]] = []
        self._by_class: list[tuple[Any, ...]] = []
        self._answers: list[tuple[_Group, NDArray[np.int64]]] = []
        any_probe = next(iter(probes.values()))

        def part(table: Deal, rows: NDArray[np.int64], where: Resident, groups: list[_Group]) -> _Part:
            first, inverse = _distinct(table, rows)
            label = np.concatenate([group.label for group in groups]) if groups else None
            known = Halves.of(table, first, where.device, swap=any_probe.swap) if record.halves else None
            return _Part(where, torch.from_numpy(first).to(where.device), torch.from_numpy(inverse), groups, label, known)

        rows, groups = _sample(table, measuring.train_sample(spec.train, len(table)), spec.train.probe_seed)
        self._parts = [part(table, rows, resident, groups)]
        joined = _join([probe.deal for probe in probes.values()])
        test = residents.resident(joined, any_probe.sources, resident.device, swap=any_probe.swap, scale=spec.train.input)
        groups = [_Group("test", kind, probe.deal.label, probe.deal.shown) for kind, probe in probes.items()]
        self._parts.append(part(joined, np.arange(len(joined)), test, groups))
        self._crossings = crossings({kind: probe.deal for kind, probe in probes.items()}, joined)
        self._joint: list[tuple[Any, ...]] = []
        self._measures: list[tuple[Any, ...]] = []
        alone = self._crossings.missing
        if len(alone):
            # Measured apart, in batches of their own: what is measured for the curves keeps its last digits.
            shown = residents.resident(alone, any_probe.sources, resident.device, swap=any_probe.swap, scale=spec.train.input)
            self._parts.append(part(alone, np.arange(len(alone)), shown, []))

    def measure(self, network: nn.Module, step: int, epoch: float, samples: int) -> bool:
        """Add a row for each group and return True; or, if a loss is not finite, add none and return False."""
        return self.score([answers.cpu() for answers in self.answers(network)], step, epoch, samples)

    def answers(self, network: nn.Module) -> list[Tensor]:
        """What the network answers to all that is measured: for each split its distinct dominoes × classes, on the network's device."""
        return [self._ask(network, part) for part in self._parts]

    def train_answers(self, network: nn.Module) -> Tensor:
        """The same, of the training dominoes alone."""
        return self._ask(network, self._parts[0])

    def train_losses(self, answers: Tensor) -> dict[str, float]:
        """Mean cross-entropy of the sample of each kind in training, of `train_answers` that have come to the CPU."""
        part = self._parts[0]
        found, start = {}, 0
        for group in part.groups:
            mine = answers.double()[part.inverse[start : start + len(group.label)]]
            start += len(group.label)
            found[group.kind] = float(nn.functional.cross_entropy(mine, torch.from_numpy(group.label)))
        return found

    def _ask(self, network: nn.Module, part: _Part) -> Tensor:
        return _logits(network, part.resident, part.rows, self._record, part.halves)

    def score(self, answers: list[Tensor], step: int, epoch: float, samples: int) -> bool:
        """What `measure` does, of `answers` that have come to the CPU."""
        curve_rows: list[tuple[Any, ...]] = []
        class_rows: list[tuple[Any, ...]] = []
        given: list[tuple[_Group, NDArray[np.int64]]] = []
        measured: list[tuple[Any, ...]] = []
        answered: list[NDArray[np.int64]] = []
        head = (self._run, self._seed, step, epoch, samples)
        for found, part in zip(answers, self._parts, strict=True):
            logits = found.double()[part.inverse]
            answer = logits.argmax(1).numpy()
            if part.label is None:
                answered.append(answer)
                continue
            loss = -torch.log_softmax(logits, 1).gather(1, torch.from_numpy(part.label)[:, None])[:, 0].numpy()
            correct = answer == part.label
            tested = part.groups[0].split == "test"
            margin = logit_margins(logits.numpy(), part.label) if tested and logits.shape[1] > 1 else None
            if tested:
                answered.append(answer)
            start = 0
            for group in part.groups:
                mine = slice(start, start + len(group.label))
                start = mine.stop
                shown = [group.shown[side] for side in SIDES]
                agree = [float(np.mean(answer[mine] == side)) if side[0] >= 0 else np.nan for side in shown]
                sizes = len(group.label), float(loss[mine].mean()), float(correct[mine].mean())
                curve_rows.append((*head, group.split, group.kind, *sizes, *agree))
                if tested:
                    of_kind = (self._run, step, group.kind)
                    given.append((group, answer[mine]))
                    told = further(logits[mine].numpy(), group.label, None if margin is None else margin[mine])
                    measured += ((*of_kind, *one) for one in told)
                    class_rows += _class_rows(of_kind, group.label, loss[mine], correct[mine], self._classes)
        if not all(np.isfinite(row[8]) for row in curve_rows):
            return False
        self._curves += curve_rows
        self._by_class += class_rows
        self._answers = given
        self._measures += measured
        self._joint += ((self._run, step, *row) for row in self._crossings.counts(np.concatenate(answered)))
        return True

    def add(self, step: int, found: Iterable[tuple[str, str, float]]) -> None:
        """Add further measures of a step: kind, measure, value."""
        self._measures += ((self._run, step, *one) for one in found)

    def rows(self, step: int) -> list[dict[str, Any]]:
        """The rows of curves.csv of one step, by column."""
        return [dict(zip(tables.CURVES, row, strict=True)) for row in self._curves if row[2] == step]

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables of `curves.csv` (ordered by split and kind, then step) and `classes.csv`."""
        found = pd.DataFrame(self._curves, columns=list(tables.CURVES))
        classes = pd.DataFrame(self._by_class, columns=list(tables.CLASSES))
        return found, classes

    def joint(self) -> pd.DataFrame:
        """The table of `joint.csv`, ordered by step."""
        return pd.DataFrame(self._joint, columns=list(tables.JOINT))

    def measures(self) -> pd.DataFrame:
        """The table of `measures.csv`, ordered by step."""
        return pd.DataFrame(self._measures, columns=list(tables.MEASURES))

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
    there = np.flatnonzero(counts)
    n = counts[there]
    losses, right = (np.bincount(label, values, classes)[there] / n for values in (loss, correct))
    for row in zip(there.tolist(), n.tolist(), losses, right, strict=True):
        yield (*head, *row)


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


def _distinct(table: Deal, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of some rows those that differ in pictures (empty dominoes are all alike), and for each row its number among them."""
    pairs = np.stack([table.index[side][rows] for side in SIDES], axis=1)
    _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    return rows[first], inverse.ravel()


def _logits(network: nn.Module, resident: Resident, rows: Tensor, record: Network, known: Halves | None = None) -> Tensor:
    """Answers of the network in evaluation mode, rows × classes; by halves if those of the rows are given."""
    # Of a network from outside nothing is known: what it keeps of a pass may meet the next step's gradients.
    with torch.inference_mode() if record.static else torch.no_grad():
        network = folded(network) if record.folds else network.eval()
        channels_last = record.channels_last and resident.device.type == "cpu"
        size = _CUDA_BATCH if resident.device.type == "cuda" else _EVALUATION_BATCH
        if known is not None:
            return halves.answers(cast(ByHalves, network), resident, known, size, channels_last=channels_last)
        answers: Tensor | None = None
        for start, part in zip(range(0, len(rows), size), torch.split(rows, size), strict=True):
            found = network(resident.compose(part, channels_last=channels_last))
            # Kept in one block: small tensors left between large ones that are freed would split the heap, and it would grow.
            answers = found.new_empty((len(rows), found.shape[1])) if answers is None else answers
            answers[start : start + len(part)] = found
        assert answers is not None
        return answers


def logits(network: nn.Module, dominoes: Dominoes, how: TrainSpec, device: torch.device | None = None) -> NDArray[np.float64]:
    """Answers of a network that was trained so, in evaluation mode, to all dominoes: N×K, before the softmax."""
    where = device or torch.device("cpu")
    resident = residents.resident(dominoes.deal, dominoes.sources, where, swap=dominoes.swap, scale=how.input)
    rows = torch.arange(len(dominoes), device=where)
    return np.asarray(_logits(network, resident, rows, chosen(how.model)).cpu().double().numpy())
