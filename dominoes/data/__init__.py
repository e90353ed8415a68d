"""Names become pictures, counts a deal, a deal a dataset folder and batches."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.data.dealing import Deal, Dealt, deal, make
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.folder import read, save, verify
    from dominoes.data.pixels import export
    from dominoes.data.probe_sets import probes
    from dominoes.data.sources import Source, load

__all__ = ["Deal", "Dealt", "Dominoes", "Source", "deal", "export", "load", "make", "probes", "read", "save", "verify"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Deal": "data.dealing",
        "Dealt": "data.dealing",
        "Dominoes": "data.dominoes",
        "Source": "data.sources",
        "deal": "data.dealing",
        "export": "data.pixels",
        "load": "data.sources",
        "make": "data.dealing",
        "probes": "data.probe_sets",
        "read": "data.folder",
        "save": "data.folder",
        "verify": "data.folder",
    },
)
