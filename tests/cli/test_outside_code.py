"""Faults of code that users bring are one sentence that says where they are, with exit code 2."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import synthetic_runs
from click.testing import CliRunner, Result

from dominoes.cli.commands import main

ROOT = Path(__file__).parents[2]
CURVES = ROOT / "results" / "mnist-over-cifar" / "curves.csv"


def compared(tmp_path: Path, *options: str, curves: Path = CURVES) -> Result:
    """`dominoes compare` of the kept curves, or of others."""
    return CliRunner().invoke(main, ["compare", str(curves), *options, "--out", str(tmp_path / "c.csv")])


def refused(name: str, said: str, tmp_path: Path) -> None:
    """Asserts that a rule ends the command in a sentence of its own, and nothing is written."""
    done = compared(tmp_path, "--rule", f"brought_rules:{name}")
    assert done.exit_code == 2
    assert f"Error: rule brought_rules:{name}{said}" in done.stderr
    assert not (tmp_path / "c.csv").exists()


def learned(tmp_path: Path) -> Path:
    """Runs of one spec with tables by class, five seeds."""
    place = tmp_path / "learned"
    synthetic_runs.write(synthetic_runs.sweep([0.6], 5, measurements=20), place)
    return place


def test_a_rule_is_named_in_the_headlines(tmp_path: Path) -> None:
    """Beside the built-in ones, by its name."""
    done = compared(tmp_path, "--rule", "brought_rules:good")
    assert done.exit_code == 0, done.output
    doubles, predictor = (next(line for line in done.stdout.splitlines() if line.startswith(name)) for name in ("doubles", "predictor"))
    assert "mine" in doubles
    assert "mine" in predictor


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("few", "doubles gives (3,) of errors of shape (5, 6); expected an array of shares from 0 to 1, of the errors' shape"),
        ("raises", "doubles fails with 2 classes (ZeroDivisionError: division by zero)"),
        ("ends", "doubles fails with 2 classes (SystemExit: SystemExit)"),
        ("nothing", "doubles gives nan at errors 0 (top) and 0 (bottom) among 2 classes"),
        ("over", "doubles gives 5 at errors 0 (top) and 0 (bottom) among 2 classes"),
        ("two", "conflicts gives (5, 6), (5, 6) of errors of shape (5, 6); expected 3 such arrays of shares that add up to 1"),
        ("more", "conflicts add up to 2.7 at errors 0 (top) and 0 (bottom) among 2 classes"),
    ],
)
def test_a_rule_that_predicts_no_shares_is_refused(name: str, said: str, tmp_path: Path) -> None:
    """Before anything is judged; nothing is written."""
    refused(name, f": {said}", tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "lost",
            r"doubles gives nan at errors 0\.5\d+ \(top\) and 0\.\d+ \(bottom\) among 10 classes; expected an array of shares from 0 to 1",
        ),
        ("endless", "doubles gives inf at errors"),
        ("below", "doubles gives -0.2 at errors"),
        ("above", "doubles gives 1.5 at errors"),
        ("by_class", "doubles gives 2 at errors"),
        ("unequal", "conflicts add up to 1.9 at errors"),
    ],
)
def test_a_rule_that_is_no_share_at_measured_errors_is_refused(name: str, said: str, tmp_path: Path) -> None:
    """Also where those on which it is tried show nothing of it: what is compared is checked, per class too, and not clipped in silence."""
    done = compared(tmp_path, "--rule", f"brought_rules:{name}", curves=learned(tmp_path))
    assert done.exit_code == 2
    assert re.search(f"Error: rule brought_rules:{name}: {said}", done.stderr), done.stderr
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "called_per_class",
            " calls itself mine per class, and 'per class' is said of rules formed class by class; expected another name",
        ),
        ("nameless", " has the name ''; expected one line of text without blanks around it"),
        ("unlabelled", " has the label ' '; expected one line of text"),
        ("two_lines", r" has the name 'mine\nand yours'; expected one line of text"),
        ("numbered", " has the name 5; expected one line of text"),
        ("taken", " calls itself equal, as a built-in one does; expected another name"),
        ("drawn", ": doubles gives other shares when asked the same again with 2 classes; expected a rule that draws nothing at random"),
        ("counts", ": conflicts gives other shares when asked the same again with 2 classes"),
    ],
)
def test_a_rule_that_cannot_be_named_or_repeated_is_refused(name: str, said: str, tmp_path: Path) -> None:
    """A name and a label stand in tables and sentences, and two runs of one comparison give one table."""
    refused(name, said, tmp_path)


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    """One would take the other's place; the same one twice is one."""
    done = compared(tmp_path, "--rule", "brought_rules:good", "--rule", "brought_rules:also_mine")
    assert done.exit_code == 2
    assert "Error: rules brought_rules:good and brought_rules:also_mine both call themselves mine; expected a name for each" in done.stderr
    assert compared(tmp_path, "--rule", "brought_rules:good", "--rule", "brought_rules:good").exit_code == 0


def test_a_fault_of_a_rule_in_a_sweep_takes_no_group_from_the_others(tmp_path: Path, swept: Path) -> None:
    """It is refused as in a comparison of one group: a group left out with a note would lack the verdicts on the built-in rules."""
    done = compared(tmp_path, "--by", "prevalence_top", "--rule", "brought_rules:above", curves=swept)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("Error: rule brought_rules:above: doubles gives 1.5 at errors 0.5")


def test_a_rule_that_works_in_place_changes_no_other(tmp_path: Path) -> None:
    """It is handed copies: every row on the built-in rules is the one without it."""
    curves = learned(tmp_path)
    plain = compared(tmp_path, curves=curves)
    assert plain.exit_code == 0, plain.output
    without = pd.read_csv(tmp_path / "c.csv")
    done = compared(tmp_path, "--rule", "brought_rules:in_place", curves=curves)
    assert done.exit_code == 0, done.output
    found = pd.read_csv(tmp_path / "c.csv")
    own = found["model"].str.startswith("in place") | found["rival"].str.startswith("in place", na=False)
    assert {"in place", "in place per class"} <= set(found.loc[own, "model"]) | set(found.loc[own, "rival"])
    pd.testing.assert_frame_equal(found[~own].reset_index(drop=True), without)


@pytest.mark.parametrize(
    ("name", "said"),
    [("asks_wrongly", "fails (KeyError: 'zap')"), ("answers_wrongly", "gives str; expected a dominoes.theory.verdicts.Answer")],
)
def test_a_question_with_a_fault_is_refused(name: str, said: str, tmp_path: Path) -> None:
    """By its name, with what went wrong."""
    done = compared(tmp_path, "--question", f"brought_rules:{name}")
    assert done.exit_code == 2
    assert f"brought_rules:{name} {said}" in done.stderr


@pytest.mark.parametrize(
    ("fault", "said"),
    [(lambda _: 1 / 0, "fails (ZeroDivisionError: division by zero)"), (lambda _: sys.exit(), "ends the program (SystemExit)")],
)
def test_any_other_fault_names_its_place(fault: Callable[[str], None], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """File and line, and exit code 2, also where it would have ended the program with 0."""
    monkeypatch.setattr("dominoes.theory.pattern_model.preset", fault)
    done = CliRunner().invoke(main, ["toy", "--out", str(tmp_path / "a.csv")])
    assert done.exit_code == 2
    assert f"Error: code from outside this package {said}: {__file__}, line" in done.stderr
