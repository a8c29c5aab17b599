"""From a click or a drawn line of a correction tool to one edit of the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_selfseg.core.drawn_line import enclosed
from napari_selfseg.core.editing import (
    Edit,
    EditError,
    Place,
    add,
    delete,
    erase,
    fill_holes,
    object_at,
    smooth,
)
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.merging import merge, merge_along
from napari_selfseg.core.proposing import propose
from napari_selfseg.core.splitting import cut, split
from napari_selfseg.widgets.candidate import Candidate
from napari_selfseg.widgets.editable_labels import EditableLabels

Points = NDArray[np.float64]  # (P, 2) rows and columns in the tile; one of them is a click
BESIDE = "That was beside the tile."


@dataclass(frozen=True, eq=False)
class Corrected:
    """Labels that a person corrects, and what is known of the place they show.

    Parameters
    ----------
    editable : EditableLabels
    candidate : Candidate
        Whose labels they were.
    tile : Tile
    """

    editable: EditableLabels
    candidate: Candidate
    tile: Tile

    @property
    def layer(self) -> Labels:
        """The layer that holds them."""
        return self.editable.layer

    def labels(self) -> NDArray[Any]:
        """Return the labels (M, N) as they are seen, not to be written to.

        Raises
        ------
        EditError
            If somebody put other labels into the layer.
        """
        labels = np.asarray(self.layer.data)
        if labels.shape != self.tile.shape:
            raise EditError("This layer is not as large as the tile any more.")
        return labels


def place_of(points: Points, shape: tuple[int, int]) -> Place:
    """Return the pixel under a click.

    Raises
    ------
    EditError
        If it is none of the tile's.
    """
    row, column = (int(i) for i in np.floor(points[0] + 0.5))
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise EditError(BESIDE)
    return row, column


def edit_of(name: str, one: Corrected, points: Points) -> Edit:
    """Return what a tool does at a click, or along a line.

    Parameters
    ----------
    name : str
        Of the tool.
    one : Corrected
    points : ndarray of float, shape (P, 2)

    Raises
    ------
    EditError
        One sentence for the user.
    """
    return _EDITS[name](one, one.labels(), points)


def merge_of(one: Corrected, first: Place, points: Points) -> Edit:
    """Return the edit that joins the object at a place with the one that is clicked."""
    labels = one.labels()
    second = place_of(points, labels.shape)
    numbers = [object_at(labels, place).number for place in (first, second)]
    return merge(labels, numbers, one.editable.reserved().tolist())


def _at_click(action: Callable[[Any, Place], Edit]) -> Callable[..., Edit]:
    def edit(_one: Corrected, labels: NDArray[Any], points: Points) -> Edit:
        return action(labels, place_of(points, labels.shape))

    return edit


def _add(one: Corrected, labels: NDArray[Any], points: Points) -> Edit:
    reserved = one.editable.reserved().tolist()
    if len(points) == 1:
        place = place_of(points, labels.shape)
        tile, confidence = one.tile, one.candidate.confidence
        return propose(labels, place, confidence, tile.read, tile.um_per_px, reserved)
    return add(labels, *_enclosed(labels, points), reserved)


def _clear(_one: Corrected, labels: NDArray[Any], points: Points) -> Edit:
    if len(points) == 1:
        raise EditError("Hold the mouse button down and draw around the area.")
    return erase(labels, *_enclosed(labels, points))


def _cut(one: Corrected, labels: NDArray[Any], points: Points) -> Edit:
    if len(points) == 1:
        raise EditError("Hold the mouse button down and draw a line through the object.")
    return cut(labels, points, one.editable.reserved().tolist())


def _split(one: Corrected, labels: NDArray[Any], points: Points) -> Edit:
    reserved = one.editable.reserved().tolist()
    return split(labels, place_of(points, labels.shape), reserved, one.candidate.centres)


def _merge(one: Corrected, labels: NDArray[Any], points: Points) -> Edit:
    return merge_along(labels, points, one.editable.reserved().tolist())


def _enclosed(labels: NDArray[Any], points: Points) -> tuple[slice, slice, NDArray[np.bool_]]:
    found = enclosed(points, labels.shape)
    if found is None:
        raise EditError(BESIDE)
    (rows, columns), mask = found
    return rows, columns, mask


_EDITS: dict[str, Callable[[Corrected, NDArray[Any], Points], Edit]] = {
    "add": _add,
    "clear": _clear,
    "cut": _cut,
    "delete": _at_click(delete),
    "holes": _at_click(fill_holes),
    "merge": _merge,
    "smooth": _at_click(smooth),
    "split": _split,
}
