"""Plans: every dataset is solved beforehand, and the record in the results folder gives the same plan back."""

import json
from pathlib import Path

import pytest
from small_sweeps import call, write

from dominoes.errors import RunError, SpecError
from dominoes.runs import cost, plan, sweep_file


def test_a_plan_is_kept_and_read_back(tmp_path: Path) -> None:
    """Runs with their counts, infeasible points with their reasons, and the sweep file itself."""
    file = write(tmp_path / "s.yaml", dataset__n=[60, 9000], dataset__both=[0.3, 0.9], seed=[0, 1])
    made = plan.make_plan(sweep_file.read_sweep_file(file))
    assert (len(made.runs), len(made.infeasible)) == (2, 6)
    assert made.runs[0].kinds == {"top": 18, "bottom": 12, "both": 18, "empty": 12}
    plan.save_plan(made, tmp_path, file.read_bytes())
    assert plan.load_plan(tmp_path) == made
    assert (tmp_path / "sweep.yaml").read_bytes() == file.read_bytes()
    assert plan.plan_difference(made, made) is None
    refusal = plan.refusal(made)
    assert refusal.count("runs): ") == 3
    assert "n 60, both 0.9 (2 runs): " in refusal


def test_points_that_contradict_themselves_are_infeasible_too(tmp_path: Path) -> None:
    """Too few fields, or fields at odds, are a reason like any other, not an end of the whole plan."""
    file = write(tmp_path / "s.yaml", dataset__ratio=[1, 1.2], seed=[0])
    made = plan.make_plan(sweep_file.read_sweep_file(file))
    assert (len(made.runs), len(made.infeasible)) == (1, 1)
    assert "ratio" in made.infeasible[0].reason


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """Absent, torn or of another format: each says what to do."""
    with pytest.raises(RunError, match="is no sweep's folder, plan.json is missing; make one with 'dominoes sweep run FILE"):
        plan.load_plan(tmp_path)
    for content, message in (("{", "is damaged; run the sweep again, it writes it anew"), ({"format": 99}, "has format 99, expected 1")):
        (tmp_path / "plan.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        with pytest.raises(RunError, match=message):
            plan.load_plan(tmp_path)


def test_fields_are_found_by_their_dotted_name(tmp_path: Path) -> None:
    """Nested ones, and one half of a two-valued one; values are shown short."""
    (run, *_) = sweep_file.read_sweep_file(write(tmp_path / "s.yaml", train__lr=0.02)).runs
    assert (plan.spec_field(run, "train.lr"), plan.spec_field(run, "dataset.prevalence.bottom")) == (0.02, 0.5)
    assert [plan.plain_value(value) for value in ([0.1, None], 1e-4, "mlp")] == ["0.1 -", "0.0001", "mlp"]
    with pytest.raises(SpecError, match="cannot be read"):
        sweep_file.read_sweep_file(tmp_path / "absent.yaml")


def test_cost_grows_with_the_work(tmp_path: Path) -> None:
    """Time and disk are estimated from timed steps: more runs cost in proportion, nothing is written."""
    few, many = (plan.make_plan(sweep_file.read_sweep_file(write(tmp_path / "s.yaml", seed=list(range(count))))) for count in (2, 20))
    before = set(tmp_path.rglob("*"))
    small, large = (cost.estimate_cost(each, device="cpu") for each in (few, many))
    assert large.bytes == pytest.approx(10 * small.bytes, rel=0.01)
    assert 0 < small.seconds < large.seconds
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_plan_command_prints_runs_costs_and_refusals(tmp_path: Path) -> None:
    """One row a run with its counts; then cost and disk; infeasible points with reasons."""
    file = write(tmp_path / "s.yaml", dataset__n=[60, 9000], seed=[0, 1])
    printed = call("plan", file, "--device", "cpu", "--workers", 2)
    assert "prevalence" not in printed.splitlines()[0]
    assert printed.count(" 18 ") >= 2
    assert "tiny: 2 runs, 2 datasets" in printed
    assert "infeasible: 2 runs" in printed
    assert "cost: about " in printed
    assert "with 2 workers" in printed
    assert "disk: about 0." in printed
