"""A process at work keeps its memory as workers do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dominoes.cli import commands
from dominoes.cli.commands import main
from dominoes.runs.engines import allocator
from dominoes.runs.engines.protocol import ENVIRONMENT

ROOT = Path(__file__).parents[3]
FAULTS = """
import resource, sys
sys.path.insert(0, {root!r})
import numpy as np
from dominoes.runs.engines.allocator import keep_memory
assert {keep} is False or keep_memory()
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [np.ones(4_000_000) for _ in range(2)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC = sys.platform == "linux" and "glibc" in os.confstr("CS_GNU_LIBC_VERSION")


def faults(keep: bool, **settings: str) -> int:
    """Fresh pages in ten rounds of 64 MB that are freed each time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | settings
    script = FAULTS.format(root=str(ROOT), keep=keep)
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.skipif(not GLIBC, reason="only glibc gives memory back in this way")
def test_what_was_freed_is_used_again() -> None:
    """The settings do from inside what the variables do from outside: hardly a fresh page, where there were thousands."""
    outside = {name: value for name, value in ENVIRONMENT.items() if name.startswith("MALLOC_")}
    plain, inside, variables = faults(False), faults(True), faults(False, **outside)
    assert plain > 2000
    assert max(inside, variables) < plain / 10


def test_elsewhere_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library other than glibc, or none, is left alone."""
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()
    monkeypatch.setattr(allocator.os, "name", "nt")
    assert not allocator.keep_memory()


@pytest.mark.parametrize(("line", "expected"), [(["train"], 1), (["demo"], 1), (["solve"], 0), ([], 0)])
def test_commands_that_train_ask_for_it(monkeypatch: pytest.MonkeyPatch, line: list[str], expected: int) -> None:
    """From a shell those that train in this process, and no other; called from Python, none."""
    asked: list[bool] = []
    monkeypatch.setattr(commands, "keep_memory", lambda: asked.append(True))
    monkeypatch.setattr(sys, "argv", ["dominoes", *line, "--help"])
    with pytest.raises(SystemExit):
        main()
    assert len(asked) == expected
    with pytest.raises(SystemExit):
        main([*line, "--help"])
    assert len(asked) == expected
