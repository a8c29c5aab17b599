"""One labels layer that a person corrects while new predictions arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_selfseg.core.editing import Edit
from napari_selfseg.core.glimpse import Part
from napari_selfseg.session.corrections import merge
from napari_selfseg.widgets.label_history import LabelHistory

WHOLE = slice(None), slice(None)
POLL_MS = 50  # how often a waiting update looks whether the stroke has ended


@dataclass(frozen=True, eq=False)
class _Glimpse:
    """What was written into a part (m, n) of the labels for a moment, and what was there."""

    where: Part
    before: NDArray[Any]
    shown: NDArray[Any]
    last_state: NDArray[Any]  # what we had written there last

    def take_back(self, labels: NDArray[Any], touched: NDArray[np.bool_]) -> None:
        """Write what was there into labels (M, N), except where touched (m, n) or changed since."""
        here = labels[self.where]
        ours = (here == self.shown) & ~touched
        here[ours] = self.before[ours]


class EditableLabels(QObject):
    """Writes new predictions into a labels layer and leaves a person's pixels alone.

    Parameters
    ----------
    layer : Labels, shape (M, N)
        As we have made it; what differs later is somebody's work.

    Attributes
    ----------
    edited : Signal()
        A person changed the labels.
    """

    edited = Signal()

    def __init__(self, layer: Labels) -> None:
        super().__init__()
        self.layer = layer
        self.former: list[Labels] = []  # deleted layers that this one stands for
        self._history = LabelHistory(layer)
        self._foreign = np.zeros(layer.data.shape, bool)
        self._waiting: NDArray[Any] | None = None
        self._glimpse: _Glimpse | None = None
        self._remember()

    def labels(self) -> NDArray[Any]:
        """Return a copy of the labels (M, N), without what is only a glimpse."""
        labels = np.array(self.layer.data)
        if self._glimpse is not None and labels.shape == self._last_state.shape:
            self._glimpse.take_back(labels, self._touched_in(self._glimpse.where))
        return labels

    def touched(self) -> NDArray[np.bool_]:
        """Return the pixels (M, N) that were painted, filled, or changed by another plugin."""
        if self.layer.data.shape != self._last_state.shape:
            return np.ones(self._last_state.shape, bool)  # somebody made another image of it
        return self._touched_in(WHOLE)

    def edit(self, edit: Edit) -> None:
        """Do what a person's tool asked for, as one step that can be undone."""
        where = edit.rows, edit.columns
        inside = np.nonzero(edit.mask)
        indices = inside[0] + edit.rows.start, inside[1] + edit.columns.start
        self.layer.data_setitem(indices, edit.values[edit.mask].astype(self.layer.data.dtype))
        self._foreign[where] |= edit.mask
        self.edited.emit()

    def reserved(self) -> NDArray[np.int64]:
        """Return the numbers that new objects never get, in increasing order."""
        return np.unique(self.labels()[self.touched()]).astype(np.int64)

    def _touched_in(self, where: Part) -> NDArray[np.bool_]:
        return self._history.touched()[where] | self._changed_without_telling(where)

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

    def show_glimpse(self, rows: slice, columns: slice, labels: NDArray[Any]) -> None:
        """Show labels (m, n) of a part until the next `update`, in no step of the history.

        Touched pixels keep their labels; a stroke that begins on a glimpse is undone to it.
        Nothing happens in the middle of a stroke, where an update waits already, or if the
        layer's dtype cannot hold the labels.
        """
        data = self.layer.data
        holds = int(labels.max(initial=0)) <= np.iinfo(data.dtype).max
        same_shape = data.shape == self._last_state.shape
        if self._history.stroke_going_on or self._waiting is not None or not (holds and same_shape):
            return
        self.end_glimpse()
        where = rows, columns
        before, last_state = np.array(data[where]), np.array(self._last_state[where])
        kept = self._touched_in(where)
        self._foreign[where] |= self._changed_without_telling(where)
        data[where] = np.where(kept, before, labels.astype(data.dtype))
        self._last_state[where] = data[where]
        self._glimpse = _Glimpse(where, before, np.array(data[where]), last_state)
        self.layer.refresh(extent=False)

    def end_glimpse(self) -> None:
        """Take a glimpse back, but not what was painted on it."""
        if self._glimpse is not None and self.layer.data.shape == self._last_state.shape:
            where = self._glimpse.where
            self._glimpse.take_back(self.layer.data, self._touched_in(where))
            self._last_state[where] = self._glimpse.last_state
        self._glimpse = None

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
        self.end_glimpse()
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

    def _changed_without_telling(self, where: Part = WHOLE) -> NDArray[np.bool_]:
        """Return the pixels that differ from our last state without any step of the history.

        Of a part, (m, n), if one is given. Another plugin may have assigned the data or written
        into it. When a person has undone our last write, every pixel may differ, and nothing can
        be told. What was there before a glimpse is no change: a person may have undone and redone
        our last write meanwhile.
        """
        if self._history.last_write_was_undone:
            return self._foreign[where]
        differs = self.layer.data[where] != self._last_state[where]
        if self._glimpse is not None:
            seen = np.zeros(self._last_state.shape, bool)
            seen[self._glimpse.where] = self.layer.data[self._glimpse.where] == self._glimpse.before
            differs &= ~seen[where]
        return self._foreign[where] | (differs & ~self._history.ever_painted()[where])

    def _remember(self) -> None:
        self._last_state = np.array(self.layer.data)
