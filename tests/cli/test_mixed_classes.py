"""A folder with runs of two and of ten classes: each is taken with its own number of classes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import dominoes
from dominoes.cli.commands import main
from dominoes.errors import FitError
from dominoes.theory.fits.table import fit_table

HOW = ["--n", "120", "--prevalence", "0.7", "0.6", "--epochs", "4", "--probe", "40", "--model", "mlp", "--device", "cpu"]
STOCKS = {2: ["--top", "digits[0,1]", "--bottom", "textures[0,1]"], 10: ["--top", "digits", "--bottom", "textures"]}


def call(*arguments: object) -> Result:
    """The command line, which must succeed."""
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A folder with a run of each, and run -> K."""
    out = tmp_path_factory.mktemp("mixed") / "mk"
    counts = {}
    for count, stock in STOCKS.items():
        call("train", *HOW, *stock, "--out", out)
        counts |= {path.name: count for path in (out / "runs").iterdir() if path.name not in counts}
    return out, counts


def test_each_run_is_fitted_from_its_own_chance(folders: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    """Fits of the folder, of a table beside its classes, and in Python are those of each run's table with its own K."""
    out, counts = folders
    said = call("fit", out, "--family", "logistic", "--out", tmp_path / "fits.csv").output
    assert "; chance is that of each run's classes (2, 10)" in said
    found = pd.read_csv(tmp_path / "fits.csv", dtype={"run": str})
    for form in ("curves", "classes"):
        pd.concat([pd.read_csv(out / "runs" / run / f"{form}.csv", dtype={"run": str}) for run in counts]).to_csv(
            tmp_path / f"{form}.csv", index=False
        )
    call("fit", tmp_path / "curves.csv", "--family", "logistic", "--out", tmp_path / "beside.csv")
    beside, in_python = pd.read_csv(tmp_path / "beside.csv", dtype={"run": str}), dominoes.fit(out, families=("logistic",))
    for run, count in counts.items():
        alone = dominoes.fit(out / "runs" / run, families=("logistic",), chance=1 / count)
        for table in (found, beside, in_python):
            np.testing.assert_allclose(table.loc[table["run"] == run, "rmse"], alone["rmse"], rtol=1e-9)
            floors = table.loc[(table["run"] == run) & (table["metric"] == "loss"), "floor"].dropna()
            assert set(np.round(floors, 9)) == {round(math.log(count), 9)}


def test_onsets_of_headlines_are_counted_from_each_runs_chance(folders: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    """Headline numbers of the folder are those of each run with its own K, and no note says that K is not known."""
    out, counts = folders
    done = call("headlines", out, "--by", "source_top", "--out", tmp_path / "all.csv")
    assert "is not known" not in done.stderr
    found = pd.read_csv(tmp_path / "all.csv").set_index(["point", "quantity"])["estimate"]
    for run, count in counts.items():
        call("headlines", out / "runs" / run / "curves.csv", "--classes", count, "--out", tmp_path / "one.csv")
        alone = pd.read_csv(tmp_path / "one.csv").set_index("quantity")["estimate"]
        point = "source_top " + ("digits[0,1]" if count == 2 else "digits")
        for side in ("top", "bottom"):
            np.testing.assert_allclose(found[point, f"onset {side}"], alone[f"onset {side}"])


def test_a_chance_is_said_of_every_run(folders: tuple[Path, dict[str, int]]) -> None:
    """A run without one is named."""
    out, counts = folders
    first, other = counts
    curves = pd.concat([pd.read_csv(out / "runs" / run / "curves.csv", dtype={"run": str}) for run in counts])
    with pytest.raises(FitError, match=f"chance has no value for run {other}; expected one for every run"):
        fit_table(curves, chance={first: 0.5})
