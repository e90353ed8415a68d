"""The trainer against the one that people write first: `python -m benchmarks.train [--rounds 3] [--json] [--only ROW] [--data DIR]`.

Both sides live in processes of their own, one thread each, ours with the environment of a worker (`protocol.ENVIRONMENT`), the baseline
with a plain one, and are asked in turn (A B A B ...), `rounds` times; steps and evaluations after one round that is thrown away, which
holds the first use of everything. Imports and the making of data are never in a timer. Seconds are CPU seconds of the process, so other
work on the machine matters little; starts are wall seconds. A ratio is baseline over ours in one round; given are the median and the range
over rounds.

Whole runs are scaled: 1/S of the dominoes, of the probes and of the steps between evaluations, so that training and evaluating keep
their shares. `--scale 1` runs them in full (hours). `--quick` is a tiny pass through every row on the embedded sources, to see that it
works; its numbers mean nothing. What each figure holds is said by the functions in `benchmarks.sides`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dominoes.runs.engines import protocol
from dominoes.spec import DominoSpec

ROOT = Path(__file__).parents[1]
REAL, EMBEDDED = ("mnist", "cifar10"), ("digits", "textures")
# A run as studies have it: 50,000 training and 10,000 test dominoes, 5 epochs, probes of 1,000 a kind, the baseline every 100 steps.
TRAIN, TEST, PROBE, EPOCHS, EVERY = 50_000, 10_000, 1000, 5, 100
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        title: of the line.
        floor: ratio (or seconds) that must be reached.
        aim: ratio that is hoped for.
        measure: makes one round's figures: `ratio` or `seconds`, and whatever else is worth telling.
        unit: of floor and aim: times as fast, times less, or seconds.
    """

    title: str
    floor: float
    aim: float
    measure: Callable[[], dict[str, float]]
    unit: str = "x"


