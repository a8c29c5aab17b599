"""What a refinement would change on tiles that nobody has corrected, found in the background."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.effects import Effect, effects_on
from napari_selfseg.session.result import RunResult
from napari_selfseg.widgets import background


class OtherTiles(QObject):
    """Looks at other tiles, one refinement at a time.

    Parameters
    ----------
    owner : QWidget
        Nothing is told any more once it was destroyed.

    Attributes
    ----------
    changed : Signal()
        There is one more effect, or it has ended.
    """

    changed = Signal()

    def __init__(self, owner: QWidget) -> None:
        super().__init__(owner)
        self.effects: list[Effect] = []
        self._owner = owner
        self._enough: threading.Event | None = None

    @property
    def is_looking(self) -> bool:
        """Whether there may be more to come."""
        return self._enough is not None

    def look(self, tiles: Sequence[Tile], former: RunResult, now: RunResult) -> None:
        """Find out what one model in place of another changes on the first few tiles."""
        self.forget()
        if not tiles:
            return
        enough = self._enough = threading.Event()

        def take(effect: Effect) -> None:
            if self._enough is enough:
                self.effects.append(effect)
                self.changed.emit()

        def end(*_: object) -> None:
            if self._enough is enough:
                self.stop()

        updates = effects_on(tiles, former, now, enough.is_set)
        title = "SelfSeg: other tiles"
        background.start(updates, take, end, end, self._owner, title)

    def forget(self) -> None:
        """Look no further, and forget what was found."""
        self.effects = []
        self.stop()

    def stop(self) -> None:
        """Look no further; harmless when nothing is looked at."""
        if self._enough is not None:
            self._enough.set()
            self._enough = None
            self.changed.emit()
