"""Chosen and merged classes: pictures, counts, names and refusals, on either side and in everything that follows from a source."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from dominoes.cli.commands import main
from dominoes.data import classes, dealing, folder, sources, transforms
from dominoes.data.catalogue import AREAS, CLASS_NAMES, STOCKS
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.errors import SourceError, SpecError
from dominoes.reporting.results import gather
from dominoes.runs import parameters, plan, sweep_file
from dominoes.solver.solution import solve
from dominoes.spec import DominoSpec, RunSpec, Split, TrainSpec, parse, stream
from dominoes.training.loop import train
from dominoes.yardstick import one_side

CARS = {"top": "digits[0,1]", "bottom": "textures[texture 1,9]"}


@pytest.mark.parametrize("split", list(Split))
def test_pictures_keep_their_numbers_and_labels_follow(split: Split) -> None:
    """`digits[7,1+2]` has the pictures of `digits`; those of 7 are class 0, of 1 and 2 class 1, all others none."""
    whole, chosen = sources.load_source("digits", split), sources.load_source("digits[7,1+2]", split)
    assert np.array_equal(whole.pictures, chosen.pictures)
    wanted = [{7: 0, 1: 1, 2: 1}.get(label, -1) for label in whole.labels.tolist()]
    assert chosen.labels.tolist() == wanted
    assert chosen.classes == ("7", "1+2")
    assert chosen.stock == (wanted.count(0), wanted.count(1)) == classes.stock("digits[7,1+2]", split)
    assert chosen.digest != whole.digest
    assert chosen.digest == sources.pictures_digest(chosen.pictures, chosen.labels)
    assert chosen.name == "digits[7,1+2]"


@pytest.mark.parametrize("name", list(STOCKS))
def test_stocks_without_pictures_are_sums_of_the_table(name: str) -> None:
    """Every named source has class names, and merged classes have the sums of their counts, and the area of all its pictures."""
    assert len(CLASS_NAMES[name]) == len(STOCKS[name][Split.TRAIN])
    chosen = f"{name}[{CLASS_NAMES[name][3]}+0,2]"
    counts = STOCKS[name][Split.TRAIN]
    assert classes.stock(chosen, Split.TRAIN) == (counts[3] + counts[0], counts[2])
    assert classes.area(chosen) == AREAS[name]
    assert classes.stock("elsewhere/x.npz[0,1]", Split.TRAIN) is None


def test_names_come_before_numbers(tmp_path: Path) -> None:
    """A class is called by its name first: of folders named 1 and 0-9, `1` is the folder of that name; other numbers count from 0."""
    assert classes.groups("x[1,0]", ("0-9", "1", "2")) == ((1,), (0,))
    assert classes.groups("x[ 2 , 0-9 + 1 ]", ("0-9", "1", "2")) == ((2,), (0, 1))
    assert classes.groups("x", ("a", "b")) == ((0,), (1,))
    named = tmp_path / "a[0,1]"
    named.mkdir()
    assert classes.parted(str(named)) == (str(named), None)
    assert classes.parted(f"{tmp_path}/b[0,1]") == (f"{tmp_path}/b", "0,1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10[car,truck]", r"cifar10 has no class 'car'; did you mean cat\?"),
        ("cifar10[lorry,99]", "cifar10 has no class 'lorry'; its classes are airplane, .*, or the numbers 0 to 9"),
        ("cifar10[1,automobile]", "class automobile is chosen twice; expected each class at most once"),
        ("cifar10[0+1+0,2]", "class airplane is chosen twice"),
        ("cifar10[3]", r"one class is chosen; expected at least two, joined by commas, such as cifar10\[0,1\]"),
        ("cifar10[0+1]", "one class is chosen"),
        ("cifar10[]", "cifar10 has no class ''"),
        ("cifar10[0,]", "cifar10 has no class ''"),
        ("mnits[0,1]", r"there is no source mnits.*did you mean mnist\?"),
    ],
)
def test_classes_that_cannot_be_chosen_are_refused(name: str, message: str) -> None:
    """No such class, a class twice, fewer than two: one sentence, exit 2, without pictures."""
    with pytest.raises(SourceError, match=message):
        sources.stock(DominoSpec(prevalence=(1, 1), top=name, bottom="mnist[0,1]"))
    done = CliRunner().invoke(main, ["solve", "--prevalence", "1", "1", "--top", name, "--bottom", "mnist[0,1]"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_sides_must_have_as_many_classes() -> None:
    """K is what remains on both sides; two against ten, or three, is one sentence."""
    assert sources.stock(DominoSpec(prevalence=(1, 1), top="mnist[0+1,2,3]", bottom="cifar10[cat,dog,frog]")).classes == 3
    with pytest.raises(SpecError, match=r"the top source has 2 classes and the bottom source 10; .* or as many of their classes"):
        sources.stock(DominoSpec(prevalence=(1, 1), top="mnist[0,1]"))


def test_no_picture_is_used_on_both_sides_in_two_ways() -> None:
    """Two choices of one source share no class, or are the same; then a picture is used once in all."""
    with pytest.raises(SourceError, match=r"both show pictures of class 1, chosen in two ways; write the same classes in the same way"):
        sources.stock(DominoSpec(prevalence=(1, 1), top="digits[0,1]", bottom="digits[1,2]"))
    with pytest.raises(SourceError, match="both show pictures of class 0"):
        dealing.deal_spec(DominoSpec(n=10, prevalence=(1, 1), top="digits[0+1,2]", bottom="digits[0,3]"))
    apart = dealing.deal_spec(DominoSpec(n=80, prevalence=(1, 1), top="digits[0,1]", bottom="digits[2,3]"))
    assert set(apart.deal.index["top"]).isdisjoint(apart.deal.index["bottom"])
    same = dealing.deal_spec(DominoSpec(n=80, prevalence=(1, 1), top="digits[0,1]", bottom="digits[0,1]"))
    assert set(same.deal.index["top"]).isdisjoint(same.deal.index["bottom"])


@pytest.mark.parametrize("reliability", [(1, 1), (0.8, 0.6)])
def test_what_is_dealt_shows_the_chosen_classes(reliability: tuple[float, float], tmp_path: Path) -> None:
    """Solver, deal, folder, card and verification of dominoes of two chosen classes, checked against the whole sources' labels."""
    dealt = dealing.deal_spec(DominoSpec(n=150, prevalence=(0.7, 0.6), reliability=reliability, **CARS))
    whole = {"top": sources.load_source("digits", Split.TRAIN), "bottom": sources.load_source("textures", Split.TRAIN)}
    called = {"top": (0, 1), "bottom": (1, 9)}
    for side in ("top", "bottom"):
        index, shown = dealt.deal.index[side], dealt.deal.shown[side]
        assert [whole[side].labels[row] for row in index[index >= 0]] == [called[side][new] for new in shown[index >= 0]]
    assert dealt.composition.stock.classes == 2
    assert Dominoes.of(dealt).classes == ["0/texture 1", "1/texture 9"]
    folder.save_dataset(dealt, tmp_path / "d")
    assert folder.verify_dataset(tmp_path / "d") == []
    assert folder.read_dataset(tmp_path / "d").spec == dealt.spec
    about = json.loads((tmp_path / "d" / "digests.json").read_text())["sources"]["bottom"]
    assert (about["pictures"], about["chosen"], about["classes"]) == (2000, 400, ["texture 1", "texture 9"])
    card = (tmp_path / "d" / "README.md").read_text()
    assert "| 1       | 1           | texture 9      |" in card
    assert "UCI; CC BY 4.0" in card
    assert json.loads((tmp_path / "d" / "croissant.json").read_text())["name"] == "dominoes-digits-0-1--textures-texture 1-9-"


