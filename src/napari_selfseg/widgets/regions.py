"""A region of an image layer as a tile: where it lies, what it shows, how results go over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from weakref import ref

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import ArrayLike, NDArray

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.widgets.image_layers import (
    OWN,
    Plane,
    displayed_plane,
    own_metadata,
    plane_matrix,
    plane_to_world,
    rgb_tile_of,
    tile_of,
    unwrapped,
)

REGION_NAME = "SelfSeg region"
Region = Literal["whole", "view", "rectangle"]
Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class TileView:
    """A tile and its place in an image layer.

    The layer's transform is looked up when it is asked for, so results follow an image that
    was moved; a removed layer keeps its last transform.

    Parameters
    ----------
    layer : Image
        The layer the tile was cut from (the first one of three grey layers).
    tile : Tile
        The pixels of the region, (M, N, C), read lazily where the layer is lazy.
    rows, columns : slice
        The region in full-resolution data px of the layer.
    plane : tuple of int
        The position on the axes that are not shown; () for a plain image.
    viewer : weak reference to the viewer
    """

    layer: Image
    tile: Tile
    rows: slice
    columns: slice
    plane: tuple[int, ...]
    viewer: ref[Any]

    def to_tile(self, world_position: ArrayLike) -> tuple[int, int] | None:
        """Return the tile's (row, column) under a world position; None outside the tile."""
        position = np.atleast_2d(np.asarray(world_position, dtype=float))
        found = world_to_plane(self.viewer(), self.layer, position)[0]
        row, column = (int(i) for i in np.floor(found + 0.5))
        row, column = row - self.rows.start, column - self.columns.start
        n_rows, n_columns = self.tile.shape
        return (row, column) if 0 <= row < n_rows and 0 <= column < n_columns else None

    def is_same_region(self, other: TileView) -> bool:
        """Whether another view is of the same region of the same layer."""
        return (
            self.layer is other.layer
            and (self.rows, self.columns, self.plane) == (other.rows, other.columns, other.plane)
            and self.tile.n_channels == other.tile.n_channels
        )

    def is_told_the_same(self, other: TileView) -> bool:
        """Whether all that is known of the tile beside its pixels is the same in another view."""
        is_of_one_layer = bool(other.layer.rgb) or self.tile.n_channels == 1
        told = [
            (view.tile.um_per_px, view.tile.white, view.tile.name, view.tile.notes)
            for view in (self, other)
        ]
        return is_of_one_layer and told[0] == told[1]

    def layer_kwargs(self, step: int = 1) -> dict[str, Any]:
        """Return scale, translate or affine, and units that put an (M, N) array over the tile.

        With ``step`` > 1 for an array of the tile's pixels at step // 2, step // 2 + step, ...
        """
        first = (self.rows.start + step // 2, self.columns.start + step // 2)
        origin = plane_to_world(self.layer, self.plane, first)
        matrix = step * plane_matrix(self.layer)
        # The scale stays a scale, so that measuring plugins find it; what is left of rotation,
        # shear and the layer's own affine goes into one affine matrix.
        scale = np.linalg.norm(matrix, axis=0)
        rest = matrix / scale
        kwargs: dict[str, Any] = {"scale": scale, "units": tuple(self.layer.units[-2:])}
        if np.allclose(rest, np.eye(2), atol=1e-9):
            return {**kwargs, "translate": origin}
        affine = np.eye(3)
        affine[:2, :2], affine[:2, 2] = rest, origin
        return {**kwargs, "affine": affine}


def make_tile_view(
    viewer: Any,
    layer: Image | tuple[Image, Image, Image],
    region: Region = "whole",
    um_per_px: float | None = None,
    rectangle: ArrayLike | None = None,
) -> TileView:
    """Cut a region out of an image layer.

    Parameters
    ----------
    viewer : napari viewer
    layer : Image, or three of them
        Three grey layers become one RGB tile.
    region : {"whole", "view", "rectangle"}
        "view" is what the canvas shows; "rectangle" is the selected or newest shape of the
        region layer.
    um_per_px : float, optional
        What the user says; None takes it from the layer.
    rectangle : array, shape (n, 2), optional
        Corners in world coordinates instead of the region layer's, or of what the canvas
        showed at another moment.

    Raises
    ------
    TileError
        One sentence for the user.
    """
    viewer = unwrapped(viewer)
    layers = layer if isinstance(layer, tuple) else (layer,)
    first = layers[0]
    plane = displayed_plane(viewer, first)
    rows, columns = _region_box(viewer, first, plane, region, rectangle)
    if len(layers) == 3:
        tile = rgb_tile_of(viewer, layers, rows, columns, um_per_px)
    else:
        tile = tile_of(first, plane, rows, columns, um_per_px)
    return TileView(first, tile, rows, columns, plane.index, ref(viewer))


def ensure_region_layer(viewer: Any, layer: Image | None = None) -> Shapes:
    """Return the "SelfSeg region" layer, made if need be, active and ready to draw a rectangle.

    It has the transform of ``layer``, so that rectangles lie along the image's rows.
    """
    viewer = unwrapped(viewer)
    shapes = region_layer(viewer)
    if shapes is None:
        kwargs = {}
        if layer is not None:
            whole = TileView(layer, None, slice(0, 0), slice(0, 0), (), ref(viewer))  # type: ignore[arg-type]
            kwargs = whole.layer_kwargs()
        shapes = viewer.add_shapes(
            ndim=2,
            name=REGION_NAME,
            edge_color="#ffd400",
            face_color="transparent",
            metadata={OWN: {"role": "region"}},
            **kwargs,
        )
        # lines are as wide as so many px of the layer: two pixels of the screen
        px = 1 / (viewer.scene.camera.zoom * float(np.mean(shapes.scale[-2:])))
        shapes.current_edge_width = 2 * px
    viewer.layers.selection.active = shapes
    shapes.visible = True
    shapes.mode = "add_rectangle"
    return shapes


def region_layer(viewer: Any) -> Shapes | None:
    """Return the layer the user draws rectangles in, whatever it is called now."""
    for layer in reversed(unwrapped(viewer).layers):
        if isinstance(layer, Shapes) and own_metadata(layer).get("role") == "region":
            return layer
    return None


def visible_field(viewer: Any, tile_view: TileView) -> Box:
    """Return (rows, columns) of the tile that the canvas shows, in tile px.

    The whole tile if nothing of it is visible.
    """
    n_rows, n_columns = tile_view.tile.shape
    return seen_field(viewer, tile_view) or (slice(0, n_rows), slice(0, n_columns))


def seen_field(viewer: Any, tile_view: TileView) -> Box | None:
    """Return (rows, columns) of the tile that the canvas shows; None if nothing is visible."""
    viewer = unwrapped(viewer)
    low, high = _box(world_to_plane(viewer, tile_view.layer, visible_corners(viewer)))
    offset = np.array([tile_view.rows.start, tile_view.columns.start])
    return _clipped(np.floor(low + 0.5) - offset, np.ceil(high + 0.5) - offset, tile_view.tile)


def visible_corners(viewer: Any) -> NDArray[np.float64]:
    """Return the corners of what the canvas shows, (4, 2), in the last two world coordinates.

    From the camera: a multiscale layer's own corner pixels stay too large after zooming in.
    """
    viewer = unwrapped(viewer)
    size = np.asarray(viewer.canvas.viewbox_size(viewer.layers), dtype=float)
    camera = viewer.scene.camera
    centre = np.asarray(camera.center, dtype=float)[-2:]
    sides = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    return centre + sides * size / camera.zoom / 2


def world_to_plane(
    viewer: Any, layer: Image, positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (row, column) in data px of each of n world positions, shape (n, 2).

    The world may have another unit than the layer: napari draws layers in nm and in µm at
    their true size but leaves the conversion of positions to us.
    """
    positions = np.array(positions, dtype=float)
    world_units = viewer.layers.extent.units if viewer is not None else None
    if world_units is not None:
        pairs = zip(world_units[-2:], layer.units[-2:], strict=True)
        factors = [1.0 if a == b else float((1 * a).to(b).magnitude) for a, b in pairs]
        positions[:, -2:] *= factors
    return np.array([layer.world_to_data(position)[-2:] for position in positions])


def _region_box(
    viewer: Any, layer: Image, plane: Plane, region: Region, rectangle: ArrayLike | None
) -> Box:
    shape = plane.pixels.shape[:2]
    if region == "whole":
        return slice(0, shape[0]), slice(0, shape[1])
    if region == "view":
        corners = visible_corners(viewer) if rectangle is None else np.asarray(rectangle)
        low, high = _box(world_to_plane(viewer, layer, corners))
        found = _clipped(np.floor(low + 0.5), np.ceil(high + 0.5), plane.pixels)
        if found is None:
            raise TileError(
                f"The canvas shows nothing of '{layer.name}': "
                "move it into view, or choose the whole image."
            )
        return found
    corners = _drawn_corners(viewer) if rectangle is None else np.asarray(rectangle, dtype=float)
    low, high = _box(world_to_plane(viewer, layer, corners))
    # pixels whose centres lie inside, the edge included
    found = _clipped(np.ceil(low - 1e-6), np.floor(high + 1e-6) + 1, plane.pixels)
    if found is None:
        raise TileError(f"The rectangle lies outside of '{layer.name}': draw it over the image.")
    return found


def _drawn_corners(viewer: Any) -> NDArray[np.float64]:
    """Return the world coordinates of the selected or newest rectangle, shape (n, 2)."""
    shapes = region_layer(viewer)
    if shapes is None or not len(shapes.data):
        raise TileError(
            "There is no rectangle yet: press 'Draw rectangle' and drag over the image."
        )
    selected = sorted(shapes.selected_data)
    corners = shapes.data[selected[0] if len(selected) == 1 else -1]
    world = np.array([shapes.data_to_world(corner)[-2:] for corner in corners], dtype=float)
    world_units = viewer.layers.extent.units
    if world_units is not None:
        pairs = zip(shapes.units[-2:], world_units[-2:], strict=True)
        world *= [1.0 if a == b else float((1 * a).to(b).magnitude) for a, b in pairs]
    return world


def _box(positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest and the largest (row, column) of n positions."""
    return positions.min(axis=0), positions.max(axis=0)


def _clipped(start: NDArray[np.float64], stop: NDArray[np.float64], image: Any) -> Box | None:
    """Return rows and columns within an image; None if nothing is left."""
    shape = image.shape[:2]
    low = np.clip(start, 0, shape).astype(int)
    high = np.clip(stop, 0, shape).astype(int)
    if (high <= low).any():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
