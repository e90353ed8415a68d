"""What only a GPU can show: `python -m pytest -m cuda`. Skipped where there is none."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mixed_runs import DATASET, FULL, MIXED, of, packing, tables
from small_sweeps import ROOT, call, write

from dominoes.data import resident
from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.data.resident import Resident
from dominoes.runs import state, sweep_file
from dominoes.runs.engines import local, protocol, worker
from dominoes.runs.engines.protocol import WorkerSetting
from dominoes.spec import Precision, RunSpec, TrainSpec
from dominoes.training import loop
from dominoes.training.device import Device
from dominoes.training.loop import Trained, finish, train_by_turns

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.fixture(scope="module", autouse=True)
def _reproducible() -> Iterator[None]:
    """The environment of a worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, tuple[bytes, ...]]:
    """The tables of all runs, each executed by itself on the GPU."""
    out = tmp_path_factory.mktemp("alone")
    reports = list(worker.attempt(MIXED, WorkerSetting(out, "cuda", pack=1)))
    assert sorted(report.state for report in reports) == ["diverged"] + ["done"] * 5, reports
    return tables(out)


@pytest.fixture(scope="module")
def tests() -> dict[str, Dominoes]:
    """Small probes of the embedded sources."""
    return probes(DATASET, 60, 0)


class Eager(Device):
    """CUDA kernel by kernel."""

    def __init__(self, **options: Any):
        super().__init__(torch.device("cuda"), **options)
        self.graphs = False


def trained(small: Dealt, tests: dict[str, Dominoes], hardware: Device, **fields: Any) -> Trained:
    """One short run; of the eleven batches of an epoch eight are recorded as one, and the last is short."""
    how = TrainSpec(**({"model": "mlp", "epochs": 3, "batch": 29, "measurements": 2, "probe": 60} | fields))
    return finish(train_by_turns(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), tests, hardware))


def weights(network: torch.nn.Module) -> torch.Tensor:
    """All parameters and buffers in one vector."""
    return torch.cat([value.double().ravel() for value in network.state_dict().values()]).cpu()


