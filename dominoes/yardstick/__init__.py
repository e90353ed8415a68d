"""How simple one side alone is to a network."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.yardstick.measurement import YardstickTask, measure

__all__ = ["YardstickTask", "measure"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "YardstickTask": "yardstick.measurement",
        "measure": "yardstick.measurement",
    },
)
