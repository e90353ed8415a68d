"""The command line as people use it: results on stdout, one sentence and exit code 2 on bad input, nothing half-written."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from dominoes.cli.commands import main
from dominoes.data.catalogue import STOCKS
from dominoes.mappings import read_mapping
from dominoes.spec import Split

ROOT = Path(__file__).parents[2]
EMBEDDED = ("--top", "digits", "--bottom", "textures")


def call(*arguments: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: Any) -> str:
    """The output of a command that must go well."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: Any) -> str:
    """The one line that a command says when it refuses its input."""
    result = call(*arguments)
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert result.stdout == ""
    line = result.stderr.strip()
    assert line.startswith("Error: ")
    assert "\n" not in line
    return line


def test_solve_prints_a_table_and_json() -> None:
    """The table shows kinds, halves, stock and parameters; the JSON has the agreed keys and the same numbers."""
    text = done("solve", "--prevalence", ".65", ".65", "--n", "1000", "--reliability", ".9", "1")
    assert "1000 dominoes of 10 classes: mnist over cifar10 (train)" in text
    for word in ("kind", "stock used", "stock left", "right", "wrong", "requested", "realised", "prevalence top"):
        assert word in text
    values = json.loads(done("solve", "--prevalence", ".65", ".65", "--n", "1000", "--reliability", ".9", "1", "--json"))
    assert list(values) == ["n", "kinds", "labels", "states", "shown", "stock", "requested", "realised"]
    for kind, target in (("top", 227.5), ("bottom", 227.5), ("both", 422.5), ("empty", 122.5)):
        assert abs(values["kinds"][kind] - target) == 0.5
    assert values["realised"]["reliability"] == [0.9, 1.0]


def test_solve_takes_a_file_flags_and_an_open_prevalence(tmp_path: Path) -> None:
    """A YAML file, with flags in its fields' places; '-' leaves one prevalence to be implied."""
    (tmp_path / "s.yaml").write_text("prevalence: [0.5, 0.5]\nn: 100\n", encoding="utf-8")
    assert json.loads(done("solve", tmp_path / "s.yaml", "--n", "200", "--json"))["n"] == 200
    values = json.loads(done("solve", "--prevalence", ".5", "-", "--ratio", "2", "--n", "80", "--json"))
    assert values["requested"]["prevalence"] == [0.5, 0.25]


def test_solve_knows_another_stock_from_a_file(tmp_path: Path) -> None:
    """--stock takes the pictures of each class from a file, so that any source can be planned."""
    (tmp_path / "stock.yaml").write_text("top: [7, 5]\nbottom: [9, 9]\n", encoding="utf-8")
    values = json.loads(done("solve", "--prevalence", "1", "0", "--stock", tmp_path / "stock.yaml", "--json"))
    assert values["n"] == 10
    for content in ("top: [7, 5]", "top: [1]\nbottom: x", "top: [1.5]\nbottom: [1]", "top: [true]\nbottom: [1]"):
        (tmp_path / "bad.yaml").write_text(content, encoding="utf-8")
        assert "expected two lists of whole numbers" in refused("solve", "--prevalence", "1", "0", "--stock", tmp_path / "bad.yaml")


def test_solve_loads_no_torch_and_help_loads_nothing_slow() -> None:
    """solve runs without torch, pandas and pyarrow; help without scipy and numpy too."""
    script = """
import sys
from dominoes.cli.commands import main
try:
    main()
except SystemExit:
    pass
print(*(name for name in ("torch", "torchvision", "scipy", "pandas", "pyarrow", "numpy", "matplotlib") if name in sys.modules))
"""
    for arguments, allowed in ((["--help"], ""), (["solve", "--prevalence", "1", "1"], "scipy numpy")):
        done_ = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert done_.stdout.splitlines()[-1] == allowed


