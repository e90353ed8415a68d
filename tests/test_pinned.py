"""What published results and datasets are found again by: run ids, dealt rows, and the names of random streams. None of it may change."""

import ast
import csv
import hashlib
from pathlib import Path

import pytest

from dominoes.data import folder
from dominoes.data.dealing import Dealt
from dominoes.runs import sweep_file
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, stream

ROOT = Path(__file__).parent.parent
# Ids of runs that are published in results/.
PREVALENCE = ["ccaa6d141c4a", "34d456e37717", "85aeafdfa821", "585711111867"]
SIMPLICITY = ["0043f1d13b8a", "6d9b2950b573", "5c17e0d16db7"]
ONE_SPEC = ["c645880e24cc", "3858eeae72f2", "d36413230ab4"]
# SHA-256 of metadata.csv, of 300 dominoes of the embedded sources with all nine states.
METADATA = "e4df508bbbbfebe72544d9f8ae48472c76bb77122f06a66b288c10b89125b63a"
STREAMS = {"init", "order", "sample", "transform", "sweep", "blocks", "deal", "pairing", "wrong", "rows", "prototypes"}


@pytest.mark.parametrize(("name", "ids"), [("prevalence-small", PREVALENCE), ("simplicity-small", SIMPLICITY)])
def test_shipped_sweeps_name_their_published_runs(name: str, ids: list[str]) -> None:
    """The sweep files give the run ids that the tables in results/ bear."""
    planned = [run.id for run in sweep_file.read_sweep_file(ROOT / "sweeps" / f"{name}.yaml").runs]
    with (ROOT / "results" / name / "runs.csv").open(encoding="utf-8") as file:
        published = [row["run"] for row in csv.DictReader(file)]
    assert planned[: len(ids)] == ids
    assert sorted(planned) == sorted(published)


def test_a_published_spec_names_its_runs() -> None:
    """The command in the README of results/mnist-over-cifar gives the ids of its curves."""
    dataset, train = DominoSpec(n=20000, prevalence=(0.65, 0.65)), TrainSpec(epochs=3, measurements=40)
    assert [RunSpec(dataset=dataset, train=train, seed=seed).id for seed in range(3)] == ONE_SPEC


def test_the_same_seed_deals_the_same_rows(small: Dealt) -> None:
    """The table of a dealt dataset is the same bytes as ever."""
    assert hashlib.sha256(folder.metadata(small.deal).encode()).hexdigest() == METADATA


def test_streams_keep_their_names_and_seeds() -> None:
    """Every random stream is derived from the seed and the names that it always had."""
    assert stream(7, "deal", "top", "3") == 3709224495286846863
    found = set()
    for path in (ROOT / "dominoes").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("stream", "_generator"):
                found |= {each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    assert found >= STREAMS
