"""A request and a stock become exact, verified integer counts, or the reason why not."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.solver.composition import Composition
    from dominoes.solver.infeasible import Infeasible
    from dominoes.solver.shares import resolve
    from dominoes.solver.solution import check_composition, solve
    from dominoes.solver.stock import Stock, capacity

__all__ = ["Composition", "Infeasible", "Stock", "capacity", "check_composition", "resolve", "solve"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Composition": "solver.composition",
        "Infeasible": "solver.infeasible",
        "Stock": "solver.stock",
        "capacity": "solver.stock",
        "check_composition": "solver.solution",
        "resolve": "solver.shares",
        "solve": "solver.solution",
    },
)
