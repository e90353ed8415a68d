"""A study from its runs to what is kept, and again: the same runs agree, others differ, and every reader takes what is kept."""

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import synthetic_runs
import yaml
from click.testing import CliRunner, Result
from small_sweeps import write

import dominoes
from dominoes import tables
from dominoes.cli.commands import main
from dominoes.data import dealing
from dominoes.data.probe_sets import probes
from dominoes.errors import OutputError, RunError
from dominoes.runs import execution, plan, sweep_file
from dominoes.studies import headline_numbers, keeping, reproduction, shipped

PARAMETERS = {
    "dataset.n": 1500, "dataset.prevalence.bottom": 0.6, "dataset.reliability": [1, 0.9], "dataset.top": "digits",
    "dataset.bottom": "textures", "train.epochs": 200, "train.measurements": 70, "train.probe": 100,
}  # fmt: skip


def call(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def study(folder: Path, seeds: list[int], **fields: object) -> Path:
    """A sweep file over the top's prevalence, and its results folder with runs whose curves follow from formulas."""
    named = {f"dataset.{name}": value for name, value in fields.items()}
    entries = {name: {"value": value} for name, value in (PARAMETERS | named).items()}
    entries |= {"dataset.prevalence.top": {"values": [0.3, 0.6, 0.9]}, "seed": {"values": seeds}}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump({"name": "tiny", "method": "grid", "same_deal": True, "parameters": entries}, sort_keys=False))
    found = plan.make_plan(sweep_file.read_sweep_file(file))
    synthetic_runs.write([each.spec for each in found.runs], folder / "runs")
    plan.save_plan(found, folder / "runs", file.read_bytes())
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its runs and what `sweep keep` makes of them, in a folder."""
    folder = tmp_path_factory.mktemp("study")
    study(folder, [0, 1, 2])
    done = call("sweep", "keep", folder / "runs", "--out", folder / "kept")
    assert done.exit_code == 0, done.output
    assert "9 runs, curves.parquet, runs.csv, comparison.csv, headlines.csv, headlines.png" in done.output
    assert "Note: no joint_summary.csv: not every run crossed its answers" in done.stderr
    return folder


def test_what_is_kept_is_what_was_measured(made: Path) -> None:
    """The curves of the export to the last bit; numbers, verdicts and figure beside them; headlines can be made again from them."""
    call("sweep", "export", made / "runs", "--out", made / "curves.csv")
    kept, exported = tables.read_table(made / "kept" / "curves.parquet"), tables.read_table(made / "curves.csv")
    keys = ["run", "split", "kind", "step"]
    pd.testing.assert_frame_equal(*(each.sort_values(keys, ignore_index=True) for each in (kept, exported)), check_dtype=False)
    assert call("headlines", made / "kept", "--out", made / "again.csv").exit_code == 0
    assert (made / "again.csv").read_bytes() == (made / "kept" / "headlines.csv").read_bytes()
    assert (made / "kept" / "headlines.png").stat().st_size > 10_000


def test_two_classes_are_kept_as_two(tmp_path: Path) -> None:
    """Points of a study are judged with the classes that its runs have, not ten: as `compare --classes 2` judges the exported table."""
    study(tmp_path, [0, 1], n=200, top="digits[0,1]", bottom="textures[0,1]")
    assert call("sweep", "keep", tmp_path / "runs", "--out", tmp_path / "kept").exit_code == 0
    assert call("sweep", "export", tmp_path / "runs", "--out", tmp_path / "curves.csv").exit_code == 0
    done = call("compare", tmp_path / "curves.csv", "--sweep", "--classes", 2, "--out", tmp_path / "two.csv")
    assert done.exit_code == 0, done.output
    assert "10 was taken" not in done.output
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "kept" / "comparison.csv").read_bytes()
    assert "10 was taken" in call("compare", tmp_path / "curves.csv", "--sweep", "--out", tmp_path / "ten.csv").output
    assert (tmp_path / "ten.csv").read_bytes() != (tmp_path / "two.csv").read_bytes()
    # What was kept says its classes to every reader.
    kept = tmp_path / "kept" / "curves.parquet"
    done = call("compare", kept, "--sweep", "--out", tmp_path / "kept.csv")
    assert "10 was taken" not in done.output
    assert (tmp_path / "kept.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    done = call("headlines", tmp_path / "kept", "--out", tmp_path / "headlines.csv")
    assert "10 was taken" not in done.output
    assert (tmp_path / "headlines.csv").read_bytes() == (tmp_path / "kept" / "headlines.csv").read_bytes()
    found, said = dominoes.fit(kept), dominoes.fit(kept, chance=0.5)
    pd.testing.assert_frame_equal(found, said)
    assert set(dominoes.compare(kept).table["verdict"]) > {"not applicable"}
    page = dominoes.report(tmp_path / "kept", tmp_path / "report.html")
    assert "10 was taken" not in page.read_text(encoding="utf-8")


def test_headlines_of_a_folder_of_runs(made: Path, tmp_path: Path) -> None:
    """The numbers of points that were kept, with the runs' own number of classes; a damaged run is left out and named, exit code 3."""
    done = call("headlines", made / "runs", "--out", tmp_path / "runs.csv")
    assert done.exit_code == 0, done.output
    assert not done.stderr
    found, kept = (headline_numbers.read_headlines(path) for path in (tmp_path / "runs.csv", made / "kept" / "headlines.csv"))
    keys = ["part", "point", "quantity"]
    ours, theirs = (table[table["part"] == "points"].sort_values(keys, ignore_index=True) for table in (found, kept))
    assert len(ours)
    pd.testing.assert_frame_equal(ours.drop(columns="point"), theirs.drop(columns="point"))
    shutil.copytree(made / "runs", tmp_path / "runs")
    run = sorted((tmp_path / "runs" / "runs").iterdir())[0]
    (run / "curves.csv").write_text("cut")
    done = call("headlines", tmp_path / "runs", "--out", tmp_path / "fewer.csv")
    assert done.exit_code == 3
    assert f"left out, damaged: run {run.name}" in done.stderr


