"""What a person did to a labels layer, what we did, and what of it was undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_selfseg.session.corrections import Box, Mask, Touched, numbers_in
from napari_selfseg.widgets.label_painting import LabelPainting, bounds, pixels_of

OWN_BYTES = 200_000_000  # our own undo steps, all together; strokes are never dropped for them
WHOLE = slice(None), slice(None)
Kind = Literal["person", "prediction", "accepted", "unlocking"]
OURS = "prediction", "accepted"


@dataclass(eq=False)
class _Step:
    """One entry of napari's undo stack."""

    atoms: list[Any]
    kind: Kind
    unlocked: tuple[Box, Mask] | None = None
    counted: NDArray[np.uint8] | None = None  # how often the unlocked pixels had been touched
    is_done: bool = False

    def is_on(self, stack: set[int]) -> bool:
        # napari reverses the list at every undo and redo, the atoms stay the same objects
        return id(self.atoms[0]) in stack or id(self.atoms[-1]) in stack


class LabelHistory:
    """Tells a person's changes of a labels layer from ours, and makes ours undoable.

    Parameters
    ----------
    layer : Labels, shape (M, N)
        As we have made it; what differs later is somebody's work.
    before : callable()
        Called before pixels are painted, undone or redone.
    on_edit : callable(box)
        A person's stroke, other action, undo or redo has ended; which part of the image it
        touched or untouched, None if none.
    """

    def __init__(
        self, layer: Labels, before: Callable[[], None], on_edit: Callable[[Box | None], None]
    ) -> None:
        self._layer, self._on_edit = layer, on_edit
        self._making: Kind = "person"
        self._unlocked: tuple[Box, Mask] | None = None
        self._steps: list[_Step] = []  # oldest first, also those that are undone now
        self._touched = Touched(layer.data.shape)
        self._reserved: set[int] = set()
        self._known = np.array(layer.data)  # what the layer shows, as far as we were told
        self._is_edited, self._news = False, []  # since it was last told: list of boxes
        self._painting = LabelPainting(layer, before, self._on_step, self.tell)

    @property
    def has_layers_shape(self) -> bool:
        """Whether the layer still shows an image of the same size."""
        return bool(self._layer.data.shape == self._known.shape)

    @property
    def stroke_going_on(self) -> bool:
        """Whether the mouse is down in the middle of a stroke."""
        return self._painting.stroke_going_on

    @property
    def tells_all(self) -> bool:
        """Whether napari lets us see the pixels of a stroke that keep their value."""
        return self._painting.tells_all

    @property
    def is_untouched(self) -> bool:
        """Whether no pixel is touched, and no person's action could be undone to it."""
        self._notice_untold()
        by_person = any(step.is_done and step.kind != "prediction" for step in self._steps)
        return not by_person and not self._touched.any()

    def touched(self) -> Mask:
        """Return the pixels (M, N) that a person touched and did not take back by undo.

        Also those that were changed without a step, such as by another plugin.
        """
        return self.touched_in(WHOLE)

    def touched_in(self, box: Box) -> Mask:
        """Return `touched` in a part (m, n) of the image."""
        differs = self._notice_untold(box)
        touched = self._touched.mask_in(box)
        return touched if differs is None else touched | differs

    def reserved(self) -> NDArray[np.int64]:
        """Return all numbers that a touched object ever had, in increasing order."""
        self._notice_untold()
        return np.array(sorted(self._reserved), dtype=np.int64)

    # ---- what we do

    def write(self, labels: NDArray[Any], is_accepted: bool = False) -> None:
        """Make the layer show ``labels`` (M, N) by one step that can be undone.

        If the newest step is a prediction, it is replaced: a slider that moves twice is one step.
        A prediction that a person has accepted neither replaces nor is replaced.
        """
        with self._as("accepted" if is_accepted else "prediction"):
            newest = self._newest_done()
            if newest is not None and newest.kind == self._making == "prediction":
                self._painting.undo_quietly()
                self._sync()
                self._painting.forget_undone()
            changed = np.asarray(self._layer.data != labels)
            if changed.any():
                box = bounds(changed)
                self._painting.write(box, changed[box].copy(), labels[box])
        self._drop_oldest_predictions()

    def replace(self, labels: NDArray[Any]) -> None:
        """Make the layer show ``labels`` (M, N) and forget every step.

        Nothing can be undone or redone any more: else Ctrl-Z would paint pixels of the old
        image into the new one. Reserved numbers stay reserved.
        """
        self._steps.clear()
        self._touched.clear()
        self._known = np.array(labels)
        if labels.dtype == self._layer.data.dtype:
            self._layer.data[...] = labels
            self._layer.refresh(extent=False)
        else:
            self._layer.data = labels
            self._layer.set_view_slice()  # a hidden layer would go on painting in the old dtype
        self._painting.clear()

    def widen(self, dtype: np.dtype[Any]) -> None:
        """Hold the same labels in a wider dtype: napari's undo steps stay true."""
        self._notice_untold()
        self._known = self._known.astype(dtype)
        self._layer.data = self._layer.data.astype(dtype)
        self._layer.set_view_slice()  # a hidden layer would go on painting in the old dtype

    def unlock(self, mask: Mask) -> None:
        """Make pixels (M, N) unknown again, as one step that can be undone.

        Nothing happens during a stroke.
        """
        mask = mask & self.touched()
        if self.stroke_going_on or not mask.any():
            return
        box = bounds(mask)
        self._unlocked = box, mask[box].copy()
        if self._painting.can_make_steps:
            with self._as("unlocking"):
                self._painting.make_step_at(*(span.start for span in box))
        else:
            self._touched.forget(*self._unlocked)
            self._note_news(box)
        self.tell()

    def touch(self, box: Box, mask: Mask) -> None:
        """Count pixels (m, n) of a part as touched; only unlocking takes it back."""
        self._touched.add(box, mask)
        self._reserve(self._layer.data[box][mask])
        self._note_news(box)

    def restore(
        self, labels: NDArray[Any], touched: Mask, reserved: NDArray[np.integer[Any]]
    ) -> None:
        """Take over labels and touched pixels (M, N), and numbers; nothing of it can be undone."""
        self.replace(labels)
        self.touch(WHOLE, touched)
        self._reserve(np.asarray(reserved))
        self._news, self._is_edited = [], False

    def accept(self, box: Box) -> None:
        """Take what the layer shows in a part for known: it is nobody's work."""
        self._known[box] = self._layer.data[box]

    @contextmanager
    def _as(self, kind: Kind) -> Iterator[None]:
        self._making = kind
        try:
            yield
        finally:
            self._making = "person"

    def _drop_oldest_predictions(self) -> None:
        """Bound the memory of our steps; a later undo then skips the dropped ones."""
        ours = [step for step in self._steps if step.is_done and step.kind in OURS]
        n_bytes = {id(step): _n_bytes(step) for step in ours}
        while len(ours) > 1 and sum(n_bytes[id(step)] for step in ours) > OWN_BYTES:
            if self._painting.undo_stack is not None:
                self._painting.drop(ours[0].atoms)
            self._steps.remove(ours.pop(0))

    # ---- what happens to the layer

    def _on_step(self, atoms: list[Any]) -> None:
        if not self.has_layers_shape:
            return
        unlocked = self._unlocked if self._making == "unlocking" else None
        self._steps.append(_Step(atoms, self._making, unlocked))
        self._sync()

    def tell(self) -> None:
        """Tell of a person's action that has ended, if it was not told yet."""
        if self._making != "person" or not self.has_layers_shape:
            return
        self._sync()
        if self._is_edited:
            news, self._news, self._is_edited = self._news, [], False
            self._on_edit(_around(news))

    def _sync(self) -> None:
        """Count the steps that were done since, and take back the undone ones."""
        if self._known.dtype != self._layer.data.dtype:
            self._known = self._known.astype(self._layer.data.dtype)
        undo, redo = self._painting.undo_stack, self._painting.redo_stack
        if undo is None:  # what was done is never known to be undone
            done, undone = {id(step.atoms[0]) for step in self._steps}, set()
        else:
            done, undone = _ends_of(undo), _ends_of(redo)
        for step in reversed(self._steps):
            if step.is_done and step.is_on(undone):
                self._turn(step, False)
        for step in self._steps:
            if not step.is_done and step.is_on(done):
                self._turn(step, True)
        # Others fell off the far end of the stack, or somebody emptied it: what they did stays.
        self._steps = [step for step in self._steps if step.is_on(done) or step.is_on(undone)]

    def _turn(self, step: _Step, is_done: bool) -> None:
        """Follow a step that was done or undone."""
        step.is_done = is_done
        self._is_edited = self._is_edited or self._making == "person"
        if step.unlocked is not None:
            if is_done:
                step.counted = self._touched.forget(*step.unlocked)
            else:
                assert step.counted is not None
                self._touched.bring_back(*step.unlocked, step.counted)
            self._note_news(step.unlocked[0])
            return
        try:
            box, mask = pixels_of(step.atoms, self._known.shape)
        except (IndexError, TypeError, ValueError):
            return  # a form of a later napari; the changed pixels themselves will tell
        former, now = self._known[box], self._layer.data[box]
        if step.kind == "person":
            if is_done:
                self._reserve(former[mask])
                self._reserve(now[mask])
            (self._touched.add if is_done else self._touched.remove)(box, mask)
            self._note_news(box)
        np.copyto(former, now, where=mask)

    def _notice_untold(self, box: Box = WHOLE) -> Mask | None:
        """Count what was changed in a part without a step, by another plugin, as a person's work.

        In the middle of a stroke, or of another size, it is only returned.
        """
        if not self.has_layers_shape:
            return np.ones(self._known[box].shape, bool)  # somebody made another image of it
        self._sync()
        now, known = self._layer.data[box], self._known[box]
        differs = np.asarray(now != known)
        if not differs.any():
            return None
        if self.stroke_going_on:
            return differs  # the stroke will be told
        self._reserve(known[differs])
        np.copyto(known, now, where=differs)
        self.touch(box, differs)
        return None

    def _newest_done(self) -> _Step | None:
        """Return what the next undo takes back, if we know it."""
        stack = self._painting.undo_stack
        if not stack:
            return None
        newest = _ends_of(stack[-1:])
        return next((step for step in self._steps if step.is_on(newest)), None)

    def _reserve(self, labels: NDArray[Any]) -> None:
        self._reserved.update(numbers_in(labels).tolist())

    def _note_news(self, box: Box) -> None:
        spans = zip(box, self._known.shape, strict=True)
        self._news.append(tuple(slice(*span.indices(n)[:2]) for span, n in spans))
        self._is_edited = self._is_edited or self._making not in OURS


def _ends_of(stack: list[list[Any]]) -> set[int]:
    return {id(atom) for atoms in stack for atom in (atoms[0], atoms[-1])}


def _around(boxes: list[Box]) -> Box | None:
    """Return the bounding box of some parts; None without any."""
    if not boxes:
        return None
    return tuple(
        slice(min(span.start for span in spans), max(span.stop for span in spans))
        for spans in zip(*boxes, strict=True)
    )


def _n_bytes(step: _Step) -> int:
    arrays = [part for atom in step.atoms for part in (*atom[0], *atom[1:])]
    return sum(part.nbytes for part in arrays if isinstance(part, np.ndarray))
