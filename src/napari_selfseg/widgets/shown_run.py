"""A run in the background whose map is seen in the viewer while it learns."""

from __future__ import annotations

import logging
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.session.steered import SteeredRun
from napari_selfseg.session.updates import Finished, Preview, Progress
from napari_selfseg.widgets import background
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.layers import visible_field
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.tile_work import TileWork

THREADS = 1  # of torch: a second one gains little here, and the window needs a core
LOOK_MS = 150  # after the camera's last move

logger = logging.getLogger(__name__)


class ShownRun(QObject):
    """Runs one thing at a time for a tile, and shows its map there.

    Parameters
    ----------
    viewer : napari viewer
    title : str
        What napari calls it when it asks before closing.
    owner : QWidget
        Nothing is told any more once it was destroyed.

    Attributes
    ----------
    progressed : Signal(object)
        A `Progress`.
    finished : Signal(object, object)
        For which work, and the result.
    failed : Signal(object, str)
        For which work, and one sentence for the user.
    ended : Signal(object, bool)
        For which work, and whether there was a result or a failure; at last, however it ended.
    """

    progressed = Signal(object)
    finished = Signal(object, object)
    failed = Signal(object, str)
    ended = Signal(object, bool)

    def __init__(self, viewer: Any, title: str, owner: QWidget) -> None:
        super().__init__(owner)
        self._viewer, self._title, self._owner = unwrapped(viewer), title, owner
        self.run: SteeredRun | None = None
        self.work: TileWork | RegionWork | None = None
        self._has_told = False
        self._look_soon = QTimer(self)
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(LOOK_MS)
        self._look_soon.timeout.connect(self._look)
        self._viewer.scene.camera.events.center.connect(self._on_camera)
        self._viewer.scene.camera.events.zoom.connect(self._on_camera)

    @property
    def is_running(self) -> bool:
        """Whether something runs."""
        return self.run is not None

    def start(self, run: SteeredRun, work: TileWork | RegionWork, n_classes: int = 0) -> None:
        """Begin, for the tile of ``work``; ``n_classes`` as `ResultLayers.prepare_preview`."""
        self.run, self.work, self._has_told = run, work, False
        work.layers.prepare_preview(n_classes)
        self._look()
        background.start(
            run.updates(),
            self._on_update,
            self._on_error,
            self._on_done,
            self._owner,
            self._title,
        )

    def abandon(self) -> None:
        """End without a result. Harmless when nothing runs."""
        if self.run is not None:
            self.run.abandon()

    def close(self) -> None:
        """End without a result, because the window goes away."""
        camera = self._viewer.scene.camera.events
        for event in (camera.center, camera.zoom):
            if self._on_camera in event.callbacks:
                event.disconnect(self._on_camera)
        self.abandon()
        if self.work is not None:
            self.work.layers.remove_preview()

    def _on_camera(self, *_: Any) -> None:
        if self.run is not None and not self._look_soon.isActive():
            self._look_soon.start()

    def _look(self) -> None:
        if self.run is not None and self.work is not None:
            self.run.look_at(*visible_field(self._viewer, self.work.tile_view))

    def _on_update(self, update: Any) -> None:
        if isinstance(update, Progress):
            self.progressed.emit(update)
        elif isinstance(update, Preview) and self.work is not None:
            self.work.layers.show_preview(update.rows, update.columns, update.confidence)
        elif isinstance(update, Finished):
            self._has_told = True
            self.finished.emit(self.work, update.result)

    def _on_error(self, sentence: str, details: str) -> None:
        logger.info(details)
        self._has_told = True
        self.failed.emit(self.work, sentence)

    def _on_done(self) -> None:
        work, self.run, self.work = self.work, None, None
        self.ended.emit(work, self._has_told)
