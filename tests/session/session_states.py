"""Small states of a session, and what says whether two are the same."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

import numpy as np

from napari_selfseg.session.session_state import LayerWork, SessionState

SHAPE = (24, 31)


def layer(seed=0, dtype=np.uint16, shape=SHAPE):
    """Return a labels layer with touched pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 200, shape).astype(dtype)
    touched = rng.random(shape) < 0.1
    reserved = np.unique(np.r_[labels[touched], 250]).astype(np.int64)
    return LayerWork(labels, touched, reserved, {"threshold": 0.25 + seed})


def state(seed=0, **values):
    """Return a state of two layers."""
    layers = {"learned": layer(seed), "threshold": layer(7, np.uint8)}
    return SessionState(layers, {"review": [seed, "kept"], **values})


def same(one, other):
    """Whether two states hold the same."""
    return (
        set(one.layers) == set(other.layers)
        and all(same_layer(one.layers[name], other.layers[name]) for name in one.layers)
        and one.values == other.values
    )


def same_layer(one, other):
    pairs = ((getattr(w, name) for w in (one, other)) for name in ("labels", "touched", "reserved"))
    alike = all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)
    return alike and dict(one.settings) == dict(other.settings)


class Killed(BaseException):
    """The program is no more; nothing of it may run."""


@contextmanager
def file_operations(monkeypatch, fault):
    """Call ``fault(number, name)`` before every operation that changes files.

    It raises, or says how many bytes of a write still reach the disk (None: all).
    """
    done = [0]

    def watch(name, function):
        def operation(*args, **kwargs):
            done[0] += 1
            some = fault(done[0], name)
            if name == "write" and some is not None:
                function(args[0], args[1][:some])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        return operation

    names = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir")
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(os, name, watch(name, getattr(os, name)))
        yield done
