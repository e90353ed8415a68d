"""What the main road costs before training: solving, explaining, decoding, opening the cache, dealing and writing a dataset folder.

    python -m benchmarks.road [--data DIR]

CPU seconds of one process, import time aside; the cache starts empty in a temporary folder. The largest of all requests is given for
solving and explaining, a single measurement for the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linprog, milp  # noqa: F401  (import time is not what is measured)
from tabulate import tabulate

from dominoes.data import dealing, folder, sources
from dominoes.data.catalogue import STOCKS
from dominoes.solver.infeasible import Infeasible
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec, Split

REAL = Stock(STOCKS["mnist"][Split.TRAIN], STOCKS["cifar10"][Split.TRAIN])


def requests(count: int) -> list[DominoSpec]:
    """Random requests on the real stock: a third at the most that fits, where the stock binds, a third of those with wrong halves."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        n = "max" if number % 3 == 0 else int(10 ** rng.uniform(0, 5))
        reliability = (1.0, 1.0) if number % 2 else tuple(rng.integers(0, 101, 2) / 100)
        found.append(
            DominoSpec(
                n=n, prevalence=tuple(rng.integers(1, 101, 2) / 100), reliability=reliability, labels=("balanced", "stock")[number % 4 == 3]
            )
        )
    return found


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DOMINOES_DATA", "../shared/data")))
    data = parser.parse_args().data
    solve(DominoSpec(n=10, prevalence=(1, 1)), REAL)
    solved, explained = [], []
    for spec in requests(600):
        try:
            solved.append((cpu(lambda spec=spec: solve(spec, REAL)), spec.n == "max"))
        except Infeasible:
            explained.append(cpu(lambda spec=spec: _try(spec)))
    free = [seconds for seconds, binds in solved if not binds]
    full = [seconds for seconds, binds in solved if binds]
    rows = [
        (f"solve, n given ({len(free)} requests): median, largest", np.median(free), max(free)),
        (f"solve, n = max, the stock binds ({len(full)}): median, largest", np.median(full), max(full)),
        (f"explain ({len(explained)} infeasible requests): median, largest", np.median(explained), max(explained)),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = temporary
        every = [(name, split) for name in ("mnist", "cifar10") for split in Split]
        rows.append(
            ("decode all 130,000 pictures into the cache", cpu(lambda: [sources.load_source(*each, data=data) for each in every]), None)
        )
        rows.append(("open all four from the cache", cpu(lambda: [sources.load_source(*each, data=data) for each in every]), None))
        spec = DominoSpec(n=50000, prevalence=(0.65, 0.65))
        rows.append(
            (
                "build: solve, deal and write 50,000 dominoes",
                cpu(lambda: folder.save_dataset(dealing.deal_spec(spec, data=data), Path(temporary) / "set")),
                None,
            )
        )
        rows.append(("verify them", cpu(lambda: folder.verify_dataset(Path(temporary) / "set", data=data)), None))
    print(tabulate(rows, ("CPU seconds", "", "largest"), floatfmt=".3f"))


def _try(spec: DominoSpec) -> None:
    with contextlib.suppress(Infeasible):
        solve(spec, REAL)


if __name__ == "__main__":
    main()
