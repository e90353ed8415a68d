"""Margins and the area under the ROC curve, against sorted lists, all pairs and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dominoes.training.further import area_under_roc, further, logit_margins


def measures(logits: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """All measures of some answers."""
    margin = logit_margins(torch.from_numpy(logits), torch.from_numpy(label)).numpy()
    return dict(further(margin, label, logits.shape[1]))


def test_margins_are_label_less_best_other() -> None:
    """Mean and quartiles of four margins that can be read off."""
    logits = np.array([[3.0, 1, 0], [0, 2, 5], [1, 1, 1], [0, -4, -2]])
    found = measures(logits, np.array([0, 1, 2, 0]))
    margins = [2, -3, 0, 2]
    assert found["margin mean"] == np.mean(margins)
    assert [found[f"margin {name}"] for name in ("lower quartile", "median", "upper quartile")] == np.quantile(
        margins, (0.25, 0.5, 0.75)
    ).tolist()
    assert "auc" not in found
    assert measures(logits[:, :1], np.zeros(4, dtype=np.int64)) == {}


def test_the_area_under_the_roc_curve_counts_ordered_pairs() -> None:
    """It is the share of pairs in order, ties half, as scikit-learn has it; not of one class alone."""
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 4, (50, 2)).astype(float)
    label = rng.integers(0, 2, 50)
    score = logits[:, 1] - logits[:, 0]
    pairs = [np.sign(a - b) / 2 + 0.5 for a in score[label == 1] for b in score[label == 0]]
    assert area_under_roc(score, label == 1) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert measures(logits, label)["auc"] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert "auc" not in measures(logits, np.ones(50, dtype=np.int64))
