"""The chart of local learning coefficients over training, below the losses of the same patterns."""

from __future__ import annotations

import pandas as pd

from dominoes.reporting.chart import Chart, Line, Panel
from dominoes.reporting.charts.learning import averaged, seeds_text
from dominoes.reporting.results import LLC, Results
from dominoes.spec import SIDES

_STANDS = "converged"
# Chains of `llc --restrict` that sample on the half whose loss they are asked about: those of both halves are drawn together.
_OWN = "each half alone"


def why_none(results: Results) -> str | None:
    """Why `over_training` draws nothing of estimates that are there; None where it draws, or where no run that is shown has any."""
    table = _of_halves(results)
    if not len(table) or over_training(results) is not None:
        return None
    stands = int((table["status"] == _STANDS).sum())
    return (
        f"{stands} of {len(table)} local learning coefficients of the halves have converged, at no step those of every seed, so none is "
        f"drawn; {LLC} says of each why not, and 'dominoes llc' with more --draws or another --gamma or --sampler may"
    )


def _of_halves(results: Results) -> pd.DataFrame:
    """Estimates of the halves at kept steps, of runs that are shown, with their group; empty if there are none."""
    if results.llc is None:
        return pd.DataFrame()
    table = results.llc[results.llc["kind"].isin(SIDES) & results.llc["step"].notna()]
    own = table["sampled"].mask(table["sampled"] == table["kind"], _OWN)
    table = table.assign(group=table["run"].map(results.group_of), sampled=own)
    return table[table["group"] != ""]


def over_training(results: Results) -> Chart | None:
    """One-sided test losses above, λ̂ of the halves below, on the same time axis; None without estimates of runs that are shown.

    A point of λ̂ is the mean over the seeds of a group; it is drawn only where every one of them has converged, since those that did alone
    would be a choice. Each group, sampler, localisation and set that chains sampled on is drawn by itself.
    """
    table = _of_halves(results)
    if not len(table):
        return None
    keys = ["group", "sampled", "weights", "sampler", "gamma"]
    several = [name for name in keys[1:4] if table[name].nunique() > 1]
    rows = []
    left = total = 0
    losses = averaged(results)
    losses = losses[(losses["split"] == "test") & losses["kind"].isin(SIDES)]
    seeds = []
    for values, chosen in table.groupby(keys, sort=False, dropna=False):
        named = dict(zip(keys, values, strict=True))
        shown = ", ".join([str(named["group"]), *(f"{name} {named[name]}" for name in several), f"γ {named['gamma']:g}"])
        for (kind, step), mine in chosen.groupby(["kind", "step"], sort=True):
            total += 1
            if (mine["status"] != _STANDS).any():
                left += 1
                continue
            seeds.append(int(mine["run"].nunique()))
            estimate = mine["estimate"]
            ends = {"low": estimate.min(), "high": estimate.max()}
            rows.append({"shown": shown, "kind": kind, "step": step, "estimate": estimate.mean(), **ends})
        for row in losses[losses["group"] == named["group"]].to_dict("records"):
            head = {"shown": shown, "kind": row["kind"], "step": row["step"]}
            rows.append(head | {"loss": row["loss"], "loss_low": row["loss_low"], "loss_high": row["loss_high"]})
    columns = ["shown", "kind", "step", "loss", "loss_low", "loss_high", "estimate", "low", "high"]
    if not seeds:
        return None
    lines = {
        "loss": tuple(Line("loss", f"{side} only", side, "loss_low", "loss_high", where={"kind": side}) for side in SIDES),
        "estimate": tuple(Line("estimate", f"{side} only", side, "low", "high", "joined", {"kind": side}) for side in SIDES),
    }
    drawn = pd.DataFrame(rows, columns=columns)
    # One time axis for both, though coefficients stand at checkpoints alone.
    steps = drawn.loc[drawn["step"] > 0, "step"]
    span = (0.9 * float(steps.min()), 1.1 * float(steps.max()))
    panels = (
        Panel("loss, test", "step", "training step", "cross-entropy (nats)", lines["loss"], x_log=True, x_range=span),
        Panel("local learning coefficient", "step", "training step", "λ̂", lines["estimate"], x_log=True, x_range=span),
    )
    text = seeds_text(seeds)
    caption = f"{text[0].upper()}{text[1:]}. {left} of {total} points are left out, whose chains have not converged for every seed."
    return Chart("complexity", "Complexity over training", caption, drawn, panels, "shown", stacked=True)
