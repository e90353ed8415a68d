"""The charts of what networks learned: curves of loss and accuracy, answers to conflicts, confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dominoes.errors import CurvesError
from dominoes.reporting.chart import Chart, Grid, Line, Panel
from dominoes.reporting.results import Results
from dominoes.spec import PERMUTED, PROBES

METRIC_LABELS = {"loss": "cross-entropy (nats)", "accuracy": "accuracy"}
# Rows of a table on the page; beyond, steps are left out where neighbours lie closer than a pixel.
MOST_ROWS = 100_000
_STEPS_KEPT = 200
_MOST_CLASSES = 20


def averaged(results: Results) -> pd.DataFrame:
    """Mean and extreme seeds of every curve: columns group, split, kind, step, samples, of_side, n, seeds, then loss, loss_low, loss_high,
    accuracy and so on.

    `samples` is dominoes seen, `of_side` those of them that showed this kind's half (NaN for kinds of two halves or none, and where
    the prevalence is not known). Only steps that at least half of the group's runs with this curve have: a mean over the few that
    went on alone would jump.
    """
    table = results.drawn_curves
    keys = ["group", "split", "kind", "step"]
    found = table.groupby(keys, sort=False, dropna=False).agg(
        samples=("samples", "mean"), n=("n", "mean"), seeds=("run", "size"),
        loss=("loss", "mean"), loss_low=("loss", "min"), loss_high=("loss", "max"),
        accuracy=("accuracy", "mean"), accuracy_low=("accuracy", "min"), accuracy_high=("accuracy", "max"),
    ).reset_index().astype({"group": str, "split": str, "kind": str})  # fmt: skip
    most = found.groupby(keys[:3], sort=False)["seeds"].transform("max")
    found = found[found["seeds"] * 2 >= most].copy()
    found.insert(5, "of_side", found["samples"] * _prevalences(results, found))
    place = {group: number for number, group in enumerate(results.groups)}
    kinds = {kind: number for number, kind in enumerate((*PROBES, *PERMUTED))}
    order = pd.DataFrame({"group": found["group"].map(place), "kind": found["kind"].map(kinds).fillna(len(kinds)), "step": found["step"]})
    order = order.assign(split=found["split"]).sort_values(["group", "split", "kind", "step"], kind="stable")
    return found.loc[order.index].reset_index(drop=True)


def _prevalences(results: Results, table: pd.DataFrame) -> pd.Series:
    """For each row the prevalence of its kind's side in its group."""
    known: dict[tuple[str, str], float] = {}
    first = results.drawn_curves.drop_duplicates("group").astype({"group": str}).set_index("group")
    kinds = {run.id: run.environment["dominoes"]["kinds"] for run in results.runs if run.environment}
    for group in results.drawn:
        counts = kinds.get(str(first["run"][group]))
        for side in ("top", "bottom"):
            column = f"prevalence_{side}"
            if counts:
                known[group, side] = (counts[side] + counts["both"]) / max(1, sum(counts.values()))
            elif column in results.made.columns:
                known[group, side] = float(results.made[column][str(first["run"][group])])
    return pd.Series([known.get(key, math.nan) for key in zip(table["group"], table["kind"], strict=True)], index=table.index, dtype=float)


def thinned(table: pd.DataFrame, keys: Sequence[str], most: int = MOST_ROWS) -> tuple[pd.DataFrame, str]:
    """A table with fewer steps if it has too many rows, and a sentence that says so: at most 200 steps of each curve, evenly spread
    over log time, the first and the last among them."""
    if len(table) <= most:
        return table, ""
    steps = np.unique(table["step"].to_numpy(float))
    if len(steps) <= _STEPS_KEPT:
        return table, ""
    wanted = np.geomspace(max(1.0, steps[steps > 0][0]), steps[-1], _STEPS_KEPT)
    near = np.searchsorted(steps, wanted).clip(max=len(steps) - 1)
    kept = np.unique(np.concatenate([steps[near], steps[:1], steps[-1:]]))
    ends = table.groupby(list(keys), sort=False)["step"].transform("max")
    found = table[table["step"].isin(kept) | (table["step"] == ends)]
    return found, f"{len(kept)} of {len(steps)} steps are drawn, evenly spread over log time; curves.csv has them all."


