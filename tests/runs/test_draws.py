"""Draws that fill the space: how they are spread, and what moves them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from dominoes.errors import SpecError
from dominoes.runs import sweep_file
from dominoes.spec import RunSpec

PARAMETERS: dict[str, Any] = {
    "dataset.prevalence": {"value": [0.6, 0.5]},
    "train.lr": {"min": 1e-3, "max": 1e-1, "distribution": "log_uniform_values"},
    "train.model": {"values": ["mlp", "detector"]},
    "seed": {"min": 0, "max": 3},
    "train.momentum": {"min": 0.0, "max": 0.9},
}


def drawn(method: str, cap: int, seed: int = 0, parameters: dict[str, Any] = PARAMETERS) -> tuple[RunSpec, ...]:
    """The runs of a sweep of `cap` draws."""
    return sweep_file.expand({"method": method, "run_cap": cap, "seed": seed, "parameters": parameters}).runs


def places(runs: tuple[RunSpec, ...]) -> np.ndarray:
    """(R, 2) places of the rate, on its scale, and of the momentum in their ranges."""
    return np.array([(np.log10(run.train.lr) / 2 + 1.5, run.train.momentum / 0.9) for run in runs])


@pytest.mark.parametrize("cap", [1, 7, 16])
def test_a_latin_hypercube_hits_every_part_once(cap: int) -> None:
    """Each of R draws lies in another R-th of a range, on its own scale; lists and whole numbers come up equally often where they can."""
    runs = drawn("latin-hypercube", cap)
    for column in places(runs).T:
        assert sorted((column * cap).astype(int)) == list(range(cap))
    if cap == 16:
        assert Counter(run.train.model for run in runs) == {"mlp": 8, "detector": 8}
        assert Counter(run.seed for run in runs) == dict.fromkeys(range(4), 4)


def test_a_sobol_sequence_is_spread_better_than_chance_and_can_be_continued() -> None:
    """Of 16 points one lies in each sixteenth of a range (a net in base 2); more runs keep those there were; the discrepancy of 50 is well
    below that of random draws."""
    runs = drawn("sobol", 16)
    for column in places(runs).T:
        assert sorted((column * 16).astype(int)) == list(range(16))
    assert drawn("sobol", 50)[:16] == runs
    off = {method: qmc.discrepancy(np.clip(places(drawn(method, 50)), 0, 1)) for method in ("sobol", "random")}
    assert off["sobol"] < 0.5 * off["random"]


@pytest.mark.parametrize("method", ["latin-hypercube", "sobol"])
def test_draws_hang_on_the_seed_alone(method: str) -> None:
    """The same file gives the same runs, another seed others; what has one value is the same in all; values are in range."""
    runs = drawn(method, 12)
    assert runs == drawn(method, 12)
    assert not set(runs) & set(drawn(method, 12, seed=1))
    assert {run.dataset.prevalence for run in runs} == {(0.6, 0.5)}
    assert all(1e-3 <= run.train.lr <= 1e-1 and isinstance(run.seed, int) for run in runs)
    assert len(drawn(method, 5, parameters={"seed": {"value": 3}})) == 1


def test_draws_that_fill_the_space_need_an_end() -> None:
    """Without run_cap there is no number of points to spread; points belong to a grid."""
    with pytest.raises(SpecError, match="run_cap: expected a number of runs, as a sobol sweep has no end of its own"):
        sweep_file.expand({"method": "sobol", "parameters": PARAMETERS})
    with pytest.raises(SpecError, match="points belong to a grid, the method is latin-hypercube"):
        sweep_file.expand({"method": "latin-hypercube", "run_cap": 2, "parameters": PARAMETERS, "points": [{"dataset.n": 100}]})


def test_each_draw_is_run_with_every_seed() -> None:
    """Runs at a draw differ by what is listed under `every` alone, and each seed has its deal; the draws are those of a sweep without."""
    parameters = {name: entry for name, entry in PARAMETERS.items() if name != "seed"}
    content = {"method": "sobol", "run_cap": 12, "parameters": parameters, "every": {"seed": [0, 1, 2]}}
    found = sweep_file.expand(content)
    assert [run.seed for run in found.runs] == [0, 1, 2] * 4 == [run.dataset.seed for run in found.runs]
    assert [run.train for run in found.runs[::3]] == [run.train for run in drawn("sobol", 4, parameters=parameters)]
    assert found.runs[0].train == found.runs[2].train != found.runs[3].train
    assert "seed" in found.swept
    for change, said in (
        ({"run_cap": 10}, "run_cap: 10 is no multiple of the 3 runs at each draw .every.; expected such as 12"),
        ({"parameters": PARAMETERS}, "every.seed: it is among the parameters too; keep one of the two"),
        ({"method": "grid", "parameters": {"seed": {"value": 0}}}, "every belongs to drawn sweeps, the method is grid"),
        ({"every": {"sed": [0]}}, "every.sed: there is no field sed; did you mean seed?"),
        ({"every": {"seed": []}}, "every.seed.values: expected a list with at least one value"),
    ):
        with pytest.raises(SpecError, match=said):
            sweep_file.expand(content | change)