def test_a_part_of_a_sweep_is_told_from_the_whole(made: Path, tmp_path: Path) -> None:
    """`fit`, `compare` and `headlines` of a sweep's folder say how many runs of its plan are not finished, and how many no longer."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    first, *_ = sorted((tmp_path / "runs" / "runs").iterdir())
    shutil.rmtree(first)
    said = "Note: 1 of 9 runs of the sweep are not finished; the others are read"
    for command in (("fit", "--family", "logistic"), ("compare",), ("headlines",)):
        done = call(command[0], tmp_path / "runs", *command[1:], "--out", tmp_path / "table.csv")
        assert done.exit_code == 0, done.output
        assert said in done.stderr
    planned = plan.load_plan(tmp_path / "runs")
    plan.save_plan(dataclasses.replace(planned, runs=planned.runs[-2:]), tmp_path / "runs", None)
    done = call("headlines", tmp_path / "runs", "--out", tmp_path / "table.csv")
    assert "runs are read that are no longer in the sweep file" in done.stderr
    (tmp_path / "runs" / "plan.json").write_text("{", encoding="utf-8")
    done = call("headlines", tmp_path / "runs", "--out", tmp_path / "table.csv")
    assert done.exit_code == 0
    assert "plan.json is damaged" in done.stderr


def test_headlines_say_what_is_wrong_with_a_table(made: Path, tmp_path: Path) -> None:
    """Values out of range are not used and runs of one name not mixed, with a note; a table without a kind that is asked for is refused."""
    curves = tables.read_table(made / "kept" / "curves.parquet")
    curves.assign(accuracy=100 * curves["accuracy"]).to_csv(tmp_path / "percent.csv", index=False)
    done = call("headlines", tmp_path / "percent.csv", "--classes", 10, "--out", tmp_path / "out.csv")
    assert done.exit_code == 0
    assert "Note: curves: column accuracy" in done.stderr
    assert "is out of range" in done.stderr
    found = headline_numbers.read_headlines(tmp_path / "out.csv")
    assert not (found.loc[found["quantity"] == "late accuracy top", "estimate"] > 1).any()
    curves.assign(run="x", seed=0).to_csv(tmp_path / "mixed.csv", index=False)
    done = call("headlines", tmp_path / "mixed.csv", "--out", tmp_path / "out.csv")
    assert "as an earlier row (some differ in their values); the first is used" in done.stderr
    assert "Note: the number of classes is not known (no table of classes): 10 was taken" in done.stderr
    curves.assign(kind=curves["kind"].astype(str).str.upper()).to_csv(tmp_path / "upper.csv", index=False)
    done = call("headlines", tmp_path / "upper.csv", "--out", tmp_path / "out.csv")
    assert done.exit_code == 2
    assert "Error: headline numbers are of the kinds top, bottom, both and conflict; the curves are of BOTH" in done.stderr


def test_onsets_before_the_first_measured_step_are_told(made: Path, tmp_path: Path) -> None:
    """The number is the first measured step, as before, and a note says that the onset lies there or before, and in how many runs."""
    curves = tables.read_table(made / "kept" / "curves.parquet")
    late = sorted({*curves["step"]})[-4]
    curves[(curves["step"] == 0) | (curves["step"] >= late)].to_csv(tmp_path / "late.csv", index=False)
    done = call("headlines", tmp_path / "late.csv", "--classes", 10, "--out", tmp_path / "out.csv")
    assert done.exit_code == 0, done.output
    for side in ("top", "bottom"):
        said = f"Note: onset of the {side} lies at or before the first measured step ({late}) in 9 of 9 runs: measure earlier"
        assert said in done.stderr
    found = headline_numbers.read_headlines(tmp_path / "out.csv")
    assert found.loc[found["quantity"] == "onset top", "estimate"].tolist() == pytest.approx([late] * 3)
    assert "at or before" not in call("headlines", made / "kept", "--out", tmp_path / "out.csv").stderr


def test_packed_runs_are_kept_as_folders_are(made: Path, tmp_path: Path) -> None:
    """The same bytes, whether finished runs lie in folders or in shards."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    assert call("sweep", "pack", tmp_path / "runs").exit_code == 0
    assert not list((tmp_path / "runs" / "runs").glob("*/DONE"))
    done = call("sweep", "keep", tmp_path / "runs", "--out", tmp_path / "kept")
    assert done.exit_code == 0, done.output
    for name in ("curves.parquet", "headlines.csv", "comparison.csv", "runs.csv"):
        assert (tmp_path / "kept" / name).read_bytes() == (made / "kept" / name).read_bytes(), name
    found = reproduction.reproduce(made / "tiny.yaml", tmp_path / "runs", kept=made / "kept", device="cpu")
    assert (found.missing, found.count("differs")) == (0, 0)


