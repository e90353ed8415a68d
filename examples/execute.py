"""Execute the notebooks beside this file in place and keep their outputs: `make notebooks`, after a change of what they print.

Each runs in an empty folder, as its test does, and keeps no times, no paths and nothing of the machine.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        form = notebook.metadata.copy()
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, record_timing=False, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        notebook.metadata = form
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        nbformat.write(notebook, path)
        print(path.name)