def seeds_text(counts: Sequence[int]) -> str:
    """How many seeds, and what the band is."""
    low, high = (min(counts), max(counts)) if counts else (0, 0)
    if high <= 1:
        return "one seed, no band" if high else "no run"
    many = str(high) if low == high else f"{low} to {high}"
    return f"mean and range (lowest to highest) of {many} seeds"


def probes_text(curves: pd.DataFrame) -> str:
    """How many dominoes a point rests on."""
    numbers = pd.to_numeric(curves.loc[curves["split"] == "test", "n"], errors="coerce").dropna()
    if not len(numbers) or not np.isfinite(numbers).any():
        return "n not known"
    low, high = int(numbers.min()), int(numbers.max())
    return f"n = {low if low == high else f'{low} to {high}'} test dominoes a kind"


def curves_chart(results: Results) -> Chart:
    """Loss and accuracy over time, with every switch: the table holds all kinds, splits and groups; panels are the one-sided ones.

    Raises CurvesError if there is no curve at all.
    """
    if not len(results.curves):
        raise CurvesError("there are no curves to draw; measure runs with 'dominoes train'")
    table, note = thinned(averaged(results), ("group", "split", "kind"))
    table = _with_onsets(results, table)
    fits = (
        "Diamonds: onset (half of the ceiling), where every seed's fit has one. "
        if table["loss_onset"].notna().any() or table["accuracy_onset"].notna().any()
        else ""
    )
    text = seeds_text([results.seeds(group) for group in results.groups])
    caption = (
        f"{text[0].upper()}{text[1:]}; {probes_text(results.curves)}. {fits}Step 0 is left out where time is logarithmic. {note}".strip()
    )
    return Chart("curves", "Learning curves", caption, table, tuple(_panels(results, table)), kind="learning")


def _panels(results: Results, table: pd.DataFrame) -> list[Panel]:
    """A panel for each group and metric with the one-sided curves, train and test."""
    found = []
    K = results.classes_count
    there = set(table[["group", "kind", "split"]].drop_duplicates().itertuples(index=False, name=None))
    for group in results.drawn:
        for metric, label in METRIC_LABELS.items():
            lines = []
            for kind in ("top", "bottom"):
                for split, style in (("test", "solid"), ("train", "dot")):
                    where = {"group": group, "kind": kind, "split": split}
                    if (group, kind, split) in there:
                        name = f"{kind} only, {split}"
                        lines.append(Line(metric, name, kind, f"{metric}_low", f"{metric}_high", style, where))
            rule = math.nan if K is None else math.log(K) if metric == "loss" else 1 / K
            upper = (0.0, 1.02) if metric == "accuracy" else ()
            found.append(
                Panel(group, "step", "training step", label, tuple(lines), x_log=True, y_range=upper, rule=rule, rule_name="chance")
            )
    return found


def one_sided_chart(results: Results) -> Chart:
    """The one-sided curves alone, as `dominoes plot` draws them. Raises CurvesError if there is none."""
    if not len(results.curves):
        raise CurvesError(f"{results.beside} holds no finished run, so there is nothing to draw; measure runs with 'dominoes train'")
    sides = results.curves["kind"].isin(["top", "bottom"])
    if not sides.any():
        raise CurvesError("there are no one-sided curves (kinds top and bottom) to draw; measure runs with 'dominoes train'")
    return curves_chart(results)


