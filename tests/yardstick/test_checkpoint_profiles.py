"""From checkpoints in run folders to the table of local learning coefficients."""

import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dominoes.data import probe_sets
from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import Resident
from dominoes.errors import RunError, SourceError, SpecError
from dominoes.runs import checkpoints, claims, execution, state
from dominoes.runs.engines import protocol, worker
from dominoes.runs.engines.protocol import BY_ANOTHER, Engine, Job, RunReport, WorkerSetting
from dominoes.spec import RunSpec, TrainSpec
from dominoes.tables import LLC
from dominoes.training.models import initial
from dominoes.training.scorer import logits
from dominoes.yardstick import checkpoint_profiles, profile_cost
from dominoes.yardstick.chains import Walk, walk
from dominoes.yardstick.checkpoint_profiles import ProfileRequest, ProfileTask, measure, sentences, tasks
from dominoes.yardstick.curvature import largest
from dominoes.yardstick.learning_coefficient import Sampling
from dominoes.yardstick.profile_cost import cost
from dominoes.yardstick.restricted_loss import Weights

FEW = Sampling(chains=2, draws=30, batch=16)
# Of the last layer alone, which is quick.
REQUEST = ProfileRequest(gammas=(1e4,), weights="layers.5", sampling=FEW)


@pytest.fixture(scope="module")
def results(small: Dealt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run of an MLP that keeps the networks of two steps."""
    out = tmp_path_factory.mktemp("results")
    how = TrainSpec(model="mlp", epochs=2, measurements=2, probe=40, checkpoints="1,10")
    execution.execute(RunSpec(dataset=small.spec, train=how), small, probe_sets.probes(small.spec, 40, 0), out)
    return out


def here(setting: WorkerSetting) -> Engine:
    """An engine that does tasks in this process."""
    return lambda jobs: worker.attempt(jobs, setting)


def sampled(wanted: list[ProfileTask]) -> pd.DataFrame:
    """The table of some tasks, done in this process."""
    return measure(wanted, engine=here)


def folder_of(results: Path) -> Path:
    """The folder of its run."""
    (folder,) = (results / "runs").iterdir()
    return folder


def test_a_restricted_loss_is_the_scorers(results: Path, small: Dealt) -> None:
    """At w* the landscape's mean is the cross-entropy that the scorer finds, over all dominoes of the kind."""
    network = checkpoints.network(folder_of(results), 10)
    dominoes = Dominoes.of(small)
    labels = torch.from_numpy(small.deal.label)
    losses = nn.functional.cross_entropy(torch.from_numpy(logits(network, dominoes, TrainSpec(model="mlp"))), labels, reduction="none")
    rows = torch.from_numpy(small.deal.of_kind("top"))
    weights = Weights(network)
    resident = Resident(small.deal, dominoes.sources, torch.device("cpu"))
    assert weights.loss(resident, rows).at(weights.vector).numpy() == pytest.approx(losses[rows].numpy(), abs=1e-5)


def test_some_weights_alone_are_varied(results: Path, small: Dealt) -> None:
    """A prefix takes the parameters whose names begin so; their curvature is that of the whole network's block."""
    network = checkpoints.network(folder_of(results), 10)
    some = Weights(network, "layers.5")
    assert some.names == ("layers.5.weight", "layers.5.bias")
    assert len(some.vector) == 256 * 10 + 10
    landscape = some.loss(Resident(small.deal, {"top": small.top, "bottom": small.bottom}, torch.device("cpu")), torch.arange(60))
    rows = torch.arange(60)
    bias = some.vector[-10:]

    def last_layer(last: torch.Tensor, *examples: torch.Tensor) -> torch.Tensor:
        return landscape.losses(torch.cat([some.vector[:-10], last]), *examples)

    found = largest(replace(landscape, losses=last_layer), bias)
    exact = torch.autograd.functional.hessian(lambda last: last_layer(last, *landscape.take(rows)).mean(), bias)
    assert found.converged
    assert found.value == pytest.approx(float(torch.linalg.eigvalsh(exact)[-1]), rel=0.05)
    with pytest.raises(SpecError, match="weights 'conv': no parameter's name begins so; expected all or .* layers.1.weight"):
        Weights(network, "conv")


@pytest.mark.parametrize("model", ["mlp", "detector", "resnet8"])
def test_chains_together_are_chains_one_by_one(model: str, small: Dealt) -> None:
    """Walked at once by `torch.func.vmap`, as on a GPU, they are those of the plain loop to the last digits; also with normalisation."""
    weights = Weights(initial(model, 10, 0))
    resident = Resident(small.deal, {"top": small.top, "bottom": small.bottom}, torch.device("cpu"))
    landscape = weights.loss(resident, torch.arange(100))
    how = Walk(nbeta=20.0, gamma=100.0, step=1e-5, steps=4, batch=8, every=2)
    starts = weights.vector.expand(2, -1)
    seen = {"all": landscape}
    plain, together = (walk(landscape, weights.vector, replace(how, batched=each), starts=starts, observed=seen) for each in (False, True))
    np.testing.assert_allclose(together.ends.numpy(), plain.ends.numpy(), atol=1e-5)
    assert together.excess == pytest.approx(plain.excess, abs=1e-5)
    assert together.observed["all"] == pytest.approx(plain.observed["all"], abs=1e-5)
    assert np.ptp(plain.excess[:, -1]) > 0


@pytest.mark.parametrize(("made", "which"), [({"momentum": None}, "cumulative"), ({"track_running_stats": False}, "the batch's own")])
def test_statistics_that_belong_to_other_weights_are_refused(made: dict[str, object], which: str) -> None:
    """A network whose normalisation has no running averages has no loss at these weights alone."""
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2, **made))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=f"1 normalises by {which} statistics, not by those of these weights; expected running averages"):
        Weights(network)


