"""One thread and few examples: the tests share their cores and repeat exactly."""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "few",
    deadline=None,
    max_examples=12,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("few")


@pytest.fixture(autouse=True)
def one_thread():
    """Set torch to one thread where it is loaded; a run may have asked for more."""
    torch = sys.modules.get("torch")  # never imported from here: the window's tests do without
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_sessions(monkeypatch, tmp_path_factory):
    """Keep the sessions of a test in a folder of its own, never in the user's."""
    place = tmp_path_factory.mktemp("sessions", numbered=True)
    monkeypatch.setenv("NAPARI_SELFSEG_SESSIONS", str(place))
    return place
