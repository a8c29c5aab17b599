"""A mouse for the canvas of a real viewer."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication


class Drag:
    """Press, move, release on the canvas; pytest-qt's own mouse moves do not drag there.

    Parameters
    ----------
    viewer : napari.Viewer
        Shown.
    qtbot : QtBot
    """

    def __init__(self, viewer, qtbot):
        self.native = viewer.window._qt_viewer.canvas.native
        self._viewer, self._qtbot = viewer, qtbot

    @property
    def middle(self):
        """The middle of the canvas, in px of the screen."""
        return QPoint(self.native.width() // 2, self.native.height() // 2)

    def hover(self, at):
        """Move there without a button."""
        self._viewer.mouse_over_canvas = True  # as when a real mouse enters
        self._at = at
        self._send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton)

    def press(self, at=None):
        self._at = at or self.middle
        self._send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton)
        self._send(QEvent.Type.MouseButtonPress, Qt.MouseButton.LeftButton)

    def by(self, columns, rows, steps=5):
        """Move by so many px; vispy drops moves that follow within 10 ms."""
        start = self._at
        for i in range(1, steps + 1):
            self._at = start + QPoint(columns * i // steps, rows * i // steps)
            self._send(QEvent.Type.MouseMove, Qt.MouseButton.LeftButton)

    def release(self):
        self._send(QEvent.Type.MouseButtonRelease, Qt.MouseButton.NoButton)

    def _send(self, kind, buttons):
        self._qtbot.wait(15)
        is_move = kind == QEvent.Type.MouseMove
        event = QMouseEvent(
            kind,
            QPointF(self._at),
            QPointF(self.native.mapToGlobal(self._at)),
            Qt.MouseButton.NoButton if is_move else Qt.MouseButton.LeftButton,
            buttons,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.native, event)


@pytest.fixture
def drag_on(qtbot):
    """Return the function that makes a `Drag` for a viewer."""
    return lambda viewer: Drag(viewer, qtbot)