@pytest.mark.slow
def test_the_table_has_a_row_a_kind_and_says_what_does_not_stand(results: Path) -> None:
    """Chains far too short: every row is there, has no estimate, and says why; w*'s losses and the counts are those of the kinds."""
    wanted = tasks(results, REQUEST)
    assert [task.step for task in wanted] == [1, 10]
    table = sampled(wanted)
    assert list(table.columns) == list(LLC)
    assert list(table["kind"]) == ["mix", "top", "bottom", "both", "conflict"] * 2
    assert list(table["split"]) == ["train", "train", "train", "train", "test"] * 2
    assert table["estimate"].isna().all()
    assert table["status"].str.startswith("not converged: ").all()
    counts = json.loads((folder_of(results) / "environment.json").read_text(encoding="utf-8"))["dominoes"]
    first = table[table["step"] == 1].set_index("kind")
    assert first.loc["mix", "n"] == counts["n"]
    assert first.loc["top", "n"] == counts["kinds"]["top"]
    assert first["n_beta"].to_list() == pytest.approx([counts["n"] / math.log(counts["n"])] * 5)
    curves = pd.read_csv(folder_of(results) / "curves.csv")
    of_step = curves[curves["step"] == 1].set_index(["split", "kind"])["loss"]
    assert first.loc["conflict", "loss"] == pytest.approx(of_step["test", "conflict"], abs=1e-4)
    assert sentences(table)[0] == "0 of 10 estimates have converged"


