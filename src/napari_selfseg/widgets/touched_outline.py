"""What a person touched, as a thin line over the labels layer; it can be hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_selfseg.core.glimpse import Part
from napari_selfseg.core.masks import inner_edge
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.latest import Latest
from napari_selfseg.widgets.line_layer import add_lines

OUTLINE_NAME = "SelfSeg touched"
COLOUR = "#ffe600"  # no stain has it, and no confidence or doubt
SOON_MS = 60  # actions that follow one another are drawn together


class TouchedBox(QCheckBox):
    """Whether the line around what was touched is wanted."""

    def __init__(self) -> None:
        super().__init__("Show what I touched")
        self.setToolTip(
            "A thin yellow line around every pixel that you have painted, erased or filled. No "
            "slider and no training changes what lies inside."
        )
        self.setChecked(True)


class TouchedOutline(QObject):
    """Draws the edge of what was touched in one labels layer at a time.

    The layer with the line is made when there is something to show, above the labels, and goes
    when they are hidden. It cannot be painted, and nothing is ever read from it. Only the part
    that an action has changed is drawn again, and its line is found in another thread.

    Parameters
    ----------
    viewer : napari viewer
    box : TouchedBox
        Says whether the line is wanted; deleting its layer means that it is not.
    owner : QWidget
        Nothing happens any more once it was destroyed.
    """

    def __init__(self, viewer: Any, box: TouchedBox, owner: QWidget) -> None:
        super().__init__(owner)
        self.is_wanted = box.isChecked()
        self._box = box
        box.toggled.connect(self.show)
        self._viewer = unwrapped(viewer)
        self._editable: EditableLabels | None = None
        self._line: Labels | None = None
        self._stale: Part | None = None
        self._finding = Latest(self._draw, lambda _: None, owner)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._find)
        self._viewer.layers.events.removed.connect(self._on_removed)
        owner.destroyed.connect(lambda *_: self._stop_listening())

    @property
    def layer(self) -> Labels | None:
        """The layer that shows the line, if there is one."""
        return self._line

    def follow(self, editable: EditableLabels | None) -> None:
        """Show what was touched in these labels from now on, or nothing."""
        if editable is self._editable:
            return
        self._let_go()
        self._remove_line()
        self._editable = editable
        if editable is not None:
            editable.touched_changed.connect(self._on_change)
            editable.layer.events.visible.connect(self._follow_visibility)
            self._draw_all()

    def show(self, wanted: bool) -> None:
        """Show or hide the line."""
        self.is_wanted = wanted
        if not wanted:
            self._remove_line()
        elif self._line is None:
            self._draw_all()

    # ---- inside

    @property
    def _is_seen(self) -> bool:
        return self._editable is not None and bool(self._editable.layer.visible)

    def _draw_all(self) -> None:
        if self._editable is not None:
            n_rows, n_columns = self._editable.layer.data.shape
            self._on_change((slice(0, n_rows), slice(0, n_columns)))

    def _on_change(self, part: Part) -> None:
        if self.is_wanted and self._is_seen:
            self._stale = part if self._stale is None else _around(self._stale, part)
            self._soon.start()

    def _find(self) -> None:
        """Look for the line in the part that has changed; it may reach one pixel out of it."""
        editable, stale = self._editable, self._stale
        if editable is None or stale is None or self._finding.is_busy:
            return  # the end of what is being found comes back here
        shape = editable.layer.data.shape
        self._stale = None
        seen, part = _wider(stale, shape, 2), _wider(stale, shape, 1)
        touched = editable.touched_in(seen)
        inside = tuple(
            slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, seen, strict=True)
        )
        self._finding.ask(lambda: (editable, part, inner_edge(touched)[inside]))

    def _draw(self, found: tuple[EditableLabels, Part, NDArray[np.bool_]]) -> None:
        editable, part, edge = found
        if editable is self._editable and self.is_wanted and self._is_seen:
            if self._line is None and edge.any():
                self._line = add_lines(self._viewer, editable.layer, OUTLINE_NAME, {1: COLOUR})
            if self._line is not None:
                self._set(self._line, part, edge)
        self._find()

    def _set(self, line: Labels, part: Part, edge: NDArray[np.bool_]) -> None:
        now = line.data[part]
        rows, columns = np.nonzero(now != edge)
        if not len(rows):
            return
        if line.visible:  # napari sends only the changed box to the screen
            where = rows + part[0].start, columns + part[1].start
            line.data_setitem(where, edge[rows, columns].astype(np.uint8))
            line.editable = True
            line.editable = False  # which also makes it forget the step: nobody undoes a line
        else:
            now[...] = edge

    def _follow_visibility(self, _event: Any = None) -> None:
        if self._is_seen and self._line is None:
            self._draw_all()
        elif not self._is_seen:
            self._remove_line()

    def _on_removed(self, event: Any) -> None:
        if event.value is self._line:
            self._line = None
            self._box.setChecked(False)
        elif self._editable is not None and event.value is self._editable.layer:
            self.follow(None)

    def _remove_line(self) -> None:
        line, self._line, self._stale = self._line, None, None
        if line is not None and line in self._viewer.layers:
            self._viewer.layers.remove(line)

    def _let_go(self) -> None:
        if self._editable is not None:
            self._editable.touched_changed.disconnect(self._on_change)
            self._editable.layer.events.visible.disconnect(self._follow_visibility)
            self._editable = None

    def _stop_listening(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._let_go()


def _around(one: Part, other: Part) -> Part:
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def _wider(part: Part, shape: tuple[int, ...], by: int) -> Part:
    rows, columns = (
        slice(max(0, span.start - by), min(n, span.stop + by))
        for span, n in zip(part, shape, strict=True)
    )
    return rows, columns
