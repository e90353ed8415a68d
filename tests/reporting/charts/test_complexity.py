"""Local learning coefficients in the report: what is drawn, and what is left out."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dominoes import tables
from dominoes.errors import CurvesError
from dominoes.reporting import results, sections, stills
from dominoes.reporting.chart import Panel
from dominoes.reporting.charts import complexity

STEPS, GAMMAS = (1, 10, 100), (300.0, 1000.0)


def llc(runs: list[str]) -> pd.DataFrame:
    """λ̂ = 1000 / γ × step × (1 for the top, 2 for the bottom) + 0, 1, 2 by run; what step 1 of the first run has has not converged."""
    rows = []
    for number, run in enumerate(runs):
        for step in STEPS:
            for gamma in GAMMAS:
                for kind in ("mix", "top", "bottom", "conflict"):
                    stands = (number, step) != (0, 1)
                    head = dict.fromkeys(tables.LLC) | {"run": run, "seed": number, "step": step, "gamma": gamma, "kind": kind}
                    value = 1000 / gamma * step * (2 if kind == "bottom" else 1) + number if stands else None
                    said = "converged" if stands else "not converged: chains disagree"
                    rows.append(head | {"weights": "all", "sampled": "mix", "sampler": "sgld", "estimate": value, "status": said})
    return pd.DataFrame(rows)


@pytest.fixture
def folder(swept: Path, tmp_path: Path) -> Path:
    """The curves of a synthetic sweep, with coefficients of the three runs of its first point beside them."""
    found = results.gather([swept])
    first = found.curves[found.curves["group"] == found.groups[0]]
    shutil.copytree(swept, tmp_path / "swept")
    llc(list(first["run"].unique())).to_csv(tmp_path / "swept" / "llc.csv", index=False)
    return tmp_path / "swept"


def test_means_over_seeds_where_all_have_converged(folder: Path) -> None:
    """Above the losses of the one-sided probes, below the mean and range of λ̂; a point that a seed lacks is left out and counted."""
    found = results.gather([folder])
    chart = complexity.over_training(found)
    assert chart is not None
    assert chart.choices() == [f"{found.groups[0]}, γ 300", f"{found.groups[0]}, γ 1000"]
    drawn = chart.chosen(chart.choices()[0])
    points = drawn[drawn["estimate"].notna()].set_index(["kind", "step"])
    assert sorted(points.index) == [("bottom", 10), ("bottom", 100), ("top", 10), ("top", 100)]
    assert points.loc[("bottom", 10), ["estimate", "low", "high"]].to_list() == pytest.approx([1 + 200 / 3, 200 / 3, 2 + 200 / 3])
    losses = drawn[drawn["loss"].notna() & (drawn["kind"] == "top")].set_index("step")["loss"]
    curves = found.curves[(found.curves["group"] == found.groups[0]) & (found.curves["split"] == "test") & (found.curves["kind"] == "top")]
    assert losses.to_numpy() == pytest.approx(curves.groupby("step")["loss"].mean().to_numpy())
    above, below = (panel.x_range for panel in chart.parts if isinstance(panel, Panel))
    assert above == below == (0.9 * float(curves.loc[curves["step"] > 0, "step"].min()), 1.1 * float(curves["step"].max()))
    assert "4 of 12 points are left out" in chart.caption
    assert "Mean and range (lowest to highest) of 3 seeds" in chart.caption


def test_the_report_has_it_and_stills_stack_it(folder: Path, tmp_path: Path) -> None:
    """It is a chart of the section on learning, and its still is higher than wide."""
    chart = sections.charts_of(sections.sections(results.gather([folder])))["complexity"]
    out = tmp_path / "complexity.png"
    stills.draw_chart(chart, out, choice=chart.choices()[0])
    with Image.open(out) as picture:
        assert picture.height > picture.width


def test_without_estimates_there_is_no_chart(swept: Path, folder: Path) -> None:
    """No table, a table of other runs, or no step at which all seeds have converged, which the section says."""
    assert complexity.over_training(results.gather([swept])) is None
    table = pd.read_csv(folder / "llc.csv")
    last = table["run"] == table["run"].iloc[-1]
    others = {
        "": table.assign(run="0" * 12),
        "0 of 36 local": table.assign(status="not converged: x", estimate=np.nan),
        "20 of 36 local": table.assign(status=table["status"].mask(last, "not converged: x"), estimate=table["estimate"].mask(last)),
    }
    for said, other in others.items():
        other.to_csv(folder / "llc.csv", index=False)
        found = results.gather([folder])
        assert complexity.over_training(found) is None
        notes = [note for part in sections.sections(found) for note in part.notes if "learning coefficients" in note]
        assert len(notes) == (1 if said else 0)
        assert all(note.startswith(said) for note in notes)


def test_halves_that_were_sampled_alone_are_drawn_together(folder: Path) -> None:
    """Tables of `llc --restrict top` and `--restrict bottom` are one choice; a half that the other's chains were asked about is not."""
    table = pd.read_csv(folder / "llc.csv")
    table = table[table["kind"].isin(["top", "bottom"])]
    table.assign(sampled=table["kind"]).to_csv(folder / "llc.csv", index=False)
    chart = complexity.over_training(results.gather([folder]))
    assert chart is not None
    assert len(chart.choices()) == len(GAMMAS)
    drawn = chart.chosen(chart.choices()[0])
    assert set(drawn.loc[drawn["estimate"].notna(), "kind"]) == {"top", "bottom"}
    table.assign(sampled="top").to_csv(folder / "llc.csv", index=False)
    chart = complexity.over_training(results.gather([folder]))
    assert chart is not None
    assert len(chart.choices()) == 2 * len(GAMMAS)


def test_samplers_are_drawn_apart(folder: Path) -> None:
    """Estimates of two samplers are two choices, never one mean."""
    table = pd.read_csv(folder / "llc.csv")
    pd.concat([table, table.assign(sampler="lm", estimate=2 * table["estimate"])]).to_csv(folder / "llc.csv", index=False)
    chart = complexity.over_training(results.gather([folder]))
    assert chart is not None
    assert len(chart.choices()) == 2 * len(GAMMAS)
    plain, averaged = (chart.chosen(next(name for name in chart.choices() if f"sampler {each}, γ 300" in name)) for each in ("sgld", "lm"))
    assert averaged["estimate"].dropna().to_numpy() == pytest.approx(2 * plain["estimate"].dropna().to_numpy())


def test_a_damaged_table_is_a_note(folder: Path) -> None:
    """What cannot be read is refused in a sentence, which the report shows."""
    table = pd.read_csv(folder / "llc.csv")
    for broken, said in (
        (table.drop(columns="gamma"), "the column gamma is missing; expected a table made by 'dominoes llc'"),
        (table.iloc[:0], "there are no rows"),
        (table.assign(estimate="x"), "a row has converged and yet no estimate"),
    ):
        broken.to_csv(folder / "llc.csv", index=False)
        with pytest.raises(CurvesError, match=said):
            tables.read_llc(folder / "llc.csv")
        found = results.gather([folder])
        assert found.llc is None
        assert any(said in note for note in found.notes)
