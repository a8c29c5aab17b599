"""Which napari image layers can be learned from, their pixels and their physical scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_selfseg.core.images.reading import stack_grey_tiles, tile_from_array
from napari_selfseg.core.images.scale import COARSEST, FINEST, SQUARE
from napari_selfseg.core.images.tile import Tile, TileError

if TYPE_CHECKING:
    from napari.components import ViewerModel

OWN = "selfseg"  # key of our entries in a layer's metadata


def unwrapped(viewer: Any) -> ViewerModel:
    """Return the viewer itself; a plugin's widget is given a proxy of it.

    Layers from the proxy are proxies too: they are not the objects that events bring.
    """
    return getattr(viewer, "__wrapped__", viewer)


def own_metadata(layer: Any) -> dict[str, Any]:
    """Return what we once wrote into a layer's metadata; empty for a foreign layer."""
    found = layer.metadata.get(OWN)
    return found if isinstance(found, dict) else {}


def image_layers(viewer: Any) -> list[Image]:
    """Return the image layers that can be learned from, in the order of the layer list.

    RGB images, grey images, (3, M, N) images of three planes, and stacks whose displayed plane
    can be used; not our own preview and confidence layers.
    """
    return [
        layer
        for layer in unwrapped(viewer).layers
        if isinstance(layer, Image)
        and layer.ndim >= 2
        and own_metadata(layer).get("role") != "result"
    ]


def is_colour(layer: Image) -> bool:
    """Whether a layer is RGB, or three planes (3, M, N) that are taken for RGB."""
    return bool(layer.rgb) or is_planar_rgb(layer)


def is_planar_rgb(layer: Image) -> bool:
    """Whether a layer is (3, M, N): red, green and blue planes added with ``rgb=False``."""
    shape = level_0(layer).shape
    return not layer.rgb and len(shape) == 3 and shape[0] == 3 and min(shape[1:]) > 4


def newest_image(viewer: Any) -> Image | None:
    """Return the newest usable RGB layer, or the newest usable one if none is RGB."""
    layers = image_layers(viewer)[::-1]
    return next((layer for layer in layers if is_colour(layer)), layers[0] if layers else None)


def three_grey_layers(viewer: Any) -> tuple[Image, Image, Image] | None:
    """Return three single-channel layers of one shape in the order red, green, blue.

    The newest three; colours are taken from their colormaps when those are red, green and
    blue, otherwise the order in the list counts. None if there are not three.
    """
    grey = [layer for layer in image_layers(viewer) if not layer.rgb and layer.ndim == 2]
    for newest in grey[::-1]:
        alike = [layer for layer in grey if level_0(layer).shape == level_0(newest).shape][-3:]
        if len(alike) == 3:
            by_colour = {layer.colormap.name: layer for layer in alike}
            if {"red", "green", "blue"} <= by_colour.keys():
                alike = [by_colour[colour] for colour in ("red", "green", "blue")]
            return (alike[0], alike[1], alike[2])
    return None


def level_0(layer: Image) -> Any:
    """Return the pixels of a layer at full resolution, as they are stored."""
    return layer.data[0] if layer.multiscale else layer.data


def um_per_px_of(layer: Image) -> float | None:
    """Return microns per pixel from the layer's transform and units.

    None if the units are pixels or no length, if the pixels are not square, or if no microscope
    has such pixels.
    """
    microns = [_microns(unit) for unit in layer.units[-2:]]
    if None in microns:
        return None
    sides = np.array(microns, dtype=float)[:, None] * plane_matrix(layer)
    height, width = np.linalg.norm(sides, axis=0)
    leaning = abs(sides[:, 0] @ sides[:, 1])
    if max(height, width) > SQUARE * min(height, width) or leaning > 0.01 * height * width:
        return None
    # 12 digits: what a scale loses in a matrix and back is no measurement
    microns_per_px = float(f"{np.sqrt(height * width):.12g}")
    return microns_per_px if FINEST <= microns_per_px <= COARSEST else None


def plane_matrix(layer: Any) -> NDArray[np.float64]:
    """Return the (2, 2) matrix from rows and columns to the last two world axes."""
    origin = plane_to_world(layer, (), (0, 0))
    sides = [plane_to_world(layer, (), end) - origin for end in ((1, 0), (0, 1))]
    return np.stack(sides, axis=1)


def plane_to_world(
    layer: Any, plane: tuple[int, ...], position: Sequence[float]
) -> NDArray[np.float64]:
    """Return the last two world coordinates of a (row, column) of a layer's plane."""
    leading = plane or (0,) * (layer.ndim - 2)
    return np.asarray(layer.data_to_world([*leading, *position]), dtype=float)[-2:]


