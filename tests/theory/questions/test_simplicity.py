"""A sweep of dialled sides whose onsets follow a known law of the code length; what cannot be matched is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from simulated_truths import Truth, curves

from dominoes.cli.commands import main
from dominoes.errors import CurvesError
from dominoes.reporting import completion, results, stills
from dominoes.reporting.charts import sweep, theory
from dominoes.tables import LLC, SIMPLICITY, UNREACHED
from dominoes.theory.intervals import FAILS, HOLDS
from dominoes.theory.questions.simplicity import of_coefficients, onsets
from dominoes.theory.sweep_comparison import compare_sweep

LENGTHS = {"none": 0.5, "noise=0.5": 0.8, "blur=2": 1.0, "occlude=0.3": 1.4, "noise=1": 1.7}


def dialled(*, competition: float = 0.0, seeds: int = 5) -> pd.DataFrame:
    """Curves of a sweep over the top's transforms: its onset is 40 · length², the bottom's grows by `competition` per nat."""
    parts = []
    for point, (transform, length) in enumerate(LENGTHS.items()):
        truth = Truth(onset=(40 * length**2, 200 * np.exp(competition * length)), seed_spread=0.05)
        table, _ = curves(truth, seeds, 0, point, ("top", "bottom"))
        parts.append(table.assign(run=table["run"] + f"-{point}", transform_top=transform, source_top="mnist"))
    return pd.concat(parts, ignore_index=True)


def yardstick(lengths: dict[str, float] = LENGTHS, **more: object) -> pd.DataFrame:
    """What `dominoes simplicity` would have measured."""
    base = {"source": "mnist", "side": "top", "quantity": "code length", "seed": "all"} | more
    rows = [base | {"transforms": name, "estimate": length, "low": 0.9 * length, "high": 1.1 * length} for name, length in lengths.items()]
    rows = [row | {"status": "ok"} | more for row in rows]
    return pd.DataFrame([*rows, rows[0] | {"seed": "0"}, rows[0] | {"quantity": "block"}])


def test_the_law_of_the_onset_against_the_yardstick_is_recovered() -> None:
    """The exponent is 2, the power law holds, the order is that of the lengths, and the other side is left alone."""
    found = compare_sweep(dialled(), classes_count=10, simplicity=yardstick())
    table = found.table[found.table["rival"].eq("code_length_top") | found.table["quantity"].str.contains("code_length_top")]
    law = table[table["question"] == "law of onset"].set_index("model")
    assert law.loc["power law", "estimate"] == pytest.approx(2, abs=0.15)
    assert law.loc["power law", "verdict"] == HOLDS
    assert law.loc["power law", "rmse"] < law.loc["exponential", "rmse"]
    order = table[table["question"] == "simplicity"]
    assert order["verdict"].tolist() == [HOLDS]
    assert order["rival"].tolist() == ["code_length_top"]
    assert order["estimate"].iloc[0] > 0.95
    other = table[table["question"] == "no competition"].set_index("model")
    assert other.loc["onset", "side"] == "bottom"
    assert other.loc["onset", "estimate"] == pytest.approx(1, abs=0.1)
    assert other.loc["onset", "verdict"] != FAILS
    assert any("code_length_top, nats per label, stands for transform_top" in note and "10 % up" in note for note in found.notes)


def test_a_side_that_is_left_alone_is_said_to_be() -> None:
    """The other side's onset does not move, and that holds."""
    table = compare_sweep(dialled(), classes_count=10, questions=["no competition"], simplicity=yardstick()).table
    assert table[table["model"] == "onset"]["verdict"].tolist() == [HOLDS]


def test_competition_with_a_harder_side_is_found() -> None:
    """Where the bottom is learned later the harder the top is, the effect of the whole ladder is told."""
    table = compare_sweep(dialled(competition=0.5), classes_count=10, questions=["no competition"], simplicity=yardstick()).table
    onset = table[(table["model"] == "onset")]
    assert onset["verdict"].tolist() == [FAILS]
    assert onset["estimate"].iloc[0] == pytest.approx(np.exp(0.5 * 1.2), rel=0.15)


def test_a_yardstick_in_disorder_explains_nothing() -> None:
    """Lengths that do not follow the onsets are told apart from those that do."""
    shuffled = dict(zip(LENGTHS, [1.0, 1.7, 0.5, 1.4, 0.8], strict=True))
    table = compare_sweep(dialled(), classes_count=10, questions=["laws"], simplicity=yardstick(shuffled)).table
    assert table.loc[table["question"] == "simplicity", "verdict"].tolist() == [FAILS]


