"""The charts across a sweep: onset, speed and ceiling against what was swept, with the law and its interval; competition; heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import t as student

from dominoes.arrays import FloatArray
from dominoes.errors import CurvesError
from dominoes.reporting.chart import HUES, Chart, Grid, Line, Panel
from dominoes.reporting.charts.learning import probes_text
from dominoes.reporting.results import SIMPLICITY, Results
from dominoes.runs.parameters import SHOWN
from dominoes.spec import SIDES
from dominoes.tables import CURVES, DEAL
from dominoes.theory.intervals import FAILS, HOLDS, number
from dominoes.theory.questions import simplicity
from dominoes.theory.questions.competition import competition as competition_of
from dominoes.theory.questions.laws import QUANTITIES
from dominoes.theory.questions.laws import laws as laws_of
from dominoes.theory.sweep_curves import SweepCurves, SweptCurve, arranged
from dominoes.theory.verdicts import Margins, Options, comparison, gathered

_FORMS = {"power law": (True, True), "exponential": (False, True), "linear": (False, False)}
_LEVEL = 0.95
# Pairs of fields that get a heat map; more would bury the page.
_MOST_PAIRS = 3
# Values of a field beyond which a cell has no room for its number.
_MOST_WRITTEN = 8
# Times the highest and the lowest point, as far as an axis of logarithms follows its bars.
_REACH = 10.0
_BARS = "; bars: 95 % interval over seeds"


def charts(results: Results) -> tuple[list[Chart], list[str]]:
    """All charts across the sweep, and notes on what is missing."""
    return judged(results)[:2]


def judged(results: Results) -> tuple[list[Chart], list[str], pd.DataFrame | None]:
    """All charts across the sweep, notes on what is missing, and the rows on laws and competition that they are drawn from."""
    if not results.fields:
        return [], ["the runs differ in nothing but the seed: nothing is swept"] if len(results.curves) else [], None
    table = results.curves
    table = table.loc[(table["split"] == "test") & table["kind"].isin(SIDES), [*CURVES, *results.fields]]
    table = results.with_known(table, (*SHOWN, DEAL))
    try:
        data = arranged(table, by=results.fields, classes_count=results.classes_count or 10)
        options = Options(Margins(), _LEVEL, data.deals)
        laws = comparison(gathered([laws_of(data, options), competition_of(data, options)]), data.notes, "").table
    except CurvesError as error:
        return [], [f"across the sweep: {error}"], None
    n = probes_text(results.curves)
    found = [chart for name in data.fields if (chart := _against(data, laws, name, n)) is not None]
    found += _competition(data, laws, n)
    notes = [note for note in data.notes if "swept columns" not in note]
    if results.simplicity is not None:
        try:
            measured = simplicity.onsets(results.with_known(results.curves), results.classes, results.simplicity, results.fields)
            found.append(onsets_chart(measured, n))
        except CurvesError as error:
            notes.append(f"{SIMPLICITY}: {error}")
    for pair in list(combinations(data.fields, 2))[:_MOST_PAIRS]:
        found += _heat(data, *pair, n)
    return found, [f"across the sweep: {note}" for note in notes], laws


def _label(quantity: str, data: SweepCurves) -> str:
    time = "dominoes seen" if data.time == "samples" else "steps"
    return {"onset": f"onset ({time})", "speed": "speed (per ln time)", "ceiling": "ceiling (accuracy)"}[quantity]


def _summary(values: FloatArray, log: bool) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(S, P) -> mean, low and high (Student's 95 % interval over replicates) and count, (P,) each; geometric where `log`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        used = np.log(np.where(values > 0, values, np.nan)) if log else values
    count = np.isfinite(used).sum(0)
    safe = np.where(np.isfinite(used), used, 0.0)
    mean = np.where(count > 0, safe.sum(0) / np.maximum(count, 1), np.nan)
    square = np.where(np.isfinite(used), (used - mean) ** 2, 0.0).sum(0)
    error = np.sqrt(square / np.maximum(count - 1, 1) / np.maximum(count, 1))
    reach = np.where(count > 1, student.ppf((1 + _LEVEL) / 2, np.maximum(count - 1, 1)) * error, np.nan)
    low, high = mean - reach, mean + reach
    if log:
        mean, low, high = (np.exp(np.clip(each, -50, 50)) for each in (mean, low, high))
    return mean, low, high, count


def _rest(data: SweepCurves, name: str) -> list[str]:
    """For each point, the values of the other fields, in words."""
    others = [field for field in data.fields if field != name]
    count = len(data.values[name])
    return [", ".join(f"{field} {_short(data.values[field][point])}" for field in others) for point in range(count)]


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _points(data: SweepCurves, name: str, side: str, quantity: str, values: FloatArray) -> pd.DataFrame:
    numbers = data.numbers(name)
    mean, low, high, count = _summary(values, quantity in ("onset", "speed"))
    x = list(map(str, data.values[name])) if numbers is None else numbers
    columns = {"others": _rest(data, name), "side": side, "quantity": quantity, name: x}
    table = pd.DataFrame(columns | {"mean": mean, "low": low, "high": high, "seeds": count, "all": data.n_seeds})
    return table.sort_values(["others", name] if numbers is not None else ["others"], kind="stable")


def _form(laws: pd.DataFrame, name: str, quantity: str) -> str:
    """The form that is drawn for both sides: the one that more verdicts hold for and fewer fail."""
    mine = laws[(laws["question"] == f"law of {quantity}") & (laws["rival"] == name)]
    scores = {}
    for form in _FORMS:
        verdicts = mine.loc[mine["model"] == form, "verdict"]
        if len(verdicts):
            scores[form] = int((verdicts == HOLDS).sum()) - int((verdicts == FAILS).sum())
    return max(scores, key=lambda form: scores[form]) if scores else ""


def _with_law(table: pd.DataFrame, name: str, form: str, law: pd.Series | None) -> pd.DataFrame:
    """Columns law, law_low, law_high: through the middle of the points that every replicate learned, with the law's slope and its ends."""
    table = table.assign(law=np.nan, law_low=np.nan, law_high=np.nan)
    if law is None or not np.isfinite(law["estimate"]):
        return table
    x_log, y_log = _FORMS[form]
    for _, rows in table.groupby("others", sort=False):
        rows = rows[(rows["seeds"] == rows["all"]) & np.isfinite(rows["mean"])]
        if len(rows) < 2:
            continue
        place = np.log(rows[name].to_numpy(float)) if x_log else rows[name].to_numpy(float)
        value = np.log(rows["mean"].to_numpy(float)) if y_log else rows["mean"].to_numpy(float)
        off = place - place.mean()
        ends = {column: value.mean() + float(law[slope]) * off for column, slope in (("law", "estimate"), ("a", "low"), ("b", "high"))}
        lines = {"law": ends["law"], "law_low": np.minimum(ends["a"], ends["b"]), "law_high": np.maximum(ends["a"], ends["b"])}
        for column, line in lines.items():
            table.loc[rows.index, column] = np.exp(line) if y_log else line
    return table


