"""Text that changes often in a dock beside a canvas."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

MARGIN = 4  # px, as other sentences of the dock have


class SteadyText(QLabel):
    """So many lines of text, whatever it says.

    A label's new text makes the whole dock lay out and draw itself anew, three times in a row,
    and with it the whole window, because that holds a graphics canvas.

    Parameters
    ----------
    lines : int
        Room that is kept; what is longer is cut off and stands in the tooltip.
    tone : str
        Of the dock's style.
    parent : QWidget, optional
    """

    def __init__(self, lines: int = 1, tone: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown, self._lines = "", lines
        self.setProperty("tone", tone)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """Return what is shown."""
        return self._shown

    def tell(self, text: str) -> None:
        """Show another text."""
        if text != self._shown:
            self._shown = text
            self.setToolTip(text)
            self.update()

    def sizeHint(self) -> QSize:
        """Return room for all lines."""
        return QSize(120, self._lines * self.fontMetrics().lineSpacing() + MARGIN)

    def minimumSizeHint(self) -> QSize:
        """Return the same: the height never changes."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the text in the colour of its tone."""
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        inside = self.rect().adjusted(MARGIN, MARGIN // 2, -MARGIN, 0)
        QPainter(self).drawText(inside, int(align) | int(Qt.TextFlag.TextWordWrap), self._shown)
