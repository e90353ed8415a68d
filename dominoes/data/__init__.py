"""Names become pictures, counts a deal, a deal a dataset folder and batches."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.data.dealing import Deal, Dealt, deal, deal_spec
    from dominoes.data.dominoes import Dominoes
    from dominoes.data.folder import read_dataset, save_dataset, verify_dataset
    from dominoes.data.pixels import export_pixels
    from dominoes.data.probe_sets import probes
    from dominoes.data.sources import Source, load_source

__all__ = [
    "Deal",
    "Dealt",
    "Dominoes",
    "Source",
    "deal",
    "deal_spec",
    "export_pixels",
    "load_source",
    "probes",
    "read_dataset",
    "save_dataset",
    "verify_dataset",
]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Deal": "data.dealing",
        "Dealt": "data.dealing",
        "Dominoes": "data.dominoes",
        "Source": "data.sources",
        "deal": "data.dealing",
        "export_pixels": "data.pixels",
        "load_source": "data.sources",
        "deal_spec": "data.dealing",
        "probes": "data.probe_sets",
        "read_dataset": "data.folder",
        "save_dataset": "data.folder",
        "verify_dataset": "data.folder",
    },
)