def _against(data: SweepCurves, laws: pd.DataFrame, name: str, n: str) -> Chart | None:
    """Onset, speed and ceiling of both sides against one field."""
    numbers = data.numbers(name)
    tables, panels, told = [], [], []
    for quantity in QUANTITIES:
        form = _form(laws, name, quantity) if numbers is not None else ""
        lines = []
        for side in SIDES:
            table = _points(data, name, side, quantity, data.quantity(side, quantity)).reset_index(drop=True)
            mine = laws[(laws["question"] == f"law of {quantity}") & (laws["side"] == side) & (laws["rival"] == name)]
            mine = mine[mine["model"] == form]
            law = mine.iloc[0] if len(mine) else None
            table = _with_law(table, name, form, law)
            tables.append(table)
            lines += _side_lines(table, side, quantity)
            if law is not None and np.isfinite(law["estimate"]):
                told.append(_told(law, side, quantity, name))
        x_log, y_log = _FORMS.get(form, (False, quantity != "ceiling"))
        # No accuracy lies outside, whatever the interval of few seeds says.
        ends = _ends(tables[-len(SIDES) :], y_log) if quantity != "ceiling" else (0.05, 1.1) if y_log else (0.0, 1.02)
        panels.append(Panel(quantity, name, name, _label(quantity, data), tuple(lines), x_log, y_log, ends))
    table = pd.concat(tables, ignore_index=True).drop(columns="all")
    if not np.isfinite(table["mean"]).any():
        return None
    laws_text = (
        f" Lines: the law, through the middle of its points; band: the 95 % interval of its slope. {'; '.join(told)}." if told else ""
    )
    caption = f"{_replicates(data, n)}{_BARS if data.n_seeds > 1 else ''}; each point is fitted seed by seed.{laws_text}"
    return Chart(f"sweep-{name}", f"Onset, speed and ceiling against {name}", caption, table, tuple(panels))


