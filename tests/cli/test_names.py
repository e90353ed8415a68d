"""The doors as they are used: names in flags and files, trust, what is listed and checked."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dominoes.cli.commands import main
from dominoes.runs import checkpoints

NETS = """
import torch
from torch import nn
class Flat(nn.Sequential):
    def __init__(self, classes, width=4):
        super().__init__(nn.Flatten(), nn.Linear(6144, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, classes))
class Counting(Flat):
    def __init__(self, classes):
        super().__init__(classes)
        self.register_buffer("asked", torch.zeros(1))
    def forward(self, x):
        self.asked += 1
        return super().forward(x) * (1 + self.asked / 100)
class Late(Flat):
    def forward(self, x):
        print("asked")
        self.steps = getattr(self, "steps", 0) + self.training
        if self.steps > 3:
            raise IndexError("too late")
        return super().forward(x)
class Nowhere(Flat):
    def forward(self, x):
        return super().forward(x) * float("nan")
class Squeezed(Flat):
    def forward(self, x):
        return super().forward(x).squeeze()
class InPlace(Flat):
    def forward(self, x):
        return super().forward(x.mul_(2))
def watch(step, network, rows):
    with open("watched.txt", "a") as file:
        file.write(f"{step} ")
"""
SWEEP = """
method: grid
parameters:
  dataset.n: {value: 200}
  dataset.prevalence: {value: [0.7, 0.6]}
  dataset.top: {value: digits}
  dataset.bottom: {value: textures}
  train.model: {value: "MODEL"}
  train.model_args.width: {values: [4, 8]}
  train.epochs: {value: 1}
  train.measurements: {value: 2}
  train.probe: {value: 30}
  train.checkpoints: {value: last}
"""
SMALL = ["--n", "200", "--prevalence", "0.7", "0.6", "--top", "digits", "--bottom", "textures", "--epochs", "1", "--probe", "30"]


def run(*arguments: str, code: int = 0) -> Result:
    """Call the command line."""
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(autouse=True)
def nets(here: Path) -> Path:
    """A module of networks in the current folder."""
    (here / "door_nets.py").write_text(NETS, encoding="utf-8")
    return here


def test_list_shows_name_origin_and_version() -> None:
    """Of one kind or of all, as a table or as JSON."""
    assert "resnet18  built-in  dominoes" in run("list", "models").output
    rows = json.loads(run("list", "--json").output)
    assert {"kind": "schedules", "name": "cosine", "origin": "built-in"}.items() <= next(
        row for row in rows if row["name"] == "cosine"
    ).items()
    assert "no callbacks has a name" in run("list", "callbacks").output


def test_check_model_tells_good_from_bad() -> None:
    """A network that counts how often it is asked is changed by measuring; one with dropout is not. Trouble is a sentence, exit 2."""
    good = run("check-model", "door_nets:Flat", "--model-args", "width=8").output
    assert good.startswith("door_nets:Flat: 49,250 weights\nok    answers: N×10")
    assert "FAILS" not in good
    assert "pinned, as files can name it without --trust: door_nets:Flat@sha256:" in good
    bad = json.loads(run("check-model", "door_nets:Counting", "--json", code=1).output)
    assert {each["what"] for each in bad["findings"] if not each["holds"]} >= {"measuring"}
    assert (
        "takes (classes, width=4) and cannot be called as (classes, depth=3)"
        in run("check-model", "door_nets:Flat", "--model-args", "depth=3", code=2).output
    )
    assert "--model-args: expected NAME=VALUE" in run("check-model", "door_nets:Flat", "--model-args", "depth", code=2).output


def test_check_model_says_what_is_wrong_with_an_answer() -> None:
    """One that squeezes the batch away fails in a sentence; one that changes its pictures in place answers the same, and a note says so."""
    squeezed = run("check-model", "door_nets:Squeezed", code=1).output
    assert "FAILS a picture alone and among others: it answers 10, not 1×10, to one picture" in squeezed
    changing = run("check-model", "door_nets:InPlace").output
    assert "note  the pictures it is given: changed in place: every batch is made anew" in changing
    assert "ok    a picture alone and among others" in changing
    assert "ok    the pictures it is given: stay as they are" in squeezed


def test_a_network_that_fails_in_training_is_one_sentence() -> None:
    """Where a later step fails, the run is FAILED and the sentence says where the traceback is; one whose losses are not finite before
    training has no curve, is no finished run, and says so at every call. What it prints is not mixed with the answer."""
    late = run("train", *SMALL, "--model", "door_nets:Late", "--device", "cpu", "--out", "out", code=2)
    (folder,) = Path("out/runs").iterdir()
    assert f"Error: run {folder.name} failed: IndexError: too late; the traceback is in" in late.stderr
    assert "Traceback" not in late.output
    assert "raise IndexError" in (folder / "FAILED").read_text(encoding="utf-8")
    for _ in range(2):
        nowhere = run("train", *SMALL, "--model", "door_nets:Nowhere", "--device", "cpu", "--out", "nan", code=2)
        assert "Error: before training a loss of door_nets:Nowhere is not finite, so there is no curve" in nowhere.stderr
    assert not list(Path("nan").rglob("DONE"))
    checked = run("check-model", "door_nets:Late", "--json", code=2)
    assert "model door_nets:Late cannot be trained for five steps (IndexError: too late)" in checked.stderr
    assert "asked" not in checked.stdout
    assert "a loss is not finite at step 0" in run("check-model", "door_nets:Nowhere", code=2).stderr
    short = run("train", *SMALL, "--batch", "200", "--model", "door_nets:Late", "--out", "ok", "--json")
    assert json.loads(short.stdout)["status"] == "finished"


def test_a_flag_needs_no_trust_and_is_recorded() -> None:
    """A network, an optimiser of PyTorch's, a schedule, arguments and a callback from flags; the same command finds the run done."""
    more = ["--model", "door_nets:Flat", "--model-args", "width=6", "--optimizer", "adamw", "--optimizer-args", "betas=[0.8, 0.9]"]
    more += ["--schedule", "cosine", "--schedule-args", "floor=1e-1", "--warmup", "2", "--clip", "1", "--loss-args", "label_smoothing=0.1"]
    more += ["--augment", "flip", "--augment", "crop side=top", "--input", "unit", "--measurements", "2", "--callback", "door_nets:watch"]
    assert "done before" not in run("train", *SMALL, *more, "--device", "cpu", "--out", "out").output
    assert "done before" in run("train", *SMALL, *more, "--device", "cpu", "--out", "out").output
    (folder,) = Path("out/runs").iterdir()
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))["train"]
    assert spec["model_args"] == {"width": 6}
    assert spec["optimizer_args"] == {"betas": [0.8, 0.9]}
    assert spec["schedule_args"] == {"floor": 0.1}
    assert (spec["warmup"], spec["clip"], spec["input"], spec["augment"]) == (2, 1.0, "unit", ["flip", "crop side=top"])
    assert json.loads((folder / "environment.json").read_text(encoding="utf-8"))["code"][0]["ref"] == "door_nets:Flat"
    assert Path("watched.txt").read_text(encoding="utf-8") == "0 1 4 "


