"""Showing one object or region in the viewer: the view goes there, a frame lies around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Shapes

from napari_selfseg.session.review import Kind
from napari_selfseg.widgets.image_layers import OWN, plane_to_world, unwrapped
from napari_selfseg.widgets.layers import TileView
from napari_selfseg.widgets.result_layers import kept_focus

FRAME_NAME = "SelfSeg review"
Box = Sequence[float]
"""First row and column, and those after the last, in px of the tile."""
FRAME_COLOUR = "#ffd400"
OF_VIEW = {"object": 0.2, "region": 0.5}  # how much of the view the item takes
SMALLEST = 12.0  # px; a smaller object is not enlarged further
MARGIN = 0.25  # of an object, between it and its frame
FRAME_WIDTH = 2.0  # px of the screen


class ReviewView:
    """Moves the view of a viewer to items, and frames them.

    The frame is a layer of its own that takes neither focus nor tool from any other; if the user
    deletes it, it comes back with the next item.

    Parameters
    ----------
    viewer : napari viewer
    name : str
        Of the frame's layer.
    """

    def __init__(self, viewer: Any, name: str = FRAME_NAME) -> None:
        self._viewer, self._name = unwrapped(viewer), name
        self._frame: Shapes | None = None
        self._tile_view: TileView | None = None

    def show(self, kind: Kind, box: Box, tile_view: TileView, go_there: bool = True) -> None:
        """Frame an item and, unless it is there already, bring it into view."""
        if go_there:
            self._go_to(kind, box, tile_view)
        self._put_frame(kind, box, tile_view)

    def clear(self) -> None:
        """Remove the frame."""
        if self._frame in self._viewer.layers:
            self._viewer.layers.remove(self._frame)
        self._frame = self._tile_view = None

    def _go_to(self, kind: Kind, box: Box, tile_view: TileView) -> None:
        camera = self._viewer.scene.camera
        top, left, bottom, right = box
        corners = [self._world(tile_view, at) for at in ((top, left), (bottom, right))]
        middle = self._world(tile_view, ((top + bottom - 1) / 2, (left + right - 1) / 2))
        px = float(np.linalg.norm(corners[1] - corners[0]) / np.hypot(bottom - top, right - left))
        side = max(bottom - top, right - left, SMALLEST) * px
        canvas = float(min(self._viewer.canvas.viewbox_size(self._viewer.layers)))
        camera.center = (*camera.center[:-2], *middle)
        camera.zoom = canvas * OF_VIEW[kind] / side

    def _put_frame(self, kind: Kind, box: Box, tile_view: TileView) -> None:
        top, left, bottom, right = box
        more = 0.0 if kind == "region" else MARGIN * max(bottom - top, right - left, 8)
        low = np.array([top, left]) - 0.5 - more
        high = np.array([bottom, right]) - 0.5 + more
        corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
        kwargs = tile_view.layer_kwargs()
        scale = float(np.mean(np.abs(kwargs["scale"])))
        width = FRAME_WIDTH / (self._viewer.scene.camera.zoom * scale)
        if self._frame not in self._viewer.layers or self._tile_view is not tile_view:
            self.clear()
            self._frame = Shapes(
                ndim=2, name=self._name, metadata={OWN: {"role": "review"}}, **kwargs
            )
            with kept_focus(self._viewer):
                self._viewer.add_layer(self._frame)
            self._tile_view = tile_view
        frame = self._frame
        assert frame is not None
        frame.data = []
        frame.add_rectangles(
            [corners], edge_color=FRAME_COLOUR, face_color="transparent", edge_width=width
        )
        frame.selected_data = set()

    def _world(self, tile_view: TileView, at: tuple[float, float]) -> np.ndarray:
        row, column = at[0] + tile_view.rows.start, at[1] + tile_view.columns.start
        return np.asarray(plane_to_world(tile_view.layer, tile_view.plane, (row, column)))
