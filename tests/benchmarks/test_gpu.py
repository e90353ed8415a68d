"""The one command for a card: every row is measured or says why not, within the time; tried on a CPU with tiny sizes."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Sizes, Stage, measured, stages

ROOT = Path(__file__).parents[2]
TINY = Sizes("cpu", ("digits", "textures"), n=64, many=2, some=2, few=2, tests=("tests/benchmarks/test_gpu.py", "-k", "sentence"), epochs=1)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    """Exit code 2, nothing written."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "out")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "benchmarks.gpu: there is no CUDA device here; run it on a machine with one\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_row_is_filled(tmp_path: Path) -> None:
    """With the command line's own sweeps: each row has its figures, comparisons those of both sides; JSON and Markdown agree."""
    whole = measured(stages(tmp_path / "work", TINY), tmp_path, {"card": "none"}, seconds=500)
    assert [row["reason"] for row in whole["rows"].values()] == [""] * 8
    rows = {key: row["figures"] for key, row in whole["rows"].items()}
    assert rows["tests"]["passed"] + rows["tests"].get("skipped", 0) == 1
    for key, runs in (("usual", 2), ("detector", 2), ("alone", 2), ("resnet8", 2)):
        assert rows[key]["seconds"] > rows[key]["at work s"] > 0, key
        assert 0 < rows[key]["measuring, share"] < 1
        assert runs * rows[key]["median run s"] < 2 * rows[key]["seconds"]
    for key in ("stacked", "nondeterministic", "tf32"):
        assert rows[key]["usual / this"] == pytest.approx(rows["usual"]["at work s"] / rows[key]["at work s"])
    assert rows["alone"]["alone / packed, a run"] > 0
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["rows"] == whole["rows"]
    lines = (tmp_path / "gpu.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4 + 8
    assert all(line.count("|") == 5 for line in lines[2:])


def test_a_stage_that_fails_or_hangs_costs_its_own_row(tmp_path: Path) -> None:
    """Others are measured; each row says what became of it, and stages for which there is no time are left out."""

    def run(code: str) -> gpu.Stage:
        def measure(limit: float, before: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=limit)
            return {"seconds": 1.0, "known": float(len(before))}

        return Stage("row", 3, "all", measure)

    rows = {"good": run(""), "bad": run("raise ValueError('no memory')"), "hangs": run("import time; time.sleep(60)"), "last": run("")}
    began = time.perf_counter()
    whole = measured(rows, tmp_path, {})
    assert time.perf_counter() - began < 30
    assert [row["reason"] for row in whole["rows"].values()] == [
        "",
        "not measured: ValueError: no memory",
        "not measured: not done in 3 s",
        "",
    ]
    assert whole["rows"]["last"]["figures"] == {"seconds": 1.0, "known": 3.0}
    assert "| row | not measured: not done in 3 s |  | all |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert measured(rows, tmp_path, {}, seconds=4)["rows"]["good"]["reason"] == "not measured: no time was left"


def test_the_stages_fit_into_nine_minutes() -> None:
    """Their limits together are more, since none is expected to need its own; the whole is cut off before nine minutes."""
    assert gpu._SECONDS < 540
    assert all(stage.limit <= 200 for stage in stages(Path(), Sizes()).values())
