"""MNIST-CIFAR dominoes: datasets with exact prevalence, reliability and simplicity, and the curves of what is learned when."""

from typing import TYPE_CHECKING

from dominoes import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from dominoes.data.dealing import deal
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.probe_sets import probes
    from dominoes.interface import Run, build, compare, fit, load, make, pack, read_sweep, report, run_sweep, solve, status, train
    from dominoes.reporting.results import gather
    from dominoes.solver.composition import Composition
    from dominoes.spec import DominoSpec, RunSpec, TrainSpec
    from dominoes.theory.fits.table import fit_table
    from dominoes.theory.sweep_comparison import compare_sweep
    from dominoes.theory.verdicts import Comparison

__all__ = [
    "Comparison",
    "Composition",
    "DominoSpec",
    "Dominoes",
    "Run",
    "RunSpec",
    "TrainSpec",
    "__version__",
    "build",
    "compare",
    "compare_sweep",
    "deal",
    "fit",
    "fit_table",
    "gather",
    "load",
    "make",
    "pack",
    "probes",
    "read_sweep",
    "report",
    "run_sweep",
    "solve",
    "status",
    "train",
]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Comparison": "theory.verdicts",
        "Composition": "solver.composition",
        "DominoSpec": "spec",
        "Dominoes": "data.dominoes",
        "Run": "interface",
        "RunSpec": "spec",
        "TrainSpec": "spec",
        "build": "interface",
        "compare": "interface",
        "compare_sweep": "theory.sweep_comparison",
        "deal": "data.dealing",
        "fit": "interface",
        "fit_table": "theory.fits.table",
        "gather": "reporting.results",
        "load": "interface",
        "make": "interface",
        "probes": "data.probe_sets",
        "pack": "interface",
        "read_sweep": "interface",
        "report": "interface",
        "run_sweep": "interface",
        "solve": "interface",
        "status": "interface",
        "train": "interface",
    },
)
