"""Tables of runs as text, and the same as one row a curve with list columns. What is unfolded is, to the letter, what was folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from dominoes import tables

#: What sets the curves of a run apart, by form; `seed` is the same in all rows of a run.
FORM_KEYS = {
    "curves": ("seed", "split", "kind"),
    "classes": ("kind", "label"),
    "joint": ("probe", "top_alone", "bottom_alone", "answer"),
    "measures": ("kind", "measure"),
}
_TEXT = ("run", "split", "kind", "probe", "answer", "measure")
_WHOLE = ("seed", "step", "samples", "n", "label", "top_alone", "bottom_alone")
#: Arrow's types of all columns.
TYPES = {
    **dict.fromkeys(_TEXT, pa.string()),
    **dict.fromkeys(_WHOLE, pa.int64()),
    **dict.fromkeys(("epoch", "loss", "accuracy", "agree_top", "agree_bottom", "value"), pa.float64()),
}
# Whether the rows of a run are sorted by step (and in each step by curve), as runs write them, or by curve.
_BY_STEP = "by_step"
# Between these, Arrow and Python write a number with the same digits in the same places.
_PLAIN = (1e-4, 1e10)


class Unfoldable(ValueError):  # noqa: N818  (a finding, not a mishap)
    """A text that is not written as runs write their tables."""


def arrow_source(content: bytes) -> pa.BufferReader:
    """Bytes for Arrow to read, in memory of its own.

    Arrow's threads let go of what they read when they come to it, which may be when the interpreter has begun to end. Where that is an
    object of Python's, they need the interpreter for it, are ended instead, and take the process with them (SIGABRT, "terminate called
    without an active exception").
    """
    memory = pa.BufferOutputStream()
    memory.write(content)
    return pa.BufferReader(memory.getvalue())


def header(form: str) -> str:
    """First line of a table, with its end."""
    return ",".join(tables.COLUMNS[form]) + "\n"


def values_of(form: str) -> list[str]:
    """The columns that differ from step to step."""
    return [name for name in tables.COLUMNS[form] if name not in ("run", *FORM_KEYS[form])]


def parsed(texts: Sequence[bytes], form: str) -> pa.Table:
    """The rows of several runs' tables below each other, numbers exact to the last bit. Raises Unfoldable."""
    head = header(form).encode()
    if not all(text.startswith(head) and text.endswith(b"\n") for text in texts):
        raise Unfoldable(f"a {form} table does not begin with {head.decode().strip()}, or does not end with a whole row")
    kinds = {name: TYPES[name] for name in tables.COLUMNS[form]}
    try:
        # An empty field is no number, and no text; blocks that hold a row each time are of the reader's choosing.
        how = arrow_csv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=False)
        whole = head + b"".join(text[len(head) :] for text in texts)
        return arrow_csv.read_csv(arrow_source(whole), convert_options=how).combine_chunks()
    except pa.ArrowInvalid as error:
        raise Unfoldable(str(error)) from error


def fold_texts(texts: Sequence[bytes], form: str) -> pa.Table:
    """One row a curve: `run`, what the curve is of, and lists of what differs from step to step, in the runs' order.

    Args:
        texts: a table of each run.
        form: `curves`, `classes`, `joint` or `measures`.

    Raises Unfoldable. That a text is one of its curves in the order of the steps is not looked at here: who needs to know unfolds again.
    """
    rows = parsed(texts, form)
    run = np.repeat(np.arange(len(texts)), [text.count(b"\n") - 1 for text in texts])
    if len(run) != rows.num_rows or any(rows[name].null_count for name in ("run", "step", *FORM_KEYS[form])):
        raise Unfoldable(f"a {form} table has rows without a step, or of several lines")
    curve = run.astype(np.int64)
    for name in FORM_KEYS[form]:
        codes, count = _codes(rows[name], name)
        curve = curve * count + codes
    _, first, inverse = np.unique(curve, return_index=True, return_inverse=True)
    # Crossed answers lack cells at some steps, so their order is known beforehand; else it is that of the first step.
    places = np.arange(len(first)) if form == "joint" else np.argsort(np.argsort(first))
    place = places[inverse]
    order = np.argsort(place, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(first)))]).astype(np.int32)
    heads = rows.take(order[offsets[:-1]])
    step = rows["step"].to_numpy()
    backward = np.bincount(run[1:], (np.diff(step) < 0) & (run[1:] == run[:-1]), minlength=len(texts)) if len(run) else np.zeros(len(texts))
    found: dict[str, Any] = {name: heads[name] for name in ("run", *FORM_KEYS[form])}
    found[_BY_STEP] = pa.array((backward == 0)[run[order[offsets[:-1]]]])
    for name in values_of(form):
        flat = rows[name].take(order).combine_chunks()
        found[name] = pa.ListArray.from_arrays(pa.array(offsets), flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat)
    return pa.table(found)


