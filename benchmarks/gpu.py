"""Everything that only a card can show, in one command: `python -m benchmarks.gpu --out FOLDER [--data DIR]`, under nine minutes.

The CUDA tests, then a sweep for each row: 110 detector and 110 ResNet8 runs of 275,000 samples, packed against one at a time, stacked
against streams, tf32 against float32, what deterministic algorithms cost, and how much of a run is measuring. Each stage is a process of
its own with a limit, so that one that hangs or fails costs its own row and no other. FOLDER gets `gpu.json` with every figure and `gpu.md`
with the table, rewritten after each stage. Wall seconds: the card is waited for. Without a card it says so and exits with 2.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dominoes import files

ROOT = Path(__file__).parents[1]
# Forward and backward, floating-point operations a sample; and what an H200 does at most in float32, by its data sheet.
OPERATIONS, H200 = {"detector": 17.9e6, "resnet8": 318e6}, 67e12
# Stages that would end later are left out.
_SECONDS = 530


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        device: of the sweeps.
        sources: of the halves.
        n: dominoes of a run; 5 epochs of 55,000 are 275,000 samples.
        many: runs of the two big rows. some: of each side of a comparison. few: of those that run one at a time.
        tests: what pytest is asked to run.
        epochs: of a run.
    """

    device: str = "cuda"
    sources: tuple[str, str] = ("mnist", "cifar10")
    n: int = 55_000
    many: int = 110
    some: int = 32
    few: int = 4
    tests: tuple[str, ...] = ("-m", "cuda", "tests/training/test_cuda.py")
    epochs: int = 5


@dataclass(frozen=True)
class Stage:
    """A row of the table.

    Attributes:
        title: of the row.
        limit: seconds that it may take.
        arithmetic: what was reckoned before a card was at hand.
        measure: makes its figures, given how long it may take and those of the stages before it; the first is what the table shows.
    """

    title: str
    limit: float
    arithmetic: str
    measure: Callable[[float, Mapping[str, Mapping[str, float]]], dict[str, float]]