def test_every_reader_takes_what_is_kept(made: Path, tmp_path: Path) -> None:
    """compare, plot, and an edition of the leaderboard."""
    done = call("compare", made / "kept" / "curves.parquet", "--sweep", "--out", tmp_path / "comparison.csv")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "comparison.csv").read_bytes() == (made / "kept" / "comparison.csv").read_bytes()
    assert call("plot", made / "kept", "--out", tmp_path / "curves.png").exit_code == 0
    done = call("leaderboard", "edition", made / "kept", "--name", "e", "--out", tmp_path / "edition")
    assert done.exit_code == 0, done.output


def test_crossed_answers_are_summarised(tmp_path: Path) -> None:
    """Shares of a probe's pictures at the last step: of each point they add up to 1, and are means over its runs."""
    file = write(tmp_path / "s.yaml", dataset__prevalence=[[0.6, 0.5], [0.3, 0.5]], seed=[0, 1])
    found = plan.make_plan(sweep_file.read_sweep_file(file))
    for each in found.runs:
        dealt = dealing.deal_spec(each.spec.dataset)
        execution.execute(each.spec, dealt, probes(each.spec.dataset, each.spec.train.probe, 0), tmp_path)
    summary = keeping.joint_summary(found, tmp_path, ["prevalence_top"])
    assert summary is not None
    assert summary.groupby(["point", "probe"])["share"].sum().tolist() == pytest.approx([1.0] * 4)
    assert summary["point"].unique().tolist() == ["prevalence_top 0.6", "prevalence_top 0.3"]
    parts = [done.table("joint") for done, _ in reproduction.finished_runs(found, tmp_path)][:2]
    last = [
        part[(part["step"] == part["step"].max()) & (part["probe"] == "conflict") & (part["answer"] == "top")]["n"].sum() for part in parts
    ]
    rows = summary[(summary["point"] == "prevalence_top 0.6") & (summary["probe"] == "conflict") & (summary["answer"] == "top")]
    assert rows["share"].sum() == pytest.approx(sum(last) / 2 / 10)
    assert (rows["n_runs"] == 2).all()


