"""The house: imports point one way, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dominoes"
# Each module may import only from those before it.
ORDER = [
    "errors",
    "files",
    "dials",
    "spec",
    "shares",
    "stock",
    "conflict",
    "targets",
    "composition",
    "decoding",
    "transforms",
    "sources",
    "deal",
    "card",
    "folder",
    "dataset",
    "gallery",
    "layers",
    "models",
    "curves",
    "measuring",
    "lane",
    "descent",
    "training",
    "packing",
    "patterns",
    "leastsquares",
    "families",
    "patternfit",
    "curvefit",
    "fitting",
    "verdicts",
    "codelength",
    "panel",
    "predictions",
    "onesided",
    "comparison",
    "points",
    "explanation",
    "laws",
    "chart",
    "flows",
    "export",
    "state",
    "run",
    "jobs",
    "worker",
    "engines",
    "cluster",
    "simplicity",
    "sweep",
    "plan",
    "cost",
    "ledger",
    "harvest",
    "loggers",
    "results",
    "learning",
    "evidence",
    "across",
    "figures",
    "report",
    "options",
    "report_commands",
    "sweep_commands",
    "theory_commands",
    "commands",
]
COMMANDS = ("options", "report_commands", "sweep_commands", "theory_commands", "commands")
LIGHT = (*ORDER[: ORDER.index("dataset")], "curves")
LIGHT += ("flows", "state", "jobs", "engines", "cluster", "sweep", "plan", "ledger", "harvest", "loggers", "results")
THEORY = (*ORDER[ORDER.index("patterns") : ORDER.index("chart") + 1], "learning", "evidence", "across")


def imported(module: str) -> set[str]:
    """Modules of this package that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "dominoes":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dominoes."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dominoes.")}
    return found & {path.stem for path in PACKAGE.glob("*.py")}


def test_every_module_has_a_place() -> None:
    """The order names every module once."""
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_up_the_list(module: str) -> None:
    """A module imports only from those above it."""
    assert imported(module) <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize("module", COMMANDS)
def test_only_the_command_modules_know_click(module: str) -> None:
    """No other module imports click or prints."""
    assert "click" in (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    for other in set(ORDER) - set(COMMANDS):
        tree = ast.parse((PACKAGE / f"{other}.py").read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & {"click", "print"}


@pytest.mark.parametrize("modules", [LIGHT, THEORY])
def test_solving_and_theory_work_without_torch(modules: tuple[str, ...]) -> None:
    """The solver's road to a dataset folder, and everything that works on curves, load no torch."""
    script = f"import sys, importlib\nfor name in {modules!r}: importlib.import_module('dominoes.' + name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_importing_does_nothing_else(tmp_path: Path) -> None:
    """Importing every module opens no connection, prints nothing, writes nothing, seeds nothing and touches no device."""
    script = f"""
import importlib, random, socket, sys
def refuse(*_, **__): raise AssertionError("a connection was opened")
socket.socket.connect = refuse
import numpy, torch
before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
for name in {ORDER!r}: importlib.import_module("dominoes." + name)
assert before == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
assert not torch.cuda.is_initialized()
"""
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "matplotlib" not in str(path)] == []
