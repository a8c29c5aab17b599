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
from napari_selfseg.session.corrections import Mask, merge
from napari_selfseg.widgets.label_history import LabelHistory

POLL_MS = 50  # how often a waiting update looks whether the stroke has ended
WIDER = (np.uint8, np.uint16, np.int32)  # the dtypes of labels, one after the other


@dataclass(frozen=True, eq=False)
class _Glimpse:
    """What was written into a part (m, n) of the labels for a moment, and what was there."""

    where: Part
    before: NDArray[Any]
    shown: NDArray[Any]

    def take_back(self, labels: NDArray[Any], touched: Mask) -> None:
        """Write what was there into labels (M, N), except where touched (m, n) or changed since."""
        here = labels[self.where]
        ours = (here == self.shown) & ~touched
        here[ours] = self.before[ours]


@dataclass(frozen=True, eq=False)
class _Wish:
    """A prediction (M, N) to be shown.

    ``is_accepted``: a step of its own. ``is_merged``: touched pixels and numbers are kept in it
    already.
    """

    labels: NDArray[Any]
    smallest: int = 0
    is_accepted: bool = False
    is_merged: bool = False


class EditableLabels(QObject):
    """Writes new predictions into a labels layer and leaves a person's pixels alone.

    A pixel is *touched* if it lies in a stroke, fill, polygon or tool's action that was not
    undone, also where it kept its label. An action that changes no label is a step of its own:
    Ctrl-Z takes it back as it does any other.

    Parameters
    ----------
    layer : Labels, shape (M, N)
        As we have made it; what differs later is somebody's work.

    Attributes
    ----------
    edited : Signal()
        A person's stroke, other action, undo, redo or unlocking has ended.
    touched_changed : Signal(object)
        In which part (rows, columns) other pixels may be touched now.
    """

    edited = Signal()
    touched_changed = Signal(object)

    def __init__(self, layer: Labels) -> None:
        super().__init__()
        self.layer = layer
        self.former: list[Labels] = []  # deleted layers that this one stands for
        self._waiting: _Wish | None = None
        self._glimpse: _Glimpse | None = None
        self._history = LabelHistory(layer, self.end_glimpse, self._on_edit)

    # ---- what is known

    def labels(self) -> NDArray[Any]:
        """Return a copy of the labels (M, N), without what is only a glimpse."""
        labels = np.array(self.layer.data)
        if self._glimpse is not None and self._history.has_layers_shape:
            touched = self._history.touched_in(self._glimpse.where)
            self._glimpse.take_back(labels, touched)
        return labels

    def touched(self) -> Mask:
        """Return the touched pixels (M, N); also those that another plugin has changed."""
        return self._history.touched()

    def touched_in(self, part: Part) -> Mask:
        """Return the touched pixels (m, n) of a part."""
        return self._history.touched_in(part)

    @property
    def stroke_going_on(self) -> bool:
        """Whether the mouse is down in the middle of a stroke."""
        return self._history.stroke_going_on

    def is_touched(self) -> bool:
        """Whether there is a touched pixel."""
        return bool(self._history.touched().any())

    def reserved(self) -> NDArray[np.int64]:
        """Return the numbers that new objects never get, in increasing order.

        All that a touched object ever had, also if it was erased, or if its stroke was undone.
        """
        return self._history.reserved()

    # ---- what a person does

    def edit(self, edit: Edit) -> None:
        """Do what a person's tool asked for, as one step that can be undone.

        The layer's dtype becomes wider where a number does not fit.

        Raises
        ------
        ValueError
            If a number is larger than a label image can hold.
        """
        if not edit.mask.any():
            return
        where, values = (edit.rows, edit.columns), edit.values[edit.mask]
        self.end_glimpse()
        self._make_room_for(int(values.max()))
        inside = np.nonzero(edit.mask)
        indices = inside[0] + edit.rows.start, inside[1] + edit.columns.start
        if not self._history.tells_all:
            self._history.touch(where, edit.mask)
        self.layer.data_setitem(indices, values.astype(self.layer.data.dtype))
        self._history.tell()

    def unlock(self, mask: Mask) -> None:
        """Make pixels (M, N) unknown again, as one step that can be undone.

        They keep their labels until the next prediction. Their numbers stay reserved. Nothing
        happens during a stroke.
        """
        self._history.unlock(mask)

    def restore(
        self, labels: NDArray[Any], touched: Mask, reserved: NDArray[np.integer[Any]]
    ) -> None:
        """Take over a person's stored work; what was done in the layer before is forgotten.

        Parameters
        ----------
        labels : ndarray of integers, shape (M, N)
        touched : ndarray of bool, shape (M, N)
        reserved : ndarray of integers
            Numbers that new objects never get, beside those of touched pixels.

        Raises
        ------
        ValueError
            If the shapes are not the layer's.
        """
        shape = self._history.touched().shape
        if not labels.shape == touched.shape == shape:
            raise ValueError(
                f"The stored labels are of another image: {labels.shape} in place of {shape}."
            )
        self._waiting = self._glimpse = None
        self._history.restore(np.array(labels), touched, reserved)
        self.touched_changed.emit((slice(0, shape[0]), slice(0, shape[1])))

    # ---- what is predicted

    def update(
        self,
        labels: NDArray[Any],
        still_wanted: Callable[[], bool],
        smallest: int = 0,
        is_accepted: bool = False,
    ) -> None:
        """Show a new prediction (M, N), now or at the end of the stroke that is going on.

        Parameters
        ----------
        labels : ndarray
            Becomes the layer's own; hand over a copy.
        still_wanted : callable() -> bool
            Asked after the stroke; False if the layer was deleted meanwhile.
        smallest : int
            What touched pixels leave of a predicted object is dropped if it has fewer pixels.
        is_accepted : bool
            Whether a person has asked for it: it is then an undo step of its own, also where
            nothing is touched.
        """
        self._wish(_Wish(labels, smallest, is_accepted), still_wanted)

    def accept(self, labels: NDArray[Any], still_wanted: Callable[[], bool]) -> None:
        """Show what a person has accepted of a prediction (M, N), as an undo step of its own.

        Objects keep the numbers they have in ``labels``, touched pixels those of the layer.
        """
        self._wish(_Wish(labels, is_accepted=True, is_merged=True), still_wanted)

    def show_glimpse(self, rows: slice, columns: slice, labels: NDArray[Any]) -> None:
        """Show labels (m, n) of a part until the next `update`, in no step of the history.

        Touched pixels keep their labels; whatever a person does takes the glimpse back first.
        Nothing happens in the middle of a stroke, where an update waits already, or if the
        layer's dtype cannot hold the labels.
        """
        data = self.layer.data
        holds = int(labels.max(initial=0)) <= np.iinfo(data.dtype).max
        is_busy = self._history.stroke_going_on or self._waiting is not None
        if is_busy or not (holds and self._history.has_layers_shape):
            return
        self._take_glimpse_back()
        where = rows, columns
        before, kept = np.array(data[where]), self._history.touched_in(where)
        data[where] = np.where(kept, before, labels.astype(data.dtype))
        self._history.accept(where)
        self._glimpse = _Glimpse(where, before, np.array(data[where]))
        self.layer.refresh(extent=False)

    def end_glimpse(self) -> None:
        """Take a glimpse back, but not what was painted on it."""
        if self._glimpse is not None:
            self._take_glimpse_back()
            self.layer.refresh(extent=False)

    # ---- inside

    def _take_glimpse_back(self) -> None:
        glimpse, self._glimpse = self._glimpse, None
        if glimpse is not None and self._history.has_layers_shape:
            glimpse.take_back(self.layer.data, self._history.touched_in(glimpse.where))
            self._history.accept(glimpse.where)

    def _wish(self, wish: _Wish, still_wanted: Callable[[], bool]) -> None:
        is_first = self._waiting is None
        if not self._history.stroke_going_on:
            self._waiting = None
            self._write(wish)
            return
        self._waiting = wish
        if is_first:
            self._try_again(still_wanted)

    def _try_again(self, still_wanted: Callable[[], bool]) -> None:
        if self._waiting is None or not still_wanted():
            self._waiting = None
        elif self._history.stroke_going_on:
            QTimer.singleShot(POLL_MS, lambda: self._try_again(still_wanted))
        else:
            wish, self._waiting = self._waiting, None
            self._write(wish)

    def _write(self, wish: _Wish) -> None:
        self._take_glimpse_back()
        touched, reserved = self._history.touched(), self._history.reserved()
        is_new = self._history.is_untouched
        labels, now = wish.labels, np.asarray(self.layer.data)
        if wish.is_merged:
            labels = np.where(touched, now, labels)
        elif not (is_new and not len(reserved)):
            labels = merge(labels, now, touched, reserved=reserved, smallest=wish.smallest)
        if is_new and not wish.is_accepted:
            self._history.replace(labels)
            return
        if labels.dtype.itemsize > now.dtype.itemsize:
            self._history.widen(labels.dtype)
        labels = labels.astype(self.layer.data.dtype, copy=False)
        self._history.write(labels, wish.is_accepted)

    def _make_room_for(self, number: int) -> None:
        dtype = self.layer.data.dtype
        if number <= np.iinfo(dtype).max:
            return
        for wider in WIDER:
            if number <= np.iinfo(wider).max:
                self._history.widen(np.dtype(wider))
                return
        raise ValueError(f"{number} is more than a label image can hold.")

    def _on_edit(self, box: Part | None) -> None:
        if box is not None:
            self.touched_changed.emit(box)
        self.edited.emit()
