"""Clicking and drawing on the canvas for a tool of ours, with a thin line while one draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QApplication, QWidget

from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.nucleus_click import SLIP

LINE, HALO = QColor(255, 214, 0), QColor(0, 0, 0, 150)  # seen on tissue and on labels


class CanvasGesture(QObject):
    """Tells clicks and drawn lines over one layer, until it is stopped.

    Meanwhile the layer's own tool is put aside. Who draws can move the view with the space bar
    held down; where only clicks count, dragging moves it. It ends with Esc, and when another
    layer or another tool is chosen. Esc while a line is drawn takes back the line only.

    Parameters
    ----------
    viewer : napari viewer
    parent : QObject

    Attributes
    ----------
    clicked : Signal(object)
        A world position.
    drawn : Signal(object)
        The world positions (P, D) of a line.
    ended : Signal()
        It was stopped, by whomever.
    """

    clicked = Signal(object)
    drawn = Signal(object)
    ended = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._layer: Labels | None = None
        self._former_mode = ""
        self._draws, self._closes, self._moves_view = False, False, False
        self._path: list[Any] | None = None
        self._line: _LineOverCanvas | None = None
        self._double_clicks: list[Any] = []

    @property
    def is_going_on(self) -> bool:
        """Whether clicks and lines count."""
        return self._layer is not None

    def start(self, layer: Labels, draws: bool, closes: bool = False) -> None:
        """Begin on a layer, which must be the active one.

        Parameters
        ----------
        layer : Labels
        draws : bool
            Whether dragging draws a line; else it moves the view.
        closes : bool
            Whether the line is shown as an outline.
        """
        self.stop()
        self._former_mode = str(layer.mode)
        layer.mode = "pan_zoom"
        self._layer, self._draws, self._closes = layer, draws, closes
        layer.mouse_pan, layer.cursor = not draws, "crosshair" if draws else "pointing"
        layer.events.mode.connect(self._on_foreign_tool)
        viewer = self._viewer
        viewer.layers.selection.events.active.connect(self._on_foreign_tool)
        viewer.mouse_drag_callbacks.insert(0, self._on_press)
        # two quick clicks are two clicks; napari would zoom in
        self._double_clicks = list(viewer.mouse_double_click_callbacks)
        viewer.mouse_double_click_callbacks.clear()
        QApplication.instance().installEventFilter(self)

    def stop(self, give_back: bool = True) -> None:
        """End it; harmless when it is not going on.

        Parameters
        ----------
        give_back : bool
            Whether the layer gets the tool again that it had before.
        """
        layer, self._layer = self._layer, None
        if layer is None:
            return
        self._drop_line()
        self._moves_view = False
        viewer = self._viewer
        QApplication.instance().removeEventFilter(self)
        layer.events.mode.disconnect(self._on_foreign_tool)
        viewer.layers.selection.events.active.disconnect(self._on_foreign_tool)
        if self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)
        viewer.mouse_double_click_callbacks[:0] = self._double_clicks
        if str(layer.mode) == "pan_zoom":
            layer.mouse_pan, layer.cursor = True, "standard"
            if give_back and layer in viewer.layers:
                layer.mode = self._former_mode
        self.ended.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let Esc end it, and the space bar move the view, wherever the keyboard is."""
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        if self._layer is None or event.type() not in kinds or event.isAutoRepeat():
            return False
        is_press = event.type() == QEvent.Type.KeyPress
        if is_press and event.key() == Qt.Key.Key_Escape:
            if self._path is not None:
                self._drop_line()
            else:
                self.stop()
            return True
        if event.key() == Qt.Key.Key_Space and self._draws and self._path is None:
            self._moves_view = self._layer.mouse_pan = is_press
        return False

    def _on_foreign_tool(self, _event: Any = None) -> None:
        self.stop(give_back=False)

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or self._moves_view or "Alt" in event.modifiers:
            return
        start, position, moved = event.pos, event.position, 0.0
        if self._draws:
            self._path = [position]
            self._line = _LineOverCanvas.over(self._viewer, self._closes)
            self._extend(start)
        yield
        while event.type == "mouse_move":
            moved = max(moved, *(abs(float(a - b)) for a, b in zip(event.pos, start, strict=True)))
            if self._path is not None:
                self._path.append(event.position)
                self._extend(event.pos)
            yield
        path = self._path
        self._drop_line()
        if self._layer is None or (self._draws and path is None):
            return  # cancelled meanwhile
        if moved <= SLIP:
            self.clicked.emit(position)
        elif path is not None:
            self.drawn.emit(np.array(path, dtype=float))

    def _extend(self, pos: Any) -> None:
        if self._line is not None:
            self._line.extend(float(pos[0]), float(pos[1]))

    def _drop_line(self) -> None:
        self._path = None
        line, self._line = self._line, None
        if line is not None and isalive(line):
            line.hide()
            line.deleteLater()


class _LineOverCanvas(QWidget):
    """A thin line over the canvas, which is no layer and takes no mouse."""

    def __init__(self, canvas: QWidget, closes: bool) -> None:
        super().__init__(canvas)
        self._points = QPolygonF()
        self._closes = closes
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setGeometry(canvas.rect())
        self.show()

    @classmethod
    def over(cls, viewer: Any, closes: bool) -> _LineOverCanvas | None:
        """Return a line over a viewer's canvas; None if it has no window."""
        canvas = getattr(
            getattr(getattr(viewer, "window", None), "_qt_viewer", None), "canvas", None
        )
        native = getattr(canvas, "native", None)
        return None if native is None else cls(native, closes)

    def extend(self, x: float, y: float) -> None:
        """Go on to a place, in px of the screen."""
        self._points.append(QPointF(x, y))
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw the line, and dashed what would close it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((HALO, 3.5), (LINE, 1.5)):
            painter.setPen(QPen(colour, width))
            painter.drawPolyline(self._points)
        if self._closes and self._points.size() > 2:
            painter.setPen(QPen(LINE, 1.0, Qt.PenStyle.DashLine))
            painter.drawLine(self._points.last(), self._points.first())
