"""Code lengths against closed forms and brute force; the table's contract."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dominoes import tables
from dominoes.errors import CurvesError, SpecError
from dominoes.tables import SIMPLICITY
from dominoes.yardstick import code_length


def test_blocks_double_and_end_with_all() -> None:
    """8·K labels, then twice as many each time; what is left over is a block of its own."""
    assert code_length.block_ends(10, 640) == [80, 160, 320, 640]
    assert code_length.block_ends(10, 60000)[-3:] == [20480, 40960, 60000]
    assert code_length.block_ends(2, 33) == [16, 32, 33]
    with pytest.raises(SpecError, match=r"n 159: blocks of labels double from 8·K = 80; expected at least 160"):
        code_length.block_ends(10, 159)


def test_a_tenth_of_what_is_known_is_held_out() -> None:
    """Training and calibration share no label, and nothing of what comes later."""
    for end in (16, 80, 40960):
        fit, held = code_length.known(end)
        assert (fit.start, fit.stop, held.stop) == (0, held.start, end)
        assert held.stop - held.start == max(end // 10, 1)


def test_nats_are_minus_the_log_of_the_softmax() -> None:
    """At every temperature, also for logits that overflow an exponential."""
    logits = np.random.default_rng(0).normal(0, 3, (50, 7))
    labels = np.arange(50) % 7
    for temperature in (0.5, 1.0, 4.0):
        wanted = -np.log(softmax(logits / temperature, axis=1)[np.arange(50), labels])
        assert code_length.nats(logits, labels, temperature) == pytest.approx(wanted)
    assert code_length.nats(np.array([[1e4, 0.0]]), np.array([1]))[0] == pytest.approx(1e4)


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    """Labels drawn from the softmax of logits that are then multiplied: the factor is what calibration takes out."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (4000, 10))
    labels = np.array([rng.choice(10, p=row) for row in softmax(logits, axis=1)])
    for factor in (0.3, 1.0, 5.0):
        assert code_length.temperature(factor * logits, labels) == pytest.approx(factor, rel=0.06)


def test_few_labels_do_not_make_a_model_sure() -> None:
    """Eight answers that happen to be right move the temperature by less than a factor of ten."""
    logits = 2 * np.eye(10)[:8]
    assert 0.1 < code_length.temperature(logits, np.arange(8)) < 1


def test_a_block_costs_little_more_than_the_better_of_model_and_uniform() -> None:
    """The even mixture is −ln(½ e^−model + ½ e^−uniform), and never ln 2 above either."""
    for costs in (np.array([0.1, 0.2, 0.3]), np.array([5.0, 4.0, 9.0])):
        found = code_length.hedged(costs, 10)
        assert found == pytest.approx(-math.log(0.5 * math.exp(-costs.sum()) + 0.5 * 10.0**-3))
        assert found <= min(costs.sum(), 3 * math.log(10)) + math.log(2)


def test_the_whole_code_weighs_blocks_by_their_labels() -> None:
    """The first block at ln K, the others at their cost; all at ln K is ln K."""
    assert code_length.per_label([80, 160, 640], 10, [1.0, 0.5]) == pytest.approx((80 * math.log(10) + 80 * 1.0 + 480 * 0.5) / 640)
    assert code_length.per_label([80, 160], 10, [math.log(10)]) == pytest.approx(math.log(10))


def row(**changed: object) -> dict[str, object]:
    """A row of simplicity.csv."""
    base: dict[str, object] = dict.fromkeys(SIMPLICITY, 1)
    base |= {"source": "mnist", "transforms": "none", "side": "top", "quantity": "code length", "seed": "all", "estimate": 0.5}
    return base | changed


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    """`none` stays a word, seeds stay text, transforms are written the one way."""
    path = tmp_path / "s.csv"
    pd.DataFrame([row(low=None, high=None), row(transforms="noise=.5  gray", seed="0")]).to_csv(path, index=False)
    table = tables.read_simplicity(path)
    assert table["transforms"].tolist() == ["none", "noise=0.5 gray=1"]
    assert table["seed"].tolist() == ["all", "0"]
    assert table["low"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no rows; expected a table made by 'dominoes simplicity'"),
        ([row(transforms="noize=1")], r"transforms 'noize=1': there is no transform noize \(did you mean noise\?\)"),
        ([row(estimate="much")], "a code length is no number"),
    ],
)
def test_broken_tables_are_named(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    """What is wrong with a table is said with its name."""
    pd.DataFrame(rows, columns=list(SIMPLICITY)).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(CurvesError, match=message):
        tables.read_simplicity(tmp_path / "s.csv")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    """A missing file and missing columns."""
    with pytest.raises(CurvesError, match=r"no\.csv cannot be read as a table"):
        tables.read_simplicity(tmp_path / "no.csv")
    pd.DataFrame({"source": ["mnist"]}).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(CurvesError, match="the columns transforms, side, model"):
        tables.read_simplicity(tmp_path / "s.csv")
