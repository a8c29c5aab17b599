"""Between the region panel and the regions that were found in the tile that is shown."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.regions import RegionLabelSettings
from napari_selfseg.widgets.nucleus_click import NucleusClick
from napari_selfseg.widgets.region_panel import RegionPanel
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.touched_outline import TouchedOutline


class RegionControl(QObject):
    """Shows one `RegionWork` at a time and hands on what the user wants of it.

    Parameters
    ----------
    viewer : napari viewer
    panel : RegionPanel
    owner : QWidget

    Attributes
    ----------
    shown : Signal()
        Something changed in what is shown.
    """

    shown = Signal()

    def __init__(self, viewer: Any, panel: RegionPanel, owner: QWidget) -> None:
        super().__init__(owner)
        self._panel = panel
        self.work: RegionWork | None = None
        self._is_learning = False
        self.outline = TouchedOutline(viewer, panel.touched_box, owner)
        self.structure_click = NucleusClick(viewer, self)
        self.structure_click.clicked.connect(self._take_click)
        self.structure_click.cancelled.connect(lambda: panel.set_picking(False))
        self.structure_click.missed.connect(
            lambda: panel.problem.tell("That was beside the tile: click inside it.")
        )
        panel.click_wanted.connect(self._wait_for_click)
        panel.all_wanted.connect(lambda: self.work and self.work.take("regions"))
        panel.table.renamed.connect(lambda k, name: self.work and self.work.rename(k, name))
        panel.table.objects_wanted.connect(lambda k: self.work and self.work.take_structure(k))
        panel.sliders.changed.connect(lambda s: self.work and self.work.set_label_settings(s))
        panel.sliders.reset_wanted.connect(self._reset)

    def show_work(self, work: RegionWork | None) -> None:
        """Show another tile's regions, or none."""
        if work is self.work:
            return
        self.structure_click.stop()
        self._panel.problem.tell("")
        if self.work is not None:
            self.work.changed.disconnect(self._refresh)
            self.work.failed.disconnect(self._panel.problem.tell)
        self.work = work
        if work is not None:
            work.changed.connect(self._refresh)
            work.failed.connect(self._panel.problem.tell)
        self._refresh()

    def set_learning(self, on: bool) -> None:
        """Say whether a training goes on."""
        self._is_learning = on
        if on:
            self.structure_click.stop()
        self._refresh()

    def _refresh(self) -> None:
        work, panel = self.work, self._panel
        self.outline.follow(None if work is None else work.editable())
        if work is None or work.result is None or work.active is None:
            panel.show_nothing(self._is_learning)
            self.shown.emit()
            return
        panel.table.show_classes(work.result.names, work.shares(), work.result.structure)
        panel.show_found(work.count, work.result.labels_used, work.active == "regions")
        if panel.sliders.settings() != work.settings:
            panel.sliders.show_settings(work.settings, work.tile_view.tile.um_per_px)
        panel.show_provenance(work.provenance())
        self.shown.emit()

    def _reset(self) -> None:
        if self.work is not None:
            self.work.set_label_settings(RegionLabelSettings())
            self._refresh()

    def _wait_for_click(self, on: bool) -> None:
        self._panel.problem.tell("")
        if on and self.work is not None and self.work.result is not None:
            self.structure_click.start(self.work.tile_view)
        else:
            self.structure_click.stop()
            self._panel.set_picking(False)

    def _take_click(self, row: int, column: int) -> None:
        self._panel.set_picking(False)
        if self.work is not None:
            self.work.take_structure_at(row, column)
