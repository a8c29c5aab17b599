"""Waiting in Qt's event loop, and how late it is while something goes on."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QObject, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

TICK_MS = 10
LATE = 0.03  # s without a tick, from which on the main thread is looked at
OWN = "napari_selfseg"


def wait_until(condition: Callable[[], bool], timeout: float = 900.0) -> float:
    """Run the event loop until a condition holds; return the seconds it took."""
    start = time.perf_counter()
    loop, timer = QEventLoop(), QTimer()

    def look() -> None:
        if condition() or time.perf_counter() - start > timeout:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(2)
    loop.exec()
    timer.stop()
    if not condition():
        raise TimeoutError("waited too long")
    return time.perf_counter() - start


def wait(seconds: float) -> None:
    """Run the event loop for a while, without disturbing it."""
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def click(widget: QWidget) -> None:
    """Put a click into the event queue, behind what is already waiting there."""
    at = QPointF(widget.rect().center())
    for kind, buttons in (
        (QEvent.Type.MouseButtonPress, Qt.MouseButton.LeftButton),
        (QEvent.Type.MouseButtonRelease, Qt.MouseButton.NoButton),
    ):
        event = QMouseEvent(
            kind,
            at,
            QPointF(widget.mapToGlobal(at.toPoint())),
            Qt.MouseButton.LeftButton,
            buttons,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.postEvent(widget, event)


class Ticks(QObject):
    """The gaps between the ticks of a 10 ms timer, and who is to blame for the long ones.

    Use it as a context manager.

    Parameters
    ----------
    blame : bool
        Look at the main thread's stack when a tick is late.
    """

    def __init__(self, blame: bool = False) -> None:
        super().__init__()
        self.gaps: list[float] = []  # s
        self.blamed: Counter[str] = Counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._blame, self._going_on = blame, False
        self._main = threading.get_ident()

    def __enter__(self) -> Ticks:
        self._last = time.perf_counter()
        self._going_on = True
        self._timer.start()
        if self._blame:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._going_on = False
        self._timer.stop()

    def line(self, while_: str) -> dict[str, object]:
        """Return p50, p99 and the longest gap in ms, as a line of a table."""
        ms = 1000 * np.array(self.gaps or [0.0])
        return {
            "while": while_,
            "ticks": len(self.gaps),
            "p50 (ms)": round(float(np.percentile(ms, 50)), 1),
            "p99 (ms)": round(float(np.percentile(ms, 99)), 1),
            "max (ms)": round(float(ms.max()), 1),
            "gaps > 50 ms per s": round(float((ms > 50).sum() / max(ms.sum() / 1000, 1e-9)), 2),
        }

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def _watch(self) -> None:
        while self._going_on:
            time.sleep(0.005)
            if time.perf_counter() - self._last > LATE:
                frame = sys._current_frames().get(self._main)
                self.blamed[_named(frame)] += 1


def _named(frame: FrameType | None) -> str:
    """Return where a thread is: its innermost frame, and the innermost one of ours."""
    if frame is None:
        return "nowhere"
    innermost, ours = _place(frame), ""
    at: FrameType | None = frame
    while at is not None and not ours:
        if OWN in at.f_code.co_filename:
            ours = _place(at)
        at = at.f_back
    return f"{innermost} in {ours or 'Qt or napari alone'}"


def _place(frame: FrameType) -> str:
    file = frame.f_code.co_filename.replace("\\", "/").split("/")
    return f"{'/'.join(file[-2:])}:{frame.f_code.co_name}"


def median_and_max(seconds: list[float]) -> tuple[float, float]:
    """Return the median and the largest of some times."""
    return statistics.median(seconds), max(seconds)
