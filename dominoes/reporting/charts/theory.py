"""The charts that hold the theory against the curves: fits, doubles, conflicts, and the verdicts; made of what the theory's modules say."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dominoes.reporting.chart import Chart, Line, Panel
from dominoes.reporting.charts.learning import best_fits, in_order, probes_text, seeds_text
from dominoes.reporting.results import Results
from dominoes.theory.questions import simplicity
from dominoes.theory.rules import RULES
from dominoes.theory.verdicts import Margins

# Where a verdict can be seen, by its question.
FIGURES = {
    "learned first": "curves",
    "doubles": "doubles",
    "doubles score": "doubles",
    "conflicts": "neither",
    "conflicts score": "neither",
    "pictures": "doubles",
    "preference": "preference",
    "empties": "curves",
    "loss": "curves",
    "loss reading": "curves",
    "held-out time": "fits",
    "monotonicity": "curves",
    "reliability": "curves",
    "law of onset": "sweep",
    "law of speed": "sweep",
    "law of ceiling": "sweep",
    "laws": "sweep",
    "rescaling": "sweep",
    "held-out point": "sweep",
    "no competition": "competition",
    "simplicity": "onsets",
}


def fits_chart(results: Results) -> Chart | None:
    """The one-sided test curves with the pattern that was fitted to each seed, averaged; None without fits."""
    if results.fits is None:
        return None
    chosen = best_fits(results.fits)
    chosen = chosen[(chosen["split"] == "test") & chosen["kind"].isin(["top", "bottom"])]
    table = results.drawn_curves
    table = table[(table["split"] == "test") & table["kind"].isin(["top", "bottom"])].astype({"run": str, "kind": str, "group": str})
    parts = []
    for metric in ("accuracy", "loss"):
        known = {(fit["run"], fit["kind"]): fit for fit in chosen[chosen["metric"] == metric].to_dict("records")}
        for key, curve in table.groupby(["run", "kind"], sort=False):
            fit = pattern(known[key], curve["step"]) if key in known else None
            # Dots and line are of the same seeds: one that has no onset is in neither.
            if fit is not None and np.isfinite(fit[curve["step"] > 0]).all():
                parts.append(curve[["group", "run", "kind", "step"]].assign(metric=metric, measured=curve[metric], fit=fit))
    runs = table.groupby(["run", "kind"], sort=False).ngroups * 2
    left = f" {runs - len(parts)} of {runs} curves are left out: no onset was found in them." if runs > len(parts) else ""
    if not parts:
        return None
    keys = ["group", "kind", "metric", "step"]
    found = pd.concat(parts).groupby(keys, sort=False).agg(
        measured=("measured", "mean"), low=("measured", "min"), high=("measured", "max"), fit=("fit", "mean"), seeds=("run", "nunique")
    ).reset_index()  # fmt: skip
    found = found[found["seeds"] * 2 >= found.groupby(keys[:3])["seeds"].transform("max")]
    found = in_order(results, found)
    panels = []
    for metric, label, ends in (("accuracy", "accuracy", (0.0, 1.02)), ("loss", "cross-entropy (nats)", ())):
        lines = []
        for kind in ("top", "bottom"):
            where = {"kind": kind, "metric": metric}
            lines.append(Line("measured", f"{kind} only, measured", kind, "low", "high", "points", where))
            lines.append(Line("fit", f"{kind} only, fitted", kind, "", "", "solid", where))
        panels.append(Panel(metric, "step", "training step", label, tuple(lines), x_log=True, y_range=ends))
    families = " or ".join(sorted(chosen["family"].unique()))
    text = seeds_text([results.seeds(group) for group in results.groups]).replace("mean", "dots: mean", 1)
    n = probes_text(results.curves)
    caption = f"{text[0].upper()}{text[1:]}; lines: mean of the seeds' own fits ({families}, the closer one); {n}.{left}"
    return Chart("fits", "One pattern fitted to each one-sided curve", caption, found, tuple(panels), choice="group")


def pattern(fit: Mapping[Hashable, Any], step: pd.Series) -> pd.Series:
    """The curve of a row of fits.csv: one pattern, logistic in time or in log time, from its floor, ceiling, speed and onset."""
    t = step.to_numpy(float)
    if not (np.isfinite(fit["onset"]) and np.isfinite(fit["speed"])):
        return pd.Series(np.nan, index=step.index)
    with np.errstate(divide="ignore", over="ignore"):
        place = (
            fit["speed"] * (np.log(t) - math.log(fit["onset"])) if fit["family"] == "logistic-log" else fit["speed"] * (t - fit["onset"])
        )
        risen = 1 / (1 + np.exp(-place))
    return pd.Series(fit["floor"] + (fit["ceiling"] - fit["floor"]) * risen, index=step.index)


def _wide(results: Results, columns: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """A row for each run and step at which everything asked for was measured: name -> (kind, column) of the test curves."""
    table = results.drawn_curves
    table = table[table["split"] == "test"]
    parts = [
        table[table["kind"] == kind].set_index(["group", "run", "step"])[column].rename(name) for name, (kind, column) in columns.items()
    ]
    return pd.concat(parts, axis=1, join="inner").dropna().reset_index()


def _over_seeds(results: Results, table: pd.DataFrame, columns: list[str], spread: str) -> pd.DataFrame:
    """Means over the seeds of each group and step, and the extreme seeds of one column."""
    stats = {column: (column, "mean") for column in columns} | {"low": (spread, "min"), "high": (spread, "max"), "seeds": (spread, "size")}
    found = table.groupby(["group", "step"], sort=False).agg(**stats).reset_index()
    found = found[found["seeds"] * 2 >= found.groupby("group")["seeds"].transform("max")]
    return in_order(results, found)


def doubles_chart(results: Results) -> Chart | None:
    """Error on doubles, measured and as each rule predicts it from the one-sided curves; None where a kind is missing."""
    K = results.classes_count
    if K is None or not len(results.curves):
        return None
    wide = _wide(results, {"top": ("top", "accuracy"), "bottom": ("bottom", "accuracy"), "both": ("both", "accuracy")})
    if not len(wide):
        return None
    top, bottom = 1 - wide["top"].to_numpy(float), 1 - wide["bottom"].to_numpy(float)
    wide = wide.assign(measured=1 - wide["both"], **{name: rule.doubles(top, bottom, K) for name, rule in RULES.items()})
    wide = wide.assign(**{f"{rule} residual": wide["measured"] - wide[rule] for rule in RULES})
    residuals = [f"{rule} residual" for rule in RULES]
    table = _over_seeds(results, wide, ["measured", *RULES, *residuals], "measured")
    lines = [Line("measured", "measured", "conflict", "low", "high", "points")]
    lines += [Line(name, rule.label, rule.colour, style=rule.style) for name, rule in RULES.items()]
    off = [Line(f"{name} residual", rule.label, rule.colour, style=rule.style) for name, rule in RULES.items()]
    panels = (
        Panel("error on doubles", "step", "training step", "error", tuple(lines), True, True),
        Panel("residuals: measured − predicted", "step", "training step", "error", tuple(off), True, rule=0.0),
    )
    text = seeds_text([results.seeds(group) for group in results.groups])
    caption = f"No free parameter: each rule is formed from the one-sided curves of the same seed; {text}; {probes_text(results.curves)}."
    return Chart("doubles", "Doubles predicted from the one-sided curves", caption, table, panels, choice="group")


def neither_chart(results: Results) -> Chart | None:
    """Share of answers to conflicts that are neither class, measured and predicted; None where a kind is missing or K is 2."""
    K = results.classes_count
    if K is None or K < 3 or not len(results.curves):
        return None
    columns = {
        "top": ("top", "accuracy"),
        "bottom": ("bottom", "accuracy"),
        "for_top": ("conflict", "agree_top"),
        "for_bottom": ("conflict", "agree_bottom"),
    }
    wide = _wide(results, columns)
    if not len(wide):
        return None
    top, bottom = 1 - wide["top"].to_numpy(float), 1 - wide["bottom"].to_numpy(float)
    wide = wide.assign(measured=1 - wide["for_top"] - wide["for_bottom"])
    rules = {name: rule for name, rule in RULES.items() if rule.conflicts is not None}
    wide = wide.assign(**{name: rule.conflicts(top, bottom, K)[2] for name, rule in rules.items() if rule.conflicts is not None})
    table = _over_seeds(results, wide, ["measured", *rules], "measured")
    lines = [Line("measured", "measured", "conflict", "low", "high", "points")]
    lines += [Line(name, rule.label, rule.colour, style=rule.style) for name, rule in rules.items()]
    panel = Panel("", "step", "training step", "share answered with neither class", tuple(lines), True, y_range=(0.0, 1.02))
    text = seeds_text([results.seeds(group) for group in results.groups])
    caption = f"Predicted from the one-sided curves of the same seed; {text}; {probes_text(results.curves)}."
    return Chart("neither", "Conflicts answered with neither class", caption, table, (panel,), choice="group")


def ratio_charts(results: Results) -> list[Chart]:
    """The comparator's ratio of errors on doubles, and the preference λ on conflicts, over time; none without bands."""
    if results.bands is None:
        return []
    margins = Margins()
    found = []
    for name, question, model, title, label, colour, ends, band, log, rule in (
        ("ratio", "doubles", "product", "Doubles: measured over predicted error", "measured / predicted error", "both",
         (0.25, 4.0), margins.factor(), True, 1.0),
        ("preference", "preference", "", "Conflicts: the preference λ(t)", "λ: 0 bottom, ½ equal, 1 top", "conflict",
         (-0.3, 1.3), (0.5 - margins.preference, 0.5 + margins.preference), False, 0.5),
    ):  # fmt: skip
        bands = results.bands
        table = bands[(bands["question"] == question) & (bands["model"].fillna("") == model) & np.isfinite(bands["estimate"].astype(float))]
        table = table[["group", "step", "estimate", "low", "high", "used"]].copy()
        table["judged"] = table["estimate"].where(table["used"].astype(bool)).astype(float)
        table = in_order(results, table.drop(columns="used").astype({"estimate": float, "low": float, "high": float, "step": int}))
        if not len(table):
            continue
        lines = (
            Line("estimate", "estimate", colour, "low", "high"),
            Line("judged", "judged steps", colour, style="points"),
        )
        if not log:
            # As far as the judged steps go, but not after every wild one.
            seen = table["judged"].dropna()
            ends = max(-1.5, min([ends[0], *(seen - 0.1)])), min(2.5, max([ends[1], *(seen + 0.1)]))
        panel = Panel("", "step", "training step", label, lines, True, log, ends, rule, band=band)
        seeds = [results.seeds(group) for group in results.groups]
        many = f"{min(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
        shown = f"Band: 95 % interval over {many} seeds and their pictures" if max(seeds) > 1 else "One seed, no band"
        agreement = "agreement with the product rule" if name == "ratio" else "agreement with equal preference"
        n = probes_text(results.curves)
        caption = f"{shown}; {n}; shaded: {agreement}. Steps before both patterns are known are not judged."
        found.append(Chart(name, title, caption, table, (panel,), choice="group"))
    return found


def verdicts(results: Results) -> pd.DataFrame | None:
    """The comparator's verdicts with the name of the figure that shows each (`figure`, empty if none); None without a comparison."""
    if results.comparison is None:
        return None
    wanted = ["group", "question", "rival", "verdict", "sentence"]
    table = results.comparison.reindex(columns=wanted).fillna("").astype(str)
    return table.assign(figure=[_figure(question, rival) for question, rival in zip(table["question"], table["rival"], strict=True)])


def _figure(question: str, rival: str) -> str:
    """A law is seen where the field stands that it is a law of, a yardstick where onsets are held against it."""
    name = FIGURES.get(question, "")
    if rival.startswith((*simplicity.YARDSTICKS, simplicity.COEFFICIENT)):
        return "onsets"
    return f"{name}-{rival}" if question.startswith("law of ") and rival else name
