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
        inverse: for each domino of the groups, one after the other, its number among them, where it is judged.
        groups: which of them are scored as one.
        label: of the dominoes of all groups, and on the device; None without any.
        halves: of the distinct dominoes, where the network is asked by halves.
    """

    resident: Resident
    rows: Tensor
    inverse: Tensor
    groups: list[_Group]
    label: tuple[NDArray[np.int64], Tensor] | None
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
            judged = _exact(where.device)
            labels = None if label is None else (label, torch.from_numpy(label).to(judged))
            known = Halves.of(table, first, where.device, swap=any_probe.swap) if record.halves else None
            return _Part(where, torch.from_numpy(first).to(where.device), torch.from_numpy(inverse).to(judged), groups, labels, known)

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
        return self.score(self.judge(network).cpu(), step, epoch, samples)

    def judge(self, network: nn.Module, *, train_only: bool = False) -> Tensor:
        """What is to be known of every measured domino, in one tensor on the network's device, so that one transfer brings it: 3 ×
        dominoes float64, the loss of its label in nats, the class answered, and the logit of the label less the highest other one.

        With `train_only` that of the training dominoes, which come first.
        """
        with torch.no_grad():
            return torch.cat([_judged(self._ask(network, part), part) for part in (self._parts[:1] if train_only else self._parts)], 1)

    def train_losses(self, judged: Tensor) -> dict[str, float]:
        """Mean cross-entropy of the sample of each kind in training, of what `judge` gave, on the CPU."""
        part = self._parts[0]
        return {group.kind: float(judged[0, mine].mean()) for group, mine in _by_group(part)}

    def _ask(self, network: nn.Module, part: _Part) -> Tensor:
        return _logits(network, part.resident, part.rows, self._record, part.halves)

    def score(self, judged: Tensor, step: int, epoch: float, samples: int) -> bool:
        """What `measure` does, of what `judge` gave, on the CPU."""
        curve_rows: list[tuple[Any, ...]] = []
        class_rows: list[tuple[Any, ...]] = []
        given: list[tuple[_Group, NDArray[np.int64]]] = []
        measured: list[tuple[Any, ...]] = []
        answered: list[NDArray[np.int64]] = []
        head = (self._run, self._seed, step, epoch, samples)
        start = 0
        for part in self._parts:
            mine = slice(start, start + len(part.inverse))
            start = mine.stop
            loss, answer, margin = judged[0, mine].numpy(), judged[1, mine].long().numpy(), judged[2, mine].numpy()
            if part.label is None:
                answered.append(answer)
                continue
            correct = answer == part.label[0]
            tested = part.groups[0].split == "test"
            if not np.isfinite(loss).all():
                return False
            for group, mine in _by_group(part):
                shown = [group.shown[side] for side in SIDES]
                agree = [float(np.mean(answer[mine] == side)) if side[0] >= 0 else np.nan for side in shown]
                sizes = len(group.label), float(loss[mine].mean()), float(correct[mine].mean())
                curve_rows.append((*head, group.split, group.kind, *sizes, *agree))
                if tested:
                    of_kind = (self._run, step, group.kind)
                    given.append((group, answer[mine]))
                    measured += ((*of_kind, *one) for one in further(margin[mine], group.label, self._classes))
                    class_rows += _class_rows(of_kind, group.label, loss[mine], correct[mine], self._classes)
            if tested:
                answered.append(answer)
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


def _by_group(part: _Part) -> Iterator[tuple[_Group, slice]]:
    """The groups of a part with their places among its dominoes."""
    start = 0
    for group in part.groups:
        yield group, slice(start, start + len(group.label))
        start += len(group.label)


def _exact(device: torch.device) -> torch.device:
    """Where float64 is to be had: MPS has none."""
    return torch.device("cpu") if device.type == "mps" else device


def _judged(answers: Tensor, part: _Part) -> Tensor:
    """Loss, answer and margin of each domino of a part (`Scorer.judge`), from what was answered to its distinct ones. Of one without
    labels only the answer counts."""
    logits = answers.to(part.inverse.device).double()[part.inverse]
    found = logits.new_zeros((3, len(logits)))
    found[1] = logits.argmax(1)
    if part.label is not None:
        label = part.label[1]
        found[0] = -torch.log_softmax(logits, 1).gather(1, label[:, None])[:, 0]
        found[2] = logit_margins(logits, label)
    return found


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
