"""Between the export panel and the disk: labels, confidence, runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.session.store import StoredRegions, StoredRun, load_run, save_run
from napari_selfseg.session.store import write_confidence as write_confidence_file
from napari_selfseg.session.store import write_labels as write_labels_file
from napari_selfseg.widgets.background import run_once
from napari_selfseg.widgets.export_panel import ExportPanel
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.tile_work import TileWork


class Storing(QObject):
    """Writes what is shown, and opens stored runs, in the background.

    Parameters
    ----------
    panel : ExportPanel
    owner : QWidget

    Attributes
    ----------
    opened : Signal(object)
        A `StoredRun` or `StoredRegions` the user has opened.
    """

    opened = Signal(object)

    def __init__(self, panel: ExportPanel, owner: QWidget) -> None:
        super().__init__(owner)
        self._panel, self._owner = panel, owner
        self._work: TileWork | RegionWork | None = None
        panel.labels_path.connect(self.write_labels)
        panel.confidence_path.connect(self.write_confidence)
        panel.run_folder.connect(self.write_run)
        panel.open_folder.connect(self.open_run)

    def show_work(self, work: TileWork | RegionWork | None) -> None:
        """Offer to save what was found in this tile."""
        self._work = work
        has_labels = work is not None and work.has_labels
        has_run = work is not None and work.has_run
        self._panel.set_available(has_labels, has_run)
        if work is not None:
            self._panel.suggested_name = file_stem(work.tile_view.tile.name)

    def write_labels(self, path: str) -> None:
        """Write the active labels, with what a person changed."""
        work = self._work
        labels = work.current_labels() if work is not None else None
        if work is not None and labels is not None:
            scale = work.tile_view.tile.um_per_px
            self._do(lambda: write_labels_file(path, labels, scale), path)

    def write_confidence(self, path: str) -> None:
        """Write the map that the active labels were made of, or all memberships."""
        work = self._work
        if work is not None and work.has_labels:
            confidence = map_of(work)
            scale = work.tile_view.tile.um_per_px
            self._do(lambda: write_confidence_file(path, confidence, scale), path)

    def write_run(self, folder: str) -> None:
        """Write the run with the learned labels."""
        work = self._work
        if work is not None and work.result is not None:
            self._do(run_writer(work, folder, self._panel.anonymous.isChecked()), folder)

    def open_run(self, folder: str) -> None:
        """Read a run folder."""
        self._panel.show_busy(f"Opening {Path(folder).name} …")
        run_once(lambda: load_run(folder), self._on_opened, self._on_failed, self._owner)

    def _do(self, function: Callable[[], Any], path: str) -> None:
        self._panel.show_busy("Saving …")
        done = f"Saved as {Path(path).name}."
        run_once(function, lambda _: self._panel.show_done(done), self._on_failed, self._owner)

    def _on_opened(self, stored: StoredRun | StoredRegions) -> None:
        self._panel.show_busy("")
        self.opened.emit(stored)

    def _on_failed(self, sentence: str, _details: str) -> None:
        self._panel.show_problem(sentence)


def map_of(work: TileWork | RegionWork) -> NDArray[Any]:
    """Return the map (M, N) that the active labels were made of; of regions all (K, M, N)."""
    return (
        work.result.maps
        if isinstance(work, RegionWork)
        else work.candidates[work.active].confidence
    )


def run_writer(work: TileWork | RegionWork, folder: str, anonymous: bool) -> Callable[[], None]:
    """Return the function that writes a run as it is now; any thread may call it."""
    if isinstance(work, RegionWork):
        return work.run_writer(folder, anonymous)
    result, labels = work.result, work.labels_of("learned")
    settings = work.candidates["learned"].settings
    return lambda: save_run(result, folder, labels, settings, anonymous)


def file_stem(name: str) -> str:
    """Return a layer's name as the beginning of a file name on any system."""
    return re.sub(r'[\\/:*?"<>|\s]+', "_", name).strip("._") or "tile"
