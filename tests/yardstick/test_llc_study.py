"""The tables of results/llc that its README quotes, made anew from the curves and the estimates kept beside them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dominoes import tables
from dominoes.studies import headline_numbers

FOLDER = Path(__file__).parents[2] / "results" / "llc"
BATCH = 64
RESAMPLES = 10_000


def curves(name: str) -> pd.DataFrame:
    """The curves of one of the study's sweeps."""
    return tables.read_table(FOLDER / name / "curves.parquet", form="curves")


def estimates(name: str) -> pd.DataFrame:
    """A table of `dominoes llc`."""
    return pd.read_csv(FOLDER / name, dtype={"transform_top": str}, keep_default_na=False, na_values={"estimate": [""], "se": [""]})


def onsets(name: str) -> pd.Series:
    """Onset of the top on test dominoes, in samples, geometric mean over seeds, by setting; NaN where a seed has none."""
    table = curves(name)
    found = headline_numbers.of_runs(table)
    found = found[found["quantity"] == "onset top"]
    first = table.drop_duplicates("run").set_index("run")
    source = first["source_top"].astype(str) if "source_top" in first else pd.Series("mnist", index=first.index)
    setting = np.where(source == "cifar10", "cifar10", first["transform_top"].astype(str))
    settings = pd.Series(setting, index=first.index)
    return BATCH * np.exp(
        np.log(found["value"]).groupby(found["run"].map(settings).to_numpy()).agg(lambda values: values.mean(skipna=False))
    )


def settings_table() -> pd.DataFrame:
    """One row a setting: where its trainings alone ended, what it takes, its coefficients, its onset on dominoes."""
    alone = curves("solo")
    alone = alone[(alone["split"] == "train") & (alone["kind"] == "top")]
    last = alone[alone["step"] == alone.groupby("run")["step"].transform("max")]
    setting = np.where(last["source_top"].astype(str) == "cifar10", "cifar10", last["transform_top"].astype(str))
    ends = last.groupby(setting).agg(
        least_steps=("step", "min"), most_steps=("step", "max"), least_loss=("loss", "min"), most_loss=("loss", "max")
    )
    made = ends.assign(solo_time=onsets("solo"), onset=onsets("onsets"))
    lengths = pd.read_csv(FOLDER / "onsets" / "simplicity.csv", keep_default_na=False)
    lengths = lengths[(lengths["quantity"] == "code length") & (lengths["seed"] == "all") & (lengths["side"] == "top")]
    made = made.assign(code_length=lengths.set_index("transforms")["estimate"].astype(float))
    table = estimates("llc-solo.csv")
    table = table.assign(setting=np.where(table["source_top"] == "cifar10", "cifar10", table["transform_top"]))
    for gamma, rows in table.groupby("gamma"):
        stands = rows[rows["status"] == "converged"].groupby("setting")["estimate"]
        enough = stands.size() >= 2
        made[f"llc_{gamma:g}"] = stands.mean().where(enough)
        made[f"converged_{gamma:g}"] = stands.size()
        made[f"converged_{gamma:g}"] = made[f"converged_{gamma:g}"].fillna(0).astype(int)
    return made.rename_axis("setting").reset_index()


def ranks(settings: pd.DataFrame) -> pd.DataFrame:
    """One row a yardstick: Spearman's rank correlation with the onsets on dominoes over the ten settings of MNIST, its interval (Bonett and
    Wright 2000), and that of the correlation with learning time less this one, over resamples of settings."""
    mnist = settings[settings["setting"] != "cifar10"]
    rows = []
    for name in ("solo_time", "code_length", *(column for column in settings if column.startswith("llc_"))):
        there = mnist[["onset", "solo_time", name]].loc[:, lambda part: ~part.columns.duplicated()].dropna()
        if len(there) < 4:
            continue
        rho = float(stats.spearmanr(there["onset"], there[name]).statistic)
        half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(there) - 3))
        low, high = np.tanh(np.arctanh(min(max(rho, -1 + 1e-9), 1 - 1e-9)) + np.array([-half, half]))
        generator = np.random.default_rng(0)
        values = there[["onset", "solo_time" if name == "solo_time" else name, "solo_time"]].to_numpy()
        differences = []
        for _ in range(RESAMPLES):
            ranked = stats.rankdata(values[generator.integers(len(values), size=len(values))], axis=0)
            if (np.ptp(ranked, axis=0) > 0).all():
                together = np.corrcoef(ranked.T)
                differences.append(together[0, 2] - together[0, 1])
        less, more = np.percentile(differences, [2.5, 97.5])
        rows.append((name, len(there), rho, low, high, less, more))
    return pd.DataFrame(rows, columns=["yardstick", "settings", "rho", "low", "high", "difference_low", "difference_high"])


