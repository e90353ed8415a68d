"""An installed package that brings one of each: every thing is found by its name, and does what it is for."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import dominoes
from dominoes import registry
from dominoes.cli.commands import main
from dominoes.errors import DominoesError
from dominoes.theory.comparison import QUESTIONS

KINDS = {
    **{"models": "tiny", "optimizers": "sign", "parameter_groups": "last-faster", "schedules": "halving", "losses": "brier"},
    **{"augmentations": "dim", "callbacks": "norms", "sources": "bars", "dials": "fade", "families": "ramp", "theories": "top-alone"},
    **{"loggers": "notes", "engines": "here", "figures": "ends"},
    **{"rules": "worse", "questions": "chance"},
}
SWEEP = """
name: brought
method: grid
parameters:
  dataset.n: {value: 60}
  dataset.prevalence: {value: [0.6, 0.6]}
  dataset.top: {value: bars}
  dataset.bottom: {value: bars}
  dataset.bottom_transform: {value: [fade=0.5]}
  train.model: {value: tiny}
  train.model_args: {value: {width: 8, dropout: 0.2}}
  train.optimizer: {value: sign}
  train.parameter_groups: {value: last-faster}
  train.schedule: {value: halving}
  train.loss: {value: brier}
  train.augment: {value: [dim by=0.2]}
  train.epochs: {value: 1}
  train.batch: {value: 16}
  train.measurements: {value: 2}
  train.probe: {value: 15}
  seed: {values: [0, 1]}
"""


@pytest.fixture(autouse=True)
def place(installed: Path, here: Path) -> Path:
    """The current folder, with the plugin on the path."""
    return here


def run(*arguments: str, code: int = 0) -> Result:
    """Call the command line."""
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_everything_is_listed_and_found(kind: str, name: str) -> None:
    """With where it comes from."""
    rows = json.loads(run("list", kind, "--json").output)
    assert {"kind": kind, "name": name, "origin": "entry point", "distribution": "dominoes-plugin", "version": "0.3"} in rows
    assert registry.find(kind, name).load()


@pytest.mark.parametrize("engine", ["local", "here"])
def test_a_sweep_of_brought_things_runs_without_trust(engine: str) -> None:
    """Installed packages are trusted; workers find them; the record has the code of each; the logger is called with every run."""
    Path("s.yaml").write_text(SWEEP, encoding="utf-8")
    options = ["--out", "out", "--workers", "1", "--device", "cpu", "--engine", engine, "--log", "notes", "--callback", "norms"]
    run("sweep", "run", "s.yaml", *options)
    folders = sorted(Path("out/runs").iterdir())
    assert sorted(Path("out/notes.txt").read_text(encoding="utf-8").split()[1::2]) == [folder.name for folder in folders]
    for folder in folders:
        content = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        assert {each["ref"] for each in content["code"]} == {"tiny", "sign", "last-faster", "halving", "brier", "dim", "bars", "fade"}
        assert {each["distribution"] for each in content["code"]} == {"dominoes-plugin"}
    assert "ends.svg" in run("plot", "out", "--figure", "ends", "--out", "ends.svg").output
    assert "accuracy on doubles" in Path("ends.svg").read_text(encoding="utf-8")
    assert "2 runs, 2 done before" in run("sweep", "run", "s.yaml", *options).output


def test_pictures_from_outside_are_dealt_and_changed() -> None:
    """Gray 28×28 pictures are padded; the dial acts inside the padding; a folder of them is built, verified and read."""
    plain = dominoes.make({"n": 30, "prevalence": (1, 0), "top": "bars", "bottom": "bars"})
    faded = dominoes.make({"n": 30, "prevalence": (1, 0), "top": "bars", "bottom": "bars", "top_transform": "fade=0.5"})
    assert plain.classes == ["high", "middle", "low"]
    assert np.array_equal(faded.data.numpy(), plain.data.numpy() // 2)
    assert (plain.data.numpy()[:, :, :2] == 0).all()
    run(
        "build",
        "--n",
        "30",
        "--prevalence",
        "1",
        "1",
        "--top",
        "bars",
        "--bottom",
        "bars",
        "--bottom-transform",
        "fade=0.5",
        "--out",
        "made",
    )
    assert "every digest and every count holds" in run("verify", "made").output


def test_what_is_wrong_with_a_source_or_a_dial_is_one_sentence(place: Path) -> None:
    """A value out of the dial's range, no dial, a source that gives no pictures or fails."""
    (place / "poor.py").write_text(
        "import numpy as np\n"
        "def few(split): return np.zeros((3, 32, 32), np.uint8), [0, 1], None\n"
        "def real(split): return np.zeros((2, 32, 32)), [0, 1], None\n"
        "def fails(split): raise KeyError(split)\n",
        encoding="utf-8",
    )
    for fields, sentence in (
        ({"top": "bars", "top_transform": "fade=1"}, "fade=1: expected fade=VALUE with a share from 0 to below 1"),
        ({"top": "bars", "top_transform": "poor:few=1"}, "dial poor:few is function; expected a dominoes.dials.DialRange"),
        ({"top": "poor:few"}, "source poor:few gives 3 train pictures and 2 labels; expected one for each"),
        ({"top": "poor:real"}, "source poor:real gives pictures of shape .2, 32, 32. and type float64; expected uint8"),
        ({"top": "poor:fails"}, "source poor:fails fails for train .KeyError"),
        ({"top": "poor:absent"}, "poor has no absent"),
    ):
        with pytest.raises(DominoesError, match=sentence):
            dominoes.make({"n": 30, "prevalence": (0.5, 0.5), "bottom": "bars", **fields})


