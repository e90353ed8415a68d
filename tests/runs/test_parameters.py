"""Finished runs read back: which parameters stand beside their curves."""

from pathlib import Path

import pytest

from dominoes.data import dealing
from dominoes.data.probe_sets import probes
from dominoes.errors import RunError
from dominoes.runs import execution, parameters
from dominoes.spec import DominoSpec, RunSpec, TrainSpec
from dominoes.tables import CURVES


def run(out: Path, *, seed: int, **dataset: object) -> None:
    """One short run on embedded pictures."""
    spec = RunSpec(
        dataset=DominoSpec.model_validate({"n": 60, "top": "digits", "bottom": "textures", "prevalence": (0.5, 0.5), **dataset}),
        train=TrainSpec(model="mlp", epochs=1, batch=30, measurements=1, probe=20),
        seed=seed,
    )
    execution.execute(spec, dealing.deal_spec(spec.dataset), probes(spec.dataset, spec.train.probe, 0), out)


def further(out: Path) -> dict[str, list[object]]:
    """The columns beside those of every table of curves, each with its values."""
    table = parameters.read_runs(out)
    return {str(name): sorted(table[name].unique().tolist()) for name in table.columns if name not in CURVES}


def test_what_is_shown_is_told_whole(tmp_path: Path) -> None:
    """Where one prevalence moves, the other and the share of doubles stand beside it, moved or not: a reader sees that they stayed."""
    for seed, top in enumerate((0.4, 0.6)):
        run(tmp_path, seed=seed, prevalence=(top, 0.5), both=0.2)
    found = further(tmp_path)
    assert found["prevalence_top"] == [0.4, 0.6]
    assert (found["prevalence_bottom"], found["both"]) == ([0.5], [0.2])


def test_what_does_not_differ_is_not_told(tmp_path: Path) -> None:
    """Runs that differ by the seed have no columns but those of curves; a reliability below 1 is always told, since the theory needs it."""
    for seed in range(2):
        run(tmp_path / "plain", seed=seed)
        run(tmp_path / "noisy", seed=seed, reliability=(1, 0.8))
    assert further(tmp_path / "plain") == {}
    assert further(tmp_path / "noisy") == {"reliability_bottom": [0.8]}


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    """It says what it looked for."""
    with pytest.raises(RunError, match="holds no finished run; expected runs/<id>/DONE"):
        parameters.read_runs(tmp_path)
