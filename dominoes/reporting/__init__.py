"""Results are gathered, completed, charted, and written as a page or stills."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.reporting.chart import Chart
    from dominoes.reporting.completion import complete
    from dominoes.reporting.html.page import write_page, write_stills
    from dominoes.reporting.results import Results, gather

__all__ = ["Chart", "Results", "complete", "gather", "write_page", "write_stills"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Chart": "reporting.chart",
        "Results": "reporting.results",
        "complete": "reporting.completion",
        "gather": "reporting.results",
        "write_page": "reporting.html.page",
        "write_stills": "reporting.html.page",
    },
)
