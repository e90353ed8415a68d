"""The numbers in results/llc/README.md, recomputed from the tables beside it."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dominoes.studies import headline_numbers

RESULTS = Path(__file__).parents[2] / "results"
TEXT = " ".join((RESULTS / "llc" / "README.md").read_text(encoding="utf-8").split())
BATCH = 64


def said(number: float, digits: int = 2) -> str:
    """A number below 1 as the README writes it."""
    return f"{number:.{digits}f}".replace("0.", ".", 1).replace("-", "−") if abs(number) < 1 else f"{number:.{digits}f}"


def ordered(first: pd.Series, second: pd.Series) -> str:
    """Spearman's rank correlation with its interval by Bonett and Wright's standard error, as the README writes it."""
    both = pd.concat([first, second], axis=1).dropna()
    rho = float(stats.spearmanr(both).statistic)
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(both) - 3))
    low, high = np.tanh(np.arctanh(rho) + np.array([-half, half]))
    return f"{said(rho)} ({said(low)} to {said(high)})"


@pytest.fixture(scope="module")
def solo() -> pd.DataFrame:
    """The trainings alone."""
    return pd.read_csv(RESULTS / "llc" / "solo.csv", keep_default_na=False, na_values={"train_loss": [""]}).sort_values("seed")


@pytest.fixture(scope="module")
def on_dominoes() -> pd.Series:
    """Onsets of the detector, geometric means over seeds, in samples."""
    curves = pd.read_csv(
        RESULTS / "simplicity-small" / "curves.csv", keep_default_na=False, na_values={"agree_top": [""], "agree_bottom": [""]}
    )
    found = headline_numbers.of_runs(curves)
    found = found[found["quantity"] == "onset top"]
    tops = found["run"].map(curves.drop_duplicates("run").set_index("run")["transform_top"])
    return BATCH * found["value"].groupby(tops).apply(stats.gmean)


def test_the_table_of_the_trainings_alone(solo: pd.DataFrame, on_dominoes: pd.Series) -> None:
    """Each row: the geometric mean of the onsets, the steps and losses of both seeds, the detector's onset."""
    rows = re.findall(r"\| `([^`]+)` \| ([\d,]+) \| ([^|]+) \| ([^|]+) \| ([\d,]*) ?\|", TEXT)
    assert {name for name, *_ in rows} == set(solo["top"])
    for name, onset, steps, losses, detector in rows:
        mine = solo[solo["top"] == name]
        assert onset == f"{stats.gmean(mine['onset_samples']):,.0f}"
        met = mine["train_loss"].notna()
        assert steps == ", ".join(f"{'' if there else 'not within '}{count:,}" for count, there in zip(mine["steps"], met, strict=True))
        assert losses == ", ".join(said(loss, 4) if there else "–" for loss, there in zip(mine["train_loss"], met, strict=True))
        assert detector == (f"{on_dominoes[name]:,.0f}" if name in on_dominoes else "")


def test_what_orders_the_onsets(solo: pd.DataFrame, on_dominoes: pd.Series) -> None:
    """The two rank correlations over five settings, and the range of the losses at which training was stopped."""
    means = solo.groupby("top")[["onset_samples", "steps"]].agg(stats.gmean)
    assert f"has a rank correlation of {ordered(means['onset_samples'], on_dominoes)} with them over five settings" in TEXT
    assert f"the steps to train loss .01 have {ordered(means['steps'], on_dominoes)}." in TEXT
    assert f"the losses there are {said(solo['train_loss'].min(), 4)} to {said(solo['train_loss'].max(), 4)}" in TEXT
    assert f"(all {len(solo)} runs)" in TEXT


def test_the_estimate_that_was_tried() -> None:
    """One row, without an estimate; the README says which it is and repeats the reasons."""
    (row,) = pd.read_csv(RESULTS / "llc" / "llc-solo.csv", keep_default_na=False).to_dict("records")
    assert row["estimate"] == ""
    drift, quarter = re.findall(r"by ([+-]\d+%)", row["status"])
    assert f"`{row['top']}`, seed {row['seed']}, γ {row['gamma']:,.0f}: the loss drifts by {drift}" in TEXT
    assert f"a quarter of the step changes the estimate by {quarter})" in TEXT