def test_what_was_not_measured_is_named() -> None:
    """A setting that is missing, one that is there twice, and a sweep that dials nothing."""
    with pytest.raises(CurvesError, match=r"the yardstick has no code length of mnist \(noise=1\); measure it"):
        compare_sweep(dialled(), classes_count=10, simplicity=yardstick({k: v for k, v in LENGTHS.items() if k != "noise=1"}))
    twice = pd.concat([yardstick(), yardstick()])
    with pytest.raises(CurvesError, match=r"the yardstick has 2 rows of code length of mnist \(blur=2\); expected one"):
        compare_sweep(dialled(), classes_count=10, simplicity=twice)
    plain = dialled().assign(prevalence_top=lambda table: table["transform_top"].map(LENGTHS)).drop(columns=["transform_top", "source_top"])
    assert any("the yardstick is not used" in note for note in compare_sweep(plain, classes_count=10, simplicity=yardstick()).notes)


def test_a_side_that_is_hardly_learned_is_not_ordered() -> None:
    """Fewer than four points at which the top is learned have no order."""
    table = dialled()
    flat = table["transform_top"].isin(["none", "noise=0.5", "blur=2"]) & (table["kind"] == "top")
    table.loc[flat, "accuracy"] = 0.1
    found = compare_sweep(table, classes_count=10, questions=["laws"], simplicity=yardstick()).table
    (sentence,) = found.loc[found["question"] == "simplicity", "sentence"]
    assert "no four points at which it is learned in every replicate differ in code_length_top alone" in sentence


def test_an_order_that_one_replicate_breaks_can_still_hold() -> None:
    """Student's interval ends at 1, beyond which no rank correlation lies; the sentence has the number of points."""
    table = dialled(seeds=8)
    # In one replicate the two simplest points change places: its rank correlation is .9.
    names = {"none": "noise=0.5", "noise=0.5": "none"}
    wrong = (table["seed"] == table["seed"].min()) & table["transform_top"].isin(list(names))
    table.loc[wrong, "transform_top"] = table.loc[wrong, "transform_top"].map(names)
    found = compare_sweep(table, classes_count=10, questions=["laws"], simplicity=yardstick()).table
    row = found[found["question"] == "simplicity"].iloc[0]
    assert row["estimate"] == pytest.approx((7 + 0.9) / 8)
    assert (row["high"], row["verdict"]) == (1, HOLDS)
    assert row["sentence"].endswith("; 5 points")


def test_a_setting_whose_time_was_not_measured_is_left_out() -> None:
    """Where not every seed of the yardstick came to half, the point has no time alone; with no two that have one, it is not used."""
    alone = yardstick({name: 1000 * length**2 for name, length in LENGTHS.items()}, quantity="samples to half")
    alone.loc[alone["transforms"] == "blur=2", ["estimate", "status"]] = [9.0, "not reached by every seed"]
    alone.loc[alone["transforms"] == "none", "estimate"] = np.nan
    found = compare_sweep(dialled(), classes_count=10, questions=["laws"], simplicity=alone)
    law = found.table[(found.table["question"] == "law of onset") & (found.table["model"] == "power law")]
    assert law["estimate"].iloc[0] == pytest.approx(1, abs=0.12)
    assert any("2 points left out, where not every seed of the yardstick has samples to half" in note for note in found.notes)
    alone["estimate"] = np.nan
    found = compare_sweep(dialled(), classes_count=10, questions=["laws"], simplicity=alone)
    assert any("no two points have samples to half; it is not used" in note for note in found.notes)


def test_a_yardstick_of_one_seed_has_no_intervals() -> None:
    """Nothing is said of how far intervals reach that are not there."""
    one = yardstick().assign(low=np.nan, high=np.nan)
    notes = compare_sweep(dialled(), classes_count=10, questions=["laws"], simplicity=one).notes
    assert any("(of one seed, it has no intervals)" in note for note in notes)


def test_of_both_sides_the_own_one_counts() -> None:
    """A source that was measured on both sides is taken from the side that is dialled."""
    both = pd.concat([yardstick(), yardstick({name: 9 * length for name, length in LENGTHS.items()}, side="bottom")])
    one, two = (compare_sweep(dialled(), classes_count=10, simplicity=table).table for table in (yardstick(), both))
    pd.testing.assert_frame_equal(one, two)


