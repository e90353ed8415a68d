"""A sweep cut down: fewer seeds, then fewer points, and only then shorter runs."""

from fractions import Fraction
from typing import Any

import pytest

from dominoes.errors import SpecError
from dominoes.runs.sweep_file import Sweep, expand
from dominoes.studies import scaling


def sweep(**parameters: Any) -> Sweep:
    """A sweep over prevalences and seeds, and what is given."""
    fixed: dict[str, Any] = {"dataset.n": {"value": 6000}, "train.epochs": {"value": 4}, "dataset.prevalence.bottom": {"value": 0.5}}
    given = {name.replace("__", "."): {"values": values} for name, values in parameters.items()}
    return expand({"name": "s", "method": "grid", "parameters": fixed | given})


def test_seeds_go_first_and_the_runs_stay_the_same() -> None:
    """Half of 5 × 8 runs is every point with four seeds; the ids are those of the whole sweep."""
    whole = sweep(dataset__prevalence__top=[0.1, 0.2, 0.3, 0.4, 0.5], seed=list(range(8)))
    found = scaling.cut(whole, Fraction(1, 2))
    assert len(found.sweep.runs) == 20
    assert {spec.seed for spec in found.sweep.runs} == {0, 1, 2, 3}
    assert {spec.id for spec in found.sweep.runs} <= {spec.id for spec in whole.runs}
    assert found.same
    assert found.notes == ("20 of 40 runs", "seeds 0, 1, 2, 3 of 8")
    assert scaling.cut(whole, Fraction(1)).sweep is whole


def test_points_go_next_with_both_ends_kept() -> None:
    """A tenth is the first and the last point with two seeds each."""
    found = scaling.cut(sweep(dataset__prevalence__top=[0.1, 0.2, 0.3, 0.4, 0.5], seed=list(range(8))), Fraction(1, 10))
    assert {(spec.dataset.prevalence[0], spec.seed) for spec in found.sweep.runs} == {(0.1, 0), (0.1, 1), (0.5, 0), (0.5, 1)}
    assert found.notes[-1] == "points 1, 5 of 5"
    assert found.same


def test_shorter_runs_are_the_last_resort_and_said() -> None:
    """Below two seeds at two points epochs and then n are cut, and the numbers are no longer of the same runs."""
    found = scaling.cut(sweep(dataset__prevalence__top=[0.1, 0.5], seed=[0, 1]), Fraction(1, 16))
    assert not found.same
    assert len(found.sweep.runs) == 4
    assert {(spec.train.epochs, spec.dataset.n) for spec in found.sweep.runs} == {(1, 1500)}
    assert found.notes == ("4 of 4 runs", "epochs cut from 4 to 1", "n cut from 6000 to 1500")
    found = scaling.cut(sweep(dataset__prevalence__top=[0.1, 0.5], seed=[0, 1]), Fraction(1, 2))
    assert {(spec.train.epochs, spec.dataset.n) for spec in found.sweep.runs} == {(2, 6000)}


def test_crossed_deals_and_probes_are_cut_alike() -> None:
    """The longest factor first, none below two, so that components can still be told."""
    whole = sweep(dataset__seed=[0, 1, 2, 3, 4, 5], seed=[0, 1, 2, 3], train__probe_seed=[0, 1])
    found = scaling.cut(whole, Fraction(1, 4))
    assert {(spec.dataset.seed, spec.seed, spec.train.probe_seed) for spec in found.sweep.runs} == {
        (deal, seed, probe) for deal in range(3) for seed in range(2) for probe in range(2)
    }
    assert found.same


@pytest.mark.parametrize("text", ["0", "2", "x", "1/0", "-1/2", ""])
def test_a_scale_is_a_share(text: str) -> None:
    """Above 0, at most 1; fractions and decimals."""
    with pytest.raises(SpecError, match="--scale: expected a share above 0 and at most 1, such as 1/10, got"):
        scaling.share(text)
    assert scaling.share("1/10") == scaling.share("0.1") == Fraction(1, 10)
