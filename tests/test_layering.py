"""The house: imports point one way, rooms stay small, and importing does nothing."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dominoes"
# Modules on the ground, each may import those before it; rooms, each may import the ground and the rooms before it.
GROUND = ("lazy", "arrays", "errors", "files", "registry", "arguments", "dials", "fields", "mappings", "spec", "folded", "labels", "tables")
ROOMS = ("solver", "theory", "data", "training", "runs", "yardstick", "leaderboard", "reporting", "studies", "interface", "cli", "__main__")


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}
FACES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def tree(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(module: str) -> set[str]:
    """Modules of this package that a module imports, anywhere in its text; the package itself (for its version) is none of them."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dominoes":
            inside = node.module.partition(".")[2]
            for alias in node.names:
                full = f"{inside}.{alias.name}".lstrip(".")
                found.add(full if full in MODULES else inside)
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("dominoes.")}
    return found - {""}


def place(module: str) -> int:
    """How high a module stands: ground modules below every room."""
    order = (*GROUND, *ROOMS)
    return order.index(module.split(".")[0])


def test_every_module_stands_in_the_house() -> None:
    """Every module is on the ground or in a room, and every room is there."""
    assert {module.split(".")[0] for module in MODULES} == {*GROUND, *ROOMS}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in FACES])
def test_imports_point_down_the_house(module: str) -> None:
    """A module imports from its own room and from what stands below it, and from modules, not from a room's face."""
    found = imported(module)
    assert {other for other in found if place(other) > place(module)} == set()
    assert found & FACES == set()
    if module in GROUND:
        assert {place(other) for other in found} <= set(range(place(module)))


def test_no_module_imports_itself_by_way_of_others() -> None:
    """The imports make no circle, in the whole and so inside each room."""
    list(graphlib.TopologicalSorter({module: imported(module) for module in MODULES if module not in FACES}).static_order())


def test_theory_knows_tables_alone() -> None:
    """Theories and verdicts work on tables: they import nothing that solves, deals or trains."""
    for module in MODULES:
        if module.split(".")[0] == "theory" and module not in FACES:
            assert {other.split(".")[0] for other in imported(module)} <= {*GROUND, "theory"}


def test_only_the_command_line_knows_click() -> None:
    """No other room imports click or prints."""
    for module in MODULES:
        if module.split(".")[0] != "cli":
            assert not {node.id for node in ast.walk(tree(module)) if isinstance(node, ast.Name)} & {"click", "print"}, module


def test_modules_and_rooms_stay_small() -> None:
    """No module has over 400 lines, no room over 20 modules (faces and the rooms inside it not counted)."""
    assert {module for module, path in MODULES.items() if len(path.read_text(encoding="utf-8").splitlines()) > 400} == set()
    rooms = Counter(module.rpartition(".")[0] for module in MODULES if module not in FACES)
    assert max(rooms.values()) <= 20


def test_no_file_of_tests_is_long() -> None:
    """A file of tests has at most 400 lines, as a module has: it is about one behaviour."""
    files = Path(__file__).parent.rglob("*.py")
    assert [str(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_no_face_has_a_module_of_a_functions_name() -> None:
    """A room hands on no name that a module beside its face bears: importing the module would put it where the function stood."""
    for face in (*FACES, ""):
        path = PACKAGE.joinpath(*face.split("."), "__init__.py") if face else PACKAGE / "__init__.py"
        beside = {each.stem for each in path.parent.glob("*.py")} | {each.name for each in path.parent.iterdir() if each.is_dir()}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                assert not set(ast.literal_eval(node.value)) & beside, face


LIGHT = [module for module in MODULES if module.split(".")[0] in ("solver", "theory", "leaderboard", *GROUND)]
LIGHT += ["data.card", "data.dealing", "data.folder", "data.readers", "data.sources", "data.transforms", "runs.state", "runs.plan"]
LIGHT += ["runs.sweep_file", "runs.progress", "runs.collected", "runs.loggers", "runs.engines.local", "runs.engines.on_ray"]
LIGHT += ["runs.engines.protocol", "reporting.results", "reporting.chart"]
LIGHT += [module for module in MODULES if module.startswith("reporting.charts.") and module != "reporting.charts.preview"]


def test_solving_and_theory_work_without_torch() -> None:
    """The solver's road to a dataset folder, and everything that works on curves, load no torch."""
    script = f"import sys, importlib\nfor name in {LIGHT!r}: importlib.import_module('dominoes.' + name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.slow
def test_importing_does_nothing_else(tmp_path: Path) -> None:
    """Importing every module opens no connection, prints nothing, writes nothing, seeds nothing and touches no device."""
    script = f"""
import importlib, random, socket, sys
def refuse(*_, **__): raise AssertionError("a connection was opened")
socket.socket.connect = refuse
import numpy, torch
before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
for name in {list(MODULES)!r}: importlib.import_module("dominoes." + name)
assert before == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
assert not torch.cuda.is_initialized()
"""
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "matplotlib" not in str(path)] == []


# A verb of the public face and the function of the room that does the work: one thing, asked for from outside and from inside.
ONE_VERB = {"solve": "solver/solution.py", "train": "training/loop.py", "compare": "theory/comparison.py"}


def _public(path: Path) -> Iterator[str]:
    """Public classes, functions and constants of a module; a command of the command line is named for who types it, and is none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        names = [each.id for each in targets if isinstance(each, ast.Name)]
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not (path.parent.name == "cli" and node.decorator_list):
            names = [node.name]
        yield from (name for name in names if not name.startswith("_"))


def test_nothing_bears_the_name_of_another_rooms() -> None:
    """One name, one thing: a reader who meets a class, a function or a constant knows which it is, wherever it is imported."""
    homes: dict[str, dict[str, str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        within = path.relative_to(PACKAGE)
        for name in _public(path):
            homes.setdefault(name, {})[within.parts[0].removesuffix(".py")] = within.as_posix()
    shared = {name: sorted(places.values()) for name, places in homes.items() if len(places) > 1}
    assert shared == {name: ["interface.py", home] for name, home in ONE_VERB.items()}