@pytest.mark.slow
def test_finished_tasks_are_not_done_again(results: Path) -> None:
    """A second call reads what is kept; another seed or localisation is another task; the numbers repeat themselves bit for bit."""
    (task,) = tasks(folder_of(results), REQUEST, [10])
    measure([task])
    kept = task.kept
    assert kept == results / "llc" / task.id / "rows.json"
    assert {path.name for path in kept.parent.iterdir()} == {"rows.json", "DONE"}
    before = kept.read_bytes()
    kept.write_bytes(before.replace(b"not converged", b"kept"))
    assert measure([task])["status"].str.startswith("kept").all()
    kept.write_bytes(before[:40])
    with pytest.raises(RunError, match="rows.json cannot be read; expected the rows of a task that has ended: remove it"):
        measure([task])
    (kept.parent / "DONE").unlink()
    sampled([task])
    assert kept.read_bytes() == before
    # As early versions kept them: a file a task.
    shutil.rmtree(kept.parent)
    (results / "llc" / f"{task.id}.json").write_bytes(before.replace(b"not converged", b"early"))
    assert measure([task])["status"].str.startswith("early").all()
    assert cost([task]).endswith("1 done; 2 chains × 30 steps each: nothing is left")
    (results / "llc" / f"{task.id}.json").unlink()
    others = [replace(REQUEST, gammas=(1.0,)), replace(REQUEST, sampling=replace(FEW, seed=1)), replace(REQUEST, restrict="top")]
    assert len({task.id, *(tasks(results, other, [10])[0].id for other in others)}) == 4
    assert "0 done" in cost(tasks(results, others[0], [10]))
    assert "CPU-minutes" in cost(tasks(results, others[0], [10]))


