"""The only room that knows click, prints or exits."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.cli.commands import main

__all__ = ["main"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "main": "cli.commands",
    },
)