def test_the_same_runs_agree(made: Path, tmp_path: Path) -> None:
    """Nothing is left to run, all differences are 0, and every number that has a margin agrees."""
    done = call("reproduce", made / "tiny.yaml", "--kept", made / "kept", "--out", made / "runs", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "tiny: 9 runs, 9 done before" in done.stdout
    assert "Note: the old numbers are of the same 9 runs" in done.stderr
    table = pd.read_csv(made / "runs" / "agreement.csv")
    assert set(table["verdict"]) <= {"agrees", "no margin"}
    assert (table.loc[table["part"] == "points", "verdict"] == "agrees").all()
    assert "0 differs" in done.stdout
    rows = json.loads(call("reproduce", made / "tiny.yaml", "--kept", made / "kept", "--out", made / "runs", "--json").stdout)
    assert len(rows) == len(table)


def test_a_part_of_the_runs_is_held_against_the_same_part(made: Path) -> None:
    """At a smaller scale the old numbers are those of the runs that were made again."""
    found = reproduction.reproduce(made / "tiny.yaml", made / "runs", kept=made / "kept", scale=reproduction.Fraction(1, 2), device="cpu")
    assert found.notes == ("scale 1/2: 4 of 9 runs; seeds 0, 1 of 3; points 1, 3 of 3", "the old numbers are of the same 4 runs")
    assert found.table["point"].nunique() == 3  # two points, and the comparison across them
    assert (found.table["difference"].isin([0, 1])).all()


def test_other_numbers_differ_and_the_exit_code_says_so(made: Path, tmp_path: Path) -> None:
    """Against numbers that lie .2 higher; without kept curves, old and new are independent."""
    numbers = headline_numbers.read_headlines(made / "kept" / "headlines.csv")
    moved = numbers["quantity"] == "late accuracy top"
    numbers.loc[moved, ["estimate", "low", "high"]] += 0.2
    (tmp_path / "kept").mkdir()
    numbers.to_csv(tmp_path / "kept" / "headlines.csv", index=False)
    done = call("reproduce", made / "tiny.yaml", "--kept", tmp_path / "kept", "--out", made / "runs", "--device", "cpu")
    assert done.exit_code == 1
    assert "intervals of differences take old and new as independent" in done.stderr
    assert "3 differs" in done.stdout
    assert done.stdout.count("differs    prevalence_top") == 3


def test_a_half_that_is_never_learned_has_no_onset_to_compare(tmp_path: Path) -> None:
    """Not applicable where neither learned it, cannot tell where one did, each with its reason; no nan is printed, the cells are empty."""
    file = write(tmp_path / "s.yaml", train__lr=[1e-9], train__probe=[200], seed=[0, 1])
    for command in (("run", file, "--out", tmp_path / "runs"), ("keep", tmp_path / "runs", "--out", tmp_path / "kept")):
        assert (done := call("sweep", *command)).exit_code == 0, done.output
    options = ("--kept", tmp_path / "kept", "--out", tmp_path / "runs", "--device", "cpu")
    done = call("reproduce", file, *options)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if "onset" in line]
    assert len(lines) == 2
    assert all(line.startswith("not applicable") and line.endswith("never learned") for line in lines)
    assert "2 not applicable" in done.stdout
    numbers = headline_numbers.read_headlines(tmp_path / "kept" / "headlines.csv")
    numbers.loc[numbers["quantity"] == "onset top", ["estimate", "low", "high"]] = 10, 9, 11
    numbers.to_csv(tmp_path / "kept" / "headlines.csv", index=False)
    (tmp_path / "kept" / "curves.parquet").unlink()
    other = call("reproduce", file, *options, "--all")
    (line,) = [line for line in other.stdout.splitlines() if "onset top" in line]
    assert line.startswith("cannot tell")
    assert line.endswith("learned in the old runs alone")
    assert "nan" not in done.output + other.output
    table = pd.read_csv(tmp_path / "runs" / "agreement.csv").set_index("quantity")
    assert table.loc["onset bottom", ["old", "new", "difference"]].isna().all()


def test_what_cannot_be_reproduced_is_refused(made: Path, tmp_path: Path) -> None:
    """A name that is none, a study of which nothing is kept, a file in the folder's place."""
    done = call("reproduce", "none", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "none is no study that comes with the package; expected one of 1a-prevalence, " in done.stderr
    done = call("reproduce", made / "tiny.yaml", "--kept", tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path} has no headlines.csv; pass --kept DIR" in done.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match="no numbers of tiny are kept in this installation"):
        reproduction.reproduce(made / "tiny.yaml", tmp_path / "out")
    with pytest.raises(OutputError, match="is a file; expected a folder for the study"):
        keeping.keep_study(plan.load_plan(made / "runs"), made / "runs", made / "tiny.yaml")


def test_the_shipped_studies_are_found() -> None:
    """In a checkout by their files; each is a sweep that can be read."""
    assert "1a-prevalence" in shipped.shipped_names(shipped.STUDIES)
    assert call("reproduce", "list").stdout.split() == [*shipped.shipped_names(shipped.STUDIES), *shipped.shipped_names(shipped.PUBLISHED)]
    assert sweep_file.read_sweep_file(shipped.sweep_file(shipped.STUDIES, "8-variance")).name == "8-variance"


def test_another_study_is_not_overwritten(made: Path, tmp_path: Path) -> None:
    """Curves of runs of which the sweep has none, or what is no table of curves, stay; a study that has grown is kept in its place."""
    other = tmp_path / "other"
    other.mkdir()
    study(other, [0, 1, 2], n=900)
    before = (made / "kept" / "curves.parquet").read_bytes()
    done = call("sweep", "keep", other / "runs", "--out", made / "kept")
    assert done.exit_code == 2
    assert "curves.parquet is of another study, which has no run in common with this one; remove it, or pass another --out" in done.stderr
    assert (made / "kept" / "curves.parquet").read_bytes() == before
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "curves.parquet").write_text("no table", encoding="utf-8")
    assert "is no table of curves" in call("sweep", "keep", other / "runs", "--out", tmp_path / "kept").stderr
    assert call("sweep", "keep", made / "runs", "--out", made / "kept").exit_code == 0
