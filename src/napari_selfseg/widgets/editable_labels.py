"""One labels layer that a person corrects while new predictions arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_selfseg.session.corrections import merge
from napari_selfseg.widgets.label_history import LabelHistory

POLL_MS = 50  # how often a waiting update looks whether the stroke has ended


class EditableLabels:
    """Writes new predictions into a labels layer and leaves a person's pixels alone.

    Parameters
    ----------
    layer : Labels, shape (M, N)
        As we have made it; what differs later is somebody's work.
    """

    def __init__(self, layer: Labels) -> None:
        self.layer = layer
        self.former: list[Labels] = []  # deleted layers that this one stands for
        self._history = LabelHistory(layer)
        self._foreign = np.zeros(layer.data.shape, bool)
        self._waiting: NDArray[Any] | None = None
        self._remember()

    def touched(self) -> NDArray[np.bool_]:
        """Return the pixels (M, N) that were painted, filled, or changed by another plugin."""
        if self.layer.data.shape != self._last_state.shape:
            return np.ones(self._last_state.shape, bool)  # somebody made another image of it
        return self._history.touched() | self._changed_without_telling()

    def update(self, labels: NDArray[Any], still_wanted: Callable[[], bool]) -> None:
        """Show a new prediction (M, N), now or at the end of the stroke that is going on.

        Parameters
        ----------
        labels : ndarray
            Becomes the layer's own; hand over a copy.
        still_wanted : callable() -> bool
            Asked after the stroke; False if the layer was deleted meanwhile.
        """
        is_first = self._waiting is None
        if not self._history.stroke_going_on:
            self._waiting = None
            self._write(labels)
            return
        self._waiting = labels
        if is_first:
            self._try_again(still_wanted)

    def _try_again(self, still_wanted: Callable[[], bool]) -> None:
        if self._waiting is None or not still_wanted():
            self._waiting = None
        elif self._history.stroke_going_on:
            QTimer.singleShot(POLL_MS, lambda: self._try_again(still_wanted))
        else:
            labels, self._waiting = self._waiting, None
            self._write(labels)

    def _write(self, labels: NDArray[Any]) -> None:
        self._foreign |= self._changed_without_telling()
        touched = self._history.touched() | self._foreign
        if touched.any():
            self._write_beside(labels, touched)
        else:
            self._replace(labels)
        self._remember()

    def _replace(self, labels: NDArray[Any]) -> None:
        if labels.dtype == self.layer.data.dtype:
            self.layer.data[...] = labels
            self.layer.refresh(extent=False)
        else:
            self.layer.data = labels
        # else Ctrl-Z would paint pixels of the old prediction into the new one
        self._history.clear()

    def _write_beside(self, labels: NDArray[Any], touched: NDArray[np.bool_]) -> None:
        merged = merge(labels, np.asarray(self.layer.data), touched)
        if merged.dtype.itemsize > self.layer.data.dtype.itemsize:
            # the same values in a wider dtype: napari's undo steps stay true
            self.layer.data = self.layer.data.astype(merged.dtype)
        self._history.write(merged.astype(self.layer.data.dtype))

    def _changed_without_telling(self) -> NDArray[np.bool_]:
        """Return the pixels that differ from our last state without any step of the history.

        Another plugin may have assigned the data or written into it. When a person has undone
        our last write, every pixel may differ, and nothing can be told.
        """
        if self._history.last_write_was_undone:
            return self._foreign
        differs = self.layer.data != self._last_state
        return self._foreign | (differs & ~self._history.ever_painted())

    def _remember(self) -> None:
        self._last_state = np.array(self.layer.data)
