"""How napari paints into a labels layer: the one place that knows its private parts.

napari 0.9 tells every step that it puts on a layer's undo stack by the ``paint`` event. But it
leaves out the pixels that keep their value, makes no step where none changes, and tells neither
undo nor redo. So the methods by which it paints, undoes and redoes are wrapped, on our layers
only: the pixels that keep their value become a part of the step, whose undoing writes the same
values again.

What a later napari may hide is done without, on the safe side:

- if pixels that keep their value cannot be told (`LabelPainting.tells_all` is False), a stroke
  touches only those that it changes;
- if the stacks are hidden, what was painted once counts as touched for ever;
- if steps of our own cannot be made, unlocking cannot be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from skimage.segmentation import flood

from napari_selfseg.session.corrections import Box, Mask

PRIVATE = (
    "_paint_region_with_mask",
    "_history_atom_for_mask_paint",
    "_save_history",
    "_undo_history",
    "_redo_history",
    "_staged_history",
    "_block_history",
    "_reset_history",
)
"""What we use of napari's labels layer beside its public methods."""

TELLS_ALL = ("_paint_region_with_mask", "_history_atom_for_mask_paint", "_save_history")


class LabelPainting:
    """Tells what is painted, undone and redone in one labels layer.

    Parameters
    ----------
    layer : Labels, shape (M, N)
    before : callable()
        Called before pixels are painted, undone or redone.
    on_step : callable(atoms)
        There is a new step on the undo stack: the list that napari keeps for it.
    on_end : callable()
        A stroke or another action, an undo or a redo has ended.
    """

    def __init__(
        self,
        layer: Labels,
        before: Callable[[], None],
        on_step: Callable[[list[Any]], None],
        on_end: Callable[[], None],
    ) -> None:
        self._layer = layer
        self._before, self._on_step, self._on_end = before, on_step, on_end
        self._covered: Mask | None = None  # by the action that goes on
        self._wrap("undo", self._replaying)
        self._wrap("redo", self._replaying)
        self._wrap("block_history", self._blocking)
        if self.tells_all:
            self._wrap("_paint_region_with_mask", self._painting)
            self._wrap("data_setitem", self._setting)
            self._wrap("fill", self._filling)
        for name in ("paint", "fill", "paint_polygon", "data_setitem"):
            self._wrap(name, self._in_one_step)
        layer.events.paint.connect(self._on_paint)

    @property
    def tells_all(self) -> bool:
        """Whether pixels that keep their value are told."""
        return all(hasattr(Labels, name) for name in TELLS_ALL)

    @property
    def can_make_steps(self) -> bool:
        """Whether a step of our own can be put on the undo stack."""
        return hasattr(self._layer, "_save_history")

    @property
    def stroke_going_on(self) -> bool:
        """Whether the mouse is down in the middle of a stroke."""
        return bool(getattr(self._layer, "_block_history", False))

    @property
    def undo_stack(self) -> list[list[Any]] | None:
        """The steps that can be undone, oldest first; None if napari hides them."""
        stack = getattr(self._layer, "_undo_history", None)
        return None if stack is None else list(stack)

    @property
    def redo_stack(self) -> list[list[Any]]:
        """The steps that can be redone, the next one last."""
        return list(getattr(self._layer, "_redo_history", ()))

    def write(self, box: Box, mask: Mask, labels: NDArray[Any]) -> None:
        """Give pixels of a part their labels (m, n) as one step that can be undone."""
        layer = self._layer
        with layer.block_history():  # else napari tells before the pixels are changed
            if not self.tells_all:
                indices = np.nonzero(mask)
                where = tuple(i + span.start for i, span in zip(indices, box, strict=True))
                Labels.data_setitem(layer, where, labels[indices])
                return
            now = layer.data[box]
            atom = layer._history_atom_for_mask_paint(box, now, mask, 0)
            layer._save_history(
                atom._replace(new_value=labels.copy() if atom.mask is None else labels[mask])
            )
            np.copyto(now, labels, where=mask)
        layer.refresh(extent=False)

    def make_step_at(self, row: int, column: int) -> None:
        """Put a step on the undo stack that changes nothing; it gives one pixel its label again."""
        self._before()
        indices = np.array([row]), np.array([column])
        label = self._layer.data[indices]
        self._layer._save_history((indices, label, label))

    def undo_quietly(self) -> None:
        """Undo the newest step, without telling."""
        Labels.undo(self._layer)

    def forget_undone(self) -> None:
        """Nothing can be redone any more; a new step does that too, but there may be none."""
        redo = getattr(self._layer, "_redo_history", None)
        if redo is not None:
            redo.clear()

    def drop(self, atoms: list[Any]) -> None:
        """Take a step off the undo stack; a later undo skips it."""
        history = self._layer._undo_history
        for i in [i for i, step in enumerate(history) if step[0] is atoms[0]]:
            del history[i]

    def clear(self) -> None:
        """Nothing can be undone or redone any more."""
        if hasattr(self._layer, "_reset_history"):
            self._layer._reset_history()
        else:  # by the public way, which also takes the tool away for a moment
            mode = self._layer.mode
            self._layer.editable = False
            self._layer.editable = True
            self._layer.mode = mode

    # ---- what napari's methods do, and we beside them

    def _wrap(self, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        original = getattr(self._layer, name)
        setattr(self._layer, name, wraps(original)(around(original)))

    def _replaying(self, original: Callable[[], None]) -> Callable[[], None]:
        def replay() -> None:
            self._before()
            original()
            self._on_end()

        return replay

    def _blocking(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @contextmanager
        def block_history() -> Iterator[None]:
            with original():
                yield
            self._end()

        return block_history

    def _in_one_step(self, original: Callable[..., None]) -> Callable[..., None]:
        def act(*given: Any, **named: Any) -> None:
            self._before()
            if not self.stroke_going_on:
                with self._layer.block_history():
                    original(*given, **named)
                return
            if not getattr(self._layer, "_staged_history", ()):  # it has just begun
                self._covered = None
            original(*given, **named)

        return act

    def _painting(self, original: Callable[..., None]) -> Callable[..., None]:
        def paint(box: Box, mask: Mask, label: int, *more: Any, **named: Any) -> None:
            kept = self._kept_in(box, mask, label)
            original(box, mask, label, *more, **named)
            self._tell_kept(box, kept, label)

        return paint

    def _filling(self, original: Callable[..., None]) -> Callable[..., None]:
        def fill(coord: Any, label: int, *more: Any, **named: Any) -> None:
            region = self._region_of(coord, label)
            original(coord, label, *more, **named)
            if region is not None:  # napari fills nothing that has the label already
                box = tuple(slice(0, n) for n in region.shape)
                self._tell_kept(box, self._kept_in(box, region, label), label)

        return fill

    def _setting(self, original: Callable[..., None]) -> Callable[..., None]:
        def data_setitem(indices: Any, value: Any, *more: Any, **named: Any) -> None:
            kept = np.asarray(self._layer.data[indices] == value)
            original(indices, value, *more, **named)
            if kept.any():
                where = tuple(np.asarray(i)[kept] for i in indices)
                labels = self._layer.data[where]
                self._layer._save_history((where, labels, labels))

        return data_setitem

    def _kept_in(self, box: Box, mask: Mask, label: int) -> Mask | None:
        """Return which pixels of a part keep their value; only those not covered before."""
        labels = np.asarray(self._layer.data[box])
        if mask.size != labels.size:
            return None  # called otherwise than in napari 0.9
        if self._covered is None:
            self._covered = np.zeros(self._layer.data.shape, bool)
        covered, mask = self._covered[box], mask.reshape(labels.shape)
        kept = mask & (labels == label) & ~covered
        covered |= mask
        return kept

    def _region_of(self, coord: Any, label: int) -> Mask | None:
        """Return the region (M, N) that a fill finds to have its label already."""
        layer = self._layer
        place = tuple(int(np.round(c)) for c in coord)
        inside = all(0 <= c < n for c, n in zip(place, layer.data.shape, strict=True))
        if not inside or layer.n_edit_dimensions < layer.ndim or layer.data[place] != label:
            return None
        if self._covered is not None and self._covered[place]:
            return None
        labels = np.asarray(layer.data)
        return flood(labels, place, connectivity=1) if layer.contiguous else labels == label

    def _tell_kept(self, box: Box, kept: Mask | None, label: int) -> None:
        if kept is None or not kept.any():
            return
        inner = bounds(kept)
        box = tuple(
            slice(span.start + part.start, span.start + part.stop)
            for span, part in zip(box, inner, strict=True)
        )
        layer = self._layer
        labels = np.asarray(layer.data[box])
        layer._save_history(layer._history_atom_for_mask_paint(box, labels, kept[inner], label))

    def _on_paint(self, event: Any) -> None:
        if event.value:
            self._on_step(event.value)
        self._end()

    def _end(self) -> None:
        if not self.stroke_going_on:  # napari holds the stack while it tells of a stroke
            self._covered = None
            self._on_end()


def pixels_of(atoms: list[Any], shape: tuple[int, ...]) -> tuple[Box, Mask]:
    """Return the pixels of one step of napari's undo stack, with as small a box as it has.

    Parameters
    ----------
    atoms : list
        Each (box, mask or None, old, new) or, from `data_setitem`, (indices, old, new).
    shape : tuple of int
        Of the label image.

    Raises
    ------
    IndexError, TypeError, ValueError
        If an atom has another form, as a later napari may give it.
    """
    if len(atoms) == 1 and len(atoms[0]) == 4 and atoms[0][1] is not None:
        return atoms[0][0], atoms[0][1]
    boxes = [atom[0] if len(atom) == 4 else _box_of(atom[0]) for atom in atoms]
    low = [min(box[axis].indices(n)[0] for box in boxes) for axis, n in enumerate(shape)]
    high = [max(box[axis].indices(n)[1] for box in boxes) for axis, n in enumerate(shape)]
    mask = np.zeros(np.subtract(high, low), bool)
    for atom, box in zip(atoms, boxes, strict=True):
        inside = tuple(
            slice(part.indices(n)[0] - start, part.indices(n)[1] - start)
            for part, n, start in zip(box, shape, low, strict=True)
        )
        if len(atom) == 4:
            mask[inside] |= True if atom[1] is None else atom[1]
        else:
            mask[tuple(np.asarray(i) - start for i, start in zip(atom[0], low, strict=True))] = True
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), mask


def bounds(mask: Mask) -> Box:
    """Return the bounding box of the pixels of a mask (M, N) that has any."""
    box = []
    for axis in range(mask.ndim):
        there = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        box.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(box)


def _box_of(indices: tuple[Any, ...]) -> Box:
    return tuple(slice(int(np.min(i)), int(np.max(i)) + 1) for i in indices)
