"""Studies: the numbers that they are known by, how they are kept and run again, and published protocols beside ours."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.studies.agreement import compared
    from dominoes.studies.headline_numbers import headlines
    from dominoes.studies.keeping import keep_study
    from dominoes.studies.reproduction import reproduce
    from dominoes.studies.variance_components import components

__all__ = ["compared", "components", "headlines", "keep_study", "reproduce"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "compared": "studies.agreement",
        "components": "studies.variance_components",
        "headlines": "studies.headline_numbers",
        "keep_study": "studies.keeping",
        "reproduce": "studies.reproduction",
    },
)
