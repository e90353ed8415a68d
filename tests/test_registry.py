"""Names: three ways to say one, nothing imported before its time, every trouble one sentence."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dominoes import __version__, registry
from dominoes.errors import RegistryError
from dominoes.registry import REGISTRIES, check_call, entries, find, is_reference, refuse_untrusted

NETS = "made = []\nclass Wide:\n    def __init__(self, classes, width=3): made.append(width)\n"


def test_importing_the_registry_imports_nothing_else() -> None:
    """Neither torch nor numpy nor pydantic, nor the machinery that reads installed packages."""
    script = "import sys, dominoes.registry; print({'torch', 'numpy', 'pydantic', 'importlib.metadata'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_names_of_networks_are_known_without_torch() -> None:
    """To list them loads no room; each comes with the version of this package."""
    script = "import sys; from dominoes import registry; print([e.name for e in registry.entries('models')], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['detector', 'mlp', 'resnet8', 'resnet18'] False\n"
    assert {(entry.origin, entry.version) for entry in entries("models") if entry.distribution == "dominoes"} == {("built-in", __version__)}


def test_an_installed_entry_point_answers_to_its_name(installed: Path) -> None:
    """It is listed with origin, distribution and version, and loaded only when asked to."""
    found = find("models", "tiny")
    assert (found.origin, found.distribution, found.version) == ("entry point", "dominoes-plugin", "0.3")
    assert found in entries("models")
    assert "dominoes_plugin" not in sys.modules
    assert found.load().__name__ == "Tiny"


def test_provenance_of_an_entry_point_is_its_distribution(installed: Path) -> None:
    """Name, version, and the digest of its code files; that changes with any of them and with nothing else."""
    before = find("models", "tiny").provenance()
    assert before is not None
    assert (before.ref, before.distribution, before.version) == ("tiny", "dominoes-plugin", "0.3")
    assert find("models", "dominoes_plugin.learning:Tiny").provenance() == registry.Provenance(
        "dominoes_plugin.learning:Tiny", "dominoes-plugin", "0.3", before.sha256
    )
    (installed / "dominoes_plugin" / "notes.txt").write_text("nothing", encoding="utf-8")
    assert find("models", "tiny").provenance() == before
    extra = installed / "dominoes_plugin" / "extra.py"
    extra.write_text("", encoding="utf-8")
    after = find("models", "tiny").provenance()
    extra.unlink()
    assert after is not None
    assert after.sha256 != before.sha256


def test_what_is_built_in_has_no_provenance() -> None:
    """Its code is this package, whose version every record has."""
    assert find("models", "detector").provenance() is None


def test_a_module_of_the_current_folder_is_importable(here: Path) -> None:
    """`module:attr` finds a file beside the user; its record is the file's own SHA-256, which `sha256sum` prints too."""
    (here / "my_nets.py").write_text(NETS, encoding="utf-8")
    found = find("models", "my_nets:Wide")
    assert found.provenance() == registry.Provenance("my_nets:Wide", None, None, hashlib.sha256(NETS.encode()).hexdigest())
    assert "my_nets" not in sys.modules
    assert found.load().__name__ == "Wide"


def test_a_pin_is_checked_before_anything_runs(here: Path) -> None:
    """The pinned code is loaded; any other is refused, and its module was not imported."""
    (here / "my_nets.py").write_text(NETS, encoding="utf-8")
    pin = hashlib.sha256(NETS.encode()).hexdigest()
    pinned = find("models", f"my_nets:Wide@sha256:{pin}")
    assert pinned.name == "my_nets:Wide"
    (here / "my_nets.py").write_text(f"{NETS}raise SystemExit", encoding="utf-8")
    with pytest.raises(RegistryError, match=f"model my_nets:Wide: its code has the SHA-256 [0-9a-f]{{64}}, {pin} is pinned"):
        pinned.load()
    (here / "my_nets.py").write_text(NETS, encoding="utf-8")
    assert pinned.load().__name__ == "Wide"


def test_the_digest_of_a_package_is_read_not_run(here: Path) -> None:
    """Of `pkg.nets:Wide` not even `pkg/__init__.py` is run for the digest, and every module of the package counts."""
    (here / "my_pkg").mkdir()
    (here / "my_pkg" / "__init__.py").write_text("raise SystemExit('run')", encoding="utf-8")
    (here / "my_pkg" / "nets.py").write_text(NETS, encoding="utf-8")
    before = find("models", "my_pkg.nets:Wide").provenance()
    (here / "my_pkg" / "layers.py").write_text("", encoding="utf-8")
    after = find("models", "my_pkg.nets:Wide").provenance()
    assert before is not None
    assert after is not None
    assert before.sha256 != after.sha256
    with pytest.raises(RegistryError, match=r"model my_pkg.nets:Wide: my_pkg.nets cannot be imported \(SystemExit: run\)"):
        find("models", "my_pkg.nets:Wide").load()


