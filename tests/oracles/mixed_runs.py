"""Runs of several kinds that are trained at once, and what is left of them, for the tests of packs on a CPU and on a GPU."""

from pathlib import Path
from typing import Any

from dominoes.runs import state
from dominoes.spec import DominoSpec, RunSpec, TrainSpec

DATASET = DominoSpec(n=120, prevalence=(0.7, 0.6), top="digits", bottom="textures", seed=3)
OTHER = DominoSpec(n=90, prevalence=(0.3, 0.9), reliability=(0.8, 1), top="digits", bottom="digits", seed=4)
FULL = "CUDA out of memory. Tried to allocate 20.00 GiB"


def of(number: int, dataset: DominoSpec = DATASET, **fields: Any) -> RunSpec:
    """A short run."""
    how = {"model": "mlp", "epochs": 3, "batch": 25, "measurements": 5, "probe": 20} | fields
    return RunSpec(dataset=dataset, train=TrainSpec(**how), seed=number)


MIXED = [
    of(0),
    of(1, lr=0.1, epochs=5),
    of(2, OTHER, optimizer="adam", lr=0.001),
    of(3, model="detector", epochs=2),
    of(4, OTHER, model="resnet8", epochs=1, batch=30, precision="bf16"),
    of(5, lr=1e30),
]


def tables(out: Path) -> dict[str, tuple[bytes, ...]]:
    """The bytes of the tables of finished runs."""
    return {mark.parent.name: tuple((mark.parent / name).read_bytes() for name in state.TABLES) for mark in out.glob("runs/*/DONE")}


def packing(out: Path) -> list[int]:
    """How many runs were at work at once, by run in the order of MIXED."""
    return [state.environment(out / "runs" / spec.id)["packing"] for spec in MIXED]
