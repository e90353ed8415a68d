"""One network learns one dataset on one device, and is scored."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.training.device import Device
    from dominoes.training.loop import Trained, train
    from dominoes.training.scorer import Scorer

__all__ = ["Device", "Scorer", "Trained", "train"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "Device": "training.device",
        "Scorer": "training.scorer",
        "Trained": "training.loop",
        "train": "training.loop",
    },
)
