"""How time and memory grow from a thousand runs to a million, and with dominoes and classes; each figure in a process of its own.

    python -m benchmarks.scale --quick           # bounded sizes, as CI has them
    python -m benchmarks.scale                   # full sizes, about an hour
    python -m benchmarks.scale --only status     # one measurement

Runs are synthetic: the tables of a few runs of the writers' own, of 20 points in time as default runs of 5,000 dominoes have, with new
seeds, ids and losses of full entropy, so that shards have the size that trained ones have. CPU seconds of one thread and the peak of
resident memory, the start of Python included; of that, the part that is no file's (sampled every hundredth of a second).
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
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dominoes.spec import RunSpec

ROOT = Path(__file__).parents[1]
RUNS_QUICK, RUNS_FULL = (1_000, 3_000), (1_000, 10_000, 100_000, 1_000_000)
ROWS_QUICK, ROWS_FULL = (10_000, 100_000), (100_000, 1_000_000, 10_000_000)
_TEMPLATE = 50
_SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)
_POINTS = 20

_WATCH = """
import re, sys, threading, time
def told(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
own, ended = [0.0], threading.Event()
def watch():
    while not ended.wait(0.01):
        own[0] = max(own[0], told("RssAnon"))
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
def watch_ends():
    ended.set()
    watcher.join()
    sys.stderr.write(f"\\n[{time.process_time():.2f}, {told('VmHWM'):.0f}, {max(own[0], told('RssAnon')):.0f}]")
"""
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
_RESUME = """
import sys
from pathlib import Path
from dominoes.runs import sweep_file, sweeping
from dominoes.runs.engines.protocol import WorkerSetting
out = Path(ARGUMENT)
sweep = sweep_file.read_sweep_file(out / "sweep.yaml")
ready = sweeping.prepare_sweep(sweep, WorkerSetting(out, "cpu"), accept_changed=True)
assert not ready.missing and len(ready.plan.runs) == len(sweep.runs), (len(ready.missing), ready.notes)
"""
_PARQUET = """
from pathlib import Path
from dominoes.runs import collected, plan
collected.export_table(plan.load_plan(Path(ARGUMENT)), Path(ARGUMENT), Path(ARGUMENT) / "curves.parquet")
"""
_COMMAND = """
from dominoes.cli.commands import main
main(args=ARGUMENT, standalone_mode=False)
"""
_FIT = """
import sys, time
sys.path.insert(0, "tests/oracles")
from pathlib import Path
from dominoes.runs.parameters import read_runs
from dominoes.theory.fits.table import fit_table
curves = read_runs(Path(ARGUMENT))
fit_table(curves[curves["run"] == curves["run"].iloc[0]])
began = time.process_time()
fit_table(curves)
count = curves.groupby(["run", "split", "kind"]).ngroups
sys.stderr.write(f"{1e3 * (time.process_time() - began) / count:.2f} ms a curve, all families and both metrics\\n")
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
_SOURCE = """
import os, tempfile
from pathlib import Path
import numpy as np
from dominoes.data import sources
from dominoes.spec import Split
with tempfile.TemporaryDirectory() as place:
    os.environ["XDG_CACHE_HOME"] = place
    path = Path(place) / "own.npz"
    pictures = np.lib.format.open_memmap(Path(place) / "x.npy", mode="w+", dtype=np.uint8, shape=(ARGUMENT, 32, 32, 3))
    rng = np.random.default_rng(0)
    for start in range(0, ARGUMENT, 10_000):
        pictures[start : start + 10_000] = rng.integers(0, 255, pictures[start : start + 10_000].shape, dtype=np.uint8)
    labels = np.arange(ARGUMENT) % 10
    import zipfile
    with zipfile.ZipFile(path, "w") as archive:
        pictures.flush()
        archive.write(Path(place) / "x.npy", "x_train.npy")
        np.save(Path(place) / "y.npy", labels)
        archive.write(Path(place) / "y.npy", "y_train.npy")
    del pictures
    (Path(place) / "x.npy").unlink()
    open("/proc/self/clear_refs", "w").write("5")
    found = sources.load_source(str(path), Split.TRAIN, ())
    assert len(found.labels) == ARGUMENT
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

    base = synthetic_runs.sweep(_SHARES, _TEMPLATE // len(_SHARES), measurements=_POINTS)
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
            seed = 1000 + copy // len(_SHARES)
            new = {run: specs[run].model_copy(update={"seed": seed + specs[run].seed}) for run in order}
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
    # In the plan's order runs of one shard follow each other, as ranges of a plan are packed.
    planned.sort(key=lambda run: (run.spec.seed, run.spec.dataset.prevalence))
    file = described(base[0], sorted({run.spec.seed for run in planned}))
    plan.save_plan(Plan("scale", "", ("seed", "dataset.prevalence.top"), tuple(planned), ()), out, file, table=True)


def described(spec: RunSpec, seeds: list[int]) -> bytes:
    """The sweep file of such runs."""
    values: dict[str, dict[str, object]] = {"seed": {"values": seeds}, "dataset.prevalence.top": {"values": list(_SHARES)}}
    values |= {f"dataset.{name}": {"value": getattr(spec.dataset, name)} for name in ("n", "top", "bottom")}
    values |= {
        "dataset.prevalence.bottom": {"value": spec.dataset.prevalence[1]},
        "dataset.reliability": {"value": list(spec.dataset.reliability)},
    }
    values |= {f"train.{name}": {"value": getattr(spec.train, name)} for name in ("epochs", "batch", "measurements")}
    return json.dumps({"name": "scale", "method": "grid", "same_deal": True, "parameters": values}).encode()


def folders(count: int, rounds: int) -> None:
    """Four commands on a folder of runs and on the table of its curves, in turn; and what a curve takes to fit."""
    from benchmarks import report
    from dominoes.runs import parameters
    from dominoes.tables import as_csv

    with tempfile.TemporaryDirectory() as place:
        out, table = Path(place) / "runs", Path(place) / "table"
        count = report.grown(count, out)
        joined = parameters.read_tables(out, ("curves", "classes"))
        table.mkdir()
        for form in ("curves", "classes"):
            (table / f"{form}.csv").write_text(as_csv(joined.table(form)), encoding="utf-8")
        for name, options in (("compare", ["--out", "-"]), ("fit", ["--out", "-"]), ("plot", ["a.png"]), ("report", ["a.html"])):
            ending = options if len(options) > 1 else ["--out", str(Path(place) / options[0])]
            pairs = [
                [measured(_COMMAND, [name, str(what), *ending, "--partial"]) for what in (out, table / "curves.csv")] for _ in range(rounds)
            ]
            ratio = float(np.median([float(str(a["cpu"])) / float(str(b["cpu"])) for a, b in pairs]))
            told = "; ".join(f"{a['cpu']} s, {a['mb']} MB against {b['cpu']} s, {b['mb']} MB" for a, b in pairs)
            print(f"| {name}, folder against table | {count} runs | {told} | {ratio:.2f} |", flush=True)
        print(f"| fit | {count} runs | {measured(_FIT, str(out))} | |")


def measured(script: str, argument: object, note: str = "") -> dict[str, object]:
    """CPU seconds and peak memory of a script in a process of its own; `failed` with the last line of what it said."""
    # The peak of this process alone: what getrusage says begins with that of the one that started it.
    timed = f"{_WATCH}ARGUMENT = {argument!r}\n{script}\nwatch_ends()\n"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["?"])[-1][:120]}
    *said, last = done.stderr.strip().splitlines()
    seconds, memory, own = json.loads(last)
    notes = [*([note] if note else []), *(line for line in said if line.endswith("metrics"))]
    return {"cpu": round(seconds, 2), "mb": round(memory), "own": round(own), **({"note": "; ".join(notes)} if notes else {})}


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
            + (f"{row['cpu']} s, {row['mb']} MB ({row['own']} no file's)" if "cpu" in row else f"failed: {row['failed']}")
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
    parser.add_argument("--only", choices=["status", "resume", "export", "parquet", "folders", "build", "npz", "source", "solve"])
    parser.add_argument("--sizes", type=int, nargs="+", help="instead of the usual ones")
    options = parser.parse_args()
    wanted: Callable[[str], bool] = lambda name: options.only in (None, name)  # noqa: E731
    print("| what | size | CPU s and MB | |\n|---|---|---|---|")
    runs = options.sizes or (RUNS_QUICK if options.quick else RUNS_FULL)
    found: dict[str, dict[int, dict[str, object]]] = {"status": {}, "resume": {}, "export": {}, "parquet": {}}
    for count in runs if any(map(wanted, found)) else ():
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "out"
            packed(out, count)
            files = list((out / "packed").iterdir())
            size = sum(path.stat().st_size for path in files) / count
            note = f"{size / 1000:.1f} KB a run in {len(files)} files"
            if wanted("status"):
                found["status"][count] = measured(_STATUS, str(out), note)
            if wanted("resume"):
                found["resume"][count] = measured(_RESUME, str(out))
            if wanted("parquet") and count <= 100_000:
                found["parquet"][count] = measured(_PARQUET, str(out))
            if wanted("export") and count <= 100_000:
                found["export"][count] = measured(_EXPORT, str(out))
    for name, rows in found.items():
        show(f"{name}, packed runs", rows)
    if wanted("folders"):
        for count in options.sizes or ((25,) if options.quick else (125, 500)):
            folders(count, 1 if options.quick else 3)
    sizes = options.sizes or (ROWS_QUICK if options.quick else ROWS_FULL)
    if wanted("build"):
        show("build, dominoes", {size: measured(_BUILD, size) for size in sizes})
    if wanted("npz"):
        show("export --to npz, dominoes", {size: measured(_NPZ, size) for size in sizes if size <= 1_000_000})
    if wanted("source"):
        show("npz source, pictures", {size: measured(_SOURCE, size) for size in sizes if size <= 1_000_000})
    if wanted("solve"):
        classes = options.sizes or ((10, 100) if options.quick else (10, 100, 400, 1000))
        show("solve, classes", {size: measured(_SOLVE, size) for size in classes})


if __name__ == "__main__":
    main()