def _with_onsets(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Columns loss_onset and accuracy_onset: step of the onset of the curve, the geometric mean over its seeds; NaN if one has none."""
    found = {metric: pd.Series(math.nan, index=table.index) for metric in METRIC_LABELS}
    if results.fits is not None:
        fits = best_fits(results.fits)
        fits = fits.assign(group=fits["run"].map(results.group_of))
        fits = fits[np.isfinite(fits["onset"]) & (fits["onset"] > 0)]
        by_seed = np.log(fits["onset"]).groupby([fits[name] for name in ("group", "split", "kind", "metric")])
        # The mean of those seeds alone that came so far would lie too early.
        whole = by_seed.size() >= [results.seeds(str(group)) for group, *_ in by_seed.size().index]
        onsets = np.exp(by_seed.mean().where(whole))
        for metric in METRIC_LABELS:
            keys = zip(table["group"], table["split"], table["kind"], [metric] * len(table), strict=True)
            found[metric] = pd.Series([onsets.get(key, math.nan) for key in keys], index=table.index, dtype=float)
    return table.assign(**{f"{metric}_onset": values for metric, values in found.items()})


def best_fits(fits: pd.DataFrame) -> pd.DataFrame:
    """Of the fits of each curve by one pattern (logistic in time or in log time) the one that follows it more closely."""
    fits = fits[fits["family"].isin(["logistic", "logistic-log"])]
    if "status" in fits.columns:
        fits = fits[fits["status"] != "not learned"]
    by = "deviance" if "deviance" in fits.columns else "family"
    return fits.sort_values(by, kind="stable").drop_duplicates(["run", "split", "kind", "metric"])


def answers_chart(results: Results) -> Chart | None:
    """Which class is answered when the halves disagree: top's, bottom's, neither; None if no conflicts were measured."""
    table = results.drawn_curves
    table = table[(table["kind"] == "conflict") & (table["split"] == "test") & table["agree_top"].notna() & table["agree_bottom"].notna()]
    if not len(table):
        return None
    table = table.assign(neither=1 - table["agree_top"] - table["agree_bottom"])
    names = {"top": "agree_top", "bottom": "agree_bottom", "neither": "neither"}
    stats = {
        f"{name}{end}": (column, how) for name, column in names.items() for end, how in (("", "mean"), ("_low", "min"), ("_high", "max"))
    }
    found = table.groupby(["group", "step"], sort=False).agg(seeds=("run", "size"), n=("n", "mean"), **stats).reset_index()
    found = found[found["seeds"] * 2 >= found.groupby("group")["seeds"].transform("max")]
    found = in_order(results, found)
    lines = tuple(
        Line(name, f"answers the {name}'s class" if name != "neither" else "answers neither", colour, f"{name}_low", f"{name}_high")
        for name, colour in (("top", "top"), ("bottom", "bottom"), ("neither", "empty"))
    )
    K = results.classes_count
    rule = math.nan if K is None else 1 / K
    shares = Panel("", "step", "training step", "share of conflicts", lines, True, y_range=(0.0, 1.02), rule=rule, rule_name="chance")
    text = seeds_text([results.seeds(group) for group in results.groups])
    caption = f"Two classes are shown, one on each half; {text}; {probes_text(results.curves)}."
    return Chart("conflicts", "Conflicts: which half is believed", caption, found, (shares,), choice="group")


def in_order(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the groups, then of steps."""
    table = table.astype({"group": str})
    place = table["group"].map({group: number for number, group in enumerate(results.groups)})
    columns = ["_place", *(["step"] if "step" in table.columns else [])]
    return table.assign(_place=place).sort_values(columns, kind="stable").drop(columns="_place").reset_index(drop=True)


def confusion_charts(results: Results) -> list[Chart]:
    """What the final networks answer to each pair of classes shown; none if no run kept it."""
    total: dict[str, np.ndarray] = {}
    runs: dict[str, int] = {}
    drawn = set(results.drawn)
    for run in results.confusion:
        group = results.group_of(run)
        if group not in drawn:
            continue
        counts = results.confusion[run]
        if group not in total or total[group].shape == counts.shape:
            total[group] = total.get(group, 0) + counts
            runs[group] = runs.get(group, 0) + 1
    if not total:
        return []
    classes = {counts.shape[2] for counts in total.values()}
    tables = [_confused(group, total[group], runs[group]) for group in results.drawn if group in total]
    table = pd.concat(tables, ignore_index=True)
    seeds = seeds_text(list(runs.values())).replace("mean and range (lowest to highest) of", "sum over")
    caption = (
        f"The last measurement of every run; {seeds}; {probes_text(results.curves)}, spread over its cells (n under the mouse); no band."
    )
    shares = Chart(
        "confusion",
        "Confusion: whose class is answered",
        f"{caption} One-sided dominoes lie in the margins “blank”, doubles on the diagonal, conflicts beside it. "
        "Colours: from pale, a share of 0, to full, 1.",
        table,
        tuple(
            Grid(title, "bottom", "top", "shown on the bottom half", "shown on the top half", column, colour, 1.0)
            for title, column, colour in (
                ("the class on the top half", "answers_top", "top"),
                ("the class on the bottom half", "answers_bottom", "bottom"),
                ("any other class", "answers_other", "empty"),
            )
        ),
        choice="group",
    )
    if len(classes) != 1 or max(classes) > _MOST_CLASSES:
        return [shares]
    answered = pd.concat([_answered(group, total[group]) for group in results.drawn if group in total], ignore_index=True)
    whole = Chart(
        "answers",
        "Confusion: what is answered to which class",
        f"{caption} A row is what was answered to one class shown, and adds up to 1. Colours: from pale, a share of 0, to full, 1.",
        answered,
        tuple(
            Grid(title, "answer", "class", "answered", "class shown", "share", colour, 1.0, where={"shown": title})
            for title, colour in _SHOWN.items()
            if (answered["shown"] == title).any()
        ),
        choice="group",
    )
    return [shares, whole]


# What the matrices of answers are of, and their colours.
_SHOWN = {
    "top alone": "top",
    "bottom alone": "bottom",
    "both, of one class": "both",
    "conflict, by the top's class": "top",
    "conflict, by the bottom's class": "bottom",
}


def _answered(group: str, counts: np.ndarray) -> pd.DataFrame:
    """Shares of answers by class shown: a row for each matrix of _SHOWN, class and answer, where the class was shown at all."""
    K = counts.shape[2]
    both = counts[:K, :K]
    diagonal = both[np.arange(K), np.arange(K)]
    matrices = np.stack([counts[:K, K], counts[K, :K], diagonal, both.sum(1) - diagonal, both.sum(0) - diagonal])
    n = matrices.sum(2)
    matrix, shown = np.nonzero(n)
    columns = {
        "group": group,
        "shown": np.repeat(np.array(list(_SHOWN), dtype=object)[matrix], K),
        "class": np.repeat(shown.astype(str), K),
        "answer": np.tile(np.arange(K).astype(str), len(shown)),
        "n": np.repeat(n[matrix, shown], K),
        "share": (matrices[matrix, shown] / n[matrix, shown][:, None]).ravel(),
    }
    return pd.DataFrame(columns)


def _confused(group: str, counts: np.ndarray, seeds: int) -> pd.DataFrame:
    """A row for each pair of classes shown that was asked."""
    K = counts.shape[2]
    n = counts.sum(2)
    top, bottom = np.nonzero(n)
    asked = n[top, bottom]
    shares = counts[top, bottom] / asked[:, None]
    padded = np.concatenate([shares, np.zeros((len(asked), 1))], axis=1)
    place = np.arange(len(asked))
    for_top, for_bottom = padded[place, top], padded[place, bottom]
    same = top == bottom
    columns = {
        "group": group,
        "top": [_shown(int(k), K) for k in top],
        "bottom": [_shown(int(k), K) for k in bottom],
        "n": asked,
        "seeds": seeds,
        "answers_top": np.where(top < K, for_top, np.nan),
        "answers_bottom": np.where(bottom < K, for_bottom, np.nan),
        "answers_other": 1 - for_top - np.where(same, 0.0, for_bottom),
    }
    return pd.DataFrame(columns | {f"answers_{k}": shares[:, k] for k in range(K)})


def _shown(number: int, K: int) -> str:
    return "blank" if number == K else str(number)