def swept(place: Path, sizes: Sizes, model: str, runs: int, *options: str, limit: float | None = None, **fields: Any) -> dict[str, float]:
    """One `dominoes sweep run` in a new folder `place`: wall seconds of the whole command, starting Python, recording graphs and writing
    included; from the beginning of the first run to the end of the last; of the run in the middle; and the share of runs that is measuring.

    Raises subprocess.CalledProcessError, subprocess.TimeoutExpired.
    """
    place.mkdir(parents=True)
    values = {"dataset.top": sizes.sources[0], "dataset.bottom": sizes.sources[1], "dataset.prevalence": [0.65, 0.65]}
    values |= {"dataset.n": sizes.n, "train.epochs": sizes.epochs, "train.model": model} | fields
    parameters = {name: {"value": value} for name, value in values.items()} | {"seed": {"min": 0, "max": runs - 1}}
    described = {"name": "benchmark", "method": "grid", "parameters": parameters}
    (place / "sweep.json").write_text(json.dumps(described), encoding="utf-8")
    command = [sys.executable, str(ROOT / "cli.py"), "sweep", "run", str(place / "sweep.json"), "--device", sizes.device]
    began = time.perf_counter()
    subprocess.run([*command, *options, "--out", str(place / "out")], check=True, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    seconds = time.perf_counter() - began
    starts, ends = ([file.stat().st_mtime for file in place.glob(f"out/runs/*/{name}")] for name in ("spec.json", "DONE"))
    told = [json.loads(file.read_text(encoding="utf-8"))["seconds"] for file in place.glob("out/runs/*/environment.json")]
    measuring, training = (sum(each[stage] for each in told) for stage in ("measuring", "training"))
    at_work = max(ends) - min(starts)
    return {
        "seconds": seconds,
        "at work s": at_work,
        "median run s": statistics.median(each["wall"] for each in told),
        "measuring, share": measuring / (measuring + training),
    }


def stages(place: Path, sizes: Sizes) -> dict[str, Stage]:
    """Every row, the ones that others are compared with before these."""
    at_once = ("--pack", "auto")

    def tests(limit: float, _: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sizes.tests]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
        found = {name: float(count) for count, name in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
        return {"passed": found.pop("passed", 0.0), **found, "exit code": float(done.returncode)}

    def many(model: str) -> Callable[[float, Mapping[str, Mapping[str, float]]], dict[str, float]]:
        def measure(limit: float, _: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
            found = swept(place / f"{model}-many", sizes, model, sizes.many, *at_once, limit=limit)
            rate = OPERATIONS[model] * sizes.n * sizes.epochs * sizes.many / found["at work s"]
            return {**found, "training TFLOP/s": rate / 1e12, "share of an H200's float32": rate / H200}

        return measure

    def some(name: str, *options: str, **fields: Any) -> Callable[[float, Mapping[str, Mapping[str, float]]], dict[str, float]]:
        """Times as long as the usual way, which stands in the row `usual`."""

        def measure(limit: float, before: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
            found = swept(place / name, sizes, "detector", sizes.some, *at_once, *options, limit=limit, **fields)
            usual = before.get("usual", {}).get("at work s")
            return ({"usual / this": usual / found["at work s"]} if usual else {}) | found

        return measure

    def alone(limit: float, before: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        found = swept(place / "alone", sizes, "detector", sizes.few, "--pack", "1", limit=limit)
        usual = before.get("usual", {}).get("at work s")
        # The start of a process would count for a quarter in each of a few runs, and for a hundredth in each of many.
        return ({"alone / packed, a run": found["median run s"] * sizes.some / usual} if usual else {}) | found

    bytes_ = "90 TB to move in 110 runs: 18.8 s; 15.6 M kernels: 16 s; host 23 s; in all 30 to 60 s (floor 60 s, aim 20 s)"
    count = sizes.some
    return {
        "tests": Stage("CUDA tests passed", 150, "all", tests),
        "usual": Stage(f"{count} detector runs, packed", 60, "as 110 runs, in proportion: 9 to 17 s", some("usual")),
        "detector": Stage(f"{sizes.many} detector runs × 275k samples", 120, bytes_, many("detector")),
        "alone": Stage("detector, one run at a time against packed", 60, "×10 (floor), ×20 (aim)", alone),
        "stacked": Stage(
            f"{count} detector runs, --pack-mode stacked", 60, "a hundredth of the kernels", some("stacked", "--pack-mode", "stacked")
        ),
        "nondeterministic": Stage(f"{count} detector runs, --no-deterministic", 60, "≥ ×1", some("free", "--no-deterministic")),
        "tf32": Stage(f"{count} detector runs, tf32", 60, "×1 to ×1.3: bound by memory", some("tf32", **{"train.precision": "tf32"})),
        "resnet8": Stage(
            f"{sizes.many} ResNet8 runs × 275k samples", 200, "28 to 57 s of arithmetic (floor 180 s, aim 90 s)", many("resnet8")
        ),
    }


def measured(rows: Mapping[str, Stage], out: Path, about: Mapping[str, Any], seconds: float = _SECONDS) -> dict[str, Any]:
    """All stages, one after the other, in `seconds` in all; `gpu.json` and `gpu.md` in `out` are renewed after each."""
    began = time.perf_counter()
    found: dict[str, dict[str, Any]] = {}
    for key, stage in rows.items():
        left = seconds - (time.perf_counter() - began)
        figures = {name: row["figures"] for name, row in found.items()}
        row: dict[str, Any] = {"title": stage.title, "arithmetic": stage.arithmetic, "figures": {}, "reason": ""}
        if left < 5:
            row["reason"] = "not measured: no time was left"
        else:
            try:
                row["figures"] = stage.measure(min(stage.limit, left), figures)
            except subprocess.TimeoutExpired as error:
                row["reason"] = f"not measured: not done in {error.timeout:.0f} s"
            except subprocess.CalledProcessError as error:
                last = (error.stderr or "").strip().splitlines() or [f"exit code {error.returncode}"]
                row["reason"] = f"not measured: {last[-1][:300]}"
        found[key] = row
        whole = {"about": dict(about), "seconds": time.perf_counter() - began, "rows": found}
        files.write(out / "gpu.json", json.dumps(whole, indent=1) + "\n")
        files.write(out / "gpu.md", table(whole))
    return whole


def table(whole: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    about = ", ".join(f"{name} {value}" for name, value in whole["about"].items())
    lines = [f"{about}; {whole['seconds']:.0f} s in all.", "", "| figure | measured | beside | by arithmetic |", "|---|---|---|---|"]
    for row in whole["rows"].values():
        cells = [f"{name} {value:.4g}" for name, value in row["figures"].items()]
        first = cells[0] if cells else row["reason"]
        lines.append(f"| {row['title']} | {first} | {', '.join(cells[1:])} | {row['arithmetic']} |")
    return "\n".join(lines) + "\n"


def _card() -> dict[str, Any]:
    """The card and what drives it; nothing where there is none."""
    code = """
import json, torch
if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    print(json.dumps({"card": card.name, "GiB": round(card.total_memory / 2**30), "torch": torch.__version__, "CUDA": torch.version.cuda}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout) if done.stdout.strip() else {}


def main() -> int:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json and gpu.md")
    parser.add_argument("--data", type=Path, help="folder with mnist and cifar10; else $DOMINOES_DATA; without them the embedded sources")
    options = parser.parse_args()
    card = _card()
    if not card:
        print("benchmarks.gpu: there is no CUDA device here; run it on a machine with one", file=sys.stderr)
        return 2
    data = Path(options.data or os.environ.get("DOMINOES_DATA") or ROOT / "../shared/data")
    real = (data / "mnist").is_dir()
    if real:
        os.environ["DOMINOES_DATA"] = str(data.resolve())
    sizes = Sizes() if real else Sizes(sources=("digits", "textures"), n=1500, epochs=183)
    options.out.mkdir(parents=True, exist_ok=True)
    about = card | {"sources": " over ".join(sizes.sources), "date": time.strftime("%Y-%m-%d")}
    with tempfile.TemporaryDirectory() as place:
        whole = measured(stages(Path(place), sizes), options.out, about)
    print(table(whole), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
