"""Where a source of one's own is, and how it is read: `pictures/train.parquet#image=img,label=coarse_label`, `flowers#resample=box`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dominoes.errors import SourceError

#: Side of a half, in pixels.
SIZE = 32
#: Ways to bring pictures of other sizes to 32×32, as Pillow calls them.
RESAMPLING = ("box", "bilinear", "bicubic", "lanczos")
# Larger ones are more likely a slip, or a bomb, than pictures for a half of 32 pixels.
LARGEST = 4096


@dataclass(frozen=True)
class Reading:
    """How the files of a source are read.

    Attributes:
        image: column of the pictures in Parquet or Arrow files; None: the only one of their kind.
        label: column of the labels; None: `label`, or the only one of whole numbers.
        resample: what brings pictures of other sizes than 28×28 and 32×32 to 32×32: the largest centred square is cut out and resampled.
            None: they are refused.
    """

    image: str | None = None
    label: str | None = None
    resample: str | None = None

    @property
    def key(self) -> str:
        """What the decoded pictures depend on besides the files; empty for a plain reading."""
        said = {"image": self.image, "label": self.label, "resample": self.resample}
        return ",".join(f"{name}={value}" for name, value in said.items() if value is not None)


PLAIN = Reading()


def located(name: str) -> tuple[str, Reading]:
    """Path of a source and how it is read, of a name without chosen classes. A name that is the path of something that exists is that path.

    Raises SourceError: an option that there is not, or one twice.
    """
    path, sign, text = name.rpartition("#")
    if not (sign and path) or exists(name):
        return name, PLAIN
    found: dict[str, str] = {}
    for part in text.split(","):
        option, equals, value = (each.strip() for each in part.partition("="))
        if not (equals and value) or option not in ("image", "label", "resample"):
            raise SourceError(
                f"{name}: '{part}' is no option of a source; expected image=COLUMN, label=COLUMN or resample={'|'.join(RESAMPLING)}"
            )
        if option in found:
            raise SourceError(f"{name}: {option} stands twice; keep one")
        found[option] = value
    if found.get("resample", RESAMPLING[0]) not in RESAMPLING:
        raise SourceError(f"{name}: there is no resampling {found['resample']}; expected one of {', '.join(RESAMPLING)}")
    return path, Reading(**found)


def exists(name: str) -> bool:
    """Whether there is a file or folder of this name."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a path, or no text that a path can have
        return False


def place(name: str) -> str:
    """The files that a name (without chosen classes) reads, in whatever way their path is spelt."""
    return os.path.realpath(located(name)[0])


def resampled(picture: NDArray[np.uint8], resample: str) -> NDArray[np.uint8]:
    """The largest centred square of a picture (height×width or height×width×channels), 32×32 by a filter of Pillow's.

    The filters take the whole area of a source pixel into account when they shrink, so that nothing is aliased (box is the mean over it).
    """
    from PIL import Image

    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    if square.ndim == 3 and square.shape[2] == 1:
        square = square[:, :, 0]
    return np.asarray(Image.fromarray(square).resize((SIZE, SIZE), Image.Resampling[resample.upper()]))