def test_onsets_are_drawn_against_the_yardstick(tmp_path: Path) -> None:
    """One row a point, side and replicate, with the setting in words; a sweep that dials nothing has no figure."""
    found = onsets(dialled(seeds=2), None, yardstick())
    assert len(found) == 5 * 2 * 2
    assert dict(zip(found["setting"], found["length"], strict=True)) == LENGTHS
    top = found[found["side"] == "top"].groupby("setting")["onset"].mean()
    assert top["noise=1"] / top["none"] == pytest.approx((1.7 / 0.5) ** 2, rel=0.2)
    chart = sweep.onsets_chart(found, "n = 200 test dominoes a kind")
    assert "2 seeds a setting" in chart.caption
    assert "n = 200" in chart.caption
    means = chart.table[chart.table["side"] == "top"].dropna(subset=["mean"]).set_index("setting")["mean"]
    assert means["blur=2"] == pytest.approx(np.exp(np.log(found[found["side"].eq("top") & found["setting"].eq("blur=2")]["onset"]).mean()))
    stills.draw_chart(chart, tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    plain = dialled().assign(prevalence_top=lambda table: table["transform_top"].map(LENGTHS)).drop(columns=["transform_top", "source_top"])
    with pytest.raises(CurvesError, match="there are no onsets to draw against code lengths"):
        onsets(plain, None, yardstick())


def test_the_command_takes_the_yardstick_beside_the_curves(tmp_path: Path) -> None:
    """simplicity.csv beside the curves is found, another is taken with --simplicity, and without --sweep it is refused."""
    dialled(seeds=2).to_csv(tmp_path / "curves.csv", index=False)
    yardstick().reindex(columns=list(SIMPLICITY)).to_csv(tmp_path / "simplicity.csv", index=False)
    arguments = ["compare", str(tmp_path / "curves.csv"), "--out", str(tmp_path / "c.csv")]
    result = CliRunner().invoke(main, [*arguments, "--sweep", "--all", "--plot", str(tmp_path / "f.svg")])
    assert result.exit_code == 0, result.output
    assert "onset of the top against code_length_top, power law" in result.stdout
    assert (tmp_path / "f.svg").is_file()
    (tmp_path / "simplicity.csv").rename(tmp_path / "other.csv")
    assert "code_length" not in CliRunner().invoke(main, [*arguments, "--sweep"]).stdout
    assert "code_length" in CliRunner().invoke(main, [*arguments, "--sweep", "--simplicity", str(tmp_path / "other.csv")]).stdout
    result = CliRunner().invoke(main, [*arguments, "--simplicity", str(tmp_path / "other.csv")])
    assert result.exit_code == 2
    assert "--simplicity is read with --sweep; pass both, or neither" in result.stderr


def test_learning_time_alone_is_a_yardstick_too() -> None:
    """Samples that the side needs alone to reach half are held against the onsets as code lengths are, beside them."""
    alone = yardstick({name: 1000 * length**2 for name, length in LENGTHS.items()}, quantity="samples to half")
    table = compare_sweep(dialled(), classes_count=10, questions=["laws"], simplicity=pd.concat([yardstick(), alone])).table
    law = table[(table["question"] == "law of onset") & (table["model"] == "power law")].set_index("rival")["estimate"]
    assert law["solo_time_top"] == pytest.approx(1, abs=0.08)
    assert law["code_length_top"] == pytest.approx(2, abs=0.15)
    assert table.loc[table["question"] == "simplicity", "rival"].tolist() == ["code_length_top", "solo_time_top"]


def coefficients(gammas: tuple[float, ...] = (100.0, 1000.0), lost: tuple[str, ...] = ()) -> pd.DataFrame:
    """What `llc --restrict top` would have written of three seeds a setting: λ̂ is the length times 1000 / γ, give or take a tenth; the
    last seed of a `lost` setting has not converged."""
    rows = []
    for name, length in LENGTHS.items():
        for seed, gamma in [(seed, gamma) for seed in range(3) for gamma in gammas]:
            stands = name not in lost or seed < 2
            row = {"run": f"{name}-{seed}", "seed": seed, "step": 100, "sampled": "top", "kind": "top", "gamma": gamma}
            row |= {"estimate": length * 1000 / gamma * (0.9 + 0.1 * seed) if stands else None}
            rows.append(row | {"status": "converged" if stands else "not converged: x", "source_top": "mnist", "transform_top": name})
    table = pd.DataFrame(rows)
    early = table.assign(step=10, estimate=99.0, status="converged")
    return pd.concat([early, table]).reindex(columns=[*LLC, "source_top", "transform_top"])


def test_learning_coefficients_are_yardsticks_too(tmp_path: Path) -> None:
    """Those of the last checkpoints of networks that learned a side alone, each localisation by itself: the exponents are those of the
    lengths that they are proportional to, and `compare --simplicity` takes llc.csv as it takes simplicity.csv."""
    made = of_coefficients(coefficients())
    one = made[(made["transforms"] == "blur=2") & made["quantity"].str.endswith(" 100")].iloc[0]
    half = 4.302653 * 1.0 / np.sqrt(3)
    assert (one["estimate"], one["low"], one["high"]) == pytest.approx((10, 10 - half, 10 + half))
    table = compare_sweep(dialled(), classes_count=10, simplicity=pd.concat([yardstick(), made])).table
    law = table[(table["question"] == "law of onset") & (table["model"] == "power law")].set_index("rival")["estimate"]
    names = ["learning_coefficient_100_top", "learning_coefficient_1000_top"]
    assert [law[name] for name in names] == pytest.approx([2, 2], abs=0.15)
    assert table.loc[table["question"] == "simplicity", "rival"].tolist() == ["code_length_top", *names]
    dialled(seeds=2).to_csv(tmp_path / "curves.csv", index=False)
    yardstick().reindex(columns=list(SIMPLICITY)).to_csv(tmp_path / "simplicity.csv", index=False)
    for gamma in (100.0, 1000.0):
        coefficients((gamma,)).to_csv(tmp_path / f"llc-{gamma:g}.csv", index=False)
    given = [f"--simplicity={tmp_path / name}" for name in ("simplicity.csv", "llc-100.csv", "llc-1000.csv")]
    arguments = ["compare", str(tmp_path / "curves.csv"), "--out", str(tmp_path / "c.csv"), "--sweep", "--all"]
    result = CliRunner().invoke(main, [*arguments, *given])
    assert result.exit_code == 0, result.output
    for name in ("code_length_top", *names):
        assert f"onsets of the top come in the order of {name}" in result.stdout
    result = CliRunner().invoke(main, [*arguments, given[1], "--plot", str(tmp_path / "f.svg")])
    assert result.exit_code == 2
    assert "the yardstick has no code length of mnist (" in result.stderr


def test_a_setting_whose_coefficient_has_not_converged_for_every_seed_is_left_out() -> None:
    """The mean over those that have would be a choice; the note says how many points are left, and four are needed for an order."""
    made = of_coefficients(coefficients((100.0,), lost=("none",)))
    assert made.loc[made["transforms"] == "none", "status"].tolist() == [UNREACHED]
    found = compare_sweep(dialled(), classes_count=10, simplicity=made)
    assert any(
        "1 points left out, where not every seed of the yardstick has learning coefficient at gamma 100" in note for note in found.notes
    )
    sentence = found.table.loc[found.table["question"] == "simplicity", "sentence"].item()
    assert "4 points" in sentence


def test_coefficients_that_say_nothing_of_a_side_alone_are_refused() -> None:
    """Those of the whole mix, or of networks whose setting is not said."""
    with pytest.raises(CurvesError, match="no learning coefficient is of a side alone; expected rows .* --restrict top"):
        of_coefficients(coefficients().assign(sampled="mix"))
    with pytest.raises(CurvesError, match="the coefficients of the top do not say what was learned: no column transform_top"):
        of_coefficients(coefficients().drop(columns="transform_top"))


def test_the_report_shows_onsets_where_the_yardstick_lies(tmp_path: Path) -> None:
    """simplicity.csv among the results gives the figure and its verdicts; one that lacks a setting, or is no table, is said."""
    dialled(seeds=2).to_csv(tmp_path / "curves.csv", index=False)
    rod = yardstick().reindex(columns=list(SIMPLICITY))
    rod.to_csv(tmp_path / "simplicity.csv", index=False)
    found = results.gather([tmp_path])
    made, _ = sweep.charts(found)
    chart = next(chart for chart in made if chart.name == "onsets")
    expected = sweep.onsets_chart(onsets(dialled(seeds=2), None, yardstick()), "")
    pd.testing.assert_frame_equal(chart.table, expected.table)
    verdicts = theory.verdicts(completion.complete(found))
    assert verdicts is not None
    assert "onsets" in set(verdicts.loc[verdicts["question"] == "simplicity", "figure"])
    rod[rod["transforms"] != "blur=2"].to_csv(tmp_path / "simplicity.csv", index=False)
    found = results.gather([tmp_path])
    made, notes = sweep.charts(found)
    assert "onsets" not in [chart.name for chart in made]
    assert any("the yardstick has no code length of mnist (blur=2)" in note for note in notes)
    assert any("compared without the yardstick" in note for note in completion.complete(found).notes)
    (tmp_path / "simplicity.csv").write_text("nothing\n")
    assert any("simplicity.csv" in note and "left out" in note for note in results.gather([tmp_path]).notes)
