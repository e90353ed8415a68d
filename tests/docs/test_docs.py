"""What the documents say is what the commands do."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from documents import PAGES, ROOT, Call, agrees, blocks, commands

from dominoes.cli import main

# These train on real pictures; cut down by flags that come later in the line, so what they print is not compared.
REAL = ("README.md",)
SHORTER = {"build": " --n 4000", "train": " --epochs 2 --measurements 12 --probe 200 --seeds 0-1"}
# These take more than about ten seconds.
LONG = ("docs/tutorial/first-verdict.md", "docs/howto/sweeps.md", "docs/howto/report.md")
EXACT = ("solve", "build", "verify", "preview", "plot", "export")


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_has_help(name: str) -> None:
    """Help is what the reference page is made of."""
    command = commands()[name]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_every_command_stands_on_a_page_that_someone_wrote() -> None:
    """Beside the generated reference, each command is used or named in README or docs/."""
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    for name in commands():
        assert re.search(rf"(dominoes |`){name}\b", text), name


def test_readme_is_short() -> None:
    """A stranger reads it in one sitting; everything else is in docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_contributing_names_every_room() -> None:
    """Each module on the ground and each room stands in the table of the house."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "dominoes").iterdir()):
        if path.name.startswith("_") or path.suffix not in ("", ".py"):
            continue
        assert f"`{path.stem}{'' if path.suffix else '/'}`" in text, path.name


def _pages() -> list[object]:
    pages = [page for page in PAGES if page not in REAL and any(blocks(page))]
    return [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in pages]


@pytest.mark.parametrize("page", _pages())
def test_a_page_can_be_followed(page: str, tmp_path: Path) -> None:
    """Its commands and Python, in its order and in an empty folder, go well, print what is shown and make the files they name."""
    _walk(page, tmp_path, {})


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("page", REAL)
def test_a_page_can_be_followed_with_real_pictures(page: str, data: Path, tmp_path: Path) -> None:
    """The same, but building and training are cut down by flags that come later in the line; nothing else is changed."""
    _walk(page, tmp_path, {"DOMINOES_DATA": str(data.resolve())})


def _walk(page: str, folder: Path, environment: dict[str, str]) -> None:
    for part in ("sweeps", "results/prevalence-small", "results/mnist-over-cifar"):
        shutil.copytree(ROOT / part, folder / part)
    names: dict[str, object] = {}
    with contextlib.chdir(folder), _own_modules(folder):
        for block in blocks(page):
            if not isinstance(block, Call):
                if file := re.match(r"# (\w+\.py)\n", block.text):
                    # A block that begins with the name of a file is that file.
                    Path(file[1]).write_text(block.text, encoding="utf-8")
                    continue
                exec(compile(block.text, f"<{page}>", "exec"), names)
                continue
            parts = shlex.split(block.command)
            if parts[0] == "cat":
                # What a page shows of a file is what the file is.
                Path(parts[1]).write_text(block.output + "\n", encoding="utf-8")
            elif parts[0] == "dominoes":
                _follow(page, block, parts[1:], environment)


@contextlib.contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Modules that a page writes are its own: another page may use their names again."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def _follow(page: str, call: Call, parts: list[str], environment: dict[str, str]) -> None:
    cut = shlex.split(SHORTER.get(parts[0], "")) if page in REAL else []
    done = CliRunner().invoke(main, [*parts, *cut], prog_name="dominoes", env=environment)
    if call.output.startswith("Error"):
        assert done.exit_code == 2, call.command
        assert done.stderr.strip() == call.output
        return
    assert done.exit_code == 0, (call.command, done.output)
    for flag in ("--out", "--plot", "--figures"):
        if flag in parts:
            assert Path(parts[parts.index(flag) + 1]).exists(), call.command
    # Behind a shortened training all numbers are others; a study that is kept is judged as it is shown.
    kept = parts[0] == "compare" and parts[1].startswith("results/mnist")
    if call.output and (kept or page not in REAL):
        assert agrees(call.output, done.stdout, exactly=kept or parts[0] in EXACT), (call.command, done.stdout)


def test_what_agrees() -> None:
    """Elisions stand for any lines; numbers of a machine may differ where a page says no more than how they look."""
    assert agrees("a\n...\nd", "a\nb\nc\nd\n", exactly=True)
    assert agrees("run ...\nd", "run 7 in 3 s\nd\n", exactly=True)
    assert not agrees("a\n...\nd", "a\nb\nc\n", exactly=True)
    assert agrees("holds       x is 1.12 [3 s]", "cannot tell x is 0.97 [12 s]", exactly=False)
    assert not agrees("holds       x is 1.12", "holds       y is 1.12", exactly=False)
    assert not agrees("x 1.12", "x 1.13", exactly=True)


def test_links_lead_somewhere() -> None:
    """Files that the documents link to are there."""
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "results").rglob("README.md")):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            if not target.startswith(("http", "mailto:")):
                assert (document.parent / target).exists(), (document.relative_to(ROOT).as_posix(), target)


def test_no_document_or_module_names_a_machine() -> None:
    """No absolute path of a machine and no address of a package registry stands in any tracked text."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("this is no git checkout, so what is tracked is not known")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".png", ".csv", ".parquet", ".safetensors") and path.is_file() and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            for sign in ("/home/", "/root/", "/work/", "pypi.org", "files.pythonhosted"):
                assert sign not in text, (name, sign)
