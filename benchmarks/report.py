"""What a report costs: `python -m benchmarks.report`; how it grows with the runs: `python -m benchmarks.report --growth 125 1125 10125`.

Sweeps of 110 runs of 61 steps and nine curves (all kinds, train and test), written by the real writers from formulas: as 11 values of ten
seeds, and as 110 values of one seed, which is the page with most to draw. The command is timed as a process of its own, the start of
Python included; the browser (Debian's Chromium, headless) from the call to open the file to the first figure, and until all are drawn.

Growth: sweeps over the prevalence of the top and the learning rate, five seeds a point, half of the points of each. One run of each
prevalence and seed is written by the real writers; those of other learning rates are its copies with specs, ids and digests of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "oracles"))
SEEDS = 5


def made(out: Path, page: Path, *options: str) -> dict[str, float]:
    """CPU seconds, wall seconds and peak memory (MB) of the command, and the bytes of the page."""
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "cli.py"), "report", str(out), "--out", str(page), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        # Of this child alone; RUSAGE_CHILDREN would keep the peak of the largest that there was.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said)
    seconds = usage.ru_utime + usage.ru_stime
    return {"cpu": seconds, "wall": time.monotonic() - began, "mb": usage.ru_maxrss / 1e3, "bytes": float(page.stat().st_size)}


def grown(runs: int, out: Path) -> int:
    """Write a sweep of about so many finished runs; returns how many there are."""
    import synthetic_runs

    points = max(1, runs // SEEDS)
    across = max(1, round(points**0.5))
    rates = [float(f"{rate:.4g}") for rate in np.geomspace(1e-3, 0.5, max(1, points // across))]
    shares = [float(f"{share:.4f}") for share in np.geomspace(0.05, 0.9, across)]
    templates = synthetic_runs.write(synthetic_runs.sweep(shares, SEEDS, lr=rates[0]), out)
    for folder in templates:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        for rate in rates[1:]:
            _copied(folder, spec, rate)
    return len(templates) * len(rates)


def _copied(folder: Path, spec: dict[str, Any], rate: float) -> None:
    """A run folder again, as if it had been trained with another learning rate."""
    from dominoes.runs import state

    canonical = json.dumps({**spec, "train": {**spec["train"], "lr": rate}}, sort_keys=True, separators=(",", ":"))
    name = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    place = folder.with_name(name)
    place.mkdir()
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    for file, known in environment["files"].items():
        content = (folder / file).read_bytes()
        if file.endswith(".csv"):
            content = content.replace(folder.name.encode(), name.encode())
            known["sha256"] = hashlib.sha256(content).hexdigest()
        (place / file).write_bytes(content)
    (place / "spec.json").write_text(canonical, encoding="utf-8")
    (place / "environment.json").write_text(state.sealed(environment), encoding="utf-8")
    (place / "DONE").touch()


def growth(sizes: Sequence[int]) -> list[dict[str, float]]:
    """One row a size: `size` (runs), `cpu` (s), `wall` (s), `mb` (peak memory) and `bytes` (of the page)."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            out, page = Path(folder) / "sweep", Path(folder) / "report.html"
            count = grown(size, out)
            rows.append({"size": float(count)} | made(out, page))
    return rows


def drawn(page: Path) -> tuple[float, float]:
    """Wall seconds to the first figure, and to all of them."""
    from browser import chromium

    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.monotonic()
        tab.goto(page.as_uri())
        tab.wait_for_selector("figure.chart[data-traces]")
        first = time.monotonic() - began
        tab.evaluate("() => window.dominoes.drawAll()")
        return first, time.monotonic() - began


def main() -> None:
    """Print the table."""
    import synthetic_runs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", type=int, nargs="+", metavar="RUNS", help="sizes of sweeps, for time, memory and bytes alone")
    options = parser.parse_args()
    if options.growth:
        print("| runs | CPU s | peak MB | page MB | slope |\n|---|---|---|---|---|")
        before: dict[str, float] = {}
        for row in growth(options.growth):
            slope = f"{np.log(row['cpu'] / before['cpu']) / np.log(row['size'] / before['size']):.2f}" if before else ""
            print(f"| {row['size']:.0f} | {row['cpu']:.1f} | {row['mb']:.0f} | {row['bytes'] / 1e6:.1f} | {slope} |", flush=True)
            before = row
        return
    print("| sweep | options | CPU s | wall s | MB | first figure s | all figures s |\n|---|---|---|---|---|---|---|")
    for name, values, seeds in (("11 × 10 seeds", 11, 10), ("110 × 1 seed", 110, 1)):
        with tempfile.TemporaryDirectory() as folder:
            out, page = Path(folder) / "sweep", Path(folder) / "report.html"
            shares = [float(f"{share:.4f}") for share in np.geomspace(0.05, 0.9, values)]
            synthetic_runs.write(synthetic_runs.sweep(shares, seeds), out)
            for flags in ((), ("--fit",)):
                cost = made(out, page, *flags)
                first, everything = (float(np.median(times)) for times in zip(*(drawn(page) for _ in range(3)), strict=True))
                told = f"{cost['cpu']:.1f} | {cost['wall']:.1f} | {cost['bytes'] / 1e6:.1f} | {first:.1f} | {everything:.1f}"
                print(f"| {name} | {' '.join(flags)} | {told} |")


if __name__ == "__main__":
    main()
