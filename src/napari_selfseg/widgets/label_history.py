"""The undo history of a labels layer: the one place that knows how napari keeps it.

napari 0.9 tells every stroke, fill and `data_setitem` by the layer's ``paint`` event, as the
list of atoms it puts on its undo stack, but tells neither undo nor redo. The stack itself, and
whether a stroke is going on, are private attributes; they are read here only, and without them
we fall back to the safe side: what was painted once counts as touched for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_selfseg.session.corrections import Touched

OWN_BYTES = 200_000_000  # our own undo steps, all together; strokes are never dropped for them
Area = tuple[tuple[slice, ...], NDArray[np.bool_]]  # a bounding box and the pixels in it


@dataclass(eq=False)
class _Step:
    """One entry of napari's undo stack."""

    atoms: list[Any]
    ours: bool
    area: Area
    counted: bool = False

    def is_on(self, stack: set[int]) -> bool:
        # napari reverses the list at every undo and redo, the atoms stay the same objects
        return id(self.atoms[0]) in stack or id(self.atoms[-1]) in stack


class LabelHistory:
    """Tells a person's changes of a labels layer from ours, and makes ours undoable.

    Parameters
    ----------
    layer : Labels, shape (M, N)
    """

    def __init__(self, layer: Labels) -> None:
        self._layer = layer
        self._writing = False
        self._steps: list[_Step] = []  # oldest first, also those that are undone now
        self._touched = Touched(layer.data.shape)
        layer.events.paint.connect(self._on_paint)

    @property
    def stroke_going_on(self) -> bool:
        """Whether the mouse is down in the middle of a stroke."""
        return bool(getattr(self._layer, "_block_history", False))

    def touched(self) -> NDArray[np.bool_]:
        """Return the pixels (M, N) that a person changed and did not take back by undo."""
        self._count()
        return self._touched.mask

    def ever_painted(self) -> NDArray[np.bool_]:
        """Return the pixels (M, N) of all of a person's steps, undone ones too."""
        painted = self.touched().copy()
        for step in self._steps:
            if not step.ours:
                box, mask = step.area
                painted[box] |= mask
        return painted

    @property
    def last_write_was_undone(self) -> bool:
        """Whether a person took our newest step back."""
        ours = [step for step in self._steps if step.ours]
        return bool(ours) and ours[-1] not in self._done_steps()

    def clear(self) -> None:
        """Forget every step, in napari too: nothing can be undone or redone any more."""
        self._steps.clear()
        self._touched.clear()
        if hasattr(self._layer, "_reset_history"):
            self._layer._reset_history()
        else:  # by the public way, which also takes the tool away for a moment
            mode = self._layer.mode
            self._layer.editable = False
            self._layer.editable = True
            self._layer.mode = mode

    def write(self, labels: NDArray[Any]) -> None:
        """Make the layer show ``labels`` (M, N) by one step that can be undone.

        If the newest step is ours, it is replaced: a slider that moves twice is one step.
        """
        with self._as_ours():
            done = self._done_steps()
            if self._stack() is not None and done and done[-1].ours:
                self._layer.undo()
                self._forget_undone()
            changed = np.nonzero(self._layer.data != labels)
            if changed[0].size:
                self._layer.data_setitem(changed, labels[changed])
        self._drop_oldest_of_ours()

    @contextmanager
    def _as_ours(self) -> Iterator[None]:
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def _on_paint(self, event: Any) -> None:
        shape = self._layer.data.shape
        if not event.value or shape != self._touched.mask.shape:
            return
        try:
            area = _area(event.value, shape)
        except (IndexError, TypeError, ValueError):
            return  # a form of a later napari; the changed pixels themselves will tell
        self._steps.append(_Step(event.value, self._writing, area))
        self._count()
        stack = self._stack()
        if stack is not None:
            # The oldest may have fallen off the stack: they stay counted. What was undone
            # cannot come back after a new step.
            self._steps = [step for step in self._steps if step.is_on(stack)]

    def _forget_undone(self) -> None:
        """Drop what could be redone; a new step does that too, but there may be none."""
        self._steps = self._done_steps()
        redo = getattr(self._layer, "_redo_history", None)
        if redo is not None:
            redo.clear()

    def _count(self) -> None:
        """Count a person's steps that were done since, and take back the undone ones."""
        done = set(map(id, self._done_steps()))
        for step in self._steps:
            if not step.ours and step.counted != (id(step) in done):
                step.counted = not step.counted
                change = self._touched.add if step.counted else self._touched.remove
                change((*step.area, None, None))

    def _done_steps(self) -> list[_Step]:
        """Return the steps that are not undone, oldest first."""
        stack = self._stack()
        if stack is None:
            return self._steps
        on_stack = [i for i, step in enumerate(self._steps) if step.is_on(stack)]
        # Undone steps are the newest; older ones off the stack fell off its far end.
        return self._steps[: on_stack[-1] + 1] if on_stack else []

    def _stack(self) -> set[int] | None:
        """Return the identities of the atoms that can be undone; None if napari hides them."""
        history = getattr(self._layer, "_undo_history", None)
        if history is None:
            return None
        return {id(atom) for step in history for atom in (step[0], step[-1])}

    def _drop_oldest_of_ours(self) -> None:
        """Bound the memory of our steps; a later undo then skips the dropped ones."""
        history = getattr(self._layer, "_undo_history", None)
        ours = [step for step in self._done_steps() if step.ours]
        while history is not None and len(ours) > 1 and sum(map(_n_bytes, ours)) > OWN_BYTES:
            oldest = ours.pop(0)
            for i in [i for i, atoms in enumerate(history) if atoms[0] is oldest.atoms[0]]:
                del history[i]
            self._steps.remove(oldest)


def _area(atoms: list[Any], shape: tuple[int, ...]) -> Area:
    """Return the pixels that one step changed, with as small a box as it has.

    An atom is (box, mask or None, old, new) or, from `data_setitem`, (indices, old, new).
    """
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


def _box_of(indices: tuple[Any, ...]) -> tuple[slice, ...]:
    return tuple(slice(int(np.min(i)), int(np.max(i)) + 1) for i in indices)


def _n_bytes(step: _Step) -> int:
    arrays = [part for atom in step.atoms for part in (*atom[0], *atom[1:])]
    return sum(part.nbytes for part in arrays if isinstance(part, np.ndarray))
