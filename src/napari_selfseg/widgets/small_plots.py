"""Plots small enough for a dock: a few lines by step, and a histogram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QSizePolicy

# Told apart with any colour vision, and on black as on white (after Okabe and Ito, 2008)
MAP_COLOURS = ("#e69f00", "#2a9fd6", "#00a878", "#cc79a7", "#d55e00", "#8a7de0")


def map_colour(index: int) -> str:
    """Return the colour of a confidence map, the same in curves and thumbnails."""
    return MAP_COLOURS[index % len(MAP_COLOURS)]


LEFT = 30  # px, for numbers such as 0.15


class SmallPlot(pg.PlotWidget):
    """A small plot that looks like napari and leaves the mouse wheel to the dock."""

    text_colour = "#888888"

    def __init__(self, title: str, bottom: str, height: int) -> None:
        super().__init__()
        self._title, self._bottom = title, bottom
        self.setMinimumSize(110, height)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMouseEnabled(x=False, y=False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setFrameShape(self.Shape.NoFrame)
        font = self.font()
        font.setPointSizeF(7.5)
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.enableAutoSIPrefix(False)
            # a space that grows with the text would have everything drawn a second time
            axis.setStyle(tickLength=-3, tickTextOffset=2, tickFont=font, autoExpandTextSpace=False)
        # pyqtgraph's own margins would leave a third of so small a plot to the curve
        self.getAxis("bottom").setHeight(30)
        self.getAxis("left").setWidth(LEFT)
        self.getPlotItem().titleLabel.setMaximumHeight(18)
        self.getPlotItem().layout.setRowFixedHeight(0, 18)

    def sizeHint(self) -> Any:
        """Return a small size; pyqtgraph's own would squeeze the canvas."""
        return self.minimumSize()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the dock scroll."""
        event.ignore()

    @contextmanager
    def drawn_once(self) -> Iterator[None]:
        """Collect changes, so that all plots of the dock are drawn together and only once.

        napari's window holds a graphics canvas: for every drawing of any widget Qt puts the
        whole window together again. pyqtgraph alone asks for four drawings per change.
        """
        self.setUpdatesEnabled(False)
        yield
        self.getViewBox().updateAutoRange()  # else found while drawing, and drawn again
        self.scene().prepareForPaint()
        # a graphics scene else paints its changes at once, each plot by itself
        QApplication.sendPostedEvents(self.scene(), QEvent.Type.MetaCall)
        self.setUpdatesEnabled(True)

    def take_colours(self, background: str, text: str, grid: str) -> None:
        """Use the colours of a napari theme."""
        self.text_colour = text
        self.setBackground(background)
        for name in ("left", "bottom"):
            self.getAxis(name).setPen(grid)
            self.getAxis(name).setTextPen(text)
        self.setTitle(self._title, color=text, size="8.5pt")
        self.getPlotItem().titleLabel.setMaximumHeight(18)
        self.getAxis("bottom").setLabel(self._bottom, color=text, **{"font-size": "7.5pt"})


class CurvePlot(SmallPlot):
    """One measure by step: a thin line per confidence map and a thick mean."""

    def __init__(self, title: str) -> None:
        super().__init__(title, "step", height=126)
        self._lines: dict[int | None, pg.PlotDataItem] = {}
        self._marks: list[Any] = []

    def show_curves(self, steps: Any, curves: dict[int | None, Any], chosen: int | None) -> None:
        """Draw {map: values, None: mean}; lines of maps that are gone disappear."""
        with self.drawn_once():
            for key in self._lines.keys() - curves.keys():
                self.removeItem(self._lines.pop(key))
            for key, values in curves.items():
                if key not in self._lines:
                    self._lines[key] = self.plot(connect="finite")
                    self._lines[key].setZValue(10 if key is None else 0)
                self._lines[key].setData(steps, values, pen=self._pen(key, chosen))

    def mark(self, step: int, text: str) -> None:
        """Draw a dashed vertical line with a text."""
        pen = pg.mkPen(self.text_colour, style=Qt.PenStyle.DashLine)
        label = {"position": 0.1, "color": self.text_colour, "movable": False}
        line = pg.InfiniteLine(step, pen=pen, label=text, labelOpts=label)
        self._marks.append(line)
        self.addItem(line, ignoreBounds=True)

    def clear_marks(self) -> None:
        """Remove the vertical lines."""
        for line in self._marks:
            self.removeItem(line)
        self._marks = []

    def _pen(self, key: int | None, chosen: int | None) -> Any:
        if key is None:
            return pg.mkPen(self.text_colour, width=2)
        colour = pg.mkColor(map_colour(key))
        colour.setAlpha(255 if chosen in (None, key) else 130)
        return pg.mkPen(colour, width=2 if chosen == key else 1)


class HistogramPlot(SmallPlot):
    """How many pixels have which confidence."""

    def __init__(self) -> None:
        super().__init__("Pixels by confidence", "confidence", height=104)
        self.setXRange(0, 1, padding=0.02)
        self.getAxis("left").setStyle(showValues=False)
        self._bars = self.plot(stepMode="center", fillLevel=0, brush="#2a9fd680", pen="#2a9fd6")

    def show_counts(self, counts: Sequence[int] | None) -> None:
        """Draw counts of equal bins over 0..1; None draws nothing."""
        counts = np.zeros(1) if counts is None else np.asarray(counts, dtype=float)
        with self.drawn_once():
            self._bars.setData(np.linspace(0, 1, len(counts) + 1), counts)
            self.setYRange(0, max(float(counts.max()), 1.0), padding=0.05)
