"""What a refinement would change, as outlines over the tile; the view goes from one to the next."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels

from napari_selfseg.core.changes import KINDS, ChangeKind, Changes
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.layers import TileView
from napari_selfseg.widgets.line_layer import add_lines
from napari_selfseg.widgets.review_view import Box, ReviewView

PROPOSAL_NAME, FRAME_NAME = "SelfSeg proposal", "SelfSeg change"
COLOURS: dict[ChangeKind, str] = {
    "appears": "#00e05a",
    "disappears": "#ff3030",
    "changes": "#ffb300",
}


class ProposalView:
    """Shows one proposal at a time.

    The layer takes neither focus nor tool from any other. If the user deletes it, it comes back
    with the next change that is gone to.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = unwrapped(viewer)
        self._lines: Labels | None = None
        self._shown: Changes | None = None
        self._framed: Box | None = None
        self._frame = ReviewView(viewer, FRAME_NAME)

    def show(self, changes: Changes, labels: Labels) -> None:
        """Show the outlines of changes over the labels layer that they are of."""
        if changes is self._shown:
            return
        self._shown = changes
        if self._framed is not None and not (changes.box == self._framed).all(axis=1).any():
            self._end_frame()  # the change that it was around is not there any more
        if self._lines is None:
            self._add(labels)
        elif self._lines in self._viewer.layers:
            self._draw()

    def go_to(self, box: Box, tile_view: TileView, labels: Labels) -> None:
        """Bring a change into view and frame it."""
        if self._shown is not None and self._lines not in self._viewer.layers:
            self._add(labels)
        self._frame.show("object", box, tile_view)
        self._framed = box

    def clear(self) -> None:
        """Show nothing any more."""
        self._end_frame()
        if self._lines in self._viewer.layers:
            self._viewer.layers.remove(self._lines)
        self._lines = self._shown = None

    def _end_frame(self) -> None:
        self._frame.clear()
        self._framed = None

    def _add(self, labels: Labels) -> None:
        colours = {KINDS.index(kind) + 1: colour for kind, colour in COLOURS.items()}
        self._lines = add_lines(self._viewer, labels, PROPOSAL_NAME, colours)
        self._draw()

    def _draw(self) -> None:
        self._lines.data[...] = self._shown.outlines()  # other data would make it editable
        self._lines.refresh(extent=False)
