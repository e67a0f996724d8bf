"""What a command asks of its own process before it works: how the C library hands memory back.

Place in the flow: `bt run`, `sweep` and `walkforward` call it first. Never needed for a result: where the system has no such setting,
nothing happens.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, MOST_ARENAS = -1, -3, -8
"""Names of glibc's mallopt, from malloc.h."""
KEPT_BYTES = 2_000_000_000
ARRAY_BYTES = 32 * 1024 * 1024


def keep_memory(*, together: bool = False) -> None:
    """Let freed arrays stay with the process, to be used again by the next part of the run.

    Otherwise each part's arrays are given back to the system and fetched, page by page, for the next: a fifth of a long run. together:
    all threads share what was freed, as those should that work on the same things in turn: a part's arrays are made on one thread of a
    run and freed on another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc
        return
    mallopt(MMAP_THRESHOLD, ARRAY_BYTES)
    mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    if together:
        mallopt(MOST_ARENAS, 1)