def test_probes_and_runs_follow(tmp_path: Path) -> None:
    """Probes show the chosen classes, the network has K answers, `auc` is measured, and conflicts are answered by one of the two."""
    spec = DominoSpec(n=150, prevalence=(0.7, 0.6), **CARS)
    tests = probes(spec, 40, 0)
    assert {label for probe in tests.values() for label in probe.targets.tolist()} == {0, 1}
    conflict = tests["conflict"].deal
    assert (conflict.shown["top"] + conflict.shown["bottom"] == 1).all()
    run = train(RunSpec(dataset=spec, train=TrainSpec(epochs=1, measurements=2, probe=40)), Dominoes.of(dealing.deal_spec(spec)), tests)
    assert run.confusion.shape == (3, 3, 2)
    assert set(run.measures.query("measure == 'auc'")["kind"]) == {"top", "bottom", "both", "conflict", "empty"}
    assert set(run.joint.query("probe == 'conflict'")["answer"]) <= {"top", "bottom"}


def test_transforms_see_the_chosen_classes() -> None:
    """Prototypes are chosen of each merged class; the area, and so the blank, is that of the whole source."""
    source = sources.load_source("digits[0+1,2+3]", Split.TRAIN, ("prototypes=3",))
    for label in (0, 1):
        shown = source.pictures[source.labels == label]
        assert len({picture.tobytes() for picture in shown}) == 3
    assert source.stock == classes.stock("digits[0+1,2+3]", Split.TRAIN)
    assert transforms.area(sources.load_source("digits[0+1,2+3]", Split.TRAIN).pictures) == AREAS["digits"]
    fewest = min(STOCKS["digits"][Split.TRAIN][number] for number in (0, 1))
    with pytest.raises(SpecError, match=f"has {fewest} training pictures"):
        sources.stock(DominoSpec(prevalence=(1, 1), top_transform=("prototypes=999",), **CARS))