@pytest.mark.slow
def test_calls_at_once_share_the_tasks(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task is sampled by one of two calls on a folder, and both have the whole table; what is in living hands is waited for."""
    monkeypatch.setattr(protocol, "POLL_SECONDS", 0.01)
    wanted = tasks(results, replace(REQUEST, gammas=(2e4, 3e4, 4e4)))
    ended: list[RunReport] = []

    def watched(setting: WorkerSetting) -> Engine:
        def engine(jobs: Iterator[Job]) -> Iterator[RunReport]:
            for job in jobs:
                for report in worker.attempt([job], setting):
                    ended.append(report)
                    yield report

        return engine

    waited: list[RunReport] = []
    with ThreadPoolExecutor(1) as other, claims.claimed(results / "llc" / wanted[0].id):
        first = other.submit(measure, wanted, engine=watched, waits=waited.append)
        while not waited:
            time.sleep(0.01)
        assert waited[0].run == wanted[0].id
        second = measure(wanted[1:], engine=watched)
    pd.testing.assert_frame_equal(first.result().iloc[5:].reset_index(drop=True), second)
    mine = [report.run for report in ended if report.state == "done" and report.reason != BY_ANOTHER]
    assert sorted(mine) == sorted(task.id for task in wanted)


def test_a_task_that_fails_says_where_and_why(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no finding about a checkpoint ends the call with a sentence; the reason is in the task's folder; the next call tries it."""
    (task,) = tasks(results, replace(REQUEST, gammas=(5e4,)), [10])
    with monkeypatch.context() as broken:
        broken.setattr(checkpoint_profiles, "_estimates", lambda task: 1 / 0)
        with pytest.raises(
            RunError, match=f"{task.id} failed: ZeroDivisionError: division by zero; 0 of 1 tasks are done and kept: put it"
        ):
            measure([task], engine=here)
    folder = results / "llc" / task.id
    assert "ZeroDivisionError" in (folder / "FAILED").read_text(encoding="utf-8")
    assert len(sampled([task])) == 5
    assert {path.name for path in folder.iterdir()} == {"rows.json", "DONE"}


def test_a_plan_whose_network_fails_says_so(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in a step is one sentence that names the run."""

    class Failing:
        def submit(self, *work: object) -> Future[None]:
            ended: Future[None] = Future()
            ended.set_exception(ArithmeticError("no second derivative"))
            return ended

    monkeypatch.setattr(profile_cost, "pool", lambda workers: nullcontext(Failing()))
    with pytest.raises(RunError, match=r"a step at .*runs/.* fails .ArithmeticError: no second derivative."):
        cost(tasks(results, replace(REQUEST, gammas=(7e4,))))


def test_a_plan_whose_process_is_killed_says_so(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence instead of a traceback."""

    class Killed:
        def submit(self, *work: object) -> Future[None]:
            ended: Future[None] = Future()
            ended.set_exception(BrokenProcessPool())
            return ended

    monkeypatch.setattr(profile_cost, "pool", lambda workers: nullcontext(Killed()))
    with pytest.raises(RunError, match="the process in which steps are timed was killed"):
        cost(tasks(results, replace(REQUEST, gammas=(6e4,))))


def test_a_task_is_read_as_it_was_said(results: Path) -> None:
    """What an engine is handed gives the same task, with the same id, in a process whose current folder is another."""
    request = replace(REQUEST, kappas=(2.0,), restrict="top", data=Path("data"))
    for task in tasks(results, request):
        again = ProfileTask.of_job(task.job().arguments)
        assert again == replace(task, folder=task.folder.resolve(), request=replace(request, data=Path("data").resolve()))
        assert again.id == task.id == task.job().id


@pytest.mark.slow
def test_a_localisation_of_the_checkpoints_own(results: Path) -> None:
    """κ gives γ = nβ λ_max / κ with λ_max at the checkpoint: of two κ the γ are as 2 to 1."""
    table = sampled(tasks(results, replace(REQUEST, gammas=(), kappas=(2.0, 4.0), on=("top",)), [10]))
    first, second = table["gamma"].unique()
    assert first == pytest.approx(2 * second)
    assert (first <= table["n_beta"] * table["lambda_max"] / 2 * 1.0001).all()


def test_chains_of_one_kind_alone(results: Path) -> None:
    """Restricted, nβ is that of the kind's training dominoes, and the kind is not observed a second time."""
    table = sampled(tasks(results, replace(REQUEST, restrict="top", on=("top", "conflict")), [10]))
    counts = json.loads((folder_of(results) / "environment.json").read_text(encoding="utf-8"))["dominoes"]["kinds"]
    assert list(table["kind"]) == ["top", "conflict"]
    assert set(table["sampled"]) == {"top"}
    assert table["n_beta"][0] == pytest.approx(counts["top"] / math.log(counts["top"]))


def test_what_cannot_be_sampled_is_said_in_its_row(results: Path) -> None:
    """A step that was not kept beside one that was, a kind that is not trained on: a sentence in the row of each kind."""
    for request, steps, said in (
        (REQUEST, [7, 10], "keeps no network of step 7; expected one of 1, 10"),
        (replace(REQUEST, restrict="conflict"), [10], "the training set has no dominoes of kind conflict to sample on"),
    ):
        table = sampled(tasks(results, request, steps)[:1])
        assert len(table) == 5 - (request.restrict is not None)
        assert table["status"].str.startswith("not sampled: ").all()
        assert table["status"].str.contains(said).all()
        assert [line.partition(":")[0] for line in sentences(table)][1:2] == [f"{len(table)} not sampled"]
        # Of what was not kept yet, the same is said by the plan.
        again = tasks(results, replace(request, sampling=replace(FEW, seed=9)), steps)[:1]
        assert re.search(f"steps each: nothing can be sampled, .*{said}", cost(again))


def test_what_no_network_has_is_refused(results: Path) -> None:
    """Weights whose names no network has, and steps that none keeps, are slips: nothing is sampled."""
    with pytest.raises(SpecError, match="weights 'conv': no parameter's name begins so; expected all or one of layers.1"):
        tasks(results, replace(REQUEST, weights="conv"), [10])
    with pytest.raises(RunError, match="keeps a network of step 7; expected one of 1, 10"):
        tasks(results, REQUEST, [7])


class Attending(nn.Module):
    """A network whose attention has a fused kernel."""

    def __init__(self, classes: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.last = nn.Linear(12, classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """N×3×64×32 to N×classes."""
        rows = nn.functional.avg_pool2d(pictures, 16).flatten(2)
        rows = rows.reshape(len(rows), 2, 12)
        return self.last(self.attention(rows, rows, rows, need_weights=False)[0].mean(dim=1))  # type: ignore[no-any-return]


def test_attention_has_a_curvature(small: Dealt) -> None:
    """The largest eigenvalue of the loss of a network with attention, whose fused kernels have no second derivative, is that of its
    Hessian by automatic differentiation."""
    torch.manual_seed(0)
    weights = Weights(Attending(10), "attention.out")
    resident = Resident(small.deal, {"top": small.top, "bottom": small.bottom}, torch.device("cpu"))
    landscape = weights.loss(resident, torch.arange(60))
    examples = landscape.take(torch.arange(60))
    exact = torch.autograd.functional.hessian(lambda vector: landscape.losses(vector, *examples).mean(), weights.vector)
    assert largest(landscape, weights.vector).value == pytest.approx(float(torch.linalg.eigvalsh(exact)[-1]), rel=0.05)


def changed(folder: Path, copy: Path, change: dict[str, object]) -> Path:
    """A copy of a run's folder whose environment.json says something else."""
    shutil.copytree(folder, copy / "runs" / folder.name)
    content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    (copy / "runs" / folder.name / "environment.json").write_text(state.sealed(content | change), encoding="utf-8")
    return copy


def test_a_diverged_run_is_said_in_its_row(results: Path, tmp_path: Path) -> None:
    """It is not sampled."""
    copy = changed(folder_of(results), tmp_path, {"status": "diverged", "diverged_at": 4})
    assert set(sampled(tasks(copy, REQUEST, [10]))["status"]) == {"not sampled: the run diverged at step 4"}


def test_pictures_that_are_not_there_are_no_finding(results: Path, tmp_path: Path) -> None:
    """Other pictures than those of training, or none, end the call and its plan; nothing is kept, so that the same call with the right
    --data is not answered by what was amiss before."""
    copy = changed(folder_of(results), tmp_path, {"digests": {"deal": "0"}})
    (task,) = wanted = tasks(copy, REQUEST, [10])
    for look in (sampled, cost):
        with pytest.raises(
            RunError if look is sampled else SourceError, match="other pictures or dominoes than are found here; pass the same"
        ):
            look(wanted)
    assert task.kept is None
    content = json.loads((folder_of(results) / "environment.json").read_text(encoding="utf-8"))
    (task.folder / "environment.json").write_text(state.sealed(content), encoding="utf-8")
    assert set(sampled(wanted)["status"].str.partition(":")[0]) == {"not converged"}


def test_nothing_to_sample_is_an_error(small: Dealt, tmp_path: Path) -> None:
    """No run, or no run that keeps a network: nothing is written."""
    with pytest.raises(RunError, match="holds no finished run"):
        tasks(tmp_path, REQUEST)
    spec = RunSpec(dataset=small.spec, train=TrainSpec(model="mlp", measurements=1, probe=40))
    execution.execute(spec, small, probe_sets.probes(small.spec, 40, 0), tmp_path)
    with pytest.raises(RunError, match="keeps a network; train with --checkpoints last, measurements or steps"):
        tasks(tmp_path, REQUEST)
    assert not (tmp_path / "llc").exists()
    with pytest.raises(SpecError, match="'left' is no kind of domino; expected top, bottom, both, conflict, empty"):
        ProfileRequest(on=("left",))


def test_halves_are_compared_where_both_were_asked_about() -> None:
    """Of a checkpoint with one half alone there is nothing to say but how many estimates stand."""
    rows = [
        {"run": "a", "step": 1, "kind": kind, "gamma": 100.0, "status": "converged", "estimate": 1.0 + number}
        for number, kind in enumerate(("top", "bottom"))
    ]
    assert sentences(pd.DataFrame(rows[:1])) == ["1 of 1 estimates have converged"]
    assert sentences(pd.DataFrame(rows))[1] == "a, step 1: bottom above top at γ 100 alone, by 2 to 2 times"
