"""Freed memory stays with the process where the C library can be told to."""

import subprocess
import sys

import pytest

from napari_selfseg.core import memory

PROBE = """
import resource, sys
import numpy as np
from napari_selfseg.core.memory import keep_freed_memory

def faults(n=20, size=48 * 2**20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
keep_freed_memory()
faults(2)
print(without, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told")
def test_large_blocks_are_not_fetched_from_the_system_again():
    """Counted in page faults, which a busy machine does not change."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    without, kept = map(int, done.stdout.split())
    assert without > 1000
    assert kept < without / 10


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_nothing_is_called(monkeypatch, platform):
    def refuse(name):
        raise AssertionError("no C library is asked")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(memory.ctypes, "CDLL", refuse)
    memory.keep_freed_memory.__wrapped__()
