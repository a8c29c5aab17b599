"""Memory: what a step frees is kept for the next one, and when it runs out this is recognised."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
KEPT = 2**30  # bytes; more than the features of any one layer here
LARGEST_OF_OLD = 2**25
GROWTH = 2**26  # bytes asked of the system at a time


OUT_OF_MEMORY = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")


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
    if mallopt is None:
        return
    # older ones take no more than 32 MiB; one that takes neither is better left as it is
    if mallopt(M_MMAP_THRESHOLD, KEPT) or mallopt(M_MMAP_THRESHOLD, LARGEST_OF_OLD):
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_TOP_PAD, GROWTH)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out.

    Only torch's own allocator for graphics cards has a type for it (a RuntimeError); the
    processor's and the libraries of the card raise a plain RuntimeError.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in message for sign in OUT_OF_MEMORY)