def test_a_bad_name_is_one_sentence_and_leaves_nothing() -> None:
    """Exit 2; no folder."""
    for more, sentence in (
        (["--model", "vit"], "there is no model 'vit'; expected one of detector"),
        (["--optimizer", "adm"], "there is no optimizer 'adm'; did you mean adam?"),
        (["--model", "door_nets:Absent"], "door_nets has no Absent"),
        (
            ["--callback", "door_nets:Flat"],
            "callback door_nets:Flat takes (classes, width=4) and cannot be called as (step, network, rows)",
        ),
        (["--checkpoints", "0,99"], "checkpoints 99: the run has 4 steps"),
    ):
        assert sentence in run("train", *SMALL, *more, "--device", "cpu", "--out", "out", code=2).output
        assert not Path("out").exists()


@pytest.mark.slow
def test_a_sweep_file_needs_trust_or_a_pin() -> None:
    """Plan and run refuse a plain reference and name the pin; with it, or with --trust, workers find the module and runs keep networks."""
    Path("s.yaml").write_text(SWEEP.replace("MODEL", "door_nets:Flat"), encoding="utf-8")
    for command in (["plan", "s.yaml", "--no-timing"], ["run", "s.yaml", "--out", "out"]):
        refused = run("sweep", *command, code=2).output
        assert (
            "s.yaml names code that would be run here: door_nets:Flat; read it, then pass --trust (in Python trust=True), or pin it"
            in refused
        )
    assert not Path("out").exists()
    pin = refused.split("as ")[-1].strip()
    Path("p.yaml").write_text(SWEEP.replace("MODEL", pin), encoding="utf-8")
    plan = run("sweep", "plan", "p.yaml", "--device", "cpu").output
    # Twice a network of 24 and 49 thousand weights of four bytes.
    assert "disk: about 0.3 MB" in plan
    assert run("sweep", "run", "p.yaml", "--out", "out", "--workers", "1", "--device", "cpu").output.count("done ") >= 2
    folders = sorted(Path("out/runs").iterdir())
    widths = sorted(checkpoints.network(folder)[1].out_features for folder in folders)
    assert widths == [4, 8]
    run("sweep", "export", "out", "--out", "c.csv")
    assert "model_args.width" in Path("c.csv").read_text(encoding="utf-8").splitlines()[0]
    Path("door_nets.py").write_text(NETS + "# changed\n", encoding="utf-8")
    assert "is pinned; read what has changed" in run("sweep", "run", "p.yaml", "--out", "new", "--device", "cpu", code=2).output
