"""Faults of code that users bring are one sentence that says where they are, with exit code 2."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dominoes.cli.commands import main

ROOT = Path(__file__).parents[2]
CURVES = ROOT / "results" / "mnist-over-cifar" / "curves.csv"


def compared(tmp_path: Path, *options: str) -> Result:
    """`dominoes compare` of the kept curves."""
    return CliRunner().invoke(main, ["compare", str(CURVES), *options, "--out", str(tmp_path / "c.csv")])


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
    done = compared(tmp_path, "--rule", f"brought_rules:{name}")
    assert done.exit_code == 2
    assert f"Error: rule brought_rules:{name}: {said}" in done.stderr
    assert not (tmp_path / "c.csv").exists()


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
