"""Losses by name and by reference."""

from typing import Any

import pandas as pd
import pytest
import torch

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import MEAN, STD
from dominoes.spec import KINDS, RunSpec, TrainSpec
from dominoes.training.batches import Batches
from dominoes.training.loop import Trained, train
from dominoes.training.losses import loss


def batch(small: Dealt, rows: list[int], *, swap: bool = False) -> Any:
    """What a loss is told of some dominoes."""
    return Batches(small.deal, torch.device("cpu"), swap=swap, blank=-MEAN / STD).of(torch.tensor(rows))


def trained(small: Dealt, **fields: Any) -> Trained:
    """One short run."""
    how = TrainSpec(model="mlp", epochs=1, batch=32, measurements=2, probe=40, **fields)
    return train(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), probes(small.spec, 40, 0))


def test_label_smoothing_spreads_a_share_of_the_label() -> None:
    """By hand: (1 − s) of the label's and s/K of every class's code length."""
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    told = type("Told", (), {"label": torch.tensor([0, 1, 2, 3, 0])})()
    plain = -logits.log_softmax(1)
    expected = 0.8 * plain.gather(1, told.label[:, None])[:, 0] + 0.2 * plain.mean(1)
    assert loss(TrainSpec(loss_args={"label_smoothing": 0.2}))(logits, told).item() == pytest.approx(expected.mean().item())


def test_a_loss_is_told_label_kind_and_classes_shown(small: Dealt) -> None:
    """Numbers as in the deal, for the rows that were asked; −1 is blank; the places follow a swap."""
    rows = [5, 2, 299]
    found = batch(small, rows)
    assert found.label.tolist() == small.deal.label[rows].tolist()
    assert [KINDS[number] for number in found.kind.tolist()] == [Dominoes.of(small).kinds[row] for row in rows]
    assert found.shown["bottom"].tolist() == small.deal.shown["bottom"][rows].tolist()
    assert found.index.tolist() == rows
    assert (found.place["top"], batch(small, rows, swap=True).place["top"]) == (slice(0, 32), slice(32, 64))


@pytest.mark.parametrize("name", ["brought:label_only", "brought:checked"])
def test_a_loss_by_reference_is_what_is_trained_on(small: Dealt, name: str) -> None:
    """Cross-entropy written anew, a number a domino or their mean, trains the same network up to rounding; a loss of another kind does
    not; what is measured is cross-entropy in each."""
    usual, mine = trained(small), trained(small, loss=name)
    values = ["loss", "accuracy"]
    pd.testing.assert_frame_equal(usual.curves[values], mine.curves[values], rtol=1e-4)
    smooth = trained(small, loss_args={"label_smoothing": 0.5})
    start, end = (found.query("step == @found.step.min()")["loss"] for found in (usual.curves, smooth.curves))
    assert start.tolist() == end.tolist()
    assert usual.curves["loss"].tolist() != smooth.curves["loss"].tolist()
