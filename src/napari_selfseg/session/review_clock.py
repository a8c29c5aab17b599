"""Seconds that a person really works: the clock stands while nobody does anything."""

from __future__ import annotations

import time
from collections.abc import Callable

IDLE = 30.0  # s without a key, a click or a move of the mouse


class ReviewClock:
    """Counts the seconds since the last `restart`, without idle ones.

    Parameters
    ----------
    now : callable() -> float
        Seconds of any clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.restart()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has done anything for half a minute."""
        return self._now() - self._last >= IDLE

    @property
    def seconds(self) -> float:
        """Since `restart`; at most `IDLE` of any time in which nothing was done."""
        return self._seconds + min(self._now() - self._last, IDLE)

    def act(self) -> None:
        """Say that somebody did something."""
        self._seconds, self._last = self.seconds, self._now()

    def restart(self) -> float:
        """Begin at 0 again; return the seconds until now."""
        passed = self.seconds if hasattr(self, "_last") else 0.0
        self._seconds, self._last = 0.0, self._now()
        return passed
