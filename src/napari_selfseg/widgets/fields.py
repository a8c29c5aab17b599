"""The part of a tile that numbers are asked for: all of it, what is visible, or drawn shapes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_selfseg.widgets.image_layers import own_metadata, unwrapped
from napari_selfseg.widgets.regions import TileView, visible_field, world_to_plane

Field = Literal["tile", "view", "shapes"]
N_CORNERS = 64  # of the polygon that stands for an ellipse


def field_mask(viewer: Any, tile_view: TileView, field: Field) -> NDArray[np.bool_] | None:
    """Return a part of a tile as a mask (M, N); None for all of it.

    "shapes" are all areas of the shapes layer that is selected, or of the newest one.

    Raises
    ------
    ValueError
        One sentence for the user, if nothing is drawn or nothing of it lies on the tile.
    """
    if field == "tile":
        return None
    if field == "view":
        mask = np.zeros(tile_view.tile.shape, bool)
        mask[visible_field(viewer, tile_view)] = True
        return mask
    return _drawn(unwrapped(viewer), tile_view)


def _drawn(viewer: Any, tile_view: TileView) -> NDArray[np.bool_]:
    layer = _shapes_layer(viewer)
    if layer is None:
        raise ValueError("Nothing is drawn yet: add a shapes layer and draw the region in it.")
    mask = np.zeros(tile_view.tile.shape, bool)
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        outline = _ellipse(np.asarray(corners)) if kind == "ellipse" else np.asarray(corners)
        mask |= polygon2mask(mask.shape, _in_tile(viewer, layer, outline, tile_view))
    if not mask.any():
        raise ValueError(f"'{layer.name}' has no area on the tile: draw a region over it.")
    return mask


def _shapes_layer(viewer: Any) -> Shapes | None:
    """Return the selected shapes layer of the user's own, else the newest with shapes."""
    found = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Shapes)
        and own_metadata(layer).get("role") != "review"
        and len(layer.data)
    ]
    active = viewer.layers.selection.active
    return active if active in found else found[-1] if found else None


def _in_tile(
    viewer: Any, layer: Shapes, corners: NDArray[Any], tile_view: TileView
) -> NDArray[np.float64]:
    """Return corners (n, 2) of a shape as rows and columns of the tile."""
    world = np.array([layer.data_to_world(corner)[-2:] for corner in corners], dtype=float)
    units = viewer.layers.extent.units
    if units is not None:
        pairs = zip(layer.units[-2:], units[-2:], strict=True)
        world *= [1.0 if a == b else float((1 * a).to(b).magnitude) for a, b in pairs]
    found = world_to_plane(viewer, tile_view.layer, world)
    return np.asarray(found - [tile_view.rows.start, tile_view.columns.start])


def _ellipse(corners: NDArray[Any]) -> NDArray[np.float64]:
    """Return the ellipse in a rectangle of four corners, as a polygon."""
    middle, a, b = corners.mean(0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, N_CORNERS, endpoint=False)[:, None]
    return np.asarray(middle + np.cos(angle) * a + np.sin(angle) * b)