@dataclass(frozen=True, eq=False)
class Plane:
    """The two-dimensional image that a layer shows, not yet read.

    Parameters
    ----------
    pixels : array, shape (M, N) or (M, N, C)
        numpy or dask.
    index : tuple of int
        The position on the axes that are not shown.
    note : str
        One sentence on what was assumed; may be empty.
    """

    pixels: Any
    index: tuple[int, ...] = ()
    note: str = ""


def displayed_plane(viewer: Any, layer: Image) -> Plane:
    """Return the plane of a layer that the viewer shows.

    Raises
    ------
    TileError
        If there is none: 3-D view, swapped axes, an RGB image added as a stack.
    """
    dims = unwrapped(viewer).dims
    if dims.ndisplay != 2:
        raise TileError("The viewer is in 3-D: switch it to 2-D below the layer list.")
    if dims.ndim > 2 and set(dims.displayed) != {dims.ndim - 2, dims.ndim - 1}:
        raise TileError("The viewer shows other axes than rows and columns: roll them back.")
    data = _array(level_0(layer))
    if is_planar_rgb(layer):
        note = f"The three planes of '{layer.name}' are taken as red, green and blue."
        stack = da.stack if isinstance(data, da.Array) else np.stack
        return Plane(stack([data[0], data[1], data[2]], axis=-1), note=note)
    if not layer.rgb and data.ndim == 3 and data.shape[-1] in (3, 4):
        raise TileError(
            f"'{layer.name}' looks like an RGB image that was added as a stack: "
            "open it again as RGB."
        )
    if layer.ndim == 2:
        return Plane(data)
    index = _displayed_index(dims, layer, data.shape)
    where = ", ".join(
        f"{label + ' ' if not label.lstrip('-').isdigit() else ''}{i} of 0 to {n - 1}"
        for i, n, label in zip(index, data.shape, layer.axis_labels, strict=False)
    )
    note = f"Only the plane shown is used ({where}): move the slider for another one."
    return Plane(data[index], index, note)


def tile_of(
    layer: Image, plane: Plane, rows: slice, columns: slice, um_per_px: float | None
) -> Tile:
    """Return a region of a plane as a tile with its notes; `TileError` if it is unusable."""
    remembered = own_metadata(layer)
    # what the file said of white (4095 of 12 bit in 16) counts more than a guess from a region
    same_type = remembered.get("dtype") == str(plane.pixels.dtype)
    tile = tile_from_array(
        plane.pixels[rows, columns],
        um_per_px=um_per_px if um_per_px is not None else um_per_px_of(layer),
        name=layer.name,
        axes="YXS" if plane.pixels.ndim == 3 else "YX",
        white=remembered["white"] if same_type else None,
    )
    notes = (*remembered.get("notes", ()), *([plane.note] if plane.note else []), *tile.notes)
    return replace(tile, notes=tuple(dict.fromkeys(notes)))


def rgb_tile_of(
    viewer: Any,
    layers: Sequence[Image],
    rows: slice,
    columns: slice,
    um_per_px: float | None,
) -> Tile:
    """Return one RGB tile of the same region of three grey layers."""
    planes = [displayed_plane(viewer, layer) for layer in layers]
    if len({plane.pixels.shape for plane in planes}) != 1:
        raise TileError("The three layers must have the same number of rows and columns.")
    pairs = zip(layers, planes, strict=True)
    tiles = [tile_of(layer, plane, rows, columns, um_per_px) for layer, plane in pairs]
    return replace(stack_grey_tiles(tiles), name=" + ".join(layer.name for layer in layers))


def _displayed_index(dims: Any, layer: Image, shape: tuple[int, ...]) -> tuple[int, ...]:
    # a layer with fewer axes than the viewer has the last ones
    position = layer.world_to_data(dims.point)
    index = tuple(int(i) for i in np.round(position[: layer.ndim - 2]))
    if any(not 0 <= i < n for i, n in zip(index, shape, strict=False)):
        raise TileError(f"'{layer.name}' has no plane here: move the slider below the image.")
    return index


def _array(data: Any) -> Any:
    # zarr, tensorstore, xarray, memory maps: sliced by dask when they are needed
    if isinstance(data, np.ndarray | da.Array):
        return data
    return da.asarray(data)


def _microns(unit: Any) -> float | None:
    """Return the microns of one unit; None for pixels and other things that are no length."""
    if not unit.is_compatible_with("micrometer"):
        return None
    return float((1 * unit).to("micrometer").magnitude)
