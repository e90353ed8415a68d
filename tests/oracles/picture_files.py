"""Pictures by chance, and the files that hold pictures."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def pictures(count: int, size: int = 32, channels: int = 3, seed: int = 0) -> Pixels:
    """Random pictures, N×size×size(×channels)."""
    shape = (count, size, size, channels) if channels > 1 else (count, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(picture: Pixels) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def write_parquet(path: Path, images: list[Any], labels: Any, *, image: str = "image", label: str = "label") -> None:
    """A file in Hugging Face layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [None if content is None else {"bytes": content, "path": None} for content in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({image: pa.array(rows, kind), label: labels}), path)
