"""Several runs at once on one device, by turns: while it computes for one, the next is told what to do.

Each run keeps its own network, optimiser, stream and graphs, so its numbers are those it would have alone. Nothing here knows what a run
is: a job is a generator that yields after every turn.
"""

from __future__ import annotations

import gc
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch

from dominoes.training.device import out_of_memory

K = TypeVar("K")
T = TypeVar("T")
# A run is let in while there is room for so many times what the largest so far took: what it will need is not known before.
_MARGIN = 2


class Memory(Protocol):
    """What jobs share and can run out of."""

    def used(self) -> int:
        """Bytes taken by this process."""

    def free(self) -> int:
        """Bytes that it can still get."""


class CardMemory:
    """Memory of a CUDA device."""

    def __init__(self, device: torch.device):
        self._device = device

    def used(self) -> int:
        """Bytes that PyTorch has taken from the device."""
        return torch.cuda.memory_reserved(self._device)

    def free(self) -> int:
        """Bytes that the device has left, after PyTorch gave back what it keeps of runs that ended.

        What it has taken and not given out is not to be had: most of it is a graph's, and stays that graph's own.
        """
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._device)
        return free


@dataclass(frozen=True)
class Ended(Generic[K, T]):
    """A job that came to an end: its result, or the error that ended it, with the traceback as text, and its wall seconds."""

    key: K
    result: T | None
    error: Exception | None
    trace: str
    seconds: float


@dataclass(eq=False)
class _Job(Generic[K, T]):
    key: K
    turns: Generator[None, None, T]
    together: int = 1
    new: bool = True
    began: float = field(default_factory=time.perf_counter)


class Pack(Generic[K, T]):
    """Jobs that take turns.

    Where one finds no memory left, the pack is halved: the oldest jobs go on, the others begin again when there is room. Only one that is
    alone and still finds none has failed. What the pack was halved to stays its limit.
    """

    def __init__(
        self,
        start: Callable[[K, Callable[[], int]], Generator[None, None, T]],
        limit: int,
        memory: Memory | None = None,
        spare: Callable[[], None] = lambda: None,
    ):
        """
        Args:
            start: makes the job of a key; it is also given a function that says with how many others, itself included, the job has
                been at most.
            limit: most jobs at once.
            memory: if given, a further job is let in only while there is twice the memory that the largest took so far.
            spare: called where there is not: lets go of what ended jobs have left for others.
        """
        self._start, self.limit, self._memory, self._spare = start, limit, memory, spare
        self._waiting: deque[K] = deque()
        self._active: list[_Job[K, T]] = []
        self._largest = 0
        self._said = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._active)

    @property
    def keys(self) -> list[K]:
        """Of all jobs that have not ended."""
        return [job.key for job in self._active] + list(self._waiting)

    def add(self, key: K) -> None:
        """Let a job wait for its first turn."""
        self._waiting.append(key)

    def turn(self) -> Iterator[Ended[K, T]]:
        """Let one more job in if there is room, then give each a turn; yield those that end."""
        if self._waiting and self._room():
            self._open(self._waiting.popleft())
        for job in list(self._active):
            if job in self._active and (ended := self._advance(job)) is not None:
                yield ended

    def _open(self, key: K) -> None:
        # The function is called from within the job's turns, when the job is there.
        job = _Job(key, self._start(key, lambda: job.together))
        self._active.append(job)
        for each in self._active:
            each.together = max(each.together, len(self._active))

    def _room(self) -> bool:
        if not self._active or self._memory is None:
            return len(self._active) < self.limit
        if len(self._active) >= self.limit:
            return False
        if self._memory.free() < _MARGIN * self._largest:
            self._spare()
        return self._memory.free() >= _MARGIN * self._largest

    def _advance(self, job: _Job[K, T]) -> Ended[K, T] | None:
        # A job takes nearly all of its memory in its first turn; to ask in each would cost more than the turn.
        asked = self._memory if job.new else None
        before = asked.used() if asked else 0
        job.new = False
        try:
            next(job.turns)
        except StopIteration as end:
            self._active.remove(job)
            return Ended(job.key, end.value, None, "", time.perf_counter() - job.began)
        except Exception as error:
            if not (out_of_memory(error) and len(self._active) > 1):
                self._active.remove(job)
                return Ended(job.key, None, error, traceback.format_exc(), time.perf_counter() - job.began)
            reason = " ".join(str(error).split())[:200]
        else:
            self._largest = max(self._largest, (asked.used() if asked else 0) - before)
            return None
        # Out of the handler, so that the error does not hold the memory any more.
        self._halve(job, reason)
        return None

    def _halve(self, job: _Job[K, T], reason: str) -> None:
        self.limit = len(self._active) // 2
        kept = [each for each in self._active if each is not job][: self.limit]
        put_back = [each for each in self._active if each not in kept]
        if not self._said:
            warnings.warn(
                f"no memory left for {len(self._active)} runs at once ({reason}); {self.limit} go on, the others begin again later",
                RuntimeWarning,
                stacklevel=2,
            )
            self._said = True
        self._active = kept
        for each in reversed(put_back):
            each.turns.close()
            self._waiting.appendleft(each.key)
        self._spare()
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
