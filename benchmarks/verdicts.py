"""How often the comparator is right: simulated truths whose verdicts are known, at 3, 5 and 10 seeds.

Each truth is a network that is known to follow a rule (tests/oracles/simulated_truths.py); every probe picture is answered by itself. What
a quantity is in the population is its mean over further simulations, of ten seeds and as many pictures: what is averaged depends a little
on how many pictures set the ends of a window. The right verdict follows from it and the margin. Every simulation has probe pictures of its
own; within one, fewer seeds are the first of the ten. For each number of seeds the table says how often the verdict was right, how often
wrong (the rest cannot tell), and how often the interval held the population's value. Beside it, how often it would be right at 5 seeds for
an observer who knew the standard error of the estimate (its standard deviation over the simulations) and had nothing to estimate but the
value: no interval from the same statistic is right more often.

    python -m benchmarks.verdicts --simulations 60

Nothing is timed: the numbers do not hang on the machine.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "oracles"))

from simulated_truths import Truth, simulated, sweep  # noqa: E402

from dominoes.theory.comparison import compare  # noqa: E402
from dominoes.theory.intervals import FAILS, HOLDS, NOT_APPLICABLE  # noqa: E402
from dominoes.theory.sweep_comparison import compare_sweep  # noqa: E402

SEEDS, IDEAL = (3, 5, 10), 5
# By how much the numbers of a truth's simulations lie apart from the next truth's: no two share probe pictures.
APART = 100_000
QUESTIONS = ("doubles", "conflicts", "pictures")
KEYS = ["question", "side", "model", "rival", "window"]
# The rows that are followed: question, side, model, rival, window.
ROWS = (
    ("doubles", "", "product", "", "rise"),
    ("doubles", "", "product", "", "late"),
    ("doubles", "", "better side", "", "late"),
    ("doubles", "", "gaussian", "", "rise"),
    ("doubles score", "", "product", "better side", "late"),
    ("doubles score", "", "product", "gaussian", "rise"),
    ("conflicts score", "", "product", "gaussian", "rise"),
    ("conflicts", "", "product", "", "rise"),
    ("conflicts", "", "gaussian", "", "rise"),
    ("preference", "", "constant", "", ""),
    ("preference", "", "equal", "", ""),
    ("pictures", "", "product, doubles", "", "rise"),
    ("pictures", "", "product, doubles", "", "late"),
    ("pictures", "bottom", "only one right", "", "late"),
    ("pictures", "", "product, conflicts", "", "rise"),
)
TRUTHS = {
    "product rule": Truth(),
    "product rule, winners settled by the picture": Truth(settled=True),
    "firing correlated .1": Truth(together=0.1),
    "firing correlated .3": Truth(together=0.3),
    "better side alone": Truth(rule="better"),
    "Gaussian evidence": Truth(rule="gaussian", points=24),
    "late doubles wrong twice as often": Truth(late=2),
    "one side at .5 % error": Truth(ceiling=(0.9944, 0.75)),
    "over-dispersed seeds": Truth(seed_spread=0.5),
}
SWEPT = Truth(onset=(5.0, 30.0), ceiling=(0.97, 0.4), seed_spread=0.1)
GRID = [(0.3, 0.5), (0.5, 0.5), (0.7, 0.5)]
FIXED_D, FIXED_A = [0.25, 0.25, 0.25], [0.05, 0.25, 0.45]
SQUARE = [(top, bottom) for top in (0.2, 0.4, 0.8) for bottom in (0.2, 0.4, 0.8)]


@dataclass(frozen=True)
class Design:
    """A sweep of simulated curves, what is asked of it, and the row that is followed."""

    points: tuple[tuple[float, float], ...]
    both: tuple[float, ...] | None
    row: tuple[str, str, str, str]
    how: dict[str, float | str]
    truth: Truth = SWEPT

    def table(self, seeds: int, number: int) -> pd.DataFrame:
        both = None if self.both is None else list(self.both)
        curves = sweep(self.truth, list(self.points), both=both, seeds=seeds, number=number, **self.how)  # type: ignore[arg-type]
        found = compare_sweep(curves, classes_count=10, questions=[self.row[0]]).table
        return found[(found[["question", "side", "model", "window"]].apply(tuple, axis=1) == self.row)]


LATE, ONSET = ("no competition", "bottom", "accuracy", "late"), ("no competition", "bottom", "onset", "")
EXPONENT = ("rescaling", "bottom", "onset", "")
DESIGNS = {
    "no competition, D swept, A fixed": Design(tuple([(0.5, 0.5)] * 3), tuple(FIXED_A), LATE, {"exponent": 0}),
    "late −.03 by co-occurrence": Design(tuple([(0.5, 0.5)] * 3), tuple(FIXED_A), LATE, {"exponent": 0, "lost": 0.033}),
    "late −.06 by co-occurrence": Design(tuple([(0.5, 0.5)] * 3), tuple(FIXED_A), LATE, {"exponent": 0, "lost": 0.066}),
    "no competition, A swept, D fixed": Design(tuple(GRID), tuple(FIXED_D), LATE, {"exponent": 0}),
    "late −.06 by prevalence": Design(tuple(GRID), tuple(FIXED_D), LATE, {"exponent": 0, "lost": 0.066, "by": "prevalence_top"}),
    "onset × 1 over the grid": Design(tuple(SQUARE), None, ONSET, {"exponent": 0}),
    "onset × 1.36 over the grid": Design(tuple(SQUARE), None, ONSET, {"exponent": 0, "competition": float(np.log(1.36) / 0.6)}),
    "exponent −1": Design(tuple(SQUARE), None, EXPONENT, {"exponent": 1.0}, replace(SWEPT, onset=(20, 60))),
    "exponent −.7": Design(tuple(SQUARE), None, EXPONENT, {"exponent": 0.7}, replace(SWEPT, onset=(20, 60))),
}


def judged(
    truth: Truth, seeds: Sequence[int], number: int, *, crossed: bool, questions: Sequence[str] = QUESTIONS
) -> dict[int, pd.DataFrame]:
    """The rows that are followed, of one simulation, by its first so many seeds."""
    curves, classes, joint = simulated(truth, max(seeds), number)
    found = {}
    for few in seeds:
        runs = [f"run{seed}" for seed in range(few)]
        of = [table[table["run"].isin(runs)] for table in (curves, classes, joint)]
        table = compare(of[0], of[1], joint=of[2] if crossed else None, questions=questions).table
        found[few] = table[table[KEYS].apply(tuple, axis=1).isin(ROWS)]
    return found


def known_error(rows: pd.DataFrame, value: float, low: float, high: float, right: str) -> float:
    """How often an interval of known standard error gives the right verdict: its estimates are normal about the population's value."""
    estimates, ends = rows["estimate"].to_numpy(float), np.array([low, high])
    if low > 0 and math.isfinite(high):  # a ratio: its interval is made of logarithms
        estimates, ends, value = np.log(estimates), np.log(ends), math.log(value)
    error = float(np.std(estimates, ddof=1))
    if not error > 0:
        return 1.0
    reach = float(norm.ppf(0.975))
    if right == HOLDS:
        bounds = (ends - value) / error + np.array([reach, -reach])
        return max(float(norm.cdf(bounds[1]) - norm.cdf(bounds[0])), 0.0)
    return float(norm.cdf((ends[0] - value) / error - reach) + norm.sf((ends[1] - value) / error + reach))


