"""How much of a run is measured: points in time, dominoes of each kind; and what `auto` makes of it.

The rule `auto-1` keeps measuring to about a third of a run, on one CPU thread. Samples are what training sees, n × epochs. Probes have a
domino of each kind for every 25 samples, from 200 to 1,000; the sample of training dominoes of a kind is a quarter of that, since a train
curve is only read beside the test curve; and there are as many points, from 20 to 60, as keep what is measured in all (4 probes and 3
training samples a point, since empty dominoes are one picture) below 3.65 dominoes a sample: ResNet8, which cannot share what it makes of
halves, measures a domino in .14 of the time in which it is trained on one.
"""

from __future__ import annotations

from dominoes.fields import AUTO
from dominoes.spec import TrainSpec

#: Of the numbers. 1: every domino by itself (environment.json names no version). 2: a half that several dominoes show is computed once,
#: where the network knows halves apart; losses differ from those of version 1 in the seventh digit.
VERSION = 2
_FEWEST, _MOST, _SAMPLES_PER_PROBE = 200, 1000, 25
_FEWEST_POINTS, _MOST_POINTS, _MEASURED_PER_SAMPLE = 20, 60, 3.65


def probe_size(how: TrainSpec, n: int | str) -> int:
    """Dominoes of each kind in the test probes of a run on n dominoes; the most, where n is `max`."""
    if isinstance(how.probe, int):
        return how.probe
    return _MOST if isinstance(n, str) else max(_FEWEST, min(_MOST, n * how.epochs // _SAMPLES_PER_PROBE))


def train_sample(how: TrainSpec, n: int | str) -> int:
    """Dominoes of each kind at most in the sample of training dominoes."""
    if how.probe_train is not None:
        return how.probe_train
    return probe_size(how, n) // 4 if how.probe == AUTO else probe_size(how, n)


def told(how: TrainSpec, n: int, *, halves: bool) -> dict[str, int | bool]:
    """What a run's record says of how it was measured: `version` of the numbers, `points` asked for, `train_sample`, the most training
    dominoes of a kind, and `halves`, whether each half was computed once."""
    return {"version": VERSION, "points": grid_points(how, n), "train_sample": train_sample(how, n), "halves": halves}


def grid_points(how: TrainSpec, n: int) -> int:
    """Points of the geometric grid of steps at which a run on n dominoes is measured."""
    if isinstance(how.measurements, int):
        return how.measurements
    pictures = 4 * probe_size(how, n) + 3 * train_sample(how, n)
    return max(_FEWEST_POINTS, min(_MOST_POINTS, round(_MEASURED_PER_SAMPLE * n * how.epochs / pictures)))
