"""The memory allocator's settings that workers are started with (`protocol.ENVIRONMENT`), for a process that is already at work."""

from __future__ import annotations

import ctypes
import os

# Of malloc.h: the parameter of each variable, and the most that it can be set to from inside, where it is an int.
_PARAMETERS = {"MALLOC_MMAP_MAX_": (-4, 0), "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1), "MALLOC_TOP_PAD_": (-2, 2**28)}


def keep_memory() -> bool:
    """Let this process keep the memory that it frees, for the rest of its life; whether it does now.

    glibc reads its variables before Python starts, and `mallopt` sets the same from inside: big tensors come from a heap that does not
    shrink, instead of fresh pages in every step. What the environment sets is left as it is. Without glibc there is nothing to set.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    results = [library.mallopt(*setting) for name, setting in _PARAMETERS.items() if name not in os.environ]  # type: ignore[union-attr]
    return all(results)
