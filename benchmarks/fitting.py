"""Speed and closeness of the fits, in CPU seconds of one thread: `python -m benchmarks.fitting`.

Prints two tables. First, one-curve fits: 1,000 calls of `fit_curve` on 60 points with binomial noise of n = 1,000, one call a curve,
after one call to warm up; imports and the making of the curves are outside the timer. Second, three patterns on published grokking curves
(grokking_widths.csv in DOMINOES_DATA, else ../shared/data), 50 starts, linear and log time both fitted: each width in a fresh process of
its own; `seconds` is the call alone, `process` includes starting Python and imports.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

DATA = Path(os.environ.get("DOMINOES_DATA") or Path(__file__).parents[1] / "../shared/data") / "grokking_widths.csv"
WIDTHS = (23, 65, 128)


def curves() -> None:
    import numpy as np

    from dominoes.theory.fits.curve import SHAPES, fit_curve

    steps = np.concatenate([[0], np.unique(np.geomspace(1, 4300, 69).round())])[:60]
    rng = np.random.default_rng(0)
    values = rng.binomial(1000, 0.1 + 0.8 / (1 + np.exp(-0.01 * (steps - 500))), (1000, len(steps))) / 1000
    print(f"{'family':14} {'n':>6} {'fits':>5} {'points':>6} {'CPU s':>7}")
    for family in SHAPES:
        for n in (1000, None):
            fit_curve(steps, values[0], family=family, chance=0.1, n=n)
            begin = time.process_time()
            for row in values:
                fit_curve(steps, row, family=family, chance=0.1, n=n)
            print(f"{family:14} {n or 'none':>6} {len(values):5} {len(steps):6} {time.process_time() - begin:7.2f}")


def width(number: int) -> None:
    import numpy as np
    import pandas as pd

    from dominoes.theory.fits.pattern_model import fit_patterns

    rows = pd.read_csv(DATA)
    rows = rows[rows["d_model"] == number]
    grid = np.unique(np.geomspace(1, rows["step"].max(), 500).astype(int)).astype(float)
    seen = [(column, rows.dropna(subset=[column])) for column in ("train_accuracy", "test_accuracy")]
    train, test = (np.interp(grid, part["step"], part[column]) for column, part in seen)
    begin = time.process_time()
    fit = fit_patterns(grid, train, test, n_patterns=3, starts=50, time="best")
    seconds = time.process_time() - begin
    print(json.dumps([fit.mse, fit.time, fit.starts_at_best, seconds, time.process_time()]))


def main() -> None:
    import numpy
    import scipy

    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {numpy.__version__}, scipy {scipy.__version__}, one thread")
    curves()
    if not DATA.is_file():
        print(f"{DATA.name} is not there; set DOMINOES_DATA to the folder that holds it to see the grokking widths")
        return
    print(f"\n{'width':>5} {'mse train+test':>15} {'time':>7} {'starts at best':>15} {'seconds':>8} {'process':>8}")
    for number in WIDTHS:
        command = [sys.executable, "-m", "benchmarks.fitting", str(number)]
        mse, axis, reached, seconds, process = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{number:5} {mse:15.3e} {axis:>7} {reached:12}/50 {seconds:8.2f} {process:8.2f}")


if __name__ == "__main__":
    # One thread, set before numpy is imported, so that CPU seconds are seconds of one core.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if len(sys.argv) > 1:
        width(int(sys.argv[1]))
    else:
        main()
