"""Between the training panel and a training run: starts it, shows it, ends it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.shown_run import THREADS, ShownRun
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.training_panel import TrainingPanel


class TrainingControl(QObject):
    """Runs one training at a time.

    Parameters
    ----------
    viewer : napari viewer
    panel : TrainingPanel
        Asks; it is told what happens.
    owner : QWidget
        Nothing is told any more once it was destroyed.

    Attributes
    ----------
    started, ended : Signal()
    finished : Signal(object, object)
        The `TileWork` and its `RunResult`, or the `RegionWork` and its `RegionResult`; before
        ``ended``.
    """

    started = Signal()
    ended = Signal()
    finished = Signal(object, object)

    def __init__(self, viewer: Any, panel: TrainingPanel, owner: QWidget) -> None:
        super().__init__(owner)
        self._panel = panel
        self._shown = ShownRun(viewer, "SelfSeg training", owner)
        self._shown.progressed.connect(panel.show_progress)
        self._shown.finished.connect(self._on_finished)
        self._shown.failed.connect(self._on_failed)
        self._shown.ended.connect(self._on_ended)
        panel.stop_wanted.connect(self.stop)
        panel.pause_wanted.connect(lambda: self._hold(True))
        panel.resume_wanted.connect(lambda: self._hold(False))

    @property
    def is_running(self) -> bool:
        """Whether a training goes on."""
        return self._shown.is_running

    def start(self, work: TileWork | RegionWork, others: tuple[Tile, ...]) -> None:
        """Learn from the tile of ``work`` and from other tiles, as the panel says."""
        settings = self._panel.settings()
        if self.is_running or settings is None:
            return
        tiles = (work.tile_view.tile, *others)
        request = TrainingRequest(tiles, settings, self._panel.method, threads=THREADS)
        self._panel.show_started()
        work.make_way()
        self._shown.start(TrainingRun(request), work, getattr(settings, "n_classes", 0))
        self.started.emit()

    def stop(self) -> None:
        """Ask for the end; the best map so far becomes the result."""
        if self._shown.run is not None:
            self._shown.run.stop()
            self._panel.show_stopping()

    def abandon(self) -> None:
        """End without a result, because the window goes away. Harmless when nothing runs."""
        self._shown.close()

    def _hold(self, pause: bool) -> None:
        run = self._shown.run
        if run is None or run.stopping:
            return
        (run.pause if pause else run.resume)()
        self._panel.show_paused(pause)

    def _on_finished(self, work: TileWork | RegionWork, result: Any) -> None:
        choice = getattr(result, "choice", None)  # of classes none is chosen, nor a network
        self._panel.show_finished(
            result.stopped_because, None if choice is None else result.best_step
        )
        self._panel.curves.highlight(None if choice is None else choice.channel)
        self.finished.emit(work, result)

    def _on_failed(self, work: TileWork | RegionWork, sentence: str) -> None:
        self._panel.show_problem(sentence)
        work.give_way_back()

    def _on_ended(self, work: TileWork | RegionWork, has_told: bool) -> None:
        if not has_told:
            self._panel.show_idle()
            work.give_way_back()
        self.ended.emit()