def _ends(tables: Sequence[pd.DataFrame], log: bool) -> tuple[float, ...]:
    """Ends of an axis that a wild interval of few seeds would stretch until its points cannot be told apart; empty: as it comes."""
    table = pd.concat(tables)
    low, high = float(table["mean"].min()), float(table["mean"].max())
    wild = (table["high"] > _REACH * high).any() or (table["low"] < low / _REACH).any()
    return (low / _REACH, _REACH * high) if log and wild else ()


def _side_lines(table: pd.DataFrame, side: str, quantity: str) -> list[Line]:
    lines = []
    for others in dict.fromkeys(table["others"]):
        where = {"others": others, "side": side, "quantity": quantity}
        lines.append(Line("mean", side, side, "low", "high", "points", where))
        lines.append(Line("law", f"{side}, law", side, "law_low", "law_high", "dash", where))
    return lines


def _told(law: pd.Series, side: str, quantity: str, name: str) -> str:
    interval = f" ({number(law['low'])} to {number(law['high'])})" if np.isfinite(law["low"]) else ""
    what = {
        "power law": f"{quantity} of the {side} ∝ {name}^",
        "exponential": f"{quantity} of the {side}: ln changes per unit by ",
        "linear": f"{quantity} of the {side}: changes per unit by ",
    }
    return f"{what[law['model']]}{number(law['estimate'])}{interval}, {law['verdict']}"


def _replicates(data: SweepCurves, n: str) -> str:
    return f"{data.n_seeds} seeds a point; {n}" if data.n_seeds > 1 else f"one seed a point, no intervals; {n}"


def _competition(data: SweepCurves, laws: pd.DataFrame, n: str) -> list[Chart]:
    """A side's onset and mean accuracy against the prevalence of the other side."""
    tables, panels = [], []
    for side, other in (("bottom", "top"), ("top", "bottom")):
        name = f"prevalence_{other}"
        if name not in data.fields or data.numbers(name) is None:
            continue
        for quantity, values in (("onset", data.quantity(side, "onset")), ("mean accuracy", data.measured(side, SweptCurve.mean))):
            table = _points(data, name, side, quantity, values).rename(columns={name: "prevalence"}).assign(of=other)
            tables.append(table)
            lines = []
            different = list(dict.fromkeys(table["others"]))
            for place, others in enumerate(different):
                where = {"others": others, "side": side, "quantity": quantity}
                # A colour for each value of the other fields, as far as they can be told apart.
                apart = 1 < len(different) <= len(HUES)
                called, colour = (f"{side}, {others}", HUES[place]) if apart else (side, side)
                lines.append(Line("mean", called, colour, "low", "high", "joined", where))
            label = _label("onset", data) if quantity == "onset" else "accuracy, mean over log time"
            title = f"{quantity} of the {side}"
            panels.append(Panel(title, "prevalence", f"prevalence of the {other}", label, tuple(lines), y_log=quantity == "onset"))
    if not panels:
        return []
    table = pd.concat(tables, ignore_index=True).drop(columns="all")
    asked = laws[(laws["question"] == "no competition") & laws["model"].isin(["onset", "accuracy"]) & laws["window"].isin(["late", ""])]
    said = "; ".join(f"{row['window']} {row['model']} of the {row['side']}: {row['verdict']}".strip() for _, row in asked.iterrows())
    caption = (
        f"{_replicates(data, n)}{_BARS if data.n_seeds > 1 else ''}. Without competition every line is flat{f' ({said})' if said else ''}."
    )
    return [Chart("competition", "Competition: a side against the other's prevalence", caption, table, tuple(panels))]


