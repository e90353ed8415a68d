"""Exports: Parquet and CSV hold the same table, in the plan's order, with what was swept beside the curves; and what loggers show."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from small_sweeps import write

from dominoes import tables
from dominoes.data import dealing
from dominoes.data.probe_sets import probes
from dominoes.errors import OutputError, RunError
from dominoes.runs import collected, execution, loggers, parameters, plan, state, sweep_file
from dominoes.runs.plan import Plan


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """Two runs that differ in batch and top's prevalence, of a plan of three."""
    out = tmp_path_factory.mktemp("done")
    found = plan.make_plan(
        sweep_file.read_sweep_file(write(out / "s.yaml", train__batch=[30, 20], dataset__prevalence=[[0.6, 0.5], [0.3, 0]], seed=[7]))
    )
    for planned in reversed(found.runs[:2]):
        spec = planned.spec
        execution.execute(spec, dealing.deal_spec(spec.dataset), probes(spec.dataset, spec.train.probe, 0), out)
    return found, out


def test_parquet_and_csv_hold_the_same(done: tuple[Plan, Path], tmp_path: Path) -> None:
    """Same rows, same order, same numbers to the last bit, and every one of them those of the runs' own tables."""
    found, out = done
    for classes in (False, True):
        for suffix in ("csv", "parquet"):
            further = {"classes": classes, "joint": classes, "measures": classes}
            result = collected.export_table(found, out, tmp_path / f"curves.{suffix}", **further)
            assert (result.runs, result.missing, result.damaged, result.without) == (2, 2, {}, {})
    for form in ("curves", "classes", "joint", "measures"):
        table = pd.read_csv(tmp_path / f"{form}.csv", dtype={"run": str})
        other = pd.read_parquet(tmp_path / f"{form}.parquet")
        pd.testing.assert_frame_equal(table, other, check_dtype=False, check_exact=True)
        assert table["run"].drop_duplicates().tolist() == [planned.spec.id for planned in found.runs[:2]]
        assert tables.table_problems(table, form=form) == []
    text = (tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()
    first = (out / "runs" / found.runs[0].spec.id / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert [line.startswith(own + ",") for line, own in zip(text, first, strict=False)] == [True] * len(first)


def test_columns_are_the_resolved_parameters(done: tuple[Plan, Path], tmp_path: Path) -> None:
    """The same set for every sweep, and what differs between the runs of this one; a ratio over nothing is empty."""
    found, out = done
    collected.export_table(found, out, tmp_path / "curves.csv")
    table = pd.read_csv(tmp_path / "curves.csv", dtype={"run": str})
    joined = [column for column in table.columns if column not in tables.CURVES]
    assert set(joined) == {*collected.ALWAYS, "batch"}
    points = table.drop_duplicates("run").set_index("prevalence_top")
    assert points.loc[0.6, ["both", "empty", "ratio", "dominoes"]].tolist() == pytest.approx([0.3, 0.2, 1.2, 60])
    assert pd.isna(points.loc[0.3, "ratio"])
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert runs["status"].tolist() == ["finished", "finished", "absent", "absent"]
    assert set(joined) < set(runs.columns)


def test_an_export_needs_a_table_and_a_finished_run(done: tuple[Plan, Path], tmp_path: Path) -> None:
    """Another suffix, or the name of the table beside it, is refused; so is a folder without results."""
    found, out = done
    for name in ("curves.txt", "runs.csv"):
        with pytest.raises(OutputError, match="curves are written as .csv or .parquet"):
            collected.export_table(found, out, tmp_path / name)
    with pytest.raises(RunError, match="holds no finished run of this sweep"):
        collected.export_table(found, tmp_path, tmp_path / "curves.csv")


def test_tensorboard_shows_what_the_table_holds(done: tuple[Plan, Path], tmp_path: Path) -> None:
    """Every loss of a run under split/kind/loss, at its step; a second call adds nothing."""
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    found, out = done
    spec = found.runs[0].spec
    log = loggers.logger("tensorboard", out, "name")
    log(spec)
    log(spec)
    (file,) = (out / "tensorboard" / f"name-{spec.id}").iterdir()
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    shown = {
        (event.step, value.tag): value.simple_value for event in LegacyEventFileLoader(str(file)).Load() for value in event.summary.value
    }
    table = tables.read_table(out / "runs" / spec.id / "curves.csv")
    for row in table.itertuples():
        assert shown[int(str(row.step)), f"{row.split}/{row.kind}/loss"] == pytest.approx(float(str(row.loss)), rel=1e-6)


def test_a_logger_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs, with the way to get it."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RunError, match=r"--log wandb needs wandb, which is not installed: pip install 'dominoes\[wandb\]'"):
        loggers.logger("wandb", tmp_path, "name")


def test_transforms_come_with_their_source(tmp_path: Path) -> None:
    """Where runs differ in what is done to a side, its source stands beside, `none` where nothing is done; CSV gives both back."""
    values = [[], "noise=0.5", ["noise=0.5", "blur=1"]]
    found = plan.make_plan(sweep_file.read_sweep_file(write(tmp_path / "s.yaml", dataset__top_transform=values)))
    assert [planned.spec.dataset.top_transform for planned in found.runs] == [(), ("noise=0.5",), ("noise=0.5", "blur=1")]
    assert [plan.plain_value(found.values(planned.spec)["dataset.top_transform"]) for planned in found.runs][:2] == ["none", "noise=0.5"]
    for planned in found.runs:
        spec = planned.spec
        execution.execute(spec, dealing.deal_spec(spec.dataset), probes(spec.dataset, spec.train.probe, 0), tmp_path)
    collected.export_table(found, tmp_path, tmp_path / "curves.csv")
    table = tables.read_table(tmp_path / "curves.csv")
    assert table.drop_duplicates("run")[["source_top", "transform_top"]].to_numpy().tolist() == [
        ["digits", "none"],
        ["digits", "noise=0.5"],
        ["digits", "noise=0.5 blur=1"],
    ]
    assert "source_bottom" not in table.columns
    assert {"source_top", "transform_top"} < set(parameters.read_runs(tmp_path).columns)


def test_runs_of_earlier_versions_have_no_crossed_answers(done: tuple[Plan, Path], tmp_path: Path) -> None:
    """A run without joint.csv is whole; the table leaves it out and says so, and where no run has one the table is refused."""
    found, out = done
    old = tmp_path / "old"
    shutil.copytree(out, old)
    for number, planned in enumerate(found.runs[:2]):
        folder = old / "runs" / planned.spec.id
        (folder / "joint.csv").unlink()
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        del environment["files"]["joint.csv"]
        (folder / "environment.json").write_text(state.sealed(environment), encoding="utf-8")
        assert state.damage(folder, deep=True) is None
        if number == 0:
            result = collected.export_table(found, old, tmp_path / "curves.csv", joint=True)
            assert (result.runs, result.without) == (2, {"joint": 1})
            assert set(pd.read_csv(tmp_path / "joint.csv", dtype={"run": str})["run"]) == {found.runs[1].spec.id}
    with pytest.raises(RunError, match="no finished run has a joint.csv, an earlier version made them; leave out --with-joint"):
        collected.export_table(found, old, tmp_path / "curves.csv", joint=True)


def test_a_swept_probe_size_meets_no_column_of_the_crossed_answers(tmp_path: Path) -> None:
    """Runs that differ in `probe` have it joined as `probe_size`, beside the name of the probe."""
    found = plan.make_plan(sweep_file.read_sweep_file(write(tmp_path / "s.yaml", train__probe=[10, 20])))
    for planned in found.runs:
        spec = planned.spec
        execution.execute(spec, dealing.deal_spec(spec.dataset), probes(spec.dataset, spec.train.probe, 0), tmp_path / "out")
    for suffix in ("csv", "parquet"):
        collected.export_table(found, tmp_path / "out", tmp_path / f"curves.{suffix}", joint=True)
    table = pd.read_csv(tmp_path / "joint.csv", dtype={"run": str})
    assert (table.groupby(["run", "probe", "step"])["n"].sum() == table.groupby(["run", "probe", "step"])["probe_size"].first()).all()
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "joint.parquet"), check_dtype=False)
