"""Keep the memory that a step frees for the next step, where the C library gives it away."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
KEPT = 2**30  # bytes; more than the features of any one layer here
GROWTH = 2**26  # bytes asked of the system at a time


@cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 1 GiB that was freed; once per process, elsewhere nothing happens.

    It returns large blocks to the system at once and gets them back, page by page and cleared,
    at the next layer: a fifth of a training step on a processor, and half of the prediction of
    a large piece (docs/performance.md).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_TOP_PAD, GROWTH)
