"""From any image file or array to a tile with microns per pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.axes import guess_axes, to_plane, upright
from napari_selfseg.core.images.intensity import is_lazy, to_pixels, white_of
from napari_selfseg.core.images.raster import RawImage, check_raster, check_size, open_raster
from napari_selfseg.core.images.scale import checked_scale
from napari_selfseg.core.images.tiff import is_tiff, open_tiff
from napari_selfseg.core.images.tile import Tile, TileError

PROBE = 256  # px; the side of the regions a lazy image is sampled with
SMALL = 64 * 1024**2  # bytes of a pyramid level that may be read to learn its values


def read_tile(
    path: str | Path,
    um_per_px: float | None = None,
    index: Mapping[str, int] | None = None,
) -> Tile:
    """Read an image file: PNG, JPEG, TIFF, OME-TIFF, or a slide that is a TIFF (SVS).

    Tiled TIFFs stay on disk and are read piece by piece; of a pyramid the full resolution is
    taken. Everything else is read at once. Labels and macro images are never read.

    Parameters
    ----------
    path : str or Path
        The file; its content decides what it is, not its ending.
    um_per_px : float, optional
        Microns per pixel, where the file does not say or is wrong.
    index : mapping of str to int, optional
        Which plane of a stack to take, such as ``{"z": 3}``.

    Returns
    -------
    Tile
        Named after the file, without folder and ending.

    Raises
    ------
    TileError
        If there is no such file, or it cannot be read; in one sentence.
    """
    return read_pyramid(path, um_per_px, index, n_levels=1)[0]


def read_pyramid(
    path: str | Path,
    um_per_px: float | None = None,
    index: Mapping[str, int] | None = None,
    n_levels: int | None = None,
) -> tuple[Tile, ...]:
    """Read an image file as `read_tile` does, with the coarser copies it holds.

    Returns
    -------
    tuple of Tile
        From the full resolution down; each with its own µm/px. One, if there is no pyramid.
    """
    path = Path(path)
    stated = checked_scale(um_per_px)
    head = _head(path)
    try:
        if is_tiff(head):
            raw, used = open_tiff(path, index)
        else:
            raw, used = open_raster(path, index)
        index = {key: value for key, value in (index or {}).items() if key not in used}
        return _tiles(raw, stated, index, path, n_levels)
    except TileError:
        raise
    except MemoryError as error:
        raise TileError(f"There is not enough memory to read {path.name}.") from error
    except Exception as error:  # decoders fail in many ways; to the user they are one
        raise TileError(f"{path.name} is damaged or incomplete and cannot be read.") from error


def can_read(path: str | Path) -> bool:
    """Whether `read_tile` would read this file without being told more; only headers are read."""
    path = Path(path)
    try:
        if not is_tiff(_head(path)):
            check_raster(path)
            return True
        raw, _ = open_tiff(path, headers_only=True)
        plane = to_plane(raw.levels[0], raw.axes, None, path.name)
        if not raw.lazy:
            check_size(plane.nbytes, plane.shape[0] * plane.shape[1], path.name)
    except Exception:
        return False
    return True


def tile_from_array(
    array: Any,
    *,
    um_per_px: float | None = None,
    name: str = "tile",
    rgb: bool | None = None,
    axes: str | None = None,
    index: Mapping[str, int] | None = None,
    white: float | None = None,
) -> Tile:
    """Make a tile of an array.

    Parameters
    ----------
    array : array
        Numpy; or dask, zarr and the like, which stay lazy: nothing is computed. Grey, RGB or
        RGBA, the channels first or last.
    um_per_px : float, optional
        Microns per pixel.
    name : str
        What the user calls it.
    rgb : bool, optional
        What a viewer says about the last axis; None guesses from the shape.
    axes : str, optional
        The axes, if known, such as "YXC", "CYX" or "ZYX"; None guesses from the shape.
    index : mapping of str to int, optional
        Which plane of a stack to take, such as ``{"z": 3}``.
    white : float, optional
        The value of white, if known; None finds it from the type and the values.

    Returns
    -------
    Tile

    Raises
    ------
    TileError
        If it is neither grey nor RGB, a stack of which nothing was chosen, or holds no numbers.
    """
    array = _array_like(array)
    letters = guess_axes(array.shape, rgb, name) if axes is None else axes
    pixels = to_pixels(to_plane(array, letters, index, name), white, name=name)
    return Tile(pixels.array, pixels.white, checked_scale(um_per_px), name, pixels.notes)


def stack_grey_tiles(tiles: Sequence[Tile]) -> Tile:
    """Make one RGB tile of three grey ones, in the order red, green, blue.

    Each keeps its own white: different ones are scaled to 0..1. Lazy tiles stay lazy.

    Raises
    ------
    TileError
        If they are not three grey tiles of the same size.
    """
    if len(tiles) != 3:
        raise TileError(f"Three grey images make one RGB image, not {len(tiles)}.")
    if any(tile.n_channels != 1 for tile in tiles):
        raise TileError("Only grey images can be put together to one RGB image.")
    if len({tile.shape for tile in tiles}) > 1:
        sizes = ", ".join(f"{rows} × {columns}" for rows, columns in (t.shape for t in tiles))
        raise TileError(f"The three grey images differ in size ({sizes} px).")
    scales = {tile.um_per_px for tile in tiles} - {None}
    if len(scales) > 1:
        raise TileError("The three grey images differ in µm/px.")
    planes = [tile.pixels for tile in tiles]
    white = tiles[0].white
    if len({(tile.white, tile.pixels.dtype) for tile in tiles}) > 1:
        white = 1.0
        planes = [tile.pixels.astype(np.float32) / np.float32(tile.white) for tile in tiles]
    if any(is_lazy(plane) for plane in planes):
        import dask.array as da

        together = da.concatenate(planes, axis=2)  # type: ignore[no-untyped-call]
        together = together.rechunk({2: -1})
    else:
        together = np.concatenate(planes, axis=2)
    name = " + ".join(tile.name for tile in tiles)
    notes = tuple(dict.fromkeys(note for tile in tiles for note in tile.notes))
    return Tile(together, white, scales.pop() if scales else None, name, notes)


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, or say why there are none."""
    try:
        if path.is_dir():
            raise TileError(f"{path.name} is a folder, not an image file.")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise TileError(f"There is no file {path.name}.") from error
    except OSError as error:
        raise TileError(f"{path.name} cannot be opened: {error.strerror}.") from error
    if not head:
        raise TileError(f"{path.name} is empty (0 bytes).")
    return head


