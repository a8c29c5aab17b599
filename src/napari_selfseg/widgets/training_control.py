"""Between the training panel and a training run: starts it, shows it, ends it."""

from __future__ import annotations

import logging
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.session.updates import Finished, Preview, Progress
from napari_selfseg.widgets import background
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.layers import visible_field
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.training_panel import TrainingPanel

THREADS = 1  # of torch: a second one gains little here, and the window needs a core
LOOK_MS = 150  # after the camera's last move

logger = logging.getLogger(__name__)


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
        self._viewer, self._panel, self._owner = unwrapped(viewer), panel, owner
        self._run: TrainingRun | None = None
        self._work: TileWork | RegionWork | None = None
        self._told = False
        self._look_soon = QTimer(self)
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(LOOK_MS)
        self._look_soon.timeout.connect(self._look)
        panel.stop_wanted.connect(self.stop)
        panel.pause_wanted.connect(lambda: self._hold(True))
        panel.resume_wanted.connect(lambda: self._hold(False))
        self._viewer.scene.camera.events.center.connect(self._on_camera)
        self._viewer.scene.camera.events.zoom.connect(self._on_camera)

    @property
    def is_running(self) -> bool:
        """Whether a training goes on."""
        return self._run is not None

    def start(self, work: TileWork | RegionWork, others: tuple[Tile, ...]) -> None:
        """Learn from the tile of ``work`` and from other tiles, as the panel says."""
        settings = self._panel.settings()
        if self._run is not None or settings is None:
            return
        tiles = (work.tile_view.tile, *others)
        request = TrainingRequest(tiles, settings, self._panel.method, threads=THREADS)
        self._run, self._work, self._told = TrainingRun(request), work, False
        self._panel.show_started()
        work.make_way()
        work.layers.prepare_preview(getattr(settings, "n_classes", 0))
        self._look()
        self.started.emit()
        background.start(
            self._run.updates(), self._on_update, self._on_error, self._on_done, self._owner
        )

    def stop(self) -> None:
        """Ask for the end; the best map so far becomes the result."""
        if self._run is not None:
            self._run.stop()
            self._panel.show_stopping()

    def abandon(self) -> None:
        """End without a result, because the window goes away. Harmless when nothing runs."""
        camera = self._viewer.scene.camera.events
        for event in (camera.center, camera.zoom):
            if self._on_camera in event.callbacks:
                event.disconnect(self._on_camera)
        if self._run is not None:
            self._run.abandon()
        if self._work is not None:
            self._work.layers.remove_preview()

    def _hold(self, pause: bool) -> None:
        if self._run is None or self._run.stopping:
            return
        (self._run.pause if pause else self._run.resume)()
        self._panel.show_paused(pause)

    def _on_camera(self, *_: Any) -> None:
        if self._run is not None and not self._look_soon.isActive():
            self._look_soon.start()

    def _look(self) -> None:
        if self._run is not None and self._work is not None:
            self._run.look_at(*visible_field(self._viewer, self._work.tile_view))

    def _on_update(self, update: Any) -> None:
        if isinstance(update, Progress):
            self._panel.show_progress(update)
        elif isinstance(update, Preview) and self._work is not None:
            self._work.layers.show_preview(update.rows, update.columns, update.confidence)
        elif isinstance(update, Finished):
            result = update.result
            self._told = True
            choice = getattr(result, "choice", None)  # of classes none is chosen, nor a network
            kept_step = None if choice is None else result.best_step
            self._panel.show_finished(result.stopped_because, kept_step)
            self._panel.curves.highlight(None if choice is None else choice.channel)
            self.finished.emit(self._work, result)

    def _on_error(self, sentence: str, details: str) -> None:
        logger.info(details)
        self._told = True
        self._panel.show_problem(sentence)
        if self._work is not None:
            self._work.give_way_back()

    def _on_done(self) -> None:
        if not self._told:
            self._panel.show_idle()
            if self._work is not None:
                self._work.give_way_back()
        self._run = self._work = None
        self.ended.emit()