def test_a_name_that_nothing_answers_to_is_one_sentence() -> None:
    """It names what is there, or what was probably meant."""
    with pytest.raises(RegistryError, match="there is no model 'detecter'; did you mean detector?"):
        find("models", "detecter")
    with pytest.raises(RegistryError, match="there is no model 'vit'; expected one of detector, mlp, .*, or module:attr of your own"):
        find("models", "vit")
    with pytest.raises(RegistryError, match="'nets:Wide@sha256:12' is no reference to a model; expected module:attr"):
        find("models", "nets:Wide@sha256:12")
    with pytest.raises(RegistryError, match="there is no callback 'x'; expected module:attr of your own"):
        find("callbacks", "x")


def test_a_failed_import_is_one_sentence(here: Path) -> None:
    """A module that is not there, one that does not import, an attribute that is not in it."""
    with pytest.raises(RegistryError, match="model absent_nets:Wide: there is no module absent_nets in this folder"):
        find("models", "absent_nets:Wide").load()
    (here / "bad_nets.py").write_text("import absent_library", encoding="utf-8")
    with pytest.raises(RegistryError, match="bad_nets cannot be imported .ModuleNotFoundError: No module named 'absent_library'.; mend it"):
        find("models", "bad_nets:Wide").load()
    (here / "my_nets.py").write_text(NETS, encoding="utf-8")
    with pytest.raises(RegistryError, match="my_nets has no Wid; did you mean Wide?"):
        find("models", "my_nets:Wid").load()


def test_a_file_in_place_of_its_module_is_told(here: Path) -> None:
    """`my_nets.py:Wide` says how the module is named."""
    (here / "my_nets.py").write_text(NETS, encoding="utf-8")
    with pytest.raises(RegistryError, match=r"my_nets\.py:Wide: a module is named without \.py; write my_nets:Wide"):
        find("models", "my_nets.py:Wide").load()


def test_a_clash_is_refused_when_the_name_is_used(plugin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A distribution that takes a built-in name, or another's, is named; other names go on working."""
    rival = tmp_path / "dominoes_rival-1.0.dist-info"
    rival.mkdir()
    (rival / "METADATA").write_text("Metadata-Version: 2.1\nName: dominoes-rival\nVersion: 1.0\n", encoding="utf-8")
    (rival / "entry_points.txt").write_text("[dominoes.models]\ndetector = rival:Net\ntiny = rival:Tiny\n", encoding="utf-8")
    for folder in (plugin, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    registry.installed.cache_clear()
    with pytest.raises(
        RegistryError, match=r"the model detector is in dominoes [0-9.]+ .* and dominoes-rival 1.0 \(rival:Net\); uninstall"
    ):
        find("models", "detector")
    with pytest.raises(RegistryError, match="the model tiny is in dominoes-"):
        find("models", "tiny")
    assert find("models", "mlp").origin == "built-in"
    registry.installed.cache_clear()


def test_two_modules_of_one_name_are_refused(here: Path) -> None:
    """A file of the current folder that an installed module hides is not passed over in silence."""
    (here / "yaml.py").write_text(NETS, encoding="utf-8")
    with pytest.raises(RegistryError, match="are both module yaml; rename the one in this folder"):
        find("models", "yaml:Wide").load()


def test_a_wrong_signature_is_one_sentence() -> None:
    """Arguments that a callable does not take, or what cannot be called at all."""

    def build(classes: int, width: int = 3) -> None:
        raise AssertionError((classes, width))

    check_call(build, "model x", ("classes",), {"width": 4})
    with pytest.raises(
        RegistryError, match=re.escape("cannot be called as (classes, depth=4): got an unexpected keyword argument 'depth'")
    ):
        check_call(build, "model x", ("classes",), {"depth": 4})
    with pytest.raises(RegistryError, match="too many positional arguments"):
        check_call(build, "loss x", ("logits", "batch", "more"), {})
    with pytest.raises(RegistryError, match="model x is int, which cannot be called; expected a callable"):
        check_call(3, "model x", ("classes",), {})


def test_references_in_a_file_need_trust(here: Path, installed: Path) -> None:
    """A plain reference is refused with the pin that would do; pinned ones, entry points and built-in names pass."""
    (here / "my_nets.py").write_text(NETS, encoding="utf-8")
    pin = f"my_nets:Wide@sha256:{hashlib.sha256(NETS.encode()).hexdigest()}"
    refuse_untrusted([("models", pin), ("models", "tiny"), ("models", "detector")], "s.yaml")
    with pytest.raises(RegistryError, match=f"s.yaml names code that would be run here: my_nets:Wide; read it, then pass --trust .*{pin}"):
        refuse_untrusted([("models", "detector"), ("models", "my_nets:Wide")], "s.yaml")
    assert "my_nets" not in sys.modules


def test_a_reference_is_told_from_a_name() -> None:
    """Paths, names with blanks and half references are none."""
    assert is_reference("a.b:C.d")
    assert is_reference("a:B@sha256:" + "0" * 64)
    assert not any(map(is_reference, ("detector", "./a.npz", "better side", "C:/x.npz", "a:B@sha256:12", "a:", ":b", "1a:b")))


@pytest.mark.parametrize("kind", sorted(REGISTRIES))
def test_built_in_names_are_those_of_their_table(kind: str) -> None:
    """The names that are known without the room are the names in the room's table."""
    known = REGISTRIES[kind]
    if known.table and known.names:
        module, _, attribute = known.table.partition(":")
        table = getattr(pytest.importorskip(module), attribute)
        assert list(known.names) == list(table)
