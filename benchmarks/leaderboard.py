"""A whole run of all built-in theories, in CPU seconds of one thread and peak memory: `python -m benchmarks.leaderboard`.

An edition of 90 specs, and 10 that are held out, of 8 runs each is simulated (independent firing, noise of .1 logits), with made-up kernels
of 64 eigenvalues; then every theory is asked every task. The curves are made in another process and imports are outside the timer; folds
that are asked in processes of their own are inside. `--specs` and `--seeds` for less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracles"))

HELD_OUT = 10


def kernels() -> dict[str, str]:
    """Columns that `leaderboard kernels` would measure: rates over four decades, nine tenths of the labels spread evenly."""
    columns = {"rates": np.geomspace(0.3, 3e-5, 64), "weights": np.full(64, 0.9 / 64)}
    return {f"kernel_{name}_{side}": json.dumps(values.round(6).tolist()) for side in ("top", "bottom") for name, values in columns.items()}


def simulate(folder: Path, specs: int, seeds: int) -> None:
    """Write the edition."""
    import simulated_curves

    from dominoes.leaderboard import edition as editions

    rng = np.random.default_rng(0)
    dials: list[dict[str, Any]] = [simulated_curves.dials(*map(float, pair), **kernels()) for pair in rng.uniform(0.1, 0.9, (specs, 2))]
    studies = {
        "prevalence": simulated_curves.table(dials[HELD_OUT:], seeds),
        "later": simulated_curves.table(dials[:HELD_OUT], seeds, seed=9),
    }
    editions.write_edition(editions.make_edition(studies, "simulated", held_out=["later"]), folder)


def main() -> None:
    from dominoes.leaderboard import board
    from dominoes.leaderboard import edition as editions
    from dominoes.leaderboard.theories import catalogue

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: tables of simulated curves are larger than all that is measured here.
        process = multiprocessing.get_context("spawn").Process(target=simulate, args=(Path(folder) / "e", asked.specs, asked.seeds))
        process.start()
        process.join()
        known = editions.read_edition(Path(folder) / "e")
    made = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    begun = time.process_time()
    found = board.score_theories({name: catalogue.find_theory(name).make for name in catalogue.THEORIES}, known).table
    own = time.process_time() - begun
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    inside = children.ru_utime + children.ru_stime - made.ru_utime - made.ru_stime
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(catalogue.THEORIES)} theories, {asked.specs} specs x {asked.seeds} runs: {own + inside:.0f} CPU s, peak {peak:.0f} MB")
    failed = found[found["status"] != ""]
    print("every theory answered" if not len(failed) else failed[["theory", "task", "status"]].to_string())


if __name__ == "__main__":
    main()