def over_training() -> pd.DataFrame:
    """One row a half, seed, localisation and set that was sampled: its onset on training dominoes, the coefficients of the last converged
    checkpoint before it and of the first after it, and what is stated beforehand of their ratio."""
    table, rows = estimates("llc-training.csv"), []
    losses = curves("training")
    losses = losses[losses["split"] == "train"]
    halves = table[table["kind"].isin(["top", "bottom"])]
    for (sampled, kind, seed, gamma), mine in halves.groupby(["sampled", "kind", "seed", "gamma"]):
        curve = losses[(losses["seed"] == seed) & (losses["kind"] == kind)].sort_values("step")
        half = (curve["loss"].max() + curve["loss"].min()) / 2
        onset = int(curve.loc[curve["loss"] <= half, "step"].iloc[0])
        stands = mine[mine["status"] == "converged"].sort_values("step")
        before, after = stands[stands["step"] < onset], stands[stands["step"] >= onset]
        row = {"sampled": sampled, "kind": kind, "seed": seed, "gamma": gamma, "onset": onset}
        row |= {"converged": len(stands), "checkpoints": len(mine)}
        if len(before) and len(after):
            one, other = before.iloc[-1], after.iloc[0]
            row |= {"step_before": one["step"], "before": one["estimate"], "before_se": one["se"]}
            row |= {
                "step_after": other["step"],
                "after": other["estimate"],
                "after_se": other["se"],
                "ratio": other["estimate"] / one["estimate"],
            }
            apart = abs(other["estimate"] - one["estimate"]) > 2 * (one["se"] + other["se"])
            row["verdict"] = "rises" if apart and row["ratio"] > 1.1 else "falls" if apart and row["ratio"] < 1 / 1.1 else "cannot tell"
        else:
            row["verdict"] = "no converged checkpoint " + ("before" if not len(before) else "after")
        rows.append(row)
    return pd.DataFrame(rows)


def against_cifar() -> pd.DataFrame:
    """One row a localisation: mean coefficient of CIFAR-10 over that of plain MNIST, and whether all seeds of the one are above all of the
    other's, where each has two converged seeds."""
    table = estimates("llc-solo.csv")
    table = table[table["status"] == "converged"]
    rows = []
    for gamma, mine in table.groupby("gamma"):
        cifar = mine.loc[mine["source_top"] == "cifar10", "estimate"]
        mnist = mine.loc[(mine["source_top"] == "mnist") & (mine["transform_top"] == "none"), "estimate"]
        row = {"gamma": gamma, "cifar10_seeds": len(cifar), "mnist_seeds": len(mnist)}
        if min(len(cifar), len(mnist)) >= 2:
            row |= {"cifar10": cifar.mean(), "mnist": mnist.mean(), "ratio": cifar.mean() / mnist.mean()}
            row |= {"every_seed": "above" if cifar.min() > mnist.max() else "below" if cifar.max() < mnist.min() else "mixed"}
        rows.append(row)
    return pd.DataFrame(rows)


def samplers() -> pd.DataFrame:
    """One row a localisation: how far the estimates of the averaged noise are from those of the plain steps of the first round, of the
    networks that have both."""
    table = estimates("llc-solo.csv").merge(estimates("first-round/llc-solo.csv"), on=["run", "step", "gamma"], suffixes=("", "_plain"))
    table = table[(table["status"] == "converged") & (table["status_plain"] == "converged")]
    ratio = table["estimate"] / table["estimate_plain"]
    return ratio.groupby(table["gamma"]).agg(["size", "mean", "min", "max"]).reset_index()


def same(name: str, made: pd.DataFrame) -> None:
    """A kept table is what is made anew, to six digits."""
    kept = pd.read_csv(FOLDER / name, keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(kept, made, check_dtype=False, rtol=1e-6, atol=1e-9)


def test_the_settings_and_what_orders_their_onsets() -> None:
    """settings.csv from the curves and the estimates, ranks.csv from it."""
    made = settings_table()
    same("settings.csv", made)
    same("ranks.csv", ranks(made))


def test_cifar_against_mnist_and_the_samplers() -> None:
    """cifar.csv and samplers.csv from the estimates."""
    same("cifar.csv", against_cifar())
    same("samplers.csv", samplers())


def test_coefficients_over_training() -> None:
    """training.csv from the curves and the estimates."""
    same("training.csv", over_training())


@pytest.mark.parametrize("name", ["llc-solo.csv", "llc-training.csv", "first-round/llc-solo.csv", "first-round/llc-training.csv"])
def test_what_has_not_converged_has_no_estimate(name: str) -> None:
    """And what has passes every limit."""
    table = estimates(name)
    stands = table["status"] == "converged"
    assert table.loc[~stands, "estimate"].isna().all()
    numbers = table.loc[stands, ["rhat", "ess", "drift", "spreading", "quarter"]].astype(float)
    assert (numbers["rhat"] < 1.05).all()
    assert (numbers["ess"] >= 50).all()
    assert (numbers[["drift", "quarter"]].abs() <= 0.1).all(axis=None)
    assert (numbers["spreading"] <= 0.1).all()
