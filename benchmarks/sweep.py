"""What a sweep costs beside its runs: `python -m benchmarks.sweep [--rounds 3] [--runs 10000] [--json] [--only scan]`.

Each figure is the median and range over rounds.

Throughput: eight runs of the detector on 1,200 embedded dominoes (8 epochs, 10 measurements, probes of 200; about 6 s each), by one worker,
then by two, `rounds` times over; it wants an idle machine of two cores or more. `at work` counts from the first run's start to the last
one's end, `start` is what comes before: starting Python and importing torch in each worker, and composing the dataset. Overhead is what
the workers' time at work has beside the runs' own (training, measuring and writing), in per cent of these.

Scan: `runs` finished runs, each with tables of the default size (60 points of measurement, nine kinds), written just before and so in the
page cache. `status` and `export` are timed in turn, as commands of their own, the start of Python included.
"""

from __future__ import annotations

import argparse
import hashlib
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dominoes.spec import RunSpec

ROOT = Path(__file__).parents[1]
FIELDS = {"dataset.top": "digits", "dataset.bottom": "textures", "dataset.prevalence": [0.65, 0.65]}


def described(seeds: int, **more: Any) -> Any:
    """A sweep over seeds."""
    from dominoes.runs import sweep_file

    fields = FIELDS | {name.replace("__", "."): value for name, value in more.items()}
    parameters = {name: {"value": value} for name, value in fields.items()} | {"seed": {"min": 0, "max": seeds - 1}}
    return sweep_file.expand({"name": "benchmark", "method": "grid", "parameters": parameters})


def throughput(workers: int) -> dict[str, float]:
    """Seconds of one sweep of eight runs."""
    from dominoes.runs.engines import local
    from dominoes.runs.engines.protocol import WorkerSetting

    runs = described(8, dataset__n=1200, train__epochs=8, train__batch=32, train__measurements=10, train__probe=200).runs
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        began = time.monotonic()
        starts, ends = [], []
        engine = local.local(iter(runs), WorkerSetting(out, "cpu"), workers=workers)
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


def scan(count: int, rounds: int) -> list[dict[str, float]]:
    """Seconds of status and export over many finished runs, `rounds` times over the same ones."""
    from dominoes.data import dealing
    from dominoes.data.probe_sets import probes
    from dominoes.runs import execution, plan

    found = plan.make_plan(described(count, dataset__n=1000, train__model="mlp", train__epochs=8, train__batch=16, train__probe=200))
    first = found.runs[0].spec
    with tempfile.TemporaryDirectory() as folder:
        out, table = Path(folder) / "out", Path(folder) / "curves.parquet"
        made = execution.execute(first, dealing.deal_spec(first.dataset), probes(first.dataset, first.train.probe, 0), out).folder
        for each in found.runs[1:]:
            place = made.with_name(each.spec.id)
            shutil.copytree(made, place)
            renamed(place, made.name, each.spec)
        plan.save_plan(found, out, b"")
        size = sum(path.stat().st_size for path in made.iterdir())
        rows = []
        for _ in range(rounds):
            status, export = command("status", out), command("export", out, "--out", table)
            rows.append(
                {"status": status, "export": export, "runs": count, "MB": count * size / 1e6, "Parquet MB": table.stat().st_size / 1e6}
            )
        return rows


def renamed(place: Path, before: str, spec: RunSpec) -> None:
    """Make the copy of a run's folder that of another run: its spec, the id in its tables, and their digests."""
    from dominoes.runs import state

    (place / "spec.json").write_text(spec.canonical(), encoding="utf-8")
    environment = json.loads((place / "environment.json").read_text(encoding="utf-8"))
    for name, known in environment["files"].items():
        if name.endswith(".csv"):
            content = (place / name).read_bytes().replace(before.encode(), spec.id.encode())
            (place / name).write_bytes(content)
            known["sha256"] = hashlib.sha256(content).hexdigest()
    (place / "environment.json").write_text(state.sealed(environment), encoding="utf-8")


def command(name: str, out: Path, *arguments: str | Path) -> float:
    """Wall seconds of a command of `dominoes sweep`."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "sweep", name, str(out), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - began


def row(title: str, values: list[float], limit: float, unit: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """A line of the table: the median and range of a figure, what is asked for (at least, of a ratio; else at most), and all that was
    measured."""
    middle = statistics.median(values)
    reached = middle >= limit if unit == "x" else middle <= limit
    limits = [min(values), max(values)]
    return {"title": title, "median": middle, "range": limits, "asked": limit, "unit": unit, "reached": reached, "rounds": rounds}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--only", choices=["throughput", "scan"])
    parser.add_argument("--json", action="store_true", help="one JSON object, a key a row")
    options = parser.parse_args()
    if options.rounds < 1 or options.runs < 1:
        parser.error(f"--rounds and --runs: expected 1 or more, got {options.rounds} and {options.runs}")
    about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load before": os.getloadavg()[0]}
    found: dict[str, Any] = {"about": about | {"rounds": options.rounds}}
    if options.only != "scan":
        # One round is the sweep by one worker, then by two.
        ones, twos = zip(*[(throughput(1), throughput(2)) for _ in range(options.rounds)], strict=True)
        ratios = [one["at work"] / two["at work"] for one, two in zip(ones, twos, strict=True)]
        both = [each for pair in zip(ones, twos, strict=True) for each in pair]
        found["two workers"] = row("two workers' throughput over one's", ratios, 1.8, "x", both)
        found["overhead"] = row("the sweep's own time beside its runs'", [each["overhead %"] for each in both], 2, "%", both)
    if options.only != "throughput":
        rows = scan(options.runs, options.rounds)
        for name, limit in (("status", 3), ("export", 60)):
            found[name] = row(f"sweep {name}, {options.runs} finished runs", [each[name] for each in rows], limit, "s", rows)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in found.pop("about").items()))
    for key, each in found.items():
        (low, high), asked = each["range"], "at least" if each["unit"] == "x" else "at most"
        print(f"{key:12} {each['title']}: {each['median']:.2f} {each['unit']} ({low:.2f} to {high:.2f}); {asked} {each['asked']} asked for")
        for one in each["rounds"]:
            print(f"{'':12} {', '.join(f'{name} {value:.4g}' for name, value in one.items())}")


if __name__ == "__main__":
    main()