def test_the_yardstick_sends_the_chosen_pictures() -> None:
    """The pictures whose labels are sent are those of the chosen classes, in an order that is as ever where all are chosen."""
    source = sources.load_source("digits[0,1]", Split.TRAIN)
    assert sorted(one_side.sending_order(source, 10**6, 3)) == np.flatnonzero(source.labels >= 0).tolist()
    whole = sources.load_source("digits", Split.TRAIN)
    rng = np.random.Generator(np.random.PCG64(stream(3, "blocks")))
    assert one_side.sending_order(whole, 100, 3).tolist() == rng.permutation(len(whole.labels))[:100].tolist()


def test_sweeps_comparisons_and_reports_follow(tmp_path: Path) -> None:
    """A sweep file over two choices, trained, gathered and compared: K is 2 throughout, and both choices are columns."""
    entries: dict[str, Any] = {
        "dataset.top": {"values": ["digits[0,1]", "digits[3+4,8]"]},
        "dataset.bottom": {"value": "textures[0,9]"},
        "dataset.n": {"value": 60},
        "dataset.prevalence": {"value": [0.6, 0.5]},
        "train.epochs": {"value": 1},
        "train.measurements": {"value": 2},
        "train.probe": {"value": 10},
    }
    (tmp_path / "s.yaml").write_text(json.dumps({"name": "two", "method": "grid", "parameters": entries}))
    planned = plan.make_plan(sweep_file.read_sweep_file(tmp_path / "s.yaml"))
    assert [run.spec.dataset.top for run in planned.runs] == ["digits[0,1]", "digits[3+4,8]"]
    dataset = ["--top", "digits[0,1]", "--bottom", "textures[0,9]", "--n", "60", "--prevalence", "0.6", "0.5"]
    flags = ["train", *dataset, "--epochs", "1", "--measurements", "6", "--probe", "10"]
    done = CliRunner().invoke(main, [*flags, "--out", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert sorted(parameters.read_runs(tmp_path / "r", form="classes")["label"].unique()) == [0, 1]
    assert gather([tmp_path / "r"]).classes_count == 2
    assert solve(parse(DominoSpec, {"n": 10, "prevalence": [1, 1], **CARS}), sources.stock(DominoSpec(prevalence=(1, 1), **CARS))).n == 10
    fits = []
    for classes_count in ([], ["--classes", "2"]):
        CliRunner().invoke(main, ["fit", str(tmp_path / "r"), "--family", "logistic", *classes_count, "--out", str(tmp_path / "fits.csv")])
        fits.append((tmp_path / "fits.csv").read_text())
    assert fits[0] == fits[1]


@pytest.mark.data
def test_the_published_pair_of_classes(data: Path) -> None:
    """MNIST 0 and 1 over CIFAR-10's automobiles and trucks: 10,000 fully correlated dominoes at most, the stock of the real pictures."""
    spec = DominoSpec(prevalence=(1, 1), top="mnist[0,1]", bottom="cifar10[automobile,truck]")
    dealt = dealing.deal_spec(spec, data=data)
    assert (dealt.composition.n, dealt.top.stock, dealt.bottom.stock) == (10000, (5923, 6742), (5000, 5000))
    assert dealt.composition.dumps() == solve(spec, sources.stock(spec)).dumps()
    assert dealt.bottom.classes == ("automobile", "truck")
