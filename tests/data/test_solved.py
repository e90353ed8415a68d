"""Compositions of probes are remembered: the same counts as the solver's, checked when they are read, and read without SciPy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dominoes.data import solved
from dominoes.solver import solution
from dominoes.solver.stock import Stock
from dominoes.spec import DominoSpec, Split

SPEC = DominoSpec(n=100, prevalence=(1.0, 1.0), reliability=(1.0, 0.0), split=Split.TEST, seed=3)
STOCK = Stock((40, 30, 50, 40), (60, 40, 40, 40))


def test_what_is_remembered_is_what_the_solver_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deals of all seeds share an entry; another request, stock or solver has its own; a damaged or false one is solved again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[DominoSpec] = []
    real = solution.solve
    monkeypatch.setattr(solution, "solve", lambda spec, stock: asked.append(spec) or real(spec, stock))
    expected = real(SPEC, STOCK).dumps()
    for seed in (3, 3, 4):
        found = solved.remembered_solve(SPEC.model_copy(update={"seed": seed}), STOCK)
        assert (found.dumps(), found.spec.seed) == (expected, seed)
    assert len(asked) == 1
    (place,) = (tmp_path / "dominoes" / "compositions").iterdir()
    content = json.loads(place.read_text(encoding="utf-8"))
    content["states"]["right/wrong"] = [value + 1 for value in content["states"]["right/wrong"]]
    for text in ("", "[]", json.dumps(content), place.read_text(encoding="utf-8")[:200]):
        place.write_text(text, encoding="utf-8")
        assert solved.remembered_solve(SPEC, STOCK).dumps() == expected
    assert len(asked) == 5
    solved.remembered_solve(SPEC, Stock(STOCK.bottom, STOCK.top))
    solved.remembered_solve(SPEC.model_copy(update={"n": 99}), STOCK)
    monkeypatch.setattr(solved, "_solver", lambda: "another")
    solved.remembered_solve(SPEC, STOCK)
    assert len(asked) == 8


def test_a_cache_that_cannot_be_written_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is there all the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert solved.remembered_solve(SPEC, STOCK).n == 100


def test_probes_that_were_solved_before_need_no_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process loads it, the second does not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    script = (
        "import sys; from dominoes.data.probe_sets import probes; from dominoes.spec import DominoSpec;"
        "probes(DominoSpec(n=60, prevalence=(.6, .5), top='digits', bottom='textures'), 50, 0); print('scipy.optimize' in sys.modules)"
    )
    told = [subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split() for _ in range(2)]
    assert told == [["True"], ["False"]]
