"""How a training goes: bar, time left, notes, Pause and Stop."""

from __future__ import annotations

import time
from dataclasses import dataclass

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_selfseg.session.updates import Progress
from napari_selfseg.widgets.curves import LAST_MS, REDRAW_MS
from napari_selfseg.widgets.steady_text import SteadyText
from napari_selfseg.widgets.style import Sentence, duration


@dataclass(frozen=True)
class _Words:
    """What is said about ending a training early."""

    stop: str
    tip: str
    stopping: str
    told: str


STOP = _Words(
    "Stop",
    "Stop learning and take the best map so far.",
    "Stopping …",
    "Stopping; the best map so far is being drawn.",
)
CANCEL = _Words(
    "Cancel",
    "Forget this round; labels and corrections stay as they are.",
    "Cancelling …",
    "Cancelled; the labels stay as they are.",
)


class TrainingProgress(QWidget):
    """Shown while a training goes on.

    Parameters
    ----------
    parent : QWidget, optional
    only_cancel : bool
        Whether a short training is only to be cancelled, not to be paused or ended with a result.

    Attributes
    ----------
    stop_wanted, pause_wanted, resume_wanted : Signal()
    """

    stop_wanted = Signal()
    pause_wanted = Signal()
    resume_wanted = Signal()

    def __init__(self, parent: QWidget | None = None, only_cancel: bool = False) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self._words = CANCEL if only_cancel else STOP
        self.pause_button, self.stop_button = QPushButton("Pause"), QPushButton()
        self.pause_button.setVisible(not only_cancel)
        self.stop_button.setToolTip(self._words.tip)
        self.status, self.note = SteadyText(lines=2, tone="hint"), Sentence()
        self._paused = self._stopping = False
        self._latest: Progress | None = None
        # Every change on the screen makes napari's whole window be put together anew: show
        # rarely, at the same moments as the curves, and all of it at once.
        self._shown_at = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LAST_MS)
        self._timer.timeout.connect(self._show_latest)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.pause_button)
        buttons.addWidget(self.stop_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.bar)
        column.addLayout(buttons)
        column.addWidget(self.status)
        column.addWidget(self.note)
        self.stop_button.clicked.connect(self.stop_wanted)
        self.pause_button.clicked.connect(
            lambda: (self.resume_wanted if self._paused else self.pause_wanted).emit()
        )

    def show_started(self) -> None:
        """Begin anew."""
        self._paused = self._stopping = False
        self._latest, self._shown_at = None, 0.0
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.bar.setFormat("")
        self.note.tell("")
        self.status.tell("Getting ready …")
        self._name_buttons()

    def show_progress(self, progress: Progress) -> None:
        """Show where the training is, a few times a second."""
        if progress.note:
            self.note.tell(progress.note)
        self._latest = progress
        if 1000 * (time.monotonic() - self._shown_at) >= REDRAW_MS:
            self._show_latest()
        elif not self._timer.isActive():
            self._timer.start()

    def _show_latest(self) -> None:
        self._timer.stop()
        progress, self._latest = self._latest, None
        if progress is None:
            return
        self._shown_at = time.monotonic()
        self.bar.setUpdatesEnabled(False)  # else every new value is painted at once
        self.bar.setRange(0, max(1, progress.n_steps))
        self.bar.setFormat(f"%v of {progress.n_steps} steps")
        self.bar.setValue(progress.step)
        self.bar.setUpdatesEnabled(True)
        if not self._paused and not self._stopping:
            self.status.tell(_status(progress))

    def show_paused(self, paused: bool) -> None:
        """Show that the training holds, or goes on."""
        self._paused = paused
        self.status.tell("Paused. The map so far stays in the viewer." if paused else "Going on …")
        self._name_buttons()

    def show_stopping(self) -> None:
        """Show at once that Stop was heard, though the result takes a moment."""
        self._stopping = True
        self.status.tell(self._words.told)
        self._name_buttons()

    def _name_buttons(self) -> None:
        self.pause_button.setText("Resume" if self._paused else "Pause")
        self.stop_button.setText(self._words.stopping if self._stopping else self._words.stop)
        self.pause_button.setEnabled(not self._stopping)
        self.stop_button.setEnabled(not self._stopping)


def _status(progress: Progress) -> str:
    parts = [progress.phase[:1].upper() + progress.phase[1:]] if progress.phase else []
    if progress.seconds_left is not None:
        left = progress.seconds_left
        parts.append(f"at most {duration(left)} left" if left >= 1 else "nearly done")
    if progress.score is not None:
        parts.append(f"agreement with the stain {progress.score:.2f}")
    if progress.skipped:
        steps = "1 step" if progress.skipped == 1 else f"{progress.skipped} steps"
        parts.append(f"{steps} skipped (nothing to compare)")
    return " · ".join(parts)