def test_hung_pictures_are_composed_as_on_a_cpu(small: Dealt) -> None:
    """uint8 dominoes are equal; normalised ones up to one rounding."""
    chosen = {"top": small.top, "bottom": small.bottom}
    plain = Resident(small.deal, chosen, torch.device("cpu"))
    hung = resident.resident(small.deal, chosen, torch.device("cuda"))
    rows = torch.arange(len(small.deal))
    assert torch.equal(plain.compose(rows, normalize=False), hung.compose(rows.cuda(), normalize=False).cpu())
    assert torch.allclose(plain.compose(rows), hung.compose(rows.cuda()).cpu(), rtol=0, atol=2.5e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("model", ["detector", "mlp", "resnet8", "resnet18"])
def test_graphs_are_the_eager_steps(small: Dealt, tests: dict[str, Dominoes], model: str, optimizer: str) -> None:
    """Bit for bit: weights, statistics and curves; and so is a second run."""
    fields = {"model": model, "optimizer": optimizer, "lr": 0.003, "weight_decay": 0.01}
    eager = trained(small, tests, Eager(), **fields)
    for _ in range(2):
        graph = trained(small, tests, Device(torch.device("cuda")), **fields)
        assert torch.equal(weights(eager.network), weights(graph.network))
        pd.testing.assert_frame_equal(eager.curves, graph.curves, check_exact=True)


@pytest.mark.parametrize("model", ["detector", "mlp", "resnet8"])
def test_it_learns_what_a_cpu_learns(small: Dealt, tests: dict[str, Dominoes], model: str) -> None:
    """Before training the losses agree to five digits, after 15 steps to .2 per cent; with tf32 and bf16 to 2."""
    fields = {"model": model, "lr": 0.003, "batch": 64, "measurements": 6}
    cpu = trained(small, tests, Device(torch.device("cpu")), **fields).curves
    for precision, tolerance in ((Precision.FLOAT32, 0.002), (Precision.TF32, 0.02), (Precision.BFLOAT16, 0.02)):
        hardware = Device(torch.device("cuda"), precision)
        found = trained(small, tests, hardware, precision=precision, **fields).curves
        first = cpu["step"] == 0
        assert np.allclose(found[first]["loss"], cpu[first]["loss"], rtol=1e-5 if precision is Precision.FLOAT32 else 1e-2)
        assert np.allclose(found["loss"], cpu["loss"], rtol=tolerance)
        assert hardware.precision is precision


def test_without_determinism_it_learns_too(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """The fastest algorithms give the same curves but for rounding, and leave no switch behind."""
    before = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    exact, fast = (
        trained(small, tests, Device(torch.device("cuda"), deterministic=wanted), model="resnet8", lr=0.003).curves
        for wanted in (True, False)
    )
    assert np.allclose(exact["loss"], fast["loss"], rtol=0.02)
    assert before == (torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled())


@pytest.mark.parametrize("pack", [3, 6])
def test_packed_runs_are_the_single_ones(alone: dict[str, tuple[bytes, ...]], tmp_path: Path, pack: int) -> None:
    """Streams and graphs side by side, in another order: every table has the bytes that it has alone."""
    reports = list(worker.attempt(MIXED[::-1], WorkerSetting(tmp_path, "cuda", pack=pack)))
    assert sorted(report.state for report in reports) == ["diverged"] + ["done"] * 5, reports
    assert tables(tmp_path) == alone
    assert max(packing(tmp_path)) >= min(pack, 5)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_nothing_waits_for_the_device_in_a_turn(small: Dealt, tests: dict[str, Dominoes]) -> None:
    """After the first turn no operation synchronises, in steps, at the ends of epochs, or in measuring."""
    how = TrainSpec(model="resnet8", epochs=4, batch=16, measurements=6, probe=60)
    work = train_by_turns(RunSpec(dataset=small.spec, train=how), Dominoes.of(small), tests, Device(torch.device("cuda")))
    next(work)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert finish(work).diverged is None
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_full_memory_halves_the_pack(alone: dict[str, tuple[bytes, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are put back in the middle of their graphs begin again; every table is what it was."""
    plain, met = loop.row_batches, []

    def batches(count: int, how: TrainSpec, seed: int, *rest: Any) -> Generator[torch.Tensor, None, None]:
        for number, rows in enumerate(plain(count, how, seed, *rest)):
            if seed == 0 and number == 7 and not met:
                met.append(seed)
                raise torch.OutOfMemoryError(FULL)
            yield rows

    monkeypatch.setattr(loop, "row_batches", batches)
    with pytest.warns(RuntimeWarning, match="no memory left"):
        reports = list(worker.attempt(MIXED, WorkerSetting(tmp_path, "cuda", pack=4)))
    assert len(reports) == 6
    assert tables(tmp_path) == alone


def test_a_device_side_error_costs_the_run_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is not there breaks the context of the whole process: another takes over, and only the guilty run is FAILED."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        """
import sys
sys.path.insert(0, sys.argv[1])
from dominoes.runs.engines import worker
from dominoes.training import loop
plain = loop.row_batches
def batches(count, how, seed, *rest):
    for rows in plain(count, how, seed, *rest):
        yield rows + 10**7 if seed == 1 else rows
loop.row_batches = batches
worker.serve()
""",
        encoding="utf-8",
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{broken}" "{ROOT}"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    runs = sweep_file.read_sweep_file(write(tmp_path / "sweep.yaml", train__epochs=4, seed=list(range(5)))).runs
    setting = WorkerSetting(tmp_path / "out", "cuda", pack=3)
    reports = list(protocol.launch(runs, lambda specs: local.local(specs, setting, workers=1), setting.out, keep_going=True))
    assert {report.run: report.state for report in reports} == {spec.id: "failed" if spec.seed == 1 else "done" for spec in runs}
    assert "CUDA error" in state.reason(setting.out / "runs" / runs[1].id)


def test_a_sweep_packs_by_itself(tmp_path: Path) -> None:
    """`sweep run` on a GPU: auto finds room for several, and one at a time gives the same bytes."""
    file = write(tmp_path / "sweep.yaml", train__model=["mlp", "detector"], train__epochs=30, seed=list(range(6)))
    for name, options in (("auto", ()), ("single", ("--pack", 1))):
        done = call("run", file, "--out", tmp_path / name, "--device", "cuda", *options)
        assert done.count("\ndone ") == 12, done
    assert tables(tmp_path / "auto") == tables(tmp_path / "single")
    environments = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "auto").glob("runs/*/environment.json")]
    assert max(each["packing"] for each in environments) > 1
    assert {(each["device"], each["deterministic"]) for each in environments} == {("cuda", True)}


def test_train_needs_no_preparation(tmp_path: Path) -> None:
    """`dominoes train` in a bare environment sets what CUDA needs to be reproducible, and gives what a packed sweep gives."""
    how = ["--model", "mlp", "--epochs", "3", "--batch", "25", "--measurements", "5", "--probe", "20", "--device", "cuda"]
    what = ["--n", "120", "--prevalence", "0.7", "0.6", "--top", "digits", "--bottom", "textures", "--seed", "3"]
    environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    arguments = [sys.executable, str(ROOT / "cli.py"), "train", *what, *how, "--seeds", "0", "--out", str(tmp_path / "train")]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    list(worker.attempt([of(0), of(1)], WorkerSetting(tmp_path / "sweep", "cuda", pack=2)))
    assert tables(tmp_path / "train")[of(0).id] == tables(tmp_path / "sweep")[of(0).id]
