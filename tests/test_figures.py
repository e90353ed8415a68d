"""Figures: the numbers behind them, and that something is drawn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dominoes import curves, figures, patterns
from dominoes.dataset import Dominoes
from dominoes.deal import Dealt
from dominoes.errors import CurvesError, OutputError
from dominoes.verdicts import BANDS


def table(kinds: tuple[str, ...] = ("top", "bottom", "both")) -> pd.DataFrame:
    """Curves of three seeds, whose losses are 1, 2 and 6 at every step."""
    rows = [
        (f"r{seed}", seed, step, step / 9, step * 64, split, kind, 50, loss, 0.1 * seed, np.nan, np.nan)
        for seed, loss in enumerate((1.0, 2.0, 6.0))
        for split in ("train", "test")
        for kind in kinds
        for step in (0, 1, 10, 100)
    ]
    return pd.DataFrame(rows, columns=list(curves.CURVES))


def test_the_band_is_the_range_of_the_seeds() -> None:
    """Mean, lowest and highest seed, by split, kind, metric and step; one-sided kinds alone."""
    found = figures.one_sided(table())
    assert set(found["kind"]) == {"top", "bottom"}
    assert len(found) == 2 * 2 * 2 * 4
    loss = found.query("metric == 'loss'")
    assert (loss[["mean", "low", "high", "seeds"]] == [3, 1, 6, 3]).all(axis=None)
    with pytest.raises(CurvesError, match="there are no one-sided curves"):
        figures.one_sided(table(("both",)))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_curves_are_drawn_in_every_format(tmp_path: Path, suffix: str) -> None:
    """A figure of two specs is written whole, in colour, in the format that the suffix says."""
    path = tmp_path / f"figure{suffix}"
    figures.draw_one_sided({"lr 0.1": table(), "lr 0.2": table()}, path, classes=10)
    head = path.read_bytes()[:8]
    assert head.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    if suffix == ".png":
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        for kind in ("top", "bottom"):
            colour = [int(figures.COLOURS[kind][place : place + 2], 16) for place in (1, 3, 5)]
            assert (pixels == colour).all(1).sum() > 100
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_formats_are_refused(tmp_path: Path, small: Dealt) -> None:
    """A suffix that no figure has is refused before anything is drawn."""
    for draw in (
        lambda path: figures.draw_one_sided({"a": table()}, path, classes=10),
        lambda path: figures.draw_preview(Dominoes.of(small), path),
        lambda path: figures.draw_toy(patterns.table(patterns.preset("grokking"), np.arange(9.0)), path),
        lambda path: figures.draw_onsets(pd.DataFrame(), path),
        lambda path: figures.draw_bands(pd.DataFrame(columns=list(BANDS)), 1.25, path),
    ):
        with pytest.raises(OutputError, match=r"a figure is written as .png, .svg, .pdf, got '.jpg'"):
            draw(tmp_path / "x.jpg")
    with pytest.raises(CurvesError, match="nothing to draw over time"):
        figures.draw_bands(pd.DataFrame(columns=list(BANDS)), 1.25, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_the_preview_shows_every_kind_right_and_wrong(small: Dealt, tmp_path: Path) -> None:
    """Rows by kind and by which half is wrong partition the dataset, and the picture is not blank."""
    dominoes = Dominoes.of(small)
    groups = figures.preview_groups(dominoes)
    assert list(groups) == [
        "top: right",
        "top: wrong",
        "bottom: right",
        "bottom: wrong",
        "both: right",
        "both: bottom wrong",
        "both: top wrong",
        "both: wrong",
        "empty",
    ]
    assert np.array_equal(np.sort(np.concatenate(list(groups.values()))), np.arange(300))
    row = groups["both: top wrong"][0]
    assert small.deal.shown["top"][row] != small.deal.label[row] == small.deal.shown["bottom"][row]
    figures.draw_preview(dominoes, tmp_path / "p.png")
    assert np.asarray(Image.open(tmp_path / "p.png").convert("L")).std() > 40
