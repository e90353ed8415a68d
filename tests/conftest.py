"""Where the tests find real pictures, and a cache folder of their own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import synthetic_runs
from click.testing import CliRunner
from hypothesis import settings

from dominoes import registry
from dominoes.cli.commands import main
from dominoes.data import dealing
from dominoes.data.dealing import Dealt
from dominoes.spec import DominoSpec

ROOT = Path(__file__).parent.parent

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would ignore it too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder that only this session uses, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "dominoes"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with all of MNIST and CIFAR-10."""
    folder = Path(os.environ.get("DOMINOES_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "mnist" / "train.parquet").is_file():
        pytest.skip(f"no real pictures in {folder}; set DOMINOES_DATA to a folder with mnist/train.parquet and cifar10/train.parquet")
    return folder


@pytest.fixture(autouse=True)
def _no_ambient_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say where their data is; what the shell has set is not used by accident."""
    monkeypatch.delenv("DOMINOES_DATA", raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; modules that are made in it and imported are forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(str(tmp_path))]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package of tests/plugin is installed in, by pip."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "tests" / "plugin", source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    return target


@pytest.fixture
def installed(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugin is on the path."""
    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setenv("PYTHONPATH", str(plugin), prepend=os.pathsep)
    registry.installed.cache_clear()
    yield plugin
    registry.installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "dominoes_plugin"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The results folder of `dominoes demo` with one seed, and what the command printed."""
    out = tmp_path_factory.mktemp("demo")
    done = CliRunner().invoke(main, ["demo", "--seeds", "0", "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="session")
def small() -> Dealt:
    """300 dominoes of the embedded sources with all nine states."""
    return dealing.deal_spec(DominoSpec(n=300, prevalence=(0.7, 0.6), reliability=(0.8, 0.7), top="digits", bottom="textures", seed=3))


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep over the prevalence of the top, 4 values of 3 seeds, whose curves follow from formulas."""
    out = tmp_path_factory.mktemp("swept")
    synthetic_runs.write(synthetic_runs.sweep([0.1, 0.2, 0.4, 0.8], 3, measurements=20), out)
    return out
