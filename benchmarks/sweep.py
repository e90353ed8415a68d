"""What a sweep costs beside its runs: `python -m benchmarks.sweep [--rounds 3] [--runs 10000] [--json] [--only scan]`.

Throughput: eight runs of the detector on 1,200 embedded dominoes (8 epochs, 10 measurements, probes of 200; about 6 s each), by one worker,
then by two, `rounds` times over; it wants an idle machine of two cores or more. `at work` counts from the first run's start to the last
one's end, `start` is what comes before: starting Python and importing torch in each worker, and composing the dataset. Overhead is what
the workers' time at work has beside the runs' own (training, measuring and writing), in per cent of these.

Scan: `runs` finished runs, each with tables of the default size (60 points of measurement, nine kinds), written just before and so in the
page cache. `status` and `export` are timed as commands of their own, the start of Python included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIELDS = {"dataset.top": "digits", "dataset.bottom": "textures", "dataset.prevalence": [0.65, 0.65]}


def described(seeds: int, **more: Any) -> Any:
    """A sweep over seeds."""
    from dominoes import sweep

    fields = FIELDS | {name.replace("__", "."): value for name, value in more.items()}
    parameters = {name: {"value": value} for name, value in fields.items()} | {"seed": {"min": 0, "max": seeds - 1}}
    return sweep.expand({"name": "benchmark", "method": "grid", "parameters": parameters})


def throughput(workers: int) -> dict[str, float]:
    """Seconds of one sweep of eight runs."""
    from dominoes import engines
    from dominoes.jobs import Setting

    runs = described(8, dataset__n=1200, train__epochs=8, train__batch=32, train__measurements=10, train__probe=200).runs
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        began = time.monotonic()
        starts, ends = [], []
        engine = engines.local(iter(runs), Setting(out, "cpu"), workers=workers)
        for report in engine:
            ends.append(time.monotonic())
            starts.append(ends[-1] - report.seconds)
        inside = [json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in out.glob("runs/*/environment.json")]
    at_work = max(ends) - min(starts)
    own = sum(each["wall"] for each in inside)
    waiting = workers * at_work - own - idle(starts, ends, workers)
    return {"workers": workers, "start": min(starts) - began, "at work": at_work, "runs": own, "overhead %": 100 * waiting / own}


def idle(starts: list[float], ends: list[float], workers: int) -> float:
    """Time at the ends of the sweep in which a worker has no run any more, or not yet: no overhead, but too few runs."""
    return sum(max(ends) - end for end in sorted(ends)[-workers:]) + sum(start - min(starts) for start in sorted(starts)[:workers])


def scan(count: int) -> dict[str, float]:
    """Seconds of status and export over many finished runs."""
    from dominoes import deal, plan, run, state
    from dominoes.dataset import probes

    found = plan.make(described(count, dataset__n=1000, train__epochs=8, train__batch=16, train__probe=200))
    first = found.runs[0].spec
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        made = run.execute(first, deal.make(first.dataset), probes(first.dataset, first.train.probe, 0), out).folder
        for each in found.runs[1:]:
            place = made.with_name(each.spec.id)
            place.mkdir()
            for name in (*state.TABLES, "environment.json", state.DONE):
                shutil.copyfile(made / name, place / name)
            (place / "spec.json").write_text(each.spec.canonical(), encoding="utf-8")
        plan.save(found, out, b"")
        size = sum(path.stat().st_size for path in made.iterdir())
        seconds = {"runs": count, "MB": count * size / 1e6}
        for name, arguments in (("status", []), ("export", ["--out", str(Path(folder) / "curves.parquet")])):
            began = time.monotonic()
            subprocess.run(
                [sys.executable, str(ROOT / "cli.py"), "sweep", name, str(out), *arguments], check=True, stdout=subprocess.DEVNULL
            )
            seconds[name] = time.monotonic() - began
        seconds["parquet MB"] = (Path(folder) / "curves.parquet").stat().st_size / 1e6
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--only", choices=["throughput", "scan"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if options.only != "scan":
        rows = [throughput(workers) for _ in range(options.rounds) for workers in (1, 2)]
        ratios = [one["at work"] / two["at work"] for one, two in zip(rows[::2], rows[1::2], strict=True)]
        found |= {"throughput": rows, "two workers over one": ratios, "median": statistics.median(ratios)}
    if options.only != "throughput":
        found["scan"] = scan(options.runs)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['cores']} cores, load {found['load']:.2f} before the start")
    for row in found.get("throughput", []):
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    if "median" in found:
        print(f"two workers over one: {', '.join(f'{ratio:.2f}' for ratio in found['two workers over one'])}; median {found['median']:.2f}")
    if "scan" in found:
        print("  ".join(f"{name} {value:.4g}" for name, value in found["scan"].items()))


if __name__ == "__main__":
    main()
