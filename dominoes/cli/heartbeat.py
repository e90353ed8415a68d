"""Signs of life of long work in a log file, where no progress bar is drawn."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

#: At least so often, in seconds.
EVERY = 30.0


@contextmanager
def heartbeat(sentence: Callable[[], str], *, every: float | None = None) -> Iterator[None]:
    """While the block runs and standard error is no terminal, say every so many seconds how far it is.

    A thread of its own says it, so that one long step does not silence it.
    """
    if sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    began = time.monotonic()

    def beat() -> None:
        while not ended.wait(EVERY if every is None else every):
            click.echo(f"{sentence()} [{time.monotonic() - began:.0f} s]", err=True)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
