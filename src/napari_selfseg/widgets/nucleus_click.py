"""Waiting for one click on a nucleus in the image, and the button that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QApplication, QPushButton

from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.layers import TileView
from napari_selfseg.widgets.style import with_role

SLIP = 4  # px of the screen the mouse may move within a click; more is dragging the view


class NucleusClick(QObject):
    """Tells the tile pixel under the next click; dragging still moves the view.

    While it waits, the active layer's tool is put aside, so that the click paints nothing.

    Parameters
    ----------
    viewer : napari viewer
    parent : QObject

    Attributes
    ----------
    clicked : Signal(int, int)
        Row and column in the tile.
    missed : Signal()
        The click was beside the tile.
    cancelled : Signal()
        Esc was pressed.
    """

    clicked = Signal(int, int)
    missed = Signal()
    cancelled = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._tile_view: TileView | None = None
        self._put_aside: tuple[Any, str] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the next click counts."""
        return self._tile_view is not None

    def start(self, tile_view: TileView) -> None:
        """Wait for a click on a tile."""
        self.stop()
        self._tile_view = tile_view
        active = self._viewer.layers.selection.active
        if active is not None and str(active.mode) not in ("pan_zoom", "transform"):
            self._put_aside = active, str(active.mode)
            active.mode = "pan_zoom"
        self._viewer.mouse_drag_callbacks.insert(0, self._on_press)
        QApplication.instance().installEventFilter(self)

    def stop(self) -> None:
        """Wait no longer; the tool is given back. Harmless when it does not wait."""
        if self._tile_view is None:
            return
        self._tile_view = None
        QApplication.instance().removeEventFilter(self)
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        aside, self._put_aside = self._put_aside, None
        if aside is not None and aside[0] in self._viewer.layers:
            aside[0].mode = aside[1]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let Esc cancel, wherever the keyboard is."""
        if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:
            self.stop()
            self.cancelled.emit()
            return True
        return False

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        start = event.pos
        moved = 0.0
        yield
        while event.type == "mouse_move":
            moved = max(moved, *(abs(float(a - b)) for a, b in zip(event.pos, start, strict=True)))
            yield
        if moved > SLIP or self._tile_view is None:
            return
        found = self._tile_view.to_tile(event.position)
        if found is None:
            self.missed.emit()
            return
        self.stop()
        self.clicked.emit(*found)


class ClickButton(QPushButton):
    """Asks for one click in the image, and says so while it is awaited.

    Parameters
    ----------
    title : str
        What it says otherwise.
    tip : str
    """

    def __init__(self, title: str, tip: str) -> None:
        super().__init__()
        with_role(self, "toggle", tip)
        self.setCheckable(True)
        self._title = title
        self.toggled.connect(self._name)
        self._name(False)

    def set_waiting(self, on: bool) -> None:
        """Show whether a click is awaited, without asking for one."""
        self.blockSignals(True)
        self.setChecked(on)
        self.blockSignals(False)
        self._name(on)

    def _name(self, waiting: bool) -> None:
        self.setText("Click one now … (Esc)" if waiting else self._title)
