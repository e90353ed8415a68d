"""The notebooks run as they are, and give what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from documents import ROOT, agrees
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_gives_what_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs in an empty folder, and its outputs are of the kinds that the notebook keeps, the same but for measured numbers."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # other tests run beside it
    notebook = nbformat.read(path, as_version=4)
    kept = [_outputs(cell) for cell in notebook.cells]
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    for number, (before, cell) in enumerate(zip(kept, notebook.cells, strict=True)):
        now = _outputs(cell)
        assert [form for form, _ in now] == [form for form, _ in before], (number, now)
        for (form, shown), (_, printed) in zip(before, now, strict=True):
            assert form == "image/png" or agrees(_plain(shown), _plain(printed), exactly=False), (number, printed)


def test_notebooks_hold_no_errors_and_no_traces_of_a_machine() -> None:
    """They are kept executed, in order, without errors, warnings, times or paths."""
    assert [path.stem for path in NOTEBOOKS] == ["own-loop", "whole-way"]
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), path.name
        for cell in notebook.cells:
            assert not cell.metadata, path.name
            for output in cell.get("outputs", []):
                assert output.output_type in ("stream", "execute_result", "display_data"), path.name
                assert output.get("name") != "stderr", path.name
        assert path.stat().st_size < 200_000, path.name


def _outputs(cell: Any) -> list[tuple[str, str]]:
    """Form and text of a cell's outputs; a figure's text (its size) is left out."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        form = "image/png" if "image/png" in data else "text/plain"
        found.append((form, "" if form == "image/png" else output.get("text", data.get("text/plain", ""))))
    return found


def _plain(text: str) -> str:
    # A table is as wide as its numbers, and has NaN where a fit found nothing.
    return re.sub(r" +", " ", re.sub(r"\bNaN\b", "0.0", text))
