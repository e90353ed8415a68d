"""What a report costs: `python -m benchmarks.report`.

Sweeps of 110 runs of 61 steps and nine curves (all kinds, train and test), written by the real writers from formulas: as 11 values of ten
seeds, and as 110 values of one seed, which is the page with most to draw. The command is timed as a process of its own, the start of
Python included; the browser (Debian's Chromium, headless) from the call to open the file to the first figure, and until all are drawn.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "oracles"))


def made(out: Path, page: Path, *options: str) -> tuple[float, float]:
    """CPU and wall seconds of the command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "report", str(out), "--out", str(page), *options], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began


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

    print("| sweep | options | CPU s | wall s | MB | first figure s | all figures s |\n|---|---|---|---|---|---|---|")
    for name, values, seeds in (("11 × 10 seeds", 11, 10), ("110 × 1 seed", 110, 1)):
        with tempfile.TemporaryDirectory() as folder:
            out, page = Path(folder) / "sweep", Path(folder) / "report.html"
            shares = [float(f"{share:.4f}") for share in np.geomspace(0.05, 0.9, values)]
            synthetic_runs.write(synthetic_runs.sweep(shares, seeds), out)
            for options in ((), ("--fit",)):
                cpu, wall = made(out, page, *options)
                first, everything = (float(np.median(times)) for times in zip(*(drawn(page) for _ in range(3)), strict=True))
                size = page.stat().st_size / 1e6
                print(f"| {name} | {' '.join(options)} | {cpu:.1f} | {wall:.1f} | {size:.1f} | {first:.1f} | {everything:.1f} |")


if __name__ == "__main__":
    main()
