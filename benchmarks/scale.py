"""How time and memory grow from a thousand runs to a million, and with dominoes and classes; each figure in a process of its own.

    python -m benchmarks.scale --quick           # bounded sizes, as CI has them
    python -m benchmarks.scale                   # full sizes, about an hour
    python -m benchmarks.scale --only status     # one measurement

Runs are synthetic: the tables of a few runs of the writers' own, with new ids and losses of full entropy, so that shards have the size that
trained ones have. CPU seconds of one thread and the peak of resident memory, the start of Python included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RUNS_QUICK, RUNS_FULL = (1_000, 3_000), (1_000, 10_000, 100_000, 1_000_000)
ROWS_QUICK, ROWS_FULL = (10_000, 100_000), (100_000, 1_000_000, 10_000_000)
_TEMPLATE = 50

_STATUS = """
from pathlib import Path
from dominoes.runs import plan, progress
found = progress.sweep_status(plan.outline(Path(ARGUMENT)), Path(ARGUMENT))
assert found.done == found.runs, found
"""
_EXPORT = """
from pathlib import Path
from dominoes.runs import collected, plan
collected.export_table(plan.load_plan(Path(ARGUMENT)), Path(ARGUMENT), Path(ARGUMENT) / "curves.csv")
"""
_COMPARE = """
from dominoes.cli.commands import main
main(args=["compare", ARGUMENT, "--out", "-", "--partial"], standalone_mode=False)
"""
_BUILD = """
from pathlib import Path
import tempfile
from dominoes.data import dealing, folder
from dominoes.spec import DominoSpec
spec = DominoSpec(n=ARGUMENT, prevalence=(0.5, 0.4), reuse=100_000, top="digits", bottom="textures")
with tempfile.TemporaryDirectory() as place:
    folder.save_dataset(dealing.deal_spec(spec), Path(place) / "out")
"""
_NPZ = """
from pathlib import Path
import tempfile
from dominoes.data import dealing, pixels
from dominoes.data.dominoes import Dominoes
from dominoes.spec import DominoSpec
spec = DominoSpec(n=ARGUMENT, prevalence=(0.5, 0.4), reuse=100_000, top="digits", bottom="textures")
with tempfile.TemporaryDirectory() as place:
    pixels.export_pixels(Dominoes.of(dealing.deal_spec(spec)), "npz", Path(place) / "out.npz")
