"""Points of a grid: values of several fields that go together."""

from typing import Any

import pytest

from dominoes.errors import SpecError
from dominoes.runs.sweep_file import expand

FIXED = {"dataset.prevalence": {"value": [0.5, 0.5]}, "seed": {"values": [0, 1]}}


def swept(points: Any, **fields: Any) -> dict[str, Any]:
    """A sweep file's content with points."""
    return {"method": "grid", "parameters": FIXED, "points": points} | fields


def test_the_grid_is_run_at_every_point() -> None:
    """Values of one point stay together, the grid is inside, and what moves between points is swept; the deal follows the seed."""
    found = expand(swept([{"dataset.n": 1500, "train.epochs": 16}, {"dataset.n": 3000, "train.epochs": 8}]))
    told = [(run.dataset.n, run.train.epochs, run.seed, run.dataset.seed) for run in found.runs]
    assert told == [(1500, 16, 0, 0), (1500, 16, 1, 1), (3000, 8, 0, 0), (3000, 8, 1, 1)]
    assert found.swept == ("dataset.n", "train.epochs", "seed")
    assert expand(swept([{"dataset.n": 1500}], run_cap=1)).swept == ("seed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (swept([]), "points"),
        (swept([{}]), "points[0]: expected the fields"),
        (swept([{"dataset.n": 10}, {"train.epochs": 2}]), "points[1]: expected the fields dataset.n as in the first, got train.epochs"),
        (swept([{"dataset.n": 10}, {"dataset.n": 10}]), "points[1]: the same point is there twice"),
        (swept([{"dataset.m": 10}]), "points[0].dataset.m: there is no field dataset.m"),
        (swept([{"dataset.n": -1}]), "got -1"),
        (swept([{"seed": 3}]), "points[0].seed: it is among the parameters too"),
        (swept([{"dataset.prevalence.top": 0.3}]), "parameters.dataset.prevalence.top: dataset.prevalence sets this half already"),
        (swept([{"dataset.n": 10}], method="random", run_cap=3), "points belong to a grid, the method is random"),
    ],
)
def test_points_that_are_wrong_are_named(content: dict[str, Any], message: str) -> None:
    """The path of the entry, what was expected, what was got."""
    with pytest.raises(SpecError) as error:
        expand(content)
    assert message in str(error.value)
