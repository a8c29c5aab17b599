"""The clock of a run: how often it tells something, and how long it will still take."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.session.updates import Progress

if TYPE_CHECKING:
    from napari_selfseg.core.learning.convergence import ConvergenceMonitor
    from napari_selfseg.session.watch import RegionWatch

UPDATE_EVERY = 0.1  # s between two progress updates
MEASURING_SPEED = 3  # steps before the remaining time is told


class RunClock:
    """Seconds since the start, the throttle of the updates, and the time that is left.

    Parameters
    ----------
    n_steps : int
        Steps at most, all phases together.
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.paused_for = 0.0
        self._start = self._told = time.perf_counter()
        self._n_told = 0

    @property
    def seconds(self) -> float:
        """Since the start, pauses included."""
        return time.perf_counter() - self._start

    def is_time_to_tell(self) -> bool:
        """Whether the last update is a tenth of a second ago."""
        return time.perf_counter() - self._told >= UPDATE_EVERY

    def progress(
        self, steps: list[TrainingStep], monitor: ConvergenceMonitor | RegionWatch, phase: str
    ) -> Progress:
        """Return the update with the steps that were not told yet."""
        # read here, where the training runs: a window would wait for the graphics card
        new = tuple(replace(s, measures=dict(s.measures)) for s in steps[self._n_told :])
        self._n_told = len(steps)
        self._told = time.perf_counter()
        taken = steps[-1].step if steps else 0  # more than were counted: starts may end early
        per_step = (self.seconds - self.paused_for) / max(1, len(steps))
        left = per_step * (self.n_steps - taken) if len(steps) >= MEASURING_SPEED else None
        last = monitor.last
        return Progress(
            step=taken,
            n_steps=self.n_steps,
            phase=phase,
            steps=new,
            seconds=self.seconds,
            seconds_left=left,
            skipped=int(steps[-1].measures.get("skipped", 0)) if steps else 0,
            note=" ".join(step.note for step in new if step.note),
            histogram=None if last is None else last.histogram,
            score=None if last is None else last.score,
        )