def test_a_file_that_names_a_source_by_reference_needs_trust(place: Path) -> None:
    """In build, solve and train; and in Python, which has the fields instead."""
    (place / "own.py").write_text("from dominoes_plugin.pictures import bars\n", encoding="utf-8")
    Path("spec.yaml").write_text("{n: 20, prevalence: [1, 0], top: 'own:bars[high,low]', bottom: 'bars[0,1]'}", encoding="utf-8")
    for command in (["solve", "spec.yaml"], ["build", "spec.yaml", "--out", "made"], ["train", "spec.yaml", "--out", "out"]):
        assert "spec.yaml names code that would be run here: own:bars" in run(*command, code=2).output
    with pytest.raises(DominoesError, match="names code that would be run here: own:bars; read it, then pass its fields"):
        dominoes.make("spec.yaml")
    assert "20 dominoes" in run("build", "spec.yaml", "--out", "made", "--trust").output
    assert "names code that would be run here: own:bars" in run("verify", "made", code=2).output
    assert "holds" in run("verify", "made", "--trust").output


def test_a_family_from_outside_is_fitted() -> None:
    """A straight line finds a straight line."""
    steps = np.arange(0, 41)
    accuracy = np.interp(steps, [0, 10, 30, 40], [0.1, 0.1, 0.9, 0.9])
    table = pd.DataFrame({"run": "a", "seed": 0, "step": steps, "epoch": steps / 10, "samples": steps * 8, "split": "test", "kind": "top"})
    table = table.assign(n=1000, loss=1.0, accuracy=accuracy, agree_top=accuracy, agree_bottom=np.nan)
    found = dominoes.fit(table, families=["ramp", "logistic"], metrics=["accuracy"], chance=0.1).set_index("family")
    assert found.loc["ramp", "onset"] == pytest.approx(20, abs=0.1)
    assert found.loc["ramp", "deviance"] < found.loc["logistic", "deviance"]


def test_a_rule_and_a_question_from_outside_are_judged(swept: Path) -> None:
    """A rule is set against the built-in ones, which keep their verdicts; a question has rows of its own."""
    plain = dominoes.compare(swept, by=["prevalence_top"]).table
    found = dominoes.compare(swept, by=["prevalence_top"], rules=["worse"], questions=[*QUESTIONS, "chance"]).table
    key = ["group", "question", "window", "quantity", "model", "rival", "side"]
    both = plain.merge(found, on=key, how="left", suffixes=("", " too"))
    assert (both["verdict"] == both["verdict too"]).all()
    assert set(found["question"]) - set(plain["question"]) == {"chance"}
    more = found[(found["question"] == "doubles") & (found["model"] == "worse side") & (found["estimate"] > 0)]
    assert len(more)
    assert (more["sentence"].str.contains("the worse side alone for doubles")).all()
    text = run("compare", str(swept), "--by", "prevalence_top", "--rule", "worse", "--question", "chance", "--all", "--out", "c.csv").output
    assert "the worse side alone" in text
    assert (
        "there is no rule 'worst'; did you mean worse?"
        in run("compare", str(swept), "--by", "prevalence_top", "--rule", "worst", "--out", "c.csv", code=2).output
    )
