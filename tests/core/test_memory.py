"""Freed memory stays with the process where the C library can be told to."""

import subprocess
import sys
from types import SimpleNamespace

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
    assert without > 200  # huge pages make them few
    assert kept < without / 10


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_nothing_is_called(monkeypatch, platform):
    def refuse(name):
        raise AssertionError("no C library is asked")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(memory.ctypes, "CDLL", refuse)
    memory.keep_freed_memory.__wrapped__()


@pytest.mark.parametrize(
    ("largest", "asked"),
    [(2**30, [2**30]), (2**25, [2**30, 2**25]), (0, [2**30, 2**25])],
)
def test_an_old_library_is_asked_for_less_or_left_alone(monkeypatch, largest, asked):
    calls = []

    def mallopt(what, value):
        calls.append((what, value))
        return int(what != memory.M_MMAP_THRESHOLD or value <= largest)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    memory.keep_freed_memory.__wrapped__()
    assert [value for what, value in calls if what == memory.M_MMAP_THRESHOLD] == asked
    others = {what for what, _ in calls} - {memory.M_MMAP_THRESHOLD}
    assert others == ({memory.M_TRIM_THRESHOLD, memory.M_TOP_PAD} if largest else set())


def test_a_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace())
    memory.keep_freed_memory.__wrapped__()
