"""A source and a dial."""

import numpy as np

from dominoes.dials import DialRange


def bars(split: str):
    """Three classes of bright bars, at the top, in the middle, at the bottom; 90 pictures of 28×28, gray."""
    rng = np.random.default_rng({"train": 0, "test": 1}[split])
    labels = np.arange(90) % 3
    pictures = rng.integers(1, 60, (90, 28, 28), dtype=np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[9 * label : 9 * label + 9] += 150
    return pictures, labels, ("high", "middle", "low")


def _fade(share, side, rng):
    return lambda pictures: (pictures * (1 - share)).astype(np.uint8)


#: Darkens all pixels by a share.
fade = DialRange("a share from 0 to below 1", 0, 0, 1, _fade, open_high=True)
