"""Standard instances: their names, their rows from the real pictures, and every way to ask for one."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from dominoes import interface
from dominoes.cli.commands import main
from dominoes.data import dealing, folder, instances, sources
from dominoes.errors import DatasetError, SpecError
from dominoes.runs import plan, sweep_file
from dominoes.solver.solution import solve
from dominoes.spec import SIDES, DominoSpec

ROOT = Path(__file__).parents[2]
NAMES = ["shah-a", "shah-b", "shah-c", "dbat-mc", *(f"scale-{agree}" for agree in (95, 96, 97, 98, 99, 100))]


def test_the_instances_are_there_and_described() -> None:
    """Each has a source, what differs and why, and a digest; the list and the page name them all."""
    assert list(instances.instances()) == NAMES
    page = (ROOT / "docs" / "howto" / "instances.md").read_text(encoding="utf-8")
    for each in instances.instances().values():
        assert each.source
        assert each.published
        assert each.differs
        assert len(each.rows) == 64
        assert f"`{each.name}`" in page
        assert each.rows[:12] in page
    assert [row["name"] for row in instances.instances_table()] == NAMES
    done = CliRunner().invoke(main, ["list", "instances", "--json"])
    assert [row["rows"] for row in json.loads(done.stdout)] == [each.rows for each in instances.instances().values()]
    assert all(name in CliRunner().invoke(main, ["list", "instances"]).stdout for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_rounding_is_in_the_rows(name: str) -> None:
    """Every count of every label, state and class shown is its target exactly, so that no solver has a choice."""
    spec = instances.named_instance(name).dataset
    found = solve(spec, sources.stock(spec))
    K, n = found.stock.classes, found.n
    assert list(found.labels) == [n // K] * K
    for side, reliability in zip(SIDES, spec.reliability, strict=True):
        shown = np.full((K, K), n * (1 - reliability) / K / (K - 1))
        np.fill_diagonal(shown, n * reliability / K)
        assert np.allclose(found.shown[side], shown, atol=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_the_rows_are_those_of_the_digest(name: str, data: Path) -> None:
    """From pictures in the order of torchvision's files everybody deals these rows."""
    dealt = dealing.deal_spec(instances.named_instance(name).dataset, data=data)
    rows = folder.metadata(dealt.deal)
    assert hashlib.sha256(rows.encode()).hexdigest() == instances.named_instance(name).rows
    instances.refuse_other_rows(dealt.spec, rows)


@pytest.mark.data
def test_an_instance_is_built_and_its_card_says_so(data: Path, tmp_path: Path) -> None:
    """`build --instance` and Python write the same folder; its card has source, training and differences; another seed is another deal."""
    done = CliRunner().invoke(main, ["build", "--instance", "dbat-mc", "--data", str(data), "--out", str(tmp_path / "a")])
    assert done.exit_code == 0, done.output
    interface.build({"instance": "dbat-mc"}, tmp_path / "b", data=data)
    assert (tmp_path / "a" / "digests.json").read_bytes() == (tmp_path / "b" / "digests.json").read_bytes()
    card = (tmp_path / "a" / "README.md").read_text(encoding="utf-8")
    assert "This is the standard instance `dbat-mc`" in card
    assert "arXiv:2202.04414" in card
    assert "--schedule triangular" in card
    assert all(f"- {each}\n" in card for each in instances.named_instance("dbat-mc").differs)
    other = [*("build", "--instance", "dbat-mc", "--seed", "1", "--data", str(data)), "--out", str(tmp_path / "c")]
    assert CliRunner().invoke(main, other).exit_code == 0
    assert "standard instance" not in (tmp_path / "c" / "README.md").read_text(encoding="utf-8")


def test_flags_files_sweeps_and_python_name_instances_alike(tmp_path: Path) -> None:
    """A name expands to the same spec everywhere; what it says cannot be said again, but for the seed; sweeps tell them apart by name."""
    wanted = instances.named_instance("shah-c").dataset
    assert DominoSpec(**instances.expanded({"instance": "shah-c"})) == wanted
    assert DominoSpec(**instances.expanded({"instance": "shah-c", "seed": 4})).seed == 4
    # Each seed of a training deals anew unless a seed is named.
    assert "seed" not in DominoSpec(**instances.expanded({"instance": "shah-c"})).model_fields_set
    (tmp_path / "d.yaml").write_text("instance: shah-c\n")
    texts = [CliRunner().invoke(main, ["solve", *flags]).stdout for flags in (["--instance", "shah-c"], [str(tmp_path / "d.yaml")])]
    assert texts[0] == texts[1]
    assert "mnist[0,1] over cifar10[airplane,ship]" in texts[0]
    assert interface.solve({"instance": "shah-c"}).spec == wanted
    parameters = {"dataset.instance": {"values": ["shah-a", "scale-99"]}, "dataset.seed": {"values": [0, 1]}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"name": "x", "method": "grid", "parameters": parameters}))
    planned = plan.make_plan(sweep_file.read_sweep_file(tmp_path / "s.yaml"))
    said = [planned.values(run.spec)["dataset.instance"] for run in planned.runs]
    assert said == ["shah-a", "shah-a", "scale-99", "scale-99"]
    assert planned.runs[0].spec.dataset == instances.named_instance("shah-a").dataset


def test_what_is_wrong_about_an_instance_is_one_sentence(tmp_path: Path) -> None:
    """An unknown name, a field beside it, rows of pictures in another order."""
    for flags, message in (
        (["--instance", "shah-d"], "there is no standard instance shah-d; did you mean shah-c?"),
        (["--instance", "x"], "there is no standard instance x; the instances are shah-a"),
        (["--instance", "shah-a", "--n", "10"], "instance shah-a says all of the dataset but its seed; leave out n"),
    ):
        done = CliRunner().invoke(main, ["solve", *flags])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr
    entry = {"dataset.instance": {"value": "nope"}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"name": "x", "method": "grid", "parameters": entry}))
    with pytest.raises(SpecError, match="there is no standard instance nope"):
        sweep_file.read_sweep_file(tmp_path / "s.yaml")
    with pytest.raises(DatasetError, match=r"not those of shah-a \(SHA-256 .*another order than in torchvision's files"):
        instances.refuse_other_rows(instances.named_instance("shah-a").dataset, "index,label\n")
    instances.refuse_other_rows(DominoSpec(n=3, prevalence=(1, 1)), "index,label\n")
