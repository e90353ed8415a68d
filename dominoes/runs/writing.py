"""What runs leave behind is written in a thread of its own, while others of the process train."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Written = TypeVar("Written")
# Seconds that a turn waits at most, so that runs of which all are being written do not take the processor from the thread that writes.
_PAUSE = 0.001


class Writer:
    """One thread, so that runs are written in the order in which they end. It must be given nothing that asks the device: a graph that is
    recorded meanwhile would take that for its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "writer")

    def done(self, work: Callable[[], Written]) -> Generator[None, None, Written]:
        """Have some work done, with a turn for others as long as it takes; its result, or what it raises.

        Who closes the generator waits: work that has begun comes to its end, and none begins afterwards.
        """
        future = self._thread.submit(work)
        try:
            while not future.done():
                yield
                wait([future], _PAUSE)
        finally:
            if not future.cancel():
                wait([future])
        return future.result()
