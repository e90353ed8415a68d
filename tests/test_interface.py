"""The Python way in: it does what the command line does, and refuses in the same words."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import brought
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import dominoes
from dominoes.cli.commands import main
from dominoes.errors import DominoesError, RunError, SpecError

PACKAGE = Path(dominoes.__file__).parent
FACES = sorted(path for path in PACKAGE.rglob("__init__.py") if "__all__" in path.read_text(encoding="utf-8"))
SPEC = {"n": 200, "prevalence": (0.6, 0.5), "top": "digits", "bottom": "textures"}
HOW = {"model": "mlp", "epochs": 2, "measurements": 4, "probe": 50}


@pytest.fixture(scope="module")
def runs(cache: Path) -> list[dominoes.Run]:
    """Two small runs of one spec."""
    data = dominoes.make(SPEC)
    return [dominoes.train(data, seed=seed, **HOW) for seed in (0, 1)]


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.parent.name)
def test_a_face_hands_on_what_it_says(path: Path) -> None:
    """Every name in `__all__` is there, stands in the block for type checkers with the same home, and is listed by dir()."""
    module = importlib.import_module(".".join(("dominoes", *path.parent.relative_to(PACKAGE).parts)))
    typed = {
        alias.name: node.module
        for block in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(typed) == set(module.__all__) - {"__version__"}
    for name, home in typed.items():
        assert getattr(module, name) is getattr(importlib.import_module(str(home)), name)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_slow() -> None:
    """`import dominoes` takes no torch, numpy, scipy, pandas or click, and far less than a second; names come when asked for."""
    script = "import sys, time; t = time.perf_counter(); import dominoes; t = time.perf_counter() - t; dir(dominoes)\n"
    script += "print(t < 1, *(name for name in ('torch', 'numpy', 'scipy', 'pandas', 'pydantic', 'click') if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_dataset_is_made_kept_and_loaded(tmp_path: Path) -> None:
    """make, build and load give the same dominoes, from a spec, its fields or its file; solve gives their counts as a table."""
    spec = dominoes.DominoSpec(**SPEC)
    (tmp_path / "spec.yaml").write_text("n: 200\nprevalence: [.6, .5]\ntop: digits\nbottom: textures\n", encoding="utf-8")
    made = [dominoes.make(request) for request in (spec, SPEC, tmp_path / "spec.yaml", str(tmp_path / "spec.yaml"))]
    made += [dominoes.build(spec, str(tmp_path / "set")), dominoes.load(str(tmp_path / "set")), dominoes.load(tmp_path / "set")]
    for data in made:
        assert data.spec == spec
        assert torch.equal(data.data, made[0].data)
    counts = dominoes.solve(spec)
    assert counts.table().to_numpy().sum() == len(made[0]) == 200
    assert counts.kinds == {kind: made[0].kinds.count(kind) for kind in counts.kinds}
    assert repr(counts).startswith(
        "<Composition: 200 dominoes of 10 classes (60 top, 40 bottom, 60 both, 40 empty); 0 of 120 top halves wrong"
    )


def test_training_in_memory_is_what_the_command_writes(runs: list[dominoes.Run], tmp_path: Path) -> None:
    """The same spec and seed: same id, same curves to the last digit; the network is the one that was measured last."""
    words = "train --n 200 --prevalence .6 .5 --top digits --bottom textures --model mlp --epochs 2 --measurements 4 --probe 50"
    done = CliRunner().invoke(main, [*words.split(), "--device", "cpu", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    folder = tmp_path / "runs" / runs[0].id
    pd.testing.assert_frame_equal(pd.read_csv(folder / "curves.csv", dtype={"run": str}), runs[0].curves, check_dtype=False)
    assert np.array_equal(np.load(folder / "confusion.npz")["counts"], runs[0].confusion)
    probe = dominoes.probes(dominoes.DominoSpec(**SPEC), 50, 0)["top"]
    with torch.inference_mode():
        answers = runs[0].network.eval()(probe.compose(torch.arange(50), normalize=True)).argmax(1)
    assert float((answers == probe.targets).float().mean()) == pytest.approx(runs[0].last.accuracy["top"])
    assert f"<Run {runs[0].id}: mlp, seed 0" in repr(runs[0])


def test_runs_are_compared_fitted_and_reported(runs: list[dominoes.Run], tmp_path: Path) -> None:
    """Runs, their tables and files of them are as good as one another to compare, fit and report."""
    joined = pd.concat([run.curves for run in runs], ignore_index=True)
    joined.to_csv(tmp_path / "curves.csv", index=False)
    classes = pd.concat([run.classes for run in runs], ignore_index=True)
    forms = (runs, joined, [run.curves for run in runs], str(tmp_path / "curves.csv"))
    tables = [dominoes.compare(curves, classes, joint=None).table for curves in forms]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    crossed = dominoes.compare(runs, classes).table
    assert set(crossed["question"]) - set(tables[0]["question"]) == {"pictures"}
    assert set(dominoes.fit(runs[0], families=("logistic",))["run"]) == {runs[0].id}
    page = dominoes.report([runs[0], runs[1].curves], str(tmp_path / "page.html"))
    text = page.read_text(encoding="utf-8")
    assert runs[0].id in text
    assert runs[1].id in text


def test_a_sweep_runs_and_is_not_run_again(tmp_path: Path) -> None:
    """run_sweep executes a file's runs once; a second call finds them done."""
    fixed = {**{f"dataset.{name}": value for name, value in SPEC.items()}, **{f"train.{name}": value for name, value in HOW.items()}}
    lines = [f"  {name}: {{value: {list(value) if isinstance(value, tuple) else value}}}" for name, value in fixed.items()]
    text = "\n".join(["name: small", "method: grid", "parameters:", *lines, "  seed: {values: [0, 1]}"])
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    sweep = dominoes.read_sweep(tmp_path / "sweep.yaml")
    seen: list[str] = []
    for count in (2, 2):
        found = dominoes.run_sweep(sweep, tmp_path / "out", workers=1, device="cpu", progress=lambda report: seen.append(report.state))
        assert (found.runs, found.done) == (2, 2)
        assert seen == ["done"] * count
    assert (tmp_path / "out" / "sweep.yaml").read_text(encoding="utf-8") == text
    assert len(dominoes.gather([tmp_path / "out"]).runs) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dominoes.DominoSpec(n=-5), "n: expected a whole number of at least 1, or max, got -5"),
        (lambda: dominoes.DominoSpec(prevalance=(1, 1)), "there is no field prevalance; did you mean prevalence?"),
        (lambda: dominoes.TrainSpec(model="vit"), "model: there is no model 'vit'"),
        (lambda: dominoes.make({"n": 10, "top": "digits", "bottom": "textures"}), "prevalence"),
        (lambda: dominoes.load("nowhere"), "nowhere is not a folder"),
        (lambda: dominoes.train(SPEC, epoch=3), "there is no field epoch; did you mean epochs?"),
        (lambda: dominoes.train(SPEC, probe=10**6), "use --probe"),
        (lambda: dominoes.compare([]), "there are no curves"),
        (lambda: dominoes.compare([3]), "got int"),
        (lambda: dominoes.compare(3), "got int"),
        (lambda: dominoes.make(7), "expected a DominoSpec, the path of a YAML file, or a mapping of fields, got int"),
        (lambda: dominoes.train(3), "got int"),
        (lambda: dominoes.compare("nowhere.csv"), "nowhere.csv is not there"),
        (lambda: dominoes.compare(pd.DataFrame({"a": [1]})), "are missing"),
        (lambda: dominoes.report("nowhere", "page.html"), "nowhere is not there"),
        (lambda: dominoes.report("nowhere", "page.pdf"), "page.pdf: the report is written as .html"),
        (lambda: dominoes.read_sweep("nowhere.yaml"), "nowhere.yaml cannot be read"),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(call: object, message: str) -> None:
    """Bad input raises a DominoesError of one line, in the command line's words, whatever library noticed it."""
    with pytest.raises(DominoesError) as error:
        call()  # type: ignore[operator]
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_brought_by_itself_is_asked_for_by_name() -> None:
    """A class in the place of a name is refused with the reference to write, a function within another with the form of one; a network
    whose losses are not finite before training has no curve."""
    with pytest.raises(SpecError, match="model: expected a name, such as 'brought:Transformer', so that the run records it"):
        dominoes.train(SPEC, model=brought.Transformer)
    with pytest.raises(SpecError, match="optimizer: expected a name, such as 'module:attr'"):
        dominoes.train(SPEC, model="mlp", optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr=lr))
    with pytest.raises(RunError, match="before training a loss of brought:Nowhere is not finite, so there is no curve"):
        dominoes.train(SPEC, **(HOW | {"model": "brought:Nowhere"}))


def test_a_folder_is_no_request(tmp_path: Path) -> None:
    """The sentence names what reads a dataset's folder."""
    with pytest.raises(SpecError, match="is a folder; expected a YAML file, or read a dataset's folder with dominoes.load"):
        dominoes.train(tmp_path, model="mlp")


def test_fits_know_the_classes_of_the_runs() -> None:
    """Runs of two classes are fitted from chance 1/2, as by the command line, not from 1/10."""
    data = dominoes.make(SPEC | {"top": "digits[0,1]", "bottom": "textures[0,1]", "n": 100})
    run = dominoes.train(data, **(HOW | {"probe": 20}))
    pd.testing.assert_frame_equal(dominoes.fit(run), dominoes.fit(run, chance=0.5))
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(dominoes.fit(run), dominoes.fit(run, chance=0.1))