def lines(name: str, whole: pd.DataFrame, found: dict[int, pd.DataFrame], keys: list[str]) -> list[str]:
    """A line of the table for each row that is judged: the population's value, then right, wrong and covered at each number of seeds."""
    out = []
    for key, rows in whole.groupby(keys, sort=False):
        rows = rows[rows["verdict"] != NOT_APPLICABLE]
        if not len(rows):
            continue
        value, low, high = float(rows["estimate"].mean()), *(float(rows[end].iloc[0]) for end in ("at_least", "at_most"))
        right = HOLDS if low <= value <= high else FAILS
        near = min(abs(value - end) for end in (low, high) if np.isfinite(end)) < 0.05 * (high - low if np.isfinite(high - low) else 1)
        wrong = FAILS if right == HOLDS else HOLDS
        cells = []
        ideal = math.nan
        for seeds, each in found.items():
            mine = each[(each[keys] == list(key)).all(axis=1) & (each["verdict"] != NOT_APPLICABLE)]
            covered = f"{((mine['low'] <= value) & (mine['high'] >= value)).mean():.2f}"
            ideal = known_error(mine, value, low, high, right) if seeds == IDEAL else ideal
            cells.append(f"{(mine['verdict'] == right).mean():.2f} / {(mine['verdict'] == wrong).mean():.2f} / {covered}")
        label = ", ".join(part for part in key if part)
        out.append(
            f"| {name} | {label} | {value:.3g} | {right}{' (near the margin)' if near else ''} | {' | '.join(cells)} | {ideal:.2f} |"
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=60, help="of each truth at each number of seeds")
    parser.add_argument("--population", type=int, default=60, help="further simulations of each truth, of which the population is the mean")
    parser.add_argument("--only", nargs="*", help="truths and designs by name")
    parser.add_argument("--questions", nargs="*", default=list(QUESTIONS), help="of the rows that are followed on one spec")
    parser.add_argument("--without-joint", action="store_true", help="as for runs of before, whose answers are not crossed")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS), help="numbers of seeds")
    given = parser.parse_args()
    head = " | ".join(f"{seeds} seeds" for seeds in given.seeds)
    print(f"| truth | row | population | right verdict | {head} | known error |\n|---|---|---|---|{'---|' * (len(given.seeds) + 1)}")
    for place, (name, truth) in enumerate(TRUTHS.items()):
        if given.only and name not in given.only:
            continue
        first, how = place * APART, {"crossed": not given.without_joint, "questions": given.questions}
        each = [judged(truth, given.seeds, first + number, **how) for number in range(given.simulations)]
        found = {seeds: pd.concat([one[seeds] for one in each]) for seeds in given.seeds}
        further = range(first + given.simulations, first + given.simulations + given.population)
        whole = pd.concat([judged(truth, (max(SEEDS),), number, **how)[max(SEEDS)] for number in further])
        print("\n".join(lines(name, whole, found, KEYS)), flush=True)
    for name, design in DESIGNS.items():
        if given.only and name not in given.only:
            continue
        big = replace(design, truth=replace(design.truth, n=4000))
        large = pd.concat([big.table(10, 10_000 + number) for number in range(3)])
        found = {seeds: pd.concat([design.table(seeds, number) for number in range(given.simulations)]) for seeds in given.seeds}
        print("\n".join(lines(name, large, found, ["question", "side", "model", "window"])), flush=True)


if __name__ == "__main__":
    main()
