"""Networks kept in run folders, and the code that they were made with."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.errors import RegistryError, RunError
from dominoes.runs import checkpoints, execution, state
from dominoes.spec import RunSpec, TrainSpec

NETS = """
from torch import nn
class Flat(nn.Sequential):
    def __init__(self, classes, width=4):
        super().__init__(nn.Flatten(), nn.Linear(6144, width), nn.ReLU(), nn.Linear(width, classes))
"""


@pytest.fixture(scope="module")
def tests(small: Dealt) -> dict[str, Dominoes]:
    """Small probes of the embedded sources."""
    return probes(small.spec, 50, 0)


@pytest.fixture
def nets(here: Path) -> Path:
    """A module of networks in the current folder."""
    (here / "own_nets.py").write_text(NETS, encoding="utf-8")
    return here


def run(small: Dealt, tests: dict[str, Dominoes], out: Path, **fields: Any) -> execution.Outcome:
    """A short run, kept."""
    how = TrainSpec(**({"model": "mlp", "epochs": 1, "batch": 64, "measurements": 3, "probe": 50} | fields))
    return execution.execute(RunSpec(dataset=small.spec, train=how), small, tests, out)


@pytest.mark.slow
def test_a_kept_network_answers_as_it_was_measured(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """The network of each step has the loss that curves.csv has there; the last one is the default; all are in the digests."""
    outcome = run(small, tests, tmp_path, checkpoints="measurements", model="resnet8")
    steps = sorted(set(outcome.curves["step"]))
    assert checkpoints.steps_kept(outcome.folder) == steps
    top = tests["top"]
    pictures = top.data.float().sub(255 * 0.3).div(255 * 0.3)
    for step in (0, steps[-1]):
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(outcome.network(step)(pictures), top.targets).item()
        row = outcome.curves.query("split == 'test' and kind == 'top' and step == @step")
        assert row["loss"].item() == pytest.approx(loss, abs=1e-5)
    last, same = outcome.network(), outcome.network(steps[-1])
    assert all(torch.equal(one, other) for one, other in zip(last.state_dict().values(), same.state_dict().values(), strict=True))
    assert {checkpoints.checkpoint_name(step) for step in steps} < set(outcome.environment["files"])
    assert state.damage(outcome.folder, deep=True) is None
    sizes = [outcome.environment["files"][checkpoints.checkpoint_name(step)]["bytes"] for step in steps]
    assert all(0 < size - checkpoints.size(last) < 10_000 for size in sizes)


def test_keeping_networks_changes_nothing_that_is_measured(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """The tables of a run with and without checkpoints differ in the run's id alone."""
    with_, without = (run(small, tests, tmp_path, checkpoints=text) for text in ("last", "none"))
    assert with_.folder != without.folder
    assert with_.curves.drop(columns="run").equals(without.curves.drop(columns="run"))
    assert not (without.folder / "checkpoints").exists()


def test_a_damaged_checkpoint_is_named(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """A changed byte, a step that is not there, a run without any."""
    outcome = run(small, tests, tmp_path, checkpoints="last")
    (path,) = (outcome.folder / "checkpoints").iterdir()
    with pytest.raises(RunError, match="keeps no network of step 3; expected one of 5"):
        outcome.network(3)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "is not what was written" in str(state.damage(outcome.folder, deep=True))
    with pytest.raises(RunError, match="5.safetensors is not what was written"):
        outcome.network()
    with pytest.raises(RunError, match="keeps no network; expected a run that was trained with --checkpoints"):
        run(small, tests, tmp_path).network()


def test_a_network_from_outside_comes_back_if_it_is_trusted_and_the_same(small: Dealt, tests: dict[str, Dominoes], nets: Path) -> None:
    """The run's record has its code's digest. Later its code is run only if that is asked for, and only if it has not changed."""
    outcome = run(small, tests, nets / "out", model="own_nets:Flat", model_args={"width": 5}, checkpoints="last")
    (code,) = outcome.environment["code"]
    assert (code["ref"], code["distribution"], len(code["sha256"])) == ("own_nets:Flat", None, 64)
    with pytest.raises(RegistryError, match="spec.json names code that would be run here: own_nets:Flat; read it, then pass --trust"):
        checkpoints.network(outcome.folder)
    assert checkpoints.network(outcome.folder, trust=True)[1].out_features == 5
    (nets / "own_nets.py").write_text(NETS + "\n# changed\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"was made with other code: own_nets:Flat \(SHA-256 .*, now SHA-256 .*\)"):
        checkpoints.network(outcome.folder, trust=True)
    assert checkpoints.network(outcome.folder, trust=True, accept_changed=True)


def test_a_run_finished_with_other_code_is_refused(small: Dealt, tests: dict[str, Dominoes], nets: Path) -> None:
    """As with other pictures; --accept-changed keeps it."""
    first = run(small, tests, nets / "out", model="own_nets:Flat")
    assert not run(small, tests, nets / "out", model="own_nets:Flat").fresh
    (nets / "own_nets.py").write_text(NETS + "\n# changed\n", encoding="utf-8")
    with pytest.raises(RunError, match="was finished with other code: own_nets:Flat .*; pass --accept-changed to keep it"):
        run(small, tests, nets / "out", model="own_nets:Flat")
    spec = RunSpec.model_validate_json((first.folder / "spec.json").read_text(encoding="utf-8"))
    assert not execution.execute(spec, small, tests, nets / "out", accept_changed=True).fresh


def test_what_cannot_be_trained_leaves_nothing(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """No folder, no claim, no reason in a file: the sentence comes first."""
    with pytest.raises(RegistryError, match="cannot be called as"):
        run(small, tests, tmp_path / "out", model_args={"depth": 3})
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_leaves_no_old_network_behind(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """What an earlier attempt kept is gone when the run is done."""
    outcome = run(small, tests, tmp_path, checkpoints="last")
    (outcome.folder / "DONE").unlink()
    (outcome.folder / "checkpoints" / "3.safetensors").write_bytes(b"old")
    again = run(small, tests, tmp_path, checkpoints="last")
    assert again.fresh
    assert checkpoints.steps_kept(again.folder) == [5]


def test_levels_are_in_the_record(small: Dealt, tests: dict[str, Dominoes], tmp_path: Path) -> None:
    """environment.json says at which step each level was met, and how many steps were made."""
    outcome = run(small, tests, tmp_path, epochs=6, stop_loss=2.2, measure_at_loss=2.25)
    content = json.loads((outcome.folder / "environment.json").read_text(encoding="utf-8"))
    assert [level["loss"] for level in content["levels"]] == [2.25, 2.2]
    assert content["steps"] == content["levels"][-1]["step"] < 30
    assert content["status"] == "finished"