class Side:
    """A process that answers requests for figures."""

    def __init__(self, name: str):
        environment = os.environ | (protocol.ENVIRONMENT if name == "ours" else _ONE_THREAD)
        command = [sys.executable, "-m", "benchmarks.sides", name]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, figure: str, **sizes: Any) -> dict[str, float]:
        """The answer to one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"figure": figure, **sizes}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the side failed at {figure}; its error stands above")
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextlib.contextmanager
def sides() -> Iterator[Callable[[str], Side]]:
    """Both sides, started when first asked for."""
    found: dict[str, Side] = {}

    def side(name: str) -> Side:
        return found.setdefault(name, found.get(name) or Side(name))

    try:
        yield side
    finally:
        for each in found.values():
            each.close()


def once(name: str, figure: str, **sizes: Any) -> dict[str, float]:
    """The answer of a process that is started for it."""
    side = Side(name)
    try:
        return side(figure, **sizes)
    finally:
        side.close()


def cpu_rows(side: Callable[[str], Side], sources: tuple[str, str], scale: int | None, quick: bool, out: Path) -> dict[str, Row]:
    """All rows that need no GPU. `scale`: of whole runs, None: 20 and 10 for the detector, 50 for ResNet8."""

    def ratio(figure: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Callable[[], dict[str, float]]:
        def measure() -> dict[str, float]:
            plain = side("baseline")(figure, sources=sources, **theirs)["seconds"]
            fast = side("ours")(figure, sources=sources, **ours)
            shares = {"share of ours in measuring": fast["measuring"]} if "measuring" in fast else {}
            return {"ratio": plain / fast["seconds"], "baseline s": plain, "ours s": fast["seconds"], **shares}

        return measure

    def evaluation(model: str, probe: int) -> Callable[[], dict[str, float]]:
        sizes = {"model": model, "n": 300 if quick else 20 * probe, "probe": probe, "sources": sources}

        def measure() -> dict[str, float]:
            plain, fast = side("baseline")("evaluation", **sizes), side("ours")("evaluation", **sizes)
            graph = side("baseline")("evaluation", **sizes, graph=True)
            assert plain["dominoes"] == fast["dominoes"]
            seconds = {"baseline s": plain["seconds"], "ours s": fast["seconds"], "dominoes": fast["dominoes"]}
            each = plain["seconds"] / fast["seconds"]
            return {
                "ratio": each,
                "of distinct dominoes": each * fast["distinct"] / fast["dominoes"],
                "baseline without no_grad": graph["seconds"] / fast["seconds"],
                **seconds,
            }

        return measure

    def memory() -> dict[str, float]:
        sizes = {"model": "detector", "n": 300 if quick else TRAIN, "test": 100 if quick else TEST, "probe": 20 if quick else PROBE}
        plain, fast = (once(name, "memory", sources=sources, **sizes) for name in ("baseline", "ours"))
        own = [each["peak"] - each["imports"] for each in (plain, fast)]
        found = {"ratio": own[0] / own[1], "whole process": plain["peak"] / fast["peak"]}
        if "RssAnon" in fast and fast["RssAnon"] > 0:
            found["private"] = plain["RssAnon"] / fast["RssAnon"]
        for name, each in (("baseline", plain), ("ours", fast)):
            found |= {f"{name} {what} MiB": value for what, value in each.items()}
        return found

    def start() -> dict[str, float]:
        protocol.compose(spec, protocol.WorkerSetting(out))
        return once("ours", "start", model="detector", n=spec.n, probe=20 if quick else PROBE, sources=sources, out=str(out))

    spec = DominoSpec(n=300 if quick else TRAIN, prevalence=(0.65, 0.65), top=sources[0], bottom=sources[1])
    rows: dict[str, Row] = {}
    for model, floor, aim, steps in (("detector", 1.3, 1.5, 30), ("resnet8", 1.35, 1.6, 6)):
        sizes = {"model": model, "n": 64 * (3 if quick else steps + 1)}
        rows[f"step {model}"] = Row(f"train step, {model}, CPU", floor, aim, ratio("step", sizes, sizes))
    for model, floor, aim, probe in (("detector", 2.2, 3.0, PROBE), ("resnet8", 1.6, 2.0, 300)):
        rows[f"evaluation {model}"] = Row(f"evaluation, {model}, CPU", floor, aim, evaluation(model, 20 if quick else probe))
    for model, floor, aim, part in (("detector", 2.0, 2.5, 20), ("resnet8", 1.5, 1.8, 50)):
        part = scale or part
        sizes = {"model": model, "n": TRAIN // part, "test": TEST // part, "every": max(EVERY // part, 1)}
        if quick:
            sizes |= {"n": 128, "test": 40, "every": 1}
        rows[f"same schedule {model}"] = Row(f"whole run, same schedule, {model}, CPU", floor, aim, ratio("same", sizes, sizes))
    for model, part, epochs in (("detector", 10, EPOCHS), ("resnet8", 50, 1)):
        part = scale or part
        sizes = {"model": model, "n": TRAIN // part, "epochs": EPOCHS if scale else epochs}
        if quick:
            sizes |= {"n": 128, "epochs": 1}
        theirs = sizes | ({"test": 40, "every": 1} if quick else {"test": TEST // part, "every": max(EVERY // part, 1)})
        # What the rule makes of 50,000 dominoes and 5 epochs, in proportion.
        ours = sizes | {"measurements": 60, "probe": 20 if quick else PROBE // part, "probe_train": 5 if quick else PROBE // 4 // part}
        rows[f"default schedule {model}"] = Row(f"whole run, default schedule, {model}, CPU", 6.0, 8.0, ratio("whole", ours, theirs))
    small = {"model": "detector", "n": 128 if quick else 5000, "epochs": 1 if quick else EPOCHS}
    theirs = small | ({"test": 40, "every": 1} if quick else {"test": TEST, "every": EVERY})
    rows["small detector"] = Row("whole run, default, 5,000 dominoes, detector, CPU", 3.0, 4.0, ratio("whole", small, theirs))
    rows["memory"] = Row("peak memory of a run on 50,000 dominoes, beyond imports", 4.0, 6.0, memory)
    rows["start"] = Row("start to first step, imports apart", 1.5, 0.5, start, unit="s")
    return rows


def measured(row: Row, rounds: int, warm: bool) -> dict[str, Any]:
    """All rounds of a row, with the median and the range of what it is judged by."""
    began = time.perf_counter()
    warm_up = row.measure() if warm else None
    warmed = time.perf_counter() - began
    found = [row.measure() for _ in range(rounds)]
    by = "ratio" if "ratio" in found[0] else "seconds"
    values = [each[by] for each in found]
    middle = statistics.median(values)
    reached = (lambda limit: middle >= limit) if by == "ratio" else (lambda limit: middle <= limit)
    return {
        "title": row.title,
        "by": by,
        "median": middle,
        "range": [min(values), max(values)],
        "floor": row.floor,
        "aim": row.aim,
        "reached": "aim" if reached(row.aim) else "floor" if reached(row.floor) else "neither",
        "warm-up s": warmed if warm_up else None,
        "rounds": found,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object, a key a row")
    parser.add_argument("--markdown", action="store_true", help="the table as it stands in README.md")
    parser.add_argument("--only", action="append", metavar="ROW", help="rows whose key begins so; repeatable")
    parser.add_argument("--data", type=Path, help="folder with mnist and cifar10; without them: the embedded sources")
    parser.add_argument("--scale", type=int, help="of whole runs; 1: in full")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    options = parser.parse_args()
    if options.rounds < 1 or (options.scale or 1) < 1:
        parser.error(f"--rounds and --scale: expected 1 or more, got {options.rounds} and {options.scale}")
    if options.data:
        os.environ["DOMINOES_DATA"] = str(options.data.resolve())
    data = Path(os.environ.get("DOMINOES_DATA") or ROOT / "../shared/data")
    real = (data / "mnist").is_dir() and not options.quick
    if real:
        os.environ["DOMINOES_DATA"] = str(data.resolve())
    sources = REAL if real else EMBEDDED
    about = {
        "machine": _processor(),
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy")},
        "sources": " over ".join(sources),
        "rounds": options.rounds,
    }
    result: dict[str, Any] = {"about": about}
    with tempfile.TemporaryDirectory() as folder, sides() as side:
        rows = cpu_rows(side, sources, options.scale, options.quick, Path(folder))
        for each in options.only or []:
            if not any(key.startswith(each) for key in rows):
                parser.error(f"no row begins with {each}; the rows are {', '.join(rows)}")
        wanted = [key for key in rows if not options.only or any(key.startswith(each) for each in options.only)]
        if not options.json:
            print(", ".join(f"{name} {value}" for name, value in about.items()))
            if options.markdown:
                print("\n| figure | median | range | floor | aim | beside |\n|---|---|---|---|---|---|")
        for key in wanted:
            # In whole runs what happens once belongs to what is measured, as in fresh processes.
            warm = not options.quick and key.startswith(("step", "evaluation"))
            result[key] = measured(rows[key], options.rounds, warm=warm)
            if not options.json:
                print((_cells if options.markdown else _line)(key, result[key], rows[key].unit), flush=True)
    if options.json:
        print(json.dumps(result, indent=1))


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def _cells(key: str, found: dict[str, Any], unit: str) -> str:
    sign, end = ("", " s") if unit == "s" else ("÷" if key == "memory" else "×", "")
    middle = f"{sign}{found['median']:.2f}{end}"
    spread = f"{found['range'][0]:.2f} to {found['range'][1]:.2f}"
    names = [name for name in found["rounds"][0] if name != found["by"]]
    beside = ", ".join(f"{name} {statistics.median(each[name] for each in found['rounds']):.4g}" for name in names)
    return f"| {found['title']} | {middle} | {spread} | {sign}{found['floor']:g}{end} | {sign}{found['aim']:g}{end} | {beside} |"


def _line(key: str, found: dict[str, Any], unit: str) -> str:
    head = f"{key:26} {found['title']}: "
    last = ", ".join(f"{name} {value:.4g}" for name, value in found["rounds"][-1].items() if name != found["by"])
    low, high = found["range"]
    return (
        f"{head}{found['median']:.2f} {unit} ({low:.2f} to {high:.2f}); floor {found['floor']:g}, aim {found['aim']:g}: {found['reached']}"
        f"\n{'':26} last round: {last}"
    )


if __name__ == "__main__":
    main()