def onsets_chart(found: pd.DataFrame, n: str) -> Chart:
    """Onsets of both sides against the code length of the side that is dialled: a dot a seed, and the geometric means joined.

    Args:
        found: as `simplicity.onsets` gives it; where both sides are dialled, each is a choice.
        n: how many dominoes a point rests on, in words.
    """
    keys = ["dialled", "side", "length", "setting"]
    dots = found.rename(columns={"onset": "seed_onset"}).drop(columns="time")
    logs = found.assign(log=np.log(found["onset"]))
    means = logs.groupby(keys, sort=False).agg(mean=("log", "mean"), seeds=("log", "count"), all=("log", "size")).reset_index()
    # A mean over the seeds that happened to learn would lie too early.
    means = means.assign(mean=np.exp(means["mean"]).where(means["seeds"] == means["all"]))
    table = pd.concat([dots, means], ignore_index=True).sort_values(keys, kind="stable").reset_index(drop=True)
    lines: list[Line] = []
    for side in SIDES:
        lines.append(Line("seed_onset", f"{side}, each seed", side, style="points", where={"side": side}))
        lines.append(Line("mean", f"{side}, mean", side, where={"side": side}, text="words"))
    names = list(dict.fromkeys(found["dialled"]))
    whose = f"the {names[0]} half" if len(names) == 1 else "the dialled half"
    time = "dominoes seen" if found["time"].iloc[0] == "samples" else "steps"
    panel = Panel("", "length", f"code length of {whose} alone (nats per label)", f"onset ({time})", tuple(lines), y_log=True)
    seeds, lost = int(means["all"].max()), int((means["seeds"] < means["all"]).sum())
    caption = (
        f"{seeds} seed{'s' if seeds > 1 else ''} a setting, a dot each; lines: geometric means of the settings that every seed learned"
        f"{f' ({lost} of {len(means)} are not)' if lost else ''}; {n}; no band."
    )
    # Settings are named once, on the side whose they are.
    table["words"] = table["setting"].where((table["side"] == table["dialled"]) & table["mean"].notna(), "")
    table = table[["dialled", "side", "setting", "length", "seed_onset", "mean", "seeds", "words"]]
    return Chart("onsets", "Onset against simplicity", caption, table, (panel,), choice="dialled")


def _heat(data: SweepCurves, x: str, y: str, n: str) -> list[Chart]:
    """A quantity of both sides over two swept fields, averaged over whatever else is swept."""
    found = []
    for quantity in QUANTITIES:
        log = quantity in ("onset", "speed")
        parts = []
        for side in SIDES:
            mean = _summary(data.quantity(side, quantity), log)[0]
            frame = pd.DataFrame({"side": side, x: _sorted(data, x), y: _sorted(data, y), "value": np.log(mean) if log else mean})
            cells = frame.groupby(["side", x, y], sort=False)["value"].agg(value="mean", points="count").reset_index()
            parts.append(cells.assign(value=np.exp(cells["value"]) if log else cells["value"]))
        table = pd.concat(parts, ignore_index=True)
        if not np.isfinite(table["value"]).any():
            continue
        table = _ordered(table, data, (x, y))
        others = [field for field in data.fields if field not in (x, y)]
        over = f", averaged over {', '.join(others)}" if others else ""
        caption = f"{_replicates(data, n)}; mean{over}; empty cells are not learned or not run; no band."
        # Numbers are read where they fit into the cells.
        few = all(table[name].nunique() <= _MOST_WRITTEN for name in (x, y))
        table["written"] = [_number(value) if few else "" for value in table["value"]]
        grid = Grid("", x, y, x, y, "value", "both", math.nan, log, text="written" if few else "")
        title = f"{_label(quantity, data)} over {x} and {y}"
        found.append(Chart(f"heat-{quantity}-{x}-{y}", title[0].upper() + title[1:], caption, table, (grid,), choice="side"))
    return found


def _number(value: float) -> str:
    return "" if not np.isfinite(value) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _sorted(data: SweepCurves, name: str) -> list[str]:
    return [_short(value) for value in data.values[name]]


def _ordered(table: pd.DataFrame, data: SweepCurves, names: Sequence[str]) -> pd.DataFrame:
    """Rows so that the values of each field first appear in increasing order; the values are text from here on."""
    keys = {}
    for name in names:
        numbers = data.numbers(name)
        texts = _sorted(data, name)
        order = np.argsort(numbers, kind="stable") if numbers is not None else np.argsort(np.array(texts), kind="stable")
        ranks: dict[str, int] = {}
        for point in order:
            ranks.setdefault(texts[int(point)], len(ranks))
        keys[f"_{name}"] = table[name].map(ranks)
    side = table["side"].map({side: place for place, side in enumerate(SIDES)})
    return (
        table.assign(**keys, _side=side).sort_values(["_side", *keys], kind="stable").drop(columns=["_side", *keys]).reset_index(drop=True)
    )
