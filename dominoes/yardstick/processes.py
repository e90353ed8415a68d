"""Processes that a yardstick spreads its tasks over."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from dominoes.runs.engines.protocol import ENVIRONMENT


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with the environment that fast and reproducible training needs; it has to be there before they start."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        os.environ.clear()
        os.environ.update(before)
