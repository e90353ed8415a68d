"""What a user installs: a wheel with every room, and the files that are no Python, in it."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_runs_the_demo(tmp_path: Path) -> None:
    """Built from the tree and installed where nothing else of the project is, `dominoes demo` goes the whole way and writes its page."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "dominoes", tree / "dominoes", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "sweeps", tree / "sweeps")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, tree], check=True, capture_output=True)
    wheel = next(tmp_path.glob("dominoes-*.whl"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    python = tmp_path / "empty" / "bin" / "python"
    place = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True).strip()
    # What dominoes needs is borrowed, for it is gigabytes; dominoes itself is not among it, since links to a tree are not followed.
    Path(place, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    where = subprocess.check_output([python, "-c", "import dominoes; print(dominoes.__file__)"], text=True, cwd=tmp_path)
    assert where.startswith(str(tmp_path))
    dominoes = tmp_path / "empty" / "bin" / "dominoes"
    listed = subprocess.run([dominoes, "reproduce", "list"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "1a-prevalence" in listed.stdout
    command = [dominoes, "demo", "--seeds", "0", "--out", tmp_path / "demo"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "dataset" in done.stdout
    assert (tmp_path / "demo" / "report.html").stat().st_size > 1e6