@pytest.mark.slow
def test_the_whole_way_works_from_the_command_line(tmp_path: Path) -> None:
    """build, verify, preview, export, train on the folder, plot, fit, compare: each writes what it says."""
    out = tmp_path / "set"
    assert "400 dominoes" in done("build", "--n", "400", "--prevalence", ".6", ".6", *EMBEDDED, "--out", out)
    assert "every digest and every count holds" in done("verify", out)
    done("preview", out, "--out", tmp_path / "p.png")
    done("export", out, "--to", "npz", "--out", tmp_path / "a.npz")
    train = ["train", out, "--epochs", "2", "--measurements", "6", "--probe", "100", "--seeds", "0-1", "--out", tmp_path / "results"]
    text = done(*train)
    assert text.count("test accuracy top") == 2
    assert done(*train).count("done before") == 2
    run = next((tmp_path / "results" / "runs").iterdir())
    done("plot", tmp_path / "results", "--out", tmp_path / "c.svg")
    done("plot", run, "--out", tmp_path / "c.png")
    assert "fits" in done("fit", run / "curves.csv", "--family", "logistic", "--out", tmp_path / "fits.csv")
    with open(tmp_path / "fits.csv", encoding="utf-8") as file:
        assert {row["family"] for row in csv.DictReader(file)} == {"logistic"}
    headlines = done("compare", tmp_path / "results", "--out", tmp_path / "comparison.csv").splitlines()
    assert [line.split()[0] for line in headlines[:6]] == ["learned", "doubles", "conflicts", "competition", "predictor", "verdicts"]
    verdicts = done("compare", tmp_path / "results", "--all", "--out", tmp_path / "comparison.csv").splitlines()
    assert verdicts[:5] == headlines[:5]
    assert {line[:15].strip() for line in verdicts[5:]} <= {"holds", "fails", "cannot tell", "not applicable", "note"}
    with open(tmp_path / "comparison.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == sum(not line.startswith("note") for line in verdicts[5:])
    values = json.loads(done("compare", run / "curves.csv", "--json", "--out", tmp_path / "one.csv"))
    assert any("seed" in note for note in values["notes"])
    assert {row["verdict"] for row in values["verdicts"]} <= {"cannot tell", "not applicable"}


def test_spec_flags_train_without_a_folder(tmp_path: Path) -> None:
    """DATASET may be flags or a YAML file; the run id is the same as from the folder of that spec."""
    flags = ["--n", "200", "--prevalence", ".5", ".5", *EMBEDDED]
    how = ["--epochs", "1", "--measurements", "2", "--probe", "50"]
    (tmp_path / "s.yaml").write_text("n: 200\nprevalence: [.5, .5]\ntop: digits\nbottom: textures\n", encoding="utf-8")
    done("build", *flags, "--out", tmp_path / "set")
    for number, dataset in enumerate((flags, [tmp_path / "s.yaml"], [tmp_path / "set"])):
        done("train", *dataset, *how, "--out", tmp_path / f"r{number}")
    ids = {tuple(folder.name for folder in (tmp_path / f"r{number}" / "runs").iterdir()) for number in range(3)}
    assert len(ids) == 1
    curves = {next((tmp_path / f"r{number}" / "runs").glob("*/curves.csv")).read_bytes() for number in range(3)}
    assert len(curves) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_an_unfinished_folder_that_the_next_call_runs(number: int, tmp_path: Path) -> None:
    """Ctrl-C and what a scheduler sends end a run with 128 and their number and one line; what was finished is kept, the rest is run by the
    same command."""
    command = [sys.executable, str(ROOT / "cli.py"), "train", "--n", "800", "--prevalence", "1", "1", *EMBEDDED, "--epochs", "4"]
    command += ["--measurements", "3", "--probe", "20", "--seeds", "0-1", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not list((tmp_path / "out" / "runs").glob("*/CLAIM*")) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, stderr = process.communicate()
    assert process.returncode == 128 + number
    assert stderr.strip().splitlines()[-1].startswith("Interrupted. What is finished is kept")
    assert not list((tmp_path / "out" / "runs").glob("*/DONE"))
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.count("test accuracy") == 2
    assert again.stderr == ""


@pytest.mark.slow
def test_a_signal_leaves_no_half_written_file(tmp_path: Path) -> None:
    """SIGTERM in the middle of a command that writes a file: the old one stands, and nothing lies beside it."""
    waits = "import time; from dominoes import files; import dominoes.cli.theory as theory\n"
    waits += "def slowly(path, text):\n    with files.replacing(path): print('begun', flush=True); time.sleep(60)\n"
    waits += "files.write = slowly\nfrom dominoes.cli.commands import main\nmain()"
    (tmp_path / "t.csv").write_text("old", encoding="utf-8")
    command = [sys.executable, "-c", waits, "toy", "--out", str(tmp_path / "t.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert len(list(tmp_path.iterdir())) == 2
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "old"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """`| head -1` ends a command without a word, with the code that shells give to a closed pipe."""
    here, there = os.pipe()
    os.close(here)
    command = [sys.executable, str(ROOT / "cli.py"), "list", "instances"]
    done_ = subprocess.run(command, stdout=there, stderr=subprocess.PIPE, text=True, check=False)
    os.close(there)
    assert (done_.returncode, done_.stderr) == (141, "")


def test_toy_reproduces_the_two_shapes(tmp_path: Path) -> None:
    """Double descent peaks near .53, falls to about .351, ends at .48; grokking crosses .5 at t = 200."""
    text = done("toy", "--out", tmp_path / "toy.csv", "--plot", tmp_path / "toy.png")
    assert "highest 0.534 at t = 44, then lowest 0.351" in text
    assert "at the end 0.480" in text
    assert (tmp_path / "toy.png").exists()
    assert "first at .5 by t = 200" in done("toy", "--preset", "grokking", "--out", tmp_path / "toy.csv")
    with open(tmp_path / "toy.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 401
    changed = done("toy", "--set", "ceiling.1=0.5", "--set", "usage=equal", "--out", tmp_path / "toy.csv")
    assert changed != text
    assert "--set speed: expected NAME=VALUE" in refused("toy", "--set", "speed", "--out", tmp_path / "t.csv")
    assert "there is no preset" in refused("toy", "--preset", "x", "--out", tmp_path / "t.csv")
    assert "expected a time above 0" in refused("toy", "--until", "-1", "--out", tmp_path / "t.csv")
    assert "there is no setting" in refused("toy", "--set", "height.1=3", "--out", tmp_path / "t.csv")


def test_dials_go_from_flags_to_the_dataset(tmp_path: Path) -> None:
    """Repeatable flags keep their order, work with a file beside them, and stand in what is printed and written."""
    (tmp_path / "s.yaml").write_text("prevalence: [0.5, 0.5]\nn: 40\ntop: digits\nbottom: textures\nswap: true\n", encoding="utf-8")
    flags = ("--top-transform", "noise=.5", "--top-transform", "gray", "--bottom-transform", "blur=1")
    assert "40 dominoes of 10 classes: textures (blur=1) over digits (noise=0.5 gray=1)" in done("solve", tmp_path / "s.yaml", *flags)
    done("build", tmp_path / "s.yaml", *flags, "--out", tmp_path / "set")
    spec = read_mapping(tmp_path / "set" / "spec.yaml")
    assert (spec["top_transform"], spec["bottom_transform"], spec["swap"]) == (["noise=0.5", "gray=1"], ["blur=1"], True)
    assert "every digest and every count holds" in done("verify", tmp_path / "set")
    done("preview", tmp_path / "set", "--out", tmp_path / "p.png")
    assert json.loads(done("solve", tmp_path / "s.yaml", "--no-swap", "--json"))["requested"].get("swap") is None
    message = refused("solve", "--prevalence", "1", "1", "--top-transform", "downsample=3")
    assert "downsample=3: the pictures of mnist have 28 pixels a side" in message
    assert "prototypes=5422: class 5 of mnist has 5421 training pictures" in refused(
        "solve", "--prevalence", "1", "1", "--top-transform", "prototypes=5422"
    )
    assert "did you mean noise?" in refused("solve", "--prevalence", "1", "1", "--top-transform", "nose=1")


def test_every_stock_of_the_table_can_be_solved_without_data() -> None:
    """Named sources need no pictures to be planned, in either split; each beside one of as many classes."""
    for name in STOCKS:
        pictures = list(STOCKS[name][Split.TEST])
        other = "mnist" if len(pictures) == 10 else name
        share = "1" if other == "mnist" else "0"
        values = json.loads(done("solve", "--prevalence", "1", share, "--top", name, "--bottom", other, "--split", "test", "--json"))
        if name != "mnist":
            assert values["stock"]["top"]["pictures"] == pictures


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "--prevalence", "1.2", ".5"], "prevalence of the top half: expected less than or equal to 1, got '1.2'"),
        (["solve", "--prevalence", "nan", ".5"], "expected a finite number"),
        (
            ["build", "--prevalence", "1", "1", "--reliability", ".5", "--n", "100", "--out", "{tmp}/x"],
            "--reliability: expected values, got '.5 --n'; two are needed, of the top and the bottom",
        ),
        (["solve", "--prevalence", ".5", ".5", "--n", "0"], "n: expected a whole number of at least 1, or max, got '0'"),
        (["solve", "--prevalence", ".5", ".5", "--n", "-3"], "got '-3'"),
        (["solve", "--ratio", "2"], "too few of prevalence"),
        (["solve", "--prevalence", ".5", ".5", "--ratio", "2"], "contradict each other"),
        (
            ["solve", "--n", "60000", "--prevalence", ".95", ".5"],
            "Feasible with n at most 57063, or prevalence of the top half at most 0.9035",
        ),
        (["solve", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["solve", "--prevalence", "1", "1", "--top", "mnits"], "did you mean mnist?"),
        (["build", "--prevalence", ".5", ".5", "--out", "{tmp}/x", "--data", "{tmp}"], "pass --data DIR (or set DOMINOES_DATA)"),
        (["build", "--prevalence", ".5", ".5", *EMBEDDED, "--out", "/proc/x"], "/proc/x cannot be written"),
        (["verify", "{tmp}/nowhere"], "is not a folder; expected a dataset folder made by 'dominoes build'"),
        (["preview", "{tmp}", "--out", "{tmp}/p.png"], "is not a dataset folder, digests.json is missing"),
        (
            ["train", "--prevalence", ".5", ".5", *EMBEDDED, "--probe", "50", "--device", "cuda", "--out", "{tmp}/x"],
            "device cuda is not available here",
        ),
        (["train", "--prevalence", ".5", ".5", *EMBEDDED, "--seeds", "a", "--out", "{tmp}/x"], "--seeds: expected"),
        (
            ["train", "--prevalence", ".5", ".5", *EMBEDDED, "--seeds", "1,1", "--out", "{tmp}/x"],
            "--seeds: expected ",
        ),
        (
            ["train", "--prevalence", ".5", ".5", *EMBEDDED, "--seeds", "3-1", "--out", "{tmp}/x"],
            "--seeds: expected ",
        ),
        (
            ["train", "--prevalence", ".5", ".5", *EMBEDDED, "--model", "resnet9", "--out", "{tmp}/x"],
            "model: there is no model 'resnet9'; did you mean resnet8",
        ),
        (["train", "--prevalence", ".5", ".5", *EMBEDDED, "--lr", "0", "--out", "{tmp}/x"], "lr: expected greater than 0, got '0'"),
        (["train", "--prevalence", ".5", ".5", *EMBEDDED, "--probe", "1000", "--out", "{tmp}/x"], "use --probe 340 at most"),
        (["train", "--prevalence", ".5", ".5", *EMBEDDED, "--seeds", "0-9999999999", "--out", "{tmp}/x"], "at most 10,000 in a range"),
        (
            ["train", "--prevalence", ".5", ".5", *EMBEDDED, "--split", "test", "--out", "{tmp}/x"],
            "split test: the probes are test pictures",
        ),
        (["solve", "--prevalence", "0", "0", "--n", "99999999999999999999"], "expected at most 100,000,000 dominoes"),
        (["build", "--prevalence", ".5", ".5", *EMBEDDED, "--out", "{tmp}/" + "x" * 300], "File name too long"),
        (["plot", "{tmp}", "--out", "{tmp}/c.png"], "holds no results; expected runs/ in it"),
        (["plot", "{tmp}", "--out", "{tmp}/c.jpg"], "a figure is written as .png, .svg, .pdf, got '.jpg'"),
        (["plot", "{tmp}", "--figure", "doubles", "--out", "{tmp}/c.png"], "holds no results; expected runs/ in it"),
        (["plot", "{tmp}/x", "--out", "{tmp}/c.png"], "x is not there; expected a folder of results"),
        (["report", "{tmp}"], "there is nothing to write; pass --out PAGE.html, or --figures DIR, or both"),
        (["report", "{tmp}", "--out", "{tmp}/r.pdf"], "the report is written as .html, got '.pdf'"),
        (["report", "{tmp}/x", "--out", "{tmp}/r.html"], "x is not there; expected a folder of results"),
        (["solve", "--prevalence", "1", "1", "--sankey", "{tmp}/s.jpg"], "a diagram is written as .html, .png, .svg, .pdf, got '.jpg'"),
        (["compare", "{tmp}/c.csv", "--out", "{tmp}/o.csv"], "c.csv is not there"),
        (["fit", "{tmp}", "--out", "{tmp}/o.csv"], "holds no finished run"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    """What, expected, got, what to do; exit code 2; no file is left behind."""
    if "cuda" in arguments and __import__("torch").cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert message in refused(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert list(tmp_path.iterdir()) == []


def test_classes_that_differ_between_the_halves_are_refused(tmp_path: Path) -> None:
    """A source of two classes does not go with one of ten."""
    x = np.zeros((4, 32, 32), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.array([0, 1, 0, 1]))
    line = refused("build", "--prevalence", "1", "1", "--top", tmp_path / "a.npz", "--bottom", "digits", "--out", tmp_path / "o")
    assert "the top source has 2 classes and the bottom source 10" in line


def test_spec_flags_beside_a_folder_are_refused(tmp_path: Path) -> None:
    """A folder has its spec; flags that would be ignored are an error."""
    done("build", "--n", "100", "--prevalence", ".5", ".5", *EMBEDDED, "--out", tmp_path / "set")
    line = refused("train", tmp_path / "set", "--n", "50", "--out", tmp_path / "r")
    assert "is a dataset folder and has its spec; got --n too" in line


def test_verify_exits_with_one_when_something_differs(tmp_path: Path) -> None:
    """Differences are results: they are printed, and the exit code is 1."""
    done("build", "--n", "100", "--prevalence", ".5", ".5", *EMBEDDED, "--out", tmp_path / "set")
    with open(tmp_path / "set" / "metadata.csv", "a", encoding="utf-8") as file:
        file.write("100,1,empty,-1,-1,,\n")
    result = call("verify", tmp_path / "set")
    assert result.exit_code == 1
    assert "SHA-256" in result.stdout
    assert "differences" in result.stdout


@pytest.mark.slow
def test_results_become_a_page_and_figures(swept: Path, tmp_path: Path) -> None:
    """report writes the page, the stills, or both; plot draws one figure of it; solve a diagram."""
    run = min((swept / "runs").iterdir())
    text = done("report", run, "--out", tmp_path / "r.html", "--figures", tmp_path / "stills", "--format", "pdf")
    assert "r.html: " in text
    assert "figures of 1 run (" in text
    stills = {path.name for path in (tmp_path / "stills").iterdir()}
    assert {"curves.pdf", "sankey.pdf", "doubles.pdf", "confusion.pdf", "preview.png"} <= stills
    done("plot", run, "--figure", "doubles", "--out", tmp_path / "c.svg")
    assert "they have curves, conflicts, sankey" in refused("plot", run, "--figure", "laws", "--out", tmp_path / "d.svg")
    done("solve", "--prevalence", "1", "1", "--sankey", tmp_path / "s.svg")
    assert {path.name for path in tmp_path.iterdir()} == {"r.html", "stills", "c.svg", "s.svg"}


def test_diverged_runs_say_so(tmp_path: Path) -> None:
    """A run whose loss is no number any more is marked in its summary and its environment; the exit code is 3, unless that is accepted."""
    arguments = ["train", "--n", "200", "--prevalence", ".5", ".5", *EMBEDDED, "--lr", "1e20", "--epochs", "2", "--probe", "50"]
    result = call(*arguments, "--seeds", "0-1", "--out", tmp_path)
    assert result.exit_code == 3
    assert result.stdout.count("DIVERGED at step") == 2
    assert "2 of 2 runs diverged: a loss was not finite" in result.stderr
    assert "DIVERGED at step" in done(*arguments, "--seeds", "0-1", "--out", tmp_path, "--partial")


@pytest.mark.slow
def test_the_demo_prints_where_and_what(demo: tuple[Path, str]) -> None:
    """Lines with existing files and what they show, then the comparator's verdicts, last the report."""
    out, text = demo
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["dataset", "curves", "figure", "accuracy", "conflicts", "report"]
    assert [line.split()[0] for line in lines[6:]] == ["theory", "learned", "doubles", "conflicts", "competition", "predictor"]
    for name in ("dataset", "curves.csv", "curves.png", "comparison.csv", "report.html"):
        assert (out / name).exists()
        assert str(out / name) in text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory", "a.csv"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
        pa.ArrowMemoryError("malloc of size 64 failed"),
    ],
)
def test_where_memory_ends_a_sentence_says_so(error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever finds it out, and in whatever words: exit code 2, and nothing is written."""

    def fails(_: str) -> None:
        raise error

    monkeypatch.setattr("dominoes.theory.pattern_model.preset", fails)
    done = CliRunner().invoke(main, ["toy", "--out", str(tmp_path / "a.csv")])
    assert done.exit_code == 2
    assert done.stderr == "Error: this needs more memory than there is; ask for fewer dominoes or fewer runs, or free memory\n"
    assert list(tmp_path.iterdir()) == []


def test_other_mishaps_are_not_taken_for_want_of_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fault of the package itself shows as one; one of code from outside is a sentence that names its place."""
    monkeypatch.setattr("dominoes.theory.pattern_model.preset", partial(divmod, 1))
    assert isinstance(CliRunner().invoke(main, ["toy", "--out", str(tmp_path / "a.csv")]).exception, TypeError)
