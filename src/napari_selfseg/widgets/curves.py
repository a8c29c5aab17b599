"""The live curves of a training: two measures, and the histogram of the confidence."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.settings import get_settings
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.small_plots import CurvePlot, HistogramPlot, map_colour
from napari_selfseg.widgets.steady_text import SteadyText

REDRAW_MS = 300  # at least, between two drawings: each makes Qt put the whole window together
LAST_MS = 500  # what was told since the last drawing waits no longer
MOST_POINTS = 320  # per curve; a plot is about 150 px wide
TOLD = (
    ("entropy", "mean entropy"),
    ("separation", "separation"),
    ("agreement", "agreement with what is taught"),
    ("contrast of strokes", "contrast"),
    ("dice of strokes", "Dice of your strokes"),
)


@dataclass(frozen=True)
class Curve:
    """A measure that is drawn.

    Parameters
    ----------
    name : str
        In `TrainingStep.measures`; with "/1", "/2" … behind it for each confidence map.
    title, tip : str
    limits : two floats, optional
        Of its axis.
    """

    name: str
    title: str
    tip: str
    limits: tuple[float, float] | None = None


LABEL_FREE = (
    Curve(
        "entropy",
        "Entropy (bits/px)",
        "How undecided the maps are: 1 bit per pixel is a coin toss, 0 is certain. It falls.",
        (0, 1),
    ),
    Curve(
        "separation",
        "Separation",
        "How much more the patches of one kind resemble each other than the other kind. "
        "It rises, then stays.",
    ),
)
OF_STROKES = (
    Curve(
        "contrast of strokes",
        "Contrast of strokes",
        "How badly the features of your strokes tell objects from background. It falls.",
    ),
    Curve(
        "dice of strokes",
        "Dice of your strokes",
        "How well the map agrees with what you painted. It rises.",
        (0, 1),
    ),
)


class LiveCurves(QWidget):
    """Two measures by step, and a histogram of the confidence.

    Thin lines are the confidence maps, the thick one is their mean, smoothed over a thirtieth
    of the steps.

    Parameters
    ----------
    viewer : napari viewer, optional
        Its theme gives the colours, also after a switch.
    parent : QWidget, optional
    shown : sequence of Curve
    """

    def __init__(
        self,
        viewer: Any | None = None,
        parent: QWidget | None = None,
        shown: Sequence[Curve] = LABEL_FREE,
    ) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._plots = {curve.name: CurvePlot(curve.title) for curve in shown}
        self._histogram = HistogramPlot()
        self._legend, self._values = QLabel(), SteadyText()
        self._legend.setWordWrap(True)
        self._legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._highlighted: int | None = None
        self._lay_out(shown)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LAST_MS)
        self._timer.timeout.connect(self._draw)
        self._drawn_at = 0.0
        self.clear()
        themes = self._viewer if viewer is not None else get_settings().appearance
        themes.events.theme.connect(self._take_theme)
        self._take_theme()

    def clear(self) -> None:
        """Forget all steps, marks and the histogram."""
        self._steps: list[int] = []
        self._measures: dict[str, list[float]] = {}
        self._last: Mapping[str, float] = {}
        for plot in self._plots.values():
            plot.clear_marks()
        self._histogram.show_counts(None)
        self._draw()

    def add_steps(self, steps: Sequence[TrainingStep]) -> None:
        """Append steps; drawn at most three times a second."""
        for step in steps:
            self._steps.append(step.step)
            self._last = step.measures
            for name in {name for name in step.measures if name.split("/")[0] in self._plots}:
                missing = len(self._steps) - 1 - len(self._measures.setdefault(name, []))
                self._measures[name] += [np.nan] * missing + [step.measures[name]]
        self._redraw_soon()

    def show_histogram(self, counts: Sequence[int] | None) -> None:
        """Show the counts of the confidence in equal bins over 0..1."""
        self._histogram.show_counts(counts)

    def set_histogram_shown(self, shown: bool) -> None:
        """Show the histogram, or leave it out where there is no confidence of one object."""
        self._histogram.setVisible(shown)

    def mark(self, step: int, text: str) -> None:
        """Draw a vertical line with a short text at a step ("kept", "stopped")."""
        for plot in self._plots.values():
            plot.mark(step, text)

    def highlight(self, channel: int | None) -> None:
        """Draw the curves of one confidence map stronger than the others."""
        self._highlighted = channel
        self._draw()

    def last_values(self) -> str:
        """Return what the last step measured as a sentence."""
        told = [f"{words} {self._last[name]:.3g}" for name, words in TOLD if name in self._last]
        return f"Step {self._steps[-1]}: {', '.join(told)}" if told else ""

    def _lay_out(self, shown: Sequence[Curve]) -> None:
        self.setMinimumWidth(280)  # narrower, the titles are cut
        beside = QHBoxLayout()
        beside.setSpacing(4)
        for plot in self._plots.values():
            beside.addWidget(plot)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(beside)
        column.addWidget(self._legend)
        column.addWidget(self._histogram)
        column.addWidget(self._values)
        for curve in shown:
            plot = self._plots[curve.name]
            plot.setToolTip(curve.tip)
            if curve.limits is not None:
                plot.setYRange(*curve.limits, padding=0.03)
        self._histogram.setToolTip(
            "How many pixels have which confidence. One hump in the middle: undecided. "
            "Two humps: object and background are told apart."
        )

    def _redraw_soon(self) -> None:
        # At once where it is due: with what else the dock shows of the same update, the window
        # is put together only once.
        if 1000 * (time.monotonic() - self._drawn_at) >= REDRAW_MS:
            self._draw()
        elif not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        self._timer.stop()
        self._drawn_at = time.monotonic()
        self.setUpdatesEnabled(False)
        self._show_curves()
        self.setUpdatesEnabled(True)  # both plots in one go

    def _show_curves(self) -> None:
        every = max(1, -(-len(self._steps) // MOST_POINTS))
        shown = np.arange(len(self._steps))[::-1][::every][::-1]  # the last step is always there
        steps = np.array(self._steps, dtype=float)[shown]
        n_maps = 0
        for name, plot in self._plots.items():
            curves: dict[int | None, Any] = {}
            for key, values in self._measures.items():
                kind, _, index = key.partition("/")
                if kind == name:
                    padded = np.array(values + [np.nan] * (len(self._steps) - len(values)))
                    channel = int(index) if index else None
                    curves[channel] = (padded if index else smoothed(padded))[shown]
            plot.show_curves(steps, curves, self._highlighted)
            n_maps = max(n_maps, len(curves) - 1)
        self._show_legend(n_maps)
        self._values.tell(self.last_values())

    def _show_legend(self, n_maps: int) -> None:
        parts = [
            f'<span style="color:{map_colour(i)}">▬</span> '
            + (f"<b>map {i + 1}</b>" if i == self._highlighted else f"map {i + 1}")
            for i in range(n_maps)
        ]
        parts += ["<b>▬ mean</b>"] if n_maps > 0 else []
        self._legend.setText("&nbsp; ".join(parts))
        self._legend.setVisible(bool(parts))

    def _take_theme(self, event: Any | None = None) -> None:
        if not isalive(self):
            return
        appearance = self._viewer if self._viewer is not None else get_settings().appearance
        theme = get_theme(appearance.theme)
        colours = {
            "background": theme.background.as_hex(),
            "text": theme.text.as_hex(),
            "grid": theme.secondary.as_hex(),
        }
        for plot in (*self._plots.values(), self._histogram):
            plot.take_colours(**colours)
        self._draw()


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running mean over a thirtieth of the values (n,); NaN counts for nothing."""
    width = 2 * (len(values) // 60) + 1
    box, known = np.ones(width), np.isfinite(values)
    if not len(values):
        return values
    sums = np.convolve(np.where(known, values, 0), box, mode="same")
    counts = np.convolve(known, box, mode="same")
    return np.where(known, sums / np.maximum(counts, 1), np.nan)