def _codes(column: pa.ChunkedArray, name: str) -> tuple[NDArray[np.int64], int]:
    """Numbers from 0 for the values of a column, and how many there are; of crossed answers in the order in which a step has them."""
    if name == "answer":
        known = [each for answers in tables.JOINT_ANSWERS.values() for each in answers]
    elif name == "probe":
        known = list(tables.JOINT_ANSWERS)
    else:
        known = sorted(pc.unique(column).to_pylist())
    found = pc.index_in(column, pa.array(known, column.type))
    if found.null_count:
        raise Unfoldable(f"column {name} holds what a table of crossed answers does not")
    return found.to_numpy().astype(np.int64), max(len(known), 1)


def unfold_curves(curves: pa.Table, form: str) -> pa.Table:
    """The long table again: a row for each step of each curve, runs in the order of the rows, each run's rows as they were written."""
    curves = curves.combine_chunks()
    if not curves.num_rows:
        return pa.table({name: pa.array([], TYPES[name]) for name in tables.COLUMNS[form]})
    lists = {name: _one(curves[name]) for name in values_of(form)}
    lengths = pc.list_value_length(lists["step"]).to_numpy(zero_copy_only=False)
    curve = np.repeat(np.arange(curves.num_rows), lengths)
    runs = _run_numbers(curves["run"])
    flat = {name: values.flatten() for name, values in lists.items()}
    steps = np.where(curves[_BY_STEP].to_numpy()[curve], flat["step"].to_numpy(), 0)
    order = np.lexsort((curve, steps, runs[curve]))
    rows = {name: _one(curves[name]).take(pa.array(curve[order])) for name in ("run", *FORM_KEYS[form])}
    rows |= {name: values.take(pa.array(order)) for name, values in flat.items()}
    return pa.table({name: rows[name] for name in tables.COLUMNS[form]})


def _one(column: pa.ChunkedArray) -> Any:
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def _run_numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Which run each row is of, counted from 0 in the order of the rows; rows of a run stand together."""
    codes = _one(column).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(np.diff(codes) != 0)]).astype(np.int64)


def texts(rows: pa.Table, form: str) -> dict[str, str]:
    """Long rows as text, the lines (without the header) by run."""
    if not rows.num_rows:
        return {}
    rows = rows.combine_chunks()
    lines = pc.binary_join_element_wise(*(_written(_one(rows[name])) for name in tables.COLUMNS[form]), ",")
    starts, _, names = spans(rows["run"])
    offsets = pa.array([*starts, rows.num_rows], pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, lines), "\n").to_pylist()
    return {name: f"{text}\n" for name, text in zip(names, joined, strict=True)}


def spans(column: pa.ChunkedArray) -> tuple[list[int], list[int], list[str]]:
    """Of a column of runs, those of each standing together: where each begins, how many rows it has, and its name."""
    if not len(column):
        return [], [], []
    runs = _run_numbers(column)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(runs) != 0]))
    return starts.tolist(), np.diff([*starts, len(runs)]).tolist(), _one(column).take(pa.array(starts)).to_pylist()


def _written(column: Any) -> Any:
    """Values as tables are written: the shortest decimals that read back to the same floats, as Python writes them."""
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string())
    different = pc.unique(column)
    if 4 * len(different) < len(column):
        return pc.fill_null(_written(different).take(pc.index_in(column, different)), "")
    text = column.cast(pa.string())
    text = pc.if_else(pc.match_substring_regex(text, "^-?[0-9]+$"), pc.binary_join_element_wise(text, pa.scalar(".0"), ""), text)
    size = pc.abs(column)
    plain = pc.or_(pc.equal(size, 0), pc.and_(pc.greater_equal(size, _PLAIN[0]), pc.less(size, _PLAIN[1])))
    odd = np.flatnonzero(~pc.fill_null(plain, True).to_numpy(zero_copy_only=False))
    if len(odd):
        mask = np.zeros(len(column), dtype=bool)
        mask[odd] = True
        text = pc.replace_with_mask(text, pa.array(mask), pa.array([repr(value) for value in column.take(pa.array(odd)).to_pylist()]))
    return pc.fill_null(text, "")
