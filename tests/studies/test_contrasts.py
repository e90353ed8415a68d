"""Contrasts: weighted sums within replicates, with Student's interval, and what a file of them may not say."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dominoes.errors import SpecError
from dominoes.studies import contrasts
from dominoes.studies.contrasts import Contrast, Term

LATE, ONSET = "late accuracy bottom", "onset top"


def runs(values: dict[str, list[float]], quantity: str = LATE) -> pd.DataFrame:
    """Rows of `of_runs`: a value a seed at every point."""
    return pd.DataFrame(
        [
            {"run": f"{point} {seed}", "seed": seed, "point": point, "deal": seed, "probe": 0, "quantity": quantity, "value": value}
            for point, each in values.items()
            for seed, value in enumerate(each)
        ]
    )


def contrast(*terms: tuple[str, float], quantity: str = LATE, margin: float | None = None) -> Contrast:
    """One of a single quantity."""
    return Contrast(terms=tuple(Term(point=point, quantity=quantity, weight=weight) for point, weight in terms), margin=margin)


def test_a_contrast_is_taken_within_replicates() -> None:
    """What a seed does to all points alike cancels: scipy's interval of the differences of differences, not of four means."""
    seeds = np.random.default_rng(0).normal(0, 0.1, 6)
    noise = np.random.default_rng(1).normal(0, 0.003, (4, 6))
    values = {
        name: (level + seeds + noise[row]).tolist() for row, (name, level) in enumerate({"a": 0.3, "b": 0.4, "c": 0.5, "d": 0.7}.items())
    }
    asked = {"interaction": contrast(("d", 1), ("c", -1), ("b", -1), ("a", 1), margin=0.03)}
    row = contrasts.of_contrasts(runs(values), asked).iloc[0]
    table = np.array(list(values.values()))
    each = table[3] - table[2] - table[1] + table[0]
    assert row["estimate"] == pytest.approx(each.mean())
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 5, each.mean(), stats.sem(each)))
    assert (row["part"], row["scale"], row["margin"], row["n_runs"]) == ("contrast", "difference", 0.03, 6)
    assert abs(row["estimate"] - 0.1) < 0.01


def test_onsets_are_ratios() -> None:
    """Of logarithms: twice as late in every replicate is 2; a replicate in which one was not learned is left out."""
    values = {"a": [10.0, 20.0, 30.0, math.nan], "b": [20.0, 40.0, 60.0, 80.0]}
    row = contrasts.of_contrasts(runs(values, ONSET), {"later": contrast(("b", 1), ("a", -1), quantity=ONSET, margin=1.2)}).iloc[0]
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((2, 2, 2))
    assert (row["scale"], row["n_runs"]) == ("ratio", 3)


def test_a_point_that_was_not_run_gives_no_number() -> None:
    """As in a study that is run in part."""
    row = contrasts.of_contrasts(runs({"a": [0.1, 0.2]}), {"x": contrast(("b", 1), ("a", -1))}).iloc[0]
    assert math.isnan(row["estimate"])
    assert (row["n_runs"], math.isnan(row["margin"])) == (0, True)


def test_a_folder_states_its_contrasts(tmp_path: Path) -> None:
    """By name, in contrasts.yaml; a folder without one asks nothing."""
    assert contrasts.read_contrasts(tmp_path) == {}
    (tmp_path / "contrasts.yaml").write_text("x:\n  margin: 0.03\n  terms:\n    - {point: a, quantity: late accuracy bottom, weight: -1}\n")
    assert contrasts.read_contrasts(tmp_path) == {"x": contrast(("a", -1), margin=0.03)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "holds list; expected contrasts by name"),
        ("x: {terms: []}", "x: terms"),
        ("x: {terms: [{point: a, quantity: late loss, weight: 1}]}", "there is no quantity late loss; expected one of late accuracy top"),
        (
            "x: {terms: [{point: a, quantity: onset top, weight: 1}, {point: a, quantity: late accuracy top, weight: 1}]}",
            "compared by ratio",
        ),
        ("x: {margin: 0.5, terms: [{point: a, quantity: onset top, weight: 1}]}", "margin is 0.5; expected a factor above 1"),
        ("x: {margin: 0, terms: [{point: a, quantity: late accuracy top, weight: 1}]}", "margin is 0; expected a number above 0"),
        ("x: {", "cannot be read"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    """One sentence with the file, the contrast and what was expected."""
    (tmp_path / "contrasts.yaml").write_text(text)
    with pytest.raises(SpecError, match=said) as caught:
        contrasts.read_contrasts(tmp_path)
    assert "contrasts.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
