"""Fresh specs: held-out runs that nobody has seen, dealt after an entry was frozen. Secret test data without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import qmc

from dominoes import __version__
from dominoes.errors import LeaderboardError
from dominoes.leaderboard import board, collecting
from dominoes.leaderboard import edition as editions
from dominoes.leaderboard.asking import ask, prepare_folds
from dominoes.leaderboard.board import Board
from dominoes.leaderboard.edition import Edition
from dominoes.leaderboard.entry import Entry
from dominoes.leaderboard.score import COPY
from dominoes.leaderboard.theories import catalogue
from dominoes.leaderboard.theories.naive import CopyNearest
from dominoes.runs.sweep_file import Sweep
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, stream

# Ranges of the dials that fresh specs are drawn from.
PREVALENCE, RELIABILITY, RATE = (0.1, 0.9), (0.6, 1.0), (0.005, 0.08)
# What may be done to the top's pictures: nothing for half of the specs, else one dial.
TRANSFORMS: tuple[tuple[str, ...], ...] = ((), (), (), (), ("downsample=4",), ("blur=2",), ("noise=0.5",), ("occlude=0.3",))
# The runs of the studies that editions are made of.
DATASET = DominoSpec(n=6000)
TRAINING = TrainSpec(epochs=4, measurements=24, probe=500)


def specs(seed: int, count: int, dataset: DominoSpec = DATASET, training: TrainSpec = TRAINING) -> list[tuple[DominoSpec, TrainSpec]]:
    """A Latin hypercube over prevalences, doubles, reliabilities, the top's dial and the learning rate.

    Args:
        seed: of the draw; the same seed draws the same specs. count: number of specs.
        dataset, training: all else.

    D is uniform over what A and C leave possible, from max(0, A + C − 1) to min(A, C); the rate uniform in its logarithm. Numbers are
    rounded to three digits, as a person would write them.
    """
    if seed < 0 or count < 1:
        raise LeaderboardError(f"seed {seed}, {count} specs: expected a seed of at least 0 and at least one spec")
    drawn = qmc.LatinHypercube(7, rng=np.random.default_rng(stream(seed, "fresh"))).random(count)
    found = []
    for row in drawn:
        top, bottom = (round(PREVALENCE[0] + x * (PREVALENCE[1] - PREVALENCE[0]), 3) for x in row[:2])
        low, high = max(0.0, top + bottom - 1), min(top, bottom)
        both = round(float(np.clip(round(low + row[2] * (high - low), 3), low, high)), 6)
        reliability = tuple(round(RELIABILITY[0] + x * (RELIABILITY[1] - RELIABILITY[0]), 3) for x in row[3:5])
        rate = float(f"{RATE[0] * (RATE[1] / RATE[0]) ** row[6]:.3g}")
        dials = {"prevalence": (top, bottom), "both": both, "reliability": reliability}
        dials["top_transform"] = TRANSFORMS[int(row[5] * len(TRANSFORMS))]
        found.append((DominoSpec(**dataset.model_dump() | dials), training.model_copy(update={"lr": rate})))
    return found


def fresh_sweep(seed: int, count: int, seeds: int, dataset: DominoSpec = DATASET, training: TrainSpec = TRAINING) -> Sweep:
    """The runs of fresh specs: every spec with seeds 0 to `seeds` − 1, each dealt anew."""
    drawn = specs(seed, count, dataset, training)
    runs = tuple(
        RunSpec(dataset=each.model_copy(update={"seed": number}), train=train, seed=number)
        for each, train in drawn
        for number in range(seeds)
    )
    name = f"fresh-{seed}"
    return Sweep(
        name,
        f"{count} held-out specs of seed {seed}, {seeds} seeds each",
        ("dataset.prevalence", "dataset.both"),
        runs,
        text=f"name: {name}\n",
    )


def check_frozen(entries: Mapping[str, Entry], known: Edition) -> None:
    """Raise LeaderboardError if an entry was frozen for another edition, or its code has changed since."""
    for title, entry in entries.items():
        theory = catalogue.find_theory(entry.theory)
        if entry.digest != known.digest:
            raise LeaderboardError(f"{title} was frozen for edition {entry.digest}, this is {known.digest}; freeze the theory again")
        if theory.source != entry.source:
            raise LeaderboardError(f"the code of {title} has changed since it was frozen; its forecasts would not be the entry's")


def score(entries: Mapping[str, Entry], known: Edition, results: Path, name: str, *, seed: int = 0) -> Board:
    """The board of frozen entries on fresh runs (task `transfer`): their theories are fitted to the edition and asked.

    Args:
        entries: by name. known: the edition that they were frozen for. results: folder of the fresh runs. name: of the fresh study.

    Raises LeaderboardError as `check_frozen`.
    """
    check_frozen(entries, known)
    held = editions.make_edition({name: collecting.study_curves(results)}, name, held_out=[name], classes=known.classes)
    both = editions.join_editions([_given(known), held], f"{known.name} + {name}")
    prepared = prepare_folds(both, ["transfer"])
    answers = {COPY: ask(CopyNearest, both, ["transfer"], prepared)}
    for title, entry in entries.items():
        answers[title] = ask(catalogue.find_theory(entry.theory).make, both, ["transfer"], prepared)
    provenance = {
        title: f"{entry.provenance}, frozen with dominoes {entry.package}, scored with {__version__}" for title, entry in entries.items()
    }
    return board.scored(answers, both, ["transfer"], shown=list(entries), provenance=provenance, seed=seed)


def _given(known: Edition) -> Edition:
    """An edition without its own held-out studies, which were not fitted to before and are not asked here."""
    runs = known.runs[~known.runs["held_out"]].reset_index(drop=True)
    curves = known.curves[known.curves["run"].isin(runs["run"])].reset_index(drop=True)
    return replace(known, runs=runs, curves=curves)
