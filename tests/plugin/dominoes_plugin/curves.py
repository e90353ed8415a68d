"""A family of curves, a theory, a logger and an engine."""

from pathlib import Path

import numpy as np

from dominoes.reporting.chart import Chart, Line, Panel
from dominoes.runs.engines.worker import attempt
from dominoes.theory.fits.families import Family
from dominoes.theory.rules import Rule
from dominoes.theory.verdicts import Answer


def _rise(z, _):
    share = np.clip(0.5 + z / 4, 0.0, 1.0)
    return share, np.where((share > 0) & (share < 1), 0.25, 0.0), np.zeros(1)


#: A straight line from floor to ceiling.
ramp = Family("linear", "linear", True, None, ("speed", "inflection", ""), _rise, lambda q, _: 4 * (q - 0.5))


def notes(out: Path, name: str):
    """Append the id of each finished run to a text file."""

    def log(spec):
        with open(out / "notes.txt", "a", encoding="utf-8") as file:
            file.write(f"{name} {spec.id}\n")

    return log


def here(setting, workers=None):
    """Run everything in this process."""

    def engine(specs):
        for spec in specs:
            yield from attempt([spec], setting)

    return engine


def ends(results):
    """Accuracy on doubles over time."""
    table = results.curves
    table = table[(table["kind"] == "both") & (table["split"] == "test")].groupby("step", as_index=False)["accuracy"].mean()
    panel = Panel("", "step", "training step", "accuracy on doubles", (Line("accuracy", "doubles", "both"),))
    return Chart("ends", "Doubles", "Mean over runs.", table, (panel,))


#: The worse side alone: what nobody believes.
worse = Rule("worse side", "the worse side alone", lambda top, bottom, K: np.maximum(top, bottom), None, "other", "dot")


def chance(runs, options):
    """Is the accuracy on empty dominoes at the first step 1/K?"""
    measured = runs.common([("accuracy", "empty")])
    if isinstance(measured, str):
        return options.unanswered("chance", measured, len(runs.runs))
    (accuracy,) = measured.values
    interval = options.spread(measured.n_seeds).mean(accuracy[:, 0] - 1 / runs.classes_count, 0.0)
    margin = options.margins.accuracy
    row = options.judge("chance", "chance at the start", "accuracy − 1/K", interval, (-margin, margin), measured.n_seeds)
    return Answer((row,))
