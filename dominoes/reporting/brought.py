"""Figures from outside: a callable (results) makes a `Chart`, or None where the results do not have what it needs."""

from __future__ import annotations

from dominoes import registry
from dominoes.errors import OutputError
from dominoes.reporting.chart import Chart
from dominoes.reporting.results import Results


def is_brought_figure(name: str) -> bool:
    """Whether a figure is a reference, or an installed entry point's. Nothing is loaded."""
    return registry.is_reference(name) or name in {entry.name for entry in registry.installed("figures")}


def chart(name: str, results: Results) -> Chart:
    """The figure of a name. Raises RegistryError, or OutputError if it makes none of these results."""
    entry = registry.find("figures", name)
    make = entry.load()
    registry.check_call(make, entry.said, ("results",), {})
    found = make(results)
    if not isinstance(found, Chart):
        got = "nothing" if found is None else type(found).__name__
        raise OutputError(f"{entry.said} makes {got} of these results; expected a dominoes.reporting.chart.Chart")
    return found
