"""A run that goes on in another thread: stop, pause, and faults as one sentence for the user."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from napari_selfseg.core.images.tile import TileError
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.session.clock import RunClock
from napari_selfseg.session.preview import LivePreview
from napari_selfseg.session.result import StoppedBy
from napari_selfseg.session.updates import Preview, Update
from napari_selfseg.session.watch import RegionWatch

PAUSE_POLL = 0.1  # s between two looks at the pause switch


class RunError(Exception):
    """A run that cannot start or go on; the message is one sentence for the user.

    Never a RuntimeError: napari's worker would swallow that.
    """


class SteeredRun(ABC):
    """What can be asked of a run while it goes on.

    `updates` is to be iterated once, in any one thread; `stop`, `pause`, `resume`, `abandon`
    and `look_at` may be called from any other at any time, also twice.

    Parameters
    ----------
    preview : LivePreview or None
        Draws the map of the tile in view.
    """

    def __init__(self, preview: LivePreview | None) -> None:
        self._stop, self._abandon, self._pause = (threading.Event() for _ in range(3))
        self._preview = preview

    def stop(self) -> None:
        """End the training after or within the current step; the result is still made."""
        self._stop.set()

    def abandon(self) -> None:
        """End as soon as possible without a result."""
        self._abandon.set()
        self._stop.set()

    def pause(self) -> None:
        """Hold the training after the current step."""
        self._pause.set()

    def resume(self) -> None:
        """Go on after a pause."""
        self._pause.clear()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether a pause was asked for."""
        return self._pause.is_set()

    def look_at(self, rows: slice, columns: slice) -> None:
        """Say which part of the tile (px) is visible, to be previewed first."""
        if self._preview is not None:
            self._preview.look_at(rows, columns)

    def updates(self) -> Iterator[Update]:
        """Train, and yield `Progress`, `Preview` and at last `Finished`.

        Raises
        ------
        RunError
            Before the first update if the request makes no sense; later if training fails.
        """
        try:
            self.check_request()
            yield from self._train()
        except (RunError, GeneratorExit):
            raise
        except MemoryError as error:
            raise RunError("There is not enough memory; choose a smaller region.") from error
        except Exception as error:
            if type(error).__name__ == "PredictionStopped":
                return
            if type(error).__name__ == "TrainingFailed" or isinstance(error, TileError):
                raise RunError(str(error)) from error
            raise RunError(f"The training failed: {error}") from error

    @abstractmethod
    def check_request(self) -> None:
        """Raise `RunError` with one sentence if this request cannot be run."""

    @abstractmethod
    def _train(self) -> Iterator[Update]:
        """Do what was asked for; `updates` explains what goes wrong."""

    def _follow(
        self,
        fit: Generator[TrainingStep, None, None],
        clock: RunClock,
        steps: list[TrainingStep],
        completed: str,
        shown: Callable[[TrainingStep], Preview | None] = lambda _: None,
    ) -> Generator[Update, None, tuple[StoppedBy, str]]:
        """Take the steps of a training one by one into ``steps``: tell of them, pause, stop.

        Parameters
        ----------
        fit : generator of TrainingStep
            Is closed in the end, so that it can put its model in order.
        clock : RunClock
        steps : list
            Of what was done so far.
        completed : str
            What to say when it went through to its end.
        shown : callable(TrainingStep) -> Preview or None
            What is to be shown after a step.

        Returns
        -------
        tuple of str
            What ended it, and one sentence about that for the user.

        Raises
        ------
        TrainingFailed
            If it failed before the first step was taken.
        """
        from napari_selfseg.core.learning.training import TrainingFailed

        watch = RegionWatch()
        try:
            with closing(fit):
                for step in fit:
                    steps.append(step)
                    if clock.is_time_to_tell() or step.note:
                        yield clock.progress(steps, watch, step.phase)
                    piece = shown(step)
                    if piece is not None:
                        yield piece
                    self._hold(clock)
                    if self._stop.is_set():
                        break
        except TrainingFailed as error:
            if not steps:
                raise
            return "unstable", str(error)
        if self._stop.is_set():
            return (
                "user",
                f"You stopped after {len(steps)} steps; what was learned by then is used.",
            )
        return "steps", completed

    def _hold(self, clock: RunClock) -> None:
        """Wait while paused."""
        start = time.perf_counter()
        while self._pause.is_set() and not self._stop.wait(PAUSE_POLL):
            pass
        clock.paused_for += time.perf_counter() - start
