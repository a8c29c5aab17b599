"""Following a run that learns, with a progress bar, until it ends or is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_selfseg.cli.console import ProgressBar, interruptions

if TYPE_CHECKING:
    from napari_selfseg.session.steered import SteeredRun


def follow(run: SteeredRun) -> tuple[Any, bool]:
    """Return the result of a run, and whether the user interrupted it.

    Raises
    ------
    RunError
        If it gives no result.
    """
    from napari_selfseg.session.steered import RunError
    from napari_selfseg.session.updates import Finished, Progress

    result, bar = None, ProgressBar()
    with interruptions(run.stop) as was_interrupted:
        for update in run.updates():
            if isinstance(update, Progress):
                if update.note:
                    bar.say(update.note)
                bar.update(update.step, update.n_steps, update.phase, update.seconds_left)
            elif isinstance(update, Finished):
                result = update.result
        bar.close()
        interrupted = was_interrupted()
    if result is None:
        raise RunError("The run gave no result.")
    return result, interrupted