def _tiles(
    raw: RawImage,
    um_per_px: float | None,
    index: Mapping[str, int],
    path: Path,
    n_levels: int | None,
) -> tuple[Tile, ...]:
    """Turn what a file holds into tiles, one per level."""
    planes = [to_plane(level, raw.axes, index, path.name) for level in raw.levels]
    first_rows = planes[0].shape[0]
    white, notes = raw.white, raw.notes
    if not raw.lazy:
        planes = planes[:1]
        check_size(planes[0].nbytes, planes[0].shape[0] * planes[0].shape[1], path.name)
        planes = [np.asarray(planes[0])]
    else:
        values = _probe(planes)
        if white is None and values.dtype != np.uint8:
            white = white_of(float(np.nanmax(values, initial=0)), values.dtype)
            notes += (f"The image was not loaded whole: {white:g} was taken as white.",)
    if raw.orientation in range(2, 9):
        notes += ("The image was turned upright, as the file says.",)
    if um_per_px is None:
        um_per_px, notes = raw.scale.um_per_px, notes + raw.scale.notes
    tiles = []
    for plane in planes[:n_levels]:
        coarser = first_rows / plane.shape[0]
        pixels = to_pixels(
            upright(plane, raw.orientation), white, raw.premultiplied, name=path.name
        )
        array = _inverted(pixels.array, pixels.white) if raw.dark_is_high else pixels.array
        scale = None if um_per_px is None else um_per_px * coarser
        tiles.append(Tile(array, pixels.white, scale, _stem(path), notes + pixels.notes))
    return tuple(tiles)


def _probe(planes: Sequence[Any]) -> NDArray[Any]:
    """Read a little of a lazy image: to find white, and to find out now if it can be decoded."""
    rows, columns = planes[0].shape[:2]
    middle = planes[0][rows // 2 : rows // 2 + PROBE, columns // 2 : columns // 2 + PROBE]
    centre = np.asarray(middle)
    if centre.dtype == np.uint8 or planes[-1].nbytes > SMALL:
        return centre
    return np.asarray(planes[-1])


def _inverted(pixels: Any, white: float) -> Any:
    """Turn "white is zero" into "black is zero"."""
    if pixels.dtype.kind == "f":
        return white - pixels
    return pixels.dtype.type(white) - np.minimum(pixels, pixels.dtype.type(white))


def _array_like(array: Any) -> Any:
    """Return numpy and dask arrays as they are, other lazy arrays as dask, the rest as numpy."""
    if isinstance(array, np.ndarray) or is_lazy(array):
        return array
    if hasattr(array, "shape") and hasattr(array, "dtype") and hasattr(array, "chunks"):
        import dask.array as da

        return da.from_array(array)  # type: ignore[no-untyped-call]
    return np.asarray(array)


def _stem(path: Path) -> str:
    """Return the name of a file without its ending, and without the .ome before it."""
    stem = path.stem
    return stem[: -len(".ome")] if stem.lower().endswith(".ome") and len(stem) > 4 else stem
