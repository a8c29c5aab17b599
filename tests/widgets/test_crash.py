"""kill -9 while somebody paints and trains: what is kept is whole, and at most 10 s old."""

from __future__ import annotations

import os

import pytest
from benchmarks.crash import one_try

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")


HAS_SCREEN = os.environ.get("QT_QPA_PLATFORM") != "offscreen"


@pytest.mark.parametrize(
    ("seed", "after_s", "window"), [(1, 4.0, False), (2, 7.5, False), (3, 4.0, HAS_SCREEN)]
)
def test_a_killed_program_leaves_its_work(tmp_path, seed, after_s, window):
    found = one_try(tmp_path, after_s, side=160, seed=seed, window=window)
    assert found.is_same, "labels and touched pixels are those that were handed over"
    assert found.n_lost < found.n_actions
    assert found.lost_s <= 10
    assert "locked" not in found.told