"""
_SOLVE = """
from dominoes.solver import solution
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec
stock = Stock((500,) * ARGUMENT, (500,) * ARGUMENT)
solution.solve(DominoSpec(n=20 * ARGUMENT, prevalence=(0.5, 0.4), reliability=(0.9, 0.8)), stock)
"""


def packed(out: Path, count: int) -> None:
    """A results folder with so many packed runs, and their plan."""
    sys.path.insert(0, str(ROOT / "tests" / "oracles"))
    import pyarrow as pa
    import synthetic_runs

    from dominoes.runs import plan, run_folders
    from dominoes.runs.packed import manifest, packing, shards
    from dominoes.runs.plan import Plan, Planned

    base = synthetic_runs.sweep([0.2, 0.35, 0.5, 0.65, 0.8], _TEMPLATE // 5)
    template = out / "template"
    synthetic_runs.write(base, template)
    packing.pack_folders(template)
    (part,) = manifest.load_manifest(template).parts
    shard = shards.Shard(part)
    order = [folder.name for folder in run_folders.finished(template)]
    specs = {spec.id: spec for spec in base}
    kinds = {spec.id: run_folders.read_run(template / "runs" / spec.id).environment["dominoes"]["kinds"] for spec in base}
    rng = np.random.default_rng(0)
    planned: list[Planned] = []
    (out / "packed").mkdir(parents=True)
    for start in range(0, count, _TEMPLATE * 10):
        copies: list[dict[str, pa.Table]] = []
        rows: list[dict[str, object]] = []
        for copy in range(start, min(start + _TEMPLATE * 10, count), _TEMPLATE):
            new = {run: specs[run].model_copy(update={"seed": 1000 + copy + number}) for number, run in enumerate(order)}
            ids = {run: spec.id for run, spec in new.items()}
            planned += [Planned(spec, 1500, kinds[run], ids[run]) for run, spec in new.items()]
            tables = {}
            for what in (*shards.FORMS, "runs"):
                table = shard.folded(what)
                renamed = pa.array([ids[run] for run in table["run"].to_pylist()])
                table = table.set_column(0, "run", renamed)
                if "loss" in table.column_names:
                    lists = table["loss"].combine_chunks()
                    noisy = lists.values.to_numpy() * (1 + 1e-3 * rng.random(len(lists.values)))
                    table = table.set_column(
                        table.column_names.index("loss"), "loss", pa.ListArray.from_arrays(lists.offsets, pa.array(noisy))
                    )
                if what == "runs":
                    table = table.set_column(1, "spec", pa.array([new[run].canonical() for run in order]))
                tables[what] = table
            copies.append(tables)
            rows += [row | {"run": ids[str(row["run"])]} for row in part.runs.to_pylist()]
        whole = {what: pa.concat_tables([tables[what] for tables in copies]) for what in copies[0]}
        shards.keep_shard(whole, rows, out / "packed")
    plan.save_plan(Plan("scale", "", ("seed",), tuple(planned), ()), out, b"name: scale\n", table=True)


def measured(script: str, argument: object, note: str = "") -> dict[str, object]:
    """CPU seconds and peak memory of a script in a process of its own; `failed` with the last line of what it said."""
    text = f"ARGUMENT = {argument!r}\n{script}"
    # The peak of this process alone: what getrusage says begins with that of the one that started it.
    timed = f"{text}\nimport json, re, sys, time\npeak = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
    timed += "sys.stderr.write('\\n' + json.dumps([time.process_time(), peak]))"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["?"])[-1][:120]}
    seconds, memory = json.loads(done.stderr.strip().splitlines()[-1])
    return {"cpu": round(seconds, 2), "mb": round(memory), **({"note": note} if note else {})}


def slope(sizes: list[int], values: list[float]) -> float | None:
    """Exponent of growth between the two largest sizes."""
    if len(sizes) < 2 or min(values[-2:]) <= 0:
        return None
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def show(title: str, found: dict[int, dict[str, object]]) -> None:
    """A row for each size, and the slope."""
    for size, row in found.items():
        print(
            f"| {title} | {size:,} | "
            + (f"{row['cpu']} s, {row['mb']} MB" if "cpu" in row else f"failed: {row['failed']}")
            + f" | {row.get('note', '')} |"
        )
    good = {size: float(str(row["cpu"])) for size, row in found.items() if "cpu" in row}
    grown = slope(list(good), list(good.values()))
    if grown is not None:
        print(f"| {title} | slope | {grown:.2f} | |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["status", "export", "compare", "build", "npz", "solve"])
    parser.add_argument("--sizes", type=int, nargs="+", help="instead of the usual ones")
    options = parser.parse_args()
    wanted: Callable[[str], bool] = lambda name: options.only in (None, name)  # noqa: E731
    print("| what | size | CPU s and MB | |\n|---|---|---|---|")
    runs = options.sizes or (RUNS_QUICK if options.quick else RUNS_FULL)
    found: dict[str, dict[int, dict[str, object]]] = {"status": {}, "export": {}, "compare": {}}
    for count in runs if any(map(wanted, found)) else ():
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "out"
            packed(out, count)
            files = list((out / "packed").iterdir())
            size = sum(path.stat().st_size for path in files) / count
            note = f"{size / 1000:.1f} KB a run in {len(files)} files"
            if wanted("status"):
                found["status"][count] = measured(_STATUS, str(out), note)
            if wanted("export") and count <= 100_000:
                found["export"][count] = measured(_EXPORT, str(out))
            if wanted("compare") and count <= 3_000:
                found["compare"][count] = measured(_COMPARE, str(out))
    for name, rows in found.items():
        show(f"{name}, packed runs", rows)
    sizes = options.sizes or (ROWS_QUICK if options.quick else ROWS_FULL)
    if wanted("build"):
        show("build, dominoes", {size: measured(_BUILD, size) for size in sizes})
    if wanted("npz"):
        show("export --to npz, dominoes", {size: measured(_NPZ, size) for size in sizes if size <= 1_000_000})
    if wanted("solve"):
        classes = options.sizes or ((10, 100) if options.quick else (10, 100, 400, 1000))
        show("solve, classes", {size: measured(_SOLVE, size) for size in classes})


if __name__ == "__main__":
    main()
