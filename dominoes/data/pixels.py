"""Pixels of a dataset in files, for those who want them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dominoes import files
from dominoes.data.dominoes import Dominoes
from dominoes.data.locations import SIZE
from dominoes.errors import OutputError
from dominoes.spec import SIDES

PIXEL_FORMATS = ("npz", "folder", "parquet")
_CHUNK = 2048
# By this file an exported folder is known, so that --force replaces no other.
_MARK = "classes.json"


def export_pixels(dominoes: Dominoes, form: str, path: Path, *, force: bool = False) -> None:
    """Write all dominoes to `path`, whole or not at all.

    `npz`: x (N×64×32×3 uint8), y, kind, top_index, bottom_index, top_label, bottom_label (−1 where blank).
    `folder`: LABEL/INDEX.png, as torchvision's ImageFolder reads it (labels of which there is no domino have no folder), metadata.csv.
    `parquet`: image (PNG bytes and path), label, kind and the halves' indices and labels, in Hugging Face layout.

    Raises OutputError: something is there already (unless `force`), or cannot be written.
    """
    path = Path(path)
    if form == "folder":
        _folder(dominoes, path, force)
        return
    if path.exists() and (not force or path.is_dir()):
        raise OutputError(f"{path} is there already; pass another --out" + ("" if path.is_dir() else ", or --force to replace it"))
    with files.replacing(path) as temporary:
        (_npz if form == "npz" else _parquet)(dominoes, temporary)


def _chunks(dominoes: Dominoes) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for start in range(0, len(dominoes), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(dominoes)))
        yield start, dominoes.compose(rows).permute(0, 2, 3, 1).contiguous().numpy()


def _table(dominoes: Dominoes) -> dict[str, Any]:
    deal = dominoes.deal
    halves = {f"{side}_index": deal.index[side] for side in SIDES} | {f"{side}_label": deal.shown[side] for side in SIDES}
    return {"kind": np.array(dominoes.kinds), **halves}


def _npz(dominoes: Dominoes, path: Path) -> None:
    # As numpy.savez writes it, but for the pictures, which never are in memory at once.
    shape = (len(dominoes), 2 * SIZE, SIZE, 3)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open(zipfile.ZipInfo("x.npy"), "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for _, chunk in _chunks(dominoes):
                file.write(chunk.data)
        for name, values in {"y": dominoes.deal.label, **_table(dominoes)}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)


def _png(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def _folder(dominoes: Dominoes, path: Path, force: bool) -> None:
    from dominoes.data.folder import metadata_lines

    # ImageFolder numbers classes in the order of their names, so these need leading zeros.
    width = len(str(len(dominoes.classes) - 1))
    with files.new_folder(path, force=force, ours=_MARK) as folder:
        for label in np.unique(dominoes.deal.label):
            (folder / f"{label:0{width}d}").mkdir()
        for start, chunk in _chunks(dominoes):
            for number, picture in enumerate(chunk, start):
                (folder / f"{dominoes.deal.label[number]:0{width}d}" / f"{number:06d}.png").write_bytes(_png(picture))
        with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
            file.writelines(metadata_lines(dominoes.deal))
        (folder / _MARK).write_text(json.dumps({"classes": dominoes.classes}, indent=1) + "\n", encoding="utf-8")


def _parquet(dominoes: Dominoes, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": dominoes.classes},
        "kind": {"_type": "Value", "dtype": "string"},
    }
    numbers = [f"{side}_{what}" for what in ("index", "label") for side in SIDES]
    features |= {name: {"_type": "Value", "dtype": "int64"} for name in numbers}
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("kind", pa.string()),
            *((name, pa.int64()) for name in numbers),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    table = _table(dominoes)
    with pq.ParquetWriter(path, schema) as writer:
        for start, chunk in _chunks(dominoes):
            rows = slice(start, start + len(chunk))
            images = [{"bytes": _png(picture), "path": f"{number:06d}.png"} for number, picture in enumerate(chunk, start)]
            columns = {"image": images, "label": dominoes.deal.label[rows]} | {name: values[rows] for name, values in table.items()}
            writer.write_table(pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema))
