"""What the documents say is what the commands do."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dominoes.cli.commands import main
from dominoes.spec import DominoSpec, TrainSpec
from dominoes.tables import CURVES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group = main, head: str = "") -> dict[str, click.Command]:
    """Every command by its full name."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{head}{name} ") if isinstance(command, click.Group) else {f"{head}{name}": command}
    return found


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def calls() -> list[tuple[str, str]]:
    """Commands of the README's console blocks, each with the output shown."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_has_help_and_stands_in_the_readme(name: str) -> None:
    """Each command has a row of its own or its options a row; each option has help and is named."""
    command = commands()[name]
    assert command.help
    assert f"`{name}" in README
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert any(re.search(rf"`{re.escape(flag)}\b", README) for flag in option.opts), f"{name} {option.opts}"


def test_every_field_and_column_stands_in_the_readme() -> None:
    """Fields of the dataset's spec, options of training, columns of the curves."""
    for field in DominoSpec.model_fields:
        assert f"`{field}`" in README
    for field in TrainSpec.model_fields:
        assert f"`--{field.replace('_', '-')}" in README
    for column in CURVES:
        assert re.search(rf"[`,]{column}[`,]", README)


def test_outputs_of_solve_are_those_shown() -> None:
    """The README's solve commands print, to the letter, what it shows."""
    shown = [(command, output) for command, output in calls() if command.startswith("dominoes solve")]
    assert len(shown) == 2
    for command, output in shown:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.output.rstrip() == output.rstrip()


@pytest.mark.slow
@pytest.mark.data
def test_the_readmes_road_can_be_walked(data: Path, tmp_path: Path) -> None:
    """Every dominoes command of the README, in its order and in an empty folder, goes well and makes the files it names.

    Building and training are cut down by flags that come later in the line; nothing else is changed.
    """
    shorter = {"build": " --n 4000", "train": " --epochs 2 --measurements 12 --probe 200 --seeds 0-1"}
    for command, output in calls():
        parts = shlex.split(command)
        if parts[0] != "dominoes" or output.startswith("Error"):
            continue
        parts += shlex.split(shorter.get(parts[1], ""))
        environment = {"DOMINOES_DATA": str(data.resolve()), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *parts[1:]], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, (command, done.stderr)
        for flag in ("--out", "--plot"):
            if flag in parts:
                assert (tmp_path / parts[parts.index(flag) + 1]).exists()


def test_the_readmes_python_runs() -> None:
    """The Python example does what its comments say."""
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    assert tuple(names["batch"].shape) == (64, 3, 64, 32)  # type: ignore[attr-defined]
    assert names["picture"].size == (32, 64)  # type: ignore[attr-defined]


def test_links_lead_somewhere() -> None:
    """Files that the documents link to are there."""
    for document in (*ROOT.glob("*.md"), *(ROOT / "results").rglob("README.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), (document.name, target)


def test_no_document_or_module_names_a_machine() -> None:
    """No absolute path of a machine and no address of a package registry stands in any tracked text."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("this is no git checkout, so what is tracked is not known")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".png", ".csv") and path.is_file() and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            for sign in ("/home/", "/root/", "/work/", "pypi.org", "files.pythonhosted"):
                assert sign not in text, (name, sign)
